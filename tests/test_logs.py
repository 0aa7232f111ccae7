"""What never gets into a log line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from fovea_server import logs
from fovea_server.access import keys


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """What is written of an event, as JSON or as people see it."""

    def log(as_json: bool, **event: Any) -> str:
        logs.configure(json=as_json)
        structlog.get_logger().info(event.pop("event", "asked"), **event)
        return capsys.readouterr().err

    yield log
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("around", ["{}", "GET /v1/models?key={}&x=1", '{{"key": "{}"}}', "'{}' is bad\nmore"])
def test_a_key_leaves_its_public_id_alone(logged: Callable[..., str], around: str, as_json: bool) -> None:
    key, text = keys.make("", frozenset())
    line = logged(as_json, event=around.format(text), count=3)
    assert text.rpartition("_")[2] not in line
    assert f"fovea_{key.id}_…" in line
    if as_json:
        said = json.loads(line)
        assert (said["event"], said["count"]) == (around.format(f"fovea_{key.id}_…"), 3)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_key_in_what_an_event_holds_leaves_its_public_id_alone(logged: Callable[..., str], as_json: bool) -> None:
    key, text = keys.make("", frozenset())
    held = {"list": [text], "mapping": {"x": {text: [text]}}, "bytes": text.encode(), text: 1, "next": "seen"}
    line = logged(as_json, **held)
    assert text.rpartition("_")[2] not in line
    assert line.count(f"fovea_{key.id}_…") == 5
    assert "seen" in line
    assert not as_json or json.loads(line)["list"] == [f"fovea_{key.id}_…"]


def test_other_lines_stay_as_they_are() -> None:
    line = '{"event": "fovea_requests_total", "path": "/tmp/fovea_123_abc"}'
    assert logs.without_secrets(None, "info", line) == line


def test_a_form_that_cannot_be_read_is_told_to_its_sender_alone(caplog: pytest.LogCaptureFixture) -> None:
    logs.configure()
    structlog.reset_defaults()
    parser = MultipartParser(b"boundary")
    with pytest.raises(MultipartParseError):
        parser.write(b"--boundary\r\nContent\0: x\r\n")
    assert caplog.messages == []
