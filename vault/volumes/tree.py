"""File operations below one directory that is held open.

A volume's root is opened once for each piece of work and everything happens relative to that descriptor. If the
file system is unmounted, or another is mounted over it, in the middle of the work, we go on speaking to the one
whose identity was checked, or get an error; never do we write into an empty mount point. No symbolic link below the
root is ever followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from vault.durable import describe_os_error

_SYS_OPENAT2 = 437
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_ATTEMPTS = 1000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open ``path`` below ``root_fd`` without following any symbolic link (openat2(2), Linux 5.6).

    Raises OSError as open(2) does; ELOOP where a link stands in the way, EXDEV where the path goes upwards or is
    absolute, EINVAL where it holds a NUL.
    """
    _refuse_escape(path)
    if "/" not in path:
        # One name has no way that could lead through a link; open(2) itself refuses the name when it is one.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=root_fd)
    how = _OpenHow(flags | os.O_CLOEXEC, mode if flags & os.O_CREAT else 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
    encoded, code = os.fsencode(path), 0
    for _ in range(_ATTEMPTS):
        fd = int(_libc.syscall(_SYS_OPENAT2, root_fd, encoded, ctypes.byref(how), ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code in (errno.EINTR, errno.EAGAIN):  # EAGAIN: something was renamed on the way
            continue
        if code == errno.ENOSYS or (code == errno.EPERM and not _openat2_allowed()):
            return _open_by_steps(root_fd, path, flags, mode)
        break
    raise OSError(code, os.strerror(code), path)


def _refuse_escape(path: str) -> None:
    if path.startswith("/") or (".." in path and ".." in path.split("/")):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    if "\0" in path:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)


def _openat2_allowed() -> bool:
    """Whether openat2 works at all here; some container filters answer EPERM to system calls they do not know."""
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, 0)
    fd = int(_libc.syscall(_SYS_OPENAT2, _AT_FDCWD, b"/", ctypes.byref(how), ctypes.sizeof(how)))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def _open_by_steps(root_fd: int, path: str, flags: int, mode: int) -> int:
    parts = PurePosixPath(path).parts or (".",)
    here = os.dup(root_fd)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=here)
    finally:
        os.close(here)


