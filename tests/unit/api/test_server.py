"""The doors: what is there before, what is left behind, and what a stop does to those inside."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvloop

from vault.api import threads
from vault.api.peer import ABORT, PEER_UID
from vault.api.server import Server
from vault.config import Settings, parse_settings
from vault.errors import ConfigError

CONFIG = """
[node]
name = "test"
[api]
listen = "127.0.0.1:{port}"
socket = "{socket}"
[[volume]]
name = "nas-a"
kind = "directory"
path = "/srv/nas-a"
domain = "nas-a"
site = "one"
[[policy]]
name = "default"
disk = 1
"""


def settings(tmp_path: Path, port: int = 0, name: str = "s") -> Settings:
    return parse_settings(CONFIG.format(port=port, socket=tmp_path / name), tmp_path / "vault.toml")


class App:
    """Answers who asks; ``/slow`` only when it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    async def __call__(self, scope, receive, send) -> None:
        if scope["path"] == "/slow":
            self.entered.set()
            await threads.run("slow", self.release.wait, 15)
        if scope["path"] == "/abort":
            scope[ABORT]()
            return
        body = str(scope.get(PEER_UID)).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(server: Server, begun: threading.Event) -> Iterator[threading.Thread]:
    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert begun.wait(10)
        yield thread
    finally:
        server.ask_to_stop()
        thread.join(20)
        assert not thread.is_alive()


def test_both_doors_open_and_the_socket_is_removed(tmp_path: Path) -> None:
    begun = threading.Event()
    server = Server(App(), settings(tmp_path), on_started=begun.set)
    with serving(server, begun):
        assert server.address.port > 0
        assert httpx.get(f"http://{server.address}/", trust_env=False).text == "None"
        path = tmp_path / "s"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://x/").text == str(os.getuid())
            with pytest.raises(httpx.HTTPError):
                client.get("http://x/abort")
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "s"))
    begun = threading.Event()
    server = Server(App(), settings(tmp_path), on_started=begun.set)
    with serving(server, begun):
        with pytest.raises(ConfigError, match="Another daemon answers"):
            Server(App(), settings(tmp_path)).bind()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "s"))) as client:
            assert client.get("http://x/").status_code == 200


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(ConfigError, match="is not a socket"):
        Server(App(), settings(tmp_path)).bind()
    assert (tmp_path / "s").read_text() == "mine"


def test_doors_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"),
    ):
        Server(App(), settings(tmp_path, taken.getsockname()[1])).bind()
    with pytest.raises(ConfigError, match="cannot be made"):
        Server(App(), settings(tmp_path, name="no/such/s")).bind()


def test_a_stop_lets_those_inside_finish(tmp_path: Path) -> None:
    app, begun = App(), threading.Event()
    server = Server(app, settings(tmp_path), on_started=begun.set)
    with serving(server, begun) as thread:
        answers: list[str] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx.get(f"http://{server.address}/slow", trust_env=False).text)
        )
        asking.start()
        assert app.entered.wait(10)
        server.ask_to_stop()
        app.release.set()
        asking.join(10)
        thread.join(10)
        assert answers == ["None"]


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    app, begun = App(), threading.Event()
    server = Server(app, settings(tmp_path), grace=timedelta(seconds=1), on_started=begun.set)
    failed: list[bool] = []

    def ask() -> None:
        try:
            failed.append(httpx.get(f"http://{server.address}/slow", trust_env=False).status_code >= 500)
        except httpx.HTTPError:
            failed.append(True)

    with serving(server, begun) as thread:
        asking = threading.Thread(target=ask)
        asking.start()
        assert app.entered.wait(10)
        server.ask_to_stop()
        thread.join(10)
        assert not thread.is_alive()
        app.release.set()
        asking.join(10)
    assert failed == [True]
