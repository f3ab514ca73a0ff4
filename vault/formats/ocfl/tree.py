"""The tree that a validator walks: a folder on a disk, a tape, an archive; and the one for folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol, Self

from vault.errors import NotFound, Unreachable

_NO_SUCH = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG})
"""What opening a link, a socket or an impossible name gives: there is no such regular file or folder."""


class Kind(Enum):
    """What a name in a folder stands for. Links and special files have no place in OCFL (E090)."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder; ``size`` is in bytes, and 0 for all but files."""

    name: str
    kind: Kind
    size: int = 0


class Tree(Protocol):
    """Read-only access by paths relative to the tree's top, with "/" between names and "" for the top."""

    def list_dir(self, path: str) -> Sequence[Entry]:
        """Return what is in a folder, in any order.

        Raises:
            NotFound: there is no such folder.
            Unreachable: the medium does not answer; says nothing about the folder.
        """

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading; the caller closes it.

        Raises:
            NotFound: there is no such file, or it is not a regular file.
            Unreachable: the medium does not answer; says nothing about the file.
        """


class FolderTree:
    """A folder of a file system. Never follows a symbolic link below ``root``, and never leaves it.

    It keeps the folder of the last file open, as the files of a folder are read one after another: use it from one
    thread at a time, and close it, or use it as a context manager.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)
        self._parent = ""
        self._parent_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the descriptor it holds. It can be used again after that."""
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
            self._parent_fd = -1

    def list_dir(self, path: str) -> Sequence[Entry]:
        """Return what is in a folder; names that are not UTF-8 carry their bytes as surrogate escapes."""
        with self._reached(path):
            fd = self._open_dir(path)
            try:
                with os.scandir(fd) as scan:
                    return [entry for item in scan if (entry := _entry(item))]
            finally:
                os.close(fd)

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading."""
        parent, _, name = path.rpartition("/")
        with self._reached(path):
            if parent != self._parent or self._parent_fd < 0:
                self.close()
                self._parent_fd, self._parent = self._open_dir(parent), parent
            # Without O_NONBLOCK opening a FIFO would wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(_checked(name), flags, dir_fd=self._parent_fd)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise NotFound(f"{path!r} in {self._root} is not a regular file.")
            return os.fdopen(fd, "rb")

    def _open_dir(self, path: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = os.open(self._root, flags)
        for name in path.split("/") if path else ():
            try:
                below = os.open(_checked(name), flags | os.O_NOFOLLOW, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd

    @contextmanager
    def _reached(self, path: str) -> Iterator[None]:
        """Turn the operating system's errors into ours: absent is one fact, not answering another."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{path!r} is not in {self._root}.") from error
        except OSError as error:
            if error.errno in _NO_SUCH:
                raise NotFound(f"{path!r} is not in {self._root}: {error.strerror}.") from error
            raise Unreachable(
                f"{path!r} in {self._root} cannot be read: {error.strerror}.",
                remedy="Look at the mount and the device under it; nothing is said about the content.",
            ) from error


def _checked(name: str) -> str:
    """Return ``name`` if it is one that a folder can hold; a path must not climb, nor stop at a NUL."""
    try:
        usable = name not in ("", ".", "..") and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise NotFound(f"{name!r} is not the name of a file.")
    return name


def _entry(item: os.DirEntry[str]) -> Entry | None:
    """Return what a name stands for; None when it vanished meanwhile."""
    try:
        # As the folder itself says, where it does: one inode that cannot be read must not hide its neighbours.
        if item.is_dir(follow_symlinks=False):
            return Entry(item.name, Kind.DIRECTORY)
        found = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        if not item.is_file(follow_symlinks=False):
            raise
        return Entry(item.name, Kind.FILE)
    if stat.S_ISREG(found.st_mode):
        return Entry(item.name, Kind.FILE, found.st_size)
    return Entry(item.name, Kind.LINK if stat.S_ISLNK(found.st_mode) else Kind.OTHER)
