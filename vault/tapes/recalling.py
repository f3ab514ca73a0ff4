"""Bringing back from tape what somebody asked for: what of it is needed from where, and reading that in tape order."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.library import Library
from hardware.tape.reading import TapeReader
from vault.catalog import cartridges, copies, packages, recalls
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record as custody_record
from vault.custody.context import part_of
from vault.errors import Corrupted, Full, Interrupted, Invalid, NotFound, VaultError
from vault.formats import part_tar
from vault.formats.ocfl import INVENTORY_FILE
from vault.formats.ocfl.reading import parse_inventory
from vault.ledger import append
from vault.model import Condition, Copy, CopyState, EventType, MediumClass, NewEvent, Outcome, RecallState, Version
from vault.tape_model import CartridgeState, Recall, TapeFile, Whereabouts
from vault.tapes import holding, singles
from vault.tapes.cache import RecallCache
from vault.tapes.context import Doing, Tapes
from vault.tapes.indexes import keep_index
from vault.tapes.loading import loaded, moved
from vault.tapes.making import Pieces, path_on_tape

log = structlog.get_logger(__name__)

_TRUST: Final = (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED)
_UNUSABLE: Final = (CartridgeState.FOREIGN, CartridgeState.RETIRED, CartridgeState.CLEANING)
_READABLE: Final = (Condition.ONLINE, Condition.READ_ONLY)


@dataclass(frozen=True, slots=True)
class Need:
    """A part that a recall needs from tape: all of it, or (``paths``) these content files. No paths and not ``whole``:
    only its inventory, which says what else is needed."""

    version: Version
    paths: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """A need, and the copy that it is read from."""

    recall: Recall
    need: Need
    copy: Copy
    file: TapeFile | None


@dataclass
class Plan:
    """What can be fetched from which cartridge now, what is off-line, and what nothing can be done about. ``singles``
    are files of adopted cartridges (:mod:`vault.tapes.singles`)."""

    fetches: dict[str, list[Fetch]] = field(default_factory=dict)
    singles: dict[str, list[Recall]] = field(default_factory=dict)
    offline: dict[str, Recall] = field(default_factory=dict)
    ended: list[tuple[Recall, str]] = field(default_factory=list)


def plan_recalls(
    tapes: Tapes, tx: Tx, cache: RecallCache, present: Collection[str], failed: Collection[tuple[str, int]]
) -> Plan:
    """Look at every recall that waits. ``failed`` are copies from which one could not be had, by recall and copy."""
    plan = Plan()
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    known = {cartridge.volume_id: cartridge for cartridge in cartridges.all(tx) if cartridge.volume_id is not None}
    for recall in recalls.waiting(tx):
        if recall.version == singles.OF_A_CARTRIDGE:
            barcode, away, ended = singles.lacking(tx, cache, recall, present, failed)
            if ended is not None:
                plan.ended.append((recall, ended))
            elif away:
                plan.offline.setdefault(barcode, recall)
            elif barcode in present:
                plan.singles.setdefault(barcode, []).append(recall)
            continue
        version = packages.version(tx, recall.identifier, recall.version)
        if version is None:
            plan.ended.append((recall, "There is no such version any more."))
            continue
        of_package = copies.of_package(tx, version.package_id)
        needs = needs_of(tapes, tx, cache, recall, version, of_package)
        if not needs:
            plan.ended.append((recall, ""))
        for need in needs:
            usable = [
                copy
                for copy in of_package
                if copy.version_id == need.version.id
                and copy.state in _TRUST
                and volumes[copy.volume_id].medium is MediumClass.TAPE
                and copy.volume_id in known
                and known[copy.volume_id].state not in _UNUSABLE
                and (recall.id, copy.id) not in failed
            ]
            if not usable:
                plan.ended.append((recall, f"No tape that can be read has v{need.version.number} of it."))
                break
            best = min(usable, key=lambda c: (c.volume not in present, _TRUST.index(c.state), c.volume))
            if best.volume in present:
                known_place = cartridges.files(tx, [best.id]).get(best.id)
                file = known_place or TapeFile(best.id, path_on_tape(need.version), 0, -1)
                plan.fetches.setdefault(best.volume, []).append(Fetch(recall, need, best, file))
            elif known[best.volume_id].whereabouts is not Whereabouts.LIBRARY:
                plan.offline.setdefault(best.volume, recall)
    return plan


def needs_of(
    tapes: Tapes, tx: Tx, cache: RecallCache, recall: Recall, version: Version, of_package: Collection[Copy]
) -> list[Need]:
    """What of a recall is neither in the cache nor on a disk volume that can be read now."""
    part = part_of(version)
    inventory = _inventory_at_hand(tapes, tx, cache, version, of_package)
    if inventory is None:
        return [Need(version, whole=not recall.files)]
    parsed = parse_inventory(inventory)
    files = parsed.files_of_version(version.number)
    wanted = {files[path][1] for path in recall.files if path in files} if recall.files else None
    content = {path for _, path in files.values()} if wanted is None else wanted
    by_part: dict[int, set[str]] = {}
    for path in content:
        if not cache.has(part.object_id, path):
            by_part.setdefault(int(path[1 : path.index("/")]), set()).add(path)
    versions = {v.number: v for v in packages.versions_of(tx, version.package_id)}
    on_disk = _parts_on_disk(tapes, tx, of_package)
    return [
        Need(versions[number], tuple(sorted(paths)), whole=not recall.files)
        for number, paths in sorted(by_part.items())
        if number in versions and number not in on_disk
    ]


def _parts_on_disk(tapes: Tapes, tx: Tx, of_package: Collection[Copy]) -> set[int]:
    online = {volume.name for volume in catalog_volumes.all(tx) if volume.condition in _READABLE}
    return {
        copy.number
        for copy in of_package
        if copy.state is CopyState.GOOD and copy.volume in online and copy.volume in tapes.custodian.volumes
    }


def _inventory_at_hand(
    tapes: Tapes, tx: Tx, cache: RecallCache, version: Version, of_package: Collection[Copy]
) -> bytes | None:
    part = part_of(version)
    cached = cache.inventory(part)
    if cached is not None:
        return cached
    if version.number in _parts_on_disk(tapes, tx, of_package):
        for copy in of_package:
            if copy.version_id == version.id and copy.volume in tapes.custodian.volumes:
                try:
                    return tapes.custodian.volume(copy.volume).inventory(part)
                except VaultError:
                    continue
    return None


def fetch(
    tapes: Tapes,
    library: Library,
    cache: RecallCache,
    barcode: str,
    fetches: list[Fetch],
    alone: Collection[Recall],
    failed: set[tuple[str, int]],
    doing: Doing,
) -> str:
    """Read everything that is wanted from one cartridge, forwards only; return how it went. ``alone`` are single files
    of an adopted one."""
    wanted = [*(item.recall for item in fetches), *alone]
    with tapes.custodian.catalogue.write() as tx:
        for recall in wanted:
            recalls.note(tx, recall.id, RecallState.READING, barcode=barcode, message="")
    done = 0
    try:
        with loaded(tapes, library, barcode) as session, session.open_for_reading() as reader:
            keep_index(tapes, barcode, reader)
            paths = {item.file.path for item in fetches if item.file is not None} | {one.files[0] for one in alone}
            entries = {entry.path: entry for entry in reader.files() if entry.path in paths}
            began = time.monotonic()
            for item in sorted(fetches, key=lambda one: _place(one, entries)):
                entry = entries.get(item.file.path) if item.file is not None else None
                done += _fetch_one(tapes, cache, reader, entry, item, failed, doing)
            for recall in sorted(alone, key=lambda one: _block(entries.get(one.files[0]))):
                done += _fetch_alone(tapes, cache, reader, entries.get(recall.files[0]), recall, failed, doing)
            moved(tapes, library, barcode, session.drive, read=done, seconds=time.monotonic() - began)
            if done:
                holding.proved(tapes, library, session.drive)
    finally:
        with tapes.custodian.catalogue.write() as tx:
            for recall in wanted:
                present = recalls.get(tx, recall.id)
                if present is not None and present.state is RecallState.READING:
                    recalls.note(tx, present.id, RecallState.WAITING, barcode="", message="", done_bytes=done)
    tapes.custodian.wake()
    return f"{done} bytes brought back for {len({recall.id for recall in wanted})} recalls"


def _place(item: Fetch, entries: Mapping[str, FileEntry]) -> int:
    return _block(entries.get(item.file.path) if item.file is not None else None)


def _block(entry: FileEntry | None) -> int:
    return entry.start.block if entry is not None else 0


def _fetch_alone(
    tapes: Tapes,
    cache: RecallCache,
    reader: TapeReader,
    entry: FileEntry | None,
    recall: Recall,
    failed: set[tuple[str, int]],
    doing: Doing,
) -> int:
    try:
        return singles.fetch(tapes, cache, reader, entry, recall, doing)
    except (hw.Corrupted, NotFound, Full) as error:
        failed.add((recall.id, singles.OF_A_CARTRIDGE))
        log.warning("recall-failed", barcode=recall.identifier, file=recall.files[0], reason=str(error))
        with tapes.custodian.catalogue.write() as tx:
            cartridges.failed(tx, recall.identifier)
        return 0


def _fetch_one(
    tapes: Tapes,
    cache: RecallCache,
    reader: TapeReader,
    entry: FileEntry | None,
    item: Fetch,
    failed: set[tuple[str, int]],
    doing: Doing,
) -> int:
    try:
        return _read_into(cache, reader, entry, item, doing)
    except (hw.Corrupted, Corrupted, Invalid, NotFound) as error:
        failed.add((item.recall.id, item.copy.id))
        log.warning("recall-failed", barcode=item.copy.volume, identifier=item.recall.identifier, reason=str(error))
        with tapes.custodian.catalogue.write() as tx:
            now = copies.need(tx, item.copy.id)
            custody_record.doubted(tapes.custodian, tx, item.need.version, now, f"a recall met: {error}"[:500])
        return 0


def _read_into(cache: RecallCache, reader: TapeReader, entry: FileEntry | None, item: Fetch, doing: Doing) -> int:
    """Head first, then the files by their offsets: nothing else of the tar is read."""
    if entry is None:
        raise NotFound(f"{item.copy.volume} has no file for it.")
    version = item.need.version
    part = part_of(version)
    stream = Pieces(reader.read(entry), doing)
    head = part_tar.read_head(stream, version.number, inventory_digest=version.inventory_digest)
    layout = head.layout()
    digests = head.inventory.content_of_version_part(version.number)
    wanted = [path for path in item.need.paths if path in digests]
    if item.need.whole and not wanted:
        wanted = list(digests)
    elif not wanted and item.recall.files:
        files = head.inventory.files_of_version(version.number)
        wanted = [files[path][1] for path in item.recall.files if path in files and files[path][1] in digests]
    total = sum(layout.files[path].length for path in wanted)
    cache.make_room(total + len(head.inventory_bytes))
    cache.put(part.object_id, f"v{version.number}/{INVENTORY_FILE}", [head.inventory_bytes], version.algorithm,
              version.inventory_digest)  # fmt: skip
    for path in sorted(wanted, key=lambda one: layout.files[one].offset):
        span = layout.files[path]
        if not cache.has(part.object_id, path):
            pieces = _watched(reader.read(entry, span.offset, span.length), doing)
            cache.put(part.object_id, path, pieces, version.algorithm, digests[path])
    return total


def _watched(pieces: Iterator[bytes], doing: Doing) -> Iterator[bytes]:
    for piece in pieces:
        if doing.cancelled():
            raise Interrupted("Reading the tape was stopped.")
        doing.progress(len(piece))
        yield piece


def end_recalls(tapes: Tapes, ended: Collection[tuple[Recall, str]]) -> None:
    """Note which recalls are ready (no reason), and which cannot be had."""
    for recall, reason in ended:
        with tapes.custodian.catalogue.write() as tx:
            present = recalls.get(tx, recall.id)
            if present is None or present.state not in (RecallState.WAITING, RecallState.READING):
                continue
            to = RecallState.FAILED if reason else RecallState.READY
            recalls.finish(tx, recall.id, to, reason, recall.total_bytes if not reason else recall.done_bytes)
            alone = recall.version == singles.OF_A_CARTRIDGE
            append(
                tx,
                NewEvent(
                    EventType.RECALL_ENDED,
                    Outcome.FAILURE if reason else Outcome.SUCCESS,
                    tapes.agent,
                    "" if alone else recall.identifier,
                    None if alone else recall.version,
                    recall.identifier if alone else "",
                    detail={"recall": recall.id, "files": len(recall.files), "reason": reason},
                ),
            )
    if ended:
        tapes.custodian.wake()
