"""Bounds before anybody is known: trailers, fields, connections; and whose word counts on who asks."""

from __future__ import annotations

import getpass
import http.client
import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Running, eventually, served
from vault.api import peer
from vault.api.auth import local_operator
from vault.catalog import ingests
from vault.errors import Forbidden


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A node that takes few connections, behind proxies."""
    api = 'max_connections = 10\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/8"]'
    with served(tmp_path_factory.mktemp("narrow"), api=api) as found:
        yield found


def connect(running: Running) -> socket.socket:
    url = httpx.URL(running.base)
    return socket.create_connection((url.host, url.port), 10)


def ask(running: Running, data: bytes) -> tuple[int, dict]:
    with connect(running) as connection:
        connection.sendall(data)
        return answer(connection)


def answer(connection: socket.socket, more: bytes = b"") -> tuple[int, dict]:
    connection.sendall(more)
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def is_receiving(running: Running, identifier: str) -> bool:
    with running.node.catalogue.read() as tx:
        return identifier in {ingest.identifier for ingest in ingests.unfinished(tx)}


def deposit_head(running: Running, identifier: str, more: str = "") -> bytes:
    token = running.tokens["deposit+read"]
    return (
        f"PUT /v1/packages/{identifier} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
        f"Transfer-Encoding: chunked\r\n{more}\r\n"
    ).encode()


def test_small_trailers_are_taken_and_forgotten(running: Running) -> None:
    body = b"5\r\nhello\r\n0\r\nAuthorization: Bearer other\r\nX-Sum: 1\r\n\r\n"
    assert ask(running, deposit_head(running, "trailer/1") + body)[0] == 201


@pytest.mark.parametrize(
    "after",
    [
        b"0\r\n" + b"X-T: " + b"a" * 300_000 + b"\r\n\r\n",
        b"0\r\n" + b"X-T: " + b"a" * 600_000,
        b"0\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
        b"5;" + b"x" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["one-long", "one-without-end", "many", "extension"],
)
def test_what_surrounds_a_chunked_body_is_bounded(running: Running, after: bytes) -> None:
    with connect(running) as connection:
        try:
            connection.sendall(deposit_head(running, "trailer/2") + b"5\r\nhello\r\n" + after)
            status, problem = answer(connection)
        except OSError:
            status, problem = 400, {"code": "bad-request"}
    assert (status, problem["code"]) == (400, "bad-request")
    with running.client("read") as client:
        assert client.get("/v1/packages/trailer/2").status_code == 404


def upgrade(running: Running, method: str, path: str, more: str) -> bytes:
    bearer = f"Authorization: Bearer {running.tokens['deposit+read']}"
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n{bearer}\r\nTus-Resumable: 1.0.0\r\n"
        f"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n{more}\r\n"
    ).encode()


def test_a_body_that_came_with_an_upgrade_is_no_second_request(running: Running) -> None:
    """What does not read it is at odds with every proxy on where the next request begins."""
    within = deposit_head(running, "upgrade/smuggled") + b"1\r\nx\r\n0\r\n\r\n"
    more = f"Connection: Upgrade\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {len(within)}\r\n"
    with connect(running) as connection:
        connection.sendall(upgrade(running, "PATCH", "/v1/uploads/none", more + "Upload-Offset: 0\r\n"))
        assert answer(connection, within)[0] == 404
    with running.client("read") as client:
        assert client.get("/v1/packages/upgrade/smuggled").status_code == 404


@pytest.mark.parametrize("together", [True, False], ids=["one-packet", "later"])
@pytest.mark.parametrize("close", [False, True], ids=["keep-alive", "close"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upgrade_is_passed_over(running: Running, *, together: bool, close: bool, chunked: bool) -> None:
    """Java's own client asks for one with the first request of each connection, ``curl --http2`` too."""
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 5"
    more = f"Connection: {'close, ' if close else ''}Upgrade, HTTP2-Settings\r\n{framing}\r\n"
    name = f"upgrade/{together}-{close}-{chunked}"
    head = upgrade(running, "PUT", f"/v1/packages/{name}", more)
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    with connect(running) as connection:
        if together:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            eventually(lambda: is_receiving(running, name))
            connection.sendall(body)
        first = http.client.HTTPResponse(connection)
        first.begin()
        assert (first.status, first.getheader("connection")) == (201, "close" if close else None)
        first.read()
        if close:
            assert connection.recv(1) == b""
        else:
            # Two at once, and an upgrade without a body: each of them is answered.
            again = upgrade(running, "GET", f"/v1/packages/{name}", "Connection: Upgrade\r\n")
            last = upgrade(running, "GET", f"/v1/packages/{name}", "Connection: Upgrade, close\r\n")
            connection.sendall(again + last)
            rest = b"".join(iter(lambda: connection.recv(65536), b""))
            assert rest.count(b"HTTP/1.1 200 OK\r\n") == rest.count(b"HTTP/1.1 ") == 2
    with running.client("read") as client:
        assert client.get(f"/v1/content/{name}", params={"file": "content"}).content == b"hello"


