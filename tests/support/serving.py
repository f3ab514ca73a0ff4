"""A whole node with its doors, for tests: a real catalogue, real folders as volumes, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx
import uvloop

from tests.support.patience import PATIENCE
from vault.api.app import create_app
from vault.api.parts import NodeParts
from vault.api.server import Server
from vault.catalog import tokens
from vault.config import parse_settings
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Scope
from vault.node import Node
from vault.volumes.base import VolumeIdentity

CONFIG = """
[node]
name = "test"
state = "{root}/state"
accept_shared_devices = true
[catalog]
url = "sqlite:///{root}/state/catalog.db"
[api]
listen = "127.0.0.1:0"
socket = "{socket}"
wait = "20s"
wait_max = "30s"
idle_timeout = "2s"
[intake]
max_package_bytes = "8 MB"
max_inflated_bytes = "16 MB"
max_concurrent = 3
queue_timeout = "0s"
max_concurrent_per_token = 3
[callbacks]
[custody]
planner_interval = "1s"
probe_interval = "1s"
retry_min = "1s"
[[volume]]
name = "nas-a"
kind = "directory"
path = "{root}/nas-a"
mount = false
domain = "nas-a"
site = "one"
reserve = "1 MB"
[[volume]]
name = "nas-b"
kind = "directory"
path = "{root}/nas-b"
mount = false
domain = "nas-b"
site = "two"
reserve = "1 MB"
[[volume]]
name = "nas-c"
kind = "directory"
path = "{root}/nas-c"
mount = false
domain = "nas-c"
site = "two"
reserve = "1 MB"
[[policy]]
name = "default"
disk = 2
"""
TIMEOUT: Final = 30 * PATIENCE
"""Seconds in which a request must be answered."""


@dataclass
class Running:
    """A node that serves."""

    node: Node
    app: object
    root: Path
    base: str
    socket: Path
    tokens: dict[str, str]
    server: Server | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def client(self, *scopes: str, **options) -> httpx.Client:
        """Over TCP, with a token of these scopes; with none of them, without a token."""
        headers = {"Authorization": f"Bearer {self.tokens['+'.join(scopes)]}"} if scopes else {}
        # Reading the machine's certificates takes longer than the request; without TLS nobody needs them.
        return httpx.Client(
            base_url=self.base, headers=headers, timeout=TIMEOUT, trust_env=False, verify=False, **options
        )

    def local(self) -> httpx.Client:
        """Over the Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        return httpx.Client(
            transport=transport, base_url="http://vault", timeout=TIMEOUT, trust_env=False, verify=False
        )


def make_token(node: Node, *scopes: str) -> str:
    with node.catalogue.write() as tx:
        _, secret = tokens.create(tx, "-".join(scopes), [Scope(scope) for scope in scopes], None)
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "node:test"))
    return secret


def known_token(root: Path, node: Node, *scopes: str) -> str:
    """The token of these scopes; the same one after a restart."""
    kept = root / f"token-{'-'.join(scopes)}"
    if not kept.exists():
        kept.write_text(make_token(node, *scopes))
    return kept.read_text()


def _with(config: str, more: dict[str, str]) -> str:
    """The configuration with more keys in its sections; a key that was there before is replaced."""
    for section, lines in more.items():
        for line in lines.splitlines():
            config = re.sub(rf"(?m)^{line.partition(' =')[0]} = .*\n", "", config)
        config = config.replace(f"[{section}]\n", f"[{section}]\n{lines}\n", 1)
    return config


@contextlib.contextmanager
def served(root: Path, **more: str) -> Iterator[Running]:
    """A node that serves in this process; again on the same folder, it is the same node. ``more`` are lines of the
    configuration by section."""
    (root / "state").mkdir(exist_ok=True)
    socket = root / "s"
    settings = parse_settings(_with(CONFIG.format(root=root, socket=socket), more), root / "vault.toml")
    node = Node(settings)
    for name in ("nas-a", "nas-b"):
        if not (root / name).exists():
            (root / name).mkdir()
            volume = node.volumes[name]
            now = datetime.now(UTC).replace(microsecond=0)
            volume.initialise(VolumeIdentity(uuid4(), name, volume.domain, volume.site, "test", now))
    (root / "nas-c").mkdir(exist_ok=True)
    node.start()
    app = create_app(
        NodeParts(
            settings=settings,
            catalogue=node.catalogue,
            custodian=node.custodian,
            intake=node.intake,
            batches=node.batches,
            receipts=node.receipts,
            bell=node.bell,
            uploads=node.uploads,
            backups=node.backups,
            dispatcher=node.dispatcher,
            watch=node.watch,
            health=node.health,
            key=node.key,
            metrics=lambda accept: (f"vault_accept{{is={accept!r}}} 1\n".encode(), "text/plain; version=0.0.4"),
            clock=node.catalogue.clock,
            recaller=node.recaller,
            tapes=node.tape_desk,
            tape_import=node.tape_import,
            shelf=node.shelf,
        )
    )
    begun = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    server = Server(app, settings, on_started=begun.set, on_stopping=node.close_doors)
    server.bind()

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            loops.append(runner.get_loop())
            runner.run(server.serve())

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    assert begun.wait(10 * PATIENCE)
    secrets = {
        "+".join(scopes): known_token(root, node, *scopes)
        for scopes in (
            ("deposit",), ("read",), ("operate",), ("approve",), ("audit",), ("deposit", "read"),
            ("deposit", "read", "operate", "approve", "audit"),
        )
    }  # fmt: skip
    try:
        scheme = "http" if settings.api.tls.files is None else "https"
        yield Running(node, app, root, f"{scheme}://{server.address}", socket, secrets, server, loops[0])
    finally:
        server.ask_to_stop()
        thread.join(30 * PATIENCE)
        node.stop()
        assert not thread.is_alive()
        assert not socket.exists()


def repr_digest(data: bytes, algorithm: str = "sha-256") -> str:
    return f"{algorithm}=:{b64encode(hashlib.new(algorithm.replace('-', ''), data).digest()).decode()}:"


def bag(files: dict[str, bytes], info: str = "") -> bytes:
    """A bag as a tar in which it has a folder of its own; ``info`` is its bag-info.txt."""
    manifest = "".join(f"{hashlib.sha512(data).hexdigest()}  data/{path}\n" for path, data in files.items())
    declaration = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    members = {"bagit.txt": declaration, "manifest-sha512.txt": manifest.encode()}
    members |= {"bag-info.txt": info.encode()} if info else {}
    members |= {f"data/{path}": data for path, data in files.items()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(f"hồ sơ/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: f.read() for m in archive if (f := archive.extractfile(m)) is not None}


def zip_files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def eventually(check: Callable[[], object], seconds: float = 20) -> object:
    """Ask until it is so. There is nothing to wait on from outside the node but to ask it again."""
    end = datetime.now(UTC).timestamp() + seconds * PATIENCE
    pause = threading.Event()
    while not (found := check()):
        assert datetime.now(UTC).timestamp() < end, "it did not become so"
        pause.wait(0.05)
    return found
