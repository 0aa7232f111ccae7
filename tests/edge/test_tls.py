"""TLS on both faces: whom it lets in, how it notices new files, what it says of bad ones."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from tests import certificates
from tests.certificates import Signed
from tests.edge.faces import faces
from tests.waiting import eventually

from fovea_client import AsyncClient, AsyncGrpcClient, FoveaClientError, Unreachable
from fovea_server.edge import bounded_connection, tls, tls_listener
from fovea_server.edge.listen import ConnectionLimits
from fovea_server.edge.tls import Certificates, TlsSettings
from fovea_server.edge.tls_listener import TlsListener
from fovea_server.errors import StartError


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signed]:
    """Two authorities, and what each signed."""
    folder = tmp_path_factory.mktemp("pki")
    first, second = certificates.authority(folder, "first"), certificates.authority(folder, "second")
    return {
        "first": first,
        "second": second,
        "server": certificates.signed(first, folder, "server"),
        "other server": certificates.signed(second, folder, "other-server"),
        "caller": certificates.signed(first, folder, "caller"),
        "other caller": certificates.signed(second, folder, "other-caller"),
    }


@pytest.fixture
def installed(pki: dict[str, Signed], tmp_path: Path) -> TlsSettings:
    """The server's files where they can be replaced."""
    settings = TlsSettings(tmp_path / "chain.pem", tmp_path / "key.pem")
    _install(pki["server"], settings)
    return settings


def _install(what: Signed, settings: TlsSettings) -> None:
    shutil.copy(what.certificate, settings.certificate)
    shutil.copy(what.key, settings.key)


async def _models(served: object, trusted: Signed, shown: Signed | None = None) -> list[int | str]:
    """How many models each face says there are to a caller, or how asking failed."""
    options = {
        "ca_file": trusted.certificate,
        "client_certificate": None if shown is None else (shown.certificate, shown.key),
        "retries": 0,
    }
    said: list[int | str] = []
    for client in (
        AsyncClient(f"https://127.0.0.1:{served.rest_port}", **options),  # type: ignore[attr-defined]
        AsyncGrpcClient(served.grpc, **options),  # type: ignore[attr-defined]
    ):
        async with client:
            try:
                said.append(len(await client.models(timeout=5)))
            except FoveaClientError as error:
                said.append(error.reason)
    return said


REFUSED = ["UNREACHABLE", "UNREACHABLE"]


async def test_both_faces_answer_who_trusts_the_signer_and_nobody_else(
    installed: TlsSettings, pki: dict[str, Signed]
) -> None:
    async with faces(certificates=Certificates(installed)) as served:
        assert await _models(served, pki["first"]) == [2, 2]
        assert await _models(served, pki["second"]) == REFUSED
        async with AsyncClient(served.rest, retries=0) as plain:
            with pytest.raises(FoveaClientError):
                await plain.models(timeout=5)
        async with AsyncGrpcClient(served.grpc, retries=0) as plain_grpc:
            with pytest.raises(Unreachable):
                await plain_grpc.models(timeout=5)


async def test_with_a_client_ca_callers_must_show_a_certificate_that_it_signed(
    installed: TlsSettings, pki: dict[str, Signed]
) -> None:
    settings = TlsSettings(installed.certificate, installed.key, pki["first"].certificate)
    async with faces(certificates=Certificates(settings)) as served:
        assert await _models(served, pki["first"], pki["caller"]) == [2, 2]
        for shown in (None, pki["other caller"]):
            rest, grpc = await _models(served, pki["first"], shown)
            assert rest != 1
            assert grpc == "UNREACHABLE"


