"""Whether the instances of models fight for the same cores."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from fovea_pipelines import cpu
from fovea_server.doctor import sources
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository

# By backend: the parameters that say how many threads one instance takes; without them it takes every core.
_THREADS = {
    "onnxruntime": ("intra_op_thread_count",),
    "openvino": ("INFERENCE_NUM_THREADS", "CPU_THREADS_NUM"),
    "pytorch": ("INTRA_OP_THREAD_COUNT",),
    "tensorflow": ("TF_NUM_INTRA_THREADS",),
}
_POOLS = frozenset(("torch", "onnxruntime", "openvino", "tensorflow"))  # that take every core unless they are told
# What decodes and resamples pictures, on a thread at least, and by which calls. Boxes are sorted and drawn with the
# same libraries, so importing one says nothing yet.
_IMAGING = frozenset(("cv2", "PIL", "torchvision", "skimage", "imageio", "simplejpeg", "pyvips"))
_DECODING = frozenset(("imdecode", "imread", "Image.open", "PIL.Image.open", "decode_jpeg", "decode_image"))
_RESAMPLING = frozenset(("resize", "Resize", "thumbnail", "warpAffine", "warpPerspective", "remap"))
_MOST_TOGETHER = 3  # threads a core over all models: two for the two stages of an ensemble, and one to spare
_TWO_BY_DEFAULT = ("onnxruntime", "tensorflow")  # instances on a CPU (Triton core, SetDefaultInstanceCount)


def examine(repository: Repository, cores: int, has_gpu: bool) -> Iterator[Finding]:
    wanted: dict[str, int] = {}
    apart = _only_for_several(repository)
    for model in repository.models.values():
        instances, said = _instances_on_cpu(model, has_gpu), _threads(model, cores, has_gpu)
        threads = said or _seen_at_work(model)
        if not threads or model.is_ensemble or not instances or model.name in apart:
            continue
        wanted[model.name] = instances * threads
        if wanted[model.name] > cores and model.parameter("threads") != "0":  # shared, by at least one thread each
            yield _crowded(model, instances, threads, cores, at_least=said is None)
    if sum(wanted.values()) > _MOST_TOGETHER * cores and max(wanted.values()) <= cores:
        yield _crowded_together(repository, wanted, cores)


def _only_for_several(repository: Repository) -> frozenset[str]:
    """Networks of ours that run apart only where several models are asked over one decoding."""
    return frozenset(filter(None, (model.parameter("network") for model in repository.models.values())))


def _crowded(model: Model, instances: int, threads: int, cores: int, *, at_least: bool) -> Finding:
    wanted = instances * threads
    each = f"{'at least ' if at_least else ''}{_count(threads, 'thread')}"
    return Finding(
        # Where only calls are seen, instances may spend their time waiting, for a download of the picture say.
        "error" if wanted > 2 * cores and instances > 1 and not at_least else "warning",
        "crowded-cores",
        model.name,
        model.place,
        f"{_count(instances, 'instance')} of {each} on {_count(cores, 'core')}",
        f"{wanted} threads take turns on {_count(cores, 'core')}; measured on two, one instance with a thread a core "
        "answers as many images/s as two, with a p99 of 118 to 129 ms instead of 118 to 281 at 32 callers.",
        _remedy(model, instances, cores),
        model.line(r"instance_group") or model.line(r"max_batch_size"),
    )


def _crowded_together(repository: Repository, wanted: dict[str, int], cores: int) -> Finding:
    told = ", ".join(f"{name} {threads}" for name, threads in wanted.items())
    return Finding(
        "note",
        "crowded-cores",
        ", ".join(wanted),
        repository.models[next(iter(wanted))].place,
        f"all models together want {sum(wanted.values())} threads on {_count(cores, 'core')}",
        f"Where they are asked at once they take turns ({told}); two stages of one ensemble do that without harm.",
        ("load only the models that are asked, or give each fewer threads",),
    )


def _instances_on_cpu(model: Model, has_gpu: bool) -> int:
    """How many instances run on the CPU; where nothing is said, Triton's own choice."""
    groups = list(model.config.instance_group)
    if not groups:
        return 0 if has_gpu else _default(model)
    on_cpu = [
        group
        for group in groups
        if group.kind == ModelInstanceGroup.KIND_CPU or (group.kind == ModelInstanceGroup.KIND_AUTO and not has_gpu)
    ]
    return sum(group.count or _default(model) for group in on_cpu)


def _default(model: Model) -> int:
    return 2 if model.backend in _TWO_BY_DEFAULT else 1


def _threads(model: Model, cores: int, has_gpu: bool) -> int | None:
    """Threads that one instance computes with; None where nobody can tell."""
    if model.backend in _THREADS:
        return _number(model.parameter(*_THREADS[model.backend])) or cores
    if model.backend == "dali":
        return _number(model.parameter("num_threads")) or 1
    if (said := _number(model.parameter("threads"))) is not None:
        return said or cpu.share(cores, _instances_on_cpu(model, has_gpu))
    if model.backend == "python" and _POOLS & _imported(model):
        return cores
    return None


def _seen_at_work(model: Model) -> int:
    """1 thread of a Python model that decodes or resamples pictures by itself, else 0."""
    if model.backend != "python" or not _IMAGING & _imported(model):
        return 0
    calls = (node for tree in sources.trees(model) for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = (frozenset((sources.dotted(call.func), sources.last_name(call.func))) for call in calls)
    return int(any(names & (_DECODING | _RESAMPLING) for names in named))


def _imported(model: Model) -> frozenset[str]:
    return frozenset(name for tree in sources.trees(model) for name in _top_level_imports(tree))


def _top_level_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None


def _remedy(model: Model, instances: int, cores: int) -> tuple[str, ...]:
    each = max(1, cores // instances)
    if model.backend in _THREADS:
        name = _THREADS[model.backend][0]
        return (
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            f'parameters {{ key: "{name}" value {{ string_value: "{cores}" }} }}',
        )
    if model.backend == "dali":
        return (f'parameters {{ key: "num_threads" value {{ string_value: "{each}" }} }}',)
    if model.parameter("threads") is not None:
        return (f'parameters {{ key: "threads" value {{ string_value: "{each}" }} }}',)
    if not _POOLS & _imported(model):
        return (f"instance_group [ {{ kind: KIND_CPU count: {cores} }} ]",)
    return ("instance_group [ { kind: KIND_CPU count: 1 } ]", f"# or start tritonserver with OMP_NUM_THREADS={each}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
