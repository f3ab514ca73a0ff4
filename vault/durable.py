"""Files that are still there, and whole, after the power failed: the one helper that writes them.

A file is written beside its place under a temporary name, made durable, renamed, and then the folder is made
durable as well (``rename(2)``, ``fsync(2)``: the rename itself is not on the medium before the folder is). Every
function takes ``dir_fd`` so that a caller who has opened a folder without following links stays inside it.

What the operating system reports is turned into the program's own errors here too (:func:`describe_os_error`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from typing import Final

from vault.errors import Conflict, Full, NotFound, Unreachable, VaultError

TEMP_PREFIX: Final = ".khoso-tmp-"
"""How unfinished files are called. One that is older than the program's start was left by a crash and may go."""

StrPath = str | os.PathLike[str]

_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDIES: Final = {
    errno.EACCES: ("permission-denied", "Give the service's user access to it, then try again."),
    errno.EPERM: ("permission-denied", "Give the service's user access to it; look for an immutable flag (lsattr)."),
    errno.EROFS: ("read-only", "The file system is mounted read-only; dmesg says why. Remount it after that is cured."),
    errno.EIO: ("io-error", "The device or its server reported an I/O error; look at dmesg and at SMART."),
    errno.ESTALE: ("stale-handle", "The server exported something else or restarted; unmount and mount it again."),
    errno.ENODEV: ("device-gone", "The device is gone; look at cables, power and the kernel log (dmesg)."),
    errno.ENXIO: ("device-gone", "The device is gone; look at cables, power and the kernel log (dmesg)."),
    errno.ENOTCONN: ("not-connected", "The connection to the file server is down; unmount and mount it again."),
    errno.ETIMEDOUT: ("timed-out", "The file server does not answer; look at it and at the network."),
    errno.EHOSTDOWN: ("host-down", "The file server does not answer; look at it and at the network."),
    errno.EHOSTUNREACH: ("host-down", "There is no way to the file server; look at the network."),
    errno.EUCLEAN: ("file-system-damaged", "The file system itself is damaged; unmount it and run its fsck."),
    errno.EMFILE: ("too-many-files", "Raise LimitNOFILE of the service."),
    errno.ENFILE: ("too-many-files", "The whole machine has too many files open; raise fs.file-max."),
}  # fmt: skip


def describe_os_error(error: OSError, doing: str) -> VaultError:
    """Turn ``error`` into the program's own error. ``doing`` completes "While …", such as ``writing /srv/a/x``.

    ENOSPC, EDQUOT and EFBIG mean no room: :class:`Full`. ENOENT and ENOTDIR are :class:`NotFound`, EEXIST and
    ENOTEMPTY :class:`Conflict`. All else is :class:`Unreachable`: it says nothing about the contents, least of all
    that they are damaged. The error is returned, not raised; raise it ``from error``.
    """
    said = error.strerror or type(error).__name__
    number = error.errno if error.errno is not None else 0
    message = f"While {doing}: {said} ({errno.errorcode.get(number, 'no error number')})."
    if number in _ROOM:
        remedy = "Make room on that file system"
        remedy += ", or raise the quota." if number == errno.EDQUOT else "."
        if number == errno.EFBIG:
            remedy = "The file is larger than the file system or the process's limit (ulimit -f) allows."
        return Full(message, remedy=remedy)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(message, remedy="Look whether the path is right, and whether its file system is mounted.")
    if number in (errno.EEXIST, errno.ENOTEMPTY):
        return Conflict(message, remedy="Something is already there; look at it before anything is moved away.")
    code, remedy = _REMEDIES.get(number, ("io-error", "Look in the kernel log (dmesg) what the system says of it."))
    return Unreachable(message, remedy=remedy, code=code)


@contextlib.contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise describe_os_error(error, doing) from error


def fsync_directory(directory: StrPath | int, *, dir_fd: int | None = None) -> None:
    """Make a folder's entries durable. ``directory`` is a path or the descriptor of an open folder.

    A file system that knows no such operation (EINVAL, ENOTSUP) has nothing to make durable, and that is no error.
    Raises what :func:`describe_os_error` makes of everything else.
    """
    with _explained(f"making the folder {_shown(directory)} durable"):
        if isinstance(directory, int):
            _fsync_directory(directory)
            return
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            _fsync_directory(opened)
        finally:
            os.close(opened)


def _fsync_directory(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def write_durably(
    path: StrPath, data: bytes, mode: int = 0o644, *, dir_fd: int | None = None, replace: bool = True
) -> None:
    """Write ``data`` to ``path`` so that after a crash either the old file or the new one is there, whole.

    ``mode`` is what the file gets, whatever the umask. With ``replace=False`` an existing file is left alone and
    :class:`Conflict` raised. A symbolic link at ``path`` is replaced, never followed. Raises :class:`Full`,
    :class:`Unreachable` or :class:`NotFound` (no such folder); nothing of the new file is left then.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    temp = os.path.join(folder, TEMP_PREFIX + secrets.token_hex(8))
    if not name:
        raise ValueError(f"not the path of a file: {target!r}")
    with _explained(f"writing {target}"):
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
        try:
            try:
                _write_all(descriptor, data)
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if replace:
                os.rename(temp, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            else:
                _place_new(temp, target, dir_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp, dir_fd=dir_fd)
            raise
    fsync_directory(folder or ".", dir_fd=dir_fd)


def _place_new(temp: str, target: str, dir_fd: int | None) -> None:
    """Give ``temp`` the name ``target`` unless that is taken (FileExistsError)."""
    try:
        os.link(temp, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        os.unlink(temp, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # No hard links here (SMB, exFAT): take the name first, then put the file over it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=dir_fd))
        os.rename(temp, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def rename_durably(
    source: StrPath, target: StrPath, *, source_dir_fd: int | None = None, target_dir_fd: int | None = None
) -> None:
    """Rename a file or folder and make both folders durable. The contents must be durable already.

    As ``rename(2)``: an existing file, or an empty folder where a folder is renamed, is replaced. Raises what
    :func:`describe_os_error` makes of a failure; the source is then still where it was, unless only the making
    durable failed.
    """
    source, target = os.fspath(source), os.fspath(target)
    with _explained(f"renaming {source} to {target}"):
        os.rename(source, target, src_dir_fd=source_dir_fd, dst_dir_fd=target_dir_fd)
    into, out_of = _folder(target), _folder(source)
    fsync_directory(into, dir_fd=target_dir_fd)
    if (out_of, source_dir_fd) != (into, target_dir_fd):
        fsync_directory(out_of, dir_fd=source_dir_fd)


def _folder(path: str) -> str:
    return os.path.dirname(path.rstrip("/")) or ("/" if path.startswith("/") else ".")


def _shown(directory: StrPath | int) -> str:
    return f"(descriptor {directory})" if isinstance(directory, int) else os.fspath(directory)
