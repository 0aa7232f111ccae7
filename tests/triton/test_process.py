"""A run of tritonserver: its processes as the kernel lists them, its log, and what killed gateways left of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.triton.scripts import installation
from tests.waiting import until

from fovea_server.triton import belongings, leftovers, process
from fovea_server.triton.process import TritonProcess, TritonSettings

# A parent that starts a child from a thread, as Triton does, and says who it is.
_PARENT = """
import subprocess, sys, threading
made = []
def start():
    made.append(subprocess.Popen(["sleep", "60"]))
    print(made[0].pid, flush=True)
    sys.stdin.read()
thread = threading.Thread(target=start); thread.start(); thread.join()
made[0].kill(); made[0].wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """The ids of a process and of its one child, which another thread than its first one started."""
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        parent.communicate()


def test_children_of_any_thread_are_found(family: tuple[int, int]) -> None:
    parent, child = family
    assert process._children(parent) == [child]


def test_they_are_found_where_the_kernel_keeps_no_list(
    family: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path, *_: object) -> str:
        raise FileNotFoundError(path)

    parent, child = family
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", missing)
        found = process._children(parent)
    assert found == [child]


def test_a_process_that_is_gone_has_no_children() -> None:
    assert process._children(2**22 + 1) == []


async def test_a_line_of_its_log_that_is_too_long_does_not_hold_it_up(tmp_path: Path) -> None:
    long = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 'E1122 10:00:00.000000 1 here.cc:1] the end'"
    triton = TritonProcess(installation(tmp_path, long), [tmp_path], [], TritonSettings(), key="")
    await triton.start()
    try:
        assert await asyncio.wait_for(triton.wait(), 10) == 0
        assert await triton.last_complaint() == "the end"
    finally:
        await triton.clean_up()


# A gateway that says what it has made, and then lives until it is killed.
_GATEWAY = """
import asyncio, os, sys, tempfile
from pathlib import Path
from fovea_pipelines import withdrawn
from fovea_server.triton import leftovers, process
from fovea_server.triton.client import TritonClient

temporary, shared, pid = sys.argv[1:]
tempfile.tempdir, leftovers.SHARED_MEMORY, withdrawn._FOLDER = temporary, Path(shared), Path(shared)
os.getpid = lambda: int(pid)

async def main():
    client = TritonClient(process.TritonSettings(), "", 1, lambda **_: 1.0)
    folders = process.folder_of_this_gateway(), process.shared_folder_of_this_gateway()
    Path(f"{folders[1]}_region").write_bytes(bytes(10))
    (folders[0] / "python_environments").write_text(f"{temporary}/python_env_abcdef")
    Path(temporary, "python_env_abcdef").mkdir()
    print("made", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders of a test alone in the place of /tmp and /dev/shm."""

    temporary: Path
    shared: Path

    def names(self) -> list[str]:
        """What is there, without what differs from run to run."""
        found = [*self.temporary.iterdir(), *self.shared.iterdir()]
        return sorted(re.sub("[0-9]+_(locked_)?[a-z0-9_]{8}", "N", path.name) for path in found)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places(tmp_path / "temporary", tmp_path / "shared")
    places.temporary.mkdir()
    places.shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places.temporary))
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", places.shared)
    monkeypatch.setattr(leftovers, "_TEMPORARY", places.temporary)
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter(()))  # nor is a tritonserver of others asked about
    return places


