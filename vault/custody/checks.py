"""Which copies are to be read back: those just written, those due, those that somebody ordered to be checked.

Part of the planner; :mod:`vault.custody.verify` does it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from vault.catalog import copies, packages, tasks, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.custody.context import Custodian
from vault.custody.orders import scope_of
from vault.custody.room import BATCH, LAST, Rank, Sight, priority, replicate_key
from vault.ledger import append
from vault.model import (
    READABLE,
    Copy,
    CopyState,
    EventType,
    MediumClass,
    NewEvent,
    NewTask,
    Outcome,
    TaskKind,
    TaskState,
    Verification,
    Version,
    Volume,
)
from vault.windows import Pace

_DAY = timedelta(days=1)
_MARGIN = 1.1
"""The share of a day is a little more than even, so that the interval is met although some days are lost."""

_EARLIEST = 0.75
"""No copy is checked anew before a quarter of its interval has passed."""

_LOOK_AT_SHARES_EVERY = timedelta(minutes=1)


class Checks:
    """Derives the tasks that read copies back."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._shares: dict[int, tuple[datetime, int]] = {}
        """By volume: when it was looked how many are still to be checked ahead today, and how many that are."""

    def due(self, sight: Sight, volume: Volume) -> int:
        """Proofs of what was just written, and checks that are due.

        What was just written is proved before anything that is due again, however much of that there is: a depositor
        waits for it. Copying and repairing prove what they wrote themselves, and copying what it reads from as well.
        """
        with self._custodian.catalogue.read() as tx:
            busy = {(t.identifier, t.version) for t in tasks.listing(tx, (TaskState.RUNNING,), limit=BATCH)
                    if t.kind is not TaskKind.VERIFY and volume.name in t.volumes}  # fmt: skip
            written = copies.unproved(tx, volume.id, BATCH)
            known = packages.need_versions(tx, (copy.version_id for copy in written))
            unproved = [(copy, known[copy.version_id]) for copy in written]
            copied = self._copied_soon(tx, [version for _, version in unproved])
            wanted = [
                _check(version, copy, volume, Rank.PROVE)
                for copy, version in unproved
                if (version.identifier, version.number) not in busy and version.id not in copied
            ]
            wanted += self._scheduled(tx, sight, volume)
        return sight.derive_all(self._custodian, wanted)

    def _copied_soon(self, tx: Tx, versions: list[Version]) -> set[int]:
        """Those of the versions that are being copied, or about to be, at the first attempt: the one reading of the
        source proves it too. Not those whose depositor gets a receipt for this one copy."""
        keys = {
            replicate_key(version.id): version.id
            for version in versions
            if self._custodian.policy(version.policy).receipt_after > 1
        }
        return {
            keys[task.key]
            for task in tasks.open_by_keys(tx, keys)
            if task.attempts == 0 or (task.attempts == 1 and task.state is TaskState.RUNNING)
        }

    def _scheduled(self, tx: Tx, sight: Sight, volume: Volume) -> list[NewTask]:
        """Checks that nobody waits for: doubts whose time has come, at any hour; of good copies only in their hours,
        what is due and then, at an even pace, what comes next."""
        free = self._checks_wanted(sight, volume)
        pace = self._custodian.pacing.now(volume.name, volume.medium)
        found = {copy.id: (copy, tx.now) for copy in copies.doubtful(tx, volume.id, tx.now, free)}
        if not pace.open:
            return self._tasks(tx, found.values(), volume)
        found |= {copy.id: (copy, tx.now) for copy in self._good_due(tx, volume, tx.now, free - len(found), pace)}
        ahead = min(free - len(found), self._ahead(tx, volume))
        until = tx.now + _EARLIEST * self._shortest(volume)
        for copy in self._good_due(tx, volume, until, ahead, pace):
            if copy.id not in found:
                found[copy.id] = (copy, until)
                looked_at, left = self._shares[volume.id]
                self._shares[volume.id] = (looked_at, left - 1)
        return self._tasks(tx, found.values(), volume)

    def _good_due(self, tx: Tx, volume: Volume, before: datetime, limit: int, pace: Pace) -> list[Copy]:
        if limit <= 0:
            return []
        due = copies.due(tx, volume.id, before, limit, not_taken_up=True, classes=pace.classes)
        return [copy for copy in due if copy.state is CopyState.GOOD]

    def _tasks(self, tx: Tx, chosen: Iterable[tuple[Copy, datetime]], volume: Volume) -> list[NewTask]:
        several = list(chosen)
        known = packages.need_versions(tx, (copy.version_id for copy, _ in several))
        return [_check(known[copy.version_id], copy, volume, Rank.SCHEDULED, until) for copy, until in several]

    def _ahead(self, tx: Tx, volume: Volume) -> int:
        """How many copies should be checked before they are due, so that each day has its even share of them.

        Without this, what came in on one day would all be due on one day, for ever.
        """
        if not self._custodian.settings.fixity.ahead:
            return 0
        looked_at, left = self._shares.get(volume.id, (None, 0))
        if looked_at is not None and tx.now - looked_at < _LOOK_AT_SHARES_EVERY:
            return left
        counts = copies.counts(tx)
        held = sum(counts.get((volume.name, state), 0) for state in (CopyState.GOOD, CopyState.SUSPECT))
        share = math.ceil(_MARGIN * held * (_DAY / self._shortest(volume)))
        left = max(0, share - copies.proved_since(tx, volume.id, tx.now - _DAY))
        self._shares[volume.id] = (tx.now, left)
        return left

    def _shortest(self, volume: Volume) -> timedelta:
        """The shortest interval that any policy has for copies on such a medium."""
        return min(policy.fixity.interval(volume.medium) for policy in self._custodian.settings.policies)

    def _checks_wanted(self, sight: Sight, volume: Volume) -> int:
        """How many more checks that nobody waits for the volume may be given."""
        return min(BATCH, sight.room.left(TaskKind.VERIFY, volume.name, LAST))

    def ordered(self, sight: Sight) -> int:
        """Work of the ordered verifications; one that has nothing left to check is ended here."""
        made = 0
        with self._custodian.catalogue.read() as tx:
            orders = verifications.running(tx)
        for order in orders:
            open_somewhere = False
            for volume in sight.here.values():
                if order.volume in ("", volume.name):
                    with self._custodian.catalogue.read() as tx:
                        left, wanted = self._ordered_on(tx, order, volume, sight)
                    made += sight.derive_all(self._custodian, wanted)
                    open_somewhere = open_somewhere or left
            if not open_somewhere and not self._left_on_tape(sight, order):
                self._end_order(order)
        return made

    def _left_on_tape(self, sight: Sight, order: Verification) -> bool:
        """Whether an order still has copies on tapes, which :mod:`vault.tapes` checks."""
        concerned = [v.id for v in sight.all.values() if v.medium is MediumClass.TAPE and order.volume in ("", v.name)]
        with self._custodian.catalogue.read() as tx:
            package = packages.get(tx, order.identifier) if order.identifier else None
            number = package.id if package else None
            return any(
                copies.unchecked(
                    tx,
                    before=order.requested_at,
                    volume_id=volume_id,
                    package_id=number,
                    limit=1,
                    among=verifications.among(order),
                )
                for volume_id in concerned
            )

    def _ordered_on(self, tx: Tx, order: Verification, volume: Volume, sight: Sight) -> tuple[bool, list[NewTask]]:
        """Whether an order has anything left on a volume, and what to derive of it now."""
        package = packages.get(tx, order.identifier) if order.identifier else None

        def unchecked(limit: int, *, not_taken_up: bool) -> list[Copy]:
            return copies.unchecked(
                tx,
                before=order.requested_at,
                volume_id=volume.id,
                package_id=package.id if package else None,
                limit=limit,
                not_taken_up=not_taken_up,
                among=verifications.among(order),
            )

        if not unchecked(1, not_taken_up=False):
            return False, []
        free = self._checks_wanted(sight, volume)
        if volume.condition not in READABLE or not free:
            return True, []
        wanted = unchecked(free, not_taken_up=True)
        known = packages.need_versions(tx, (copy.version_id for copy in wanted))
        return True, [_check(known[copy.version_id], copy, volume, Rank.ORDERED) for copy in wanted]

    def _end_order(self, order: Verification) -> None:
        with self._custodian.catalogue.write() as tx:
            self._count_otherwise(tx, order)
            ended = verifications.finish(tx, order.id)
            append(
                tx,
                NewEvent(
                    EventType.VERIFICATION_ENDED,
                    Outcome.SUCCESS if ended.bad == 0 else Outcome.FAILURE,
                    self._custodian.agent,
                    order.identifier,
                    None,
                    order.volume,
                    {
                        **scope_of(order),
                        "verification": order.id,
                        "checked": ended.checked,
                        "good": ended.good,
                        "bad": ended.bad,
                        "skipped": ended.skipped,
                    },
                ),
            )

    def _count_otherwise(self, tx: Tx, order: Verification) -> None:
        """Account for the copies that no check of this order met: those damaged before it and repaired since, which a
        repair ends by proving, and those that are no longer to be checked, as their volume was emptied."""
        volume = catalog_volumes.get(tx, order.volume) if order.volume else None
        package = packages.get(tx, order.identifier) if order.identifier else None
        concluded = copies.concluded(
            tx,
            since=order.requested_at,
            volume_id=volume.id if volume else None,
            package_id=package.id if package else None,
            among=verifications.among(order),
        )
        counted = verifications.get(tx, order.id) or order
        repaired = max(0, min(concluded, order.total) - counted.checked)
        skipped = max(0, order.total - counted.checked - repaired - counted.skipped)
        verifications.count(tx, order.id, checked=repaired, good=repaired, skipped=skipped)


def _check(version: Version, copy: Copy, volume: Volume, rank: Rank, until: datetime | None = None) -> NewTask:
    """The task that reads a package's copies on a volume back; those too that are due by ``until``."""
    return NewTask(
        key=copies.check_key(copy.package_id, volume.name),
        kind=TaskKind.VERIFY,
        priority=priority(rank, version),
        package_id=copy.package_id,
        identifier=version.identifier,
        version=None,
        volumes=(volume.name,),
        total_bytes=version.part_bytes,
        params={} if until is None else {"until": to_text(until)},
    )