_SMALL_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder. ``kind`` is "file", "folder" or "other" (a link, a device, a socket)."""

    name: str
    kind: str


def _entries(fd: int) -> list[Entry]:
    found = []
    with os.scandir(fd) as scan:
        for item in scan:
            if item.is_dir(follow_symlinks=False):
                found.append(Entry(item.name, "folder"))
            else:
                found.append(Entry(item.name, "file" if item.is_file(follow_symlinks=False) else "other"))
    return sorted(found, key=lambda entry: entry.name)


class Tree:
    """A directory held open, and what can be done below it. Paths are relative, with forward slashes.

    Methods raise plain OSError: only the caller knows whether ENOENT means that a file is missing or that a path
    was wrong. Where the meaning is the same everywhere (no room, device gone), use :meth:`explained`.
    """

    def __init__(self, root: str | os.PathLike[str], fd: int | None = None) -> None:
        self.root = os.fspath(root)
        self.fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if fd is None else fd

    def duplicate(self) -> Tree:
        """The same directory held a second time, for work that outlives this one."""
        return Tree(self.root, os.dup(self.fd))

    def below(self, path: str) -> Tree:
        """A folder of it, held as a tree of its own. Its names need not be readable (O_PATH)."""
        return Tree(f"{self.root}/{path}", open_beneath(self.fd, path, os.O_PATH | os.O_DIRECTORY))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn an OSError in the block into Full, Unreachable or another error that says what was being done."""
        try:
            yield
        except OSError as error:
            raise describe_os_error(error, doing) from error

    # --- reading

    def open_read(self, path: str, flags: int = 0) -> int:
        """Open a file for reading; the caller closes the descriptor."""
        return open_beneath(self.fd, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)

    def size(self, path: str) -> int:
        """Bytes of a file, by what the file system says of it. Raises EINVAL for what is no regular file."""
        return self.size_and_inode(path)[0]

    def size_and_inode(self, path: str) -> tuple[int, int]:
        """Bytes of a regular file, and its inode number. OSError EINVAL where it is none."""
        fd = open_beneath(self.fd, path, os.O_PATH | os.O_NOFOLLOW)
        try:
            info = os.fstat(fd)
        finally:
            os.close(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return info.st_size, info.st_ino

    def read_small(self, path: str, limit: int) -> bytes:
        """Read a whole file of at most ``limit`` bytes (EFBIG beyond)."""
        fd = self.open_read(path)
        with os.fdopen(fd, "rb", buffering=0) as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            if info.st_size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
            data = bytearray()
            # So much at once that one read does; memory is taken for what is asked, whatever comes.
            while chunk := file.read(min(max(info.st_size, _SMALL_READ), limit) + 1 - min(len(data), limit)):
                data += chunk
                if len(data) > limit:
                    break
            if len(data) > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
            return bytes(data)

    def kind(self, path: str) -> str:
        """What stands at ``path``, as in :class:`Entry`; "" where nothing does. Links are not followed."""
        try:
            fd = open_beneath(self.fd, path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        try:
            mode = os.fstat(fd).st_mode
        finally:
            os.close(fd)
        return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"

    def exists(self, path: str) -> bool:
        """Whether something stands at ``path``, whatever it is."""
        return self.kind(path) != ""

    def entries(self, path: str = ".") -> list[Entry]:
        """The names in a folder, sorted; links and devices are "other" and are not looked into."""
        fd = open_beneath(self.fd, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return _entries(fd)
        finally:
            os.close(fd)

    # --- writing

    def make_folders(self, path: str) -> list[str]:
        """Make ``path`` and the folders above it where they are missing; return those made, outermost first."""
        made = []
        parts = PurePosixPath(path).parts
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            with self.parent(folder) as (parent_fd, name):
                try:
                    os.mkdir(name, 0o755, dir_fd=parent_fd)
                except FileExistsError:
                    continue
                made.append(folder)
        return made

    def create(self, path: str, mode: int = 0o644) -> int:
        """Create a file that must not exist yet and open it for writing; the caller closes the descriptor."""
        return open_beneath(self.fd, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)

    def write_new(self, path: str, data: bytes | Iterable[bytes], mode: int = 0o644) -> None:
        """Create a file with this content, given whole or in pieces. Not durable before it is synced."""
        fd = self.create(path, mode)
        with os.fdopen(fd, "wb", buffering=0) as file:
            for piece in [data] if isinstance(data, bytes) else data:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder that holds ``path``, opened, and the last name of it."""
        _refuse_escape(path)
        pure = PurePosixPath(path)
        fd = open_beneath(self.fd, str(pure.parent), os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd, pure.name
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing a file at ``new``. Durable only after both folders were synced."""
        with self.parent(old) as (old_fd, old_name), self.parent(new) as (new_fd, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_fd, dst_dir_fd=new_fd)

    def link(self, old: str, new: str) -> None:
        """Give a file a second name (link(2)); a link is not followed but linked itself. Durable as a new file is."""
        with self.parent(old) as (old_fd, old_name), self.parent(new) as (new_fd, new_name):
            os.link(old_name, new_name, src_dir_fd=old_fd, dst_dir_fd=new_fd, follow_symlinks=False)

    def is_same_file(self, one: str, other: str) -> bool:
        """Whether both are names of one regular file."""
        found = []
        for path in (one, other):
            try:
                with self.parent(path) as (folder, name):
                    found.append(os.stat(name, dir_fd=folder, follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                return False
        return stat.S_ISREG(found[0].st_mode) and os.path.samestat(*found)

    def exchange(self, one: str, other: str) -> None:
        """Swap two names in one step (renameat2(2) RENAME_EXCHANGE). EINVAL where the file system cannot."""
        with self.parent(one) as (one_fd, one_name), self.parent(other) as (other_fd, other_name):
            result = _libc.renameat2(
                one_fd,
                ctypes.c_char_p(os.fsencode(one_name)),
                other_fd,
                ctypes.c_char_p(os.fsencode(other_name)),
                _RENAME_EXCHANGE,
            )
        if result != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), one)

    def remove(self, path: str) -> None:
        """Remove a file or a whole folder, as far as it exists. Only for what nobody needs any more."""
        try:
            with self.parent(path) as (parent_fd, name):
                if self.kind(path) != "folder":
                    os.unlink(name, dir_fd=parent_fd)
                    return
        except FileNotFoundError:
            return
        for folder in reversed(self._emptied(path)):
            with self.parent(folder) as (parent_fd, name):
                os.rmdir(name, dir_fd=parent_fd)

    def _emptied(self, path: str) -> list[str]:
        """Remove all files below a folder; returns it and the folders below it, each after the one that holds it."""
        folders = [path]
        for folder in folders:
            fd = open_beneath(self.fd, folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for entry in _entries(fd):
                    if entry.kind == "folder":
                        folders.append(f"{folder}/{entry.name}")
                    else:
                        os.unlink(entry.name, dir_fd=fd)
            finally:
                os.close(fd)
        return folders

    # --- durability

    def sync_file(self, path: str) -> None:
        """fsync(2) one file."""
        self._sync(path, os.O_RDONLY)

    def sync_folder(self, path: str = ".") -> None:
        """fsync(2) one folder: names that were made, renamed or removed in it survive a power cut."""
        self._sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def _sync(self, path: str, flags: int) -> None:
        fd = open_beneath(self.fd, path, flags)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync_filesystem(self) -> None:
        """syncfs(2): everything on this file system, in one go. Reports write errors since Linux 5.8."""
        if _libc.syncfs(self.fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), self.root)

    def sync_below(self, path: str) -> None:
        """fsync(2) every file and folder at and below ``path``, innermost first."""
        folders = [path]
        for folder in folders:
            for entry in self.entries(folder):
                below = f"{folder}/{entry.name}"
                if entry.kind == "folder":
                    folders.append(below)
                elif entry.kind == "file":
                    self.sync_file(below)
        for folder in reversed(folders):
            self.sync_folder(folder)

    def make_folders_durably(self, path: str) -> None:
        """Make ``path`` and the folders above it, and their names durable, also where they were there before: whoever
        made them may have been killed, or may not have come to syncing them yet."""
        self.make_folders(path)
        parts = PurePosixPath(path).parts
        for depth in range(len(parts)):
            self.sync_folder("/".join(parts[:depth]) or ".")

    def rename_durably(self, old: str, new: str) -> None:
        """Rename, then sync both folders: when this returns, the new name survives a power cut."""
        self.rename(old, new)
        old_parent, new_parent = str(PurePosixPath(old).parent), str(PurePosixPath(new).parent)
        self.sync_folder(new_parent)
        if old_parent != new_parent:
            self.sync_folder(old_parent)


class Nearby:
    """Names below a tree, for one thread, with the folder of the last one held open: when many files are read or made,
    the next one mostly lies there too, and the way to it need not be walked again."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folder = ""
        self._here: Tree | None = None

    def at(self, path: str) -> tuple[Tree, str]:
        """The folder that holds ``path``, good until the next one is asked for, and the last name of it. Raises
        OSError as :func:`open_beneath` does."""
        _refuse_escape(path)
        folder, _, name = path.rpartition("/")
        if self._here is None or folder != self._folder:
            self.close()
            self._here, self._folder = self._tree.below(folder or "."), folder
        return self._here, name

    def close(self) -> None:
        """Let go of the folder."""
        if self._here is not None:
            self._here.close()
            self._here = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.close()
