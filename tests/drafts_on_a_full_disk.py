"""Write files on a file system of 1 MiB that is full; a JSON list of the errors' numbers, and what lies there then."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.small_disk import fill

from fovea_server import drafts


def main(folder: Path) -> list[object]:
    drafts.write(folder / "kept", b"old")
    fill(folder)
    failed = []
    for write, name in ((drafts.write, "kept"), (drafts.write, "new"), (drafts.write_once, "first")):
        try:
            write(folder / name, b"x" * 100_000)
        except OSError as error:
            failed.append(error.errno)
    return [failed, sorted(path.name for path in folder.iterdir()), (folder / "kept").read_text()]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
