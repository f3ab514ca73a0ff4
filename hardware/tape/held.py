"""What both kinds of :class:`~hardware.tape.session.CartridgeSession` share: reading, and one thing at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection
from typing import Protocol, Self

from hardware.errors import Busy, NoVolume, Refused, Unsupported
from hardware.ltfs.label import Label
from hardware.ltfs.last_index import read_labels
from hardware.ltfs.medium import TapeMedium
from hardware.tape.barcodes import is_cleaning
from hardware.tape.drive import TapeDrive
from hardware.tape.errors import WriteProtected, WrongVolume
from hardware.tape.reading import TapeReader
from hardware.tape.recognise import recognise
from hardware.tape.session import CleaningCartridge, Content
from hardware.tape.tapealert import Flag


class DrivePort(Protocol):
    """A drive of the library, which can be let go of for programs that hold it themselves, and be taken again."""

    @property
    def number(self) -> int:
        """Its number in the library."""
        ...

    def drive(self) -> TapeDrive:
        """The drive, held by us. Raises ``DriveVanished``, ``Busy``."""
        ...

    def let_go(self) -> None:
        """Let go of the drive; fine where it is not held."""
        ...

    def tool_device(self) -> str:
        """What the LTFS tools call it: a node, or the folder of a virtual cartridge."""
        ...


class HeldCartridge:
    """A cartridge in a drive: everything but writing."""

    def __init__(
        self,
        port: DrivePort,
        barcode: str,
        *,
        spool: str | os.PathLike[str] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """``spool`` is the folder for indexes, ``ended`` is called once when the session is closed."""
        self._port = port
        self._barcode = barcode
        self._spool = spool
        self._ended = ended
        self._open = True
        self._user: Closing | None = None

    @property
    def barcode(self) -> str:
        """The label on the box."""
        return self._barcode

    @property
    def drive(self) -> int:
        """The drive's number."""
        return self._port.number

    def label(self) -> Label | None:
        """The label on the tape."""
        self._check_free()
        with contextlib.closing(self._medium()) as medium:
            try:
                return read_labels(medium).label
            except (NoVolume, Unsupported):
                return None

    def recognise(self, known: Collection[str] = ()) -> Content:
        """What is on it."""
        self._check_free()
        if is_cleaning(self._barcode):
            return CleaningCartridge()
        protected = self._port.drive().loaded().write_protected
        with contextlib.closing(self._medium()) as medium:
            return recognise(medium, known=known, protected=protected, spool=self._spool)

    def open_for_reading(self) -> TapeReader:
        """Read it."""
        self._check_free()
        reader = TapeReader.open(self._medium(), spool=self._spool, ended=self._freed)
        self._user = reader
        return reader

    def alerts(self) -> frozenset[Flag]:
        """TapeAlert flags."""
        self._check_free()
        return self._port.drive().alerts()

    def close(self) -> None:
        """End it."""
        if not self._open:
            return
        self._open = False
        try:
            user, self._user = self._user, None
            if user is not None:
                user.close()
        finally:
            if self._ended is not None:
                self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # For the kinds.

    def _medium(self) -> TapeMedium:
        self._check_free()
        return self._port.drive().medium()

    def _check_free(self) -> None:
        if not self._open:
            raise Refused(f"The session with {self._barcode} is over.", remedy="Load the cartridge again.")
        if self._user is not None:
            raise Busy(f"{self._barcode} is being read or written.", remedy="End that first.")

    def _freed(self) -> None:
        self._user = None

    def _check_target(self, volume_uuid: str) -> None:
        """Raise ``WriteProtected``, ``WrongVolume``, ``NoVolume`` where the volume cannot be written to."""
        self._check_unprotected()
        with contextlib.closing(self._medium()) as medium:
            found = read_labels(medium).label.volume_uuid
        if found != volume_uuid:
            raise WrongVolume(
                f"The cartridge {self._barcode} bears the volume {found}, and not {volume_uuid}.",
                remedy="Somebody exchanged labels, or formatted it elsewhere: set it aside, and look at it as foreign.",
            )

    def _check_unprotected(self) -> None:
        self._check_free()
        if self._port.drive().loaded().write_protected:
            raise WriteProtected(
                f"The cartridge {self._barcode} is write-protected.",
                remedy="Take it out and move its tab if it may be written to; otherwise give another cartridge.",
            )


class Closing(Protocol):
    """Something that is open."""

    def close(self) -> None:
        """End it."""
        ...
