"""Verification: our check of a stored part, beside the plainest loop, bagit-python, sha512sum, hashdeep, ocfl-py and
restic; all with sha512 where they have it.

On volumes in memory (tmpfs) it is the engine that is measured; on disk, with the caches dropped before every run of
everyone, the whole way from the medium.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import bagit

from benchmarks.harness import MIB, Row, best, drop_caches, fill, show
from benchmarks.peers import others
from vault.formats.ocfl import ContentPaths, User, first_version, object_id, reading
from vault.model import DigestAlgorithm
from vault.volumes.base import Part, Verdict, VolumeIdentity
from vault.volumes.directory import DirectoryVolume

T = TypeVar("T")

FLOOR = "plain loop, 1 thread"
SETS = (("1 MiB", MIB, 1.0), ("20 KiB", 20 * 1024, 0.1), ("1 GiB", 1024 * MIB, 2.0))
"""Name, size of a file, and how many GiB of it at scale 1."""


def run(scale: float) -> None:
    """All data sets in memory and on disk. ``scale`` 1 is about 3 GiB in all."""
    logging.getLogger("bagit").setLevel(logging.ERROR)
    for place, label in ((Path("/dev/shm"), "in memory (tmpfs)"), (Path(tempfile.gettempdir()), "on disk, cold")):
        for name, size, gib in SETS:
            count = max(1 if size > 100 * MIB else 2, int(gib * scale * 1024 * MIB / size))
            with tempfile.TemporaryDirectory(prefix="khoso-bench-", dir=place) as folder:
                _compare(Path(folder), f"verify {count} x {name}, {label}", count, size, cold=place != Path("/dev/shm"))


def _compare(folder: Path, title: str, count: int, size: int, *, cold: bool) -> None:
    payload = folder / "bag"
    total = fill(payload, count, size)
    volume, parts = _stored(folder, payload)
    bag = bagit.make_bag(str(payload), checksums=["sha512"])
    files = sorted((payload / "data").iterdir())
    before = drop_caches if cold else None
    repeats = 2 if cold else 3

    def ours(threads: int) -> Callable[[], None]:
        def check_all() -> None:
            reading._kept.cache_clear()  # noqa: SLF001 - of a package that is due its inventory was not read just now
            _threads(threads, parts, lambda part: _check(volume, part))

        return check_all

    def plain(threads: int) -> Callable[[], None]:
        return lambda: _threads(threads, files, _plain)

    rows = [
        Row(FLOOR, best(plain(1), repeats, before), total),
        Row("plain loop, 2 threads", best(plain(2), repeats, before), total),
        Row("khoso, 1 lane", best(ours(1), repeats, before), total),
        Row("khoso, 2 lanes", best(ours(2), repeats, before), total),
        Row("bagit-python, 1 process", best(lambda: bag.validate(processes=1), repeats, before), total),
        Row("bagit-python, 2 processes", best(lambda: bag.validate(processes=2), repeats, before), total),
    ]
    if cold:
        rows.insert(2, Row("plain loop, 8 threads", best(plain(8), repeats, before), total))
    for name, check in others(folder, payload / "data", Path(volume.path) / "ocfl").items():
        rows.append(Row(name, best(check, repeats, before), total))
    show(title, rows, FLOOR)


def _threads(count: int, items: Sequence[T], call: Callable[[T], None]) -> None:
    def work(mine: Sequence[T]) -> None:
        for item in mine:
            call(item)

    threads = [threading.Thread(target=work, args=(items[number::count],)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _plain(path: Path) -> None:
    """Read and hash: what nobody can do without."""
    digest = hashlib.sha512()
    buffer = bytearray(MIB)
    view = memoryview(buffer)
    fd = os.open(path, os.O_RDONLY)
    while got := os.readv(fd, [buffer]):
        digest.update(view[:got])
    os.close(fd)
    digest.hexdigest()


def _check(volume: DirectoryVolume, part: Part) -> None:
    if volume.check(part).verdict is not Verdict.INTACT:
        raise RuntimeError("the benchmark's own copy is not intact")


def _stored(folder: Path, payload: Path) -> tuple[DirectoryVolume, list[Part]]:
    """The same bytes as two packages on a volume, so that two lanes have something to do."""
    place = folder / "volume"
    place.mkdir()
    volume = DirectoryVolume(name="bench", path=str(place), domain="bench", site="bench", mount=False)
    volume.initialise(VolumeIdentity(uuid.uuid4(), "bench", "bench", "bench", "bench", datetime.now(UTC)))
    files = sorted(payload.iterdir())
    return volume, [store(volume, f"bench-{half}", files[half::2]) for half in (0, 1) if files[half::2]]


def store(volume: DirectoryVolume, identifier: str, files: list[Path]) -> Part:
    """Store files as a package on a volume."""
    staging = volume.stage(identifier, 1)
    paths = ContentPaths()
    state, content = {}, {}
    for path in files:
        digest = hashlib.sha512()
        content_path = paths.assign(path.name)
        sink = staging.create(content_path)
        with path.open("rb") as file:
            while chunk := file.read(MIB):
                digest.update(chunk)
                sink.write(chunk)
        sink.close()
        state[path.name] = digest.hexdigest()
        content[digest.hexdigest()] = content_path
    inventory = first_version(
        object_id=object_id(identifier),
        state=state,
        content=content,
        created=datetime.now(UTC),
        message="bench",
        user=User("bench", "urn:khoso-node:bench"),
    )
    data = inventory.to_bytes()
    part = Part(inventory.id, 1, DigestAlgorithm.SHA512, hashlib.sha512(data).hexdigest())
    staging.seal(part, data)
    volume.put(staging, part, head=True)
    return part
