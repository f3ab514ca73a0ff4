"""Reading copies back from a cartridge: what a session left, what it wrote, what is due or ordered to be checked.

Everything here goes by what the medium says now. A session that was cut off, and one that said it succeeded, are looked
at in the same way: what is not in the cartridge's last index is not there. The pass over the tape in which it is done
is :mod:`vault.tapes.one_pass`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.reading import TapeReader
from vault.catalog import cartridges, copies, packages, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record as custody_record
from vault.custody.context import part_of
from vault.custody.minutes import Took
from vault.formats.part_tar import PartHead
from vault.model import Copy, CopyState, Json, MediumClass, Version, VolumeMode
from vault.tape_model import CartridgeState, TapeFile
from vault.tapes import record
from vault.tapes.context import Doing, Tapes
from vault.tapes.making import Pieces, path_on_tape, read_tar
from vault.volumes.base import CheckReport, Finding, FindingKind, Verdict

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 20_000
"""So many copies are checked in one job; what is left is the next one's."""

_BAD = (CopyState.DAMAGED, CopyState.MISSING)
_UNSETTLED = (CopyState.WRITING, CopyState.WRITTEN)


@dataclass(frozen=True, slots=True)
class Due:
    """A copy that is to be read, and where it should stand."""

    copy: Copy
    version: Version
    file: TapeFile


def to_check(tx: Tx, volume_id: int, barcode: str, limit: int = MOST_AT_ONCE) -> list[Copy]:
    """The copies on a cartridge that are to be settled, proved, or checked (due, or by order)."""
    found = {c.id: c for c in copies.in_states(tx, _UNSETTLED, limit, volume_id)}
    found |= {c.id: c for c in copies.due(tx, volume_id, tx.now, limit)}
    for order in verifications.running(tx):
        if order.volume in ("", barcode):
            package = packages.get(tx, order.identifier) if order.identifier else None
            if order.identifier and package is None:
                continue
            wanted = copies.unchecked(
                tx,
                before=order.requested_at,
                volume_id=volume_id,
                package_id=package.id if package else None,
                limit=limit,
                among=verifications.among(order),
            )
            found |= {c.id: c for c in wanted}
    return list(found.values())[:limit]


def due_on(tapes: Tapes, barcode: str, most_bytes: int | None = None) -> list[Due]:
    """The same with all that is to be known for it, in tape order; no more than ``most_bytes`` of tars, but whatever is
    to be settled."""
    with tapes.custodian.catalogue.read() as tx:
        volume = catalog_volumes.get(tx, barcode)
        if volume is None:
            return []
        wanted = to_check(tx, volume.id, barcode)
        files = cartridges.files(tx, [copy.id for copy in wanted])
        due = [_due(copy, packages.need_version(tx, copy.version_id), files.get(copy.id)) for copy in wanted]
    due.sort(key=lambda item: (item.copy.state not in _UNSETTLED, item.file.start_block))
    if most_bytes is None:
        return due
    ends = itertools.accumulate(max(item.file.length, 0) for item in due)
    return [item for item, end in zip(due, ends, strict=True) if end <= most_bytes or item.copy.state in _UNSETTLED]


def _due(copy: Copy, version: Version, file: TapeFile | None) -> Due:
    """After a rebuild of the catalogue nothing tells where a copy stands but its name."""
    return Due(copy, version, file or TapeFile(copy.id, path_on_tape(version), 0, -1))


def settle(
    tapes: Tapes, barcode: str, due: Collection[Due], entries: Mapping[str, FileEntry]
) -> tuple[list[CopyState], list[Due]]:
    """Conclude what follows from the index alone, whose ``entries`` these are by path: how these copies ended, and
    those that are to be read."""
    outcomes: list[CopyState] = []
    wanted: list[Due] = []
    unknown: list[TapeFile] = []
    for item in due:
        entry = entries.get(item.file.path)
        if item.copy.state is CopyState.WRITING:
            settled = _settle(tapes, item, entry)
            if settled is None:
                outcomes.append(CopyState.RETIRED)
                continue
            item = Due(settled, item.version, item.file)  # noqa: PLW2901 - the same copy, a step further
        if entry is None:
            outcomes.append(conclude(tapes, barcode, item.version, item.copy, CheckReport((), 0, 0, absent=True)))
            continue
        wanted.append(item)
        if item.file.length < 0:
            unknown.append(TapeFile(item.copy.id, entry.path, entry.start.block, entry.length))
    if unknown:
        with tapes.custodian.catalogue.write() as tx:
            for file in unknown:
                cartridges.set_file(tx, file)
    return outcomes, wanted


class Passenger(Protocol):
    """Who takes something of a tar that is being checked."""

    def begin(self, head: PartHead, /) -> None:
        """What stands in it is known."""

    def take(self, path: str, pieces: Iterator[bytes], /) -> None:
        """The bytes of a content path come by. Those that are not read are read all the same."""


def check(
    tapes: Tapes,
    barcode: str,
    reader: TapeReader,
    entry: FileEntry,
    item: Due,
    passenger: Passenger | None,
    doing: Doing,
) -> CopyState:
    """Read a copy back from the tape and enter what came out; the state in which it is then."""
    pieces = reader.read(entry, 0, entry.length)
    report = read_back(reader, entry, pieces, item.version, doing, passenger)
    return conclude(tapes, barcode, item.version, item.copy, report)


