"""What an inventory of a library shows, and what changed since the one before: pure functions over facts."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardware.tape import barcodes
from hardware.tape.barcodes import Kind
from hardware.tape.changer import Drive, LibraryStatus, Slot, name_of
from hardware.tape.drive import DriveFacts


class Holds(enum.Enum):
    """What a cartridge is, by its label alone."""

    DATA = "data"
    WORM = "write once"
    CLEANING = "cleaning"
    NO_LABEL = "no label"
    BAD_LABEL = "label against the rules"


@dataclass(frozen=True, slots=True)
class Found:
    """A cartridge and where it is. ``note`` says what is wrong with its label; empty where nothing is."""

    barcode: str
    place: Drive | Slot
    holds: Holds
    note: str = ""


class How(enum.Enum):
    """How an inventory differs from the one before, by somebody's hand: what we move ourselves is no change."""

    APPEARED = "appeared"
    GONE = "gone"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """A cartridge that somebody put in, took out, or moved."""

    how: How
    barcode: str
    before: Drive | Slot | None
    now: Drive | Slot | None

    def __str__(self) -> str:
        where = " to ".join(name_of(place).lower() for place in (self.before, self.now) if place is not None)
        return f"{self.barcode or 'A cartridge without a label'} {self.how.value} ({where})"


@dataclass(frozen=True, slots=True)
class DriveSeen:
    """A drive of the library. ``facts`` is None, and ``problem`` says why, where it does not answer or is not there.

    ``in_session`` is the barcode of the cartridge that a session of ours has open in it.
    """

    number: int
    serial: str
    facts: DriveFacts | None
    in_session: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is where in a library, at one moment.

    ``changes`` are those since the inventory before (none at the first). ``duplicates`` are barcodes that two
    cartridges bear: neither of them is loaded.
    """

    status: LibraryStatus
    cartridges: tuple[Found, ...]
    drives: tuple[DriveSeen, ...]
    duplicates: frozenset[str]
    changes: tuple[Change, ...] = ()

    def find(self, barcode: str) -> Found | None:
        """Where a cartridge is; None where it is not in the library. Of duplicates the first is named."""
        return next((found for found in self.cartridges if barcode and found.barcode == barcode), None)

    @property
    def cleaning(self) -> tuple[Found, ...]:
        """The cleaning cartridges."""
        return tuple(found for found in self.cartridges if found.holds is Holds.CLEANING)


_DUPLICATE: Final = (
    "Another cartridge in the library bears the same label, and neither is used: take both out, find out which is "
    "which, and give one of them a label of its own."
)
_NO_LABEL: Final = "It has no label that can be read, and is not used: take it out, and stick one on."


def cartridges_in(status: LibraryStatus) -> tuple[Found, ...]:
    """All cartridges that a library shows."""
    twice = status.duplicates()
    return tuple(_found(place, twice) for place in status.places() if place.full)


def _found(place: Drive | Slot, twice: frozenset[str]) -> Found:
    label = place.barcode
    if not label:
        return Found("", place, Holds.NO_LABEL, _NO_LABEL)
    note = barcodes.check(label)
    if barcodes.is_cleaning(label):
        holds = Holds.CLEANING
    elif note:
        holds = Holds.BAD_LABEL
        note += " It is not used: put a label on it that follows the rule."
    else:
        holds = Holds.WORM if barcodes.parse(label).kind is Kind.WORM else Holds.DATA
    return Found(label, place, holds, " ".join(filter(None, (note, _DUPLICATE if label in twice else ""))))


def changes_between(before: Iterable[Found], now: Iterable[Found]) -> tuple[Change, ...]:
    """What happened to the cartridges between two inventories. Those without a label are told by their place."""
    was, is_now = _by_key(before), _by_key(now)
    changes = []
    for key in sorted({*was, *is_now}):
        old, new = was.get(key), is_now.get(key)
        barcode = key[0]
        if old is None:
            changes.append(Change(How.APPEARED, barcode, None, new))
        elif new is None:
            changes.append(Change(How.GONE, barcode, old, None))
        elif not _same_place(old, new):
            changes.append(Change(How.MOVED, barcode, old, new))
    return tuple(changes)


def _by_key(found: Iterable[Found]) -> dict[tuple[str, str], Drive | Slot]:
    """By label; a label that is empty or there twice, by label and place."""
    listed = list(found)
    labels = [item.barcode for item in listed]
    return {
        (item.barcode, "" if item.barcode and labels.count(item.barcode) == 1 else name_of(item.place)): item.place
        for item in listed
    }


def _same_place(one: Drive | Slot, other: Drive | Slot) -> bool:
    return type(one) is type(other) and one.number == other.number
