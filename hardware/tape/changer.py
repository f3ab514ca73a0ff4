"""What is asked of a tape library, of whatever kind: the :class:`Changer` protocol and its facts.

Drives are numbered from 0 and slots from 1, as ``mtx`` does it, with the import/export slots behind the others. The
numbers are those of the library: which ``/dev/sgN`` a drive is, is found by its serial number
(:mod:`hardware.tape.elements`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol, Self

from hardware.errors import HardwareError
from hardware.tape.errors import (
    ElementEmpty,
    ElementFull,
    HomeUnknown,
    InvalidElement,
    NotUnderstood,
    WrongCartridge,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A storage or import/export slot. ``barcode`` is empty where there is no cartridge, or no label that was read."""

    number: int
    full: bool
    barcode: str = ""
    import_export: bool = False


@dataclass(frozen=True, slots=True)
class Drive:
    """A drive as the library sees it. ``home`` is the slot that its cartridge came from, None where unknown."""

    number: int
    full: bool
    barcode: str = ""
    home: int | None = None
    serial: str = ""


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """What is where, at one moment. ``in_robot`` is a cartridge that hangs in the gripper, None where unknown."""

    drives: tuple[Drive, ...]
    slots: tuple[Slot, ...]
    in_robot: bool | None = None

    def drive(self, number: int) -> Drive:
        """The drive with a number. Raises ``InvalidElement``."""
        for drive in self.drives:
            if drive.number == number:
                return drive
        raise InvalidElement(
            f"The library has no drive {number}.",
            remedy=f"Its drives are {_numbers([drive.number for drive in self.drives])}.",
        )

    def slot(self, number: int) -> Slot:
        """The slot with a number. Raises ``InvalidElement``."""
        for slot in self.slots:
            if slot.number == number:
                return slot
        raise InvalidElement(
            f"The library has no slot {number}.",
            remedy=f"Its slots are {_numbers([slot.number for slot in self.slots])}.",
        )

    def find(self, barcode: str) -> tuple[Drive | Slot, ...]:
        """All places where a barcode was read; more than one is two cartridges with one label."""
        return tuple(place for place in self.places() if barcode and place.barcode == barcode)

    def duplicates(self) -> frozenset[str]:
        """Barcodes that are read at more than one place: none of these cartridges may be written to."""
        found = Counter(place.barcode for place in self.places() if place.barcode)
        return frozenset(barcode for barcode, count in found.items() if count > 1)

    def places(self) -> tuple[Drive | Slot, ...]:
        """All drives and slots."""
        return (*self.drives, *self.slots)


@dataclass(frozen=True, slots=True)
class Moved:
    """A cartridge was moved, and the library shows it at its new place. ``target`` is a drive or a slot."""

    barcode: str
    target: Drive | Slot


@dataclass(frozen=True, slots=True)
class OperatorAsked:
    """Nothing was moved yet: a person has to. ``barcode`` is the cartridge to fetch or to put back."""

    barcode: str
    drive: int
    loading: bool

    @property
    def request(self) -> str:
        """What the person has to do."""
        name = self.barcode or "the cartridge without a label"
        if self.loading:
            return f"Put {name} into drive {self.drive}, and scan its label."
        return f"Take {name} out of drive {self.drive}, scan its label, and put it back on its shelf."


Outcome = Moved | OperatorAsked


