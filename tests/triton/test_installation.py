"""What keeps Triton from working is said before it starts, with the remedy."""

from __future__ import annotations

import platform
import socket
import sysconfig
from pathlib import Path

import pytest
from tests.ports import free_ports

from fovea_server.errors import StartError
from fovea_server.triton import installation, ports


def test_the_tritonserver_of_the_wheel_is_found_with_what_surrounds_it() -> None:
    found = installation.find("cpu")
    assert found.binary.is_file()
    assert (found.backends / "python/libtriton_python.so").is_file()
    assert found.stub is None or found.stub.is_file()
    assert found.config_name == "cpu"


def test_an_old_glibc_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(StartError, match=r"needs glibc 2\.35; this system has glibc 2\.31") as raised:
        installation.find("cpu")
    assert "Debian 12" in raised.value.hint


def test_numpy_2_is_refused_with_the_remedy() -> None:
    installation.check_numpy("1.26.4")
    with pytest.raises(StartError, match=r"NumPy 2\.1\.0 is installed") as raised:
        installation.check_numpy("2.1.0")
    assert raised.value.hint == "pip install 'numpy<2'"


def test_a_python_without_its_shared_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr("sys.base_prefix", str(tmp_path))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setattr(installation, "_loadable", lambda name: None)
    with pytest.raises(StartError, match=r"has no shared library libpython3\.\d+\.so\.1\.0") as raised:
        installation.shared_libpython()
    assert "apt-get install libpython3." in raised.value.hint


def test_a_machine_without_tritonserver_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartError, match="no tritonserver on this machine") as raised:
        installation.find("cpu")
    assert raised.value.hint == "pip install 'fovea-server[cpu]'"


def test_every_taken_port_is_named_at_once_with_a_line_that_works() -> None:
    first, second = free_ports(2)
    with (
        socket.create_server(("127.0.0.1", first)),
        socket.create_server(("127.0.0.1", second)),
        pytest.raises(StartError) as raised,
    ):
        ports.check_all_free([("127.0.0.1", first, "REST"), ("127.0.0.1", second, "gRPC")])
    assert f"port {first} for REST" in str(raised.value)
    assert f"port {second} for gRPC" in str(raised.value)
    assert "--triton-metrics-port" in raised.value.hint


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(StartError, match=r"no-such-host\.invalid is no address of this machine"):
        ports.check_all_free([("no-such-host.invalid", 9999, "REST")])


def test_a_taken_port_is_named_with_who_holds_it() -> None:
    (port,) = free_ports(1)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with pytest.raises(StartError, match=rf"port {port} for REST cannot be used: process \d+ \(.+\) listens on it"):
            ports.check_all_free([("127.0.0.1", port, "REST")])
    ports.check_all_free([("127.0.0.1", port, "REST")])
