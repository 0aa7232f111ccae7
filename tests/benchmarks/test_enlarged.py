"""Photographs of a camera's size, made from smaller ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from benchmarks import enlarged
from PIL import Image

from fovea_client.load import Photograph


def test_a_photograph_gets_larger_and_noisier_and_the_same_every_time(espresso: bytes) -> None:
    given = Photograph("espresso.jpg", "image/jpeg", espresso)
    made = enlarged.enlarged(given, (900, 600))
    assert made == enlarged.enlarged(given, (900, 600))
    small = Image.open(io.BytesIO(espresso)).convert("RGB")
    clean = np.asarray(small.resize((900, 600), Image.Resampling.BICUBIC), np.float32)
    noise = np.asarray(Image.open(io.BytesIO(made)).convert("RGB"), np.float32) - clean
    assert abs(noise.mean()) < 1
    assert 1 < noise.std() < 8


def test_photographs_are_made_again_only_where_the_given_ones_changed(
    tmp_path: Path, espresso: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlarged, "_CACHE", tmp_path)
    given = Photograph("espresso.jpg", "image/jpeg", espresso)
    folder = enlarged.written([given], (90, 60))
    (folder / "espresso.jpg").write_bytes(b"seen before")
    assert (enlarged.written([given], (90, 60)) / "espresso.jpg").read_bytes() == b"seen before"
    enlarged.written([Photograph("other.jpg", "image/jpeg", espresso)], (90, 60))
    assert [path.name for path in folder.iterdir()] == ["other.jpg"]
