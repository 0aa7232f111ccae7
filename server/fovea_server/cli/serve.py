"""`fovea serve`: start Triton and the gateway, and keep them running."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import terminal
from fovea_server.cli.packages import state_folder

if TYPE_CHECKING:
    from fovea_server.settings import Settings


# The groups of `fovea serve --help`.
_faces = partial(typer.Option, rich_help_panel="Where it listens")
_models = partial(typer.Option, rich_help_panel="What serves")
_load = partial(typer.Option, rich_help_panel="How much at once")
_access = partial(typer.Option, rich_help_panel="Who may ask")
_log = partial(typer.Option, rich_help_panel="Feature log")
_log_number = partial(_log, callback=terminal.number)
_experiments = partial(typer.Option, rich_help_panel="Experiments")
_life = partial(typer.Option, rich_help_panel="Start, stop and trouble")


def serve(
    host: Annotated[str, _faces(help="Address that REST and gRPC listen on.", envvar="FOVEA_HOST")] = "127.0.0.1",
    rest_port: Annotated[int, _faces(help="REST port.", envvar="FOVEA_REST_PORT", min=1, max=65535)] = 8080,
    grpc_port: Annotated[int, _faces(help="gRPC port.", envvar="FOVEA_GRPC_PORT", min=1, max=65535)] = 8081,
    triton_grpc_port: Annotated[
        int,
        _faces(
            help="Triton's own KServe v2 gRPC port, on loopback.", min=1, max=65535, envvar="FOVEA_TRITON_GRPC_PORT"
        ),
    ] = 8001,
    triton_http_port: Annotated[
        int,
        _faces(
            help="Triton's own KServe v2 HTTP port, on loopback; 0 leaves it closed.",
            min=0,
            max=65535,
            envvar="FOVEA_TRITON_HTTP_PORT",
        ),
    ] = 0,
    triton_metrics_port: Annotated[
        int,
        _faces(help="Triton's own metrics port, on loopback.", min=1, max=65535, envvar="FOVEA_TRITON_METRICS_PORT"),
    ] = 8002,
    device: Annotated[
        str, _models(metavar="auto|cpu|cuda", help="auto is a GPU where there is one.", envvar="FOVEA_DEVICE")
    ] = "auto",
    repository: terminal.Repository = None,
    state: terminal.State = None,
    formats: Annotated[
        str,
        _models(
            metavar="LIST",
            help="Formats to serve besides JPEG, PNG, WebP and BMP: gif,tiff,avif,heic.",
            envvar="FOVEA_FORMATS",
        ),
    ] = "",
    precision: Annotated[
        str,
        _models(
            metavar="auto|int8|bf16|f32",
            help="What networks compute in on a CPU; auto is the fastest that keeps the model's accuracy.",
            envvar="FOVEA_PRECISION",
        ),
    ] = "auto",
    tuned: Annotated[
        str,
        _models(
            metavar="auto|off|FILE",
            help="Settings that `fovea tune` found; auto takes those for this model and CPU where there are any.",
            envvar="FOVEA_TUNED",
        ),
    ] = "auto",
    workers: Annotated[
        int,
        _faces(
            help="Gateway processes that share the ports and the limits; one answers about 1,000 images a second.",
            envvar="FOVEA_WORKERS",
            min=1,
            max=64,
        ),
    ] = 1,
    max_in_flight: Annotated[
        int | None,
        _load(
            help="Images inside Triton at most; how many are best is measured. By default eight batches, at least 64.",
            min=1,
            max=512,
            envvar="FOVEA_MAX_IN_FLIGHT",
        ),
    ] = None,
    max_waiting: Annotated[
        int,
        _load(
            help="Images that may wait; interactive ones are refused sooner (docs/overload.md).",
            min=0,
            envvar="FOVEA_MAX_WAITING",
        ),
    ] = 1024,
    max_connections: Annotated[
        int,
        _faces(
            help="Connections of REST, and of gRPC, in each process.",
            min=1,
            max=1_000_000,
            envvar="FOVEA_MAX_CONNECTIONS",
        ),
    ] = 4096,
    require_keys: Annotated[
        bool,
        _access(
            "--require-keys",
            help="Ask for API keys on loopback too; elsewhere they are always asked for.",
            envvar="FOVEA_REQUIRE_KEYS",
        ),
    ] = False,
    insecure: Annotated[bool, _access("--insecure", help="Ask nobody for a key, wherever the server listens.")] = False,
    tls_certificate: Annotated[
        Path | None,
        _access(
            metavar="PEM", help="TLS on both faces: the certificate, with its chain.", envvar="FOVEA_TLS_CERTIFICATE"
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, _access(metavar="PEM", help="Its private key, without a password.", envvar="FOVEA_TLS_KEY")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        _access(
            metavar="PEM",
            help="Who signs callers' certificates, which are then required.",
            envvar="FOVEA_TLS_CLIENT_CA",
        ),
    ] = None,
    feature_log: Annotated[
        str,
        _log(
            metavar="FOLDER|URL",
            help="Keep a record of each answer there (docs/feature-log.md); nothing is kept without it.",
            envvar="FOVEA_FEATURE_LOG",
        ),
    ] = "",
    log_embeddings: Annotated[
        float,
        _log_number(
            help="Of how many images the log keeps the embedding, 0 to 1.", min=0, max=1, envvar="FOVEA_LOG_EMBEDDINGS"
        ),
    ] = 0.1,
    log_days: Annotated[
        float, _log_number(help="Days that the log keeps its records.", min=0, max=36_500, envvar="FOVEA_LOG_DAYS")
    ] = 90.0,
    log_max_gb: Annotated[
        float,
        _log_number(
            help="Gigabytes of the log; the oldest are deleted.", min=0.001, max=1_000_000, envvar="FOVEA_LOG_MAX_GB"
        ),
    ] = 50.0,
    capture: Annotated[
        float,
        _log_number(help="Of how many images the log keeps the bytes, 0 to 1.", min=0, max=1, envvar="FOVEA_CAPTURE"),
    ] = 0.0,
    capture_days: Annotated[
        float, _log_number(help="Days that it keeps them.", min=0, max=36_500, envvar="FOVEA_CAPTURE_DAYS")
    ] = 7.0,
    capture_except: Annotated[
        str,
        _log(
            metavar="LIST",
            help="Keys, by their public ids, whose images are never kept: a,b.",
            envvar="FOVEA_CAPTURE_EXCEPT",
        ),
    ] = "",
    experiments_store: Annotated[
        str,
        _experiments(
            metavar="URL",
            help="Where experiments are kept (docs/experiments.md); by default a SQLite file in the state folder.",
            envvar="FOVEA_EXPERIMENTS_STORE",
        ),
    ] = "",
    shadow_busy: Annotated[
        float,
        _experiments(
            help="Share of the time that copies for candidates may take, 0 to 1.",
            min=0.001,
            max=1,
            envvar="FOVEA_SHADOW_BUSY",
        ),
    ] = 0.005,
    start_timeout: Annotated[
        float | None,
        _life(help="Seconds Triton may take to get ready: 60, and 180 on a GPU.", min=1, envvar="FOVEA_START_TIMEOUT"),
    ] = None,
    crash_loop_deaths: Annotated[
        int,
        _life(
            help="Deaths of Triton or its models' processes that are a crash loop.",
            min=2,
            envvar="FOVEA_CRASH_LOOP_DEATHS",
        ),
    ] = 10,
    crash_loop_seconds: Annotated[
        float, _life(help="Seconds within which they are.", min=1, envvar="FOVEA_CRASH_LOOP_SECONDS")
    ] = 60.0,
    drain_notice: Annotated[
        float,
        _life(
            help="Seconds between saying `not ready` and closing, after SIGTERM.", min=0, envvar="FOVEA_DRAIN_NOTICE"
        ),
    ] = 2.0,
    log_level: Annotated[
        str,
        _life(
            metavar="debug|info|warning|error",
            help="What is logged, and what is more serious.",
            envvar="FOVEA_LOG_LEVEL",
        ),
    ] = "info",
) -> None:
    """Serve the models of a repository over REST and gRPC, with a tritonserver of its own.

    SIGTERM fails readiness first, keeps answering for the drain notice, finishes what was accepted, then stops
    Triton. Ctrl-C does the same without the notice; a second signal ends it at once.
    """
    terminal.need_serving()
    if log_level.lower() not in ("debug", "info", "warning", "error"):
        terminal.fail(f"--log-level is {log_level!r}", "use debug, info, warning or error", code=2)
    if device not in ("auto", "cpu", "cuda"):
        terminal.fail(f"--device is {device!r}", "use auto, cpu or cuda", code=2)
    if max_in_flight and workers > max_in_flight:
        terminal.fail(
            f"--workers {workers} cannot share --max-in-flight {max_in_flight}", "let each have at least one", code=2
        )
    if (tls_certificate is None) != (tls_key is None) or (tls_client_ca and not tls_certificate):
        terminal.fail("TLS needs a certificate and its key", "give --tls-certificate and --tls-key", code=2)

    from fovea_server import logs
    from fovea_server.access.policy import AccessSettings
    from fovea_server.edge.listen import ConnectionLimits, EdgeSettings
    from fovea_server.edge.tls import TlsSettings
    from fovea_server.feature_log.settings import FeatureLogSettings
    from fovea_server.request.admission import AdmissionSettings
    from fovea_server.request.conversion import ConversionSettings, enabled
    from fovea_server.settings import Settings
    from fovea_server.studies.settings import ExperimentSettings
    from fovea_server.triton.crash_loop import CrashLoopSettings
    from fovea_server.triton.process import TritonSettings
    from fovea_server.triton.repository import default_folder

    logs.configure(log_level)
    _run(
        lambda: Settings(
            repository=(repository or default_folder()).resolve(),
            state=state_folder(state),
            edge=EdgeSettings(
                host,
                rest_port,
                grpc_port,
                tls=TlsSettings(tls_certificate, tls_key, tls_client_ca) if tls_certificate and tls_key else None,
                connections=ConnectionLimits(max_connections),
            ),
            access=AccessSettings(require_keys, insecure),
            triton=TritonSettings(triton_grpc_port, triton_http_port, triton_metrics_port, start_timeout, precision),
            conversion=ConversionSettings(formats=enabled(formats)),
            admission=AdmissionSettings(max_in_flight, max_waiting),
            feature_log=FeatureLogSettings(
                feature_log,
                embeddings=log_embeddings,
                capture=capture,
                never_captured=frozenset(name.strip() for name in capture_except.split(",") if name.strip()),
                days=log_days,
                capture_days=capture_days,
                max_bytes=int(log_max_gb * 1e9),
            ),
            experiments=ExperimentSettings(experiments_store, shadow_busy),
            device=device,
            tuned=tuned,
            workers=workers,
            crash_loop=CrashLoopSettings(crash_loop_deaths, crash_loop_seconds),
            log_level=log_level,
        ),
        drain_notice,
    )


def _run(settings: Callable[[], Settings], drain_notice: float) -> None:
    import uvloop

    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError

    try:
        uvloop.run(_serve(settings(), drain_notice))
    except (StartError, PipelineError) as error:
        terminal.fail(str(error), error.hint)


async def _serve(settings: Settings, drain_notice: float) -> None:
    from fovea_server import app

    loop = asyncio.get_running_loop()
    stop: asyncio.Future[float] = loop.create_future()

    hurry = asyncio.Event()

    def ask_to_stop(notice: float) -> None:
        if stop.done():
            hurry.set()
        else:
            stop.set_result(notice)

    loop.add_signal_handler(signal.SIGTERM, ask_to_stop, drain_notice)
    loop.add_signal_handler(signal.SIGINT, ask_to_stop, 0.0)
    await app.serve(settings, stop, hurry, on_ready=lambda: _say_where(settings))


def _say_where(settings: Settings) -> None:
    from fovea_server.access.policy import asks_for_keys

    edge, triton = settings.edge, settings.triton
    host = _reachable(edge.host)
    rest = f"{'https' if edge.tls else 'http'}://{host}:{edge.rest_port}"
    typer.echo(f"Fovea is ready. REST {rest}   gRPC {host}:{edge.grpc_port}   Triton (KServe v2) {triton.grpc_address}")
    key = ' -H "Authorization: Bearer $FOVEA_API_KEY"' if asks_for_keys(settings.access, edge.host) else ""
    typer.echo(f"    curl{key} --data-binary @{_example(settings)} {rest}/v1/classify")
    typer.echo(f"    {rest}/docs   {rest}/live")


def _reachable(host: str) -> str:
    """What a client on this machine writes for an address that is listened on."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - who listens everywhere, listens here
    return f"[{loopback}]" if ":" in loopback else loopback


def _example(settings: Settings) -> str:
    """A picture that is certainly there, as short a path as possible."""
    picture = next(iter(sorted(settings.repository.glob("*/*.jpg"))), Path("cat.jpg"))
    try:
        return str(picture.relative_to(Path.cwd()))
    except ValueError:
        return str(picture)
