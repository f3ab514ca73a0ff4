"""The client with ``await``: the same deposits, through the same broken links."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import DroppingProxy
from vault import wire
from vault.client import AsyncClient, DepositStatus, Endpoint, FileBody
from vault.errors import Conflict, NotFound, Refused, Unreachable
from vault.model import Descriptive, IngestState, Scope


@pytest.fixture(scope="module")
def token(node) -> str:
    with node.client() as own:
        return own.create_token(wire.TokenOrder(name="async", scopes=[Scope.DEPOSIT, Scope.READ])).token


@pytest.fixture
def link(node) -> Iterator[DroppingProxy]:
    def target() -> tuple[str, int]:
        parts = urlsplit(node.address())
        return str(parts.hostname), int(parts.port or 0)

    proxy = DroppingProxy(target, lambda: 1024 * 1024)
    yield proxy
    proxy.close()


async def fetched(client: AsyncClient, identifier: str, **what) -> bytes:
    async with client.content(identifier, **what) as chunks:
        return b"".join([chunk async for chunk in chunks])


def test_several_deposits_at_once_in_one_loop(node, token, tmp_path):
    bodies = []
    for number in range(3):
        (tmp_path / str(number)).write_bytes(os.urandom(50_000))
        bodies.append(FileBody.prepare(str(tmp_path / str(number)), "x"))

    async def run() -> None:
        async with AsyncClient(Endpoint(url=node.address(), token=token)) as client:
            made = await asyncio.gather(
                *(client.deposit(f"cùng lúc/{n}", body, wait=30) for n, body in enumerate(bodies[:2])),
                client.upload("cùng lúc/2", bodies[2], descriptive=Descriptive(title="Ba")),
            )
            assert {one.status for one in made} <= {DepositStatus.CREATED, DepositStatus.PENDING}
            for number, one in enumerate(made):
                seen = [found async for found in client.follow(one.ingest_id)]
                assert seen[-1].state is IngestState.RECEIPTED
                data = await fetched(client, f"cùng lúc/{number}", file="x")
                assert data == (tmp_path / str(number)).read_bytes()
            assert (await client.package("cùng lúc/2")).descriptive.title == "Ba"
            assert (await client.receipt("cùng lúc/2"))["identifier"] == "cùng lúc/2"

    asyncio.run(run())


def test_an_upload_arrives_over_a_link_that_drops(link, token, tmp_path):
    data = os.urandom(4_000_000)
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []

    async def run() -> wire.Ingest:
        async with AsyncClient(Endpoint(url=link.address, token=token)) as client:
            made = await client.upload("đứt/await", FileBody.prepare(str(tmp_path / "f")), progress=told.append)
            return [seen async for seen in client.follow(made.ingest_id)][-1]

    last = asyncio.run(run())
    assert link.cut >= 2
    assert sum(told) == len(data)
    assert last.receipt["digests"]["deposit"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_refusals_come_back_as_themselves(node, token, tmp_path):
    (tmp_path / "f").write_bytes(b"x")

    async def run() -> None:
        body = FileBody.prepare(str(tmp_path / "f"))
        async with AsyncClient(Endpoint(socket=node.socket)) as client:
            assert (await client.status()).node
            with pytest.raises(NotFound):
                await client.ingest("none")
            with pytest.raises(NotFound):
                await fetched(client, "none", archive="tar")
            with pytest.raises(Conflict):
                await client.upload("chưa có", body, follows=3)
        async with AsyncClient(Endpoint(url="http://127.0.0.1:9", token="x")) as client:
            with pytest.raises(Unreachable):
                await client.upload("x", body, patience=0)

    asyncio.run(run())
    with pytest.raises(Refused):
        AsyncClient(Endpoint(url="http://kho.example.vn", token="x"))
