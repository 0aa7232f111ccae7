"""Settings that `fovea tune` found for a model on one kind of machine: read, chosen, and the folder that serves them.

They change only `configs/cpu.pbtxt`, and only in a folder of links that lives as long as the server: neither the
checkout nor an operator's repository is written to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from fovea_pipelines import cpu, toml
from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError
from fovea_server.logs import get_logger

AUTO, OFF = "auto", "off"
FOLDER = "tuned"  # in the state folder
_CONFIG = "cpu.pbtxt"
_REMEDY = "make it with `fovea tune`, or serve without it: --tuned off"
_log = get_logger("tuned")


@dataclass(frozen=True)
class Machine:
    """What settings depend on: the CPU, as it describes itself, and how many cores may be used."""

    cpu: str
    cores: int

    @classmethod
    def here(cls) -> Machine:
        return cls(_cpu_name(), cpu.available())

    def __str__(self) -> str:
        return f"{self.cores} cores of {self.cpu}"


@dataclass(frozen=True)
class Setting:
    """How Triton runs a model on the CPU.

    threads     of each instance
    batch       images at most in one execution
    delay       microseconds that a batch may wait for more images
    precision   that the network computes in
    """

    instances: int
    threads: int
    batch: int
    delay: int
    precision: str

    def __post_init__(self) -> None:
        """Raises ValueError for what Triton could not be told."""
        for name, least in (("instances", 1), ("threads", 0), ("batch", 1), ("delay", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} is {value!r}; it must be a whole number from {least}")
        _text("precision", self.precision)

    def __str__(self) -> str:
        return f"{self.instances}x{self.threads} {self.precision} batch {self.batch} delay {self.delay}"

    def changes(self, other: Setting) -> str:
        """In words, what the other has that this one has not."""
        mine = vars(self)
        return ", ".join(f"{name} {value}" for name, value in vars(other).items() if value != mine[name]) or "nothing"


@dataclass(frozen=True)
class Tuned:
    """A file of settings, by the name of Triton's model; none where nothing was better than the default."""

    path: Path
    model: str
    digest: str
    machine: Machine
    goal: str
    settings: Mapping[str, Setting]

    @classmethod
    def read(cls, path: Path) -> Tuned:
        """Raises StartError where it cannot be read."""
        try:
            table = toml.loads(path.read_text(encoding="utf-8"))
            settings = {name: Setting(**setting) for name, setting in table.get("settings", {}).items()}
            machine = Machine(**table["machine"])
            model, digest, goal = (_text(name, table[name]) for name in ("model", "digest", "goal"))
            if "stages" in table:
                raise ValueError("it has [stages], of a version that ran decoding and network apart")
            return cls(path, model, digest, machine, goal, settings)
        except OSError as error:
            raise StartError(f"the tuned settings {path} cannot be read: {error.strerror}", _REMEDY) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise StartError(f"{path} holds no tuned settings: {error}", _REMEDY) from error

    def why_not(self, packages: Sequence[ModelPackage], here: Machine) -> str | None:
        """Why they are not for these models on this machine; None where they are."""
        mine = [package for package in packages if (package.name, package.digest) == (self.model, self.digest)]
        if not mine:
            return f"they are for another {self.model} (digest {self.digest[7:15]}…)"
        if not any(package.is_in_one_on_a_cpu for package in mine):
            return f"{mine[0].ensemble} has no configs/{_CONFIG}; its repository is of a version before them"
        if self.machine != here:
            return f"they were measured on {self.machine}, and this is {here}"
        return None


def file_of(state: Path, package: ModelPackage) -> Path:
    """Where a model's settings are kept; another digest is another model."""
    return state / FOLDER / f"{package.name}-{package.digest[7:19]}.toml"


