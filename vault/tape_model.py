"""The facts about tapes: cartridges, what stands on them, requests to mount them, recalls. See :mod:`vault.model`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vault.model import Json, RecallState


class CartridgeState(enum.StrEnum):
    """What a cartridge is good for.

    SCRATCH: nothing of ours is on it, and it may be formatted for a pool. APPENDABLE: a pool's, with room. FULL: a
    pool's, no room. READ_ONLY: it is only read (adopted from elsewhere, protected, too old for the drives). SUSPECT:
    something on it was found wrong; it is read, and no longer written. FOREIGN: somebody else's data are on it; it is
    neither. CLEANING: it holds no data. RETIRED: it is no longer used.

    Whether it is in a library, or off-line on a shelf, is its place and says nothing of its state.
    """

    SCRATCH = "scratch"
    APPENDABLE = "appendable"
    FULL = "full"
    READ_ONLY = "read-only"
    SUSPECT = "suspect"
    FOREIGN = "foreign"
    CLEANING = "cleaning"
    RETIRED = "retired"


OWN_EARLIER: Final = "This node wrote it, before its catalogue was made anew without this cartridge."
"""Stands in the reason of a cartridge whose volume bears this node's name and is in no catalogue."""


def own_earlier_remedy(barcode: str) -> str:
    """What to do with such a cartridge: its copies may be the only ones, so nobody is told how to erase it."""
    return f"Do not erase it. Bring what is on it back into the catalogue: vaultctl tapes import {barcode}"


class Whereabouts(enum.StrEnum):
    """Where a cartridge is. OFFLINE: not seen in its library, though expected there. VAULTED: taken out on purpose."""

    LIBRARY = "library"
    OFFLINE = "offline"
    VAULTED = "vaulted"


class Adopted(enum.StrEnum):
    """Whether a cartridge was adopted from elsewhere, and what it is. OURS: it was not. KHOSO: it is of a node like
    this, with packages on it. FOREIGN: somebody else's files."""

    OURS = ""
    KHOSO = "khoso"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Cartridge:
    """A cartridge, by its barcode. What is on it is the volume of that name, once it was formatted or adopted.

    ``element`` is the library's place for it ("slot 3", "drive 0"), ``shelf`` where it lies outside. ``alerts`` are
    TapeAlert flags with their times, the newest last. ``loads`` and ``errors`` count since this node knows it.
    ``cleanings`` is how often a cleaning cartridge was used here, ``life`` what a cartridge's memory counts, by name.
    ``origin`` is for people: where an adopted one comes from; ``files`` are those on an adopted one, None elsewhere.
    """

    barcode: str
    volume_id: int | None
    library: str
    generation: str
    pool: str
    state: CartridgeState
    whereabouts: Whereabouts
    element: str
    shelf: str
    reason: str
    index_generation: int
    loads: int
    errors: int
    alerts: list[Json]
    seen_at: datetime | None
    formatted_at: datetime | None
    written_at: datetime | None
    added_at: datetime
    adopted: Adopted
    origin: str
    files: int | None
    cleanings: int
    bytes_read: int
    bytes_written: int
    life: dict[str, int]


class CleaningNeed(enum.StrEnum):
    """Whether a drive asks to be cleaned: not, when there is time, or before anything else."""

    NO = ""
    SOON = "soon"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class TapeDrive:
    """A drive, by its serial number, as far as this node knows it.

    ``problem`` is why it cannot be used. ``alerts`` are TapeAlert flags by name, with when each was raised last.
    ``asked_at`` is since when it asks to be cleaned. ``loads``, ``errors``, ``cleanings`` and the bytes are counted by
    this node, the milliseconds are those that moving these bytes took; ``life`` is what the drive counts of itself,
    by name, without what it does not tell. ``failing`` are the cartridges whose sessions failed in it, one after
    another, each with why; ``held`` is why nothing is loaded into it until a person releases it. ``heard_at`` is when
    its flags were first read: before, that it asks for no cleaning is not known.
    """

    serial: str
    library: str
    number: int
    vendor: str
    product: str
    revision: str
    problem: str
    alerts: dict[str, str]
    cleaning: CleaningNeed
    asked_at: datetime | None
    cleaned_at: datetime | None
    cleanings: int
    loads: int
    errors: int
    bytes_read: int
    read_ms: int
    bytes_written: int
    write_ms: int
    life: dict[str, int]
    seen_at: datetime
    failing: dict[str, str]
    held: str
    held_at: datetime | None
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class TapeFile:
    """Where a copy stands on its cartridge: one tar file, by its path, first block and length in bytes."""

    copy_id: int
    path: str
    start_block: int
    length: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """An order to read all of a suspect cartridge, and to end the doubt about it where nothing is wrong with it.

    ``generation`` is the index whose files are read, 0 before the cartridge was first opened; of them ``files`` with
    ``bytes`` were read, in tape order, ``bad`` of these were not right, and ``worst`` tells of the first.
    """

    barcode: str
    agent: str
    since: datetime
    generation: int = 0
    files: int = 0
    total_files: int = 0
    bytes: int = 0
    total_bytes: int = 0
    bad: int = 0
    worst: str = ""


@dataclass(frozen=True, slots=True)
class MountRequest:
    """A cartridge that is not in its library and is needed there. ``ended_by`` is empty while it is open."""

    id: int
    barcode: str
    reason: str
    requested_at: datetime
    ended_at: datetime | None
    ended_by: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Something that is to be on disk: a version, or (``files``, logical paths) some files of it.

    ``agent`` asked for it, ``message`` says for people how it stands, ``barcode`` names the cartridge that is read.
    """

    id: str
    identifier: str
    version: int
    what: str
    files: list[str]
    state: RecallState
    agent: str
    barcode: str
    message: str
    total_bytes: int
    done_bytes: int
    requested_at: datetime
    finished_at: datetime | None
    used_at: datetime | None