class Changer(Protocol):
    """A tape library, held by one owner.

    Contract, for every implementation:

    - **One owner.** Whoever constructs the object holds the library until :meth:`close`; a second one, in this process
      or another, meets ``Busy``.
    - **What is there is asked, not remembered.** :meth:`inventory` asks the library each time. People open doors.
    - **Outcomes.** A move that returns :class:`Moved` has been done and was seen in a fresh inventory; one that returns
      :class:`OperatorAsked` waits for a person, and asking for it again is answered with the same.
    - **Nothing moves by mistake.** A move whose source is empty raises ``ElementEmpty``, whose target is full
      ``ElementFull``, and an element that does not exist ``InvalidElement``. With ``barcode``, the source must hold
      that very cartridge, or ``WrongCartridge`` is raised. In all these cases nothing was moved.
    - **Unit attention and not ready** are tried again a bounded number of times, each time with a fresh look at what is
      there; then ``NotReady`` (``DoorOpen`` at once: nobody knows when the door will be closed).
    - **Time.** Every call ends: ``TimedOut`` means that the library did not answer, and that nobody knows whether the
      move was done. Take inventory before anything else.
    - **Outage is no absence.** Where the library does not answer, or not sensibly (``NotUnderstood``), that says
      nothing about its cartridges.
    """

    def inventory(self) -> LibraryStatus:
        """What is where now."""
        ...

    def load(self, slot: int, drive: int, *, barcode: str = "") -> Outcome:
        """Move a cartridge from a slot into a drive."""
        ...

    def unload(self, drive: int, slot: int | None = None, *, barcode: str = "") -> Outcome:
        """Move a cartridge from a drive into a slot; without ``slot`` to where it came from (``HomeUnknown``).

        Raises ``RemovalPrevented`` where a program holds the cartridge. A drive of the SCSI kind must have let go of
        its cartridge before (:meth:`hardware.tape.drive.TapeDrive.unload`).
        """
        ...

    def transfer(self, source: int, target: int, *, barcode: str = "") -> Outcome:
        """Move a cartridge from a slot to a slot; ``Unsupported`` where there is no robot that could."""
        ...

    def close(self) -> None:
        """Let go of the library."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exception: object) -> None: ...


def check_source(place: Drive | Slot, barcode: str) -> None:
    """Raise ``ElementEmpty`` or ``WrongCartridge`` where a cartridge cannot be taken from a place."""
    if not place.full:
        raise ElementEmpty(f"{name_of(place)} is empty.", remedy="Take inventory, and name a place that is full.")
    if barcode and place.barcode != barcode:
        found = place.barcode or "a cartridge whose label cannot be read"
        raise WrongCartridge(
            f"{name_of(place)} holds {found}, and not {barcode}.", remedy="Take inventory: somebody moved a cartridge."
        )


def check_target(place: Drive | Slot) -> None:
    """Raise ``ElementFull`` where a cartridge cannot be put."""
    if place.full:
        raise ElementFull(
            f"{name_of(place)} is full ({place.barcode or 'no label'}).", remedy="Name a place that is empty."
        )


def home_of(status: LibraryStatus, drive: Drive) -> Slot:
    """The slot that a loaded cartridge came from, if it can take it back. Raises ``HomeUnknown``."""
    try:
        if drive.home is not None and not (home := status.slot(drive.home)).full:
            return home
    except InvalidElement:
        pass
    if drive.home is None:
        problem = "the library does not know where its cartridge came from"
    else:
        problem = f"slot {drive.home}, where its cartridge came from, is not free"
    raise HomeUnknown(f"Drive {drive.number} cannot be unloaded: {problem}.", remedy="Name an empty slot.")


def moved(status: LibraryStatus, barcode: str, source: Drive | Slot, target: Drive | Slot) -> bool:
    """Whether an inventory shows that a cartridge has gone from one place to the other."""
    now_source, now_target = _again(status, source), _again(status, target)
    readable = barcode and now_target.barcode
    return not now_source.full and now_target.full and not (readable and now_target.barcode != barcode)


def check_moved(status: LibraryStatus, barcode: str, source: Drive | Slot, target: Drive | Slot) -> Moved:
    """The outcome of a move, as a fresh inventory shows it. Raises ``NotUnderstood`` where it shows something else."""
    if not moved(status, barcode, source, target):
        raise NotUnderstood(
            f"The library says that it moved {barcode or 'a cartridge'} from {name_of(source).lower()} to "
            f"{name_of(target).lower()}, but shows something else.",
            remedy="Look at the library itself, and take inventory again.",
        )
    place = _again(status, target)
    return Moved(barcode or place.barcode, place)


def _again(status: LibraryStatus, place: Drive | Slot) -> Drive | Slot:
    try:
        return status.drive(place.number) if isinstance(place, Drive) else status.slot(place.number)
    except HardwareError as error:
        raise NotUnderstood(f"{name_of(place)} is no longer listed by the library.") from error


def name_of(place: Drive | Slot) -> str:
    """How a place is called in messages."""
    return f"Drive {place.number}" if isinstance(place, Drive) else f"Slot {place.number}"


def _numbers(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    whole = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 2
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
