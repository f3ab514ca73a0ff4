"""A vaultd of its own process for each module, and vaultctl typed at it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.daemon import Node
from vault.cli import main


@dataclasses.dataclass
class Said:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node.make(tmp_path_factory.mktemp("node"))
    made.start()
    for name in ("a", "b"):
        assert main(["--config", str(made.config), "volumes", "init", name]) == 0
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")
    for name in ("VAULT_CONFIG", "VAULTCTL_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def vaultctl(node: Node, capsys):
    """Type a command; in this process, so that it takes no second to start."""

    def typed(*arguments: object, code: int = 0) -> Said:
        capsys.readouterr()
        found = main(["--config", str(node.config), *map(str, arguments)])
        caught = capsys.readouterr()
        said = Said(found, caught.out, caught.err)
        assert said.code == code, said
        return said

    return typed


@pytest.fixture
def stopped(node: Node) -> Iterator[Node]:
    """The node, with its daemon killed for the length of a test."""
    node.kill()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(node.socket)
    yield node
    node.start()
