"""Proving the copies of one package on one volume, by reading them back from the medium."""

from __future__ import annotations

import structlog

from vault.catalog import copies, ingests, packages, verifications
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import STORED_STATES, Custodian, part_of
from vault.custody.work import Progress, Result, Work, done
from vault.model import Copy, CopyState, EventType, IngestState, Version
from vault.volumes.base import Cancelled, CheckReport, Verdict

log = structlog.get_logger(__name__)

_CHECKED_WHEN_ORDERED = STORED_STATES


def run(work: Work) -> Result:
    """The task's package on the task's volume: every copy that is due, or not checked since an order was given."""
    custodian, task = work.custodian, work.task
    volume_name = task.volumes[0]
    with custodian.catalogue.read() as tx:
        here = [c for c in copies.of_package(tx, task.package_id) if c.volume == volume_name]
        versions = {v.id: v for v in packages.versions_of(tx, task.package_id)}
        ordered_at = verifications.latest_order(tx, volume=volume_name, identifier=task.identifier)
    wanted = [
        copy
        for copy in here
        if (
            copy.state in (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT)
            and copy.due_at
            and copy.due_at <= tx.now
        )
        or (
            ordered_at is not None
            and copy.state in _CHECKED_WHEN_ORDERED
            and (copy.checked_at is None or copy.checked_at < ordered_at)
        )
    ]
    if not wanted:
        return done("nothing was due any more")
    outcomes = []
    for copy in sorted(wanted, key=lambda c: c.number):
        with custodian.catalogue.read() as tx:
            now = copies.need(tx, copy.id)
        if now.checked_at != copy.checked_at:
            continue
        changed = prove(custodian, versions[copy.version_id], now, work.progress, work.cancelled)
        outcomes.append(f"v{copy.number} {changed.state}")
    return done(", ".join(outcomes))


def prove(
    custodian: Custodian,
    version: Version,
    copy: Copy,
    progress: Progress,
    cancelled: Cancelled,
    *,
    event_type: EventType = EventType.FIXITY_CHECK,
) -> Copy:
    """Read one copy back and record what was found. Raises Unreachable, Interrupted: then nothing is recorded."""
    volume = custodian.volume(copy.volume)
    report = volume.check(part_of(version), progress.add, cancelled)
    return conclude(custodian, version, copy, report, event_type=event_type)


def conclude(
    custodian: Custodian,
    version: Version,
    copy: Copy,
    report: CheckReport,
    *,
    event_type: EventType = EventType.FIXITY_CHECK,
    only_good: bool = False,
) -> Copy:
    """Add the object's root to the report, if it is this version's to answer for, and record the outcome.

    With ``only_good`` nothing is recorded when something is wrong, which was recorded when it was found. The root is
    compared with the catalogue under the package's lock, for a new version changes both.
    """
    with custodian.locks.hold(version.identifier):
        with custodian.catalogue.read() as tx:
            of_package = copies.of_package(tx, version.package_id)
            unsettled = _unsettled(tx, version.identifier, of_package, copy)
        newest = newest_here(of_package, copy)
        if newest == version.number and not report.absent and not unsettled and not ahead(custodian, version, copy):
            report = report.joined(custodian.volume(copy.volume).check_root(part_of(version)))
        if only_good and report.verdict is not Verdict.INTACT:
            return copy
        with custodian.catalogue.write() as tx:
            current = copies.need(tx, copy.id)
            if (current.state, current.checked_at, current.written_at) != (
                copy.state,
                copy.checked_at,
                copy.written_at,
            ):
                # It was repaired, doubted or checked by other work while this one read it: what was read here may be
                # of bytes that are gone. Where a check is still due, it is derived again.
                return current
            changed = record.checked(custodian, tx, version, current, report, event_type=event_type)
    if report.verdict is Verdict.INTACT:
        custodian.on_proved(version)
    if changed.state is not CopyState.GOOD or copy.state not in (CopyState.GOOD, CopyState.WRITTEN):
        # A copy that is as good as it was supposed to be gives nobody anything to do.
        custodian.wake()
    return changed


def ahead(custodian: Custodian, version: Version, copy: Copy) -> bool:
    """Whether the object on the copy's volume has versions that the catalogue does not know.

    So it is after an older catalogue was restored. Those versions were acknowledged once: they are no strangers, and
    nothing of them may be taken away for being unknown.
    """
    standing = custodian.volume(copy.volume).standing_head(part_of(version).object_id)
    if standing <= version.number:
        return False
    log.error(
        "object-newer-than-catalogue", volume=copy.volume, identifier=version.identifier,
        known=version.number, standing=standing,
    )  # fmt: skip
    return True


def _unsettled(tx: Tx, identifier: str, of_package: list[Copy], beside: Copy) -> bool:
    """Whether a version may stand on that volume that the catalogue does not know to be there.

    A kill, or a catalogue that did not answer, came between a rename and its record. Until that is settled the root
    says nothing: what looks like damage is the newer version's.
    """
    if any(c.volume_id == beside.volume_id and c.state is CopyState.WRITING for c in of_package):
        return True
    return any(
        ingest.identifier == identifier and ingest.volume == beside.volume and ingest.state is IngestState.PREPARED
        for ingest in ingests.unfinished(tx)
    )


def newest_here(all_copies: list[Copy], beside: Copy) -> int:
    """The number of the newest version that was ever put in place on the volume of ``beside``."""
    return max(
        (c.number for c in all_copies if c.volume_id == beside.volume_id and c.state in STORED_STATES), default=0
    )
