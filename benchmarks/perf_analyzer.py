"""NVIDIA's perf_analyzer against Triton's own gRPC port: photographs in, rate and percentiles out.

Run alone: `python -m benchmarks.perf_analyzer --triton 127.0.0.1:8001 --concurrency 8`.

The PyPI package of that name is an empty placeholder; the real binary travels inside older wheels of tritonclient. It
is fetched once into .cache/, checked against its hash, and started with the two libraries it wants from
nvidia-pytriton.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks import photographs
from benchmarks.errors import LoadFailed, NoPerfAnalyzer, ServerNotReady, exit_code
from benchmarks.photographs import CHECKOUT
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph

ENSEMBLE = "classify_efficientnet_lite0"
_CACHE = CHECKOUT / ".cache" / "perf_analyzer"
# The names the 2.50 binary asks for, and how the files that nvidia-pytriton carries begin. 2.54 asks for neither.
_LIBRARIES = {"libb64.so.0d": "libb64-", "libcudart.so.12": "libcudart-"}
_WINDOWS = 3  # perf_analyzer reports once it has as many windows
_GRACE = 60.0  # seconds beyond the windows, for reading the photographs and settling


@dataclass(frozen=True)
class Release:
    """A tritonclient release, the SHA-256 of its x86_64 wheel, and the oldest glibc its binary runs on."""

    version: str
    sha256: str
    glibc: tuple[int, ...]


RELEASES = (
    Release("2.54.0", "53c326498e9036f99347a938d52abd819743e957223edec31ae3c9681e5a6065", (2, 38)),
    Release("2.50.0", "421fbb69ae6ab8cdb2c35b82134fcef2fe11e7af7718b1fcbc53335ab9bfe889", (2, 35)),
)


@dataclass(frozen=True)
class PerfAnalyzer:
    binary: Path
    libraries: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}


def fetch(cache: Path = _CACHE) -> PerfAnalyzer:
    """The binary for this machine, from the cache or from PyPI; tried once, so that it is known to start."""
    release = suitable(platform.machine(), platform.libc_ver()[1])
    home = cache / release.version
    found = PerfAnalyzer(home / "perf_analyzer", home / "lib", release.version)
    if not found.binary.is_file():
        home.mkdir(parents=True, exist_ok=True)
        _extract(_download(release, home), found.binary)
    _link_libraries(found.libraries)
    check_starts(found)
    return found


def suitable(machine: str, glibc: str) -> Release:
    """The newest release that runs here."""
    if machine != "x86_64":
        raise NoPerfAnalyzer(
            f"perf_analyzer is published for x86_64; this is {machine}", "leave it out: --only rest,grpc"
        )
    has = tuple(int(part) for part in glibc.split(".") if part.isdigit())
    for release in RELEASES:
        if has >= release.glibc:
            return release
    oldest = ".".join(map(str, RELEASES[-1].glibc))
    raise NoPerfAnalyzer(f"perf_analyzer needs glibc {oldest}; this is {glibc or 'not glibc'}", "use a newer Linux")


def measure(tool: PerfAnalyzer, triton: str, images: tuple[Photograph, ...], concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests under way at Triton's gRPC port `triton` (host:port) for about `seconds`."""
    with tempfile.TemporaryDirectory(prefix="perf_analyzer-") as folder:
        inputs, report = Path(folder, "inputs.json"), Path(folder, "report.csv")
        inputs.write_text(input_data(images), encoding="utf-8")
        before, cpu = served_by(triton), _children_seconds()
        _run(tool, _arguments(triton, inputs, report, concurrency, seconds), seconds + _GRACE)
        served, cpu = served_by(triton) - before, _children_seconds() - cpu
        rows = report.read_text(encoding="utf-8") if report.is_file() else ""
    return parse(rows, f"perf_analyzer {tool.version}", seconds, served, cpu)


def parse(report: str, generator: str, seconds: float, served: int, cpu_seconds: float) -> Load:
    """A `Load` from the CSV of `-f`, whose latencies are in microseconds.

    There is no column for errors: perf_analyzer gives up at the first failed request, which is a `LoadFailed`.
    """
    rows = list(csv.DictReader(report.splitlines()))
    if not rows:
        raise LoadFailed("perf_analyzer wrote no result", "run it longer, with --seconds")
    row = rows[-1]
    return Load(
        generator=generator,
        concurrency=int(row["Concurrency"]),
        seconds=round(seconds, 3),
        images=None,
        served=served,
        images_per_second=float(row["Inferences/Second"]),
        p50_ms=int(row["p50 latency"]) / 1000,
        p95_ms=int(row["p95 latency"]) / 1000,
        p99_ms=int(row["p99 latency"]) / 1000,
        errors={},
        client_cpu_ms=round(1000 * cpu_seconds / max(served, 1), 3),
    )


