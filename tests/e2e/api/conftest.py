"""A node that serves, once for each module of tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
import uvloop

from tests.support.serving import CONFIG, Running, make_token
from vault.api.app import create_app
from vault.api.parts import NodeParts
from vault.api.server import Server
from vault.config import parse_settings
from vault.node import Node
from vault.volumes.base import VolumeIdentity


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("node")
    (root / "state").mkdir()
    socket = root / "s"
    settings = parse_settings(CONFIG.format(root=root, socket=socket), root / "vault.toml")
    node = Node(settings)
    for name in ("nas-a", "nas-b"):
        (root / name).mkdir()
        volume = node.volumes[name]
        volume.initialise(
            VolumeIdentity(uuid4(), name, volume.domain, volume.site, "test", datetime.now(UTC).replace(microsecond=0))
        )
    (root / "nas-c").mkdir()
    node.start()
    app = create_app(
        NodeParts(
            settings=settings,
            catalogue=node.catalogue,
            custodian=node.custodian,
            intake=node.intake,
            receipts=node.receipts,
            backups=node.backups,
            dispatcher=node.dispatcher,
            watch=node.watch,
            key=node.key,
            metrics=lambda accept: (f"vault_accept{{is={accept!r}}} 1\n".encode(), "text/plain; version=0.0.4"),
            clock=node.catalogue.clock,
        )
    )
    begun = threading.Event()
    server = Server(app, settings, on_started=begun.set)
    server.bind()

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    assert begun.wait(10)
    secrets = {
        "+".join(scopes): make_token(node, *scopes)
        for scopes in (
            ("deposit",), ("read",), ("operate",), ("approve",), ("audit",), ("deposit", "read"),
            ("deposit", "read", "operate", "approve", "audit"),
        )
    }  # fmt: skip
    try:
        yield Running(node, app, root, f"http://{server.address}", socket, secrets)
    finally:
        server.ask_to_stop()
        thread.join(30)
        node.stop()
        assert not thread.is_alive()
        assert not socket.exists()


@pytest.fixture
def depositor(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read") as client:
        yield client


@pytest.fixture
def everyone(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read", "operate", "approve", "audit") as client:
        yield client
