"""One served Fovea for all the tests that do not hurt it, and one of its own for each test that does."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from tests.e2e.served import Served, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test also shows what its servers last wrote."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Served) and value.log_path.exists():
                report.sections.append((f"log of {name}", value.log[-6000:]))
    return report


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of compiled networks: whoever is killed while it tries the user's keeps all others from them for an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def server(package: ModelPackage) -> Iterator[Served]:
    with served(free_ports(5)) as server:
        yield server


@pytest.fixture
def own_server(package: ModelPackage, request: pytest.FixtureRequest) -> Iterator[Served]:
    """For a test that kills, drains or overloads it; its parameter is how many gateway processes it has."""
    with served(free_ports(5), f"--workers={getattr(request, 'param', 1)}") as server:
        yield server
