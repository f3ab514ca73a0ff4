"""A library that is a folder: slots, import/export slots and drives are lines of a file, cartridges are folders.

::

    PATH/
      library.json       what is where
      VLT001L8/          a virtual cartridge (hardware.ltfs.virtual), wherever in the library it is
      door-open          when this file is there, the door is open
      faults             names of :class:`Fault`, one a line, each for the next act; for tests and practice

A move changes one file, in one rename: a kill leaves it done or not begun. A cartridge that is in no slot and no drive
is on the shelf; :meth:`VirtualChanger.remove` and :meth:`VirtualChanger.insert` are what a person does at the door.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from hardware.errors import MediumChanged, NotFound, Refused, Unreachable
from hardware.ltfs.cartridge import DEFAULT_CAPACITY_MB
from hardware.ltfs.virtual import VirtualMedium
from hardware.tape import changer
from hardware.tape.changer import Drive, LibraryStatus, Moved, Slot
from hardware.tape.errors import (
    DeviceFault,
    DoorOpen,
    ElementFull,
    NoCartridge,
    NotReady,
    NotUnderstood,
    RemovalPrevented,
    TimedOut,
)
from hardware.tape.patience import Patience
from hardware.tape.state import State, make_folder

STATE: Final = "library.json"
DOOR: Final = "door-open"
FAULTS: Final = "faults"
_VERSION: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)
_BARCODE: Final = re.compile(r"[A-Z0-9]{0,32}", re.ASCII)
_MOST: Final = 4096
T = TypeVar("T")


class Fault(enum.Enum):
    """What a library can be made to suffer from at its next act, before it does anything, unless said otherwise."""

    UNIT_ATTENTION = "unit-attention"
    NOT_READY = "not-ready"
    DOOR_OPEN = "door-open"
    DEFECT = "defect"
    TIMEOUT = "timeout"
    """No answer, and the act was not done."""
    TIMEOUT_AFTER = "timeout-after"
    """No answer, but the act was done."""


@dataclass(frozen=True, slots=True)
class _Cartridge:
    folder: str
    barcode: str
    home: int | None = None


class _Places:
    """The content of the state file, checked: which cartridge is where."""

    def __init__(self, drives: int, slots: int, import_export: int) -> None:
        self.drives: list[_Cartridge | None] = [None] * drives
        self.slots: list[_Cartridge | None] = [None] * (slots + import_export)
        self.import_export = import_export

    @classmethod
    def parse(cls, content: object) -> _Places:
        """Raises ``ValueError`` with what is wrong."""
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            raise ValueError("it is of another version")
        drives, slots = _listed(content, "drives"), _listed(content, "slots")
        exports = content.get("import_export")
        if not isinstance(exports, int) or not 0 <= exports <= len(slots):
            raise ValueError("import_export is no number of slots")
        places = cls(len(drives), len(slots) - exports, exports)
        places.drives, places.slots = drives, slots
        folders = [found.folder for found in (*drives, *slots) if found]
        if len(folders) != len(set(folders)):
            raise ValueError("a cartridge is at two places")
        return places

    def content(self) -> object:
        """What is stored."""

        def stored(found: _Cartridge | None) -> object:
            return found and {"folder": found.folder, "barcode": found.barcode, "home": found.home}

        return {
            "version": _VERSION,
            "drives": [stored(found) for found in self.drives],
            "slots": [stored(found) for found in self.slots],
            "import_export": self.import_export,
        }

    def status(self) -> LibraryStatus:
        """As the library shows it."""
        first_export = len(self.slots) - self.import_export
        return LibraryStatus(
            tuple(
                Drive(number, True, found.barcode, found.home, serial_of(number))
                if found
                else Drive(number, False, serial=serial_of(number))
                for number, found in enumerate(self.drives)
            ),
            tuple(
                Slot(number, found is not None, found.barcode if found else "", number > first_export)
                for number, found in enumerate(self.slots, 1)
            ),
            in_robot=False,
        )

    def at(self, place: Drive | Slot) -> tuple[list[_Cartridge | None], int]:
        return (self.drives, place.number) if isinstance(place, Drive) else (self.slots, place.number - 1)

    def move(self, source: Drive | Slot, target: Drive | Slot) -> None:
        """The cartridge remembers the last slot that it was taken from, as the element status of SMC does."""
        row, index = self.at(source)
        found, row[index] = row[index], None
        row, index = self.at(target)
        home = source.number if isinstance(source, Slot) else None
        row[index] = found and _Cartridge(found.folder, found.barcode, home)


def serial_of(drive: int) -> str:
    """The serial number of a drive of a virtual library."""
    return f"VIRTUAL{drive:03}"


class VirtualChanger:
    """A virtual library as a :class:`~hardware.tape.changer.Changer`."""

    def __init__(self, path: str | os.PathLike[str], *, patience: Patience | None = None) -> None:
        """Hold the library at ``path``. Raises ``NotFound``, ``Busy``, ``Malformed``, ``Unreachable``."""
        self._state = State(path, STATE)
        self._patience = patience or Patience(interval=0.05)
        try:
            self._places()
        except BaseException:
            self._state.close()
            raise

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        drives: int = 1,
        slots: int = 8,
        import_export: int = 1,
        patience: Patience | None = None,
    ) -> VirtualChanger:
        """A library without cartridges, in a folder that may exist but holds none. Raises ``Refused``, ``Busy``."""
        if not (1 <= drives <= 64 and 1 <= slots <= _MOST and 0 <= import_export <= 64):
            raise Refused("A virtual library has 1 to 64 drives, 1 to 4096 slots and up to 64 import/export slots.")
        make_folder(path)
        state = State(path, STATE)
        try:
            if state.read() is not None:
                raise Refused(f"There is a library at {state.path} already.", remedy="Open it, or give another path.")
            state.write(_Places(drives, slots, import_export).content())
        finally:
            state.close()
        return cls(path, patience=patience)

    @property
    def path(self) -> str:
        """The library's folder."""
        return self._state.path

    @property
    def drive_count(self) -> int:
        """How many drives it has."""
        return len(self._places().drives)

    # What the protocol asks for.

    def inventory(self) -> LibraryStatus:
        """What is where."""
        return self._act(lambda: self._places().status())

    def load(self, slot: int, drive: int, *, barcode: str = "") -> Moved:
        """Slot to drive."""
        return self._move(lambda status: (status.slot(slot), status.drive(drive)), barcode)

    def unload(self, drive: int, slot: int | None = None, *, barcode: str = "") -> Moved:
        """Drive to slot, or home. ``RemovalPrevented`` while a session has the cartridge open."""

        def places(status: LibraryStatus) -> tuple[Drive, Slot]:
            source = status.drive(drive)
            changer.check_source(source, barcode)
            return source, changer.home_of(status, source) if slot is None else status.slot(slot)

        return self._move(places, barcode)

    def transfer(self, source: int, target: int, *, barcode: str = "") -> Moved:
        """Slot to slot."""
        return self._move(lambda status: (status.slot(source), status.slot(target)), barcode)

    def close(self) -> None:
        """Let go of the library."""
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # What the drives of other libraries do.

    def medium_path(self, drive: int) -> str:
        """The folder of the cartridge in a drive, for :class:`VirtualMedium`. Raises ``NoCartridge``."""
        places = self._places()
        found = places.drives[places.status().drive(drive).number]
        if found is None:
            raise NoCartridge(f"Drive {drive} of the library {self._state.path} is empty.", remedy="Load a cartridge.")
        return os.path.join(self._state.path, found.folder)

    def loaded_label(self, drive: int) -> str:
        """The label of the cartridge in a drive, as the drive's own reader would see it. Raises ``NoCartridge``."""
        found = self._places().status().drive(drive)
        if not found.full:
            raise NoCartridge(f"Drive {drive} of the library {self._state.path} is empty.", remedy="Load a cartridge.")
        return found.barcode

    # What a person does.

    def shelf(self) -> tuple[str, ...]:
        """The cartridges that lie in the library's folder, and are in no slot and no drive; by the folder's name."""
        places = self._places()
        placed = {found.folder for found in (*places.drives, *places.slots) if found}
        try:
            with os.scandir(self._state.folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise Unreachable(f"{self._state.path} cannot be listed: {error.strerror}.") from error
        return tuple(sorted(name for name in names if _NAME.fullmatch(name) and name not in placed))

    def add_cartridge(
        self,
        barcode: str,
        *,
        folder: str = "",
        slot: int | None = None,
        capacity_mb: int = DEFAULT_CAPACITY_MB,
    ) -> Slot:
        """Make a blank cartridge and insert it. Raises ``Refused``, ``ElementFull``, ``InvalidElement``."""
        name = folder or barcode
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} cannot name a cartridge's folder.", remedy="Use letters and digits, 32 at most.")
        self._free_slot(self._places(), slot)
        VirtualMedium.create(os.path.join(self._state.path, name), capacity_mb=capacity_mb).close()
        return self.insert(name, slot=slot, barcode=barcode)

    def insert(self, folder: str, *, slot: int | None = None, barcode: str | None = None) -> Slot:
        """Put a cartridge from the shelf into a slot, the first free one unless told; its label is the folder's name.

        Raises ``NotFound`` where no such cartridge is on the shelf, ``ElementFull``, ``InvalidElement``, ``Refused``.
        """
        label = folder if barcode is None else barcode
        if not _BARCODE.fullmatch(label):
            raise Refused(f"{label!r} cannot be read as a label.", remedy="Use capitals and digits.")
        if folder not in self.shelf():
            raise NotFound(f"There is no cartridge {folder} on the shelf of the library {self._state.path}.")
        places = self._places()
        number = self._free_slot(places, slot)
        places.slots[number - 1] = _Cartridge(folder, label)
        self._state.write(places.content())
        return places.status().slot(number)

    def remove(self, slot: int) -> str:
        """Take a cartridge out of a slot and put it on the shelf; says its folder. ``ElementEmpty``."""
        places = self._places()
        place = places.status().slot(slot)
        changer.check_source(place, "")
        found = places.slots[slot - 1]
        places.slots[slot - 1] = None
        self._state.write(places.content())
        return found.folder if found else ""

    # How it is done.

    def _places(self) -> _Places:
        content = self._state.read()
        if content is None:
            raise NotFound(f"There is no library at {self._state.path}.", remedy="Make one, or correct the path.")
        try:
            return _Places.parse(content)
        except ValueError as error:
            raise self._state.malformed(str(error)) from error

    def _free_slot(self, places: _Places, slot: int | None) -> int:
        if slot is not None:
            changer.check_target(places.status().slot(slot))
            return slot
        for found in places.status().slots:
            if not found.full and not found.import_export:
                return found.number
        raise ElementFull(f"The library {self._state.path} has no free slot.", remedy="Take a cartridge out.")

    def _move(self, places_of: Callable[[LibraryStatus], tuple[Drive | Slot, Drive | Slot]], barcode: str) -> Moved:
        def act() -> Moved:
            places = self._places()
            source, target = places_of(status := places.status())
            changer.check_source(source, barcode)
            changer.check_target(target)
            if barcode and barcode in status.duplicates():
                raise Refused(
                    f"Two cartridges bear the label {barcode}.", remedy="Take one out, and give it a label of its own."
                )
            if isinstance(source, Drive):
                self._check_released(source)
            places.move(source, target)
            self._state.write(places.content())
            return changer.check_moved(self._places().status(), source.barcode, source, target)

        return self._act(act)

    def _check_released(self, drive: Drive) -> None:
        """Raise ``RemovalPrevented`` where a session holds the cartridge, as a drive does that forbids its removal."""
        path = self.medium_path(drive.number)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return  # a cartridge that is damaged or was deleted can be taken out
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RemovalPrevented(
                f"A session holds the cartridge {drive.barcode} in drive {drive.number}.",
                remedy="End the session first.",
            ) from error
        finally:
            os.close(descriptor)

    def _act(self, act: Callable[[], T]) -> T:
        def attempt() -> T:
            fault = self._suffer()
            result = act()
            if fault is Fault.TIMEOUT_AFTER:
                raise self._timed_out()
            return result

        return self._patience.keep_trying(attempt)

    def _suffer(self) -> Fault | None:
        """Raise what the library was made to suffer from."""
        where = f"The library {self._state.path}"
        fault = self._next_fault()
        if fault is Fault.DOOR_OPEN or self._is_there(DOOR):
            raise DoorOpen(f"{where}: its door is open.", remedy="Close the door.")
        if fault is Fault.UNIT_ATTENTION:
            raise MediumChanged(f"{where} was reset.", remedy="Take inventory.")
        if fault is Fault.NOT_READY:
            raise NotReady(f"{where} is not ready.", remedy="Wait until it is.")
        if fault is Fault.DEFECT:
            raise DeviceFault(f"{where} reports a defect.", remedy="Look at its panel.")
        if fault is Fault.TIMEOUT:
            raise self._timed_out()
        return fault

    def _timed_out(self) -> TimedOut:
        return TimedOut(f"The library {self._state.path} does not answer.", remedy="Take inventory.")

    def _is_there(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=self._state.folder, follow_symlinks=False)
            return True
        return False

    def _next_fault(self) -> Fault | None:
        """Take the first line off the file of faults."""
        path = os.path.join(self._state.path, FAULTS)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                lines = file.read(65536).split()
        except OSError:
            return None
        if not lines:
            return None
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines[1:])
        try:
            return Fault(lines[0])
        except ValueError as error:
            raise NotUnderstood(f"{path} names a fault that there is not: {lines[0]!r}.") from error


def _listed(content: dict[object, object], key: str) -> list[_Cartridge | None]:
    found = content.get(key)
    if not isinstance(found, list) or not 1 <= len(found) <= _MOST + 64:
        raise ValueError(f"{key} is no list")
    return [_cartridge(entry, key) for entry in found]


def _cartridge(entry: object, key: str) -> _Cartridge | None:
    if entry is None:
        return None
    if isinstance(entry, dict):
        folder, barcode, home = entry.get("folder"), entry.get("barcode"), entry.get("home")
        if (
            isinstance(folder, str)
            and _NAME.fullmatch(folder)
            and isinstance(barcode, str)
            and _BARCODE.fullmatch(barcode)
            and (home is None or (isinstance(home, int) and home > 0))
        ):
            return _Cartridge(folder, barcode, home)
    raise ValueError(f"an entry of {key} is no cartridge")
