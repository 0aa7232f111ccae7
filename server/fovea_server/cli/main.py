"""The command `fovea`, of which each subcommand, or group of them, is a file here."""

from __future__ import annotations

from typing import Annotated

import typer

from fovea_client.version import __version__
from fovea_server.cli import (
    ab,
    bench,
    classify,
    doctor,
    drift,
    fairness,
    features,
    keys,
    log,
    models,
    quarantine,
    serve,
    skew,
    tune,
)

app = typer.Typer(
    name="fovea",
    help="Image inference on NVIDIA Triton: send the bytes of a picture, get labels and embeddings back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def callback(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is, and exit.", is_eager=True)
    ] = False,
) -> None:
    """Image inference on NVIDIA Triton: send the bytes of a picture, get labels and embeddings back."""
    if version:
        typer.echo(f"fovea {__version__}")
        raise typer.Exit


app.command()(serve.serve)
app.command()(classify.classify)
app.command()(bench.bench)
app.command()(skew.skew)
app.command()(drift.drift)
app.command()(fairness.fairness)
app.command()(doctor.doctor)
app.command()(tune.tune)
app.add_typer(models.app)
app.add_typer(keys.app)
app.add_typer(quarantine.app)
app.add_typer(log.app)
app.add_typer(features.app)
app.add_typer(ab.app)


@app.command()
def version(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also the versions of what it stands on.")] = False,
) -> None:
    """Say which version this is."""
    typer.echo(f"fovea {__version__}")
    if verbose:
        for line in _foundations():
            typer.echo(line)


def _foundations() -> list[str]:
    names = ("nvidia-pytriton", "nvidia-dali-cuda130", "openvino", "onnx", "numpy", "tritonclient", "grpcio", "fastapi")
    return [f"{name} {_installed(name)}" for name in names]


def _installed(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
