"""Photographs, and the same ones out of focus: a real server's log says what changed, for whom, and what it costs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFilter
from tests.conftest import Photograph
from tests.e2e.served import Served, served
from tests.ports import free_ports
from typer.testing import CliRunner, Result

from fovea_client import Client, Context, Feedback
from fovea_pipelines.package import ModelPackage
from fovea_server.cli.main import app

_SEEN = 0.6  # seconds after which a reader sees what was answered


@pytest.fixture(scope="module")
def asked(
    package: ModelPackage, photographs: list[Photograph], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Result]]:
    """Phones send half of the photographs, then the other half; then cameras these, out of focus. Asks of a log with
    all three, by the names of the windows."""
    folder = tmp_path_factory.mktemp("log")
    with served(free_ports(5), f"--feature-log={folder}", "--log-embeddings=1") as server:
        windows = {
            "before": _sent(server, photographs[::2], "phone"),
            "now": _sent(server, photographs[1::2], "phone"),
            "blurred": _sent(server, photographs[1::2], "camera", _blurred),
        }

        def ask(command: str, *options: str, **named: str) -> Result:
            chosen = [f"--{option}={windows[window]}" for option, window in named.items()]
            place = [f"--feature-log={folder}", f"--state={server.state}"]
            return CliRunner().invoke(app, [command, *place, *chosen, *options])

        yield ask


def _sent(
    server: Served, photographs: Sequence[Photograph], device: str, change: Callable[[bytes], bytes] = bytes
) -> str:
    """Each with what is true of it; the window in which that was."""
    began = datetime.now(timezone.utc)
    with Client(server.url) as client:

        def ask(photo: Photograph) -> Feedback:
            answer = client.classify(change(photo.content), context=Context(slices={"device": device}))
            return Feedback(answer.id, photo.class_index)

        with ThreadPoolExecutor(4) as pool:
            given = list(pool.map(ask, photographs))
        assert client.feedback_many(given).accepted == len(photographs)
    time.sleep(_SEEN)
    return f"{began.isoformat()}..{datetime.now(timezone.utc).isoformat()}"


def _blurred(content: bytes) -> bytes:
    sink = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").filter(ImageFilter.GaussianBlur(3)).save(sink, "JPEG", quality=90)
    return sink.getvalue()


def _levels(file: Path) -> dict[str, str]:
    (model,) = json.loads(file.read_text())["models"]
    changes: list[dict[str, Any]] = model["changes"]
    return {change["feature"]: change["level"] for change in changes}


def test_other_photographs_of_the_same_kind_have_not_drifted(asked: Callable[..., Result], tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    result = asked("drift", "--json", str(said), reference="before", current="now")
    assert result.exit_code == 0, result.output
    assert set(_levels(said).values()) <= {"steady", "too few"}
    assert _levels(said)["embedding"] == _levels(said)["accuracy"] == "steady"


def test_photographs_out_of_focus_have_and_the_accuracy_is_estimated(
    asked: Callable[..., Result], tmp_path: Path
) -> None:
    said, page = tmp_path / "said.json", tmp_path / "page.html"
    result = asked("drift", "--json", str(said), "--html", str(page), reference="before", current="blurred")
    assert result.exit_code == 1, result.output
    levels = _levels(said)
    for feature in ("sharpness", "embedding", "accuracy", "estimated accuracy", "slice device"):
        assert levels[feature] == "drifted", feature
    for feature in ("brightness", "megapixels", "aspect ratio", "format"):
        assert levels[feature] == "steady", feature
    assert "least like those of before" in page.read_text()


def test_the_cameras_are_answered_worse_also_among_images_of_the_same_label(
    asked: Callable[..., Result], tmp_path: Path
) -> None:
    said = tmp_path / "said.json"
    result = asked("fairness", "--json", str(said))
    assert result.exit_code == 1, result.output
    (model,) = json.loads(said.read_text())["models"]
    (camera,) = [each for each in model["slices"] if each["slice"] == "device=camera"]
    assert camera["level"] == "worse"
    assert camera["difference"]["upper"] < -0.1
    assert camera["among_alike_labels"]["upper"] < -0.1
