"""Clients that ask and do not listen, that go, or that never say anything: what they hold comes free."""

from __future__ import annotations

import gc
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.api.test_deposits import put
from tests.e2e.api.test_uploads import created
from tests.support.serving import Running, eventually, served
from vault.api import peer, visit

ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n"


def connect(running: Running) -> socket.socket:
    url = httpx.URL(running.base)
    return socket.create_connection((url.host, url.port), 20)


def rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_few_requests_at_once_are_answered(running: Running) -> None:
    with connect(running) as connection:
        connection.sendall(ASK * peer.MOST_PIPELINED + ASK.replace(b"Host", b"Connection: close\r\nHost"))
        assert rest_of(connection).count(b"HTTP/1.1 200 OK\r\n") == peer.MOST_PIPELINED + 1


def test_no_more_requests_wait_than_may(running: Running) -> None:
    """One packet holds thousands of them."""
    with connect(running) as connection:
        connection.sendall(ASK * 3000)
        answers = rest_of(connection)
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 OK\r\n") == peer.MOST_PIPELINED + 1
    assert answers.lower().count(b"connection: close") == 1


@pytest.fixture
def stingy(tmp_path: Path) -> Iterator[Running]:
    """A node that takes few connections, and whose answers do not fit into what the kernel keeps for it."""
    with served(tmp_path, api="max_connections = 10") as running:
        assert running.server is not None
        # Made once, and not by ten at a time.
        assert httpx.get(running.base + "/openapi.json", trust_env=False).status_code == 200
        running.server._sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield running


def deaf(running: Running, request: bytes) -> socket.socket:
    """A client that asks for more than it takes."""
    url = httpx.URL(running.base)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect((url.host, url.port))
    connection.sendall(request)
    return connection


def is_cut(connection: socket.socket) -> bool:
    watch = select.poll()
    watch.register(connection, 0)
    return bool(watch.poll(0))


def open_ones(running: Running) -> int:
    assert running.server is not None
    return len(running.server._server.server_state.connections)


def untaken(running: Running) -> int:
    """How many connections have an answer that nobody takes."""
    assert running.server is not None
    found = list(running.server._server.server_state.connections)
    return sum(one.cycle is not None and one.cycle.response_complete for one in found)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_an_answer_that_nobody_takes_is_given_up(stingy: Running, more: bytes) -> None:
    assert stingy.server is not None
    stingy.server._server.config.timeout_keep_alive = 1
    with deaf(stingy, LARGE + more + b"\r\n") as connection:
        eventually(lambda: is_cut(connection))
        eventually(lambda: open_ones(stingy) == 0)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_answers_that_nobody_takes_do_not_shut_the_door(stingy: Running, more: bytes) -> None:
    assert stingy.server is not None
    stingy.server._server.config.timeout_keep_alive = 600
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(deaf(stingy, LARGE + more + b"\r\n"))
        eventually(lambda: untaken(stingy) == 10)
        eventually(lambda: httpx.get(stingy.base + "/healthz", trust_env=False).status_code == 200)
        for _ in range(12):
            assert httpx.get(stingy.base + "/healthz", trust_env=False).status_code == 200


