"""`fovea doctor`: what will hurt in a Triton repository, and whether its requests really merge."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fovea_server.cli import packages, running, terminal

if TYPE_CHECKING:
    from fovea_server.doctor.finding import Finding, Severity
    from fovea_server.doctor.proof import Proof

_COLOURS: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "dim"}


def doctor(
    repository: Annotated[
        Path | None,
        typer.Argument(help="A Triton model repository; by default the one that is served here.", show_default=False),
    ] = None,
    triton: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="A running tritonserver, by its gRPC port; by default that of a running Fovea."
        ),
    ] = None,
    prove: Annotated[bool, typer.Option("--prove", help="Send real load, and count how requests merge.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="With --prove: what is asked.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", exists=True, file_okay=False, help="With --prove: photographs to send; else one."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="With --prove: how long.", min=0.5, max=120)] = 4.0,
    callers: Annotated[int, typer.Option(help="With --prove: requests at once.", min=2, max=256)] = 16,
    config_name: Annotated[
        str | None,
        typer.Option(
            "--model-config-name", help="Read configs/NAME.pbtxt where there is one; by default what serves here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
    state: terminal.State = None,
) -> None:
    """Read a Triton model repository, ours or anybody's, and say what will hurt, why, and what to write instead.

    Exits with 1 if anything was found that is an error, with 0 if not, with 2 if there was nothing to examine.
    """
    terminal.need_serving()
    from fovea_server.doctor import examination

    folders = _folders(repository, state)
    gpu = examination.gpu_here()
    found, findings = examination.examine(
        folders, config_name or _config_name(gpu is not None), threads=examination.cores_here(), gpu=gpu
    )
    if not found.models and not findings:
        terminal.fail(f"{folders[0]} holds no Triton model (a folder with a config.pbtxt)", "name another", code=2)
    address = triton or running.triton_of_any(packages.state_folder(state))
    tuned = [] if repository else _tuned(state)
    proof = _proof(address, prove, model, images, seconds, callers)
    findings = [*findings, *(proof.findings if proof else ())]
    if as_json:
        _print_json(folders, len(found.models), findings, proof, tuned)
    else:
        _print(folders, len(found.models), findings, proof, tuned)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _folders(repository: Path | None, state: Path | None) -> list[Path]:
    """The repository that was named, or the default one and the models that were added to it."""
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import ADDED, default_folder

    if repository is not None:
        if not repository.is_dir():
            terminal.fail(f"{repository} is not a folder", "name the folder that tritonserver is given", code=2)
        return [repository]
    try:
        added = packages.state_folder(state) / ADDED
        return [default_folder(), *([added] if added.is_dir() else [])]
    except StartError as error:
        terminal.fail(str(error), "name one: fovea doctor FOLDER", code=2)


def _config_name(has_gpu: bool) -> str | None:
    """Which of a model's configurations `fovea serve` would take here."""
    from fovea_server.triton.installation import is_container

    if not has_gpu:
        return "cpu"
    return None if is_container() else "cuda"


def _proof(
    address: str | None, prove: bool, model: str | None, images: Path | None, seconds: float, callers: int
) -> Proof | None:
    from fovea_server.doctor import proof
    from fovea_server.errors import StartError

    if address is None:
        if prove:
            terminal.fail("there is no running Triton to prove it on", "start `fovea serve`, or name it: --triton", 2)
        return None
    try:
        if not prove:
            return asyncio.run(proof.observe(address))
        return asyncio.run(proof.prove(address, model, _pictures(images), callers, seconds))
    except StartError as error:
        terminal.fail(str(error), error.hint, code=2)


def _pictures(folder: Path | None) -> list[bytes]:
    """The photographs of the folder, or a golden image."""
    from fovea_client import images
    from fovea_server.triton.repository import default_folder

    if folder is None:
        return [packages.read(default_folder(), None)[0].golden.image.read_bytes()]
    found = images.find(str(folder), images.ALWAYS_SERVED)
    if not found:
        terminal.fail(
            f"no photographs in {folder} ({', '.join(sorted(images.ALWAYS_SERVED))})",
            "name another with --images",
            code=2,
        )
    return [images.read(path) for path in found[:512]]


def _tuned(state: Path | None) -> list[str]:
    """What `fovea serve` makes of the settings that `fovea tune` left for the models here."""
    from fovea_server.errors import StartError
    from fovea_server.triton.tuned import Machine, Tuned, file_of

    found, told = packages.read(None, state), []
    for package in found:
        if (path := file_of(packages.state_folder(state), package)).is_file():
            try:
                tuned = Tuned.read(path)
                why_not = tuned.why_not(found, Machine.here())
                use = f"not used: {why_not}" if why_not else "used by `fovea serve`"
                told.append(f"{package.name} was tuned for {tuned.goal} ({path}), {use}")
            except StartError as error:
                told.append(str(error))
    return told


def _print_json(
    folders: Sequence[Path], models: int, findings: Sequence[Finding], proof: Proof | None, tuned: Sequence[str]
) -> None:
    document = {
        "repository": [str(folder) for folder in folders],
        "models": models,
        "findings": [finding.to_mapping() for finding in findings],
        "triton": proof.to_mapping() if proof else None,
        "tuned": list(tuned),
    }
    typer.echo(json.dumps(document, indent=1))


def _print(
    folders: Sequence[Path], models: int, findings: Sequence[Finding], proof: Proof | None, tuned: Sequence[str]
) -> None:
    console = Console(highlight=False)
    for finding in findings:
        _print_finding(console, finding)
    if proof:
        _print_proof(console, proof)
    for line in tuned:
        console.print(terminal.cell(line), soft_wrap=True)
    counted = Counter(finding.severity for finding in findings)
    told = ", ".join(_count(counted[severity], severity) for severity in _COLOURS if counted[severity])
    where = " and ".join(str(folder) for folder in folders)
    examined = f"{_count(models, 'Triton model')} in {where}"
    console.print(terminal.cell(f"{examined}: {told or 'no problem found'}", "bold"), soft_wrap=True)


def _print_finding(console: Console, finding: Finding) -> None:
    severity = Text(f"{finding.severity:8}", _COLOURS[finding.severity])
    head = Text.assemble(severity, terminal.cell(finding.where, "bold"), "  ", terminal.cell(finding.what))
    console.print(head, soft_wrap=True)
    console.print(Padding(terminal.cell(finding.why), (0, 0, 0, 8)))
    for line in finding.do:
        console.print(terminal.cell(f"          {line}", "cyan"), soft_wrap=True)
    console.print()


def _print_proof(console: Console, proof: Proof) -> None:
    sent = proof.sent
    told = (
        f": {sent.answered:,} images to {sent.model} in {sent.seconds:.1f} s"
        if sent
        else ", since its models were loaded"
    )
    console.print(terminal.cell(f"Triton {proof.version} on {proof.address}{told}", "bold"))
    if sent and sent.failed:
        failed = ", ".join(f"{what} ({count})" for what, count in sent.failed.items())
        console.print(terminal.cell(f"  failed: {failed}", "red"))
    for verdict in proof.verdicts:
        console.print(terminal.cell(f"  {verdict.model}: {verdict}", "red" if verdict.because else ""), soft_wrap=True)
        console.print(terminal.cell(f"    batches formed: {verdict.sizes}", "dim"), soft_wrap=True)
    if not proof.verdicts:
        console.print(Text("  no model has answered anything yet; --prove sends something", "dim"))
    console.print()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