def chosen(wish: str, state: Path, packages: Sequence[ModelPackage]) -> dict[str, Setting]:
    """The settings to serve these models with, by the name of Triton's model.

    "auto": those in the state folder that are for this machine; "off": none; else the file of that name, whatever
    machine it was measured on. Raises StartError where that file is not there, or is of another model.
    """
    if wish == OFF:
        return {}
    here = Machine.here()
    if wish != AUTO:
        named = Tuned.read(Path(wish))
        if reason := named.why_not(packages, named.machine):
            raise StartError(f"the settings in {wish} cannot be used: {reason}", _REMEDY)
        return _merged([named])
    files = [path for package in packages if (path := file_of(state, package)).is_file()]
    return _merged([tuned for path in files if (tuned := _usable(path, packages, here))])


def _usable(path: Path, packages: Sequence[ModelPackage], here: Machine) -> Tuned | None:
    """None, and a warning, where the file is not for this server: nobody asked for it by name."""
    try:
        tuned = Tuned.read(path)
        reason = tuned.why_not(packages, here)
    except StartError as error:
        reason = str(error)
    if reason:
        _log.warning("tuned settings not used", file=str(path), reason=reason)
    return None if reason else tuned


def _merged(files: Sequence[Tuned]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for tuned in files:
        _log.info("tuned settings", model=tuned.model, goal=tuned.goal, file=str(tuned.path))
        settings.update(tuned.settings)
    return settings


def largest_batch(settings: Mapping[str, Setting]) -> int | None:
    """Images that a model takes at once; None where nothing was tuned."""
    return max((setting.batch for setting in settings.values()), default=None)


def link(repository: Path, settings: Mapping[str, Setting], target: Path) -> Path:
    """Make `target` a model repository of links to another, but for the configurations of these models; `target`.

    A network of theirs, which `analyze` runs apart, computes in the same precision. Raises StartError where one of them
    has no configuration for a CPU.
    """
    texts: dict[str, str] = {}
    for name, setting in settings.items():
        if not (repository / name / "configs" / _CONFIG).is_file():
            raise StartError(f"the tuned settings name {name}, which is no model in {repository}", _REMEDY)
        config = _read(repository, name)
        network = _read(repository, config.parameters["network"].string_value)
        network.parameters["precision"].string_value = setting.precision
        texts |= {name: configured(str(config), setting), network.name: str(text_format.MessageToString(network))}
    for each in repository.iterdir():
        if each.name in texts:
            _link_all(each, target / each.name, but="configs")
            _link_all(each / "configs", target / each.name / "configs", but=_CONFIG)
            (target / each.name / "configs" / _CONFIG).write_text(texts[each.name], encoding="utf-8")
        else:
            (target / each.name).symlink_to(each)
    return target


def _read(repository: Path, model: str) -> Any:
    return text_format.Parse((repository / model / "configs" / _CONFIG).read_text(encoding="utf-8"), ModelConfig())


def configured(text: str, setting: Setting) -> str:
    """Triton's configuration of a model, run as the setting says."""
    config = text_format.Parse(text, ModelConfig())
    config.max_batch_size = setting.batch
    del config.instance_group[:]
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=setting.instances)
    config.dynamic_batching.max_queue_delay_microseconds = setting.delay
    config.parameters["threads"].string_value = str(setting.threads)
    config.parameters["precision"].string_value = setting.precision
    return str(text_format.MessageToString(config))


def as_configured(text: str, cores: int, precision: str) -> Setting:
    """The setting that a configuration describes on so many cores; `precision` is what its network computes in."""
    config: Any = text_format.Parse(text, ModelConfig())
    threads = config.parameters["threads"].string_value if "threads" in config.parameters else "0"
    instances = sum(group.count for group in config.instance_group) or 1
    return Setting(
        instances=instances,
        threads=int(threads) or cpu.share(cores, instances),
        batch=config.max_batch_size,
        delay=config.dynamic_batching.max_queue_delay_microseconds,
        precision=precision,
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; it must be text")
    return value


def _link_all(folder: Path, target: Path, but: str) -> None:
    target.mkdir()
    for each in folder.iterdir():
        if each.name != but:
            (target / each.name).symlink_to(each)


def _cpu_name() -> str:
    """With family and model, by which CPUs differ that a virtual machine calls by one name."""
    told = cpu.described()
    if "model name" not in told:
        return cpu.name()
    return f"{cpu.name()} (family {told.get('cpu family', '?')}, model {told.get('model', '?')})"
