"""The daemon is killed at random moments while depositors, readers and an operator use its API: every receipt that was
handed out is true afterwards, and so is every other promise (tokens made and revoked, bytes of uploads acknowledged).

``KHOSO_API_KILLS`` says how often, ``KHOSO_SEED`` repeats the choices (not the timing of threads).
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import eventually
from tests.support.serving import CONFIG
from vault.signing import NodeKey, verify_document

KILLS = int(os.environ.get("KHOSO_API_KILLS", "3"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
WORKERS = 4
TUS = {"Tus-Resumable": "1.0.0"}


class Campaign:
    """A node in a folder, and all that it promised to whom."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.socket = folder / "s"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        text = CONFIG.format(root=folder, socket=self.socket).replace("127.0.0.1:0", f"127.0.0.1:{self.port}")
        (folder / "vault.toml").write_text(text.replace("max_concurrent = 3", "max_concurrent = 8"))
        for name in ("state", "nas-a", "nas-b", "nas-c"):
            (folder / name).mkdir()
        self.lock = threading.Lock()
        self.receipts: dict[str, dict] = {}
        self.bodies: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, int]] = {}
        self.made: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.wrong: list[str] = []
        self.token = self.admin = ""
        self.number = 0
        self.at_work = 0

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen]:
        with open(self.folder / "output", "ab") as output:
            command = [sys.executable, "-c", "from vault.daemon import main; main()"]
            process = subprocess.Popen(
                [*command, "--config", str(self.folder / "vault.toml")], stdout=output, stderr=output
            )
            try:
                eventually(lambda: self.is_up(process), 90, lambda: (self.folder / "output").read_text()[-3000:])
                yield process
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(30)

    def is_up(self, process: subprocess.Popen) -> bool:
        assert process.poll() is None, (self.folder / "output").read_text()[-3000:]
        try:
            with self.client() as client:
                client.headers.pop("Authorization")
                return client.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def operator(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        return httpx.Client(transport=transport, base_url="http://vault", timeout=30, trust_env=False, verify=False)

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        base = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False, verify=False)

    # --- what is done

    def work(self, stop: threading.Event, seed: int) -> None:
        chance = random.Random(seed)
        deeds = (self.deposit, self.deposit, self.deposit, self.repeat, self.upload, self.read, self.tokens)
        while not stop.is_set():
            try:
                with self.client() as client:
                    chance.choice(deeds)(client, chance)
            except httpx.HTTPError:
                continue  # it was killed in the midst: nothing was promised

    def _new(self, chance: random.Random) -> tuple[str, bytes]:
        with self.lock:
            self.number += 1
            identifier = f"giết/{self.number}"
            body = self.bodies[identifier] = chance.randbytes(chance.choice([0, 10, 5000, 300_000])) + b"."
        return identifier, body

    def _keep(self, identifier: str, answer: httpx.Response) -> None:
        if answer.status_code >= 500 and answer.status_code != 503:
            self.wrong.append(f"{identifier}: {answer.status_code} {answer.text[:300]}")
        if answer.status_code in (200, 201):
            with self.lock:
                before = self.receipts.setdefault(identifier, answer.json())
            if before != answer.json():
                self.wrong.append(f"{identifier} has two receipts")

    def deposit(self, client: httpx.Client, chance: random.Random) -> None:
        identifier, body = self._new(chance)
        self._keep(identifier, client.put(f"/v1/packages/{identifier}", content=body, headers={"Prefer": "wait=20"}))

    def repeat(self, client: httpx.Client, chance: random.Random) -> None:
        """A blind retry of whatever was sent before, acknowledged or not."""
        with self.lock:
            known = list(self.bodies)
        if known:
            identifier = chance.choice(known)
            answer = client.put(f"/v1/packages/{identifier}", content=self.bodies[identifier])
            self._keep(identifier, answer)

    def upload(self, client: httpx.Client, chance: random.Random) -> None:
        identifier, body = self._new(chance)
        said = f"identifier {b64encode(identifier.encode()).decode()}"
        made = client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(len(body)), "Upload-Metadata": said})
        if made.status_code != 201:
            return
        half = len(body) // 2
        for part, offset in ((body[:half], 0), (body[half:], half)):
            headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            sent = client.patch(made.headers["location"], content=part, headers=headers)
            if sent.status_code != 204:
                return
            with self.lock:
                self.uploads[identifier] = made.headers["location"], int(sent.headers["upload-offset"])

    def read(self, client: httpx.Client, chance: random.Random) -> None:
        with self.lock:
            known = list(self.receipts)
        if known:
            identifier = chance.choice(known)
            answer = client.get(f"/v1/content/{identifier}", params={"file": "content"})
            if answer.status_code != 503 and answer.content != self.bodies[identifier]:
                self.wrong.append(f"{identifier} was acknowledged and reads {answer.status_code} {answer.text[:200]}")

    def tokens(self, _client: httpx.Client, chance: random.Random) -> None:
        with self.client(self.admin) as operator:
            name = f"t{chance.randrange(2**40)}"
            made = operator.post("/v1/tokens", json={"name": name, "scopes": ["read"]})
            if made.status_code == 201:
                with self.lock:
                    self.made[name] = made.json()["token"]
                if chance.random() < 0.5 and operator.delete(f"/v1/tokens/{name}").status_code == 200:
                    with self.lock:
                        self.revoked.add(name)

    # --- what must hold

    def begin(self) -> None:
        with self.running(), self.operator() as operator:
            for name in ("nas-a", "nas-b"):
                assert operator.post(f"/v1/volumes/{name}/init").status_code == 201
            made = operator.post("/v1/tokens", json={"name": "depositor", "scopes": ["deposit", "read"]})
            self.token = made.json()["token"]
            made = operator.post("/v1/tokens", json={"name": "admin", "scopes": ["approve", "audit"]})
            self.admin = made.json()["token"]

    def kill_once(self) -> None:
        with self.running() as process:
            stop = threading.Event()
            seeds = [self.chance.randrange(2**31) for _ in range(WORKERS)]
            workers = [threading.Thread(target=self.work, args=(stop, seed)) for seed in seeds]
            for worker in workers:
                worker.start()
            if self.chance.random() < 0.75 or not self.at_work:
                # Most kills come when it is at work; the others while it settles what the last one left.
                self.at_work += 1
                before = len(self.receipts)
                eventually(lambda: len(self.receipts) > before, 90, lambda: self.wrong)
            # Not a wait for anything: the random instant of the kill is the point.
            time.sleep(self.chance.uniform(0.0, 2.0))
            assert process.poll() is None, (self.folder / "output").read_text()[-3000:]
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            stop.set()
            for worker in workers:
                worker.join(60)
                assert not worker.is_alive()

    def look(self) -> None:
        """Everything that was said is true, asked of a daemon that has only just come back."""
        assert self.wrong == []
        key = NodeKey.load_or_create(self.folder / "state" / "node.key")
        with self.running(), self.client() as client:
            eventually(lambda: client.get("/readyz").status_code == 200, 60)
            for identifier, receipt in self.receipts.items():
                report = verify_document(receipt, [key.public_key])
                assert report.ok, (identifier, report)
                assert client.get(f"/v1/receipts/{identifier}").json() == receipt
                content = client.get(f"/v1/content/{identifier}", params={"file": "content"}).content
                assert hashlib.sha256(content).digest() == hashlib.sha256(self.bodies[identifier]).digest(), identifier
                package = client.get(f"/v1/packages/{identifier}").json()
                good = {c["volume"] for c in package["versions"][0]["copies"] if c["state"] == "good"}
                assert {copy["volume"] for copy in receipt["copies"]} <= good, (identifier, package)
            for identifier, (location, offset) in self.uploads.items():
                answer = client.head(location, headers=TUS)
                done = client.get(f"/v1/packages/{identifier}").status_code == 200
                assert done or int(answer.headers.get("upload-offset", -1)) >= offset, (identifier, answer.headers)
            for name, secret in self.made.items():
                with self.client(secret) as other:
                    # A revocation whose answer was lost may hold or not; one that was answered holds.
                    status = other.get("/v1/packages", params={"limit": 1}).status_code
                assert status == 401 if name in self.revoked else status in (200, 401), name
            with self.client(self.admin) as operator:
                eventually(lambda: operator.get("/v1/status").json()["policy_held"], 120)
        output = (self.folder / "output").read_text()
        assert "Traceback" not in output, output[output.index("Traceback") :][:4000]


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * KILLS)
def test_every_receipt_handed_out_is_true_however_often_it_is_killed(tmp_path: Path) -> None:
    print(f"KHOSO_SEED={SEED}")
    campaign = Campaign(tmp_path, random.Random(SEED))
    campaign.begin()
    for kill in range(1, KILLS + 1):
        campaign.kill_once()
        if kill % 25 == 0 or kill == KILLS:
            campaign.look()
    told = f"{KILLS} kills, {len(campaign.receipts)} receipts, {len(campaign.uploads)} uploads"
    print(f"{told}, {len(campaign.made)} tokens made, {len(campaign.revoked)} revoked")
    assert len(campaign.receipts) >= campaign.at_work > 0
