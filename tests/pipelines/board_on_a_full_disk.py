"""A board on a disk that is full, and one from before: `python -m tests.pipelines.board_on_a_full_disk FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.small_disk import fill

from fovea_pipelines import withdrawn


def main(folder: Path) -> dict[str, object]:
    withdrawn._FOLDER = folder
    before = withdrawn.Board()
    filler = fill(folder)
    tickets = [before.ticket() for _ in range(5000)]
    for ticket in tickets[::2]:
        before.withdraw(ticket)
    seen = sum(map(withdrawn.is_withdrawn, tickets[-4096:]))
    try:
        withdrawn.Board()
        refused = ""
    except OSError as error:
        refused = str(error.strerror)
    filler.unlink()
    return {"withdrawn": seen, "refused": refused, "left": len(list(folder.iterdir()))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
