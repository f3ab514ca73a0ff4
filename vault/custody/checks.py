"""Which copies are to be read back: those just written, those due, those that somebody ordered to be checked.

Part of the planner; :mod:`vault.custody.verify` does it.
"""

from __future__ import annotations

from vault.catalog import copies, packages, tasks, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.custody.room import BATCH, LAST, READABLE, Rank, Sight, priority
from vault.ledger import append
from vault.model import (
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


class Checks:
    """Derives the tasks that read copies back."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian

    def due(self, sight: Sight, volume: Volume) -> int:
        """Proofs of what was just written, and checks that are due.

        What was just written is proved before anything that is due again, however much of that there is: a depositor
        waits for it. Copying and repairing prove what they wrote themselves.
        """
        with self._custodian.catalogue.read() as tx:
            busy = {(t.identifier, t.version) for t in tasks.listing(tx, (TaskState.RUNNING,), limit=BATCH)
                    if t.kind is not TaskKind.VERIFY and volume.name in t.volumes}  # fmt: skip
            wanted = []
            for copy in copies.unproved(tx, volume.id, BATCH):
                version = packages.need_version(tx, copy.version_id)
                if (version.identifier, version.number) not in busy:
                    wanted.append(_check(version, copy, volume, Rank.PROVE))
            free = self._checks_wanted(sight, volume)
            if free:
                wanted += [
                    _check(packages.need_version(tx, copy.version_id), copy, volume, Rank.SCHEDULED)
                    for copy in copies.due(tx, volume.id, tx.now, free, not_taken_up=True)
                    if copy.state is not CopyState.WRITTEN
                ]
        return sight.derive_all(self._custodian, wanted)

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
                copies.unchecked(tx, before=order.requested_at, volume_id=volume_id, package_id=number, limit=1)
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
            )

        if not unchecked(1, not_taken_up=False):
            return False, []
        free = self._checks_wanted(sight, volume)
        if volume.condition not in READABLE or not free:
            return True, []
        return True, [
            _check(packages.need_version(tx, copy.version_id), copy, volume, Rank.ORDERED)
            for copy in unchecked(free, not_taken_up=True)
        ]

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
        )
        counted = verifications.get(tx, order.id) or order
        repaired = max(0, min(concluded, order.total) - counted.checked)
        skipped = max(0, order.total - counted.checked - repaired - counted.skipped)
        verifications.count(tx, order.id, checked=repaired, good=repaired, skipped=skipped)


def _check(version: Version, copy: Copy, volume: Volume, rank: Rank) -> NewTask:
    """The task that reads a package's copies on a volume back."""
    return NewTask(
        key=copies.check_key(copy.package_id, volume.name),
        kind=TaskKind.VERIFY,
        priority=priority(rank, version),
        package_id=copy.package_id,
        identifier=version.identifier,
        version=None,
        volumes=(volume.name,),
        total_bytes=version.part_bytes,
    )
