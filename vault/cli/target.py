"""A file that appears under its name only when it is whole, right and durable."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from vault.durable import TEMP_PREFIX, describe_os_error, rename_durably
from vault.errors import Conflict, Corrupted, Invalid
from vault.i18n import _


class Partial:
    """A file of which only the beginning may be there, locked. ``tag`` says exactly of what it is the beginning."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = open(path, "r+b", buffering=0, opener=_open_or_create)  # noqa: SIM115 - closed in __exit__
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise Conflict(
                _("Another program is writing {path}.").format(path=path),
                remedy=_("Wait for it, or name another file."),
                code="occupied",
            ) from None
        try:
            self.tag = Path(self._tag_path).read_text("ascii")
        except (OSError, UnicodeDecodeError):
            self.tag = ""
        if not self.tag:
            self.file.truncate(0)
        self.size = self.file.seek(0, os.SEEK_END)

    @property
    def _tag_path(self) -> str:
        return f"{self.path}.etag"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.file.close()

    def begin(self, start: int, tag: str) -> None:
        """What is written from here on follows the first ``start`` bytes, and with them is of what ``tag`` names."""
        self.file.truncate(start)
        self.size = self.file.seek(start)
        if tag != self.tag:
            self.tag = tag
            Path(self._tag_path).write_text(tag, "ascii")

    def write(self, data: bytes) -> None:
        """Append."""
        view = memoryview(data)
        while view:
            count = self.file.write(view)
            view = view[count:]
            self.size += count

    def remove(self) -> None:
        """Take it away."""
        self.forget()
        os.unlink(self.path)

    def forget(self) -> None:
        """Take away what was noted of it; the file may have another name now."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._tag_path)


def _open_or_create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


class Target:
    """Where something that is fetched goes."""

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.path = path
        self._force = force
        self._temp = ""

    def suggest(self, name: str) -> None:
        """How the file is called where a folder was named."""
        if os.path.isdir(self.path):
            self.path = os.path.join(self.path, name)
        elif self.path.endswith("/"):
            raise Invalid(
                _("There is no folder {folder}.").format(folder=self.path),
                remedy=_("Create it, or name a file."),
                code="no-such-folder",
            )

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, for writing. It gets its name when the block ends without an error; else nothing is left of it.

        Raises Conflict when the name is taken, Full, NotFound, Unreachable.
        """
        self._refuse_taken()
        self._temp = os.path.join(os.path.dirname(self.path), TEMP_PREFIX + secrets.token_hex(8))
        try:
            with open(self._temp, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            self._refuse_taken()
            rename_durably(self._temp, self.path)
        except OSError as error:
            raise describe_os_error(error, f"writing {self.path}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._temp)

    @contextlib.contextmanager
    def resumed(self) -> Iterator[Partial]:
        """As :meth:`opened`, but what came so far stays beside it as NAME.part when it is broken off, to be gone on
        with. Nothing stays of what turned out to be wrong.

        Raises Conflict also when another program is fetching the same.
        """
        self._refuse_taken()
        self._temp = f"{self.path}.part"
        try:
            with Partial(self._temp) as part:
                try:
                    yield part
                    part.file.flush()
                    os.fsync(part.file.fileno())
                    self._refuse_taken()
                except BaseException as error:
                    if isinstance(error, Corrupted) or not part.size:
                        part.remove()
                    raise
                rename_durably(self._temp, self.path)
                part.forget()
        except OSError as error:
            raise describe_os_error(error, f"writing {self.path}") from error

    @contextlib.contextmanager
    def reopened(self) -> Iterator[BinaryIO]:
        """What was written so far, for reading."""
        with open(self._temp, "rb") as file:
            yield file

    def _refuse_taken(self) -> None:
        if not self._force and os.path.lexists(self.path):
            raise Conflict(
                _("{path} is there already.").format(path=self.path),
                remedy=_("Name another file, or add --force to replace it."),
                code="occupied",
            )
