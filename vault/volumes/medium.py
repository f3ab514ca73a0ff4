"""Reading from the medium, not from the page cache.

A copy is good only when its bytes came from the medium. Files are read with O_DIRECT, which goes past the page cache
(and first writes back what is dirty in it). Where a file system cannot do that, the file's pages are dropped first
(posix_fadvise(2), POSIX_FADV_DONTNEED) and again afterwards, so that neither is the cache trusted nor flooded.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vault.errors import Interrupted
from vault.volumes.tree import Tree

BUFFER_BYTES = 2 * 1024 * 1024

Progress = Callable[[int], None]
"""Told how many bytes have just been read or written."""


def no_progress(_count: int) -> None:
    """For callers that do not care."""


def never_cancelled() -> bool:
    """For callers that do not stop."""
    return False


class _Buffers(threading.local):
    """One page-aligned buffer per thread, as O_DIRECT asks."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, BUFFER_BYTES)
        self.view = memoryview(self.map)


_buffers = _Buffers()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one file: its size in bytes and its digests by algorithm name, lower-case hexadecimal."""

    size: int
    digests: dict[str, str]


def read_chunks(tree: Tree, path: str) -> Iterator[memoryview]:
    """Yield a file's content from the medium. Each view is valid only until the next one is asked for.

    Raises OSError as open(2) and read(2) do; EINVAL when ``path`` is not a regular file.
    """
    fd, direct = _open(tree, path)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        view, offset = _buffers.view, 0
        while True:
            try:
                count = os.preadv(fd, [view], offset)
            except OSError as error:
                if not direct or error.errno != errno.EINVAL:
                    raise
                # Some file systems open with O_DIRECT and then refuse to read so.
                os.close(fd)
                fd, direct = _open_dropped(tree, path), False
                continue
            if count == 0:
                break
            yield view[:count]
            if not direct:
                os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)
            offset += count
            if direct and count % mmap.PAGESIZE:
                # A direct read cannot go on from such an offset. It is the end of the file, or else read on without.
                if offset >= info.st_size:
                    break
                os.close(fd)
                fd, direct = _open_dropped(tree, path), False
    finally:
        os.close(fd)


def _open(tree: Tree, path: str) -> tuple[int, bool]:
    try:
        return tree.open_read(path, os.O_DIRECT), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _open_dropped(tree, path), False


def _open_dropped(tree: Tree, path: str) -> int:
    """Open a file whose pages have just been dropped from the cache, for reading in order."""
    fd = tree.open_read(path)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return fd


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
