"""Read the tensors of a weights file without PyTorch, and without running anything it contains.

Four formats are told apart by their first bytes: what `torch.save` writes since 1.6 (a zip archive) and wrote before
(pickles, then storages), what `torch.jit.save` writes (the same archive, with code, which is not read), and
safetensors. A pickle can name any callable; here it is data (`weights/pickles.py`), and one that asks for anything but
tensors is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights.archive import read as _read_archive
from fovea_pipelines.weights.legacy import read as _read_legacy
from fovea_pipelines.weights.safetensors import read as _read_safetensors
from fovea_pipelines.weights.tensors import Array

__all__ = ["Array", "read_state_dict"]


def read_state_dict(path: Path) -> dict[str, Array]:
    """The tensors of a state dict by name, as arrays of their own; bfloat16, which NumPy lacks, as float32.

    A wrapper around the state dict ("state_dict_ema", "model_ema", "state_dict" or "model", the first there is) and the
    prefix "module." where every name has it are taken off. A TorchScript archive gives its tensor attributes, named by
    their dotted path; what else its objects hold is skipped.

    Raises BadWeights for a file that cannot be read, is damaged, of another format, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except BadWeights as error:
        raise BadWeights(f"{path.name} {_plain(str(error))}", error.hint) from error
    except OSError as error:
        raise BadWeights(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError, RecursionError, MemoryError, OverflowError) as error:
        raise BadWeights(f"{path.name} is damaged: {_plain(str(error))}") from error


def _read(file: BinaryIO, size: int) -> dict[str, Array]:
    start = file.read(9)
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _read_archive(file, size)
    # A pickle as old as this begins with 0x80 0x02, which read as a length is larger than any file.
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= size:
        return _read_safetensors(file, size)
    if start.startswith(b"\x80"):
        return _read_legacy(file, size)
    raise BadWeights("is neither a PyTorch checkpoint, nor TorchScript, nor safetensors")


def _plain(message: str) -> str:
    """Names come from the file: neither control characters nor a page of them may reach the terminal."""
    return "".join(character if character.isprintable() else "?" for character in message[:500])
