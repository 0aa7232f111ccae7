"""An image that finds room on a disk, and its description that does not: `python -m … FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.small_disk import fill

from fovea_server import logs
from fovea_server.errors import Quarantined
from fovea_server.request.quarantine import Quarantine, digest_of

_IMAGE = bytes(10 * 4096)


def main(folder: Path) -> dict[str, object]:
    filler = fill(folder)
    os.truncate(filler, filler.stat().st_size - len(_IMAGE))
    quarantine, digest = Quarantine(folder / "quarantine"), digest_of(_IMAGE)
    quarantine.keep(_IMAGE, digest, ("cats",), "id-1")
    try:
        quarantine.check(digest)
        refused = False
    except Quarantined:
        refused = True
    return {"refused": refused, "left": len(list((folder / "quarantine").iterdir()))}


if __name__ == "__main__":
    logs.configure("critical")
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
