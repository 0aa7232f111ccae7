"""Open a log on a full file system of 1 MiB, and again once there is room; what is said, and kept, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.small_disk import fill

from fovea_server.errors import StartError
from fovea_server.feature_log import opening


def main(folder: Path) -> list[object]:
    state = folder / "state"
    state.mkdir()
    filler = fill(folder)
    said = ""
    try:
        opening.places(str(folder / "log"), state)
    except StartError as error:
        said = str(error)
    left = [path.name for path in state.iterdir()]
    filler.unlink()
    opening.places(str(folder / "log"), state)
    return [said, left, [path.name for path in state.iterdir()]]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
