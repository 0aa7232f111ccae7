"""A weights file gives its tensors and nothing else: no code in it is ever run, and no size in it is believed."""

from __future__ import annotations

import io
import os
import pickle
import random
import resource
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from tests.pipelines.checkpoints import archive, mapping, module, number, pickled, raw, safetensors, tensor, text

from fovea_pipelines import build
from fovea_pipelines.errors import BadWeights
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.weights import read_state_dict

_MAGIC = 0x1950A86A20F9469CFC6C
SIX = np.arange(6, dtype="<f4")


@pytest.fixture(scope="module")
def checkpoint(package: ModelPackage) -> Path:
    return build.weights_of(package)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def test_the_published_checkpoint_gives_every_tensor(checkpoint: Path) -> None:
    tensors = read_state_dict(checkpoint)
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    trainable = sum(value.size for name, value in tensors.items() if name.endswith(("weight", "bias")))
    assert trainable == 4_652_008  # what the paper's table calls 4.7 million
    assert all(np.isfinite(value).all() for value in tensors.values())


# the zip format


def test_an_archive_gives_its_tensors(path: Path) -> None:
    held = mapping({"a": tensor((2, 3)), "b.c": tensor((), key="1", kind="LongStorage"), "d": tensor((0, 5), key="2")})
    tensors = read_state_dict(archive(path, held, {"0": raw(SIX), "1": raw(np.int64(-7)), "2": b""}))
    assert list(tensors) == ["a", "b.c", "d"]
    np.testing.assert_array_equal(tensors["a"], [[0, 1, 2], [3, 4, 5]])
    assert tensors["b.c"].dtype == np.int64
    assert tensors["b.c"] == -7
    assert tensors["d"].shape == (0, 5)


