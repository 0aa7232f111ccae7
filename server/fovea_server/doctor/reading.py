"""Read a Triton model repository as Triton would: each folder's configuration, and what in it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from fovea_server.doctor.finding import Finding

_UNKNOWN = re.compile(r'Message type "inference\.(\w+)" has no field named "(\w+)"')


@dataclass(frozen=True)
class Model:
    """One folder of a repository. `file` is the configuration that is read of it, whose content is `text`."""

    folder: Path
    file: Path
    text: str
    config: ModelConfig

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def place(self) -> str:
        """The configuration's file, seen from the repository."""
        return str(self.file.relative_to(self.folder.parent))

    @property
    def is_ensemble(self) -> bool:
        return self.config.platform == "ensemble" or bool(self.config.HasField("ensemble_scheduling"))

    @property
    def backend(self) -> str:
        """The backend's name; older configurations give a platform such as "onnxruntime_onnx" instead, and where
        neither is said Triton goes by the files."""
        if self.config.backend or self.config.platform:
            return str(self.config.backend or _OF_PLATFORM.get(self.config.platform, ""))
        return next((backend for file, backend in _OF_FILE.items() if self._has(file)), "")

    @property
    def versions(self) -> list[Path]:
        """The version folders, oldest first."""
        return sorted((each for each in self.folder.iterdir() if _is_version(each)), key=lambda each: int(each.name))

    @property
    def served(self) -> list[Path]:
        """The version folders that `version_policy` takes: the newest alone where nothing is said."""
        policy = self.config.version_policy
        if policy.HasField("all"):
            return self.versions
        if policy.HasField("specific"):
            return [each for each in self.versions if int(each.name) in policy.specific.versions]
        return self.versions[-max(1, policy.latest.num_versions) :]

    @property
    def sources(self) -> list[Path]:
        """The Python files of the versions that are loaded."""
        return [source for version in self.served for source in sorted(version.glob("*.py"))]

    def line(self, pattern: str) -> int | None:
        """The first line of the configuration that the regular expression is found in."""
        return line_of(self.text, pattern)

    def parameter(self, *names: str) -> str | None:
        """The first of these parameters that is set."""
        return next(
            (self.config.parameters[name].string_value for name in names if name in self.config.parameters), None
        )

    def _has(self, file: str) -> bool:
        return any((version / file).exists() for version in self.versions)


_OF_PLATFORM = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
}
_OF_FILE = {
    "model.savedmodel": "tensorflow",
    "model.graphdef": "tensorflow",
    "model.plan": "tensorrt",
    "model.onnx": "onnxruntime",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.py": "python",
    "model.dali": "dali",
}


@dataclass(frozen=True)
class Repository:
    """What was read of one repository or of several; `findings` are about what could not be read, `unconfigured` are
    the names of models without a configuration, of which only their files can tell."""

    folders: tuple[Path, ...]
    models: dict[str, Model] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unconfigured: frozenset[str] = frozenset()

    @property
    def has_gateway(self) -> bool:
        """Whether these are models that `fovea serve` bounds and checks requests for."""
        return any((model.folder / "model.toml").is_file() for model in self.models.values())


def read(folders: Sequence[Path], config_name: str | None) -> Repository:
    """Every model of the folders, with `configs/<config_name>.pbtxt` for those that have it (Triton's
    --model-config-name). A folder of no model is passed over."""
    models: dict[str, Model] = {}
    findings: list[Finding] = []
    unconfigured: set[str] = set()
    for folder in (each for repository in folders for each in sorted(repository.iterdir())):
        if not folder.is_dir() or folder.name.startswith((".", "__")):
            continue
        file = _configuration(folder, config_name)
        if file is not None:
            text = file.read_text(encoding="utf-8", errors="replace")
            model = Model(folder, file, text, ModelConfig())
            findings += _parse(model)
            models[folder.name] = model
        elif any(map(_is_version, folder.iterdir())):
            findings.append(_without_configuration(folder))
            unconfigured.add(folder.name)
    return Repository(tuple(folders), models, tuple(findings), frozenset(unconfigured))


