"""The limit of open files follows the connections that are wanted."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from fovea_server.edge import open_files


@pytest.fixture
def hard() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_is_raised_as_far_as_needed(hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert open_files.allow(1000) == 1000
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (4048, hard)


def test_a_limit_that_is_high_enough_stays(hard: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert open_files.allow(1) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_where_the_system_allows_fewer_that_many_are_taken(hard: int) -> None:
    assert open_files.allow(hard) == (hard - 2048) // 2
