"""Whom a depositor wants told: a host that does not answer, or is slow, keeps nobody else's from being told."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from tests.support.nodes import Bench, bag, tar_of
from vault.catalog.callback_tables import callbacks as table
from vault.catalog.schema import ingests
from vault.config import CallbackSettings
from vault.intake import callbacks as intake_callbacks
from vault.intake.callbacks import Callbacks

MANY = 120


class Receiver(ThreadingHTTPServer):
    """Takes what is told; what it answers is asked of the path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(self.path)
        self.send_response(int(self.path[1:4]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    (tmp_path / "node").mkdir()
    with Bench(tmp_path / "node") as found:
        yield found


def waiting(bench: Bench, *urls: str) -> None:
    """Have an ended deposit to be told of at each of these, in this order."""
    with bench.running.catalogue.write() as tx:
        row = dict(tx.connection.execute(sa.select(ingests)).mappings().first())
        for number, url in enumerate(urls):
            one = str(uuid.UUID(int=number))
            tx.connection.execute(ingests.insert().values(**(row | {"id": one})))
            values = {"ingest_id": one, "url": url, "outcome": "", "attempts": 0, "message": ""}
            tx.connection.execute(table.insert().values(**values, not_before=tx.now - timedelta(minutes=1)))


def rows(bench: Bench) -> list[sa.RowMapping]:
    with bench.running.catalogue.read() as tx:
        return list(tx.connection.execute(sa.select(table).order_by(table.c.ingest_id)).mappings())


@pytest.fixture
def teller(bench, receiver, tmp_path) -> tuple[Callbacks, list[str]]:
    files = bag({"x": b"x"})
    bench.deposit("một", tar_of(files), files)
    bench.settle()
    (tmp_path / "secret").write_text("whsec_" + base64.b64encode(b"k" * 32).decode())
    (tmp_path / "secret").chmod(0o600)
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        if host == "localhost":
            return ["127.0.0.1"]
        raise OSError(f"there is no {host}")

    settings = CallbackSettings(
        hosts=["localhost", "127.0.0.1", "dead.example"], secret=str(tmp_path / "secret"), loopback=True
    )
    return Callbacks(bench.running.custodian, settings, resolve), asked


def test_a_dead_host_is_asked_once_in_a_round_and_the_others_are_told(bench, teller, receiver):
    told, asked = teller
    port = receiver.server_address[1]
    waiting(bench, *["https://dead.example/x"] * MANY, f"http://localhost:{port}/204")
    assert told.tell_all() == 1
    assert asked == ["dead.example", "localhost"]
    *dead, well = rows(bench)
    assert well["outcome"] == "delivered"
    assert {(row["outcome"], row["attempts"]) for row in dead} == {("", 1)}
    assert all("dead.example" in row["message"] and row["first_at"] for row in dead)
    # After a day none of them is tried any more, also of those for which another was asked.
    with bench.running.catalogue.write() as tx:
        long_ago = tx.now - timedelta(days=2)
        tx.connection.execute(
            table.update().where(table.c.outcome == "").values(first_at=long_ago, not_before=long_ago)
        )
    told.tell_all()
    assert {row["outcome"] for row in rows(bench)} == {"given-up", "delivered"}


def test_an_address_that_answers_no_does_not_silence_its_host(bench, teller, receiver):
    told, _ = teller
    port = receiver.server_address[1]
    waiting(bench, *[f"http://localhost:{port}/404"] * MANY, f"http://localhost:{port}/204")
    assert told.tell_all() == 1
    assert receiver.told.count("/404") == MANY


def test_a_host_that_says_later_is_not_asked_again_in_the_round(bench, teller, receiver):
    told, _ = teller
    port = receiver.server_address[1]
    waiting(bench, *[f"http://localhost:{port}/503"] * 3, f"http://127.0.0.1:{port}/204")
    told.tell_all()
    assert receiver.told.count("/503") == 1


def test_a_slow_host_takes_its_share_of_a_round(bench, teller, receiver, monkeypatch):
    told, _ = teller
    monkeypatch.setattr(intake_callbacks, "SHARE_OF_HOST", timedelta(0))
    port = receiver.server_address[1]
    waiting(bench, *[f"http://localhost:{port}/204"] * 3)
    assert told.tell_all() == 1
    assert [row["outcome"] for row in rows(bench)] == ["delivered", "", ""]