def input_data(images: tuple[Photograph, ...]) -> str:
    """The photographs as perf_analyzer reads them: each one step, sent in turn."""
    return json.dumps(
        {
            "data": [
                {"IMAGE": {"b64": base64.b64encode(image.encoded).decode(), "shape": [len(image.encoded)]}}
                for image in images
            ]
        }
    )


def served_by(triton: str) -> int:
    """How many images Triton has answered so far."""
    import tritonclient.grpc

    try:
        client = tritonclient.grpc.InferenceServerClient(triton)
        statistics = client.get_inference_statistics(ENSEMBLE, client_timeout=10, as_json=True)
    except tritonclient.grpc.InferenceServerException as error:
        raise ServerNotReady(
            f"Triton does not answer on {triton}: {error.message()}", "start it with `fovea serve`"
        ) from error
    return int(statistics["model_stats"][0].get("inference_count", 0))


def _arguments(triton: str, inputs: Path, report: Path, concurrency: int, seconds: float) -> list[str]:
    return [
        *("-m", ENSEMBLE, "-i", "grpc", "-u", triton, "--input-data", str(inputs), "-f", str(report)),
        *("--concurrency-range", str(concurrency)),
        # It measures window after window until the last three agree, and reports those three. Any three do here: how
        # much they differ is the machine's doing, and a longer run says so better than an endless one.
        *("--measurement-interval", str(round(1000 * seconds / _WINDOWS))),
        *("--max-trials", str(_WINDOWS), "--stability-percentage", "999"),
    ]


def _run(tool: PerfAnalyzer, arguments: list[str], timeout: float) -> None:
    try:
        done = subprocess.run(
            [tool.binary, *arguments],
            env=tool.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"perf_analyzer did not end within {timeout:.0f} s", "is Triton still answering?") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LoadFailed(f"perf_analyzer gave up: {''.join(last)}", "check that every photograph can be decoded")


def _download(release: Release, home: Path) -> Path:
    words = ("download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:")
    wanted = ("--platform", "manylinux1_x86_64", "--dest", str(home), f"tritonclient=={release.version}")
    hint = "it comes from PyPI with pip: check the network and that `python -m pip` works, or use --only rest,grpc"
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", *words, *wanted], capture_output=True, text=True, timeout=300, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise NoPerfAnalyzer("perf_analyzer could not be fetched within 300 s", hint) from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or "pip failed").splitlines()[-1]
        raise NoPerfAnalyzer(f"perf_analyzer could not be fetched: {reason}", hint) from error
    (wheel,) = home.glob(f"tritonclient-{release.version}-*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != release.sha256:
        wheel.unlink()
        raise NoPerfAnalyzer(f"{wheel.name} is not the file we know: its SHA-256 differs", "check your package index")
    return wheel


def _extract(wheel: Path, binary: Path) -> None:
    """Take the binary out of the wheel; it appears whole or not at all."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
        partial = binary.with_suffix(".partial")
        partial.write_bytes(archive.read(member))
    partial.chmod(0o755)
    partial.replace(binary)
    wheel.unlink()


def _link_libraries(folder: Path) -> None:
    """Give the libraries of nvidia-pytriton the names that perf_analyzer asks for."""
    folder.mkdir(exist_ok=True)
    try:
        files = metadata.distribution("nvidia-pytriton").files or []
    except metadata.PackageNotFoundError:
        return  # 2.54 needs none of them; where 2.50 does, trying it says so
    for name, beginning in _LIBRARIES.items():
        link = folder / name
        link.unlink(missing_ok=True)
        for file in files:
            if file.parent.name == "nvidia_pytriton.libs" and file.name.startswith(beginning):
                link.symlink_to(Path(str(file.locate())).resolve())


def check_starts(tool: PerfAnalyzer) -> None:
    """Raise unless it runs here."""
    try:
        done = subprocess.run(
            [tool.binary, "--version"], env=tool.environment, capture_output=True, text=True, timeout=30, check=False
        )
        reason = (done.stderr.strip() or "it says nothing").splitlines()[-1] if done.returncode else None
    except OSError as error:
        reason = error.strerror
    if reason:
        raise NoPerfAnalyzer(
            f"perf_analyzer {tool.version} does not start: {reason}",
            "its libraries come from nvidia-pytriton: pip install -e '.[cpu]'",
        )


def _children_seconds() -> float:
    """CPU time of the programs we ran to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="perf_analyzer against Triton's gRPC port; prints one line of JSON.")
    parser.add_argument("--triton", required=True, help="Triton's gRPC port, such as 127.0.0.1:8001")
    parser.add_argument("--concurrency", type=int, default=8, help="requests under way at once (default: 8)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    print(measure(fetch(), arguments.triton, images, arguments.concurrency, arguments.seconds).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
