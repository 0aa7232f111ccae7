"""The folders of a Triton repository, as text: preprocessing, network and ensemble, for every kind of machine.

What the repository of the checkout holds is what these functions give for the default model; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fovea_pipelines.package import CPU_CONFIG, ModelPackage

ANALYZE = "analyze"

Files = Mapping[str, str]


def network_name(model: str, version: str) -> str:
    """What Triton calls the network of a model that is added; its first version by the model's own name."""
    return model if version == "1" else f"{model}@{version}"


def ensemble_name(network: str) -> str:
    """What the ensemble of a network that is added will be called."""
    return f"classify_{network}"


CPU_BATCH, GPU_BATCH = 8, 64  # images that a model takes at once
_IMAGE = '{ name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ]%s }'
_RAGGED = " allow_ragged_batch: true"


@dataclass(frozen=True)
class Network:
    """What Triton has to know of a network: `classes` is 0 for one that only embeds."""

    name: str
    preprocess: str
    ensemble: str
    height: int
    width: int
    classes: int
    features: int

    @classmethod
    def of(cls, package: ModelPackage) -> Network:
        contract = package.contract
        return cls(
            name=package.network,
            preprocess=package.preprocess,
            ensemble=package.ensemble,
            height=contract.output_height,
            width=contract.output_width,
            classes=len(package.labels),
            features=package.features,
        )

    @property
    def outputs(self) -> dict[str, str]:
        """Triton's declaration of each output of the network, by name."""
        scores = {"SCORES": f"data_type: TYPE_FP32 dims: [ {self.classes} ]"} if self.classes else {}
        embedding = f"data_type: TYPE_FP32 dims: [ {self.features} ]"
        return {**scores, "EMBEDDING": embedding, "MODEL_SPAN": _SPAN}


_SPAN = "data_type: TYPE_INT64 dims: [ 2 ]"
_MEASURED = {"QUALITY": "data_type: TYPE_FP32 dims: [ 3 ]", "PREPROCESS_SPAN": _SPAN}


def preprocess(name: str, height: int, width: int) -> Files:
    """Everything but `contract.toml`."""
    outputs = {"PIXELS": f"data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ]", **_MEASURED}
    tensors = _tensors([_IMAGE % _RAGGED], outputs)
    return {
        "config.pbtxt": f"""\
# Decode, orient, resize and crop on the GPU: the DALI backend of NVIDIA's Triton container.
name: "{name}"
backend: "dali"
max_batch_size: {GPU_BATCH}
{tensors}
{_ON_GPU}
# Host threads that parse and hand over the streams.
{_parameter("num_threads", "4")}
""",
        CPU_CONFIG: f"""\
# Decode, orient, resize and crop on the CPU: DALI inside the Python backend of a tritonserver from PyPI.
name: "{name}"
backend: "python"
max_batch_size: {CPU_BATCH}
{tensors}
{_on_cpu(instances=1)}
# Threads that decode; 0 is one for each CPU.
{_parameter("threads", "0")}
""",
        "configs/cuda.pbtxt": f"""\
# Decode, orient, resize and crop on the GPU: DALI inside the Python backend of a tritonserver from PyPI.
name: "{name}"
backend: "python"
default_model_filename: "gpu.py"
max_batch_size: {GPU_BATCH}
{tensors}
{_ON_GPU}
# Host threads that parse the streams, and decode what the GPU does not; 0 is one for each CPU.
{_parameter("threads", "8")}
# The share of JPEGs that the GPU's JPEG engines decode, where it has any; its kernels do the others.
{_parameter("hardware_load", "0.65")}
# Where the pixels go on: "device", in the GPU's memory, or "host", which costs two copies of them.
{_parameter("pixels", "device")}
""",
        "1/model.py": _python_model("Preprocess"),
        "1/gpu.py": _gpu_model("Preprocess"),
        "1/dali.py": _DALI_MODULE,
    }


def network(network: Network) -> Files:
    pixels = f'{{ name: "PIXELS" data_type: TYPE_UINT8 dims: [ {network.height}, {network.width}, 3 ] }}'
    tensors = _tensors([pixels], network.outputs)
    return {
        "config.pbtxt": f"""\
# The network on the GPU: a TensorRT plan in NVIDIA's Triton container.
name: "{network.name}"
platform: "tensorrt_plan"
max_batch_size: {GPU_BATCH}
{tensors}
{_ON_GPU}
""",
        CPU_CONFIG: f"""\
# The network on the CPU: OpenVINO inside the Python backend of a tritonserver from PyPI.
name: "{network.name}"
backend: "python"
max_batch_size: {CPU_BATCH}
{tensors}
{_on_cpu(instances=1)}
{_COMPUTED_ON_CPU}
""",
        "configs/cuda.pbtxt": f"""\
# The network on the GPU: TensorRT or ONNX Runtime inside the Python backend of a tritonserver from PyPI.
name: "{network.name}"
backend: "python"
default_model_filename: "gpu.py"
max_batch_size: {GPU_BATCH}
{tensors}
{_ON_GPU}
# Pixels are left in the GPU's memory, where preprocessing made them.
{_parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "no")}
# Of ONNX Runtime: f32, or tf32, which is faster and less exact. A TensorRT plan has its own.
{_parameter("precision", "f32")}
""",
        "1/model.py": _python_model("OpenVinoNetwork"),
        "1/gpu.py": _gpu_model("Network"),
    }


