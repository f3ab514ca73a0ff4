"""Bringing back from tape what somebody asked for: what of it is needed from where, and reading it from a tar.

The pass over the tape in which that is done is :mod:`vault.tapes.one_pass`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.reading import TapeReader
from vault.catalog import cartridges, copies, packages, recalls
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record as custody_record
from vault.custody.context import part_of
from vault.errors import Corrupted, Full, Interrupted, Invalid, NotFound, Unreachable, VaultError
from vault.formats import part_tar
from vault.formats.ocfl import INVENTORY_FILE
from vault.formats.ocfl.reading import parse_inventory
from vault.ledger import append
from vault.model import Condition, Copy, CopyState, EventType, MediumClass, NewEvent, Outcome, RecallState, Version
from vault.tape_model import CartridgeState, Recall, TapeFile, Whereabouts
from vault.tapes import singles
from vault.tapes.cache import RecallCache
from vault.tapes.context import Doing, Tapes
from vault.tapes.making import Pieces, path_on_tape

log = structlog.get_logger(__name__)

_TRUST: Final = (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED)
_UNUSABLE: Final = (CartridgeState.FOREIGN, CartridgeState.RETIRED, CartridgeState.CLEANING)
_AT_ONCE: Final = 100
_READABLE: Final = (Condition.ONLINE, Condition.READ_ONLY)
NO_PLACE: Final = (Full, NotFound, Unreachable)
"""The recall cache cannot take what came back: no room, its folder is gone, or its disk does not answer."""


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
    file: TapeFile


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


class Serving:
    """Everybody who recalls something of one tar, while it is read: what they want goes to the cache as it comes by.

    What is wrong is nobody's error but that of the files it is met at; :meth:`end` says for whom it was.
    """

    def __init__(
        self, tapes: Tapes, cache: RecallCache, fetches: Sequence[Fetch], failed: set[tuple[str, int]]
    ) -> None:
        self._tapes = tapes
        self._cache = cache
        self._fetches = fetches
        self._failed = failed
        self._wrong: dict[str, str] = {}
        self._spoilt = "It could not be read."
        self._stopped: VaultError | None = None
        self._digests: Mapping[str, str] = {}
        self._of: list[frozenset[str]] = []
        self._total = 0
        self.version = fetches[0].need.version
        self.wanted: frozenset[str] = frozenset()
        """The content paths that are to be brought back, once the head is known."""

    def begin(self, head: part_tar.PartHead) -> None:
        """The head was read: what is wanted is known now, and room is made for it."""
        part = part_of(self.version)
        self._digests = head.inventory.content_of_version_part(part.number)
        self._of = [frozenset(_wanted(fetch, head, self._digests)) for fetch in self._fetches]
        self._spoilt = ""
        beside = len(head.inventory_bytes)
        for paths in self._of:
            # What would not fit together comes with the next pass.
            more = self.wanted | paths
            if not self.wanted or beside + sum(head.sizes[path] for path in more) <= self._cache.max_bytes:
                self.wanted = more
        self._total = sum(head.sizes[path] for path in self.wanted)
        try:
            self._cache.make_room(self._total + beside)
            self._cache.put(part.object_id, f"v{part.number}/{INVENTORY_FILE}", [head.inventory_bytes], part.algorithm,
                            part.inventory_digest)  # fmt: skip
        except NO_PLACE as error:
            self._stopped = error

    def take(self, path: str, pieces: Iterator[bytes]) -> None:
        """A file comes by. Raises ``hw.Corrupted`` where the tape cannot be read there, and Interrupted."""
        object_id = part_of(self.version).object_id
        if path not in self.wanted or self._stopped is not None or self._cache.has(object_id, path):
            return
        try:
            self._cache.put(object_id, path, pieces, self.version.algorithm, self._digests[path])
        except NO_PLACE as error:
            self._stopped = error
        except Corrupted as error:
            self._wrong[path] = error.message
        except hw.Corrupted as error:
            self._wrong[path] = error.message
            raise

    def spoilt(self, why: str) -> None:
        """The head cannot be read, so nothing can be had."""
        self._spoilt = why

    def end(self, *, checked: bool) -> int:
        """Note for whom it failed; the bytes that they have now. Of a copy that is not ``checked`` now, what was met
        makes a doubt. Raises what is NO_PLACE."""
        copy = self._fetches[0].copy
        failed = [
            fetch.recall.id
            for number, fetch in enumerate(self._fetches)
            if self._spoilt or not self._wrong.keys().isdisjoint(self._of[number])
        ]
        if failed:
            why = self._spoilt or "; ".join(f"{path}: {wrong}" for path, wrong in self._wrong.items())
            self._failed.update((recall_id, copy.id) for recall_id in failed)
            log.warning("recall-failed", barcode=copy.volume, identifier=self.version.identifier, reason=why[:500])
            if not checked:
                with self._tapes.custodian.catalogue.write() as tx:
                    now, met = copies.need(tx, copy.id), f"a recall met: {why}"[:500]
                    custody_record.doubted(self._tapes.custodian, tx, self.version, now, met)
        if self._stopped is not None:
            raise self._stopped
        return 0 if self._spoilt else self._total


def _wanted(fetch: Fetch, head: part_tar.PartHead, digests: Mapping[str, str]) -> Iterable[str]:
    """The content paths of the part that a recall wants."""
    named = [path for path in fetch.need.paths if path in digests]
    if named or not (fetch.need.whole or fetch.recall.files):
        return named
    if fetch.need.whole:
        return digests
    files = head.inventory.files_of_version(fetch.need.version.number)
    return [files[path][1] for path in fetch.recall.files if path in files and files[path][1] in digests]


def fetch_part(serving: Serving, reader: TapeReader, entry: FileEntry, doing: Doing) -> None:
    """Head first, then the files by their offsets: nothing else of the tar is read."""
    number, digest = serving.version.number, serving.version.inventory_digest
    try:
        head = part_tar.read_head(Pieces(reader.read(entry), doing), number, inventory_digest=digest)
        layout = head.layout()
    except (hw.Corrupted, Invalid, NotFound) as error:
        serving.spoilt(str(error))
        return
    serving.begin(head)
    for path in sorted(serving.wanted, key=lambda one: layout.files[one].offset):
        span = layout.files[path]
        # What is wrong with one file keeps nobody from the next; it is told at the end.
        with contextlib.suppress(hw.Corrupted):
            serving.take(path, _watched(reader.read(entry, span.offset, span.length), doing))


def fetch_alone(
    tapes: Tapes,
    cache: RecallCache,
    reader: TapeReader,
    entry: FileEntry | None,
    recall: Recall,
    failed: set[tuple[str, int]],
    doing: Doing,
) -> int:
    """Read a single file of an adopted cartridge into the cache; its bytes, 0 where that failed."""
    try:
        return singles.fetch(tapes, cache, reader, entry, recall, doing)
    except (hw.Corrupted, NotFound, Full) as error:
        failed.add((recall.id, singles.OF_A_CARTRIDGE))
        log.warning("recall-failed", barcode=recall.identifier, file=recall.files[0], reason=str(error))
        with tapes.custodian.catalogue.write() as tx:
            cartridges.failed(tx, recall.identifier)
        return 0


def _watched(pieces: Iterator[bytes], doing: Doing) -> Iterator[bytes]:
    for piece in pieces:
        if doing.cancelled():
            raise Interrupted("Reading the tape was stopped.")
        doing.progress(len(piece))
        yield piece


def end_recalls(tapes: Tapes, ended: Collection[tuple[Recall, str]]) -> None:
    """Note which recalls are ready (no reason), and which cannot be had."""
    listed = list(ended)
    for first in range(0, len(listed), _AT_ONCE):
        with tapes.custodian.catalogue.write() as tx:
            for recall, reason in listed[first : first + _AT_ONCE]:
                _end_recall(tapes, tx, recall, reason)
    if ended:
        tapes.custodian.wake()


def _end_recall(tapes: Tapes, tx: Tx, recall: Recall, reason: str) -> None:
    present = recalls.get(tx, recall.id)
    if present is None or present.state not in (RecallState.WAITING, RecallState.READING):
        return
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
