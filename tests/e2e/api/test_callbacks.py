"""A depositor's program is told how its deposit ended: signed, again and again, and nobody else is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.api.test_deposits import assert_problem, put
from tests.e2e.api.test_uploads import begin, created
from tests.support.serving import Running, bag, eventually, served
from vault.catalog import callbacks
from vault.catalog.callback_tables import callbacks as table
from vault.config import CallbackSettings
from vault.errors import ConfigError, Invalid
from vault.intake.callbacks import Callbacks, is_allowed, load_secret, read_url

SECRET = b"a secret of more than twenty-four bytes"


class Receiver(ThreadingHTTPServer):
    """Takes what is told, and answers what it is asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory, receiver) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("node")
    (root / "secret").write_text("whsec_" + base64.b64encode(SECRET).decode())
    (root / "secret").chmod(0o600)
    host = receiver.url.removeprefix("http://")
    lines = f'hosts = ["{host}", "nowhere.invalid"]\nsecret = "{root}/secret"\nloopback = true\n'
    with served(root, callbacks=lines) as found:
        yield found


@pytest.fixture
def depositor(running):
    with running.client("deposit", "read") as client:
        yield client


@pytest.fixture(autouse=True)
def clean(receiver):
    receiver.told.clear()
    receiver.status, receiver.headers = 204, {}


def first_told(receiver: Receiver) -> tuple[str, dict[str, str], dict]:
    eventually(lambda: receiver.told)
    path, headers, body = receiver.told[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    return path, headers, json.loads(body)


def test_a_receipt_is_told_with_a_signature(receiver, depositor):
    answer = put(depositor, "báo", b"bytes", callback=f"{receiver.url}/vault?key=1")
    assert answer.status_code == 201
    path, headers, said = first_told(receiver)
    assert path == "/vault?key=1"
    assert said["type"] == "ingest.receipted"
    assert said["data"]["receipt"] == answer.json()
    assert said["data"]["identifier"] == "báo"
    ingest = f"/v1/ingests/{headers['webhook-id']}"
    eventually(lambda: depositor.get(ingest).json()["callback"] == "delivered")
    assert "callback" not in depositor.get("/v1/packages/b%C3%A1o").json()["versions"][0]["metadata"]


def test_a_refused_upload_is_told_with_all_its_reasons(receiver, depositor):
    broken = bag({"a.txt": b"right", "b.txt": b"right"}).replace(b"right", b"wrong")
    created(depositor, "hỏng", len(broken), broken, kind="bag", callback=f"{receiver.url}/x")
    _, _, said = first_told(receiver)
    assert said["type"] == "ingest.refused"
    assert {fault["path"] for fault in said["data"]["problem"]["faults"]} >= {"data/a.txt", "data/b.txt"}


def test_who_does_not_answer_well_is_told_again_with_the_same_id(running, receiver, depositor):
    receiver.status = 500
    answer = put(depositor, "lại", b"bytes", callback=f"{receiver.url}/x")
    ingest_id = answer.json()["ingest"]
    eventually(lambda: receiver.told)
    found = eventually(lambda: (c := _callback(running, ingest_id)).attempts and c)
    assert found.outcome == ""
    assert "500" in found.message
    receiver.status = 204
    _now(running, ingest_id)
    eventually(lambda: _callback(running, ingest_id).outcome == "delivered")
    assert {headers["webhook-id"] for _, headers, _ in receiver.told} == {ingest_id}


def test_a_redirect_is_not_followed_and_a_day_is_the_end(running, receiver, depositor):
    receiver.status, receiver.headers = 302, {"Location": f"{receiver.url}/elsewhere"}
    ingest_id = put(depositor, "nơi khác", b"bytes", callback=f"{receiver.url}/x").json()["ingest"]
    eventually(lambda: _callback(running, ingest_id).attempts)
    assert [path for path, _, _ in receiver.told] == ["/x"]
    with running.node.catalogue.write() as tx:
        mine = table.c.ingest_id == ingest_id
        long_ago = tx.now - timedelta(days=2)
        tx.connection.execute(table.update().where(mine).values(first_at=long_ago, not_before=tx.now))
    eventually(lambda: _callback(running, ingest_id).outcome == "given-up")
    assert depositor.get(f"/v1/ingests/{ingest_id}").json()["callback"] == "given-up"


def test_what_is_to_be_told_survives_a_restart(tmp_path, receiver):
    (tmp_path / "secret").write_text("whsec_" + base64.b64encode(SECRET).decode())
    (tmp_path / "secret").chmod(0o600)
    lines = f'hosts = ["127.0.0.1"]\nsecret = "{tmp_path}/secret"\nloopback = true\n'
    receiver.status = 503
    with served(tmp_path, callbacks=lines) as running, running.client("deposit", "read") as client:
        ingest_id = put(client, "sống", b"bytes", callback=f"{receiver.url}/x").json()["ingest"]
        eventually(lambda: _callback(running, ingest_id).attempts)
        _now(running, ingest_id)
        assert running.node.callbacks.stop(timedelta(seconds=20))
    receiver.told.clear()
    receiver.status = 204
    with served(tmp_path, callbacks=lines) as running:
        _now(running, ingest_id)
        eventually(lambda: _callback(running, ingest_id).outcome == "delivered")
    assert receiver.told


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.example/x", "callback-not-allowed"),
        ("https://nowhere.invalid@evil.example/x", "bad-callback"),
        ("https://user:pw@nowhere.invalid/", "bad-callback"),
        ("https://nowhere.invalid/#x", "bad-callback"),
        ("http://nowhere.invalid/", "bad-callback"),
        ("ftp://nowhere.invalid/", "bad-callback"),
        ("//nowhere.invalid/", "bad-callback"),
        ("https://nowhere.invalid:99999/", "bad-callback"),
        ("https://[::1/", "bad-callback"),
        ("https://127.0.0.1/", "callback-not-allowed"),
        ("https://nowhere.invalid/" + "x" * 2000, "bad-callback"),
        ("https://nowhere.invalid/\u0111", "bad-callback"),
    ],
)
def test_only_hosts_of_the_configuration_are_told(depositor, url, code):
    assert_problem(put(depositor, "không", b"x", callback=url), 400, code)
    assert_problem(begin(depositor, "không", 10, callback=url), 400, code)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("203.0.114.5", True),
        ("2001:4860:4860::8888", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
    ],
)
def test_a_name_that_leads_to_this_machine_or_this_link_is_not_followed(address, allowed):
    assert is_allowed(address, loopback=False) is allowed
    own = address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert is_allowed(address, loopback=True) is (allowed or own)


