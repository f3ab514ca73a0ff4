"""The JSON that the API speaks of tapes. See :mod:`vault.wire`."""

from __future__ import annotations

from pydantic import Field

from vault.model import CopyState
from vault.tape_model import Adopted, CartridgeState, CleaningNeed, Whereabouts
from vault.wire import JsonObject, Model, Moment, Recall
from vault.wire.base import MOST_VERSIONS


class TapeReading(Model):
    """How far a cartridge was read that is read through or imported, from the index on in tape order."""

    agent: str = Field(description="Who ordered it.")
    since: Moment
    files: int
    total_files: int = Field(description="0 until its index was read.")
    bytes: int
    total_bytes: int


class Tape(Model):
    """A cartridge, by its barcode, and what is on it."""

    barcode: str
    library: str
    generation: str = Field(description="By its label, such as LTO-8; empty where that does not say.")
    pool: str = Field(description="Empty: scratch, or not ours.")
    set: str = Field(description="The backup set that it is part of.")
    site: str
    state: CartridgeState
    reason: str = Field(description="Why it is in that state.")
    whereabouts: Whereabouts
    element: str = Field(description='Its place in the library: "slot 3", "drive 0".')
    shelf: str = Field(description="Where it lies outside.")
    uuid: str | None = Field(description="UUID of the LTFS volume on it.")
    index_generation: int
    size_bytes: int | None
    free_bytes: int | None
    copies: dict[CopyState, int]
    loads: int
    errors: int
    alerts: list[JsonObject] = Field(description="TapeAlert flags with their times, the newest last.")
    requested_for: str = Field(description="What it is asked for, where it is.")
    seen_at: Moment | None
    formatted_at: Moment | None
    written_at: Moment | None
    due_at: Moment | None = Field(description="When the first of its copies is to be checked.")
    added_at: Moment
    adopted: Adopted = Field(description="khoso or foreign: it was brought from elsewhere, and is only read.")
    origin: str = Field(description="Where an adopted one comes from.")
    files: int | None = Field(description="Files on an adopted one.")
    convert_at: Moment | None = Field(description="When what is on it is to be moved to a new cartridge.")
    uses_left: int | None = Field(description="Of a cleaning cartridge: how often it can still be used.")
    clearing: TapeReading | None = Field(None, description="It is suspect, and read through to end the doubt about it.")


class CheckedIn(Tape):
    """A cartridge that was checked in, and what stands beside it."""

    left: list[str] = Field(
        description="Cartridges that still stand in the import/export slots: not scanned, or to be taken out. Empty for"
        " one without a label."
    )


class TapeFile(Model):
    """A file on a cartridge, by its index. ``target`` is where a symbolic link leads; empty for files."""

    path: str
    bytes: int
    modified_at: Moment | None
    partition: str = Field(description="Partition and block where its data begin; empty and 0 for one without data.")
    start_block: int
    extents: int
    target: str


class TapeFileList(Model):
    """A page of the files on a cartridge, in the order of its index."""

    items: list[TapeFile]
    next_cursor: str | None


class ImportTrouble(Model):
    """Something on an imported cartridge that was not entered, or is not as it should be."""

    code: str
    identifier: str
    version: int
    message: str


class TapeImport(Model):
    """What an import came to. For a foreign cartridge there are ``files`` only, and no packages."""

    tape: Tape
    kind: Adopted
    files: int
    parts: int = Field(description="Versions of packages on it.")
    versions_added: int
    copies_added: int
    known: int = Field(description="Copies on it that the catalogue had already.")
    troubles: int
    told: list[ImportTrouble] = Field(description="The first of the troubles.")


class TapeLibrary(Model):
    """A library. ``problem`` is why it cannot be used at all; empty where it can."""

    name: str
    problem: str
    notes: list[str] = Field(description="What a person should look at.")
    lacking: list[str] = Field(description="Pools for which something waits, and no cartridge has room.")
    doing: str
    waiting_bytes: dict[str, int] = Field(description="What waits to be written, by pool.")
    unwritable: str = Field("", description="Why nothing can be written, while all else is done; empty where it can.")


class TapeDrive(Model):
    """A drive, by its serial number."""

    serial: str
    library: str
    number: int = Field(description="Its number in the library.")
    model: str
    firmware: str
    problem: str = Field(description="Why it cannot be used; empty where it can.")
    loaded: str = Field(description="Barcode of the cartridge in it.")
    cleaning: CleaningNeed = Field(description="now or soon: it asks to be cleaned.")
    asked_at: Moment | None = Field(description="Since when it asks to be cleaned.")
    cleaned_at: Moment | None
    cleanings: int
    alerts: dict[str, str] = Field(description="TapeAlert flags by name, with when each was raised last.")
    loads: int
    errors: int
    bytes_read: int
    bytes_written: int
    life: dict[str, int] = Field(description="What it counts of itself, by name; what it does not tell is absent.")
    seen_at: Moment
    held: str = Field("", description="Why nothing is loaded into it until it is released; empty where it is in use.")
    held_at: Moment | None = None
    failing: dict[str, str] = Field(
        default_factory=dict, description="Cartridges whose sessions failed in it, one after another, each with why."
    )


class TapeList(Model):
    """Every cartridge, library and drive."""

    items: list[Tape]
    libraries: list[TapeLibrary]
    drives: list[TapeDrive]


class MountRequest(Model):
    """A cartridge that is needed in its library and is not there."""

    id: int
    barcode: str
    shelf: str
    reason: str
    requested_at: Moment


class CleaningRequest(Model):
    """A drive that asks to be cleaned, and no cleaning cartridge that is known has uses left."""

    library: str
    drive: int
    serial: str
    urgent: bool = Field(description="Before anything else is read or written; else when there is time.")
    requested_at: Moment | None


class MountRequestList(Model):
    """What is asked for, the longest first; and the drives for which a cleaning cartridge is to be brought."""

    items: list[MountRequest]
    cleaning: list[CleaningRequest]


class Cleaned(Model):
    """What a cleaning came to."""

    message: str
    drive: TapeDrive


class FormatOrder(Model):
    """Make an empty volume of a pool. ``erase`` is the barcode again, where what is on it may be destroyed."""

    pool: str
    erase: str = ""


class CheckoutOrder(Model):
    """Take a cartridge out of its library."""

    shelf: str = Field("", description="Where it will lie.")


class PracticeOrder(Model):
    """Make a blank cartridge in a virtual library."""

    barcode: str
    capacity_bytes: int = Field(3 * 2**30, ge=64 * 2**20, le=2**44)


class RecallOrder(Model):
    """Bring a version back from tape: all of it, or some of its files."""

    identifier: str
    version: int | None = Field(None, ge=1, le=MOST_VERSIONS, description="The newest where nothing is said.")
    files: list[str] = Field([], max_length=10_000, description="Paths; empty: all.")


class RecallList(Model):
    """Recalls, the newest first."""

    items: list[Recall]