def ensemble(network: Network) -> Files:
    """From encoded bytes to the outputs of one network: on a GPU by an ensemble, on a CPU by one process."""
    steps = [
        _step(network.preprocess, {"IMAGE": "IMAGE"}, {"PIXELS": "pixels", **{name: name for name in _MEASURED}}),
        _step(network.name, {"PIXELS": "pixels"}, {name: name for name in network.outputs}),
    ]
    comment = (
        "# From the bytes of a picture to what the network says of it, on a GPU; on a CPU one process does it all."
    )
    outputs = {**network.outputs, **_MEASURED}
    pixels = {"PIXELS": f"data_type: TYPE_UINT8 dims: [ {network.height}, {network.width}, 3 ]"}
    return {
        "config.pbtxt": _ensemble(network.ensemble, comment, outputs, steps),
        CPU_CONFIG: f"""\
# From the bytes of a picture to what the network says of it, on a CPU: DALI and OpenVINO in one process, because an
# image costs more that goes from one to another. There are two: answers of one are on their way while the other works.
name: "{network.ensemble}"
backend: "python"
max_batch_size: {CPU_BATCH}
{_tensors([_IMAGE % _RAGGED], {**outputs, **pixels})}
{_on_cpu(instances=2)}
# The folder of the model package.
{_parameter("network", network.name)}
{_COMPUTED_ON_CPU}
""",
        "1/model.py": _python_model("DecodeAndInfer"),
    }


def analyze(networks: Sequence[Network]) -> Files:
    """One ensemble of all networks, each image preprocessed once for each contract; outputs are named MODEL/OUTPUT.

    Triton runs only the steps that the outputs asked for need (ensemble_scheduler.cc, measured: a network that is not
    asked is not run), so that one ensemble serves every choice of networks.
    """
    steps: list[str] = []
    outputs: dict[str, str] = {}
    for name in dict.fromkeys(network.preprocess for network in networks):
        measured = {output: f"{name}/{output}" for output in _MEASURED}
        steps.append(_step(name, {"IMAGE": "IMAGE"}, {"PIXELS": f"{name}/pixels", **measured}))
        outputs |= {measured[output]: declared for output, declared in _MEASURED.items()}
    for each in networks:
        named = {output: f"{each.name}/{output}" for output in each.outputs}
        steps.append(_step(each.name, {"PIXELS": f"{each.preprocess}/pixels"}, named))
        outputs |= {named[output]: declared for output, declared in each.outputs.items()}
    comment = "# Every network over one decoding of an image; made anew whenever a model comes or goes."
    return {"config.pbtxt": _ensemble(ANALYZE, comment, outputs, steps), "1/.gitkeep": ""}


def write(files: Files, folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


_ON_GPU = """\
instance_group [ { kind: KIND_GPU count: 1 gpus: [ 0 ] } ]
dynamic_batching {
  max_queue_delay_microseconds: 500
}"""

_DALI_MODULE = """\
from fovea_pipelines.dali_backend import autoserialized

preprocess = autoserialized(__file__)
"""


def _on_cpu(instances: int) -> str:
    return f"""\
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
dynamic_batching {{
  max_queue_delay_microseconds: 0
}}"""


def _python_model(name: str) -> str:
    return f"from fovea_pipelines.triton_models import {name} as TritonPythonModel  # noqa: F401\n"


def _gpu_model(name: str) -> str:
    return f"from fovea_pipelines.triton_gpu_models import {name} as TritonPythonModel  # noqa: F401\n"


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


_COMPUTED_ON_CPU = f"""\
# int8, bf16 or f32; auto is the fastest that this CPU is good at and the model keeps its accuracy in.
{_parameter("precision", "auto")}
# Images worked on at once, each on one thread; 0 is one for each CPU, shared by the instances.
{_parameter("threads", "0")}"""


def _tensors(inputs: Sequence[str], outputs: Mapping[str, str]) -> str:
    declared = (f'{{ name: "{name}" {declaration} }}' for name, declaration in outputs.items())
    return f"input [\n  {_list(inputs)}\n]\noutput [\n  {_list(declared)}\n]"


def _list(items: Iterable[str]) -> str:
    return ",\n  ".join(items)


def _ensemble(name: str, comment: str, outputs: Mapping[str, str], steps: Sequence[str]) -> str:
    return f"""\
{comment}
name: "{name}"
platform: "ensemble"
max_batch_size: {CPU_BATCH}
{_tensors([_IMAGE % ""], outputs)}
ensemble_scheduling {{
  step [
{",".join(steps).strip(chr(10))}
  ]
}}
"""


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    maps = [
        f'      {kind} {{ key: "{inside}" value: "{outside}" }}'
        for kind, tensors in (("input_map", inputs), ("output_map", outputs))
        for inside, outside in tensors.items()
    ]
    body = "\n".join((f'      model_name: "{model}"', "      model_version: -1", *maps))
    return f"\n    {{\n{body}\n    }}"
