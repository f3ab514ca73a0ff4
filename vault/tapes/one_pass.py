"""One pass over a cartridge for everybody who wants something from it: what is to be checked, what is recalled by
whomever, and single files of an adopted one. It is mounted once and read forwards only, and once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.library import Library
from hardware.tape.reading import TapeReader
from vault.catalog import recalls
from vault.errors import VaultError
from vault.model import CopyState, RecallState
from vault.tape_model import Recall
from vault.tapes import holding, proving
from vault.tapes.cache import RecallCache
from vault.tapes.context import Doing, Tapes
from vault.tapes.indexes import keep_index
from vault.tapes.loading import Counted, loaded, moved
from vault.tapes.proving import Due
from vault.tapes.recalling import NO_PLACE, Fetch, Serving, fetch_alone, fetch_part
from vault.tapes.singles import OF_A_CARTRIDGE

ALONG_BYTES: Final = 64 << 30
"""So much is checked at most while somebody waits for a recall from the same cartridge; the rest comes after it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted from a cartridge. ``check``: all that is to be settled, proved or checked on it; ``fetches`` are
    parts of packages, ``alone`` single files of an adopted one. Copies that a recall could not be had from are added to
    ``failed``, by recall and copy; what is fetched goes to the ``cache``."""

    check: bool = True
    fetches: Sequence[Fetch] = ()
    alone: Sequence[Recall] = ()
    cache: RecallCache | None = None
    failed: set[tuple[str, int]] = field(default_factory=set)

    @property
    def recalls(self) -> dict[str, Recall]:
        """Whom something is fetched for."""
        return {recall.id: recall for recall in (*(item.recall for item in self.fetches), *self.alone)}


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass came to: how many copies are good, and how many were not on the tape at all that were being written
    when the last session ended. ``message`` is for people, ``drive`` where it was read."""

    good: int
    lost: int
    message: str
    drive: int | None = None


@dataclass
class _Stop:
    """A file of the tape at which the pass stops, and what for."""

    entry: FileEntry
    due: Due | None = None
    fetches: list[Fetch] = field(default_factory=list)
    alone: list[Recall] = field(default_factory=list)


def read_cartridge(tapes: Tapes, library: Library, barcode: str, asked: Asked, doing: Doing) -> Passed:
    """Load a cartridge and read all that is wanted from it, in tape order."""
    due = proving.due_on(tapes, barcode, ALONG_BYTES if asked.recalls else None) if asked.check else []
    if not due and not asked.recalls:
        return Passed(0, 0, "nothing was due any more")
    _note_reading(tapes, barcode, asked)
    fetched = 0
    counted = Counted(doing)
    try:
        with loaded(tapes, library, barcode) as session:
            try:
                reader = session.open_for_reading()
            except (hw.Corrupted, hw.NoVolume) as error:
                proving.nothing_to_read(tapes, barcode, due, error)
                raise
            with reader:
                keep_index(tapes, barcode, reader)
                began = time.monotonic()
                try:
                    outcomes, fetched = _pass(tapes, barcode, reader, due, asked, counted.doing)
                finally:
                    seconds = time.monotonic() - began
                    moved(tapes, library, barcode, session.drive, read=counted.bytes, seconds=seconds)
            drive = session.drive
    finally:
        _note_read(tapes, asked, fetched)
    tapes.custodian.wake()
    return _told(tapes, library, barcode, drive, outcomes, asked, fetched)


