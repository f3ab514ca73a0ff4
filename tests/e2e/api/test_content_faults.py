"""Volumes that fail while they are read from, and clients that go away: nobody gets wrong bytes, nothing is left."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.faults import flip
from tests.support.serving import Running, bag, eventually, tar_files, zip_files
from vault.api import reading
from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody.recalls import Recall, RecallState
from vault.ledger import append
from vault.model import Condition, CopyState, EventType, MediumClass, NewEvent, Outcome, Version
from vault.volumes.base import Part

BIG = os.urandom(2 * 1024 * 1024 + 99)
BROKEN_AT = 1024 * 1024


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read") as client:
        yield client


def deposit(client: httpx.Client, identifier: str) -> None:
    files = {"big.bin": BIG, "small.txt": b"small"}
    assert client.put(f"/v1/packages/{identifier}", content=bag(files)).status_code == 201
    eventually(lambda: {copy["state"] for copy in copies_of(client, identifier)} == {"good"})


def copies_of(client: httpx.Client, identifier: str) -> list[dict]:
    return client.get(f"/v1/packages/{identifier}").json()["versions"][0]["copies"]


def served_first(running: Running, client: httpx.Client, identifier: str) -> tuple[str, Path]:
    volume = copies_of(client, identifier)[0]["volume"]
    return volume, of_package(running, volume, identifier)


def of_package(running: Running, volume: str, identifier: str) -> Path:
    # On the volume an identifier's object is found by the name that stands in its folder's.
    (found,) = (running.root / volume).glob(f"ocfl/*/*/*/urn%3akhoso%3a{identifier}/v1/content/data/big.bin")
    return found


@contextlib.contextmanager
def bad_sectors(monkeypatch: pytest.MonkeyPatch, *volumes: str, code: int = errno.EIO) -> Iterator[None]:
    """Reading the big file on these volumes fails from some place on, for the block."""
    real = os.pread

    def pread(fd: int, size: int, at: int) -> bytes:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if at >= BROKEN_AT and path.endswith("big.bin") and any(f"/{name}/" in path for name in volumes):
            raise OSError(code, os.strerror(code))
        return real(fd, size, at)

    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "pread", pread)
        yield


WAYS: dict[str, tuple[dict[str, str], Callable[[bytes], bytes]]] = {
    "file": ({"file": "data/big.bin"}, lambda data: data),
    "tar": ({"format": "tar"}, lambda data: tar_files(data)["data/big.bin"]),
    "zip": ({"format": "zip"}, lambda data: zip_files(data)["data/big.bin"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_bad_sector_in_the_midst_is_passed_over(
    running: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    identifier = f"sector-{way}"
    deposit(client, identifier)
    volume, _ = served_first(running, client, identifier)
    query, unpacked = WAYS[way]
    with bad_sectors(monkeypatch, volume):
        answer = client.get(f"/v1/content/{identifier}", params=query)
    assert unpacked(answer.content) == BIG
    doubts = [event for event in events(running, identifier) if event["outcome"] == "warning"]
    assert [event["volume"] for event in doubts] == [volume]
    eventually(lambda: {copy["state"] for copy in copies_of(client, identifier)} == {"good"})


def test_a_part_goes_on_from_another_copy_too(
    running: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit(client, "sector-part")
    volume, _ = served_first(running, client, "sector-part")
    with bad_sectors(monkeypatch, volume):
        headers = {"Range": f"bytes={BROKEN_AT - 300_000}-"}
        answer = client.get("/v1/content/sector-part", params={"file": "data/big.bin"}, headers=headers)
    assert answer.content == BIG[BROKEN_AT - 300_000 :]


@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_led_from_wrong_bytes_to_right_ones(
    running: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What was sent came from a copy that was wrong there already: the other copy cannot make it right."""
    identifier = f"both-{way}"
    deposit(client, identifier)
    volume, victim = served_first(running, client, identifier)
    flip(victim, 5)
    with bad_sectors(monkeypatch, volume), pytest.raises(httpx.HTTPError):
        client.get(f"/v1/content/{identifier}", params=WAYS[way][0])
    query, unpacked = WAYS[way]
    assert unpacked(client.get(f"/v1/content/{identifier}", params=query).content) == BIG
    eventually(lambda: victim.read_bytes() == BIG)


