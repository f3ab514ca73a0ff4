"""Deposit over HTTP into a real vaultd, beside the floor: the plainest loop that reads, hashes, writes twice and syncs.

``stored`` is until the package is durable on its first volume and in the catalogue; ``receipted`` until two copies were
read back from their media and the receipt is signed. They stand beside what the same two ends cost the plainest loop
that writes once, and that writes twice. The contenders take turns, and each row is the median of its turns: whatever
else the machine does, it does to all of them. bagit-python, which has no deposit, is shown as what it takes to
unpack the same tar, sync, and validate the bag.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.download import starlette
from benchmarks.harness import MIB, Row, console, fill, show
from benchmarks.node import BIN, BenchNode, vaultd
from vault.formats.bag_writer import bag_manifests
from vault.formats.tar_writer import TarWriter

FLOOR = "floor: socket, sha512, write twice, sync"
ONCE = "the same, written once"
TURNS = 3


def run(scale: float) -> None:
    """One large file, and a bag of many small ones; ``scale`` 1 is 2 GiB and 5,000 files of 100 KiB."""
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        folder = Path(name)
        large = folder / "large.bin"
        fill(folder / "large", 1, int(2048 * MIB * scale))
        (folder / "large" / "f000000.bin").rename(large)
        bag = folder / "bag.tar"
        make_bag(bag, folder / "payload", max(10, int(5000 * scale)), 100 * 1024)
        with vaultd(folder) as node:
            _compare(node, folder, large, "a single file")
            _compare(node, folder, bag, "a bag of 100 KiB files, as tar")
            console.print(f"vaultd's peak memory: {node.peak_memory() / MIB:.0f} MiB\n")


def _compare(node: BenchNode, folder: Path, body: Path, what: str) -> None:
    size = body.stat().st_size
    with starlette(folder) as port:
        contenders: dict[str, Callable[[], float]] = {
            FLOOR: lambda: _floor(body, folder, 2),
            ONCE: lambda: _floor(body, folder, 1),
            "bare Starlette, written to disk": lambda: _put(body, port),
            "khoso: stored": lambda: node.deposit(body, 0),
            "khoso: receipted, 2 copies proved": lambda: node.deposit(body, 600),
        }
        if body.suffix == ".tar":
            contenders["tar xf, sync, bagit-python validate"] = lambda: _unpack(body, folder)
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(TURNS):
            for name, call in contenders.items():
                times[name].append(call())
    rows = [Row(name, statistics.median(taken), size) for name, taken in times.items()]
    show(f"deposit {what}, {size / MIB:.0f} MiB", rows, FLOOR)


def _floor(body: Path, folder: Path, copies: int) -> float:
    """What a deposit cannot do without, on both ends of a loopback connection."""
    out = [folder / f"floor-{number}.bin" for number in range(copies)]

    def receive(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        digest = hashlib.sha512()
        buffer = bytearray(MIB)
        with connection, contextlib.ExitStack() as opened:
            files = [opened.enter_context(path.open("wb", buffering=0)) for path in out]
            while got := connection.recv_into(buffer):
                digest.update(memoryview(buffer)[:got])
                for file in files:
                    file.write(memoryview(buffer)[:got])
            for file in files:
                os.fsync(file.fileno())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=receive, args=(listener,))
        thread.start()
        began = time.perf_counter()
        with socket.create_connection(listener.getsockname()) as sender, body.open("rb") as file:
            sender.sendfile(file)
        thread.join()
        seconds = time.perf_counter() - began
    for path in out:
        path.unlink()
    return seconds


def _put(body: Path, port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900, blocksize=MIB)
    began = time.perf_counter()
    with body.open("rb") as file:
        connection.request("PUT", "/large.bin", file, {"Content-Length": str(body.stat().st_size)})
    connection.getresponse().read()
    return time.perf_counter() - began


def _unpack(body: Path, folder: Path) -> float:
    out = folder / "unpacked"
    out.mkdir()
    began = time.perf_counter()
    subprocess.run(["tar", "xf", body, "-C", out], check=True, timeout=600)
    os.sync()
    subprocess.run([sys.executable, BIN / "bagit.py", "--validate", "--quiet", out / "bag"], check=True, timeout=600)
    seconds = time.perf_counter() - began
    subprocess.run(["rm", "-rf", out], check=True, timeout=600)
    return seconds


def make_bag(path: Path, folder: Path, count: int, size: int) -> None:
    """A bag of so many random files of this size, as a tar; ``folder`` is where they are made."""
    fill(folder, count, size)
    files = sorted(folder.iterdir())
    listed = [(file.name, hashlib.sha512(file.read_bytes()).hexdigest(), size) for file in files]
    with path.open("wb") as out:
        writer = TarWriter(out.write)
        for name, data in bag_manifests(listed).items():
            writer.file(f"bag/{name}", len(data), [data])
        for file in files:
            writer.file(f"bag/data/{file.name}", size, [file.read_bytes()])
        writer.close()
