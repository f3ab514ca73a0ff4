"""A real vaultd with two volumes, for benchmarks and for the load test."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import MIB

BIN = Path(sys.executable).parent


class BenchNode:
    """A running vaultd."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str) -> None:
        self.process = process
        self.port = port
        self.token = token
        self._count = 0

    def deposit(self, body: Path, wait: int) -> float:
        """Seconds until the answer; each time under another identifier."""
        self._count += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900, blocksize=MIB)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Prefer": f"wait={wait}",
            "Content-Length": str(body.stat().st_size),
        }
        began = time.perf_counter()
        with contextlib.closing(connection), body.open("rb") as file:
            connection.request("PUT", f"/v1/packages/bench-{self._count}?filename={body.name}", file, headers)
            answer = connection.getresponse()
            text = answer.read()
            seconds = time.perf_counter() - began
        if answer.status != (202 if wait == 0 else 201):
            raise RuntimeError(f"the deposit answered {answer.status}: {text[:500]!r}")
        if wait == 0:
            self.settle(json.loads(text)["id"])
        return seconds

    def settle(self, ingest: str) -> None:
        """Wait for the receipt, so that the copying does not disturb the next measurement."""
        while True:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                connection.request("GET", f"/v1/ingests/{ingest}", headers={"Authorization": f"Bearer {self.token}"})
                if json.loads(connection.getresponse().read())["state"] == "receipted":
                    return
            time.sleep(0.2)

    def peak_memory(self) -> int:
        """VmHWM of the process, bytes."""
        return self._status("VmHWM") * 1024

    def memory(self) -> int:
        """VmRSS of the process, bytes."""
        return self._status("VmRSS") * 1024

    def threads(self) -> int:
        """How many it has."""
        return self._status("Threads")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in io.StringIO(status) if line.startswith(f"{name}:"))


@contextmanager
def vaultd(folder: Path, extra: str = "") -> Iterator[BenchNode]:
    """Run one in an empty folder for the block. ``extra`` goes to the end of its configuration."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    volumes = ""
    for name in ("a", "b"):
        (folder / name).mkdir()
        volumes += f'[[volume]]\nname="{name}"\nkind="directory"\npath="{folder / name}"\nmount=false\n'
        volumes += f'domain="{name}"\nsite="bench"\nreserve="100 MB"\n'
    config = folder / "vault.toml"
    config.write_text(
        f'[node]\nname="bench"\nstate="{folder}/state"\naccept_shared_devices=true\n'
        f'[api]\nlisten="127.0.0.1:{port}"\nsocket="{folder}/s"\n{volumes}'
        f'[[policy]]\nname="default"\ndisk=2\n{extra}',
        encoding="utf-8",
    )

    def vaultctl(*arguments: str) -> str:
        done = subprocess.run(
            [BIN / "vaultctl", "--config", config, *arguments], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    with (folder / "vaultd.log").open("wb") as log:
        process = subprocess.Popen([BIN / "vaultd", "--config", config], stdout=log, stderr=log)
    try:
        while (
            subprocess.run(
                [BIN / "vaultctl", "--config", config, "volumes"], capture_output=True, check=False
            ).returncode
            != 0
        ):
            if process.poll() is not None:
                raise RuntimeError(f"vaultd ended: {(folder / 'vaultd.log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.3)
        for name in ("a", "b"):
            vaultctl("volumes", "init", name)
        token = json.loads(vaultctl("token", "create", "bench", "--scope", "deposit", "--scope", "read", "--json"))
        yield BenchNode(process, port, token["token"])
    finally:
        process.terminate()
        process.wait(60)
