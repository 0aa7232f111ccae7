"""Read an ONNX file that a stranger wrote, with the data it keeps in files beside it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.external_data_helper import load_external_data_for_tensor

from fovea_pipelines.errors import BadNetwork

MOST_BYTES = 2**31 - 1  # what one protobuf message can hold
_EXPORT = "an ONNX file is what torch.onnx.export writes"


def load(path: Path) -> onnx.ModelProto:
    """The network in a file, all its tensors inside it.

    Raises BadNetwork for a file that cannot be read, is damaged or is not ONNX; for one that takes 2 GB or more with
    its external data; and where that data is missing, is shorter than said, or lies outside the file's folder.
    """
    network = _parsed(path)
    try:
        external = [tensor for tensor in _tensors(network) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    except UnicodeError as error:
        raise BadNetwork(f"{path.name} is damaged or not ONNX: a name in it is not text", hint=_EXPORT) from error
    files = {file: file.stat().st_size for file in (_data_file(tensor, path) for tensor in external)}
    _require_room(path, path.stat().st_size + sum(files.values()))
    held = 0
    for tensor in external:
        held += _fill(tensor, path)
        _require_room(path, held)  # tensors may share one stretch of a file
    return network


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise BadNetwork(f"{path} is not a file")
    _require_room(path, path.stat().st_size)
    try:
        network = onnx.ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise BadNetwork(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise BadNetwork(f"{path.name} is damaged or not ONNX: {error}", hint=_EXPORT) from error
    if not network.ir_version or not network.graph.node:
        raise BadNetwork(f"{path.name} holds no network", hint=_EXPORT)
    return network


def _require_room(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise BadNetwork(f"{path.name} holds {size:,} bytes with its external data; at most {MOST_BYTES:,}")


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor in a message, however deep: initializers, attributes, subgraphs, functions.

    Raises UnicodeError for a string that is not text: protobuf finds that out only when one is looked at, and
    then raises, or gives bytes.
    """
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _tensors(part)
        elif field.type == field.TYPE_STRING and not all(isinstance(part, str) for part in value):
            raise UnicodeError(f"{field.full_name} is not text")


def _data_file(tensor: onnx.TensorProto, path: Path) -> Path:
    """Where a tensor's data lies: a file in the network's folder or below."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    folder = path.parent.resolve()
    tells = f"tensor {tensor.name} of {path.name} keeps its data in {location or 'a file without a name'}"
    try:
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise BadNetwork(f"{tells}, outside the network's folder; it was not read")
        if not file.is_file():
            raise BadNetwork(f"{tells}, which is not there", hint=f"copy it to where {path.name} is")
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise BadNetwork(f"{tells}, which is not there") from error
    return file


def _fill(tensor: onnx.TensorProto, path: Path) -> int:
    """Read a tensor's data into it; how many bytes. The library refuses links, also hard ones, and short files."""
    try:
        load_external_data_for_tensor(tensor, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise BadNetwork(f"the data of tensor {tensor.name} of {path.name} cannot be read: {reason}") from error
    for field in ("data_location", "external_data"):
        tensor.ClearField(field)  # as in a network that never had external data
    return len(tensor.raw_data)
