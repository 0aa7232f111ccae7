"""Keep experiments on a file system of 1 MiB, fill it, make room again; say what happened as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.small_disk import fill
from tests.studies.made_up import split
from tests.studies.processes import Process, start


def main(folder: Path) -> dict[str, object]:
    process = Process(f"sqlite:///{folder}/experiments.db", folder, is_first=True)
    start(process.store, split())
    process.exchange.exchange()
    before = process.serve(200)
    filler = fill(folder)
    process.exchange.exchange()
    full = {"same": process.serve(200) == before, "fault": process.exchange.fault, "up": process.is_up}
    filler.unlink()
    process.exchange.exchange()
    counted = sum(counts.answered for counts in process.observations.counted("trial").values())
    process.store.database.close()
    return {"full": full, "afterwards": {"fault": process.exchange.fault, "up": process.is_up, "counted": counted}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
