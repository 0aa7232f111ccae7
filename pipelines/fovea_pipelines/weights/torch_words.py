"""The words in which PyTorch pickles a state dict or a TorchScript module; all others are refused."""

from __future__ import annotations

from typing import Any, BinaryIO

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights import pickles
from fovea_pipelines.weights.pickles import SAVE_THE_STATE_DICT, Name, Object
from fovea_pipelines.weights.tensors import BFLOAT16, Storage, TensorView

_KINDS = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_ORDERED_DICT = Name("collections", "OrderedDict")
_TENSORS = (Name("torch._utils", "_rebuild_tensor"), Name("torch._utils", "_rebuild_tensor_v2"))
# What these make of their first argument is, for us, their first argument: a parameter is a tensor.
_THE_SAME = (
    Name("torch._utils", "_rebuild_parameter"),
    *(Name("torch.jit._pickle", f"build_{kind}list") for kind in ("int", "double", "bool", "tensor")),
    Name("torch.jit._pickle", "restore_type_tag"),
)
# The arguments of a training script lie beside the state dict in many a checkpoint.
_NAMESPACE = Name("argparse", "Namespace")


def read(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """What one pickle holds, tensors as TensorView, and the storages it names by key."""
    storages: dict[str, Storage] = {}

    def storage(described: object) -> Storage:
        found = _storage(described)
        if storages.setdefault(found.key, found) != found:
            raise BadWeights(f"describes its storage {found.key} in two ways")
        return found

    return pickles.read(file, pickles.Vocabulary(_known, _call, storage)), storages


def _known(name: Name) -> Name:
    if name.module == "torch" and name.name in _KINDS:
        return name
    if name in (_ORDERED_DICT, _NAMESPACE, *_TENSORS, *_THE_SAME) or _is_torch_script(name):
        return name
    if name.module in ("torch", "torch.storage") and name.name.endswith("Storage"):
        raise BadWeights(f"holds numbers of a kind this reader does not know: {name}", SAVE_THE_STATE_DICT)
    raise BadWeights(f"asks for {name}, which is not a tensor; it was not loaded", SAVE_THE_STATE_DICT)


def _is_torch_script(name: Name) -> bool:
    return name.module == "__torch__" or name.module.startswith("__torch__.")


def _call(name: object, arguments: tuple[Any, ...]) -> object:
    if name == _ORDERED_DICT:
        return pickles.pairs(arguments[0]) if arguments else {}
    if name in _TENSORS:
        return _tensor(*arguments)
    if name in _THE_SAME and arguments:
        return arguments[0]
    if isinstance(name, Name) and (name == _NAMESPACE or _is_torch_script(name)):
        return Object(name)
    raise BadWeights("calls something that is no callable")


def _tensor(storage: object, offset: Any, shape: Any, stride: Any, *_: object) -> TensorView:
    if not isinstance(storage, Storage):
        raise BadWeights("has a tensor without a storage")
    return TensorView(storage, offset, tuple(shape), tuple(stride))


def _storage(described: object) -> Storage:
    """From ("storage", class, key, device, number of elements), and in old files None: a window of its own."""
    if not isinstance(described, tuple) or len(described) not in (5, 6) or described[5:] not in ((), (None,)):
        raise BadWeights("keeps something outside its pickle that is no storage")
    word, of, key, _device, size = described[:5]
    if word != "storage" or not isinstance(of, Name) or of.name not in _KINDS or type(key) is not str:
        raise BadWeights("keeps something outside its pickle that is no storage")
    if type(size) is not int or size < 0:
        raise BadWeights(f"has a storage of an impossible size: {key}")
    return Storage(_KINDS[of.name], key, size)
