"""What the drills measure with: the open loop against a small real server, records, figures, the page."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import mmap
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.drills.harness import catalogue, open_loop, page, running, watch
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import SHORT, Drill
from tests.drills.harness.figures import all_of, at_least, at_most, none_of
from tests.drills.harness.records import ROW, Records
from tests.drills.harness.watch import Watch

_GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"version":"3"}'
_BUSY = b'HTTP/1.1 429 Too Many Requests\r\nContent-Length: 17\r\n\r\n{"reason":"BUSY"}'
_LAST = b'HTTP/1.1 503 Gone\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{"reason":"DRAINING"}'


@contextlib.contextmanager
def _server(*answers: bytes | None, seconds: float = 0.0, unasked: bytes | None = None) -> Iterator[int]:
    """Answers the requests of all connections in turn, `seconds` after each came; None hangs up instead.

    `unasked` follows an answer a moment later, and the connection ends.
    """
    loop, ready = asyncio.new_event_loop(), threading.Event()
    turns = iter(answers * 1000)
    port = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                await reader.readexactly(int(length[15:]))
                await asyncio.sleep(seconds)
                answer = next(turns)
                if answer is None:
                    break
                writer.write(answer)
                if unasked:
                    await asyncio.sleep(0.05)
                    writer.write(unasked)
                    break
        writer.close()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ready.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready.wait(5)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_every_request_has_a_record_of_what_it_got() -> None:
    with _server(_GOOD, _BUSY, _LAST, None) as port:
        records = open_loop.run(port, [open_loop.post(b"x" * 1000)], rate=100, seconds=0.4)
    assert len(records) == 40
    assert records.outcomes() == {"200 3": 10, "429 BUSY": 10, "503 DRAINING": 10, "connection lost": 10}
    assert records.untyped() == {"connection lost": 10}
    assert (len(records.good), len(records.refused), len(records.unanswered)) == (10, 20, 10)


def test_what_nobody_asked_for_is_nobodys_outcome() -> None:
    with _server(_GOOD, unasked=_LAST) as port:
        # So far apart that the next one is not under way yet when the unasked comes, on a busy machine too.
        records = open_loop.run(port, [open_loop.post(b"x")], rate=1, seconds=5)
    assert records.outcomes() == {"200 3": 5}


def test_requests_do_not_wait_for_those_before_them() -> None:
    with _server(_GOOD, seconds=0.5) as port:
        records = open_loop.run(port, [open_loop.post(b"x")], rate=50, seconds=0.4)
    assert len(records.good) == 20
    assert records.latencies_ms().min() >= 500
    # One after the other they would have taken ten seconds.
    assert records.rows["done"].max() - records.rows["due"].min() < 5


def test_phases_follow_each_other_and_their_windows_say_when() -> None:
    with _server(_GOOD) as port, open_loop.load(port, [open_loop.post(b"x")], [(20, 0.5), (60, 0.5)]) as load:
        records = load.wait()
        first, second = load.window(0), load.window(1)
    assert (len(records.due_between(*first)), len(records.due_between(*second))) == (10, 30)
    assert first[1] == second[0]


def test_what_waits_for_a_connection_gets_another_when_the_server_closes_those_there_were() -> None:
    with (
        _server(_LAST, seconds=0.05) as port,
        open_loop.load(port, [open_loop.post(b"x")], [(50, 0.4)], connections=2) as load,
    ):
        assert load.wait().outcomes() == {"503 DRAINING": 20}


def test_nobody_there_is_an_outcome() -> None:
    with _server(_GOOD) as port:
        pass
    assert list(open_loop.run(port, [open_loop.post(b"x")], 20, 0.2).outcomes()) != ["200 3"]


def test_latency_counts_from_when_a_request_was_due_and_no_answer_is_for_ever() -> None:
    rows = np.zeros(4, ROW)
    rows["due"], rows["sent"] = [0, 1, 2, 3], [0, 1, 2.5, 3]
    rows["done"], rows["status"] = [0.01, 1.02, 2.6, np.nan], [200, 200, 200, 0]
    records = Records(rows, ("",), 0.0)
    assert records.good.percentile_ms(100) == pytest.approx(600)
    assert records.good.percentile_ms(50) == pytest.approx(20)
    assert records.percentile_ms(99) == float("inf")
    assert records.lateness_ms(100) == pytest.approx(500)


def test_a_figure_says_what_was_wanted_and_whether_it_was_reached() -> None:
    assert at_most("p99", 50, 50, "ms").passed
    assert not at_least("goodput", 0.9, 0.89).passed
    assert at_most("p99", 50, float("inf"), "ms").measured == "inf ms"
    assert none_of("5xx", {"500": 0}).passed
    assert none_of("5xx", {"503 NOT_READY": 1_200}).measured == "1,200 x 503 NOT_READY"
    assert not all_of("answered", 0, 0).passed


def test_a_watch_sees_memory_and_descriptors_come_and_stay() -> None:
    gc.collect()  # sockets of other tests, which would be closed meanwhile
    with watch.Watch(os.getpid()) as seen, contextlib.ExitStack() as stack:
        held = stack.enter_context(mmap.mmap(-1, 40 << 20))  # not from what the allocator has kept
        held.write(os.urandom(1 << 20) * 40)
        for _ in range(30):
            stack.enter_context(Path(os.devnull).open("rb"))
        now = watch.look(os.getpid())
    assert seen.peak_growth_mb > 30 or now.memory_mb - seen.seen[0].memory_mb > 30
    assert now.descriptors - seen.seen[0].descriptors >= 30


def test_memory_is_not_what_is_mapped_from_files_whose_share_changes_with_others(tmp_path: Path) -> None:
    file = tmp_path / "library"
    file.write_bytes(bytes(40 << 20))
    before = watch.look(os.getpid()).memory_mb
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0  # each page is there
        assert watch.look(os.getpid()).memory_mb - before < 20


def _fails(bench: Bench) -> list[object]:
    raise ValueError("nothing to show")


def test_a_drill_that_breaks_off_or_takes_too_long_has_missed_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Drill("broken", "It breaks.", _fails)  # type: ignore[arg-type]
    (figure,) = running.run(broken, SHORT).figures
    assert (figure.passed, figure.timed, figure.measured) == (False, False, "ValueError: nothing to show")
    endless = replace(broken, run=lambda bench: threading.Event().wait(30), seconds=0.2)  # type: ignore[arg-type, return-value]
    assert running.run(endless, SHORT).figures[0].measured == "TookTooLong: not done within 0 s"
    assert "nothing to show" in capsys.readouterr().err


def test_every_drill_has_a_name_of_its_own_and_ends() -> None:
    drills = catalogue.drills()
    assert len({drill.name for drill in drills}) == len(drills) > 5
    assert all(0 < drill.seconds <= 3600 and drill.promise for drill in drills)


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "write it again: python -m tests.drills --page"


def test_memory_that_was_there_for_a_moment_is_seen() -> None:
    with Watch(os.getpid()) as watch:
        bytearray(60_000_000)
    assert 55 < watch.peak_growth_mb < 100
    with Watch(os.getpid()) as watch:
        pass
    assert watch.peak_growth_mb < 30
