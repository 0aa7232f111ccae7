"""What is found in repositories that hurt, and that nothing is found in ours."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from nvidia.dali import fn, pipeline_def
from tests.doctor import strangers

from fovea_pipelines.package import ModelPackage
from fovea_server.doctor import examination
from fovea_server.doctor.artefacts import Gpu, plan_version
from fovea_server.doctor.finding import Finding

CORES = 2


def _examined(folder: Path, gpu: Gpu | None = None, config_name: str | None = None) -> list[Finding]:
    return examination.examine([folder], config_name, threads=CORES, gpu=gpu)[1]


def _found(folder: Path, rule: str, gpu: Gpu | None = None) -> Finding:
    (finding,) = [each for each in _examined(folder, gpu) if each.rule == rule]
    return finding


def _rules(folder: Path) -> list[tuple[str, str]]:
    return sorted((each.model, each.rule) for each in _examined(folder))


@pytest.mark.parametrize("config_name", ["cpu", "cuda"])
@pytest.mark.parametrize("cores", [1, 2, 3, 16])
def test_nothing_is_found_in_our_own_repository(
    package: ModelPackage, repository: Path, config_name: str, cores: int
) -> None:
    gpu = Gpu("9.0", None) if config_name == "cuda" else None
    found = examination.examine([repository], config_name, threads=cores, gpu=gpu)[1]
    assert [str(each) for each in found] == []


def test_of_a_dali_example_everything_that_hurts_is_named(tmp_path: Path) -> None:
    assert _rules(strangers.naive(tmp_path)) == [
        ("dali", "crowded-cores"),
        ("dali", "no-dynamic-batching"),
        ("dali", "no-ragged-batch"),
        ("dali", "stretched"),
        ("dali, network", "no-limit"),
        ("network", "crowded-cores"),
        ("network", "preferred-without-delay"),
        ("whole", "float-pixels"),
    ]


def test_a_finding_says_the_line_the_numbers_and_what_to_write(tmp_path: Path) -> None:
    ragged = _found(strangers.naive(tmp_path), "no-ragged-batch")
    assert (ragged.severity, ragged.where) == ("error", "dali/config.pbtxt:4")
    assert "up to 256 at once" in ragged.why
    assert ragged.do == ('{ name: "ENCODED" data_type: TYPE_UINT8 dims: [ -1 ] allow_ragged_batch: true }',)
    stretched = _found(tmp_path, "stretched")
    assert (stretched.where, "224 x 224" in stretched.what) == ("dali/1/dali.py:9", True)
    pixels = _found(tmp_path, "float-pixels")
    assert "602,112 bytes" in pixels.why
    assert "150,528" in pixels.why
    assert "2 instances of 8 threads on 2 cores" in [each.what for each in _examined(tmp_path) if each.model == "dali"]


def test_what_the_dali_example_should_have_written_is_accepted(tmp_path: Path) -> None:
    config = strangers.DALI_CONFIG.replace("dims: [ -1 ]", "dims: [ -1 ] allow_ragged_batch: true")
    config = config.replace("TYPE_FP32 dims: [ 3, 224, 224 ]", "TYPE_UINT8 dims: [ 224, 224, 3 ]")
    config = config.replace('"8"', '"1"') + "dynamic_batching { max_queue_delay_microseconds: 500 }"
    source = strangers.DALI_SOURCE.replace("resize_x=224, resize_y=224", 'size=256, mode="not_smaller"')
    strangers.model(tmp_path, "dali", config, {"dali.py": source})
    assert _rules(tmp_path) == [("dali", "no-limit")]


def test_every_unknown_field_is_named_with_its_line_and_the_rest_is_still_read(tmp_path: Path) -> None:
    broken = strangers.NETWORK_CONFIG.replace("max_batch_size: 16", "max_batchsize: 16\nmax_batch_size: 16")
    broken += '\n# a comment { that opens\nwarmup { name: "w}" inner [ { a: 1 } ] }\ninstance_groups: 3\n'
    strangers.model(tmp_path, "network", broken, {"model.onnx": ""})
    unknown = [each for each in _examined(tmp_path) if each.rule == "unknown-field"]
    assert [(each.line, each.what.split()[4]) for each in unknown] == [
        (3, "max_batchsize"),
        (10, "warmup"),
        (11, "instance_groups"),
    ]
    assert _found(tmp_path, "preferred-without-delay").line == 7


def test_a_configuration_that_is_no_protobuf_text_is_one_error_with_its_line(tmp_path: Path) -> None:
    strangers.model(tmp_path, "network", 'name: "network"\nmax_batch_size: "many"\n', {"model.onnx": ""})
    finding = _found(tmp_path, "unreadable")
    assert (finding.severity, finding.line) == ("error", 2)


def test_binary_and_empty_configurations_are_survived(tmp_path: Path) -> None:
    strangers.model(tmp_path, "empty", "", {})
    strangers.model(tmp_path, "binary", "", {})
    (tmp_path / "binary/config.pbtxt").write_bytes(bytes(range(256)))
    assert ("binary", "unreadable") in _rules(tmp_path)
    assert ("empty", "no-batches") in _rules(tmp_path)


def test_an_ensemble_whose_steps_do_not_fit_is_told_where(tmp_path: Path) -> None:
    strangers.naive(tmp_path)
    config = strangers.NETWORK_CONFIG.replace("dims: [ 3, 224, 224 ]", "dims: [ 3, 256, 256 ]")
    (tmp_path / "network/config.pbtxt").write_text(config.replace("max_batch_size: 16", "max_batch_size: 4"))
    whats = [each.what for each in _examined(tmp_path) if each.rule == "ensemble"]
    assert "pixels is FP32[-1, 3, 224, 224] where it is made and FP32[-1, 3, 256, 256] where it is read" in whats
    assert "max_batch_size is 16, and network takes 4" in whats


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"network" model_version', '"nobody" model_version', "step nobody is not in the repository"),
        ('key: "input"', 'key: "inptu"', "network has no input inptu"),
        ('key: "input"', 'key: "inptu"', "input input of network gets nothing"),
        ('value: "pixels" } },', 'value: "pixles" } },', "nothing makes the tensor pixels"),
    ],
)
def test_a_tensor_or_step_that_is_not_there_is_named(tmp_path: Path, old: str, new: str, what: str) -> None:
    strangers.naive(tmp_path)
    (tmp_path / "whole/config.pbtxt").write_text(strangers.ENSEMBLE_CONFIG.replace(old, new))
    assert what in [each.what for each in _examined(tmp_path) if each.rule == "ensemble"]


def test_a_queue_policy_is_warned_of_with_what_it_costs(tmp_path: Path) -> None:
    config = strangers.NETWORK_CONFIG.replace(
        "preferred_batch_size: [ 4, 8 ]", "\n  default_queue_policy { max_queue_size: 10 }"
    )
    strangers.model(tmp_path, "network", config, {"model.onnx": ""})
    finding = _found(tmp_path, "queue-policy")
    assert finding.line == 7
    assert "500 to 1,000 ms" in finding.why


def test_a_model_that_takes_no_batches_is_warned_of(tmp_path: Path) -> None:
    strangers.model(tmp_path, "single", strangers.python("single", "", batch=0), {"model.py": ""})
    assert _found(tmp_path, "no-batches").what == "max_batch_size is 0"


def test_files_that_are_not_there_are_errors(tmp_path: Path) -> None:
    strangers.model(tmp_path, "network", strangers.NETWORK_CONFIG, {})
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/config.pbtxt").write_text(strangers.python("bare", ""))
    assert _found(tmp_path, "missing-artefact").what == "there is no model.onnx"
    assert _found(tmp_path, "no-version").model == "bare"


def test_a_plan_of_another_tensorrt_is_told_by_its_header(tmp_path: Path) -> None:
    header = struct.pack("<II", 0x74727466, 0) + bytes(16) + bytes((10, 3, 0, 26)) + bytes(100)
    config = 'name: "planned"\nplatform: "tensorrt_plan"\nmax_batch_size: 8\ndynamic_batching {}'
    strangers.model(tmp_path, "planned", config, {"model.plan": header})
    assert plan_version(tmp_path / "planned/1/model.plan") == "10.3.0.26"
    finding = _found(tmp_path, "foreign-plan", Gpu("9.0", "10.13.3"))
    assert finding.why.startswith("It was made by TensorRT 10.3.0.26, and 10.13.3 is installed")
    assert [each for each in _examined(tmp_path, Gpu("9.0", "10.3.0")) if each.rule == "foreign-plan"] == []
    (tmp_path / "planned/1/model.plan").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert "not that of a TensorRT plan" in _found(tmp_path, "foreign-plan", Gpu("9.0", None)).why


def test_a_contract_that_stretches_is_told_with_its_line(tmp_path: Path, repository: Path) -> None:
    text = (repository / "preprocess_224/contract.toml").read_text()
    text = text.replace('"short_side"', '"exact"').replace("256", "[224, 224]").replace('"centre"', '"none"')
    strangers.model(tmp_path, "prepared", strangers.python("prepared", "dynamic_batching {}"), {"model.py": ""})
    (tmp_path / "prepared/contract.toml").write_text(text)
    finding = _found(tmp_path, "stretched")
    assert finding.where == "prepared/contract.toml:4"
    assert finding.do[0] == 'resize = "short_side"'


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import torch\n\ndef run(t):\n    return torch.utils.dlpack.to_dlpack(t)\n", True),
        ("import torch\n", True),
        ("import torch\n\ndef run(t):\n    return torch.softmax(t, 1)\n", False),
        ("import torch.nn as nn\n\nnn.Linear(1, 1)\n", False),
        ("from torch import nn\n", False),
        ("import torch\nuse(torch)\n", False),
        ("import torch\npb_utils.Tensor.from_dlpack('y', torch.from_numpy(a))\n", True),
        ("import torch\npb_utils.Tensor.from_dlpack('y', torch.utils.dlpack.to_dlpack(torch.Tensor(a)))\n", True),
        ("import torch\nx = torch.from_numpy(a)\nsend(torch.utils.dlpack.to_dlpack(x))\n", True),
        ("import torch\nx = torch.utils.dlpack.from_dlpack(t.to_dlpack()).cpu().numpy()\n", True),
        ("import torch\nx = torch.from_numpy(a)\ny = x\nsend(y.sum())\n", False),
        ("import torch\nsend(list(map(torch.from_numpy, arrays)))\n", False),
        ("import torch\nx = torch.from_numpy(a).cuda().float() / 255\n", False),
        ("import torch\nx = torch.from_numpy(a)\nsend(net(x).softmax(-1).numpy())\n", False),
        ("import torch\nx = torch.from_numpy(a)\nx /= 255\nsend(torch.utils.dlpack.to_dlpack(x))\n", False),
        ("import torch\ndef run(x: torch.Tensor):\n    return x.permute(0, 2, 3, 1)\n", False),
        ("not python (", False),
    ],
)
def test_torch_is_only_called_needless_where_that_is_certain(tmp_path: Path, source: str, told: bool) -> None:
    config = strangers.python("carrier", "dynamic_batching {}")
    strangers.model(tmp_path, "carrier", config, {"model.py": source})
    assert (("carrier", "needless-torch") in _rules(tmp_path)) is told


def test_a_python_model_that_takes_every_core_twice_is_an_error_of_cores(tmp_path: Path) -> None:
    config = strangers.python("greedy", "dynamic_batching {}\ninstance_group [ { kind: KIND_CPU count: 3 } ]")
    strangers.model(tmp_path, "greedy", config, {"model.py": "import onnxruntime\n"})
    finding = _found(tmp_path, "crowded-cores")
    assert (finding.severity, finding.what) == ("error", "3 instances of 2 threads on 2 cores")


@pytest.mark.parametrize(
    "source",
    [
        "import cv2\nimport numpy as np\n\ndef run(b):\n    return cv2.imdecode(b, 1).astype(np.float32)\n",
        "from PIL import Image\n\ndef run(f):\n    return Image.open(f).convert('RGB')\n",
        "from PIL import Image\n\ndef run(im):\n    return im.convert('RGB').resize(fitted(im))\n",
    ],
)
def test_more_instances_that_decode_pictures_than_cores_are_warned_of(tmp_path: Path, source: str) -> None:
    config = strangers.python("pre", "dynamic_batching {}\ninstance_group [ { kind: KIND_CPU count: 8 } ]")
    strangers.model(tmp_path, "pre", config, {"model.py": source})
    finding = _found(tmp_path, "crowded-cores")
    assert (finding.severity, finding.what) == ("warning", "8 instances of at least 1 thread on 2 cores")
    assert finding.do == ("instance_group [ { kind: KIND_CPU count: 2 } ]",)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import numpy as np\n\ndef run(scores):\n    return np.argsort(scores.decode())\n", 8),
        ("import numpy as np\n\ndef run(values):\n    return np.resize(values, (4, 4))\n", 8),
        ("import cv2\n\ndef run(boxes, scores):\n    return cv2.dnn.NMSBoxes(boxes, scores, 0.5, 0.4)\n", 8),
        ("from PIL import ImageDraw\n\ndef run(im, box):\n    ImageDraw.Draw(im).rectangle(box)\n", 8),
        ("import cv2\n\ndef run(b):\n    return cv2.imdecode(b, 1)\n", 2),
    ],
)
def test_instances_that_leave_pictures_alone_or_have_a_core_each_are_not_crowded(
    tmp_path: Path, source: str, count: int
) -> None:
    config = strangers.python("post", f"dynamic_batching {{}}\ninstance_group [ {{ kind: KIND_CPU count: {count} }} ]")
    strangers.model(tmp_path, "post", config, {"model.py": source})
    assert ("post", "crowded-cores") not in _rules(tmp_path)


def test_several_models_that_each_take_every_core_are_counted_together(tmp_path: Path) -> None:
    for number in range(4):
        config = strangers.python(f"net{number}", "dynamic_batching {}\ninstance_group [ { kind: KIND_CPU count: 1 } ]")
        strangers.model(tmp_path, f"net{number}", config, {"model.py": "import openvino\n"})
    assert _found(tmp_path, "crowded-cores").what == "all models together want 8 threads on 2 cores"


def test_names_full_of_signs_are_only_names(tmp_path: Path) -> None:
    strangers.naive(tmp_path)
    config = strangers.ENSEMBLE_CONFIG.replace('"pixels"', '"pix[els(*"')
    (tmp_path / "whole/config.pbtxt").write_text(config)
    assert _found(tmp_path, "float-pixels").line == 8


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"resize_x": 224, "resize_y": 224}, True),
        ({"resize_x": 224, "resize_y": 224, "mode": "not_smaller"}, False),
        ({"size": 256.0, "mode": "not_smaller"}, False),
    ],
)
def test_a_serialised_dali_pipeline_is_looked_into(tmp_path: Path, how: dict[str, object], told: bool) -> None:
    @pipeline_def(batch_size=8, num_threads=1, device_id=None)
    def pipeline() -> object:
        return fn.resize(fn.decoders.image(fn.external_source(name="ENCODED", device="cpu"), device="cpu"), **how)

    strangers.model(tmp_path, "dali", strangers.DALI_CONFIG, {"model.dali": pipeline().serialize()})
    assert (("dali", "stretched") in _rules(tmp_path)) is told


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("cv2.resize(image, (224, 224))", True),
        ("np.resize(values, (224, 224))", False),
        ("numpy.resize(values, (224, 224))", False),
        ("layer.resize((2, 3))", False),
        ("Image.open(file).convert('RGB').resize((224, 224))", True),
        ("figure.resize(('100%', '50%'))", False),
        ("fn.resize(images, resize_x=8, resize_y=8)", False),
        ("fn.resize(images, resize_x=size[0], resize_y=size[1])", True),
        ("cv2.resize(mask, (1024, 1024), interpolation=cv2.INTER_NEAREST)", False),
        ("mask.resize((1024, 1024), Image.NEAREST)", False),
    ],
)
def test_only_a_picture_is_called_stretched(tmp_path: Path, call: str, told: bool) -> None:
    config = strangers.python("pre", "dynamic_batching {}")
    strangers.model(tmp_path, "pre", config, {"model.py": f"{call}\n"})
    assert (("pre", "stretched") in _rules(tmp_path)) is told


_IN_A_METHOD = """\
class M:
    def initialize(self, args):
        self.size = (224, 224)
    def execute(self, im):
        return im.resize(self.size)
