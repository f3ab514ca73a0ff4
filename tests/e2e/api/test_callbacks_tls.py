"""A receiver over TLS, as they all are but on trial: told only where its certificate is of whom it says it is."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.api.test_deposits import put
from tests.support.certificates import Authority
from tests.support.serving import Running, served
from vault.catalog import callbacks
from vault.catalog.callback_tables import callbacks as table
from vault.config import CallbackSettings
from vault.depositing import Callback
from vault.errors import ConfigError
from vault.intake.callbacks import Callbacks, trusted


class Handler(BaseHTTPRequestHandler):
    told: list[str] = []  # noqa: RUF012 - one receiver at a time

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.told.append(f"{self.headers['Host']} {self.path}")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def receiver(authority: Authority) -> Iterator[ThreadingHTTPServer]:
    """One that shows a certificate for localhost and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("receiver"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("node")
    (root / "secret").write_text("whsec_" + base64.b64encode(b"a secret of more than twenty-four bytes").decode())
    (root / "secret").chmod(0o600)
    lines = f'hosts = ["localhost", "kho.example"]\nsecret = "{root}/secret"\nloopback = true\n'
    with served(root, callbacks=lines) as found:
        # What is told here is told by the tests' own.
        assert found.node.callbacks.stop(timedelta(seconds=20))
        yield found


def tell(running: Running, url: str, authority: Path | None) -> Callback:
    """Have a deposit told to this address, whose host is this machine whatever its name."""
    Handler.told.clear()
    secret = running.node.settings.callbacks.secret
    hosts = ["localhost", "kho.example"]
    settings = CallbackSettings(hosts=hosts, secret=str(secret), loopback=True, authority=authority and str(authority))
    with running.client("deposit", "read") as client:
        ingest_id = put(client, "báo", b"x", {"Prefer": "wait=120"}).json()["ingest"]
    with running.node.catalogue.write() as tx:
        tx.connection.execute(table.delete())
        callbacks.add(tx, ingest_id, url)
    Callbacks(running.node.custodian, settings, lambda _host, _port: ["127.0.0.1"]).tell_all()
    with running.node.catalogue.read() as tx:
        found = callbacks.get(tx, ingest_id)
    assert found is not None
    return found


def test_a_receiver_whose_authority_is_named_is_told(
    running: Running, receiver: ThreadingHTTPServer, authority: Authority
) -> None:
    port = receiver.server_address[1]
    found = tell(running, f"https://localhost:{port}/nhận?k=1".replace("ậ", "%E1%BA%AD"), authority.certificate)
    assert found.outcome == "delivered", found.message
    assert Handler.told == [f"localhost:{port} /nh%E1%BA%ADn?k=1"]


def test_a_certificate_of_a_stranger_is_not_believed(running: Running, receiver: ThreadingHTTPServer) -> None:
    found = tell(running, f"https://localhost:{receiver.server_address[1]}/", None)
    assert found.outcome == ""
    assert "CERTIFICATE_VERIFY_FAILED" in found.message
    assert not Handler.told


def test_a_certificate_of_another_name_is_not_believed(
    running: Running, receiver: ThreadingHTTPServer, authority: Authority
) -> None:
    """The connection goes to the address that was judged, but it is the name that must be proved."""
    found = tell(running, f"https://kho.example:{receiver.server_address[1]}/", authority.certificate)
    assert found.outcome == ""
    assert "not valid for 'kho.example'" in found.message
    assert not Handler.told


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match="cannot be read"):
        trusted(path)
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match="cannot be read"):
        trusted(path)
