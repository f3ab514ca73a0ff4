"""A small JSON file that remembers what is where, for libraries that have no robot to ask. One owner at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from typing import Final

from hardware.errors import Busy, Full, Malformed, NotFound, Unreachable
from hardware.ltfs.cartridge import fsync_folder

_MAX_BYTES: Final = 4 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class State:
    """A folder held by one owner, with the file ``name`` in it. The lock ends with the process."""

    def __init__(self, folder: str | os.PathLike[str], name: str) -> None:
        """Raises ``NotFound`` (no such folder), ``Busy``, ``Unreachable``."""
        self.path = os.path.abspath(folder)
        self._name = name
        try:
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise NotFound(
                    f"There is no library at {self.path}.", remedy="Make one, or correct the path."
                ) from error
            raise self._outage("opened", error) from error
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise Busy(
                f"The library {self.path} has another owner.", remedy="Only one daemon may run it: stop the other one."
            ) from error
        except OSError as error:
            self.close()
            raise self._outage("locked", error) from error

    @property
    def folder(self) -> int:
        """The descriptor of the folder. Raises ``Unreachable`` after :meth:`close`."""
        if self._folder < 0:
            raise Unreachable(f"The library {self.path} was let go of.", remedy="Open it again.")
        return self._folder

    def read(self) -> object:
        """What was written last; None where nothing ever was. Raises ``Malformed``, ``Unreachable``."""
        try:
            descriptor = os.open(
                self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder
            )
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._outage("read", error) from error
        if len(data) > _MAX_BYTES:
            raise self.malformed("it is too long")
        try:
            found: object = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.malformed(str(error)) from error
        return found

    def write(self, content: object) -> None:
        """Replace the file, durably: a power cut leaves the old one or the new one. ``Full``, ``Unreachable``."""
        temporary = f".{self._name}.new"
        try:
            descriptor = os.open(temporary, _NEW, 0o640, dir_fd=self.folder)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._folder)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Full(f"{self.path} cannot be written: its disk is full.", remedy="Make room on it.") from error
            raise self._outage("written", error) from error

    def malformed(self, why: str) -> Malformed:
        """The error for content that makes no sense."""
        return Malformed(
            f"{self.path}/{self._name} cannot be understood: {why}.",
            remedy="Move it away, make the library anew, and insert its cartridges again: they are whole.",
        )

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _outage(self, act: str, error: OSError) -> Unreachable:
        return Unreachable(f"The library {self.path} cannot be {act}: {error.strerror}.", remedy="Look at its disk.")


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, durably; fine where it is there. Raises ``Unreachable``."""
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
        fsync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise Unreachable(f"{os.fspath(path)} cannot be made: {error.strerror}.", remedy="Look at its disk.") from error
