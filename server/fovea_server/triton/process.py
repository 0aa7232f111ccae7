"""Run one tritonserver as a child process: command line, environment, log, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fovea_pipelines import at_work, precision
from fovea_server.logs import get_logger
from fovea_server.triton import belongings, leftovers, log_lines
from fovea_server.triton.guard import guarded
from fovea_server.triton.installation import Installation

_log = get_logger("triton")
_EXIT_SECONDS = 5
# By configuration. The wheel's DCGM lacks the modules that would measure a GPU. What lies between the stages of a model
# lies in Triton's pool on the GPU.
_MEMORY = {
    "cpu": ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"],
    "cuda": ["--allow-gpu-metrics=false", "--cuda-memory-pool-byte-size=0:268435456"],
}
# Nobody needs these but us, and they reach files and memory of this machine: traces and logs go where one says.
_RESTRICTED = "shared-memory,model-repository,trace,logging"
_FOLDERS, _REGIONS = "fovea-triton_", "fovea_"  # followed by the gateway's process id
# A folder that its gateway has locked; beside it, under its name and more, what cannot be: regions of shared memory.
_LOCKED = re.compile(rf"((?:{_FOLDERS}|{_REGIONS})([0-9]{{1,9}})_locked_[a-z0-9_]{{8}})(_.+)?", re.ASCII)
_BOARD = re.compile(rf"{_REGIONS}([0-9]{{1,9}})_[0-9a-f]{{8}}_withdrawn", re.ASCII)  # fovea_pipelines.withdrawn
_ENVIRONMENTS = "python_environments"  # a file that names what Triton's Python backend made elsewhere


@dataclass(frozen=True)
class TritonSettings:
    """Triton listens on loopback only; the gateway is the way in.

    Where `http_port` is 0 its HTTP face is `socket`, a file that only this user can open. `start_timeout` is None where
    it depends on the device. `precision` is what networks compute in on a CPU.
    """

    grpc_port: int = 8001
    http_port: int = 0
    metrics_port: int = 8002
    start_timeout: float | None = None
    precision: str = "auto"
    socket: str = ""

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.http_port}" if self.http_port else f"unix:{self.socket}"


def sweep() -> None:
    """Remove the files and the shared memory that gateways left behind which were killed."""
    left = [*Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*"), *leftovers.SHARED_MEMORY.glob(f"{_REGIONS}*")]
    for path in left:
        with contextlib.suppress(OSError):  # gone already, not to be removed, or of a gateway that lives
            if _may_be_orphan(path):
                with belongings.taken_over(path):
                    _log.debug("swept", path=str(path))
                    leftovers.remove_environments(_recorded(path / _ENVIRONMENTS))
                    _remove(path)


def _may_be_orphan(path: Path) -> bool:
    """Whether a gateway of this user made it, and nothing but a lock on it can tell that this one lives.

    Other users may call theirs what they like; a process id says nothing of a gateway in another container.
    """
    if path.lstat().st_uid != os.geteuid():
        return False
    if board := _BOARD.fullmatch(path.name):  # it is there a moment before its lock
        return not psutil.pid_exists(int(board[1]))
    if named := _LOCKED.fullmatch(path.name):
        folder, pid, beside = named.groups()
        return not beside or not (path.with_name(folder).exists() or psutil.pid_exists(int(pid)))
    return False


def _remove(path: Path) -> None:
    """With what lies beside it under its name; itself last, or nobody would know whose that is."""
    for beside in path.parent.glob(f"{path.name}_*"):
        belongings.remove(beside)
    belongings.remove(path)


def _recorded(file: Path) -> list[Path]:
    return list(map(Path, file.read_text().splitlines())) if file.is_file() else []


def folder_of_this_gateway() -> Path:
    """A new folder that is swept once this process is gone, however it ends. Raises OSError."""
    return belongings.new_folder(Path(tempfile.gettempdir()), f"{_FOLDERS}{os.getpid()}_locked_")


def shared_folder_of_this_gateway() -> Path:
    """As above, where paths are short: that of a socket has at most 107 bytes."""
    return belongings.new_folder(leftovers.SHARED_MEMORY, f"{_REGIONS}{os.getpid()}_locked_")


def file_of_board(ticket: str) -> Path:
    """Of the board (fovea_pipelines.withdrawn) that gave this ticket."""
    return leftovers.SHARED_MEMORY / f"{_REGIONS}{ticket.partition(':')[0]}_withdrawn"


def _children(pid: int) -> list[int]:
    """As the kernel keeps them with each thread. To psutil they are a search through all processes of the machine,
    which on a busy one holds up every request for tens of milliseconds.

    While one of them ends, another may be overlooked (proc(5)): what seems to be missing is to be looked for again.
    """
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # a thread ended meanwhile, or this kernel keeps no such list
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(pid).children()]
        return []


@dataclass(frozen=True, order=True)
class Instance:
    """What a process of the Python backend runs; `number` tells those of one model apart."""

    model: str
    number: str


def instances_of(pids: Iterable[int]) -> dict[int, Instance]:
    """Those of them that are alive and run models, with what they run, by their command lines."""
    running: dict[int, Instance] = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            command = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")  # empty of a zombie
            model = command[1].split("/")[-3]  # …/MODEL/VERSION/model.py
            running[pid] = Instance(model, command[8].removeprefix(f"{model}_"))  # MODEL_GROUP_INSTANCE
    return running


class TritonProcess:
    """One run of tritonserver, from start to the end of its last child. Not restarted: make another.

    `key` is what its API for loading models asks for.
    """

    def __init__(
        self,
        installation: Installation,
        repositories: Sequence[Path],
        ensembles: Sequence[str],
        settings: TritonSettings,
        key: str,
    ) -> None:
        self._installation = installation
        self._repositories = repositories
        self._ensembles = ensembles
        self._settings = settings
        self._key = key
        self._folder = folder_of_this_gateway()
        self._regions = shared_folder_of_this_gateway()  # Triton's lie beside it, under its name; in it, who is at work
        self._complaints: deque[str] = deque(maxlen=3)
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def _process(self) -> asyncio.subprocess.Process:
        assert self._child is not None, "start() comes first"
        return self._child

    async def start(self) -> None:
        """Start it; it is not ready yet. Raises OSError where the system cannot."""
        if not os.access(self._installation.binary, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._installation.binary))
        self._environments_before = leftovers.python_environments()
        self._prepare_socket()
        self._child = await asyncio.create_subprocess_exec(
            *guarded(self._command(), _EXIT_SECONDS + 2),
            env=self._environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        self._reader = asyncio.create_task(self._read_log())

    def record_environments(self) -> None:
        """Once it has loaded its models: note what folders came meanwhile, for whoever cleans up after it."""
        came = leftovers.python_environments() - self._environments_before
        (self._folder / _ENVIRONMENTS).write_text("".join(f"{folder}\n" for folder in came))

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal that ended it)."""
        return await self._process.wait()

    def has_ended(self) -> bool:
        return self._process.returncode is not None

    def instances(self) -> frozenset[Instance]:
        """What the Python backend's processes run."""
        return frozenset(self.instances_by_pid().values())

    def instances_by_pid(self) -> dict[int, Instance]:
        """The processes of the Python backend that are alive, and what each runs.

        A search through all of Triton's threads, which holds up every request for 5 ms.
        """
        return instances_of(_children(self.pid))

    def seconds_at_work(self, pid: int) -> float | None:
        """For how long a process of the Python backend has been at work on one batch; None where it does not say."""
        return at_work.seconds(self._regions, pid)

    def forget_who_ended(self) -> None:
        """What they said of their work: their process ids are used again."""
        for file in self._regions.iterdir():
            if not psutil.pid_exists(int(file.name)):
                file.unlink(missing_ok=True)

    def end_model_processes(self, models: Collection[str]) -> None:
        """Kill the processes of these models: they hang, and nothing less would end them."""
        for pid, instance in self.instances_by_pid().items():
            if instance.model in models:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def last_complaint(self) -> str:
        """What it said last of errors, for a message; of an ended one, after its whole log was read."""
        if self._reader and self.has_ended():
            await asyncio.wait({self._reader}, timeout=1)
        return self._complaints[-1] if self._complaints else "it said nothing"

    async def stop(self) -> None:
        """Let it finish what it is doing, at most a few seconds, then end it with all its children."""
        if self._child is None:
            self._remove_files()
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), timeout=_EXIT_SECONDS + 2)
        await self.clean_up()

    async def clean_up(self) -> None:
        """End what is left of its process group, and free its shared memory and files.

        A tritonserver that was killed leaves the processes of its models behind; they ignore SIGTERM.
        """
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            await self._child.wait()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        self._remove_files()

    def _prepare_socket(self) -> None:
        """Remove that of a tritonserver that is gone; the next one does not take its place otherwise.

        The folder may be gone as well: systemd empties shared memory when its user logs out.
        """
        if self._settings.socket:
            socket = Path(self._settings.socket)
            if not socket.parent.exists():
                socket.parent.mkdir(mode=0o700)
                belongings.hold(socket.parent)
            socket.unlink(missing_ok=True)

    def _remove_files(self) -> None:
        leftovers.remove_environments(_recorded(self._folder / _ENVIRONMENTS))
        _remove(self._regions)
        _remove(self._folder)

    def _command(self) -> list[str]:
        settings = self._settings
        name = self._installation.config_name
        return [
            str(self._installation.binary),
            *(f"--model-repository={repository}" for repository in self._repositories),
            "--model-control-mode=explicit",
            *(f"--load-model={ensemble}" for ensemble in self._ensembles),
            *([f"--model-config-name={name}"] if name else []),
            f"--backend-directory={self._backend_folder()}",
            f"--backend-config=python,shm-region-prefix-name={self._regions.name}_",
            "--disable-auto-complete-config",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={settings.grpc_port}",
            f"--grpc-restricted-protocol={_RESTRICTED}:fovea={self._key}",
            f"--http-address={'127.0.0.1' if settings.http_port else settings.http_address}",
            f"--http-port={settings.http_port}",
            f"--http-restricted-api={_RESTRICTED}:fovea={self._key}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={settings.metrics_port}",
            *_MEMORY.get(name or "", []),
            f"--exit-timeout-secs={_EXIT_SECONDS}",
        ]

    def _backend_folder(self) -> Path:
        """The installation's own, or a folder of links that adds the stub of the running Python."""
        installation = self._installation
        if installation.stub is None:
            return installation.backends
        folder = self._folder / "backends" / "python"
        folder.mkdir(parents=True)
        for file in (installation.backends / "python").iterdir():
            (folder / file.name).symlink_to(file)
        # A link is not enough: the stub is looked for, and started, beside the backend's library.
        shutil.copy2(installation.stub, folder / installation.stub.name)
        return folder.parent

    def _environment(self) -> dict[str, str]:
        """The interpreter's own `bin` first on PATH: it decides which packages `model.py` can import."""
        environment = dict(os.environ)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
        environment["LD_LIBRARY_PATH"] = ":".join(map(str, self._installation.libraries))
        # DALI and OpenVINO have threads of their own; OpenMP pools beside them only fight for the same cores.
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment[at_work.FOLDER] = str(self._regions)
        if self._settings.precision != precision.AUTO:
            environment[precision.VARIABLE] = self._settings.precision
        environment.pop("PYTHONHOME", None)
        return environment

    async def _read_log(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                raw = await self._process.stdout.readline()
            except ValueError:  # longer than the limit; who stops reading holds Triton up
                continue
            if not raw:
                return
            line = log_lines.parse(raw.decode(errors="replace"))
            if line is None:
                continue
            if line.level in ("error", "critical"):
                self._complaints.append(line.text)
            getattr(_log, line.level)(line.text, **({"source": line.source} if line.source else {}))


def exit_in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
