"""A vaultd in a process of its own, which can be killed and started again."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.nodes import eventually, write_config
from vault.client import Client, Endpoint
from vault.errors import VaultError

RHYTHM = '[custody]\nplanner_interval = "1s"\nprobe_interval = "1s"\nretry_min = "1s"'


@dataclasses.dataclass
class Node:
    """A configuration, and the process that serves it."""

    root: Path
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, root: Path, more: str = "") -> Node:
        """A configuration with two volumes, a and b; nothing runs yet. ``more`` is added to it."""
        for name in ("state", "a", "b"):
            (root / name).mkdir()
        made = cls(root)
        text = write_config(root, extra=RHYTHM + more).replace("[api]\n", '[api]\nlisten = "127.0.0.1:0"\n')
        made.config.write_text(text)
        return made

    def client(self, **options) -> Client:
        """Over the socket."""
        return Client(Endpoint(socket=self.socket), **options)

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
                [sys.executable, "-c", program, "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        eventually(self._answers, 120, (self.root / "log").read_text)

    def _environment(self) -> dict[str, str]:
        """Compiled modules are kept, so that a second start is quick wherever the tests run."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPYCACHEPREFIX": str(self.root / "pycache")}

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "log").read_text()
        return self.answers()

    def answers(self) -> bool:
        """Whether something serves on the socket; its file is there a moment before that."""
        try:
            with self.client() as client:
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