def read_back(
    reader: TapeReader,
    entry: FileEntry,
    pieces: Iterator[bytes],
    version: Version,
    doing: Doing,
    passenger: Passenger | None = None,
) -> CheckReport:
    """Compare a version's tar, whose bytes come as ``pieces``. It is read twice before anything is called damaged: it
    may have been the way, and not the tape."""
    report = _read(entry, version, Pieces(pieces, doing), passenger)
    if report.verdict is not Verdict.DAMAGED:
        return report
    again = _read(entry, version, Pieces(reader.read(entry), doing))
    if again.verdict is not Verdict.INTACT:
        return again
    doubts = [Finding(FindingKind.INTERMITTENT, f.path, f.expected, f.found, f.error) for f in report.findings]
    return CheckReport(tuple(doubts), again.files, again.bytes)


def _read(entry: FileEntry, version: Version, pieces: Pieces, passenger: Passenger | None = None) -> CheckReport:
    begin, take = (passenger.begin, passenger.take) if passenger is not None else (None, None)
    try:
        return read_tar(pieces, part_of(version), begin=begin, take=take)
    except hw.Corrupted as error:
        return CheckReport((Finding(FindingKind.UNREADABLE, entry.path, error=error.message[:200]),), 0, 0)


def _settle(tapes: Tapes, item: Due, entry: FileEntry | None) -> Copy | None:
    """A copy whose session ended somehow: enter it as written if the medium has it, give it up if not."""
    custodian = tapes.custodian
    with custodian.catalogue.write() as tx:
        copy = copies.need(tx, item.copy.id)
        if copy.state is not CopyState.WRITING:
            return copy if copy.state is CopyState.WRITTEN else None
        if entry is None or entry.length != item.file.length:
            reason = "What was written did not come to be on the tape."
            custody_record.given_up(custodian, tx, item.version, copy, reason)
            return None
        cartridges.set_file(tx, TapeFile(copy.id, entry.path, entry.start.block, entry.length))
        detail: dict[str, Json] = {"path": entry.path, "block": entry.start.block, "bytes": entry.length}
        return custody_record.written(custodian, tx, item.version, copy, "disk", detail)


def conclude(tapes: Tapes, barcode: str, version: Version, copy: Copy, report: CheckReport) -> CopyState:
    """Enter what reading a copy came to, unless somebody else did in between; the state in which it is then."""
    custodian = tapes.custodian
    with custodian.catalogue.write() as tx:
        current = copies.need(tx, copy.id)
        if (current.state, current.checked_at) != (copy.state, copy.checked_at):
            return current.state
        scheduled = current.state is CopyState.GOOD and current.due_at is not None and current.due_at <= tx.now
        took = Took(report.bytes, 0, routine=scheduled)
        changed = custody_record.checked(custodian, tx, version, current, report, took=took)
        if changed.state is CopyState.GOOD:
            _retire_replaced(tapes, tx, version, changed)
        elif changed.state in _BAD:
            reason = f"{version.identifier} v{version.number}: {changed.reason}"
            cartridge = cartridges.need(tx, barcode)
            if cartridge.state in (CartridgeState.APPENDABLE, CartridgeState.FULL, CartridgeState.READ_ONLY):
                record.state(tx, tapes.agent, barcode, CartridgeState.SUSPECT, reason)
            _retire_if_replaced(tapes, tx, version, changed)
        if changed.state is not CopyState.GOOD:
            cartridges.failed(tx, barcode)
    if changed.state is CopyState.GOOD:
        custodian.on_proved(version)
    return changed.state


def _retire_if_replaced(tapes: Tapes, tx: Tx, version: Version, bad: Copy) -> None:
    """The same where the other one of its set is good already: after a rebuild of the catalogue a copy that was
    replaced long ago is found again on its cartridge."""
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    mine = volumes[bad.volume_id]
    for other in copies.of_version(tx, version.id):
        volume = volumes[other.volume_id]
        stays = volume.mode in (VolumeMode.ACTIVE, VolumeMode.READ_ONLY)
        same_set = volume.medium is MediumClass.TAPE and volume.domain == mine.domain
        if same_set and stays and other.id != bad.id and other.state is CopyState.GOOD:
            custody_record.replaced(tapes.custodian, tx, version, bad, other.volume)
            return


def _retire_replaced(tapes: Tapes, tx: Tx, version: Version, good: Copy) -> None:
    """A damaged tape copy stays on its cartridge as evidence; once a new one of its set is good, it is no longer
    a copy."""
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    mine = volumes[good.volume_id]
    for other in copies.of_version(tx, version.id):
        volume = volumes[other.volume_id]
        same_set = volume.medium is MediumClass.TAPE and volume.domain == mine.domain
        if same_set and other.id != good.id and other.state in _BAD:
            custody_record.replaced(tapes.custodian, tx, version, other, good.volume)


def nothing_to_read(tapes: Tapes, barcode: str, due: Collection[Due], error: hw.HardwareError) -> None:
    """The cartridge is the right one and its index cannot be read: each of its copies is in doubt."""
    finding = Finding(FindingKind.UNREADABLE, "the index of the cartridge", error=error.message[:200])
    report = CheckReport((finding,), 0, 0)
    for item in due:
        if item.copy.state is not CopyState.WRITING:
            conclude(tapes, barcode, item.version, item.copy, report)
