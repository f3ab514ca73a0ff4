"""A large package goes through a real vaultd whose memory stays small; KHOSO_LARGE_GIB=4 for the promised size."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.daemon import RHYTHM, Node
from tests.support.nodes import write_config
from vault.cli import main

MIB = 1024 * 1024
SIZE = int(float(os.environ.get("KHOSO_LARGE_GIB", "0.5")) * 1024) * MIB
MOST_MEMORY = 200 * MIB


@pytest.fixture
def node(tmp_path) -> Iterator[Node]:
    for name in ("state", "a", "b"):
        (tmp_path / name).mkdir()
    made = Node(tmp_path)
    text = write_config(tmp_path, extra=RHYTHM).replace("[api]\n", '[api]\nlisten = "127.0.0.1:0"\n')
    made.config.write_text(text)
    made.start()
    for name in ("a", "b"):
        assert main(["--config", str(made.config), "volumes", "init", name]) == 0
    yield made
    made.kill(signal.SIGTERM)


def body() -> Iterator[bytes]:
    block = os.urandom(MIB - 8)
    for number in range(SIZE // MIB):
        yield number.to_bytes(8, "big") + block


def peak_memory(node: Node) -> int:
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_memory_does_not_grow_with_the_package(node):
    digest = hashlib.sha512()

    def counted() -> Iterator[bytes]:
        for piece in body():
            digest.update(piece)
            yield piece

    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(node.socket)), base_url="http://node", timeout=900
    ) as client:
        answer = client.put(
            "/v1/packages/lớn",
            params={"filename": "phim.mxf"},
            content=counted(),
            headers={"Content-Length": str(SIZE), "Prefer": "wait=600"},
        )
        assert answer.status_code == 201, answer.text
        receipt = answer.json()
        assert receipt["bytes"] == SIZE
        assert receipt["digests"]["deposit"] == {"sha512": digest.hexdigest()}
        assert len(receipt["copies"]) == 2
        fetched = hashlib.sha512()
        with client.stream("GET", "/v1/content/lớn", params={"file": "phim.mxf"}) as stream:
            for piece in stream.iter_raw(MIB):
                fetched.update(piece)
        assert fetched.digest() == digest.digest()
    assert peak_memory(node) < MOST_MEMORY
