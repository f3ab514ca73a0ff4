"""A file that appears under its name only when it is whole, right and durable."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from typing import BinaryIO

from vault.durable import TEMP_PREFIX, describe_os_error, rename_durably
from vault.errors import Conflict, Invalid
from vault.i18n import _


class Target:
    """Where something that is fetched goes."""

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.path = path
        self._force = force
        self._temp = ""
        self._checks: list[Callable[[], None]] = []

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

    def check(self, check: Callable[[], None]) -> None:
        """Have this done with the durable file before it gets its name; an error that it raises keeps it away."""
        self._checks.append(check)

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
            for check in self._checks:
                check()
            self._refuse_taken()
            rename_durably(self._temp, self.path)
        except OSError as error:
            raise describe_os_error(error, f"writing {self.path}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._temp)

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