def test_a_host_that_moves_to_this_machine_is_not_called(running, receiver, tmp_path):
    """DNS rebinding: the name was allowed, and now it leads to what only this machine can reach."""
    secret = running.node.settings.callbacks.secret
    settings = CallbackSettings(hosts=["kho.example"], secret=str(secret))
    asked: list[str] = []

    def rebound(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    teller = Callbacks(running.node.custodian, settings, rebound)
    with running.client("deposit", "read") as client:
        ingest_id = put(client, "đổi chỗ", b"x", {"Prefer": "wait=120"}).json()["ingest"]
    port = receiver.server_address[1]
    with running.node.catalogue.write() as tx:
        callbacks.add(tx, ingest_id, f"https://kho.example:{port}/x")
        found = callbacks.get(tx, ingest_id)
    from vault.catalog import ingests

    with running.node.catalogue.read() as tx:
        ingest = ingests.get(tx, ingest_id)
    message, outcome, _ = teller._tell(found, ingest)
    assert (outcome, asked) == ("", ["kho.example"])
    assert "not allowed" in message
    assert not receiver.told


def test_an_address_is_taken_apart():
    settings = CallbackSettings(hosts=["kho.example.vn", "10.1.2.3:8443"])
    found = read_url("https://KHO.example.vn./a?b=c", settings)
    assert (found.host, found.port, found.path) == ("kho.example.vn", 443, "/a?b=c")
    assert read_url("https://10.1.2.3:8443", settings).path == "/"
    with pytest.raises(Invalid):
        read_url("https://10.1.2.3/", settings)


@pytest.mark.parametrize(("text", "mode"), [("whsec_short", 0o600), ("no base64 !", 0o600), (None, 0o644)])
def test_a_secret_that_is_none_is_refused(tmp_path, text, mode):
    path = tmp_path / "secret"
    path.write_text(text or "whsec_" + base64.b64encode(os.urandom(32)).decode())
    path.chmod(mode)
    with pytest.raises(ConfigError):
        load_secret(path)
    with pytest.raises(ConfigError):
        load_secret(tmp_path / "none")


def _callback(running: Running, ingest_id: str):
    with running.node.catalogue.read() as tx:
        found = callbacks.get(tx, ingest_id)
    assert found is not None
    return found


def _now(running: Running, ingest_id: str) -> None:
    """As if its wait were over."""
    with running.node.catalogue.write() as tx:
        mine = table.c.ingest_id == ingest_id
        tx.connection.execute(table.update().where(mine).values(not_before=tx.now))
