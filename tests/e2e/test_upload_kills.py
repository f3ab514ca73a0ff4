"""A daemon is killed in the midst of uploads, over and over: every offset told is honoured, every receipt is true.

``KHOSO_UPLOAD_KILLS`` says how often, ``KHOSO_SEED`` repeats the moments (the threads' timing cannot be repeated).
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from tests.support.daemon import Node
from tests.support.nodes import Bench, assert_receipt, eventually
from vault import wire
from vault.catalog import ingests
from vault.model import CopyState, Scope

KILLS = int(os.environ.get("KHOSO_UPLOAD_KILLS", "4"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
DEPOSITORS = 3
VERSION = {"Tus-Resumable": "1.0.0"}


@dataclass
class Told:
    """What the depositors were told."""

    kept: dict[str, bytes] = field(default_factory=dict)
    receipts: list[dict] = field(default_factory=list)
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Depositor(threading.Thread):
    """Uploads one package after the other in pieces, some of which break off, and takes up what a kill left."""

    def __init__(self, url: Callable[[], str], token: str, name: str, seed: int, told: Told) -> None:
        super().__init__(daemon=True, name=name)
        self._url = url
        self._token = token
        self._chance = random.Random(seed)
        self._told = told
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            try:
                self._deposit(f"{self.name}/{number}")
            except Exception as error:
                self._told.wrong.append(f"{self.name}/{number}: {error!r}")
                raise

    def _ask(self, method: str, path: str, **request) -> httpx.Response:
        """Ask until somebody answers: the daemon is dead half of the time."""
        until = time.monotonic() + 120
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._token}", **request.get("headers", {})}
                with httpx.Client(base_url=self._url(), timeout=30, trust_env=False, verify=False) as client:
                    answer = client.request(method, path, **{**request, "headers": headers})
                if answer.status_code < 500 or time.monotonic() > until:
                    return answer
            except httpx.TransportError:
                if request.get("content") is not None or time.monotonic() > until:
                    raise
            # Nothing tells when the daemon is back but asking it.
            self.stopping.wait(0.1)

    def _deposit(self, identifier: str) -> None:
        body = self._chance.randbytes(self._chance.randrange(1, 3_000_000))
        said = f"identifier {b64encode(identifier.encode()).decode()},filename eA=="
        made = self._ask(
            "POST", "/v1/uploads", headers={**VERSION, "Upload-Length": str(len(body)), "Upload-Metadata": said}
        )
        assert made.status_code == 201, made.text
        url, told, sent = made.headers["location"], 0, 0
        while told < len(body):
            piece = body[told : told + self._chance.randrange(1, 800_000)]
            # A request from before, whose link dropped and whose turn had not come, may still add what it brought.
            sent = max(sent, told + len(piece))
            try:
                answer = self._ask(
                    "PATCH",
                    url,
                    headers={**VERSION, "Upload-Offset": str(told), "Content-Type": "application/offset+octet-stream"},
                    content=self._dropping(piece),
                )
                if answer.status_code == 204:
                    told = int(answer.headers["upload-offset"])
                    continue
            except (httpx.TransportError, ConnectionAbortedError):
                pass
            seen = self._ask("HEAD", url, headers=VERSION)
            assert seen.status_code == 200, (seen.status_code, identifier)
            offset = int(seen.headers["upload-offset"])
            assert told <= offset <= sent, f"{told} was told, {sent} were sent at most, and now it is {offset}"
            with self._told.lock:
                self._told.resumed += 1
            told = offset
        found = self._ask("GET", made.headers["khoso-ingest"], params={"wait": "10"}).json()
        while found["state"] not in ("receipted", "refused", "failed"):
            if self.stopping.is_set():
                # All of it is on stable storage: the node comes to its end by itself.
                break
            found = self._ask("GET", made.headers["khoso-ingest"], params={"wait": "10"}).json()
        with self._told.lock:
            if found["state"] == "receipted":
                self._told.receipts.append(found["receipt"])
            elif self.stopping.is_set():
                self._told.kept[identifier] = body
                return
            assert found["state"] == "receipted", found
            self._told.kept[identifier] = body

    def _dropping(self, piece: bytes):
        cut = self._chance.random() < 0.15
        for start in range(0, len(piece), 65536):
            if cut and start >= len(piece) // 2:
                raise ConnectionAbortedError("the link drops")
            yield piece[start : start + 65536]


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * KILLS)
def test_no_offset_and_no_receipt_is_lost_however_often_it_is_killed(tmp_path):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    node = Node.make(tmp_path)
    node.start()
    with node.client() as own:
        for name in ("a", "b"):
            own.initialise_volume(name)
        token = own.create_token(wire.TokenOrder(name="kho", scopes=[Scope.DEPOSIT])).token
    told = Told()
    depositors = [Depositor(node.address, token, f"gói-{n}", SEED + n, told) for n in range(DEPOSITORS)]
    for depositor in depositors:
        depositor.start()
    try:
        for _ in range(KILLS):
            # Not a wait for anything: the random instant of the kill is the point.
            time.sleep(chance.uniform(0.2, 2.0))
            node.kill()
            node.start()
        # What was told in the last round is to be true as well.
        eventually(lambda: len(told.receipts) >= 3 or told.wrong, 120)
        for depositor in depositors:
            depositor.stopping.set()
        for depositor in depositors:
            depositor.join(150)
    finally:
        node.kill(signal.SIGTERM)
    assert not told.wrong, told.wrong
    assert not any(depositor.is_alive() for depositor in depositors)
    print(f"{KILLS} kills, {len(told.kept)} packages, {len(told.receipts)} receipts, {told.resumed} times taken up")
    assert told.resumed
    _look(tmp_path, told)


def _look(folder, told: Told) -> None:
    with Bench(folder) as bench:
        for identifier, body in told.kept.items():
            bench.remember(identifier, 1, {"x": body})
        # Killed before it could answer where the upload is: nobody knows of it, and it would stay until it expires.
        with bench.running.catalogue.read() as tx:
            unheard = [one for one in ingests.unfinished(tx) if not one.bytes_received]
        for one in unheard:
            bench.running.uploads.terminate(one.id, lambda _upload: True)
        bench.settle(120)
        bench.assert_kept("ab")
        assert {copy.state for copy in bench.all_copies()} <= {CopyState.GOOD}
        for receipt in told.receipts:
            assert_receipt(bench, receipt)
            digest = hashlib.sha512(told.kept[receipt["identifier"]]).hexdigest()
            assert receipt["digests"]["deposit"]["sha512"] == digest
        bench.assert_ledger()
        for volume in "ab":
            bench.assert_ocfl(volume, others=False)
        eventually(lambda: not [p for v in "ab" for p in (bench.path(v) / "uploads").glob("*")], 60)