def _pass(
    tapes: Tapes, barcode: str, reader: TapeReader, due: Collection[Due], asked: Asked, doing: Doing
) -> tuple[list[CopyState], int]:
    """Read what is wanted; how each check ended, and the bytes that were fetched."""
    paths = {item.file.path for item in due} | {item.file.path for item in asked.fetches}
    paths |= {recall.files[0] for recall in asked.alone}
    entries = {entry.path: entry for entry in reader.files() if entry.path in paths}
    outcomes, wanted = proving.settle(tapes, barcode, due, entries)
    fetched = 0
    no_place: VaultError | None = None
    for stop in _stops(tapes, entries, wanted, asked):
        cache = asked.cache if no_place is None else None
        serving = Serving(tapes, cache, stop.fetches, asked.failed) if cache and stop.fetches else None
        if stop.due is not None:
            outcomes.append(proving.check(tapes, barcode, reader, stop.entry, stop.due, serving, doing))
        elif serving is not None:
            fetch_part(serving, reader, stop.entry, doing)
        try:
            if serving is not None:
                fetched += serving.end(checked=stop.due is not None)
            if cache is not None:
                for recall in stop.alone:
                    fetched += fetch_alone(tapes, cache, reader, stop.entry, recall, asked.failed, doing)
        except NO_PLACE as error:
            # That there is no place for what comes back keeps no copy behind this one from being proved.
            no_place = error
    if no_place is not None:
        raise no_place
    return outcomes, fetched


def _stops(tapes: Tapes, entries: Mapping[str, FileEntry], wanted: Iterable[Due], asked: Asked) -> list[_Stop]:
    """The files at which there is something to do, in the order in which the tape comes by them. What it has not is
    told to those who recall it."""
    stops: dict[str, _Stop] = {}

    def at(path: str) -> _Stop | None:
        entry = entries.get(path)
        return None if entry is None else stops.setdefault(path, _Stop(entry))

    for item in wanted:
        if (stop := at(item.file.path)) is not None:
            stop.due = item
    for fetch in asked.fetches:
        if (stop := at(fetch.file.path)) is not None:
            stop.fetches.append(fetch)
        elif asked.cache is not None:
            lacking = Serving(tapes, asked.cache, [fetch], asked.failed)
            lacking.spoilt(f"{fetch.copy.volume} has no file for it.")
            lacking.end(checked=False)
    for recall in asked.alone:
        if (stop := at(recall.files[0])) is not None:
            stop.alone.append(recall)
        else:
            asked.failed.add((recall.id, OF_A_CARTRIDGE))
    return sorted(stops.values(), key=lambda stop: (stop.entry.start, stop.entry.path))


def _told(
    tapes: Tapes, library: Library, barcode: str, drive: int, outcomes: list[CopyState], asked: Asked, fetched: int
) -> Passed:
    """What the pass came to, and what that says of the drive."""
    good = sum(state is CopyState.GOOD for state in outcomes)
    lost = sum(state is CopyState.RETIRED for state in outcomes)
    if not good and len(outcomes) > lost:
        holding.failed(tapes, library, barcode, drive, "nothing that was read back was right")
    elif good + lost == len(outcomes) and (good or fetched):
        holding.proved(tapes, library, drive)
    said = []
    if outcomes:
        said.append(f"{good} good, {len(outcomes) - good} not" if good < len(outcomes) else f"{good} good")
    if asked.recalls:
        said.append(f"{fetched} bytes brought back for {len(asked.recalls)} recalls")
    return Passed(good, lost, "; ".join(said) or "nothing was there to read", drive)


def _note_reading(tapes: Tapes, barcode: str, asked: Asked) -> None:
    if asked.recalls:
        with tapes.custodian.catalogue.write() as tx:
            for recall_id in asked.recalls:
                recalls.note(tx, recall_id, RecallState.READING, barcode=barcode, message="")


def _note_read(tapes: Tapes, asked: Asked, fetched: int) -> None:
    """Whether a recall is ready now, or wants another cartridge, is found out when the next work is derived."""
    if asked.recalls:
        with tapes.custodian.catalogue.write() as tx:
            for recall_id in asked.recalls:
                present = recalls.get(tx, recall_id)
                if present is not None and present.state is RecallState.READING:
                    recalls.note(tx, recall_id, RecallState.WAITING, barcode="", message="", done_bytes=fetched)
