"""Reading from the medium, not from the page cache.

A copy is good only when its bytes came from the medium. Files are read with O_DIRECT, which goes past the page cache
(and first writes back what is dirty in it). Where a file system cannot do that, the file's pages are dropped first
(posix_fadvise(2), POSIX_FADV_DONTNEED) and again afterwards, so that neither is the cache trusted nor flooded.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from vault.errors import Interrupted
from vault.volumes.hash_state import resumable
from vault.volumes.tree import Tree

BUFFER_BYTES = 2 * 1024 * 1024
_READ_AHEAD_FROM = 4 * BUFFER_BYTES

Progress = Callable[[int], None]
"""Told how many bytes have just been read or written."""


def no_progress(_count: int) -> None:
    """For callers that do not care."""


def never_cancelled() -> bool:
    """For callers that do not stop."""
    return False


_SPARE_BUFFERS = 16
_spare: list[mmap.mmap] = []


@contextmanager
def _lent_buffer() -> Iterator[memoryview]:
    """A buffer that begins at a page, as O_DIRECT asks. Nobody else has it meanwhile, whichever thread reads on."""
    try:
        buffer = _spare.pop()
    except IndexError:
        buffer = mmap.mmap(-1, BUFFER_BYTES)
    try:
        yield memoryview(buffer)
    finally:
        if len(_spare) < _SPARE_BUFFERS:
            _spare.append(buffer)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one file: its size in bytes and its digests by algorithm name, lower-case hexadecimal."""

    size: int
    digests: dict[str, str]


def read_chunks(tree: Tree, path: str, start: int = 0) -> Iterator[memoryview]:
    """Yield a file's content from the medium, from the byte ``start`` on, where a page must begin. Each view is valid
    only until the next one is asked for.

    Raises OSError as open(2) and read(2) do; EINVAL when ``path`` is not a regular file.
    """
    with _lent_buffer() as view, _Medium(tree, path, start) as medium:
        if medium.size - start > _READ_AHEAD_FROM:
            yield from _read_ahead(medium, view)
        else:
            while count := medium.read_into(view):
                yield view[:count]


def read_range(tree: Tree, path: str, start: int, count: int) -> Iterator[memoryview]:
    """As :func:`read_chunks`, but ``count`` bytes of a file that is still being written behind them.

    They are made durable first, and dropped from the page cache whatever the file system does with O_DIRECT. Raises
    OSError; EIO where the file ends before.
    """
    with _lent_buffer() as view, _Medium(tree, path, start) as medium:
        medium.flush(start, count)
        while count:
            got = medium.read_into(view[: min(count, len(view))] if count % mmap.PAGESIZE == 0 else view)
            if not got:
                raise OSError(errno.EIO, "it ends before", path)
            yield view[: min(got, count)]
            count -= min(got, count)


def _read_ahead(medium: _Medium, first: memoryview) -> Iterator[memoryview]:
    """Fill one buffer while the other is used: past the cache nobody else reads ahead."""
    with _lent_buffer() as second, ThreadPoolExecutor(1, "read-ahead") as thread:
        filling, spare = first, second
        coming = thread.submit(medium.read_into, filling)
        while count := coming.result():
            filling, spare = spare, filling
            coming = thread.submit(medium.read_into, filling)
            yield spare[:count]


def _regular_size(fd: int, path: str) -> int:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return info.st_size


