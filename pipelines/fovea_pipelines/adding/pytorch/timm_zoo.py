"""Networks of timm: "resnet50", or "resnet50.a1_in1k" to say which published weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovea_pipelines.adding.pytorch import fetching, trained
from fovea_pipelines.adding.pytorch.libraries import timm, torch
from fovea_pipelines.adding.pytorch.trained import Trained
from fovea_pipelines.contract_sources import from_timm
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.package import sha256_of
from fovea_pipelines.weights import read_state_dict

# Where timm looks in a repository (timm 1.0.31, models/_hub.py): a file without a pickle first.
_FILES = {
    "": ("model.safetensors", "pytorch_model.bin"),
    "open_clip_pytorch_model.bin": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}
# What timm's modules call the function that turns weights as their authors published them into timm's.
_CONVERTERS = ("checkpoint_filter_fn", "_filter_fn")


def read(name: str, weights: Path | None) -> Trained:
    """The network "NAME" or "NAME.TAG" with the weights in a file, or the published ones. Raises a PipelineError."""
    config = _config(name)
    path = weights or _fetched(name, config)
    tensors = trained.as_torch(read_state_dict(path))
    if weights is None:
        tensors = _without_background(config, tensors)
    classes = _classes(config, tensors)
    network = timm().create_model(name, pretrained=False, num_classes=classes)
    _load(network, tensors, name)
    origin = {
        "kind": "timm",
        "architecture": name,
        "weights": path.name,
        "weights_sha256": sha256_of(path),
        **({} if weights else {"url": _place(config)}),
        **({"licence": str(config.license)} if config.license else {}),
        "torch": str(torch().__version__),
        "timm": str(timm().__version__),
    }
    source = from_timm(timm().data.resolve_model_data_config(network))
    return Trained(network, source, _labels(config, classes), origin)


def _config(name: str) -> Any:
    """timm's `PretrainedCfg`: where the weights are, and what they were trained with."""
    architecture = name.partition(".")[0]
    if not timm().is_model(architecture):
        raise BadNetwork(
            f"timm has no network {architecture!r}", hint=trained.nearest(architecture, timm().list_models())
        )
    tagged = timm().list_pretrained()
    if name != architecture and name not in tagged:
        known = [each for each in tagged if each.startswith(f"{architecture}.")]
        raise BadNetwork(f"timm publishes no weights {name!r}", hint=f"it has {', '.join(known)}" if known else None)
    return timm().models.get_pretrained_cfg(name)


def _fetched(name: str, config: Any) -> Path:
    if config.hf_hub_id:
        return fetching.from_hugging_face(config.hf_hub_id, _files(config.hf_hub_filename or ""))
    if config.url:
        url, file_name = (config.url, None) if isinstance(config.url, str) else config.url
        return fetching.from_url(url, file_name)
    raise BadNetwork(f"timm publishes no weights of {name}", hint="give the file with --weights")


def _files(name: str) -> tuple[str, ...]:
    if name.endswith(".bin") and name not in _FILES:
        return name.removesuffix(".bin") + ".safetensors", name
    return _FILES.get(name, (name,))


def _place(config: Any) -> str:
    if config.hf_hub_id:
        return f"https://huggingface.co/{config.hf_hub_id}"
    return str(config.url if isinstance(config.url, str) else config.url[0])


def _heads(config: Any) -> tuple[str, ...]:
    names = config.classifier or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _without_background(config: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Some published weights begin with a class for the background, which is none of the labels."""
    heads = [f"{head}.{tensor}" for head in _heads(config) for tensor in ("weight", "bias")]
    first = config.label_offset or 0
    return {name: tensor[first:] if name in heads else tensor for name, tensor in tensors.items()}


def _classes(config: Any, tensors: Mapping[str, Any]) -> int:
    """How many classes the weights have; 0 where they only embed."""
    for head in _heads(config):
        if (weight := tensors.get(f"{head}.weight")) is not None and weight.ndim:
            return int(weight.shape[0])
    return int(config.num_classes)


def _load(network: Any, tensors: Mapping[str, Any], name: str) -> None:
    """As they are, else as timm turns what their authors published into its own."""
    try:
        trained.load(network, tensors, f"timm:{name}")
    except BadNetwork as misfit:
        converted = _converted(network, tensors, name)
        if converted is None:
            raise
        try:
            trained.load(network, converted, f"timm:{name}")
        except BadNetwork:
            # What the file holds says more to its owner than what became of it.
            raise misfit from None


def _converted(network: Any, tensors: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    module = sys.modules[timm().models.model_entrypoint(name.partition(".")[0]).__module__]
    convert = next((getattr(module, each) for each in _CONVERTERS if hasattr(module, each)), None)
    if convert is None:
        return None
    try:
        return dict(convert(dict(tensors), network))
    except Exception:  # of whatever kind: it was written for other weights
        return None


def _labels(config: Any, classes: int) -> tuple[str, ...] | None:
    if config.label_names and len(config.label_names) == classes:
        return tuple(config.label_names)
    subset = timm().data.infer_imagenet_subset({"num_classes": classes}) if classes == config.num_classes else None
    return tuple(timm().data.ImageNetInfo(subset).label_descriptions()) if subset else None
