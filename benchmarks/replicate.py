"""Replication to two targets, each read back, beside the floor: read and hash once, write twice, sync, read both back
and hash them, by the plainest loop with a thread for each target's reading.

Both make the same durable: the floor with one sync(2) of everything, which waits as syncfs(2) for each target does.
What the floor leaves out: it compares no digest, asks nobody which volume it is on, writes no inventory, and puts
nothing in place. It reads what it wrote through the page cache, from which it was dropped; ours goes past it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.harness import MIB, Row, best, drop_caches, fill, show
from benchmarks.verify import store
from vault.custody.journal import AlreadyRead
from vault.custody.transfer import Target, transfer
from vault.volumes.base import Part, Verdict, VolumeIdentity
from vault.volumes.directory import DirectoryVolume
from vault.volumes.directory_placing import object_folder
from vault.volumes.medium import never_cancelled, no_progress

FLOOR = "floor: reads once, writes two, reads both back"


def run(scale: float) -> None:
    """Few large files and many small ones, in memory and on disk; ``scale`` 1 is 1 GiB of each."""
    for place, label in ((Path("/dev/shm"), "in memory (tmpfs)"), (Path(tempfile.gettempdir()), "on disk, cold")):
        for name, size, mib in (("64 MiB", 64 * MIB, 1024), ("20 KiB", 20 * 1024, 100)):
            count = max(2, int(mib * scale * MIB / size))
            with tempfile.TemporaryDirectory(prefix="khoso-bench-", dir=place) as folder:
                _compare(Path(folder), f"replicate {count} x {name} to two, {label}", count, size)


def _compare(folder: Path, title: str, count: int, size: int) -> None:
    payload = folder / "payload"
    total = fill(payload, count, size)
    volumes = [_volume(folder, name) for name in "sab"]
    part = store(volumes[0], "bench", sorted(payload.iterdir()))
    rows = [
        Row(FLOOR, best(lambda: _floor(folder, payload), 2, drop_caches), total),
        Row("khoso, one task", best(lambda: _ours(volumes, part), 2, drop_caches), total),
    ]
    show(title, rows, FLOOR)


def _volume(folder: Path, name: str) -> DirectoryVolume:
    (folder / name).mkdir()
    volume = DirectoryVolume(name=name, path=str(folder / name), domain=name, site="bench", mount=False)
    volume.initialise(VolumeIdentity(uuid.uuid4(), name, name, "bench", "bench", datetime.now(UTC)))
    return volume


def _ours(volumes: list[DirectoryVolume], part: Part) -> None:
    """As a task does: copied, put in place, and proved there but for what was read back while it was written; then
    thrown away."""
    targets = [Target(volume, volume.stage(uuid.uuid4().hex, 1)) for volume in volumes[1:]]
    result = transfer(part, volumes[:1], targets, no_progress, never_cancelled)
    verdicts: list[Verdict] = []

    def prove(target: Target) -> None:
        read = AlreadyRead(result.read.get(target.volume.name, {}))
        verdicts.append(target.volume.check(part, journal=read).verdict)

    for target in targets:
        target.volume.put(target.staging, part, head=True)
    _at_once([partial(prove, target) for target in targets])
    for volume in volumes[1:]:
        shutil.rmtree(Path(volume.path) / object_folder(part.object_id))
    if result.lost or any(target.failure for target in targets) or verdicts != [Verdict.INTACT] * 2:
        raise RuntimeError("the benchmark's own copies are not intact")


def _floor(folder: Path, payload: Path) -> None:
    outs = [folder / "floor-a", folder / "floor-b"]
    for out in outs:
        out.mkdir()
    names = sorted(os.listdir(payload))
    for name in names:
        digest = hashlib.sha512()
        sinks = [(out / name).open("wb", buffering=0) for out in outs]
        with (payload / name).open("rb", buffering=0) as file:
            while chunk := file.read(MIB):
                digest.update(chunk)
                for sink in sinks:
                    sink.write(chunk)
        for sink in sinks:
            sink.close()
    os.sync()
    _at_once([partial(_read_back, out, names) for out in outs])
    for out in outs:
        for name in names:
            (out / name).unlink()
        out.rmdir()


def _read_back(folder: Path, names: list[str]) -> None:
    for name in names:
        digest = hashlib.sha512()
        with (folder / name).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while chunk := file.read(MIB):
                digest.update(chunk)


def _at_once(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
