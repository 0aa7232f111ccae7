"""Whether a server says what the reference says: a fast wrong answer is no answer."""

from __future__ import annotations

import csv
import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.errors import LoadFailed
from benchmarks.peers.catalogue import Door
from fovea_client.load.photographs import Photograph
from fovea_pipelines.package import ModelPackage

PHOTOGRAPHS = 20


def sample(images: Sequence[Photograph], folder: Path) -> tuple[Photograph, ...]:
    """The first twenty; of those that `labels.csv` names, where the folder has one."""
    labels = folder / "labels.csv"
    if not labels.is_file():
        return tuple(images[:PHOTOGRAPHS])
    with labels.open(encoding="utf-8") as file:
        labelled = {row["file"] for row in csv.DictReader(file)}
    return tuple(image for image in images if image.name in labelled)[:PHOTOGRAPHS]


def reference(images: Sequence[Photograph], package: ModelPackage, graph: Path, precision: str) -> list[int]:
    """The best class of each: the contract in Pillow, the same graph in the same precision."""
    from fovea_pipelines import reference as executor
    from fovea_pipelines.openvino_engine import OpenVinoEngine

    engine = OpenVinoEngine(graph, precision, streams=1)
    outputs = engine.run([executor.pixels(image.encoded, package.contract) for image in images])
    return [int(output.scores.argmax()) for output in outputs if output.scores is not None]


def agreeing(door: Door, url: str, images: Sequence[Photograph], expected: Sequence[int]) -> int:
    """How many of the photographs the server puts into the expected class."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        return sum(_best(connection, door, image) == index for image, index in zip(images, expected, strict=True))
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise LoadFailed(f"{url} does not answer as it should: {error!r}", "ask it once by hand") from error
    finally:
        connection.close()


def _best(connection: http.client.HTTPConnection, door: Door, image: Photograph) -> int:
    content_type, body = door.body(image)
    connection.request("POST", door.path, body, {"Content-Type": content_type})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}, {said[:200].decode(errors='replace')}")
    return door.best(json.loads(said))
