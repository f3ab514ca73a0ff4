"""Clients of others upload through a link that drops, to a daemon that is killed in the midst of it.

``KHOSO_UPLOAD_BYTES`` says how much (64 MiB; 2 GiB for a campaign). tus-js-client is where ``scripts/node-packages``
puts it, which ``make test`` runs, or elsewhere in Node.js's own path (``NODE_PATH``).
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.daemon import Node
from tests.support.nodes import eventually
from tests.support.proxy import DroppingProxy
from tests.support.tools import require
from vault import wire
from vault.client import Client, Endpoint
from vault.model import IngestState, Scope

SIZE = int(os.environ.get("KHOSO_UPLOAD_BYTES", str(64 * 1024 * 1024)))
MIB = 1024 * 1024
REPO = Path(__file__).resolve().parents[2]
SUPPORT = REPO / "tests" / "support"
NODE_PATH = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(REPO / ".venv/node/node_modules")]))
SECONDS = 240 + SIZE // 1_000_000


@pytest.fixture
def node(tmp_path) -> Iterator[Node]:
    made = Node.make(tmp_path)
    made.start()
    with made.client() as client:
        for name in ("a", "b"):
            client.initialise_volume(name)
    yield made
    made.kill()


def tuspy() -> list[str]:
    return [sys.executable, str(SUPPORT / "tus_upload.py")]


def tus_js() -> list[str]:
    program = require("node", "nodejs")
    looked = subprocess.run(
        [program, "-e", "require('tus-js-client')"],
        cwd="/",
        env={**os.environ, "NODE_PATH": NODE_PATH},
        capture_output=True,
        check=False,
        timeout=60,
    )
    if looked.returncode:
        message = "tus-js-client is not installed: scripts/node-packages"
        pytest.skip(message)
    return [program, str(SUPPORT / "tus_upload.cjs")]


@pytest.mark.slow
@pytest.mark.timeout(60 + 2 * SECONDS)
@pytest.mark.parametrize("client", [tuspy, tus_js])
def test_it_arrives_through_drops_and_a_kill(node, tmp_path, client):
    command = client()
    with node.client() as own:
        token = own.create_token(wire.TokenOrder(name="kho", scopes=[Scope.DEPOSIT, Scope.READ])).token
    path, digest = _file(tmp_path / "body")
    chance = random.Random(1)

    def target() -> tuple[str, int]:
        parts = urlsplit(node.address())
        return str(parts.hostname), int(parts.port or 0)

    proxy = DroppingProxy(target, lambda: chance.randrange(1, 20) * MIB)
    with (tmp_path / "client").open("wb") as output:
        process = subprocess.Popen(
            [*command, f"{proxy.address}/v1/uploads", token, str(path), "gói/của người khác"],
            stdout=output,
            stderr=output,
            env={**os.environ, "NODE_PATH": NODE_PATH},
        )
        try:
            eventually(lambda: proxy.carried > SIZE // 3, SECONDS, (tmp_path / "client").read_text)
            node.kill()
            node.start()
            assert process.wait(SECONDS) == 0, (tmp_path / "client").read_text()
        finally:
            process.kill()
            process.wait(10)
            proxy.close()
    url = (tmp_path / "client").read_text().splitlines()[-1]
    with Client(Endpoint(url=node.address(), token=token)) as reader:
        found = eventually(
            lambda: (i := reader.ingest(url.rpartition("/")[2])).state is IngestState.RECEIPTED and i,
            SECONDS,
            lambda: reader.ingest(url.rpartition("/")[2]),
        )
        assert found.receipt["identifier"] == "gói/của người khác"
        assert found.receipt["bytes"] == SIZE
        fetched = hashlib.sha512()
        with reader.content("gói/của người khác", file="tệp.bin") as download:
            for chunk in download.chunks():
                fetched.update(chunk)
    assert fetched.hexdigest() == digest
    assert proxy.cut >= 1
    print(f"{SIZE} bytes, {proxy.cut} connections cut, {proxy.carried} bytes carried")


def _file(path: Path) -> tuple[Path, str]:
    """Bytes that cannot be compressed, and their sha512; nothing of them stays in memory."""
    chance, digest, left = random.Random(7), hashlib.sha512(), SIZE
    with path.open("wb") as file:
        while left:
            data = chance.randbytes(min(left, 1024 * 1024))
            left -= len(data)
            digest.update(data)
            file.write(data)
    return path, digest.hexdigest()
