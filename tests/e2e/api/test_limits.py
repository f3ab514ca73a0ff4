"""What a token may ask for, and that it ends at once: rates, quotas, slow senders, revocation in the midst."""

from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.patience import PATIENCE
from tests.support.serving import Running, eventually, served

BODY = b"x" * 600


def make(running: Running, name: str, scopes: tuple[str, ...] = ("deposit", "read"), **order: object) -> str:
    with running.local() as client:
        made = client.post("/v1/tokens", json={"name": name, "scopes": list(scopes), **order})
    assert made.status_code == 201, made.text
    return made.json()["token"]


@contextmanager
def client_of(running: Running, secret: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=running.base, headers=headers, timeout=30 * PATIENCE, trust_env=False) as client:
        yield client


def test_a_rate_is_kept_and_the_answer_says_when_to_come_again(running: Running) -> None:
    with client_of(running, make(running, "rated", limits={"rate": 0.5})) as client:
        assert client.get("/v1/packages").status_code == 200
        refused = client.get("/v1/packages")
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        eventually(lambda: client.get("/v1/packages").status_code == 200)
    with running.client("read") as other:
        assert all(other.get("/v1/packages").status_code == 200 for _ in range(5))


def test_bytes_of_a_day_are_counted_announced_or_not(running: Running) -> None:
    with client_of(running, make(running, "bytes", limits={"bytes_per_day": 1000})) as client:
        assert client.put("/v1/packages/quota/1", content=BODY).status_code == 201
        announced = client.put("/v1/packages/quota/2", content=BODY)
        assert (announced.status_code, announced.json()["code"]) == (429, "quota-exhausted")
        assert 0 < int(announced.headers["retry-after"]) <= 86_400
        streamed = client.put("/v1/packages/quota/3", content=iter([b"x" * 100] * 6))
        assert (streamed.status_code, streamed.json()["code"]) == (429, "quota-exhausted")
        assert client.get("/v1/packages/quota/3").status_code == 404
        assert client.get("/v1/packages/quota/1").status_code == 200


def test_deposits_of_a_day_are_counted(running: Running) -> None:
    with client_of(running, make(running, "packages", limits={"packages_per_day": 2})) as client:
        codes = [client.put(f"/v1/packages/counted/{n}", content=BODY).status_code for n in range(3)]
    assert codes == [201, 201, 429]


def test_open_uploads_of_a_token_are_counted(running: Running) -> None:
    said = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    with client_of(running, make(running, "uploads", limits={"open_uploads": 2})) as client:
        answers = []
        for number in range(3):
            name = b64encode(f"open/{number}".encode()).decode()
            answers.append(client.post("/v1/uploads", headers={**said, "Upload-Metadata": f"identifier {name}"}))
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert answers[2].json()["code"] == "too-many-uploads"
        ended = client.delete(answers[0].headers["location"], headers={"Tus-Resumable": "1.0.0"})
        assert ended.status_code == 204
        name = b64encode(b"open/3").decode()
        again = client.post("/v1/uploads", headers={**said, "Upload-Metadata": f"identifier {name}"})
        assert again.status_code == 201


def test_when_a_token_was_last_used_is_known_to_the_hour(running: Running) -> None:
    secret = make(running, "used")

    def last_used() -> str | None:
        with running.local() as client:
            found = {t["name"]: t for t in client.get("/v1/tokens").json()["items"]}
        return found["used"]["last_used_at"]

    assert last_used() is None
    with client_of(running, secret) as client:
        client.get("/v1/packages")
    found = datetime.fromisoformat(str(eventually(last_used)))
    assert (found.minute, found.second) == (0, 0)
    assert abs(datetime.now(UTC) - found) < timedelta(hours=1, minutes=1)


def begin_deposit(running: Running, secret: str, identifier: str) -> socket.socket:
    url = httpx.URL(running.base)
    connection = socket.create_connection((url.host, url.port), 20)
    head = f"PUT /v1/packages/{identifier} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    connection.sendall(head.encode() + b"Content-Length: 100000\r\n\r\nbegun")
    return connection


def answer_of(connection: socket.socket) -> tuple[int, dict]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


def is_receiving(running: Running, identifier: str) -> bool:
    from vault.catalog import ingests

    with running.node.catalogue.read() as tx:
        return identifier in {ingest.identifier for ingest in ingests.unfinished(tx)}


def test_a_revoked_token_ends_a_deposit_on_its_way(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with begin_deposit(running, make(running, "midway"), "revoked/1") as connection:
        eventually(lambda: is_receiving(running, "revoked/1"))
        with running.local() as operator:
            assert operator.delete("/v1/tokens/midway").status_code == 200
        status, problem = answer_of(connection)
    assert (status, problem["code"]) == (401, "bad-credentials")
    eventually(lambda: not is_receiving(running, "revoked/1"))
    with running.client("read") as client:
        assert client.get("/v1/packages/revoked/1").status_code == 404
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_an_expired_token_ends_a_deposit_on_its_way(running: Running) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    with begin_deposit(running, make(running, "expiring", expires_at=soon), "expired/1") as connection:
        status, problem = answer_of(connection)
    assert (status, problem["code"]) == (401, "bad-credentials")


def test_a_revoked_token_ends_a_wait_for_a_receipt(running: Running, tmp_path) -> None:
    with served(tmp_path, custody='planner_interval = "1h"') as slow:
        # Only one volume answers, and the node knows it before it looks for a place: the receipt does not come.
        (tmp_path / "nas-b" / "vault-volume.json").unlink()
        with slow.local() as operator:
            eventually(lambda: operator.get("/v1/volumes/nas-b").json()["condition"] == "foreign")
        secret = make(slow, "waiting")
        answers: list[httpx.Response] = []

        def deposit() -> None:
            with client_of(slow, secret) as client:
                answers.append(client.put("/v1/packages/w", content=BODY, headers={"Prefer": "wait=25"}))

        waiting = threading.Thread(target=deposit)
        waiting.start()
        with slow.client("read") as client:
            eventually(lambda: client.get("/v1/packages/w").status_code == 200)
        began = time.monotonic()
        with slow.local() as operator:
            operator.delete("/v1/tokens/waiting")
        waiting.join(20)
        assert time.monotonic() - began < 10
        assert answers[0].status_code == 401


def test_a_sender_that_is_slow_without_being_idle_is_cut_off(running: Running) -> None:
    """``idle_timeout`` is 2 s here: a byte now and then keeps no place."""
    with begin_deposit(running, make(running, "drip"), "slow/1") as connection:
        done = threading.Event()

        def drip() -> None:
            while not done.wait(0.2):
                try:
                    connection.sendall(b"y")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            status, problem = answer_of(connection)
        finally:
            done.set()
            dripping.join()
    assert (status, problem["code"]) == (408, "too-slow")
    eventually(lambda: not is_receiving(running, "slow/1"))
