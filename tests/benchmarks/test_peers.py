"""The comparison: each server asked in its own form, ratios to ours, and what happens where something is missing."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

import psutil
import pytest
from benchmarks import goals
from benchmarks.errors import BenchmarkError
from benchmarks.peers import __main__ as command
from benchmarks.peers import agreement, environments, load, running, table
from benchmarks.peers.catalogue import DOORS, NAMES, OURS, PEERS, Door, Peer, as_form, as_it_is, as_tensor
from benchmarks.peers.environments import NoPeer
from benchmarks.peers.running import Graph
from benchmarks.peers.table import Comparison
from benchmarks.processes import Cost, tree
from benchmarks.rows import Row
from tests.benchmarks import made_up

from fovea_client.load.measured import Load, summary
from fovea_client.load.photographs import Photograph

_PHOTOGRAPH = Photograph("a.jpg", "image/jpeg", b"\xff\xd8 not a real one \r\n--\r\n\xff\xd9")
_ABOUT = {**made_up.ABOUT, "precision": "bf16", "our_default_precision": "int8"}
_GRAPH = Graph(Path("model.onnx"), "f32")
# Answers 200 to everything, and has a child that would outlive it.
_SERVER = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.answer(b"{}")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b'{"index": 3}')
    def answer(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
_READY = environments.ready
_DOOR = Door("/", as_it_is, lambda answer: int(answer["index"]))


@pytest.fixture(autouse=True)
def _this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up peers run in the environment of the tests."""
    bin_folder = Path(sys.executable).parent
    monkeypatch.setattr(environments, "ready", lambda peer: bin_folder)


def _peer(script: str) -> Peer:
    return Peer(
        "made-up", "A peer", ("{bin}/python", "-c", script.replace("{", "{{").replace("}", "}}"), "{port}"), "/", _DOOR
    )


def _row(path: str, concurrency: int, images: int, cpu_seconds: float, latency: float = 0.01) -> Row:
    loaded: Load = summary("a generator", concurrency, 1.0, [latency] * images, images, {}, 0.0)
    return Row(path, loaded, Cost(cpu_seconds, 300.0, 3, 0.0))


def test_a_form_holds_the_photograph_untouched() -> None:
    content_type, body = as_form("image")(_PHOTOGRAPH)
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    (part,) = message.iter_parts()
    assert part.get_content_type() == "image/jpeg"
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_payload(decode=True) == _PHOTOGRAPH.encoded


def test_a_tensor_holds_the_photograph_as_base64() -> None:
    content_type, body = as_tensor(_PHOTOGRAPH)
    (tensor,) = json.loads(body)["inputs"]
    assert content_type == "application/json"
    assert base64.b64decode(tensor["data"][0]) == _PHOTOGRAPH.encoded


def test_a_request_is_whole_http() -> None:
    head, _, body = load.request(OURS, _PHOTOGRAPH, "127.0.0.1:1").partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/classify HTTP/1.1"
    assert f"Content-Length: {len(_PHOTOGRAPH.encoded)}".encode() in head.splitlines()
    assert body == _PHOTOGRAPH.encoded


def test_no_two_peers_share_a_title_and_each_has_its_versions_pinned() -> None:
    assert len(DOORS) == len(PEERS) + 1
    for name in NAMES:
        assert {"openvino", "pillow"} <= set(environments.versions(name))


def test_every_line_has_its_ratios_to_ours_under_the_same_load() -> None:
    rows = [_row("Peer", 8, 100, 1.0, 0.02), _row("Ours", 8, 200, 1.0), _row("Peer", 8, 120, 1.2, 0.02)]
    peer, ours = Comparison(_ABOUT, [*rows, _row("Peer", 32, 90, 1.0)], "Ours").document()["lines"][:2]
    assert (peer["images_per_second"], peer["drift"], peer["cpu_ms"]) == (110.0, pytest.approx(0.2), 10.0)
    assert (peer["speed_to_ours"], peer["p99_to_ours"], peer["cpu_to_ours"]) == (0.55, 2.0, 2.0)
    assert (ours["speed_to_ours"], ours["p99_to_ours"], ours["cpu_to_ours"]) == (1.0, 1.0, 1.0)


def test_the_table_names_who_is_missing_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(
        Comparison(_ABOUT, [_row("Ours", 8, 200, 1.0)], "Ours", {"Ours": "is right"}, {"Peer": "no such thing"}),
        goals.of_peers,
    )
    shown = capsys.readouterr().out
    assert "Peer is missing: no such thing" in shown
    assert "Ours: is right." in shown


def test_a_peer_is_started_asked_and_stopped_with_all_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_SETTLE", 0.2)
    with running.started(_peer(_SERVER), _GRAPH) as started:
        family = tree(started.pid)
        assert agreement.agreeing(_DOOR, started.url, [_PHOTOGRAPH] * 3, [3, 4, 3]) == 2
        measured = asyncio.run(load.measure(_DOOR, started.url, (_PHOTOGRAPH,), 2, 0.2))
    assert measured.served > 0
    assert not measured.errors
    assert len(family) == 2
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


def test_a_peer_that_ends_while_starting_says_its_last_words() -> None:
    with (
        pytest.raises(NoPeer, match="A peer ended while starting: no model"),
        running.started(_peer("raise SystemExit('no model')"), _GRAPH),
    ):
        pass


def test_a_peer_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(NoPeer, match="A peer cannot be run"),
        running.started(Peer("made-up", "A peer", ("{bin}/no-such-server",), "/", _DOOR), _GRAPH),
    ):
        pass


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "_REQUIREMENTS", tmp_path)
    (tmp_path / "made-up.txt").write_text(f"{tmp_path}/no-such-package.whl\n")
    with pytest.raises(NoPeer, match=r"A peer cannot be installed: .*no-such-package"):
        _READY(_peer(""))


def test_only_labelled_photographs_are_checked_where_there_are_labels(tmp_path: Path) -> None:
    images = [Photograph(f"{number}.jpg", "image/jpeg", b"") for number in range(30)]
    assert len(agreement.sample(images, tmp_path)) == agreement.PHOTOGRAPHS
    (tmp_path / "labels.csv").write_text("file,class_index,name\n7.jpg,1,a\n9.jpg,2,b\n")
    assert [image.name for image in agreement.sample(images, tmp_path)] == ["7.jpg", "9.jpg"]


def test_a_model_that_is_not_there_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_MODEL", tmp_path)
    with pytest.raises(BenchmarkError, match="does not exist"):
        command._model(None)


def test_photographs_that_are_not_there_end_it_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", "--images", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "holds no photographs" in done.stderr
