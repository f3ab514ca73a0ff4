"""Many packages: 1,000 bags of 30 files of 20 KiB into a real vaultd, until each has its receipt of two proved copies,
beside unpacking the same tars with GNU tar twice, on the same disk, and one sync.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.deposit import make_bag
from benchmarks.harness import MIB, Row, show
from benchmarks.node import BenchNode, vaultd

FLOOR = "GNU tar xf twice, sync"
FILES = 30
SIZE = 20 * 1024
AT_ONCE = 8


def run(scale: float) -> None:
    """``scale`` 1 is 1,000 packages."""
    count = max(20, int(1000 * scale))
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        folder = Path(name)
        (folder / "tars").mkdir()
        tars = []
        for number in range(count):
            tars.append(folder / "tars" / f"{number:05}.tar")
            make_bag(tars[-1], folder / "payload", FILES, SIZE)
        total = sum(tar.stat().st_size for tar in tars)
        os.sync()
        rows = [Row(FLOOR, min(_floor(folder, tars) for _ in range(2)), total)]
        with vaultd(folder / "node") as node:
            stored, receipted = _deposit(node, tars)
        rows.append(Row(f"khoso: stored, {AT_ONCE} at once", stored, total))
        rows.append(Row("khoso: all receipted, 2 copies proved", receipted, total))
        show(f"deposit {count} packages of {FILES} files, {total / MIB:.0f} MiB", rows, FLOOR)


def _floor(folder: Path, tars: list[Path]) -> float:
    os.sync()
    began = time.perf_counter()
    for where in ("one", "two"):
        for tar in tars:
            place = folder / where / tar.stem
            place.mkdir(parents=True)
            subprocess.run(["tar", "xf", tar, "-C", place], check=True, timeout=60)
    os.sync()
    seconds = time.perf_counter() - began
    for where in ("one", "two"):
        shutil.rmtree(folder / where)
    return seconds


def _deposit(node: BenchNode, tars: list[Path]) -> tuple[float, float]:
    """Seconds until all are stored, and until all have their receipts."""
    ingests: list[str] = []
    began = time.perf_counter()

    def send(mine: list[Path]) -> None:
        headers = {"Authorization": f"Bearer {node.token}", "Prefer": "wait=0"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=600)) as connection:
            for tar in mine:
                connection.request("PUT", f"/v1/packages/many/{tar.stem}", tar.read_bytes(), headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status not in (201, 202):
                    raise RuntimeError(f"the deposit answered {answer.status}: {text[:500]!r}")
                if answer.status == 202:
                    ingests.append(json.loads(text)["id"])

    threads = [threading.Thread(target=send, args=(tars[number::AT_ONCE],)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = time.perf_counter() - began
    for ingest in ingests:
        node.settle(ingest)
    return stored, time.perf_counter() - began