def test_when_no_copy_goes_on_the_answer_is_broken_and_no_outage_is_a_doubt(
    running: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit(client, "all-gone")
    with bad_sectors(monkeypatch, "nas-a", "nas-b"), pytest.raises(httpx.HTTPError):
        client.get("/v1/content/all-gone", params={"file": "data/big.bin"})
    eventually(lambda: {copy["state"] for copy in copies_of(client, "all-gone")} == {"good"})
    assert client.get("/v1/content/all-gone", params={"file": "data/big.bin"}).content == BIG


def test_a_hanging_volume_is_not_waited_for_and_leaves_nothing_open(
    running: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit(client, "hanging")
    volume, _ = served_first(running, client, "hanging")
    let_go, real = threading.Event(), os.pread

    def pread(fd: int, size: int, at: int) -> bytes:
        if f"/{volume}/" in os.readlink(f"/proc/self/fd/{fd}"):
            let_go.wait(60)
        return real(fd, size, at)

    before = open_files(running)
    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "pread", pread)
        refused = client.get("/v1/content/hanging", params={"file": "data/big.bin"})
        let_go.set()
    assert (refused.status_code, refused.json()["code"]) == (503, "unreachable")
    assert volume in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    eventually(lambda: open_files(running) <= before)


def open_files(running: Running) -> set[str]:
    """What of the volumes' content this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{fd}")
            if path.startswith(str(running.root)) and "/content/" in path:
                found.add(path)
    return found


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("content")]


@pytest.mark.parametrize("way", WAYS)
def test_clients_that_vanish_leave_no_thread_and_no_file_open(running: Running, client: httpx.Client, way: str) -> None:
    identifier = f"vanish-{way}"
    deposit(client, identifier)
    url = httpx.URL(running.base)
    query = str(httpx.QueryParams(WAYS[way][0]))
    head = (
        f"GET /v1/content/{identifier}?{query} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {running.tokens['read']}\r\n\r\n"
    ).encode()
    for take in (0, 0, 15, 15, 15, 3000, 100_000, 100_000):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.connect((url.host, url.port))
            connection.sendall(head)
            taken = 0
            while taken < take:
                taken += len(connection.recv(min(take - taken, 65536)))
    eventually(lambda: not readers() and not open_files(running))


def events(running: Running, identifier: str) -> list[dict]:
    with running.client("audit") as auditor:
        query = {"identifier": identifier, "type": "fixity-check", "limit": "1000"}
        return auditor.get("/v1/events", params=query).json()["items"]


# --- only tape has it


@dataclasses.dataclass
class Shelf:
    """A tape library whose recalls are done when the test says so."""

    inventories: dict[str, bytes] = dataclasses.field(default_factory=dict)
    content: dict[str, Path] = dataclasses.field(default_factory=dict)
    asked: list[tuple[int, tuple[str, ...], str]] = dataclasses.field(default_factory=list)

    def inventory(self, part: Part) -> bytes | None:
        return self.inventories.get(part.inventory_digest)

    def cached(self, _object_id: str, content_path: str) -> int | None:
        path = self.content.get(content_path)
        return None if path is None else os.open(path, os.O_RDONLY)

    def request(self, version: Version, files: Sequence[str], agent: str) -> Recall:
        self.asked.append((version.number, tuple(files), agent))
        return Recall(
            id=f"r{len(self.asked)}", identifier=version.identifier, version=version.number, files=tuple(files),
            state=RecallState.WAITING, agent=agent, created_at=version.created_at,
            retry_after=timedelta(seconds=90.5), message="It waits for a drive.",
        )  # fmt: skip


@pytest.fixture
def shelf(running: Running) -> Iterator[Shelf]:
    parts = running.app.state.parts
    shelf = Shelf()
    running.app.state.parts = dataclasses.replace(parts, recaller=shelf)
    yield shelf
    running.app.state.parts = parts


@pytest.fixture
def on_tape(running: Running, client: httpx.Client) -> Iterator[tuple[str, dict[str, Path]]]:
    """A package that is good on a tape, too, and whose disk copies are taken away; where its bytes lie now."""
    identifier = "taped"
    if client.get(f"/v1/packages/{identifier}").status_code == 404:
        deposit(client, identifier)
        with running.node.catalogue.write() as tx:
            tape = catalog_volumes.register(
                tx, uuid=uuid4(), name="VLT001L8", kind="tape",
                medium=MediumClass.TAPE, domain="VLT001L8", site="two",
            )  # fmt: skip
            version = packages.head(tx, identifier)
            copy = copies.plan(tx, version.id, tape.id, CopyState.WRITTEN)
            copies.change(tx, copy.id, CopyState.GOOD, proved=True)
            append(tx, NewEvent(EventType.COPY_WRITTEN, Outcome.SUCCESS, "node:test"))
    for name in ("nas-a", "nas-b"):
        (running.root / name).rename(running.root / f"{name}-away")
    away = next((running.root / "nas-a-away").glob(f"ocfl/*/*/*/urn%3akhoso%3a{identifier}"))
    with running.client("read") as reader:

        def conditions() -> set[str]:
            items = reader.get("/v1/volumes").json()["items"]
            return {item["condition"] for item in items if item["name"] in ("nas-a", "nas-b")}

        eventually(lambda: conditions() == {str(Condition.OFFLINE)})
        yield identifier, {f"v1/content/{p.relative_to(away / 'v1/content')}": p
                           for p in (away / "v1" / "content").rglob("*") if p.is_file()} | {
                               "inventory": away / "v1" / "inventory.json"}  # fmt: skip
        for name in ("nas-a", "nas-b"):
            (running.root / f"{name}-away").rename(running.root / name)
        eventually(lambda: conditions() == {str(Condition.ONLINE)})


@pytest.mark.parametrize(
    ("query", "files"),
    [
        ({"file": "data/big.bin"}, ("data/big.bin",)),
        ({"format": "tar"}, ()),
        ({"format": "zip"}, ()),
        ({}, ("khoso-deposit.json",)),
    ],
)
def test_what_only_tape_has_is_ordered_from_there_and_then_served(
    running: Running, client: httpx.Client, shelf: Shelf, on_tape: tuple[str, dict[str, Path]], query, files
) -> None:
    identifier, stored = on_tape
    running.app.state.inventories._kept.clear()
    answer = client.get(f"/v1/content/{identifier}", params=query)
    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/recalls/r1"
    assert answer.headers["retry-after"] == "91"
    assert answer.json()["state"] == "waiting"
    assert shelf.asked == [(1, files, "token:deposit-read")]
    # The inventory alone is at hand: what it names is ordered, and what it does not name is not there.
    digest = running_version(running, identifier).inventory_digest
    shelf.inventories[digest] = stored["inventory"].read_bytes()
    assert client.get(f"/v1/content/{identifier}", params=query).status_code == (202 if query else 200)
    assert client.get(f"/v1/content/{identifier}", params={"file": "none"}).status_code == 404
    shelf.content = {path: place for path, place in stored.items() if path != "inventory"}
    came = client.get(f"/v1/content/{identifier}", params=query)
    assert came.status_code == 200
    if query:
        assert WAYS[query.get("format", "file")][1](came.content) == BIG


def running_version(running: Running, identifier: str) -> Version:
    with running.node.catalogue.read() as tx:
        version = packages.head(tx, identifier)
    assert version is not None
    return version


def test_wrong_bytes_in_the_recall_cache_never_look_complete(
    running: Running, client: httpx.Client, shelf: Shelf, on_tape: tuple[str, dict[str, Path]], tmp_path: Path
) -> None:
    identifier, stored = on_tape
    digest = running_version(running, identifier).inventory_digest
    wrong = tmp_path / "wrong"
    wrong.write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    shelf.inventories[digest] = stored["inventory"].read_bytes()
    shelf.content = {"v1/content/data/big.bin": wrong}
    with pytest.raises(httpx.HTTPError):
        client.get(f"/v1/content/{identifier}", params={"file": "data/big.bin"})


def test_without_a_library_it_is_said_so(
    running: Running, client: httpx.Client, on_tape: tuple[str, dict[str, Path]]
) -> None:
    running.app.state.inventories._kept.clear()
    answer = client.get(f"/v1/content/{on_tape[0]}", params={"file": "data/big.bin"})
    assert (answer.status_code, answer.json()["code"]) == (503, "recall-impossible")


def test_what_only_disks_have_is_not_recalled(running: Running) -> None:
    body = {"identifier": "chỉ trên đĩa"}
    with running.client("deposit", "read") as client:
        assert client.put(f"/v1/packages/{body['identifier']}", content=b"x").status_code in (201, 202)
        answer = client.post("/v1/recalls", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing-to-recall")
        assert "/v1/content" in answer.json()["remedy"]
