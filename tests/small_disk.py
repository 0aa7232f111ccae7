"""A file system that is soon full, for tests of what happens then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ROOT


def said_on(folder: Path, module: str) -> Any:
    """What `python -m MODULE FOLDER` prints as JSON where the folder is a file system of 1 MiB, in a mount namespace of
    its own. Skips the test where nothing can be mounted."""
    mount = f"mount -t tmpfs -o size=1m tmpfs {folder}"
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    script = f"{mount} && exec {sys.executable} -m {module} {folder}"
    done = subprocess.run([*alone, script], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def fill(folder: Path) -> Path:
    """A file that takes all there is left; remove it to make room again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler
