"""Scripts in the place of tritonserver."""

from __future__ import annotations

from pathlib import Path

from fovea_server.triton.installation import Installation


def installation(folder: Path, script: str) -> Installation:
    binary = folder / "tritonserver"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    return Installation(binary, folder, stub=None, libraries=(), config_name="cpu")