async def test_replaced_files_count_for_the_next_connection_on_both_faces(
    installed: TlsSettings, pki: dict[str, Signed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_LOOK_AGAIN", 0.0)
    async with faces(certificates=Certificates(installed)) as served:
        assert await _models(served, pki["first"]) == [2, 2]
        _install(pki["other server"], installed)
        assert await _models(served, pki["second"]) == [2, 2]
        assert await _models(served, pki["first"]) == REFUSED


async def test_a_replaced_client_ca_shuts_out_whom_it_did_not_sign(
    installed: TlsSettings, pki: dict[str, Signed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_LOOK_AGAIN", 0.0)
    trusted = tmp_path / "callers.pem"
    shutil.copy(pki["first"].certificate, trusted)
    async with faces(certificates=Certificates(TlsSettings(installed.certificate, installed.key, trusted))) as served:
        assert await _models(served, pki["first"], pki["caller"]) == [2, 2]
        shutil.copy(pki["second"].certificate, trusted)
        assert await _models(served, pki["first"], pki["other caller"]) == [2, 2]
        rest, grpc = await _models(served, pki["first"], pki["caller"])
        assert rest != 1
        assert grpc == "UNREACHABLE"


@pytest.mark.parametrize("broken", ["text", "gone", "half"])
async def test_a_broken_replacement_keeps_the_old_certificate_and_is_logged_once(
    installed: TlsSettings,
    pki: dict[str, Signed],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    monkeypatch.setattr(tls, "_LOOK_AGAIN", 0.0)
    async with faces(certificates=Certificates(installed)) as served:
        if broken == "text":
            installed.certificate.write_text("no certificate")
        elif broken == "gone":
            installed.key.unlink()
        else:  # the certificate is there, its key is not yet
            shutil.copy(pki["other server"].certificate, installed.certificate)
        for _ in range(2):
            assert await _models(served, pki["first"]) == [2, 2]
        said = capsys.readouterr()
        assert (said.out + said.err).count("the certificate stays as it was") == 1
        _install(pki["other server"], installed)
        assert await _models(served, pki["second"]) == [2, 2]


def test_what_is_wrong_with_a_file_is_said_with_its_name(
    installed: TlsSettings, pki: dict[str, Signed], tmp_path: Path
) -> None:
    chain, key = installed.certificate, installed.key
    text, damaged = tmp_path / "text.pem", tmp_path / "damaged.pem"
    text.write_text("hello")
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    locked = certificates.encrypted(pki["server"].key)
    for settings, said in (
        (TlsSettings(tmp_path / "none.pem", key), r"none\.pem cannot be read: No such file"),
        (TlsSettings(text, key), r"text\.pem holds no certificate"),
        (TlsSettings(key, key), r"key\.pem holds no certificate"),
        (TlsSettings(chain, chain), r"chain\.pem holds no private key"),
        (TlsSettings(damaged, key), r"damaged\.pem cannot be used as a certificate"),
        (TlsSettings(chain, pki["caller"].key), r"caller\.key is not the key of .*chain\.pem"),
        (TlsSettings(chain, locked), r"server\.locked is encrypted"),
        (TlsSettings(chain, key, text), r"text\.pem holds no certificate"),
        (TlsSettings(chain, key, damaged), r"damaged\.pem cannot be used"),
    ):
        with pytest.raises(StartError, match=said):
            Certificates(settings)


async def test_old_versions_of_tls_are_refused(installed: TlsSettings, pki: dict[str, Signed]) -> None:
    context = ssl.create_default_context(cafile=pki["first"].certificate)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with faces(certificates=Certificates(installed)) as served:
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", served.rest_port, ssl=context)


async def test_a_handshake_that_never_comes_is_cut(installed: TlsSettings) -> None:
    limits = ConnectionLimits(header_seconds=0.5)
    async with faces(certificates=Certificates(installed), limits=limits) as served:
        for port in (served.rest_port, int(served.grpc.rpartition(":")[2])):
            with socket.create_connection(("127.0.0.1", port)) as silent:
                silent.setblocking(False)
                ended = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(silent, 1), 6)
                assert ended == b""


def _has_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


async def test_many_handshakes_that_never_come_keep_nobody_out_and_are_bounded(
    installed: TlsSettings, pki: dict[str, Signed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "_AT_ONCE", 8)
    monkeypatch.setattr(tls_listener, "_ITS_TIME", 0.01)
    async with faces(certificates=Certificates(installed)) as served:
        silent = [socket.create_connection(("127.0.0.1", served.rest_port)) for _ in range(30)]
        try:
            assert await _models(served, pki["first"]) == [2, 2]
            assert 22 <= sum(map(_has_ended, silent)) < 30
        finally:
            for each in silent:
                each.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_who_shakes_hands_and_then_says_nothing_holds_no_connection_beyond_the_limit(
    installed: TlsSettings, pki: dict[str, Signed], monkeypatch: pytest.MonkeyPatch, run: Callable[[Any], None]
) -> None:
    """Not even the goodbye of TLS, which the server would wait for."""
    monkeypatch.setattr(bounded_connection, "_LINGERING", 4)
    limits = ConnectionLimits(max_connections=4)
    context = ssl.create_default_context(cafile=pki["first"].certificate)

    def silent(port: int) -> ssl.SSLSocket:
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")

    async def story() -> None:
        async with faces(certificates=Certificates(installed), limits=limits) as served:
            callers = [await asyncio.to_thread(silent, served.rest_port) for _ in range(30)]
            try:
                await eventually(lambda: _held(served.rest_port) <= 8, seconds=5)
                await eventually(lambda: _held(served.rest_port) <= 4, seconds=10)
                rest, _ = await _models(served, pki["first"])
                assert rest == 2
            finally:
                for each in callers:
                    each.close()

    run(story())


def _held(port: int) -> int:
    """Connections to a port of ours that this process has open."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
        for each in psutil.Process().net_connections("tcp")
    )


async def test_both_loops_shake_hands_also_with_who_says_everything_at_once(
    installed: TlsSettings, pki: dict[str, Signed]
) -> None:
    """A caller that need not wait for the server's part sends its request with the end of the handshake."""

    async def ask() -> list[int | str]:
        async with faces(certificates=Certificates(installed)) as served:
            return [each for _ in range(20) for each in await _models(served, pki["first"])]

    assert await ask() == [2] * 40
    assert await asyncio.to_thread(lambda: uvloop.run(ask())) == [2] * 40


async def test_a_storm_of_callers_who_mean_it_is_let_in(
    installed: TlsSettings, pki: dict[str, Signed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "_AT_ONCE", 8)
    context = ssl.create_default_context(cafile=pki["first"].certificate)
    async with faces(certificates=Certificates(installed)) as served:
        opening = [asyncio.open_connection("127.0.0.1", served.rest_port, ssl=context) for _ in range(60)]
        for _, writer in await asyncio.wait_for(asyncio.gather(*opening), 30):
            writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_who_comes_while_it_drains_is_refused_at_once(installed: TlsSettings, run: Callable[[Any], None]) -> None:
    async def story() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listener = TlsListener([listening], 16, Certificates(installed).for_rest(), 5.0, asyncio.Protocol)
        await asyncio.sleep(0.05)
        listener.close()
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await listener.wait_closed()

    run(story())
