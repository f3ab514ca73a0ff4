"""What a library is to do next, derived from the catalogue each time anew: a kill loses nothing of it.

First what a session left behind or has written and not yet read back, then what somebody waits for, then what waits to
be written, then what is due to be checked.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vault.catalog import cartridges, copies
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.config import LibrarySettings, PoolSettings
from vault.model import CopyState, TaskKind, Volume, VolumeMode
from vault.tape_model import Cartridge, CartridgeState, Recall, TapeDrive, Whereabouts
from vault.tapes import holding, record
from vault.tapes.cache import RecallCache
from vault.tapes.context import Tapes
from vault.tapes.drives import may_clean, uses_left, wanting
from vault.tapes.gathering import Waiting, waiting_for
from vault.tapes.making import estimated_length
from vault.tapes.proving import to_check
from vault.tapes.recalling import Fetch, plan_recalls

READABLE: Final = (
    CartridgeState.APPENDABLE, CartridgeState.FULL, CartridgeState.READ_ONLY, CartridgeState.SUSPECT,
)  # fmt: skip
"""States of cartridges that are read."""

_ORDER_LIMIT: Final = 200


class Rank(enum.IntEnum):
    """What comes first."""

    CLEAN = 0
    UNSETTLED = 1
    RECALL = 2
    WRITE = 3
    DUE = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that a library can do now. ``pool`` is set where a cartridge is written for it, ``drive`` where one is
    cleaned, ``clear`` where a suspect cartridge is read through, ``check`` where what is on one is read back; that goes
    with what is recalled from the same cartridge."""

    key: str
    kind: TaskKind
    rank: Rank
    barcode: str
    total_bytes: int
    pool: PoolSettings | None = None
    fetches: tuple[Fetch, ...] = ()
    drive: int | None = None
    alone: tuple[Recall, ...] = ()
    clear: bool = False
    check: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be done, the first first; and what cannot, as something is lacking that a person must bring.

    ``lacking`` are pools for which something waits and no cartridge is there, ``waiting`` what waits for each pool.
    ``unclean`` are drives that ask to be cleaned, and no cleaning cartridge that this node knows has uses left.
    """

    jobs: tuple[Job, ...]
    lacking: tuple[str, ...]
    waiting: dict[str, Waiting]
    ended: tuple[tuple[Recall, str], ...] = ()
    unclean: tuple[TapeDrive, ...] = ()


def derive(
    tapes: Tapes,
    library: LibrarySettings,
    cache: RecallCache,
    present: Collection[str],
    failed: Collection[tuple[str, int]] = (),
    *,
    writes: bool = True,
) -> Outlook:
    """Look at everything that concerns this library. ``present`` are the cartridges in it that can be used, ``failed``
    the recalls, with the copies from which they could not be had. Where it cannot write (``writes``), what waits for
    that goes on waiting, and nothing is brought for it."""
    custodian = tapes.custodian
    jobs: list[Job] = []
    lacking: list[str] = []
    waiting: dict[str, Waiting] = {}
    needed: dict[str, str] = {}
    with custodian.catalogue.read() as tx:
        mine = {c.barcode: c for c in cartridges.all(tx) if c.library == library.name}
        volumes = {volume.name: volume for volume in catalog_volumes.all(tx) if volume.name in mine}
        cleanings, unclean = _cleanings(tx, library, mine, present, needed)
        jobs += cleanings
        numbers = copies.counts(tx)
        for job in _checks(tx, numbers, mine, volumes):
            if job.barcode in present:
                jobs.append(job)
            elif job.rank is Rank.UNSETTLED:
                needed[job.barcode] = "copies that were written to it are to be read back"
            else:
                needed[job.barcode] = "copies on it are due to be checked"
        jobs += _clearings(tx, mine, present, needed)
        plan = plan_recalls(tapes, tx, cache, present, failed)
        for barcode in {**plan.fetches, **plan.singles}:
            fetches, alone = tuple(plan.fetches.get(barcode, ())), tuple(plan.singles.get(barcode, ()))
            total = sum(item.need.version.part_bytes for item in fetches) + sum(one.total_bytes for one in alone)
            key = f"recall:{barcode}"
            jobs.append(Job(key, TaskKind.RECALL, Rank.RECALL, barcode, total, None, fetches, alone=alone))
        for barcode, recall in plan.offline.items():
            if barcode in mine:
                needed[barcode] = f"{recall.identifier} is recalled by {recall.agent}"
        for pool in tapes.pools_of(library):
            found = waiting_for(custodian, tx, pool, most_bytes=min(library.spool_bytes, library.mount_after_bytes))
            waiting[pool.name] = found
            if not writes or not found.is_due(library, tx.now):
                continue
            chosen = _cartridge_for(pool, found, mine, volumes, present)
            if chosen is None:
                lacking.append(pool.name)
            else:
                jobs.append(
                    Job(f"tape-write:{pool.name}", TaskKind.TAPE_WRITE, Rank.WRITE, chosen, 2 * found.bytes, pool)
                )
        if holding.none_left(tx, library.name):
            # A drive that is held may still be cleaned, and nothing else.
            jobs = cleanings
    _ask(tapes, mine, needed)
    ordered = tuple(sorted(_together(jobs), key=lambda job: (job.rank, job.key)))
    return Outlook(ordered, tuple(lacking), waiting, tuple(plan.ended), tuple(unclean))


def _together(jobs: Sequence[Job]) -> list[Job]:
    """What is recalled from a cartridge and what is checked on it is one job: it is mounted once and read once."""
    checks = {job.barcode: job for job in jobs if job.check}
    recalls = {job.barcode: job for job in jobs if job.kind is TaskKind.RECALL and job.barcode in checks}
    both = [
        replace(
            job, rank=min(job.rank, checks[barcode].rank), total_bytes=job.total_bytes + checks[barcode].total_bytes,
            check=True,
        )
        for barcode, job in recalls.items()
    ]  # fmt: skip
    return [job for job in jobs if job.barcode not in recalls or not (job.check or job.kind is TaskKind.RECALL)] + both


def _cleanings(
    tx: Tx,
    library: LibrarySettings,
    mine: dict[str, Cartridge],
    present: Collection[str],
    needed: dict[str, str],
) -> tuple[list[Job], list[TapeDrive]]:
    """The drives that are to be cleaned; those for which nothing is there to clean them with. A cleaning cartridge that
    lies on a shelf is asked for as any other."""
    jobs: list[Job] = []
    unclean: list[TapeDrive] = []
    for drive in wanting(tx, library.name):
        cleaner = _cleaner(mine, present)
        if cleaner is None:
            unclean.append(drive)
        elif cleaner.barcode not in present:
            needed[cleaner.barcode] = f"drive {drive.number} ({drive.serial}) asks to be cleaned"
        elif may_clean(drive, tx) and not drive.problem:
            key = f"drive-clean:{drive.serial}"
            jobs.append(Job(key, TaskKind.DRIVE_CLEAN, Rank.CLEAN, cleaner.barcode, 0, drive=drive.number))
    return jobs, unclean


def _cleaner(mine: dict[str, Cartridge], present: Collection[str]) -> Cartridge | None:
    """A cleaning cartridge with uses left, one that is there before one on a shelf."""
    usable = [cartridge for cartridge in mine.values() if uses_left(cartridge)]
    return min(usable, key=lambda one: (one.barcode not in present, uses_left(one), one.barcode), default=None)


def _checks(
    tx: Tx,
    numbers: dict[tuple[str, CopyState], int],
    mine: dict[str, Cartridge],
    volumes: dict[str, Volume],
) -> Iterator[Job]:
    for barcode, cartridge in mine.items():
        volume = volumes.get(barcode)
        if volume is not None and cartridge.state in READABLE:
            job = _check(tx, numbers, volume, cartridge)
            if job is not None:
                yield job


def _check(tx: Tx, numbers: dict[tuple[str, CopyState], int], volume: Volume, cartridge: Cartridge) -> Job | None:
    unsettled = any(numbers.get((volume.name, state)) for state in (CopyState.WRITING, CopyState.WRITTEN))
    found = to_check(tx, volume.id, volume.name, _ORDER_LIMIT)
    if not found:
        return None
    files = cartridges.files(tx, [copy.id for copy in found])
    total = sum(file.length for file in files.values())
    rank = Rank.UNSETTLED if unsettled else Rank.DUE
    return Job(f"tape-check:{cartridge.barcode}", TaskKind.TAPE_CHECK, rank, cartridge.barcode, total, check=True)


def _clearings(tx: Tx, mine: dict[str, Cartridge], present: Collection[str], needed: dict[str, str]) -> Iterator[Job]:
    """Suspect cartridges that are to be read through."""
    for barcode, clearing in record.clearings(tx).items():
        if barcode not in mine or mine[barcode].state is not CartridgeState.SUSPECT:
            continue
        if barcode in present:
            left = clearing.total_bytes - clearing.bytes
            yield Job(f"tape-clear:{barcode}", TaskKind.TAPE_CHECK, Rank.DUE, barcode, left, clear=True)
        else:
            needed[barcode] = "it is to be read through, to end the doubt about it"


def _cartridge_for(
    pool: PoolSettings,
    waiting: Waiting,
    mine: dict[str, Cartridge],
    volumes: dict[str, Volume],
    present: Collection[str],
) -> str | None:
    """One of the pool that has room for the first that waits, the fullest; else a scratch one."""
    first = waiting.versions[0]
    need = estimated_length(first.files, first.part_bytes)
    usable = [c for c in mine.values() if c.barcode in present and c.whereabouts is Whereabouts.LIBRARY]
    begun = []
    for cartridge in usable:
        volume = volumes.get(cartridge.barcode)
        if cartridge.state is not CartridgeState.APPENDABLE or cartridge.pool != pool.name or volume is None:
            continue
        if volume.mode is not VolumeMode.ACTIVE:
            continue
        # A new one has not said yet how much it holds.
        if volume.free_bytes is None or volume.free_bytes >= need:
            begun.append((volume.free_bytes or 1 << 62, cartridge.barcode))
    if begun:
        return min(begun)[1]
    scratch = sorted(c.barcode for c in usable if c.state is CartridgeState.SCRATCH)
    return scratch[0] if scratch else None


def _ask(tapes: Tapes, mine: dict[str, Cartridge], needed: dict[str, str]) -> None:
    """Ask for what is needed and not here, and no longer for what is not needed."""
    with tapes.custodian.catalogue.read() as tx:
        asked = {request.barcode: request.reason for request in cartridges.requests(tx)}
    new = {barcode: why for barcode, why in needed.items() if asked.get(barcode) != why}
    over = [barcode for barcode in asked if barcode in mine and barcode not in needed]
    if not new and not over:
        return
    with tapes.custodian.catalogue.write() as tx:
        for barcode, why in new.items():
            record.asked_for(tx, tapes.agent, barcode, why)
        for barcode in over:
            record.request_ended(tx, tapes.agent, barcode, "it is no longer needed")