def test_a_body_that_is_thrown_away_does_not_shut_the_door(stingy: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows no token is answered at once, and what more they send is read on for a moment."""
    monkeypatch.setattr(visit, "LINGER_SECONDS", 20)
    with ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(connect(stingy))
            connection.sendall(b"POST /v1/recalls HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 401"
        for _ in range(3):
            assert httpx.get(stingy.base + "/healthz", trust_env=False).status_code == 200


def test_of_who_was_refused_and_has_gone_nothing_is_kept(stingy: Running, caplog: pytest.LogCaptureFixture) -> None:
    assert stingy.server is not None
    stingy.server._server.config.timeout_keep_alive = 600
    with connect(stingy) as connection:
        connection.sendall(b"\0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 400"
        (protocol,) = stingy.server._server.server_state.connections
        gone = weakref.ref(protocol)
        del protocol
    eventually(lambda: gc.collect() is not None and gone() is None)
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def slowly(connection: socket.socket, rate: int) -> bytes:
    """Everything that comes, taken at so many bytes per second, as over a bad line."""
    connection.settimeout(20)
    began, received = time.monotonic(), b""
    pause = threading.Event()
    while chunk := connection.recv(4096):
        received += chunk
        pause.wait(len(received) / rate - (time.monotonic() - began))
    return received


def test_who_takes_slowly_is_not_cut_off(tmp_path: Path) -> None:
    """Pieces of 256 KiB take longer than the client may be idle; all the same, something moves all the time."""
    data = os.urandom(400_000)
    with served(tmp_path, api='idle_timeout = "1s"') as running, running.client("deposit", "read") as client:
        assert put(client, "chậm", data, {"Prefer": "wait=0"}, filename="x").status_code in (201, 202)
        assert running.server is not None
        running.server._sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        bearer = f"Authorization: Bearer {running.tokens['deposit+read']}\r\nConnection: close\r\n"
        ask = f"GET /v1/content/ch%E1%BA%ADm?file=x HTTP/1.1\r\nHost: x\r\n{bearer}\r\n"
        with deaf(running, ask.encode()) as connection:
            assert slowly(connection, 130_000).endswith(data)


def test_the_end_of_an_answer_is_not_cut_off(stingy: Running) -> None:
    assert stingy.server is not None
    whole = httpx.get(stingy.base + "/openapi.json", trust_env=False).content
    stingy.server._server.config.timeout_keep_alive = 1
    with deaf(stingy, LARGE + b"Connection: close\r\n\r\n") as connection:
        assert slowly(connection, len(whole) // 3).endswith(whole)


@pytest.mark.parametrize("more", [b"", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"], ids=str)
def test_an_answered_request_keeps_no_connection_open(stingy: Running, more: bytes) -> None:
    """Neither does an empty line after it, nor what still comes of its body."""
    assert stingy.server is not None
    stingy.server._server.config.timeout_keep_alive = 1
    with connect(stingy) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: untaken(stingy) == 1)
        connection.sendall(b"1\r\nx\r\n" if more else b"\r\n")
        began = time.monotonic()
        rest_of(connection)
        assert time.monotonic() - began < 10


def test_a_head_that_is_not_read_is_not_late(
    running: Running, depositor: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While requests wait for their turn nothing more is read, where-ever the packets were cut."""
    monkeypatch.setattr(peer, "HEAD_SECONDS", 0.2)
    ingest = f"/v1/ingests/{created(depositor, 'đầu dài', 10, filename='x').rpartition('/')[2]}"
    with connect(running) as connection:
        connection.sendall(wait_for(running, ingest, 2))
        eventually(lambda: following(running) == 1)
        connection.sendall(ASK + ASK[:20])
        assert running.server is not None
        eventually(lambda: any(one.pipeline for one in running.server._server.server_state.connections))
        connection.sendall(ASK[20:].replace(b"Host", b"Connection: close\r\nHost"))
        assert rest_of(connection).count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_place_comes_back_when_no_thread_begins(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "receiving":
            raise RuntimeError("can't start new thread")
        start(thread)

    with running.client("deposit", "read") as client:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            answers = [put(client, "không luồng", b"x") for _ in range(4)]
        assert [(one.status_code, one.json()["code"]) for one in answers] == [(503, "busy")] * 4
        assert put(client, "không luồng", b"x").status_code == 201


def following(running: Running) -> int:
    return sum(map(len, running.node.bell._listeners.values()))


def wait_for(running: Running, ingest: str, seconds: int = 30) -> bytes:
    bearer = f"Authorization: Bearer {running.tokens['deposit+read']}"
    return f"GET {ingest}?wait={seconds} HTTP/1.1\r\nHost: x\r\n{bearer}\r\n\r\n".encode()


@pytest.mark.parametrize("after", [b"", ASK], ids=["one", "pipelined"])
def test_nothing_is_waited_for_when_the_client_has_gone(
    running: Running, depositor: httpx.Client, after: bytes
) -> None:
    url = created(depositor, f"đi rồi {len(after)}", 10, filename="x")
    with connect(running) as connection:
        connection.sendall(wait_for(running, f"/v1/ingests/{url.rpartition('/')[2]}") + after)
        eventually(lambda: following(running) == 1)
        began = time.monotonic()
    eventually(lambda: following(running) == 0)
    assert time.monotonic() - began < 10
    depositor.delete(url, headers={"Tus-Resumable": "1.0.0"})


def test_a_receipt_is_not_waited_for_when_the_client_has_gone(tmp_path: Path) -> None:
    with served(tmp_path, custody='planner_interval = "1h"') as running:
        # Only one volume answers: the receipt does not come.
        (tmp_path / "nas-b" / "vault-volume.json").unlink()
        with running.local() as operator:
            eventually(lambda: operator.get("/v1/volumes/nas-b").json()["condition"] == "foreign")
        bearer = f"Authorization: Bearer {running.tokens['deposit+read']}"
        head = f"PUT /v1/packages/w HTTP/1.1\r\nHost: x\r\n{bearer}\r\nContent-Length: 1\r\nPrefer: wait=25\r\n\r\nx"
        with connect(running) as connection:
            connection.sendall(head.encode())
            eventually(lambda: following(running) == 1)
            began = time.monotonic()
        eventually(lambda: following(running) == 0)
        assert time.monotonic() - began < 10
        with running.client("deposit", "read") as client:
            assert put(client, "w", b"x", {"Prefer": "wait=0"}).status_code == 202
