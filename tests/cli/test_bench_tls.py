"""`fovea bench` against a server that asks for a certificate which it was not given."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests import certificates
from typer.testing import CliRunner

from fovea_server.cli.bench import bench

app = typer.Typer()
app.command()(bench)


@contextlib.contextmanager
def _asking_for_a_certificate(ca: certificates.Signed, folder: Path) -> Iterator[str]:
    mine = certificates.signed(ca, folder, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.certificate)
    context.load_cert_chain(mine.certificate, mine.key)
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse() -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with caller, contextlib.suppress(OSError):
                    context.wrap_socket(caller, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = threading.Thread(target=refuse)
        refusing.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # which also wakes who waits for callers
            refusing.join(10)


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_the_hint_names_the_option(tmp_path: Path, scheme: str) -> None:
    ca = certificates.authority(tmp_path, "ca")
    (tmp_path / "1.jpg").write_bytes(b"x" * 1000)
    with _asking_for_a_certificate(ca, tmp_path) as address:
        words = (f"--url={scheme}://{address}", f"--ca-file={ca.certificate}", f"--images={tmp_path}", "-c1", "-s1")
        said = CliRunner().invoke(app, words)
    assert said.exit_code == 1
    assert "--client-certificate" in said.stderr
