"""What is read comes from the medium: not from the page cache, and without filling it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import faults
from tests.support.nodes import eventually
from tests.support.parts import WHEN, Package, folder, store
from vault.errors import Interrupted
from vault.model import DigestAlgorithm
from vault.volumes import medium
from vault.volumes.base import FindingKind, VolumeIdentity
from vault.volumes.directory import DirectoryVolume
from vault.volumes.medium import BUFFER_BYTES, digest_file, read_chunks
from vault.volumes.tree import Tree

EDGES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 2**21 - 1, 2**21, 2**21 + 1, 2**22, 2**22 + 4095, 2**23, 2**23 + 1,
         11 * 2**20 - 5]  # fmt: skip


def pattern(size: int) -> bytes:
    """Bytes of which no two pages are alike, always the same ones."""
    return random.Random(size).randbytes(size)


def no_direct_open(monkeypatch) -> None:
    """A file system that knows no O_DIRECT at all (older tmpfs, some FUSE)."""
    real = Tree.open_read

    def open_read(tree, path, flags=0):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return real(tree, path, flags)

    monkeypatch.setattr(Tree, "open_read", open_read)


def no_direct_read(monkeypatch) -> None:
    """One that lets a file be opened so, and then refuses to read it."""
    real = os.preadv

    def preadv(fd, buffers, offset, flags=0):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)


def short_reads(monkeypatch) -> None:
    """One that gives less than was asked for, as servers may: odd ends in the middle of a file."""
    real = os.preadv

    def preadv(fd, buffers, offset, flags=0):
        return real(fd, [buffers[0][: max(1, len(buffers[0]) // 3 - 100)]], offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)


def refusing_unaligned(monkeypatch) -> None:
    """One that reads directly at whole pages only, and says EINVAL else."""
    real = os.preadv

    def preadv(fd, buffers, offset, flags=0):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT and offset % 4096:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, [buffers[0][: 4096 * 3 + 17]], offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)


WAYS = {"direct": lambda _patch: None, "open": no_direct_open, "read": no_direct_read, "short": short_reads,
        "unaligned": refusing_unaligned}  # fmt: skip


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """The ways in which a file system may let itself be read."""
    WAYS[request.param](monkeypatch)
    return request.param


@pytest.fixture
def tree(tmp_path) -> Iterator[Tree]:
    with Tree(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("size", EDGES)
def test_every_byte_is_read_once_and_in_order(tree, tmp_path, way, size):
    data = pattern(size)
    (tmp_path / "file").write_bytes(data)
    assert b"".join(map(bytes, read_chunks(tree, "file"))) == data
    told: list[int] = []
    reading = digest_file(tree, "file", ["sha512", "md5"], told.append)
    assert (reading.size, sum(told)) == (size, size)
    assert reading.digests == {name: hashlib.new(name, data).hexdigest() for name in ("sha512", "md5")}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=st.integers(0, 1100), rest=st.integers(-3, 3), holes=st.booleans())
@example(pages=BUFFER_BYTES // 4096, rest=0, holes=True)
def test_any_size_sparse_or_not(tree, tmp_path, pages, rest, holes):
    size = max(0, pages * 4096 + rest)
    path = tmp_path / "file"
    path.write_bytes(b"" if holes else pattern(size))
    os.truncate(path, size)
    if holes and size > 5000:
        with path.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"in the middle of nothing")
    os.truncate(path, size)
    reading = digest_file(tree, "file", ["sha256"])
    assert (reading.size, reading.digests["sha256"]) == (size, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(("size", "asked"), [(1, 4096), (4096, 4096), (20_000, 20_480), (2**21 + 1, 2**21)])
def test_no_more_is_asked_for_than_whole_pages_of_the_file(tree, tmp_path, monkeypatch, size, asked):
    """What is asked for behind the end the kernel writes with zeros: two megabytes of them, for each small file."""
    real, first = os.preadv, []

    def preadv(fd, buffers, offset, flags=0):
        first.append(len(buffers[0]))
        return real(fd, buffers, offset, flags)

    (tmp_path / "file").write_bytes(pattern(size))
    monkeypatch.setattr(os, "preadv", preadv)
    assert digest_file(tree, "file", ["sha512"]).size == size
    assert first == [asked] if size <= BUFFER_BYTES else first[0] == asked and len(first) == 2


def test_a_reading_can_be_stopped(tree, tmp_path):
    (tmp_path / "file").write_bytes(pattern(3 * BUFFER_BYTES))
    with pytest.raises(Interrupted):
        digest_file(tree, "file", ["sha512"], cancelled=lambda: True)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_only_regular_files_are_read(tree, tmp_path, make, way):
    make(tmp_path / "odd")
    with pytest.raises(OSError, match=r"not a regular file|symbolic links"):
        digest_file(tree, "odd", ["sha512"])


@pytest.mark.parametrize("size", [2 * BUFFER_BYTES + 100, 5 * BUFFER_BYTES])
def test_neither_descriptor_nor_thread_is_left(tree, tmp_path, way, size):
    (tmp_path / "file").write_bytes(pattern(size))
    os.mkfifo(tmp_path / "odd")
    before, threads = os.listdir("/proc/self/fd"), set(threading.enumerate())
    digest_file(tree, "file", ["sha512"])
    reading = read_chunks(tree, "file")
    next(reading)
    reading.close()
    with pytest.raises(OSError):
        digest_file(tree, "odd", ["sha512"])
    assert os.listdir("/proc/self/fd") == before
    assert set(threading.enumerate()) == threads


def test_an_error_in_the_middle_of_a_large_file_is_the_callers(tree, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(pattern(6 * BUFFER_BYTES))
    real = os.preadv

    def preadv(fd, buffers, offset, flags=0):
        if offset >= 3 * BUFFER_BYTES:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    told: list[int] = []
    with pytest.raises(OSError, match="Input/output error"):
        digest_file(tree, "file", ["sha512"], told.append)
    assert sum(told) == 3 * BUFFER_BYTES


def test_a_buffer_belongs_to_one_reading(tree, tmp_path):
    """Two readings at once, in one thread, each end with their own bytes; and no buffer is made for each file."""
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * (5 * BUFFER_BYTES))
    readings = [read_chunks(tree, name) for name in "abc"]
    for chunks in zip(*readings, strict=True):
        assert [set(bytes(chunk)) for chunk in chunks] == [{97}, {98}, {99}]
    spare = list(map(id, medium._spare))
    digest_file(tree, "a", ["sha512"])
    assert sorted(map(id, medium._spare)) == sorted(spare)


# --- On a device of our own


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Iterator[faults.Loop]:
    with faults.loop_ext4(tmp_path_factory.mktemp("medium"), 32 * faults.MIB) as made:
        yield made


def cached(path: Path) -> bool:
    """Whether any page of the file is in the cache (mincore(2), which unlike a reading brings none in)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    size = path.stat().st_size
    pages = (ctypes.c_ubyte * ((size + 4095) // 4096))()
    with path.open("rb") as file:
        address = libc.mmap(None, size, 1, 1, file.fileno(), 0)
    try:
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages) == 0
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return any(page & 1 for page in pages)


def forget(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@pytest.mark.parametrize("size", [100, 4096, 3 * BUFFER_BYTES + 777])
def test_the_cache_is_not_filled(loop, way, size):
    path = loop.point / f"{way}-{size}"
    path.write_bytes(pattern(size))
    forget(path)
    assert not cached(path)
    with Tree(loop.point) as tree:
        digest_file(tree, path.name, ["sha512"])
        assert not cached(path)
        path.read_bytes()
        assert cached(path)

        def is_forgotten() -> bool:
            reading = read_chunks(tree, path.name)
            next(reading)
            reading.close()
            return not cached(path)

        # The kernel leaves a page that is in somebody's hands just then (posix_fadvise(2)): the next reading drops it.
        eventually(is_forgotten)
    path.unlink()


def change_on_device(loop: faults.Loop, old: bytes, new: bytes) -> None:
    """Change bytes on the device behind the file system's back: what is cached stays as it was."""
    assert len(old) == len(new)
    image = loop.image.read_bytes()
    assert image.count(old) == 1
    with loop.image.open("r+b") as file:
        file.seek(image.find(old))
        file.write(new)


@pytest.mark.parametrize("size", [5000, BUFFER_BYTES + 5000])
def test_the_bytes_of_the_medium_are_seen_whatever_the_cache_says(loop, way, size):
    marker = os.urandom(32)
    right = pattern(size) + marker
    path = loop.point / f"seen-{way}-{size}"
    path.write_bytes(right)
    os.sync()
    assert path.read_bytes() == right
    change_on_device(loop, marker, marker[::-1])
    with Tree(loop.point) as tree:
        if way == "direct":
            # The cache still has the right bytes, and whoever asks it is told that all is well.
            assert path.read_bytes() == right
        wrong = pattern(size) + marker[::-1]
        assert digest_file(tree, path.name, ["sha512"]).digests["sha512"] == hashlib.sha512(wrong).hexdigest()
    path.unlink()


def test_what_is_not_written_back_yet_is_written_first(loop, way):
    """Dirty pages cannot be dropped: what is read back is what is on the device by then."""
    path = loop.point / f"dirty-{way}"
    marker = os.urandom(32)
    with path.open("wb") as file:
        file.write(marker + pattern(100_000))
        file.flush()
        with Tree(loop.point) as tree:
            reading = digest_file(tree, path.name, ["sha512"])
        assert loop.image.read_bytes().count(marker) == 1
    assert reading.digests["sha512"] == hashlib.sha512(marker + pattern(100_000)).hexdigest()
    path.unlink()


def test_a_check_sees_damage_that_the_cache_hides(loop, way):
    """The whole way: file, inventory and the object's root."""
    root = loop.point / f"volume-{way}"
    root.mkdir()
    volume = DirectoryVolume(name="a", path=str(root), domain="d", site="s", mount=False)
    volume.initialise(VolumeIdentity(uuid4(), "a", "d", "s", "n", WHEN))
    marker = os.urandom(32).hex().encode()
    package = Package(f"cached {way}", DigestAlgorithm.SHA256)
    built = package.add({"file": b"x" * 9000 + marker, f"named {marker[:8].decode()}": b"2"})
    store(volume, built)
    os.sync()
    place = folder(root, built.part)
    stored = [path for path in place.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in stored}
    change_on_device(loop, marker, marker[::-1])
    assert {path: path.read_bytes() for path in stored} == before
    report = volume.check(built.part)
    assert [(f.kind, f.path) for f in report.findings] == [(FindingKind.MISMATCH, "v1/content/file")]
    assert not any(cached(path) for path in place.rglob("v1/**/*") if path.is_file() and "named" not in path.name)
