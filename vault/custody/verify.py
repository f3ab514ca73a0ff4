"""Proving the copies of one package on one volume, by reading them back from the medium."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from vault.catalog import copies, ingests, packages, verifications
from vault.catalog.engine import Tx
from vault.clock import from_text
from vault.custody import record
from vault.custody.context import STORED_STATES, Custodian, part_of
from vault.custody.differing import located
from vault.custody.earlier import doubt, verify_sample
from vault.custody.journal import Journal
from vault.custody.minutes import Meter, Took, note_unfinished
from vault.custody.pacing import Routine, io_priority
from vault.custody.work import Result, Work, done
from vault.errors import Interrupted, VaultError
from vault.model import Copy, CopyState, EventType, IngestState, Json, Version
from vault.volumes.base import Cancelled, CheckJournal, CheckReport, FindingKind, Verdict

log = structlog.get_logger(__name__)

_BROKEN = (CopyState.DAMAGED, CopyState.MISSING)


def run(work: Work) -> Result:
    """The task's package on the task's volume: every copy that is due, or not checked since an order was given."""
    custodian, task = work.custodian, work.task
    volume_name = task.volumes[0]
    with custodian.catalogue.read() as tx:
        here = [c for c in copies.of_package(tx, task.package_id) if c.volume == volume_name]
        versions = {v.id: v for v in packages.versions_of(tx, task.package_id)}
        ordered_at = verifications.latest_order(tx, volume=volume_name, identifier=task.identifier)
    until = max(tx.now, _until(task.params))
    outcomes = []
    for copy in sorted(here, key=lambda c: c.number):
        why = _why(copy, ordered_at, tx.now, until)
        if why is _Why.NOTHING:
            continue
        with custodian.catalogue.read() as again:
            now = copies.need(again, copy.id)
        if now.checked_at != copy.checked_at:
            continue
        version = versions[copy.version_id]
        if why is _Why.ROUTINE:
            changed = _prove_in_its_hours(work, version, now)
            if changed is None:
                # Not put back: a task that waits for its hours would keep an order from being carried out now.
                return done("the hours in which routine checks may read are over")
        else:
            changed = prove(custodian, version, now, work.progress.add, work.cancelled, since=ordered_at)
        outcomes.append(f"v{copy.number} {changed.state}")
    return done(", ".join(outcomes) or "nothing was due any more")


class _Why(enum.Enum):
    """Why a copy is read: nobody asks for it, the schedule does, or somebody waits for the outcome."""

    NOTHING = enum.auto()
    ROUTINE = enum.auto()
    WAITED_FOR = enum.auto()


def _why(copy: Copy, ordered_at: datetime | None, now: datetime, until: datetime) -> _Why:
    if (
        ordered_at is not None
        and copy.state in STORED_STATES
        and (copy.checked_at is None or copy.checked_at < ordered_at)
    ):
        return _Why.WAITED_FOR
    if copy.due_at is None:
        return _Why.NOTHING
    if copy.state in (CopyState.WRITTEN, CopyState.SUSPECT) and copy.due_at <= now:
        return _Why.WAITED_FOR
    return _Why.ROUTINE if copy.state is CopyState.GOOD and copy.due_at <= until else _Why.NOTHING


def _until(params: Mapping[str, Json]) -> datetime:
    """Up to when checks were taken ahead of their time, by the planner; the distant past where none were."""
    text = params.get("until")
    return from_text(text) if isinstance(text, str) else datetime.min.replace(tzinfo=UTC)


def _prove_in_its_hours(work: Work, version: Version, copy: Copy) -> Copy | None:
    """A routine check: within its hours, under its cap, at its priority. None when the hours are over."""
    custodian = work.custodian
    routine = Routine(custodian.pacing, copy.volume, version.priority_class, work.cancelled)
    if routine.is_over():
        return None
    before, began = work.progress.done, time.monotonic()

    def progress(count: int) -> None:
        work.progress.add(count)
        routine.read(count)

    try:
        with io_priority(custodian.settings.fixity.io_priority):
            return prove(custodian, version, copy, progress, routine.cancelled, routine=True)
    except Interrupted:
        if work.cancelled():
            raise
        return None
    finally:
        seconds = time.monotonic() - began - routine.waited
        custodian.pacing.note_speed(copy.volume, work.progress.done - before, seconds)


def prove(
    custodian: Custodian,
    version: Version,
    copy: Copy,
    progress: Callable[[int], None],
    cancelled: Cancelled,
    *,
    event_type: EventType = EventType.FIXITY_CHECK,
    since: datetime | None = None,
    read: CheckJournal | None = None,
    routine: bool = False,
) -> Copy:
    """Read one copy back and record what was found. Raises Unreachable, Interrupted: then nothing is recorded but how
    far it came, and the next check goes on there, unless that was begun before ``since``.

    ``read`` tells what of this very copy was read and compared a moment ago: that is not read again. ``routine`` says
    that only the schedule asks for it.
    """
    volume = custodian.volume(copy.volume)
    journal = Journal(custodian, version, copy, since)
    meter = Meter(progress)
    try:
        found = volume.check(part_of(version), meter.add, cancelled, read or journal)
        took = meter.took(routine=routine)
        report = located(custodian, version, copy, found, cancelled)
    except VaultError:
        note_unfinished(custodian, copy.volume, meter.took(routine=routine))
        raise
    changed = conclude(custodian, version, copy, report, event_type=event_type, took=took)
    journal.forget()
    return changed


def conclude(
    custodian: Custodian,
    version: Version,
    copy: Copy,
    report: CheckReport,
    *,
    event_type: EventType = EventType.FIXITY_CHECK,
    only_good: bool = False,
    took: Took | None = None,
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
            changed = record.checked(custodian, tx, version, current, report, event_type=event_type, took=took)
            unsteady = [f for f in report.findings if f.kind is FindingKind.INTERMITTENT]
            if unsteady:
                doubt(tx, copy.volume, f"{unsteady[0].path} of {version.identifier} read wrong once and right again.")
    if report.verdict is Verdict.INTACT:
        custodian.on_proved(version)
    if changed.state in _BROKEN and copy.state not in _BROKEN:
        # Damage seldom comes alone.
        verify_sample(custodian, copy.volume, f"{version.identifier} v{version.number} is {changed.state} there")
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
