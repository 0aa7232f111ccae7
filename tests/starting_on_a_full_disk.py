"""Check a state folder on a file system of 1 MiB, empty and full; the log's lines, and a JSON list of what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import structlog
from tests.small_disk import fill

from fovea_server import state_folder


def main(folder: Path) -> list[object]:
    with structlog.testing.capture_logs() as empty:
        state_folder.check(folder / "state")
    fill(folder)
    with structlog.testing.capture_logs() as full:
        state_folder.check(folder / "state")
    return [empty, full]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