def test_a_window_on_a_storage_is_read_as_the_window_lies(path: Path) -> None:
    held = mapping({"turned": tensor((3, 2), (1, 3), size=6), "column": tensor((2,), (3,), offset=1, size=6)})
    tensors = read_state_dict(archive(path, held, {"0": raw(SIX)}))
    np.testing.assert_array_equal(tensors["turned"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(tensors["column"], [1, 4])


def test_tensors_that_share_a_storage_become_arrays_of_their_own(path: Path) -> None:
    tensors = read_state_dict(archive(path, mapping({"a": tensor((6,)), "b": tensor((6,))}), {"0": raw(SIX)}))
    tensors["a"][0] = 9
    assert tensors["b"][0] == 0


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("DoubleStorage", np.array([0.1, -2], "<f8"), np.array([0.1, -2], np.float64)),
        ("HalfStorage", np.array([0.5, -2], "<f2"), np.array([0.5, -2], np.float16)),
        ("BFloat16Storage", np.array([0x3F80, 0xC040], "<u2"), np.array([1, -3], np.float32)),
        ("IntStorage", np.array([1, -2], "<i4"), np.array([1, -2], np.int32)),
        ("ShortStorage", np.array([1, -2], "<i2"), np.array([1, -2], np.int16)),
        ("CharStorage", np.array([1, -2], "i1"), np.array([1, -2], np.int8)),
        ("ByteStorage", np.array([1, 254], "u1"), np.array([1, 254], np.uint8)),
        ("BoolStorage", np.array([0, 2], "u1"), np.array([False, True])),
    ],
)
def test_every_kind_of_number_is_read(
    path: Path,
    kind: str,
    stored: np.ndarray[tuple[int], np.dtype[np.generic]],
    expected: np.ndarray[tuple[int], np.dtype[np.generic]],
) -> None:
    found = read_state_dict(archive(path, mapping({"a": tensor((2,), kind=kind)}), {"0": raw(stored)}))["a"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_numbers_written_on_a_big_endian_machine_are_the_same_numbers(path: Path) -> None:
    content = {"0": raw(SIX.astype(">f4"))}
    found = read_state_dict(archive(path, mapping({"a": tensor((6,))}), content, order="big"))["a"]
    np.testing.assert_array_equal(found, SIX)
    assert found.dtype.isnative


def test_a_kind_of_number_that_numpy_lacks_is_refused_by_name(path: Path) -> None:
    with pytest.raises(BadWeights, match=r"weights\.pth holds numbers of a kind .*: torch\.QInt8Storage"):
        read_state_dict(archive(path, mapping({"a": tensor((2,), kind="QInt8Storage")}), {"0": b"12"}))


# names


def test_the_state_dict_is_taken_out_of_its_wrapper_averaged_weights_first(path: Path) -> None:
    wrapped = {name: mapping({name: tensor((6,))}) for name in ("model", "state_dict", "model_ema", "state_dict_ema")}
    for expected in ("state_dict_ema", "model_ema", "state_dict", "model"):
        held = mapping({"epoch": number(3), "optimizer": mapping({}), **wrapped})
        assert list(read_state_dict(archive(path, held, {"0": raw(SIX)}))) == [expected]
        del wrapped[expected]


def test_a_prefix_goes_only_if_every_name_has_it(path: Path) -> None:
    for names, expected in (
        (("module.a", "module.b"), ["a", "b"]),
        (("module.a", "b"), ["module.a", "b"]),
        (("_orig_mod.module.a", "_orig_mod.module.b"), ["a", "b"]),
    ):
        held = mapping({name: tensor((6,)) for name in names})
        assert list(read_state_dict(archive(path, held, {"0": raw(SIX)}))) == expected


def test_a_torch_script_module_gives_its_tensors_by_dotted_path(path: Path) -> None:
    held = module(
        "Network",
        {
            "training": b"\x89",
            "scale": tensor((6,)),
            "stride": b"ctorch.jit._pickle\nbuild_intlist\n](" + number(2) + b"e\x85R",
            "stem": module("Stem", {"conv": module("Conv", {"weight": tensor((2, 3)), "bias": b"N"})}),
        },
    )
    tensors = read_state_dict(archive(path, held, {"0": raw(SIX)}))
    assert {name: value.shape for name, value in tensors.items()} == {"scale": (6,), "stem.conv.weight": (2, 3)}


def test_an_entry_that_is_no_tensor_is_refused_by_name(path: Path) -> None:
    with pytest.raises(BadWeights, match=r"its entry 'epoch' is a int, not a tensor") as refusal:
        read_state_dict(archive(path, mapping({"a": tensor((6,)), "epoch": number(3)}), {"0": raw(SIX)}))
    assert "model.state_dict()" in (refusal.value.hint or "")


# what would run code


def _pickled(*values: object) -> io.BytesIO:
    return io.BytesIO(b"".join(pickle.dumps(value, protocol=2) for value in values))


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_checkpoint_that_would_run_code_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    values: list[object] = [_MAGIC, 1001, {}, OrderedDict(), []]
    values[place] = _RunsCode()
    path = tmp_path / "evil.pth"
    path.write_bytes(_pickled(*values).getvalue())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadWeights, match=r"asks for (posix|nt|os)\.system, which is not a tensor"):
        read_state_dict(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_an_archive_that_would_run_code_is_refused_and_nothing_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(path.parent)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": _RunsCode()}, protocol=protocol))
    with pytest.raises(BadWeights, match=r"^weights\.pth asks for (posix|nt)\.system, .* not loaded$") as refusal:
        read_state_dict(path)
    assert "torch.save(model.state_dict(), path)" in (refusal.value.hint or "")
    assert not (path.parent / "ran").exists()


@pytest.mark.parametrize(
    "held", [b"(" + text("touch ran") + b"iposix\nsystem\n", b"(cposix\nsystem\n" + text("true") + b"o"]
)
def test_the_other_instructions_that_call_are_unknown(path: Path, held: bytes) -> None:
    with pytest.raises(BadWeights, match=r"uses INST|asks for posix\.system"):
        read_state_dict(archive(path, held, {}))


def test_the_names_that_are_allowed_cannot_be_used_to_reach_others(path: Path) -> None:
    names = (b"builtins\neval", b"collections\nOrderedDict.fromkeys", b"torch\nload", b"numpy\nload", b"__torch__x\nC")
    for name in names:
        path.write_bytes(b"\x80\x02c" + name + b"\n.")
        with pytest.raises(BadWeights, match="which is not a tensor"):
            read_state_dict(path)


def test_a_file_cannot_change_what_the_next_one_means(path: Path) -> None:
    """Attributes can be given to anything in a pickle, the classes it names among them."""
    for name in (b"torch\nFloatStorage", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"):
        poison = b"c" + name + b"\n" + mapping({"dtype": number(1), "kind": text("int8"), "module": text("x")}) + b"b"
        with pytest.raises(BadWeights):
            read_state_dict(archive(path, b"(" + poison + number(1) + b"t", {}))
    np.testing.assert_array_equal(
        read_state_dict(archive(path, mapping({"a": tensor((6,))}), {"0": raw(SIX)}))["a"], SIX
    )


# what would fill memory


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        pytest.param(tensor((1 << 20, 1 << 20), (0, 0), size=6), "more than 4 times", id="one number repeated"),
        pytest.param(tensor((1 << 40,), (0,), size=6), "more than 4 times", id="a very long tensor"),
        pytest.param(tensor((1 << 40,)), "more than 4 times", id="a storage larger than the file"),
        pytest.param(tensor((6,), (-1,), offset=5, size=6), "of no possible shape", id="backwards"),
        pytest.param(tensor((-1,), (1,), size=6), "of no possible shape", id="a negative side"),
        pytest.param(tensor((2, 3), (1,), size=6), "of no possible shape", id="fewer steps than sides"),
        pytest.param(tensor((7,), size=6), r"a of shape \(7,\) ends at element 6 of 6", id="past its storage"),
        pytest.param(tensor((2,), (1 << 62,), size=6), "outside its storage", id="far past its storage"),
        pytest.param(tensor((6,), (1,), offset=-1, size=6), "of no possible shape", id="before its storage"),
        pytest.param(tensor((1,) * 40, size=6), "damaged", id="more sides than NumPy has"),
        pytest.param(tensor((1,) * 100_000, size=6), "of no possible shape", id="endlessly many sides"),
        pytest.param(tensor((0, 1 << 62, 1 << 62), (1, 1, 1), size=6), "damaged", id="no elements, endless sides"),
        pytest.param(tensor((3,)), "declares 12 bytes for data/0 and holds 24", id="a storage of another size"),
        pytest.param(tensor((6,), key="../data.pkl"), r"lacks data/\.\./data\.pkl", id="a path out of the folder"),
        pytest.param(tensor((6,), key="1"), "lacks data/1", id="a storage that is not there"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(path: Path, held: bytes, reason: str) -> None:
    with pytest.raises(BadWeights, match=reason):
        read_state_dict(archive(path, mapping({"a": held}), {"0": raw(SIX)}))


def test_one_storage_many_times_over_is_refused(path: Path) -> None:
    held = mapping({f"t{index}": tensor((1 << 17,)) for index in range(500)})
    with pytest.raises(BadWeights, match="its tensors would take 262,144,000, more than 4 times that"):
        read_state_dict(archive(path, held, {"0": bytes(1 << 19)}))


def test_what_was_compressed_is_unpacked_only_while_it_is_small(path: Path) -> None:
    held = mapping({"a": tensor((6,))})
    tensors = read_state_dict(archive(path, held, {"0": raw(SIX)}, compression=zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(tensors["a"], SIX)
    held = mapping({"a": tensor((1 << 18,)), "b": tensor((1 << 24,), key="1")})
    bomb = archive(path, held, {"0": bytes(1 << 20), "1": bytes(1 << 26)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadWeights, match=r"more than 4 times|would unpack"):
        read_state_dict(bomb)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + b"0" * (1 << 21))
    with pytest.raises(BadWeights, match=r"would unpack data\.pkl to 2,097,154 bytes; the file has"):
        read_state_dict(path)


def test_an_archive_that_means_two_things_is_refused(path: Path) -> None:
    held = pickled(mapping({"a": tensor((6,))}))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one/data.pkl", held)
        file.writestr("two/data.pkl", held)
    with pytest.raises(BadWeights, match=r"holds 2 state dicts"):
        read_state_dict(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one/data.pkl", held)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("one/data.pkl", held)
    with pytest.raises(BadWeights, match="two entries of one name"):
        read_state_dict(path)
    with pytest.raises(BadWeights, match="describes its storage 0 in two ways"):
        read_state_dict(archive(path, mapping({"a": tensor((6,)), "b": tensor((12,))}), {"0": raw(SIX)}))


def test_modules_within_each_other_without_end_are_refused(path: Path) -> None:
    itself = b"c__torch__\nNetwork\n)\x81q\x00" + mapping({"again": b"h\x00"}) + b"b"
    with pytest.raises(BadWeights, match="without end"):
        read_state_dict(archive(path, itself, {}))
    # Each holds the one before it three times: 3 ** 40 paths.
    nested = b"c__torch__\nNetwork\n)\x81"
    for index in range(40):
        attributes = nested + b"q" + bytes([index])
        held = b"}(" + text("a") + attributes + b"".join(text(name) + b"h" + bytes([index]) for name in "bc") + b"u"
        nested = b"c__torch__\nNetwork\n)\x81" + held + b"b"
    with pytest.raises(BadWeights, match="without end"):
        read_state_dict(archive(path, nested, {}))


def test_instructions_made_to_fill_memory_or_the_stack_cost_nothing(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    remembered_far_out = mapping({"a": tensor((6,))}) + b"r" + struct.pack("<I", 2**32 - 1)
    np.testing.assert_array_equal(read_state_dict(archive(path, remembered_far_out, {"0": raw(SIX)}))["a"], SIX)
    nested_key = b"}" + b")" + b"\x85" * 200_000 + b"Ns"
    with pytest.raises(BadWeights, match="has a tuple as key"):
        read_state_dict(archive(path, nested_key, {}))
    longer_than_the_file = b"\x8d" + struct.pack("<Q", 2**62)
    with pytest.raises(BadWeights):
        read_state_dict(archive(path, longer_than_the_file, {}))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 500_000_000


# safetensors


def _entry(kind: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors_give_their_tensors(path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "a": _entry("F32", [2, 3], 4, 28),
        "b": _entry("BF16", [2], 0, 4),
        "c": _entry("I64", [], 28, 36),
    }
    content = raw(np.array([0x3F80, 0xC040], "<u2")) + raw(SIX) + raw(np.int64(5))
    tensors = read_state_dict(safetensors(path, header, content))
    np.testing.assert_array_equal(tensors["a"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(tensors["b"], np.array([1, -3], np.float32))
    assert tensors["c"] == 5
    assert tensors["c"].shape == ()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param({"a": _entry("F32", [5], 0, 20)}, "declares 20 bytes of tensors and holds 24", id="too few"),
        pytest.param({"a": _entry("F32", [7], 0, 28)}, "declares 28 bytes of tensors and holds 24", id="too many"),
        pytest.param({"a": _entry("F32", [6], 0, 20)}, "declares 20 bytes for a, which takes 24", id="another size"),
        pytest.param(
            {"a": _entry("F32", [6], 0, 24), "b": _entry("F32", [1], 0, 4)},
            "the tensor before it ends at 4",
            id="overlap",
        ),
        pytest.param({"a": _entry("F32", [5], 4, 24)}, "begins at byte 4", id="a gap"),
        pytest.param({"a": _entry("F32", [-6], 0, 24)}, "of no possible shape", id="a negative side"),
        pytest.param({"a": _entry("F32", [1 << 70, 0], 0, 0)}, "of no possible shape", id="an endless side"),
        pytest.param({"a": _entry("F32", [2] * 100_000, 0, 24)}, "of no possible shape", id="endlessly many sides"),
        pytest.param({"a": _entry("F8_E4M3", [24], 0, 24)}, "a is F8_E4M3", id="a kind NumPy lacks"),
        pytest.param({"a": {"dtype": "F32", "shape": [6]}}, "does not say what a is", id="no place"),
        pytest.param({"a": 3}, "does not say what a is", id="no description"),
        pytest.param({}, "holds|declares", id="empty"),
        pytest.param(b'{"a":' * 50_000, "damaged", id="nested without end"),
        pytest.param(b'{"a":{},"a":{}}', "says something twice", id="a name twice"),
        pytest.param(b"{\xff}", "damaged", id="not text"),
    ],
)
def test_safetensors_that_contradict_themselves_are_refused(path: Path, header: object, reason: str) -> None:
    with pytest.raises(BadWeights, match=reason):
        read_state_dict(safetensors(path, header, raw(SIX)))


# damage


def test_a_truncated_checkpoint_is_refused_wherever_it_ends(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "short.pth"
    for size in (0, 1, 10, 100, 5_000, 40_000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(BadWeights):
            read_state_dict(path)


def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    held = mapping({"a": tensor((2, 3)), "b": tensor((2,), key="1", kind="HalfStorage")})
    whole = [
        archive(tmp_path / "a.pth", held, {"0": raw(SIX), "1": b"1234"}),
        archive(
            tmp_path / "b.pth", module("N", {"a": tensor((6,))}), {"0": raw(SIX)}, compression=zipfile.ZIP_DEFLATED
        ),
        safetensors(tmp_path / "c.safetensors", {"a": _entry("F32", [6], 0, 24)}, raw(SIX)),
    ]
    legacy = b"".join(map(pickled, (number(_MAGIC), number(1001), b"}", held, b"](" + text("0") + text("1") + b"e")))
    (tmp_path / "d.pth").write_bytes(legacy + struct.pack("<Q", 6) + raw(SIX) + struct.pack("<Q", 2) + b"1234")
    whole.append(tmp_path / "d.pth")
    chance = random.Random(3)  # noqa: S311 - the same damage each time
    refused = 0
    for path in whole:
        content = path.read_bytes()
        assert read_state_dict(path)
        for _ in range(400):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
            try:
                read_state_dict(path)
            except BadWeights:
                refused += 1
    assert refused > 800


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zip.pth"
    for content in (b"PK\x03\x04" + bytes(100), bytes(100), b"<html>404", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(BadWeights, match=r"zip\.pth"):
            read_state_dict(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"none\.pth cannot be read: No such file"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(BadWeights, match="cannot be read: Is a directory"):
        read_state_dict(tmp_path)


def test_a_refusal_cannot_write_to_the_terminal_what_it_likes(path: Path) -> None:
    path.write_bytes(b"\x80\x02cevil\x1b[2J\n" + b"x" * 10_000 + b"\n.")
    with pytest.raises(BadWeights) as refusal:
        read_state_dict(path)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 600
