"""Many depositors and readers at once, over loopback, against a real vaultd: what is lost, what fails, what it takes.

Depositors send one package after the other. Readers are people: they look at a package, read a file of it, and take
their time. The clients are processes of their own with a plain HTTP/1.1 client, so that they take as little as can be
of the machine that they share with the node.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.harness import MIB, console
from benchmarks.node import BenchNode, vaultd

PACKAGE: Final = 5_000_000
DEPOSITORS: Final = 64
READERS: Final = 100
PAUSE_SECONDS: Final = 10.0
"""At most so long a reader waits between two requests; half of it on average."""

_PIECE: Final = 256 * 1024
_PREPARED: Final = 5


@dataclass
class Outcome:
    """What was seen. ``looks`` are the times of GET /packages/{id}, seconds; ``statuses`` counts answers by what was
    asked and their status, where 0 is an answer that broke off; ``digests`` are of what was acknowledged."""

    looks: list[float] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    digests: dict[str, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    downloaded: int = 0

    def add(self, other: Outcome) -> None:
        """Join what another process has seen."""
        self.looks += other.looks
        self.statuses += other.statuses
        self.problems += other.problems
        self.digests |= other.digests
        self.lost += other.lost
        self.downloaded += other.downloaded

    @property
    def failed(self) -> dict[str, int]:
        """Answers that should not have been: broken off, 5xx, and all else that is no success."""
        bad = {f"{what} {status}": n for (what, status), n in self.statuses.items() if not 200 <= status < 300}
        return bad | dict(self.problems)

    @property
    def p99(self) -> float:
        """The time that 99 of 100 looks stay below."""
        return sorted(self.looks)[int(len(self.looks) * 0.99)] if self.looks else 0.0


@dataclass(frozen=True)
class Result:
    """One run. Bytes and seconds."""

    idle: Outcome
    loaded: Outcome
    seconds: float
    peak_memory: int
    deposits: int


class Connection:
    """A connection that is kept, with one request at a time."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, target: str, body: tuple[bytes, ...] = (), *, keep: bool = True
    ) -> tuple[int, bytes]:
        """Status and body of an answer, 0 where it broke off. A body that is not kept is only read."""
        try:
            return await self._ask(method, target, body, keep=keep)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0, b""

    async def _ask(self, method: str, target: str, body: tuple[bytes, ...], *, keep: bool) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE)
        reader, writer = self._streams
        length = f"Content-Length: {sum(map(len, body))}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {self._token}\r\n{length}\r\n"
        writer.write(head.encode())
        for piece in body:
            for start in range(0, len(piece), _PIECE):
                writer.write(piece[start : start + _PIECE])
                await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
        left, kept = int(headers.get("content-length", "0")), bytearray()
        while left:
            piece = await reader.read(min(left, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            if keep:
                kept += piece
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(answer[0].split()[1]), bytes(kept)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Clients:
    """Everything that one process asks of the node."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._body = os.urandom(PACKAGE - 32)
        self._hash = hashlib.sha512(self._body)
        self.outcome = Outcome()

    def connection(self) -> Connection:
        """A new one."""
        return Connection(self._port, self._token)

    def _count(self, what: str, status: int, body: bytes) -> None:
        self.outcome.statuses[what, status] += 1
        if status >= 400:
            self.outcome.problems[f"{what} {status} {json.loads(body)['code']}"] += 1

    async def deposit(self, connection: Connection, identifier: str) -> None:
        """A package of which no two are the same."""
        stamp = random.randbytes(32)
        digest = self._hash.copy()
        digest.update(stamp)
        target = f"/v1/packages/{identifier}?kind=file&filename=p.bin"
        status, body = await connection.ask("PUT", target, (self._body, stamp))
        self._count("deposit", status, body)
        if status in (200, 201, 202):
            self.outcome.digests[identifier] = digest.digest()

    async def look(self, connection: Connection, identifier: str) -> None:
        """GET /packages/{id}, timed."""
        began = time.perf_counter()
        status, body = await connection.ask("GET", f"/v1/packages/{identifier}")
        self.outcome.looks.append(time.perf_counter() - began)
        self._count("look", status, body)

    async def read(self, connection: Connection, identifier: str) -> None:
        """Its file, whole."""
        status, _ = await connection.ask("GET", f"/v1/content/{identifier}?file=p.bin", keep=False)
        self.outcome.statuses["content", status] += 1
        self.outcome.downloaded += PACKAGE if status == 200 else 0

    async def depositor(self, number: int, ends: float) -> None:
        """One package after the other."""
        connection, count = self.connection(), 0
        while time.time() < ends:
            await self.deposit(connection, f"load/{number}/{count}")
            count += 1
        connection.close()

    async def reader(self, ends: float) -> None:
        """Look at one, read it, and so on."""
        connection = self.connection()
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS / 2))
        while time.time() < ends:
            identifier = f"first-{random.randrange(_PREPARED)}"
            await self.look(connection, identifier)
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))
            await self.read(connection, identifier)
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))
        connection.close()

    async def verify(self, digests: dict[str, bytes]) -> None:
        """Whether everything that was acknowledged is there, to the last byte."""
        connection = self.connection()
        for identifier, digest in digests.items():
            status, found = await connection.ask("GET", f"/v1/content/{identifier}?file=p.bin")
            if status != 200 or hashlib.sha512(found).digest() != digest:
                self.outcome.lost.append(f"{identifier} ({status})")
        connection.close()

    async def settle(self) -> None:
        """Wait until every version has what its policy asks for."""
        connection = self.connection()
        for _ in range(1200):
            _, body = await connection.ask("GET", "/v1/packages?below_policy=true&limit=1")
            if not json.loads(body)["items"]:
                connection.close()
                return
            await asyncio.sleep(0.5)
        self.outcome.lost.append("some versions stay below their policy")


def _depositors(port: int, token: str, number: int, seconds: float) -> Outcome:
    async def run() -> Outcome:
        clients, ends = Clients(port, token), time.time() + seconds
        await asyncio.gather(*(clients.depositor(one, ends) for one in range(number)))
        return clients.outcome

    return asyncio.run(run())


def _readers(port: int, token: str, number: int, seconds: float) -> Outcome:
    async def run() -> Outcome:
        clients, ends = Clients(port, token), time.time() + seconds
        await asyncio.gather(*(clients.reader(ends) for _ in range(number)))
        return clients.outcome

    return asyncio.run(run())


async def _prepare(clients: Clients, looks: int) -> None:
    """Something to read, and how long a look takes when nothing else goes on."""
    connection = clients.connection()
    for number in range(_PREPARED):
        await clients.deposit(connection, f"first-{number}")
    await clients.settle()
    for number in range(looks):
        await clients.look(connection, f"first-{number % _PREPARED}")
    connection.close()


async def _conclude(clients: Clients, digests: dict[str, bytes]) -> None:
    await clients.settle()
    await clients.verify(digests)


def measure(
    node: BenchNode, seconds: float, depositors: int = DEPOSITORS, readers: int = READERS, looks: int = 300
) -> Result:
    """Look at an idle node so many times, load it for so many seconds, and look for all that it acknowledged."""
    clients = Clients(node.port, node.token)
    asyncio.run(_prepare(clients, looks))
    idle, clients.outcome = clients.outcome, Outcome()
    began = time.time()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        roles = ((_depositors, depositors), (_readers, readers))
        futures = [pool.submit(role, node.port, node.token, count, seconds) for role, count in roles]
        outcomes = [future.result() for future in futures]
    elapsed, peak = time.time() - began, node.peak_memory()
    for outcome in outcomes:
        clients.outcome.add(outcome)
    asyncio.run(_conclude(clients, idle.digests | clients.outcome.digests))
    return Result(idle, clients.outcome, elapsed, peak, len(clients.outcome.digests))


def run(scale: float) -> None:
    """``scale`` 1 is 60 seconds."""
    with tempfile.TemporaryDirectory(prefix="khoso-load-") as name, vaultd(Path(name)) as node:
        tell(measure(node, 60 * scale))


def tell(result: Result) -> None:
    """Print it."""
    loaded, seconds = result.loaded, result.seconds
    console.print(
        f"load: {DEPOSITORS} depositors of {PACKAGE / 1e6:.0f} MB, {READERS} readers, {seconds:.0f} s\n"
        f"  deposited {result.deposits} packages, {result.deposits * PACKAGE / seconds / 1e6:.1f} MB/s;"
        f" read {loaded.downloaded / seconds / 1e6:.0f} MB/s\n"
        f"  GET /packages/{{id}}: p99 idle {result.idle.p99 * 1e3:.1f} ms, loaded {loaded.p99 * 1e3:.1f} ms"
        f" ({loaded.p99 / result.idle.p99:.1f} times), {len(loaded.looks)} of them\n"
        f"  peak memory {result.peak_memory / MIB:.0f} MiB; lost: {loaded.lost or 'nothing'};"
        f" answered otherwise than well: {loaded.failed or 'nothing'}\n"
    )
