"""deploy/haproxy.cfg is one that HAProxy takes, and what it answers by itself is typed as what the servers answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from tests.conftest import ROOT

from fovea_server import errors
from fovea_server.edge.options import MAX_TIMEOUT
from fovea_server.edge.problems import document

FILE = ROOT / "deploy/haproxy.cfg"
_SAID = re.findall(
    r"http-error status (\d+) content-type application/problem\+json string '([^']+)'( hdr Retry-After \d+)?",
    FILE.read_text(),
)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_takes_it() -> None:
    checked = subprocess.run(["haproxy", "-c", "-f", FILE], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


@pytest.mark.parametrize(("status", "body", "retry"), _SAID, ids=[status for status, *_ in _SAID])
def test_what_it_says_itself_is_a_problem_document_of_the_table(status: str, body: str, retry: str) -> None:
    said = json.loads(body)
    kind = next(each for each in vars(errors).values() if getattr(each, "reason", None) == said["reason"])
    ours = document(kind.http, kind.reason, kind.title, said["detail"], "")
    assert {**said, "request_id": ""} == {**ours, "status": int(status)}
    assert bool(retry) == (kind is errors.NotReady)


def test_it_says_something_of_each_way_to_fail() -> None:
    assert {status for status, *_ in _SAID} == {"408", "502", "503", "504"}


@pytest.mark.parametrize("side", ["client", "server"])
def test_it_waits_longer_than_any_deadline_that_a_caller_can_ask_for(side: str) -> None:
    (seconds,) = re.findall(rf"^ +timeout {side} (\d+)s", FILE.read_text(), re.MULTILINE)
    assert int(seconds) > MAX_TIMEOUT
