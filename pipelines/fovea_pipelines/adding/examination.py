"""Read the network that somebody wishes to add, and see whether it can be served as wished."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import reference
from fovea_pipelines.adding import checks
from fovea_pipelines.adding.candidate import Candidate
from fovea_pipelines.adding.graphs.adopt import adopt, input_size, load
from fovea_pipelines.adding.network import Network
from fovea_pipelines.adding.wish import Wish
from fovea_pipelines.contract_sources import Source
from fovea_pipelines.errors import BadContract, BadNetwork, BadPackage
from fovea_pipelines.package import sha256_of
from fovea_pipelines.parity import corpus

_GENERATED = (48, 97, 24)  # three images of several kinds, past those that differ in orientation alone


def read(wish: Wish) -> Network:
    """The network as its source gives it. Raises a PipelineError."""
    if not wish.is_onnx:
        # Not above: it imports PyTorch.
        from fovea_pipelines.adding.pytorch import zoo

        return zoo.read(wish.source, wish.weights)
    if wish.weights:
        raise BadNetwork("an ONNX file holds its weights itself", hint="leave out --weights")
    path = Path(wish.source)
    network = load(path)
    origin = {"kind": "onnx", "file": path.name, "file_sha256": sha256_of(path)}
    return Network(network, source=None, labels=None, origin=origin, forward=None)


def examine(name: str, wish: Wish, network: Network) -> Candidate:
    """Fit the network to its pixels, and let it answer. Raises a PipelineError that says what is wrong with it."""
    source = _preprocessing(wish, network)
    contract = source.contract
    adopted = adopt(
        network.graph,
        height=contract.output_height,
        width=contract.output_width,
        mean=source.mean,
        std=source.std,
        embedding=wish.embedding,
        embedding_only=wish.embedding_only,
    )
    return Candidate(
        name=name,
        version=wish.version,
        description=wish.description or f"{wish.called}, added from {network.origin['kind']}",
        origin={**network.origin, **({"licence": wish.licence} if wish.licence else {})},
        source=source,
        adopted=adopted,
        labels=_labels(wish, network, adopted.classes),
        checked=checks.check(adopted, _images(wish, source), _original(wish, network, source)),
    )


def _preprocessing(wish: Wish, network: Network) -> Source:
    """What was said, else what the source says; large JPEGs decoded at a fraction where that is allowed."""
    source = wish.preprocessing or network.source
    if source is None:
        size = input_size(network.graph)
        wants = f" (it wants {size[1]}x{size[0]} pixels)" if size else ""
        raise BadContract(
            f"{wish.source} does not say how its images were preprocessed{wants}",
            hint="give --contract: a TOML file with [contract] and [normalisation], a preprocessor_config.json, a timm "
            "config, or ultralytics:classify:SIZE",
        )
    # Without antialiasing every source pixel counts, and none may be averaged away beforehand.
    may = source.contract.antialias if source.scaled_decode is None else source.scaled_decode
    scaled = may and not wish.full_decode
    return dataclasses.replace(source, contract=dataclasses.replace(source.contract, scaled_decode=scaled))


def _labels(wish: Wish, network: Network, classes: int | None) -> tuple[str, ...] | None:
    if classes is None:
        if wish.labels:
            raise BadPackage(f"there are {len(wish.labels):,} labels for a network that only embeds")
        return None
    labels = wish.labels or network.labels
    if labels is None:
        raise BadPackage(f"nothing says what the {classes:,} classes are called", hint="give --labels, a name a line")
    if len(labels) != classes:
        raise BadPackage(f"there are {len(labels):,} labels for {classes:,} classes")
    return labels


def _images(wish: Wish, source: Source) -> list[NDArray[np.uint8]]:
    """The golden image and generated ones, as the reference makes them."""
    generated = [specimen.content for specimen in islice(corpus.generated(), *_GENERATED)]
    try:
        contents = [wish.golden.read_bytes(), *generated]
        return [reference.pixels(content, source.contract) for content in contents]
    except OSError as error:
        raise BadPackage(f"the golden image {wish.golden} cannot be read: {error.strerror}") from error
    except reference.Unreadable as error:
        raise BadPackage(f"the golden image {wish.golden} cannot be read: {error}") from error


def _original(wish: Wish, network: Network, source: Source) -> checks.Original | None:
    """What the graph came from, where it can be asked and gives what we take from it."""
    if network.forward is None or (wish.embedding_only and wish.embedding):
        return None
    return checks.Original(network.forward, source.mean, source.std)
