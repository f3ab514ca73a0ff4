"""The drive of a virtual library: what a real one would say of itself, of its cartridge, and of how it feels.

Beside what :mod:`hardware.tape.virtual` keeps, the library's folder may hold, for tests and practice::

    alerts-N      TapeAlert flags of drive N, by number, one a line; reading them clears them
    vanished-N    when this file is there, drive N is not
    generation    which drives these are (``LTO-9``); LTO-8 where it is absent

A cleaning cartridge counts its uses in its folder, in the file ``cleanings``.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from hardware.errors import Busy, Refused, Unreachable
from hardware.ltfs.medium import TapeMedium
from hardware.ltfs.virtual import VirtualMedium
from hardware.tape import barcodes
from hardware.tape.cleaning import CLEANING_USES
from hardware.tape.drive import DriveFacts, DriveState, Loaded, TapeDrive
from hardware.tape.errors import DriveVanished, Incompatible, NoCartridge, NotUnderstood
from hardware.tape.generation import Generation
from hardware.tape.pages import DriveStatistics, VolumeStatistics
from hardware.tape.tapealert import Flag
from hardware.tape.virtual import VirtualChanger, serial_of

ALERTS: Final = "alerts-{}"
VANISHED: Final = "vanished-{}"
GENERATION: Final = "generation"
CLEANINGS: Final = "cleanings"
_SMALL: Final = 4096
_CLEANING_FLAGS: Final = frozenset({Flag.CLEAN_NOW, Flag.CLEAN_PERIODIC})


class VirtualDrive:
    """A drive of a virtual library as a :class:`~hardware.tape.drive.TapeDrive`."""

    def __init__(self, library: VirtualChanger, number: int) -> None:
        """Raises ``InvalidElement``, ``DriveVanished``."""
        self._library = library
        self._number = number
        self._cleaned = ""
        self._medium: TapeMedium | None = None
        with contextlib.suppress(NoCartridge):
            library.loaded_label(number)
        self._check()
        self._facts = DriveFacts("KHOSO", "VIRTUAL", "1", serial_of(number), self._generation())

    def facts(self) -> DriveFacts:
        """As they were when it was opened."""
        return self._facts

    def state(self) -> DriveState:
        """What it does now. A cleaning cartridge cleans it at once, and is then let go of."""
        self._free()
        try:
            path = self._library.medium_path(self._number)
        except NoCartridge:
            self._cleaned = ""
            return DriveState.EMPTY
        if not barcodes.is_cleaning(self._library.loaded_label(self._number)):
            return DriveState.READY
        if self._cleaned == path:
            return DriveState.EMPTY
        self._clean(path)
        self._cleaned = path
        return DriveState.CLEANING

    def alerts(self) -> frozenset[Flag]:
        """The flags in the file; it is emptied."""
        self._free()
        name = self._path(ALERTS)
        flags = _read_flags(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        return flags

    def statistics(self) -> VolumeStatistics:
        """Nothing is counted."""
        self._free()
        return VolumeStatistics()

    def life(self) -> DriveStatistics:
        """Nothing is counted."""
        self._free()
        return DriveStatistics()

    def loaded(self) -> Loaded:
        """By the label, as there is no density code; a cartridge whose description sets its tab is protected."""
        self._free()
        label = self._library.loaded_label(self._number)
        if barcodes.is_cleaning(label):
            raise Incompatible(f"A cleaning cartridge is in drive {self._number}.", remedy="Unload it.")
        found = None if barcodes.check(label) else barcodes.parse(label).generation
        with contextlib.closing(VirtualMedium.open(self._library.medium_path(self._number))) as medium:
            return Loaded(found, medium.tab_set)

    def medium(self, *, write: bool = False) -> TapeMedium:
        """The cartridge; read past the page cache."""
        self._free()
        self.loaded()
        self._medium = VirtualMedium.open(self._library.medium_path(self._number), write=write, uncached=True)
        return self._medium

    def unload(self) -> None:
        """There is nothing to rewind."""
        self._free()

    def close(self) -> None:
        """Let go of the cartridge."""
        if self._medium is not None:
            self._medium.close()

    # How it is done.

    def _free(self) -> None:
        self._check()
        if isinstance(self._medium, VirtualMedium) and self._medium.is_open:
            raise Busy(f"A session has the cartridge in drive {self._number} open.", remedy="End the session first.")

    def _check(self) -> None:
        if os.path.lexists(self._path(VANISHED)):
            raise DriveVanished(
                f"Drive {self._number} ({serial_of(self._number)}) of {self._library.path} is gone.",
                remedy="Check its power and cables.",
            )

    def _path(self, name: str) -> str:
        return os.path.join(self._library.path, name.format(self._number))

    def _generation(self) -> Generation:
        text = _read_small(os.path.join(self._library.path, GENERATION)).strip()
        try:
            return Generation(text) if text else Generation.LTO8
        except ValueError as error:
            raise NotUnderstood(f"{text[:40]!r} is no generation of drives.", remedy="Write one like LTO-8.") from error

    def _clean(self, cartridge: str) -> None:
        counter = os.path.join(cartridge, CLEANINGS)
        text = _read_small(counter).strip()
        uses = int(text) if text.isdecimal() else 0
        flags = _read_flags(self._path(ALERTS)) | {Flag.CLEANING_MEDIUM}
        if uses >= CLEANING_USES:
            flags |= {Flag.EXPIRED_CLEANING_MEDIUM}
        else:
            flags -= _CLEANING_FLAGS
            _write_small(counter, f"{uses + 1}\n")
        _write_small(self._path(ALERTS), "".join(f"{flag.value}\n" for flag in sorted(flags)))


class VirtualPort:
    """A drive of a virtual library as a :class:`~hardware.tape.held.DrivePort`."""

    def __init__(self, library: VirtualChanger, number: int) -> None:
        self._library = library
        self._number = number
        self._drive: TapeDrive | None = None

    @property
    def number(self) -> int:
        """Its number."""
        return self._number

    def drive(self) -> TapeDrive:
        """The drive."""
        if self._drive is None:
            self._drive = VirtualDrive(self._library, self._number)
        return self._drive

    def let_go(self) -> None:
        """Let go of it."""
        if self._drive is not None:
            drive, self._drive = self._drive, None
            drive.close()

    def tool_device(self) -> str:
        """The folder of the cartridge in it."""
        return self._library.medium_path(self._number)


def _read_small(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(_SMALL)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}.", remedy="Look at its disk.") from error


def _write_small(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise Unreachable(f"{path} cannot be written: {error.strerror}.", remedy="Look at its disk.") from error


def _read_flags(path: str) -> frozenset[Flag]:
    try:
        return frozenset(Flag(int(line)) for line in _read_small(path).split())
    except ValueError as error:
        raise Refused(f"{path} holds something that is no TapeAlert flag.", remedy="Write numbers, 1 to 64.") from error


if TYPE_CHECKING:

    def _fits(drive: VirtualDrive) -> TapeDrive:
        return drive