@contextlib.contextmanager
def _gateway(places: Places, pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """One that takes itself for the process `pid`, as in a process id namespace of its own."""
    command = [sys.executable, "-c", _GATEWAY, str(places.temporary), str(places.shared), str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as gateway:
        try:
            assert gateway.stdout is not None
            assert gateway.stdout.readline() == b"made\n"
            yield gateway
        finally:
            gateway.kill()


_NOBODY = 2**22 + 1  # a process id that Linux does not give
_MADE = ["fovea-triton_N", "fovea_N", "fovea_N_region", "fovea_N_withdrawn", "python_env_abcdef"]


def test_what_a_gateway_of_another_container_uses_stays_until_it_is_killed(places: Places) -> None:
    with _gateway(places, _NOBODY) as gateway:
        process.sweep()
        assert places.names() == _MADE
        gateway.kill()
        gateway.wait()
        process.sweep()
        assert places.names() == []


def test_what_a_killed_gateway_left_is_swept_also_where_somebody_else_has_its_process_id(places: Places) -> None:
    with _gateway(places, os.getpid()) as gateway:
        gateway.kill()
    process.sweep()
    assert places.names() == ["fovea_N_withdrawn"]


def test_a_gateway_does_not_sweep_what_it_uses_itself(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: _NOBODY)
    folders = process.folder_of_this_gateway(), process.shared_folder_of_this_gateway()
    process.sweep()
    assert all(folder.is_dir() for folder in folders)
    for folder in folders:
        belongings.remove(folder)
    assert places.names() == []


def test_a_region_that_came_after_all_else_was_swept_goes_with_the_process_id(places: Places) -> None:
    dead, alive = (places.shared / f"fovea_{pid}_locked_abcdefgh_region" for pid in (_NOBODY, os.getpid()))
    for region in (dead, alive):
        region.touch()
    process.sweep()
    assert (dead.exists(), alive.exists()) == (False, True)


def test_what_others_call_as_we_do_is_left_alone_whatever_its_name(places: Places) -> None:
    names = ("²_locked_abcdefgh", "999999999999_locked_abcdefgh", f"{_NOBODY}_abcdefgh", f"{_NOBODY}_x", "1", "_x")
    odd = [places.shared / f"fovea_{name}" for name in names]
    others = places.shared / f"fovea_{_NOBODY}_locked_abcdefgh"
    for path in (*odd, others):
        path.write_bytes(b"")
    if os.geteuid() == 0:
        os.chown(others, 12345, 12345)
    process.sweep()
    assert all(path.exists() for path in odd)
    assert others.exists() == (os.geteuid() == 0)


async def test_nothing_of_a_run_is_left_nor_what_triton_would_have_left(places: Places, tmp_path: Path) -> None:
    """Where systemd has emptied shared memory meanwhile, the socket's folder is made again, and held as before."""
    sockets = process.shared_folder_of_this_gateway()
    sockets.rmdir()
    settings = TritonSettings(socket=str(sockets / "triton"))
    triton = TritonProcess(installation(tmp_path, "exec sleep 60"), [tmp_path], [], settings, key="")
    await triton.start()
    (prefix,) = (word.rpartition("=")[2] for word in triton._command() if "shm-region-prefix-name" in word)
    (places.shared / f"{prefix}region").touch()
    process.sweep()
    assert sockets.is_dir()
    await triton.clean_up()
    belongings.remove(sockets)
    assert places.names() == []


# A gateway whose tritonserver does not end when it is told to, and has a process for a model.
_STUBBORN = """
import asyncio, sys
from pathlib import Path
from tests.triton.scripts import installation
from fovea_server.triton import process

process._EXIT_SECONDS = -1
folder = Path(sys.argv[1])

async def main():
    script = f"trap 'echo told >{folder}/told' TERM; sleep 600 & while :; do sleep 0.1; done"
    triton = process.TritonProcess(installation(folder, script), [folder], [], process.TritonSettings(), key="")
    await triton.start()
    print(triton.pid, flush=True)
    await triton.wait()

asyncio.run(main())
"""


def test_a_triton_that_does_not_heed_the_end_of_its_gateway_is_killed_with_all_it_started(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _STUBBORN, str(tmp_path)], stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        triton = psutil.Process(int(gateway.stdout.readline()))
        until(lambda: [child.name() for child in triton.children()].count("sleep") == 2, 10)
        family = [triton, *triton.children(recursive=True)]
        gateway.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    assert (tmp_path / "told").read_text() == "told\n"
