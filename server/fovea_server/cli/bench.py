"""`fovea bench`: how fast a running server answers, in a closed or an open loop."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from fovea_client import credentials
from fovea_client.load import BenchmarkError, Load, NoPhotographs, Photograph, photographs, tls
from fovea_server.cli import bench_lines, terminal
from fovea_server.cli.bench_lines import Line, Plan, Session, ways

_CLOSED = (1, 8, 32)
_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")
_Number = TypeVar("_Number", int, float)


def bench(
    url: terminal.Url = "http://127.0.0.1:8080",
    grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Measure its gRPC port too, with TLS if --url has it.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Photographs to send in turn; the default model's golden image if not given."
        ),
    ] = None,
    connections: Annotated[
        str | None,
        typer.Option(
            "--connections",
            "-c",
            metavar="N,...",
            help="Closed loops: so many callers, each asking again once it has its answer (1,8,32).",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            "-r",
            metavar="N,...",
            help="Open loops: so many requests a second, whatever the answers do; latency from when each was due.",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", "-s", min=0.1, max=86_400, callback=terminal.number, help="Of load for each line."),
    ] = 10.0,
    warm_up: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, callback=terminal.number, help="Seconds of load before the first line of a port."
        ),
    ] = 1.0,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Sent with each request; repeatable."),
    ] = None,
    api_key: terminal.ApiKey = None,
    ca_file: terminal.CaFile = None,
    client_certificate: terminal.ClientCertificate = None,
    json_document: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Measure a running server: images a second, latencies, and errors by reason.

    Ctrl-C ends the line under way and shows what there is. Exits with 0 if every line has answers, 1 if the server
    is not there or answers no image, or the photographs cannot be read, 2 if an option makes no sense, 130 after
    Ctrl-C.
    """
    rates = _numbers("--rate", rate, float)
    counts = _numbers("--connections", connections, int) or (() if rates else _CLOSED)
    lines = tuple(Line(each, way) for each in _urls(url, grpc) for way in ways(counts, rates))
    try:
        sent = photographs.read(images or _golden_image())
    except BenchmarkError as error:
        terminal.fail(str(error), error.hint)
    headers = {**_key(api_key), **_headers(header or [])}
    session = bench_lines.run(Plan(lines, sent, seconds, warm_up, headers, _tls(ca_file, client_certificate)))
    if json_document:
        typer.echo(json.dumps(_document(session, sent, str(images) if images else "the golden image alone", seconds)))
    elif session.measured:
        _show(session)
    if session.ended_by is not None:
        terminal.fail(str(session.ended_by), session.ended_by.hint)
    if session.interrupted:
        terminal.fail("interrupted; what was measured until then is shown", code=130)


def _urls(url: str, grpc: str | None) -> list[str]:
    if not url.startswith(_SCHEMES):
        hint = "use http://HOST:PORT, https://HOST, grpc://HOST:PORT or grpcs://HOST:PORT"
        terminal.fail(f"--url is {url!r}, which is not an address", hint, code=2)
    if grpc and not grpc.startswith(("grpc://", "grpcs://")):
        grpc = f"{'grpcs' if url.startswith(('https', 'grpcs')) else 'grpc'}://{grpc}"
    return [url, grpc] if grpc else [url]


def _tls(ca_file: str | None, client_certificate: tuple[str, str] | None) -> Callable[[], ssl.SSLContext]:
    make = functools.partial(tls.context, ca_file, client_certificate)
    try:
        make()
    except OSError as error:
        terminal.fail_for_certificates(error)
    return make


def _numbers(option: str, text: str | None, kind: Callable[[str], _Number]) -> tuple[_Number, ...]:
    try:
        found = tuple(kind(each) for each in text.split(",")) if text else ()
    except ValueError:
        terminal.fail(f"{option} is {text!r}", "give numbers, separated by commas", code=2)
    if any(not 0 < number < 1e6 for number in found):
        terminal.fail(f"{option} is {text!r}", "give numbers above 0 and below 1,000,000", code=2)
    return found


def _key(api_key: str | None) -> dict[str, str]:
    try:
        return credentials.authorization(api_key)
    except ValueError as error:
        terminal.fail(str(error), code=2)


def _headers(lines: Iterable[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or "\n" in line or "\r" in line:
            terminal.fail(f"--header is {line!r}", "give it as 'Name: value'", code=2)
        headers[name.strip()] = value.strip()
    return headers


def _golden_image() -> Path:
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import default_folder, packages

    try:
        return packages(default_folder())[0].golden.image
    except (PipelineError, StartError) as error:
        raise NoPhotographs(f"there is no golden image: {error}", "name photographs with --images") from error


def _document(session: Session, sent: Sequence[Photograph], source: str, seconds: float) -> dict[str, Any]:
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "photographs": {
            "source": source,
            "count": len(sent),
            "mean_kilobytes": round(photographs.mean_kilobytes(sent)),
        },
        "seconds": seconds,
        "complete": session.ended_by is None and not session.interrupted,
        "lines": [{"protocol": line.protocol, "url": line.url, **asdict(load)} for line, load in session.measured],
    }


def _show(session: Session) -> None:
    numbers = ("images/s", "p50 ms", "p95 ms", "p99 ms", "errors")
    table = terminal.table("protocol", "load", *numbers, numbers=numbers)
    for line, load in session.measured:
        table.add_row(line.protocol, line.words, *_cells(load))
    console = terminal.stdout()
    console.print(table)
    for line, load in session.measured:
        for reason, count in load.errors.items():
            console.print(terminal.cell(f"{line.protocol}, {line.words}: {count} x {reason}"))


def _cells(load: Load) -> Iterable[str]:
    yield f"{load.images_per_second:.1f}"
    for value in (load.p50_ms, load.p95_ms, load.p99_ms):
        yield "-" if value is None else f"{value:.1f}"
    yield str(sum(load.errors.values()))