"""


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("SIZE = (224, 224)\ncv2.resize(im, SIZE)\n", "224 x 224"),
        ("SIZE = (224, 224)\nim.resize(SIZE)\n", "224 x 224"),
        ("SIZE: Final = [320, 240]\ncv2.resize(im, dsize=SIZE)\n", "320 x 240"),
        ("W = H = 224\ndef run(im):\n    return cv2.resize(im, (W, H))\n", "224 x 224"),
        ("def run(im):\n    size = (224, 224)\n    return im.resize(size)\n", "224 x 224"),
        ("W, H = 320, 240\nSIZE = (W, H)\ntransforms.Resize(SIZE)\n", "320 x 240"),
        (_IN_A_METHOD, "224 x 224"),
        ("class M:\n    SIDE = 224\n    def b(self, im):\n        im.resize((self.SIDE, self.SIDE))\n", "224 x 224"),
        ("W = H = 8\nfn.resize(images, resize_x=W, resize_y=H)\n", None),
        ("SIZE = 256\ntransforms.Resize(SIZE)\n", None),
        ("SIZE = (4, 4)\ncv2.resize(im, SIZE)\n", None),
        ("SIZE = (224, 224)\nSIZE = fitted(SIZE)\ncv2.resize(im, SIZE)\n", None),
        ("SIZE = (224, 224)\ndef run(im, SIZE):\n    return cv2.resize(im, SIZE)\n", None),
        ("W = H = 224\ndef run(im):\n    W, H = fitted(im)\n    return cv2.resize(im, (W, H))\n", None),
        ("def run(im):\n    size = (224, 224)\ndef other(im, size):\n    return im.resize(size)\n", None),
        (f"{_IN_A_METHOD}    def c(self, im):\n        self.size = fitted(im)\n", None),
        ("config().size = (224, 224)\ncv2.resize(im, fitted(im))\n", None),
        ("A = B\nB = A\ncv2.resize(im, A)\n", None),
        ("SIZE = (224, 224)\nnp.resize(values, SIZE)\n", None),
        ("SIZE = (512, 512)\ncv2.resize(mask, SIZE, interpolation=cv2.INTER_NEAREST)\n", None),
    ],
)
def test_a_size_with_a_name_is_read_where_nothing_else_has_that_name(
    tmp_path: Path, source: str, size: str | None
) -> None:
    strangers.model(tmp_path, "pre", strangers.python("pre", "dynamic_batching {}"), {"model.py": source})
    whats = [each.what for each in _examined(tmp_path) if each.rule == "stretched"]
    assert whats == ([f"pictures are resized to {size}, whatever their shape"] if size else [])
