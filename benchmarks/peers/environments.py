"""An environment of its own for each peer, made on demand under .cache/peers/ from pinned versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.catalogue import Peer
from benchmarks.photographs import CHECKOUT

FOLDER = CHECKOUT / ".cache" / "peers"
_REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
_PATIENCE = 900.0  # seconds an installation may take


class NoPeer(BenchmarkError):
    """A peer cannot be installed or started; the others can."""


def ready(peer: Peer) -> Path:
    """The `bin` of the peer's environment, installed now unless it is there with just these versions."""
    wanted = _REQUIREMENTS / f"{peer.name}.txt"
    folder = FOLDER / peer.name
    installed = folder / "installed.txt"  # a copy of the requirements, written last
    if installed.is_file() and installed.read_bytes() == wanted.read_bytes():
        return folder / "bin"
    print(f"installing {peer.title} into .cache/peers/{peer.name}/ ...", file=sys.stderr, flush=True)
    _run(peer, sys.executable, "-m", "venv", "--clear", str(folder))
    _run(peer, str(folder / "bin" / "pip"), "install", "--quiet", "--requirement", str(wanted))
    installed.write_bytes(wanted.read_bytes())
    return folder / "bin"


def versions(name: str) -> dict[str, str]:
    """What is installed for the peers of this name, as pinned."""
    lines = (_REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def _run(peer: Peer, *command: str) -> None:
    hint = f"see benchmarks/peers/requirements/{peer.name}.txt; is the package index reachable?"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeer(f"{peer.title} cannot be installed: {error}", hint) from error
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR: ")] or said or ["it said nothing"]
        raise NoPeer(f"{peer.title} cannot be installed: {errors[-1].removeprefix('ERROR: ')}", hint)
