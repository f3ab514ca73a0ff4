"""Where a directory volume keeps the bytes of resumable deposits until they are whole: ``uploads/ID``, a file for each.

Unlike what is in ``staging/`` they are worth something after a crash: they were promised to a depositor, as far as
they were made durable. Nothing else may live here, and nothing here counts as stored.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Final

from vault.durable import describe_os_error
from vault.errors import Full, Invalid, NotFound
from vault.volumes.tree import Tree

UPLOADS: Final = "uploads"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_CHECK_SPACE_EVERY: Final = 64 * 1024 * 1024


class SpoolFile:
    """An upload's file, open at its end."""

    def __init__(self, fd: int, volume: str, reserve_bytes: int) -> None:
        self._fd = fd
        self._volume = volume
        self._reserve_bytes = reserve_bytes
        self._unchecked_bytes = _CHECK_SPACE_EVERY

    def write(self, data: bytes) -> None:
        """Append all of ``data``. Raises Full, Unreachable; some of it may be there then."""
        self._unchecked_bytes += len(data)
        with self._explained("writing"):
            if self._unchecked_bytes >= _CHECK_SPACE_EVERY:
                self._check_space()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

    def _check_space(self) -> None:
        self._unchecked_bytes = 0
        space = os.fstatvfs(self._fd)
        if space.f_bavail * space.f_frsize < self._reserve_bytes:
            raise Full(
                f"The volume {self._volume!r} has only its reserve left.",
                remedy="What has come of the upload is kept. Free or extend the volume, then send the rest.",
            )

    def sync(self) -> None:
        """Make what was written durable."""
        with self._explained("making durable"):
            os.fdatasync(self._fd)

    def cut(self, size: int) -> None:
        """Forget what lies behind the first ``size`` bytes."""
        with self._explained("shortening"):
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise describe_os_error(error, f"{doing} an upload on the volume {self._volume!r}") from error


class Spool:
    """The uploads on one volume. ``session`` opens its root, after a look at its identity."""

    def __init__(self, session: Callable[[], AbstractContextManager[Tree]], volume: str, reserve_bytes: int) -> None:
        self._session = session
        self._volume = volume
        self._reserve_bytes = reserve_bytes

    @contextmanager
    def append(self, name: str, offset: int) -> Iterator[SpoolFile]:
        """The file of this upload, to be written on from ``offset``. It is made where that is 0; what a crash left
        behind ``offset`` is cut off.

        Raises NotFound where fewer bytes than ``offset`` are there, Full, Unreachable.
        """
        with self._session() as tree, tree.explained(f"receiving an upload on the volume {self._volume!r}"):
            fd = self._open(tree, name, offset)
        try:
            file = SpoolFile(fd, self._volume, self._reserve_bytes)
            size = os.fstat(fd).st_size
            if size < offset:
                raise NotFound(f"Of the upload {name} there are {size} bytes, and not {offset}.", code="no-such-upload")
            file.cut(offset)
            yield file
        finally:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _open(self, tree: Tree, name: str, offset: int) -> int:
        path = _path(name)
        if offset == 0:
            # Volumes that were initialised by an older program have no such folder.
            tree.make_folders_durably(UPLOADS)
            with contextlib.suppress(FileExistsError):
                os.close(tree.create(path, 0o600))
                tree.sync_folder(UPLOADS)
        with tree.parent(path) as (folder, last):
            return os.open(last, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        """The file of this upload, for reading. Raises NotFound, Unreachable."""
        with self._session() as tree, tree.explained(f"reading the upload {name} on the volume {self._volume!r}"):
            fd = tree.open_read(_path(name))
        with os.fdopen(fd, "rb", buffering=0) as file:
            yield file

    def remove(self, name: str) -> None:
        """Remove an upload's file, if it is there."""
        with self._session() as tree, tree.explained(f"removing the upload {name} on the volume {self._volume!r}"):
            tree.remove(_path(name))

    def names(self) -> list[str]:
        """The uploads that have a file here."""
        with self._session() as tree, tree.explained(f"listing the uploads on the volume {self._volume!r}"):
            try:
                return [entry.name for entry in tree.entries(UPLOADS)]
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
                return []


def _path(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} cannot name an upload.", code="bad-token")
    return f"{UPLOADS}/{name}"
