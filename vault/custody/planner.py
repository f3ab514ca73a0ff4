"""Policy says what should be, the catalogue says what is: this derives the work between them.

A tick changes nothing but tasks and planned copies. Deriving the same work twice makes it once (the task's key), so a
tick may be cut anywhere and run again at any time, and a lost task is only one that the next tick derives again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from vault import policy as policies
from vault.catalog import copies, packages, tasks, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import SOURCE_STATES, STORED_STATES, Custodian
from vault.ledger import append
from vault.model import (
    Condition,
    Copy,
    CopyState,
    EventType,
    NewEvent,
    NewTask,
    Outcome,
    TaskKind,
    TaskState,
    Verification,
    Version,
    Volume,
)

BATCH = 500
"""So many versions or copies are looked at in one transaction: writers of deposits must not wait for a tick."""

READABLE = (Condition.ONLINE, Condition.READ_ONLY)

_REPAIR, _REPLICATE, _PROVE, _ORDERED, _SCHEDULED = 1, 2, 3, 4, 5
"""What comes first among works of one priority: what is damaged, then what is missing, then what is unproved."""

_BATCHES_A_TICK = 4

_REST_OF_A_FULL_VOLUME = timedelta(minutes=5)
"""So long no copy is planned again where one was given up: a quota shows in no number that a probe sees."""

_KEEP_ENDED_TASKS = timedelta(days=7)


def _priority(rank: int, version_priority: int) -> int:
    return rank * 10_000 + max(0, min(version_priority, 9_999))


@dataclass(frozen=True, slots=True)
class Tick:
    """How many tasks one tick derived, by kind. ``more``: it stopped before it had judged every version anew."""

    repairs: int
    replications: int
    proofs: int
    more: bool = False


class Planner:
    """Derives tasks. Only one may run at a time in a node; the dispatcher's thread runs it."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._after: Version | None = None
        self._repaired_after: dict[int, int] = {}
        self._stood = ""

    def tick(self) -> Tick:
        """Look at everything once, in bounded steps."""
        custodian = self._custodian
        with custodian.catalogue.write() as tx:
            tasks.release_expired(tx)
            tasks.purge(tx, tx.now - _KEEP_ENDED_TASKS)
        more = self._restand()
        with custodian.catalogue.read() as tx:
            volumes = {v.id: v for v in catalog_volumes.all(tx) if v.name in custodian.volumes}
        self._release_from_offline(volumes)
        repairs = self._repairs(volumes)
        replications = self._replications(volumes)
        proofs = sum(self._due(volume) for volume in volumes.values() if volume.condition in READABLE)
        proofs += self._ordered(volumes)
        return Tick(repairs, replications, proofs, more)

    def _release_from_offline(self, volumes: dict[int, Volume]) -> None:
        """A copy to two volumes must not wait for the one that is away: it is derived again for the other alone."""
        away = [volume.name for volume in volumes.values() if volume.condition is not Condition.ONLINE]
        if away:
            with self._custodian.catalogue.write() as tx:
                for name in away:
                    tasks.cancel_ready(tx, name, TaskKind.REPLICATE, f"{name} cannot be written just now")

    def _restand(self) -> bool:
        """After a change of policies or of what volumes are for, judge every version anew, a batch at a time.

        Returns whether some are left for the next tick.
        """
        custodian = self._custodian
        with custodian.catalogue.read() as tx:
            wording = custodian.wording(tx)
        if self._stood == wording:
            return False
        for _ in range(_BATCHES_A_TICK):
            with custodian.catalogue.write() as tx:
                wording = custodian.wording(tx)
                stale = packages.versions_with_other_policy(tx, wording, BATCH)
                for version in stale:
                    package = packages.get(tx, version.identifier)
                    assert package is not None, "a version has a package: the schema says so"  # noqa: S101
                    policy = custodian.settings.policy_for(package.descriptive)
                    copies_now = custodian.holdings(tx, copies.of_version(tx, version.id))
                    standing = policies.standing(policy, copies_now)
                    packages.set_standing(
                        tx,
                        version.id,
                        below_policy=not standing.satisfied or bool(standing.leaving),
                        policy=policy.name,
                        priority=policy.priority,
                        policy_fingerprint=wording,
                    )
                    if policy.name != version.policy:
                        append(
                            tx,
                            NewEvent(
                                EventType.POLICY_CHANGED,
                                Outcome.SUCCESS,
                                custodian.agent,
                                version.identifier,
                                version.number,
                                "",
                                {"was": version.policy, "is": policy.name},
                            ),
                        )
            if len(stale) < BATCH:
                self._stood = wording
                return False
        return True

    def _repairs(self, volumes: dict[int, Volume]) -> int:
        made = 0
        for volume in volumes.values():
            if volume.condition is not Condition.ONLINE:
                continue
            with self._custodian.catalogue.write() as tx:
                after = self._repaired_after.get(volume.id, 0)
                broken = copies.in_states(tx, (CopyState.DAMAGED, CopyState.MISSING), BATCH, volume.id, after)
                # As with replications: those that cannot be repaired just now must not hide the one that can.
                self._repaired_after[volume.id] = broken[-1].id if len(broken) == BATCH else 0
                for copy in broken:
                    version = packages.need_version(tx, copy.version_id)
                    if not self._earlier_stand(tx, version, volume):
                        continue
                    made += tasks.derive(
                        tx,
                        NewTask(
                            key=f"repair:{copy.id}",
                            kind=TaskKind.REPAIR,
                            priority=_priority(_REPAIR, version.priority),
                            package_id=version.package_id,
                            identifier=version.identifier,
                            version=version.number,
                            volumes=(volume.name,),
                            total_bytes=2 * version.part_bytes,
                        ),
                    )
        return made

    def _replications(self, volumes: dict[int, Volume]) -> int:
        made = 0
        with self._custodian.catalogue.write() as tx:
            below = packages.below_policy(tx, BATCH, after=self._after)
            for version in below:
                made += self._replicate(tx, version, volumes)
        # The next tick goes on behind the last one looked at: a thousand versions that cannot be helped just now must
        # not hide the one that can.
        self._after = below[-1] if len(below) == BATCH else None
        return made

    def _replicate(self, tx: Tx, version: Version, volumes: dict[int, Volume]) -> bool:
        custodian = self._custodian
        of_version = copies.of_version(tx, version.id)
        policy = custodian.policy(version.policy)
        earlier = self._holders_of_earlier(tx, version)
        resting = {
            c.volume_id
            for c in of_version
            if c.state is CopyState.RETIRED and c.reason and tx.now - c.changed_at < _REST_OF_A_FULL_VOLUME
        }
        targets = policies.choose_targets(
            policy,
            custodian.holdings(tx, of_version),
            [v for v in volumes.values() if v.id not in resting and (earlier is None or v.id in earlier)],
            earlier or (),
            need_bytes=version.part_bytes,
            reserve={v.name: custodian.settings.volume(v.name).reserve for v in volumes.values()},
        )
        for target in targets:
            record.planned(tx, version, target.id)
        names = sorted(
            {target.name for target in targets}
            | {
                copy.volume
                for copy in of_version
                if copy.state in (CopyState.PLANNED, CopyState.WRITING)
                and copy.volume_id in volumes
                and volumes[copy.volume_id].condition is Condition.ONLINE
                and (earlier is None or copy.volume_id in earlier)
            }
        )
        if not names or not any(copy.state in SOURCE_STATES for copy in of_version):
            return False
        return tasks.derive(
            tx,
            NewTask(
                key=f"replicate:{version.id}",
                kind=TaskKind.REPLICATE,
                priority=_priority(_REPLICATE, version.priority),
                package_id=version.package_id,
                identifier=version.identifier,
                version=version.number,
                volumes=tuple(names),
                total_bytes=version.part_bytes * (1 + len(names)),
            ),
        )

    def _holders_of_earlier(self, tx: Tx, version: Version) -> set[int] | None:
        """The volumes on which every earlier version stands; None for a first version, which may go anywhere.

        An OCFL object has no gaps: v3 can only be put where v1 and v2 are.
        """
        if version.number == 1:
            return None
        standing: dict[int, int] = {}
        for copy in copies.of_package(tx, version.package_id):
            if copy.number < version.number and copy.state in (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT):
                standing[copy.volume_id] = standing.get(copy.volume_id, 0) + 1
        return {volume_id for volume_id, count in standing.items() if count == version.number - 1}

    def _earlier_stand(self, tx: Tx, version: Version, volume: Volume) -> bool:
        """Whether this version can be repaired there now, or an earlier one that is missing must come first."""
        return not any(
            copy.number < version.number and copy.volume_id == volume.id and copy.state is CopyState.MISSING
            for copy in copies.of_package(tx, version.package_id)
        )

    def _due(self, volume: Volume) -> int:
        made = 0
        with self._custodian.catalogue.write() as tx:
            # What was just written is proved before anything that is due again, however much of that there is: a
            # depositor waits for it. Copying and repairing prove what they wrote themselves.
            busy = {(t.identifier, t.version) for t in tasks.listing(tx, (TaskState.RUNNING,), limit=BATCH)
                    if t.kind is not TaskKind.VERIFY and volume.name in t.volumes}  # fmt: skip
            for copy in copies.in_states(tx, (CopyState.WRITTEN,), BATCH, volume.id):
                version = packages.need_version(tx, copy.version_id)
                if (version.identifier, version.number) not in busy:
                    made += self._verify(tx, copy, volume, _PROVE)
            free = self._wanted_on(tx, volume)
            if free > 0:
                for copy in copies.due(tx, volume.id, tx.now, free):
                    if copy.state is not CopyState.WRITTEN:
                        made += self._verify(tx, copy, volume, _SCHEDULED)
        return made

    def _ordered(self, volumes: dict[int, Volume]) -> int:
        """Work of the ordered verifications; one that has nothing left to check is ended here."""
        made = 0
        with self._custodian.catalogue.read() as tx:
            orders = verifications.running(tx)
        for order in orders:
            open_somewhere = False
            for volume in volumes.values():
                if order.volume in ("", volume.name):
                    with self._custodian.catalogue.write() as tx:
                        left, derived = self._ordered_on(tx, order, volume)
                    made += derived
                    open_somewhere = open_somewhere or left
            if not open_somewhere:
                self._end_order(order)
        return made

    def _ordered_on(self, tx: Tx, order: Verification, volume: Volume) -> tuple[bool, int]:
        package = packages.get(tx, order.identifier) if order.identifier else None
        left = copies.unchecked(
            tx,
            before=order.requested_at,
            volume_id=volume.id,
            package_id=package.id if package else None,
            limit=max(1, self._wanted_on(tx, volume)),
        )
        if volume.condition not in READABLE:
            return bool(left), 0
        return bool(left), sum(self._verify(tx, copy, volume, _ORDERED) for copy in left)

    def _end_order(self, order: Verification) -> None:
        with self._custodian.catalogue.write() as tx:
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
                    {"verification": order.id, "checked": ended.checked, "good": ended.good, "bad": ended.bad},
                ),
            )

    def _wanted_on(self, tx: Tx, volume: Volume) -> int:
        """How many more verifications to derive for a volume: enough to keep its lanes busy until the next tick."""
        lanes = self._custodian.settings.volume(volume.name).lanes
        return max(0, 16 * lanes - tasks.open_on(tx, volume.name, TaskKind.VERIFY))

    def _verify(self, tx: Tx, copy: Copy, volume: Volume, rank: int) -> bool:
        version = packages.need_version(tx, copy.version_id)
        if copy.state not in STORED_STATES:
            return False
        return tasks.derive(
            tx,
            NewTask(
                key=f"verify:{copy.package_id}@{volume.name}",
                kind=TaskKind.VERIFY,
                priority=_priority(rank, version.priority),
                package_id=copy.package_id,
                identifier=version.identifier,
                version=None,
                volumes=(volume.name,),
                total_bytes=version.part_bytes,
            ),
        )


def backoff(attempts: int, least: timedelta, most: timedelta) -> timedelta:
    """The wait before the next attempt: doubled with each one, within bounds."""
    return min(most, least * math.pow(2, min(max(attempts - 1, 0), 30)))
