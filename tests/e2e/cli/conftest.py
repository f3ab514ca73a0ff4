"""A vaultd of its own process for each module, and vaultctl typed at it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import eventually, write_config
from vault.cli import main
from vault.client import Client, Endpoint
from vault.errors import VaultError

RHYTHM = '[custody]\nplanner_interval = "1s"\nprobe_interval = "1s"\nretry_min = "1s"'


@dataclasses.dataclass
class Said:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@dataclasses.dataclass
class Node:
    """A configuration, and the process that serves it."""

    root: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.root / "vault.toml"

    @property
    def socket(self) -> Path:
        return self.root / "s"

    def start(self) -> None:
        program = "import sys; from vault.daemon import run; sys.exit(run(sys.argv[1:]))"
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, "--config", str(self.config)], stdout=log, stderr=log
            )
        eventually(self._answers, 60, (self.root / "log").read_text)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "log").read_text()
        try:
            with Client(Endpoint(socket=self.socket)) as client:
                client.status()
        except VaultError:
            return False
        return True

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def address(self) -> str:
        """Where it listens on TCP: the port was the kernel's choice."""
        lines = [
            line for line in (self.root / "log").read_text().splitlines() if "serving" in line and "address=" in line
        ]
        return "http://" + lines[-1].partition("address=")[2].split()[0]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = tmp_path_factory.mktemp("node")
    for name in ("state", "a", "b"):
        (root / name).mkdir()
    made = Node(root)
    text = write_config(root, extra=RHYTHM).replace("[api]\n", '[api]\nlisten = "127.0.0.1:0"\n')
    made.config.write_text(text)
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
