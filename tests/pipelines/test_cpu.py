"""How many CPUs are ours, in a container too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fovea_pipelines import cpu

_OURS = len(os.sched_getaffinity(0))


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def _machine(root: Path, groups: str, **files: str) -> Path:
    """A root with these lines of /proc/self/cgroup, and these files below /sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/", {"cpu.max": "250000 100000"}, 3),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "9000000 100000"}, 64),
        ("0::/pods/ours", {"pods/cpu.max": "200000 100000", "pods/ours/cpu.max": "max 100000"}, 2),
        ("0::/", {}, 64),
        (
            "4:cpuset:/\n3:cpu,cpuacct:/a\n0::/",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "150000", "cpu,cpuacct/a/cpu.cfs_period_us": "50000"},
            3,
        ),
        ("3:cpu:/docker/of-the-host", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_quota_of_a_control_group_around_us_is_heeded(
    tmp_path: Path, groups: str, files: dict[str, str], cpus: int
) -> None:
    assert cpu.available(_machine(tmp_path, groups, **files)) == cpus


def test_without_control_groups_it_is_where_we_may_run(tmp_path: Path) -> None:
    assert cpu.available(tmp_path) == _OURS
    assert 1 <= cpu.available() <= _OURS