def test_this_is_no_tunnel(running: Running) -> None:
    within = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for target in (b"x:80", b"http://x/v1/status"):
        status, problem = ask(running, b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n" + within)
        assert (status, problem["code"]) == (400, "bad-request")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_body_that_is_not_http_is_answered_once(
    running: Running, caplog: pytest.LogCaptureFixture, before: int
) -> None:
    """And with no trace of the program in the log, which anybody could fill with them."""
    first = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * before
    head = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(running) as connection:
        connection.sendall(first + head + b"ZZ\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    with running.client() as client:
        # Answered by the same loop: what it had to say of the first one is in the log by now.
        assert client.get("/healthz").status_code == 200
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert [record for record in caplog.records if record.exc_info] == []


def test_fields_of_a_head_are_counted(running: Running) -> None:
    fields = "".join(f"X-{n}: y\r\n" for n in range(101))
    status, problem = ask(running, f"GET /healthz HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    assert (status, problem["code"]) == (431, "headers-too-large")


def test_a_head_that_comes_drop_by_drop_is_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HEAD_SECONDS", 0.3)
    with connect(running) as silent, connect(running) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        status, problem = answer(slow)
        assert (status, problem["code"]) == (408, "request-timeout")
        assert problem["remedy"]
        assert silent.recv(1) == b""
    # The second head on a connection has no more time than the first.
    with connect(running) as kept:
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
        kept.sendall(b"GET /he")
        assert b"408 Request Timeout" in b"".join(iter(lambda: kept.recv(65536), b""))


def test_connections_are_bounded_and_the_idle_go_first(narrow: Running) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(narrow)) for _ in range(10)]
        # Whoever says nothing goes for whoever asks, as often as it takes.
        for _ in range(3):
            client = stack.enter_context(httpx.Client(base_url=narrow.base, trust_env=False))
            assert client.get("/healthz", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
        closed = eventually(lambda: len(found := select.select(silent, [], [], 0)[0]) == 3 and found)
        assert all(one.recv(1) == b"" for one in closed)
        with narrow.local() as local:
            assert local.get("/healthz").status_code == 200


EVERY_SCOPE = "deposit+read+operate+approve+audit"


def slow_repair(running: Running, scopes: str) -> bytes:
    """A request whose body does not come."""
    bearer = f"Authorization: Bearer {running.tokens[scopes]}"
    fields = "Content-Length: 9\r\nExpect: 100-continue\r\n"
    return f"POST /v1/repairs HTTP/1.1\r\nHost: x\r\n{bearer}\r\n{fields}\r\n".encode()


def test_one_token_does_not_shut_the_door(narrow: Running) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            one = stack.enter_context(connect(narrow))
            one.sendall(slow_repair(narrow, "operate"))
            assert one.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for _ in range(2):
            refused = stack.enter_context(connect(narrow))
            refused.sendall(slow_repair(narrow, "operate"))
            response = http.client.HTTPResponse(refused)
            response.begin()
            problem = json.loads(response.read())
            assert (response.status, problem["code"]) == (429, "too-many-requests")
            assert response.getheader("retry-after")
        with narrow.client("read") as other:
            assert other.get("/v1/packages").status_code == 200
    with narrow.client("operate") as client:
        assert eventually(lambda: client.get("/v1/status").status_code == 200)


def test_who_cannot_be_let_in_is_told_so(narrow: Running) -> None:
    with ExitStack() as stack:
        for number in range(10):
            one = stack.enter_context(connect(narrow))
            one.sendall(slow_repair(narrow, "operate" if number % 2 else EVERY_SCOPE))
            # From here on a request is under way: nobody goes for another.
            assert one.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        status, problem = ask(narrow, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, problem["code"]) == (503, "too-many-connections")
        with narrow.local() as local:
            assert local.get("/healthz").status_code == 200
    own = {"X-Forwarded-For": "127.0.0.1"}
    eventually(lambda: httpx.get(narrow.base + "/healthz", headers=own, trust_env=False).status_code == 200)


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "203.0.113.9, 192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7, 10.1.1.1"}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7:4711"}, "192.0.2.7"),
        ({"Forwarded": 'for=192.0.2.7;proto=https, for="10.1.1.1:99"'}, "192.0.2.7"),
        ({"Forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1"),
        ({"Forwarded": 'proto=http;host="x;for=10.0.0.1,for=203.0.113.9";For=192.0.2.7'}, "192.0.2.7"),
        ({"Forwarded": ";for=192.0.2.7;"}, "192.0.2.7"),
        ({"Forwarded": 'for=192.0.2.7;host="x,for=203.0.113.9"'}, "192.0.2.7"),
        ({"Forwarded": 'for=192.0.2.7;host="x\\",for=203.0.113.9"'}, "192.0.2.7"),
        ({}, "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_asks(narrow: Running, headers: dict[str, str], seen: str) -> None:
    with narrow.local() as local:
        name = f"net-{abs(hash(str(headers)))}"
        made = local.post(
            "/v1/tokens",
            json={"name": name, "scopes": ["read"], "networks": [f"{seen}/{128 if ':' in seen else 32}"]},
        )
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    with httpx.Client(base_url=narrow.base, headers=bearer, trust_env=False) as client:
        assert client.get("/v1/packages", headers=headers).status_code == 200
        other = {"X-Forwarded-For": "198.51.100.1"}
        assert client.get("/v1/packages", headers=other).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "somebody"},
        {"Forwarded": "by=x"},
        {"Forwarded": "for=_hidden"},
        {"Forwarded": "for=192.0.2.7;for=192.0.2.8"},
        {"Forwarded": "for=192.0.2.7,"},
        {"Forwarded": 'for=192.0.2.7;host="x'},
        {"Forwarded": 'for=192.0.2.7;host="x"for=192.0.2.8'},
        {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.8"},
    ],
)
def test_a_proxy_that_says_nothing_sensible_is_not_believed(narrow: Running, headers: dict[str, str]) -> None:
    with narrow.client("read") as client:
        refused = client.get("/v1/packages", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-forwarded")


def test_nobody_else_says_who_asks(running: Running) -> None:
    """Else whoever comes over the network would use a token that is bound to another one."""
    with running.client() as client:
        assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 200
    with running.local() as local:
        made = local.post("/v1/tokens", json={"name": "elsewhere-2", "scopes": ["read"], "networks": ["192.0.2.7/32"]})
    headers = {"Authorization": f"Bearer {made.json()['token']}", "X-Forwarded-For": "192.0.2.7"}
    assert httpx.get(running.base + "/v1/packages", headers=headers, trust_env=False).status_code == 401


def test_metrics_are_open_from_this_machine_only(narrow: Running) -> None:
    with narrow.client() as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401


def test_the_socket_is_for_those_who_are_named(tmp_path: Path) -> None:
    me = getpass.getuser()
    assert local_operator(0, ["nobody-else"]).agent == "user:root"
    with pytest.raises(Forbidden, match="may not use"):
        local_operator(65534, ["root", "%no-such-group"])
    assert local_operator(65534, ["nobody"]).agent == "user:nobody"
    assert local_operator(65534, ["%nogroup"]).agent == "user:nobody"
    with pytest.raises(Forbidden):
        local_operator(987654, ["%nogroup"])
    with served(tmp_path, api='operators = ["somebody"]') as running, running.local() as local:
        # The user that the daemon runs as may in any case.
        assert local.get("/v1/status").status_code == 200, me