class _Medium:
    """One file, opened so that it is read from the medium, and read in order."""

    def __init__(self, tree: Tree, path: str, start: int = 0) -> None:
        self._offset = start
        try:
            self._fd, self._direct = tree.open_read(path, os.O_DIRECT), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._fd, self._direct = tree.open_read(path), False
        try:
            self.size = _regular_size(self._fd, path)
            # Also before direct reading: some file systems (btrfs with compression) then read through the cache.
            self._forget()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        try:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(self._fd)

    def read_into(self, view: memoryview) -> int:
        """Fill the view with what comes next; the number of bytes, 0 where the file ended when it was opened."""
        left = self.size - self._offset
        if left <= 0:
            return 0
        # Whole pages up to the end and no more: what of the buffer lies behind it ext4 fills with zeros when it is read
        # directly, and for a small file that takes longer than the reading.
        view = view[: (left + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE]
        if self._direct and self._offset % mmap.PAGESIZE:
            # A direct read cannot go on from here: what follows is read otherwise.
            self._read_through_cache()
        try:
            count = os.preadv(self._fd, [view], self._offset)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            # Some file systems open with O_DIRECT and then refuse to read so.
            self._read_through_cache()
            count = os.preadv(self._fd, [view], self._offset)
        if not self._direct:
            os.posix_fadvise(self._fd, self._offset, count, os.POSIX_FADV_DONTNEED)
        self._offset += count
        return count

    def flush(self, start: int, count: int) -> None:
        """Make so much of the file durable, and drop it from the cache."""
        os.fdatasync(self._fd)
        os.posix_fadvise(self._fd, start, count, os.POSIX_FADV_DONTNEED)

    def _read_through_cache(self) -> None:
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)
        self._direct = False
        self._forget()

    def _forget(self) -> None:
        """Drop the file's pages from the cache. Dirty ones cannot be dropped, so they are written first."""
        if not self._direct:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EROFS, errno.ENOTSUP):
                    raise
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)


def digest_file(
    tree: Tree,
    path: str,
    algorithms: Sequence[str],
    progress: Progress = no_progress,
    cancelled: Callable[[], bool] = never_cancelled,
) -> Reading:
    """Read one file from the medium and hash it in one pass.

    Raises OSError where it cannot be read, :class:`~vault.errors.Interrupted` when ``cancelled`` says so.
    """
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    size = 0
    for chunk in read_chunks(tree, path):
        for digest in hashes.values():
            digest.update(chunk)
        size += len(chunk)
        progress(len(chunk))
        if cancelled():
            raise Interrupted(f"Reading {path} was stopped.")
    return Reading(size, {name: digest.hexdigest() for name, digest in hashes.items()})


def digest_small(tree: Tree, path: str, algorithm: str) -> Reading | None:
    """As :func:`digest_file`, of a file that one buffer holds; None for a larger one. Raises OSError."""
    with _lent_buffer() as view, _Medium(tree, path) as medium:
        if medium.size > len(view):
            return None
        digest, size = hashlib.new(algorithm, usedforsecurity=False), 0
        while count := medium.read_into(view):
            digest.update(view[:count])
            size += count
    return Reading(size, {algorithm: digest.hexdigest()})


Mark = tuple[int, bytes]
"""How far into a file a digest has come: the offset in bytes, and the digest's state there."""

BEGINNING: Mark = (0, b"")


@dataclass(frozen=True, slots=True)
class Marking:
    """How the digest of a large file is kept on the way: ``wants`` tells when, ``keep`` is given the mark."""

    wants: Callable[[], bool]
    keep: Callable[[Mark], None]


def digest_from(
    tree: Tree,
    path: str,
    algorithm: str,
    mark: Mark,
    marking: Marking,
    progress: Progress = no_progress,
    cancelled: Callable[[], bool] = never_cancelled,
) -> Reading | None:
    """As :func:`digest_file`, going on at ``mark``, and keeping marks on the way in a file of more than one buffer.

    None where the mark is none of this algorithm's, or this machine cannot take one up.
    """
    start, state = mark
    try:
        running = resumable(algorithm, state)
    except ValueError:
        return None
    if start and (running is None or start % mmap.PAGESIZE):
        return None
    # A file that one buffer holds is not worth the state: hashlib begins faster.
    plain = hashlib.new(algorithm, usedforsecurity=False)
    size = start
    for chunk in read_chunks(tree, path, start):
        if size == 0 and len(chunk) < BUFFER_BYTES:
            running = None
        (running or plain).update(chunk)
        size += len(chunk)
        progress(len(chunk))
        stopped = cancelled()
        # At a stop too, so that nothing is read again.
        if running is not None and size % mmap.PAGESIZE == 0 and (stopped or marking.wants()):
            marking.keep((size, running.state()))
        if stopped:
            raise Interrupted(f"Reading {path} was stopped.")
    return Reading(size, {algorithm: (plain if running is None or size == 0 else running).hexdigest()})