def type_name(kind: int) -> str:
    """A data type as configurations write it: by its name, or a number that has none."""
    return DataType.Name(kind) if kind in DataType.values() else str(kind)


def line_of(text: str, pattern: str) -> int | None:
    found = re.search(pattern, text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _configuration(folder: Path, config_name: str | None) -> Path | None:
    files = [folder / "configs" / f"{config_name}.pbtxt"] if config_name else []
    return next((file for file in [*files, folder / "config.pbtxt"] if file.is_file()), None)


def _is_version(folder: Path) -> bool:
    name = folder.name
    return name.isascii() and name.isdigit() and not name.startswith("0") and folder.is_dir()


def _parse(model: Model) -> Iterator[Finding]:
    """Fill the model's configuration; what Triton would refuse is found, and read over where that is possible."""
    text = model.text
    while True:
        try:
            model.config.Clear()
            text_format.Parse(text, model.config)
            break
        except text_format.ParseError as error:
            unknown = _UNKNOWN.search(str(error))
            if unknown is None:
                yield _unreadable(model, error)
                return
            yield _unknown_field(model, unknown, error.GetLine())
            text = _without_field(text, error.GetLine() or 1, error.GetColumn() or 1)
    if model.config.name and model.config.name != model.name:
        yield Finding(
            "error",
            "wrong-name",
            model.name,
            model.place,
            f'it calls itself "{model.config.name}"',
            "Triton loads a model only if its name is that of its folder.",
            (f'name: "{model.name}"',),
            model.line(r"(?m)^\s*name\s*:"),
        )


def _unreadable(model: Model, error: text_format.ParseError) -> Finding:
    said = re.sub(r"^\d+:\d+ : ", "", str(error))
    return Finding(
        "error",
        "unreadable",
        model.name,
        model.place,
        "it cannot be read",
        f"Triton will not load the model: {said}",
        ("write it as protobuf text of the message inference.ModelConfig",),
        error.GetLine(),
    )


def _unknown_field(model: Model, unknown: re.Match[str], line: int | None) -> Finding:
    message, name = unknown.groups()
    return Finding(
        "error",
        "unknown-field",
        model.name,
        model.place,
        f"there is no field {name} in {message}",
        "Triton will not load the model: it refuses a configuration with a field that it does not know.",
        (f"take {name} out, or correct it",),
        line,
    )


def _without_field(text: str, line: int, column: int) -> str:
    """The text with the field that begins there (line and column count from 1) blanked out, lines kept."""
    # As protobuf counts lines: a form feed or U+2028 ends none.
    begin = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
    end = _end_of_field(text, begin)
    return text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]


_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{}\[\]<>:]|[^\s{}\[\]<>:"'#]+""")


def _end_of_field(text: str, begin: int) -> int:
    """Where `name: value`, `name { ... }` or `name: [ ... ]` ends."""
    tokens = (token for token in _TOKEN.finditer(text, begin) if token.group()[0] not in "#:")
    next(tokens)  # its name
    depth = 0
    for token in tokens:
        depth += (token.group() in "{[<") - (token.group() in "}]>")
        if depth == 0:
            return token.end()
    return len(text)


def _without_configuration(folder: Path) -> Finding:
    return Finding(
        "warning",
        "no-configuration",
        folder.name,
        folder.name,
        "it has no config.pbtxt",
        "Triton completes one from the model's files where its backend can (tensors, a batch size, dynamic batching "
        "where the model takes batches), unless it was started with --disable-auto-complete-config, and with as many "
        "instances as the backend likes; nothing of it could be examined.",
        (f"write {folder.name}/config.pbtxt; a running Triton shows its own: GET /v2/models/{folder.name}/config",),
    )
