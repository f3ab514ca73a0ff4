"""The client against a server that answers what no good node would."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from vault import errors
from vault.api.paths import decode_identifier
from vault.api.problems import BY_CLASS, PROBLEMS, document_of
from vault.client import Client, Endpoint, FileBody
from vault.client.answers import DepositStatus, encoded, format_digests, parse_digests
from vault.client.problems import error_of
from vault.errors import (
    ConfigError,
    Corrupted,
    Fault,
    Forbidden,
    Interrupted,
    Invalid,
    Refused,
    Unreachable,
    VaultError,
)


class Answer:
    """What the server answers to everything, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.cut = 0
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        told: Answer = self.server.told  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told.asked.append((self.command, self.path, dict(self.headers), body))
        self.send_response(told.status)
        for name, value in {"Content-Length": str(len(told.body) + told.cut), **told.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the client may have heard enough
            self.wfile.write(told.body)
        self.close_connection = bool(told.cut)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def address_string(self) -> str:
        return "-"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture(params=["tcp", "unix"])
def served(request, tmp_path) -> Iterator[tuple[Answer, Client]]:
    told = Answer()
    if request.param == "tcp":
        server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        endpoint = Endpoint(url=f"http://127.0.0.1:{server.server_address[1]}", token="secret")
    else:
        server = UnixServer(str(tmp_path / "s"), Handler)
        endpoint = Endpoint(socket=tmp_path / "s")
    server.told = told  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with Client(endpoint, timeout=5) as client:
            yield told, client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_token_goes_over_tcp_only(served):
    told, client = served
    told.body = b'{"items": []}'
    client.tokens()
    assert told.asked[0][2].get("Authorization") == ("Bearer secret" if client.endpoint.url else None)


IDENTIFIERS = [
    "a",
    "H49.61.8/2025/Đ-012",
    "..",
    "a/../b",
    "./x",
    "a//b",
    "/lead",
    "a?b#c",
    "100%",
    "a%2Fb",
    "a+b c&d;e",
]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_any_identifier_arrives_as_it_is(served, identifier):
    told, client = served
    told.status, told.body = 404, json.dumps(document_of(errors.NotFound("no", code="no-such-package"))).encode()
    with pytest.raises(errors.NotFound):
        client.package(identifier)
    path = told.asked[0][1]
    assert decode_identifier(path.removeprefix("/v1/packages/")) == identifier
    assert encoded(identifier) == path.removeprefix("/v1/packages/")


@pytest.mark.parametrize("digest", ["sha-256", "sha-512"])
def test_what_arrives_altered_is_never_taken_for_right(served, digest):
    told, client = served
    told.body = b"altered"
    right = hashlib.new(digest.replace("-", ""), b"as it was").digest()
    told.headers = {"Repr-Digest": f"{digest}=:{base64.b64encode(right).decode()}:"}
    with client.content("x", file="f") as download, pytest.raises(Corrupted, match=digest):
        list(download.chunks())


def test_what_arrives_right_is_told_so(served):
    told, client = served
    told.body = b"as it was" * 100_000
    told.headers = {"Repr-Digest": format_digests({"sha-512": hashlib.sha512(told.body).hexdigest()})}
    seen = []
    with client.content("x", version=2, file="thư mục/t.txt") as download:
        assert b"".join(download.chunks(seen.append)) == told.body
        assert (download.size, sum(seen)) == (len(told.body),) * 2
        assert download.digests == {"sha-512": hashlib.sha512(told.body).hexdigest()}
    url = httpx.URL("http://h" + told.asked[0][1])
    assert dict(url.params) == {"version": "2", "file": "thư mục/t.txt"}


def test_what_breaks_off_is_not_complete(served):
    told, client = served
    told.body, told.cut = b"half", 100
    with client.content("x", archive="tar") as download, pytest.raises(Interrupted):
        list(download.chunks())


def test_a_recall_is_not_content(served):
    told, client = served
    told.status, told.body = 202, b'{"id": "r"}'
    with pytest.raises(Unreachable) as caught, client.content("x", archive="tar"):
        pass
    assert caught.value.code == "recall-begun"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"policy_held": "perhaps"}', b"[" * 100_000])
def test_an_answer_that_is_no_answer_is_not_believed(served, body):
    told, client = served
    told.body = body
    with pytest.raises(VaultError) as caught:
        client.status()
    assert caught.value.code == "bad-answer"
    with pytest.raises(VaultError):
        client.checkpoint() if body != b'{"policy_held": "perhaps"}' else client.status()


