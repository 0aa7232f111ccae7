"""What never gets into a log line."""

from __future__ import annotations

import pytest
import structlog
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from fovea_server import logs
from fovea_server.access import keys


@pytest.mark.parametrize("around", ["{}", "GET /v1/models?key={}&x=1", '{{"key": "{}"}}', "'{}' is bad\nmore"])
def test_a_key_leaves_its_public_id_alone(around: str) -> None:
    key, text = keys.make("", frozenset())
    line = logs.without_secrets(None, "info", {"event": around.format(text), "count": 3})
    assert text.rpartition("_")[2] not in line["event"]
    assert f"fovea_{key.id}_…" in line["event"]
    assert line["count"] == 3


def test_other_lines_stay_as_they_are() -> None:
    line = {"event": "fovea_requests_total", "path": "/tmp/fovea_123_abc"}
    assert logs.without_secrets(None, "info", dict(line)) == line


def test_a_form_that_cannot_be_read_is_told_to_its_sender_alone(caplog: pytest.LogCaptureFixture) -> None:
    logs.configure()
    structlog.reset_defaults()
    parser = MultipartParser(b"boundary")
    with pytest.raises(MultipartParseError):
        parser.write(b"--boundary\r\nContent\0: x\r\n")
    assert caplog.messages == []
