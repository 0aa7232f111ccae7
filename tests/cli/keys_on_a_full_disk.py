"""Make, list and revoke keys on a file system of 1 MiB that is full; say what happened as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.small_disk import fill
from typer.testing import CliRunner, Result

from fovea_server.cli.main import app


def main(folder: Path) -> dict[str, object]:
    def keys(*words: str) -> Result:
        return CliRunner().invoke(app, ["keys", *words, f"--state={folder}"])

    made = keys("create").stdout.strip()
    filler = fill(folder)
    another, revoked = keys("create"), keys("revoke", made)
    listed = keys("list", "--json").stdout.splitlines()
    filler.unlink()
    afterwards = keys("revoke", made)
    return {
        "full": [[each.exit_code, each.stderr.splitlines()] for each in (another, revoked)],
        "still": [json.loads(line)["good"] for line in listed],
        "afterwards": afterwards.exit_code,
        "left": sorted(each.name for each in folder.iterdir()),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