def test_a_deposit_says_all_that_it_must(served, tmp_path):
    told, client = served
    file = tmp_path / "Tờ trình.pdf"
    file.write_bytes(b"%PDF" * 1000)
    told.status, told.body = 201, b'{"ingest": "i-1", "version": "v1", "signature": {}}'
    body = FileBody.prepare(str(file))
    done = client.deposit("H49/Đ", body, follows=3, wait=7, kind="file", metadata={"dc.creator": "Lò Văn Mây"})
    assert (done.status, done.ingest_id) == (DepositStatus.CREATED, "i-1")
    method, path, headers, received = told.asked[0]
    assert method == "PUT"
    assert received == b"%PDF" * 1000
    assert headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(received).digest()).decode()}:"
    assert (headers["If-Match"], headers["Prefer"]) == ('"v3"', "wait=7")
    assert "Transfer-Encoding" not in headers
    said = {"kind": "file", "filename": "Tờ trình.pdf", "dc.creator": "Lò Văn Mây"}
    assert dict(httpx.URL("http://h" + path).params) == said


def test_a_deposit_that_is_not_finished_is_pending(served, tmp_path):
    told, client = served
    (tmp_path / "f").write_bytes(b"x")
    told.status, told.body = 202, b'{"id": "i-2", "state": "stored", "receipt": null}'
    done = client.deposit("x", FileBody.prepare(str(tmp_path / "f")))
    assert (done.status, done.ingest_id, done.receipt) == (DepositStatus.PENDING, "i-2", None)


def test_a_source_that_changes_ends_the_deposit(served, tmp_path):
    _, client = served
    (tmp_path / "f").write_bytes(b"x" * 10)
    body = FileBody.prepare(str(tmp_path / "f"))
    (tmp_path / "f").write_bytes(b"y" * 11)
    with pytest.raises(Interrupted) as caught:
        client.deposit("x", body)
    assert caught.value.code == "source-changed"


# --- problems


def response(status: int, body: bytes) -> httpx.Response:
    return httpx.Response(status, content=body, request=httpx.Request("GET", "http://h/x"))


@pytest.mark.parametrize("kind", BY_CLASS)
def test_every_error_comes_back_as_itself(kind):
    sent = kind("What is wrong.", remedy="Do this.")
    document = document_of(sent)
    found = error_of(response(int(str(document["status"])), json.dumps(document).encode()))
    assert type(found) is kind
    assert (found.message, found.remedy, found.code) == (sent.message, sent.remedy, sent.code)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_comes_back_with_the_meaning_of_its_status(code):
    entry = PROBLEMS[code]
    body = {
        "type": f"urn:khoso:problem:{code}",
        "title": entry.title,
        "status": entry.status,
        "detail": "d",
        "code": code,
    }
    found = error_of(response(entry.status, json.dumps(body).encode()))
    assert found.code == code
    if entry.status == 404:
        assert isinstance(found, errors.NotFound)
    elif entry.status in (401, 403):
        assert isinstance(found, Forbidden)
    elif entry.status == 429:
        assert isinstance(found, errors.Throttled)
    elif entry.status < 500 and entry.status != 408:
        assert isinstance(found, Refused)
    else:
        assert not isinstance(found, Refused)


def test_faults_come_back_all():
    sent = Invalid("The bag is wrong.", faults=[Fault("a", "one", "p"), Fault("b", "two")], code="bag-invalid")
    found = error_of(response(400, json.dumps(document_of(sent)).encode()))
    assert isinstance(found, Invalid)
    assert found.faults == sent.faults


@pytest.mark.parametrize(
    ("status", "kind"), [(502, Unreachable), (404, errors.NotFound), (500, VaultError), (418, Invalid)]
)
def test_a_proxy_in_between_is_named_as_such(status, kind):
    found = error_of(response(status, b"<html>"))
    assert type(found) is kind
    assert "proxy" in found.remedy


# --- where


@pytest.mark.parametrize("url", ["ftp://h", "h:8420", "http://", "http://127.0.0.1/v1", "https://h?x=1"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError):
        Client(Endpoint(url=url))


def test_a_token_is_not_sent_to_another_machine_in_the_clear():
    with pytest.raises(Refused) as caught:
        Client(Endpoint(url="http://kho.example.vn:8420", token="secret"))
    assert caught.value.code == "clear-text"
    Client(Endpoint(url="https://kho.example.vn", token="secret")).close()


def test_a_proxy_of_the_environment_does_not_come_between(monkeypatch, served):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    told, client = served
    told.body = b'{"items": []}'
    with Client(client.endpoint) as another:
        assert another.volumes().items == []


def test_no_daemon_is_said_so(tmp_path):
    with pytest.raises(Unreachable, match="not running: there is no"):
        Client(Endpoint(socket=tmp_path / "s"))
    abandoned = socketserver.UnixStreamServer(str(tmp_path / "old"), Handler)
    abandoned.server_close()
    assert Path(tmp_path / "old").exists()
    with pytest.raises(Unreachable, match="nobody answers"):
        Client(Endpoint(socket=tmp_path / "old"))
    with Client(Endpoint(url="http://127.0.0.1:1")) as client, pytest.raises(Unreachable, match="does not answer"):
        client.status()


@pytest.mark.parametrize("header", ["", "sha-256", "md5=:AAAA:", "sha-256=:!!!:", "sha-256=:A:"])
def test_a_digest_that_cannot_be_read_is_none(header):
    assert parse_digests(header) == {}
