"""A result's file says on what CPU it was made, so that one machine's does not take the place of another's."""

from __future__ import annotations

import pytest
from benchmarks import machine


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("AMD EPYC", "cpu2-amd-epyc"),
        ("AMD EPYC 9R14 96-Core Processor", "cpu2-amd-epyc-9r14"),
        ("Intel(R) Xeon(R) Processor @ 2.50GHz", "cpu2-intel-xeon"),
        ("Intel(R) Xeon(R) Platinum 8488C", "cpu2-intel-xeon-platinum-8488c"),
        ("", "cpu2"),
    ],
)
def test_the_word_for_file_names_is_cores_and_cpu(monkeypatch: pytest.MonkeyPatch, model: str, word: str) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: 2)
    monkeypatch.setattr(machine.cpu, "name", lambda: model)
    assert machine.word() == word
