"""Lines of feedback, and how many of them a body may have."""

from __future__ import annotations

import pytest

from fovea_server.edge import feedback_documents as documents
from fovea_server.errors import BadParameter, MalformedRequest
from fovea_server.feature_log.feedback import Feedback

_LINE = b'{"id": "a", "label": "tench"}'


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])
def test_as_many_lines_as_may_be_are_read_however_they_end(end: bytes) -> None:
    body = (_LINE + end) * documents.MOST_LINES
    assert documents.lines(body) == [Feedback("a", "tench")] * documents.MOST_LINES
    with pytest.raises(BadParameter, match=r"10,001 lines of feedback; at most 10,000|20,002 lines"):
        documents.lines(body + _LINE + end)


@pytest.mark.parametrize(
    ("body", "lines"), [(b"\n" * 3_999_990 + b"{}", "3,999,990"), (b"a\r" * 2_000_000, "2,000,000")]
)
def test_a_body_of_too_many_lines_is_refused_before_any_is_looked_at(body: bytes, lines: str) -> None:
    with pytest.raises(BadParameter, match=f"{lines} lines of feedback; at most 10,000 at once"):
        documents.lines(body)


def test_a_body_without_a_line_is_no_feedback() -> None:
    with pytest.raises(MalformedRequest):
        documents.lines(b"\n \r\n")
