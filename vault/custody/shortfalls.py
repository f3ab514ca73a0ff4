"""What versions lack under their policy, and what can be done about it now: copies to make, copies to repair.

Part of the planner; :mod:`vault.custody.replicate` and :mod:`vault.custody.repair` do it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault import policy as policies
from vault.catalog import copies, packages, tasks
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import SOURCE_STATES, Custodian
from vault.custody.room import BATCH, LAST, Rank, Sight, priority, replicate_key
from vault.model import Condition, Copy, CopyState, NewTask, TaskKind, Version, Volume

_BATCHES_A_TICK = 10

_REST_OF_A_FULL_VOLUME = timedelta(minutes=5)
"""So long no copy is planned again where one was given up: a quota shows in no number that a probe sees."""


_STUCK_AFTER = 3
"""After so many attempts to repair a copy on its volume that failed, another volume takes its place."""

_BROKEN = (CopyState.DAMAGED, CopyState.MISSING)
_BEGUN = (CopyState.PLANNED, CopyState.WRITING)


@dataclass(frozen=True, slots=True)
class _Lack:
    """What one version lacks: repairs of its copies, the one task that makes new ones, and where those are to be
    planned."""

    version: Version
    repairs: list[NewTask]
    targets: list[Volume]
    replication: NewTask | None


class Shortfalls:
    """Derives the tasks that bring versions to their policy. It remembers how far it has looked."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._reserve = {volume.name: volume.reserve for volume in custodian.settings.volumes}
        self._after: Version | None = None
        self._repaired_after: dict[int, int] = {}
        self._begun_after = 0

    def of_versions(self, sight: Sight) -> tuple[int, int]:
        """Repairs and copies for versions below their policy; returns how many of each.

        First the most urgent of all. Then it goes on behind the last one that former ticks looked at: a thousand
        versions that cannot be helped just now must not hide the one that can.
        """
        repairs = replications = 0
        after: Version | None = None
        for number in range(1 + _BATCHES_A_TICK):
            with self._custodian.catalogue.read() as tx:
                page = packages.below_policy(tx, BATCH, after)
                if page and not self._is_room_for(sight, page[0]):
                    # Those behind are less urgent: no room for them either. Those here are looked at again.
                    break
                lacking = [lack.version for lack in self._lacks(tx, page, sight)]
            if lacking:
                with self._custodian.catalogue.write(durably=False) as tx:
                    # Looked at once more, where nothing else can change: they may have been helped in between.
                    for lack in self._lacks(tx, lacking, sight):
                        made = self._derive(tx, lack, sight)
                        repairs, replications = repairs + made[0], replications + made[1]
            if len(page) < BATCH:
                self._after = None
                break
            self._after = after = page[-1] if number or self._after is None else self._after
        return repairs, replications

    def _is_room_for(self, sight: Sight, version: Version) -> bool:
        return any(
            sight.room.left(kind, volume.name, priority(rank, version))
            for volume in sight.online()
            for kind, rank in ((TaskKind.REPAIR, Rank.REPAIR), (TaskKind.REPLICATE, Rank.REPLICATE))
        )

    def _derive(self, tx: Tx, lack: _Lack, sight: Sight) -> tuple[int, int]:
        repairs = sum(sight.derive(tx, task) for task in lack.repairs)
        # Those derived before it may have taken the room.
        if lack.replication is None or not sight.derive(tx, lack.replication):
            return repairs, 0
        for target in lack.targets:
            record.planned(tx, lack.version, target.id)
        return repairs, 1

    def _lacks(self, tx: Tx, page: list[Version], sight: Sight) -> list[_Lack]:
        """What could be done for these versions now, and finds room; those for which nothing can be are left out."""
        held = copies.of_packages(tx, {version.package_id for version in page})
        keys = [replicate_key(version.id) for version in page]
        keys += [_repair_key(copy) for mine in held.values() for copy in mine if copy.state in _BROKEN]
        begun = tasks.open_by_keys(tx, keys)
        taken = {task.key for task in begun}
        stuck = {task.key for task in begun if task.kind is TaskKind.REPAIR and task.attempts >= _STUCK_AFTER}
        lacks = [self._lack(tx.now, version, held.get(version.package_id, []), taken, stuck, sight) for version in page]
        return [lack for lack in lacks if lack.repairs or lack.replication]

    def _lack(
        self,
        now: datetime,
        version: Version,
        of_package: list[Copy],
        taken: Collection[str],
        stuck: Collection[str],
        sight: Sight,
    ) -> _Lack:
        of_version = [copy for copy in of_package if copy.version_id == version.id]
        repairs = [
            self._repair(version, copy, volume)
            for copy in of_version
            if copy.state in _BROKEN
            and _repair_key(copy) not in taken
            and (volume := sight.here.get(copy.volume_id)) is not None
            and self._is_repairable(version, copy, of_package, volume, sight)
        ]
        if replicate_key(version.id) in taken or not any(copy.state in SOURCE_STATES for copy in of_version):
            return _Lack(version, repairs, [], None)
        targets, names = self._places(now, version, of_version, of_package, stuck, sight)
        return _Lack(version, repairs, targets, self._replication(version, names) if names else None)

    def _places(
        self,
        now: datetime,
        version: Version,
        of_version: list[Copy],
        of_package: list[Copy],
        stuck: Collection[str],
        sight: Sight,
    ) -> tuple[list[Volume], list[str]]:
        """The volumes on which copies are to be planned, and the names of all on which copies can be made now."""
        earlier = _holders_of_earlier(version, of_package)
        resting = {
            c.volume_id
            for c in of_version
            if c.state is CopyState.RETIRED and c.reason and now - c.changed_at < _REST_OF_A_FULL_VOLUME
        }
        held = of_version
        if any(copy.state is CopyState.GOOD for copy in of_version):
            # A volume on which the repair fails again and again is waited for no longer: what it takes or gives back is
            # wrong, and another has room.
            held = [copy for copy in of_version if _repair_key(copy) not in stuck]
            resting |= {copy.volume_id for copy in of_version if _repair_key(copy) in stuck}
        chosen = policies.choose_targets(
            self._custodian.policy(version.policy),
            policies.holdings(held, sight.all, of_package),
            [v for v in sight.here.values() if v.id not in resting and (earlier is None or v.id in earlier)],
            earlier or (),
            need_bytes=version.part_bytes,
            reserve=self._reserve,
        )
        begun = [
            sight.here[copy.volume_id]
            for copy in of_version
            if copy.state in (CopyState.PLANNED, CopyState.WRITING)
            and copy.volume_id in sight.here
            and sight.here[copy.volume_id].condition is Condition.ONLINE
            and (earlier is None or copy.volume_id in earlier)
        ]
        place = priority(Rank.REPLICATE, version)

        def has_room(volume: Volume) -> bool:
            return sight.room.left(TaskKind.REPLICATE, volume.name, place) > 0

        targets = [volume for volume in chosen if has_room(volume)]
        return targets, sorted({volume.name for volume in [*targets, *begun] if has_room(volume)})

    def of_copies(self, sight: Sight, volume: Volume) -> int:
        """Repairs on a volume, whatever the versions' standing: a copy beyond what the policy asks for counts too."""
        if not sight.room.left(TaskKind.REPAIR, volume.name, LAST):
            return 0
        with self._custodian.catalogue.read() as tx:
            after = self._repaired_after.get(volume.id, 0)
            broken = copies.in_states(tx, _BROKEN, BATCH, volume.id, after)
            taken = tasks.open_keys(tx, [_repair_key(copy) for copy in broken])
            held = copies.of_packages(tx, {copy.package_id for copy in broken})
            known = packages.need_versions(tx, (copy.version_id for copy in broken))
            wanted = []
            for copy in broken:
                version = known[copy.version_id]
                if _repair_key(copy) not in taken and self._is_repairable(
                    version, copy, held[copy.package_id], volume, sight
                ):
                    wanted.append(self._repair(version, copy, volume))
        # As with versions: those that cannot be repaired just now must not hide the one that can.
        self._repaired_after[volume.id] = broken[-1].id if len(broken) == BATCH else 0
        return sight.derive_all(self._custodian, wanted)

    def of_intentions(self, sight: Sight) -> int:
        """Copies that were begun and that the policy holds without: another volume took their place while theirs was
        away. The work that makes copies looks whether they were put in place after all, and else gives them up."""
        with self._custodian.catalogue.read() as tx:
            begun = copies.in_states(tx, _BEGUN, BATCH, after=self._begun_after)
            taken = tasks.open_keys(tx, [replicate_key(copy.version_id) for copy in begun])
            known = packages.need_versions(tx, (copy.version_id for copy in begun))
            wanted = []
            for copy in begun:
                volume = sight.here.get(copy.volume_id)
                version = known[copy.version_id]
                if (
                    volume is not None
                    and volume.condition is Condition.ONLINE
                    and not version.below_policy
                    and replicate_key(version.id) not in taken
                ):
                    wanted.append(self._replication(version, [volume.name]))
        self._begun_after = begun[-1].id if len(begun) == BATCH else 0
        return sight.derive_all(self._custodian, wanted)

    def _is_repairable(
        self, version: Version, copy: Copy, of_package: list[Copy], volume: Volume, sight: Sight
    ) -> bool:
        """Whether the volume can be written, has room for the task, and no earlier version must come first."""
        return (
            volume.condition is Condition.ONLINE
            and sight.room.left(TaskKind.REPAIR, volume.name, priority(Rank.REPAIR, version)) > 0
            and not any(
                c.number < copy.number and c.volume_id == volume.id and c.state is CopyState.MISSING for c in of_package
            )
        )

    def _replication(self, version: Version, names: list[str]) -> NewTask:
        return NewTask(
            key=replicate_key(version.id),
            kind=TaskKind.REPLICATE,
            priority=priority(Rank.REPLICATE, version),
            package_id=version.package_id,
            identifier=version.identifier,
            version=version.number,
            volumes=tuple(names),
            total_bytes=version.part_bytes * (1 + len(names)),
        )

    def _repair(self, version: Version, copy: Copy, volume: Volume) -> NewTask:
        return NewTask(
            key=_repair_key(copy),
            kind=TaskKind.REPAIR,
            priority=priority(Rank.REPAIR, version),
            package_id=version.package_id,
            identifier=version.identifier,
            version=version.number,
            volumes=(volume.name,),
            total_bytes=2 * version.part_bytes,
        )


def _repair_key(copy: Copy) -> str:
    return f"repair:{copy.id}"


def _holders_of_earlier(version: Version, of_package: list[Copy]) -> set[int] | None:
    """The volumes on which every earlier version stands; None for a first version, which may go anywhere.

    An OCFL object has no gaps: v3 can only be put where v1 and v2 are.
    """
    if version.number == 1:
        return None
    standing: dict[int, int] = {}
    for copy in of_package:
        if copy.number < version.number and copy.state in (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT):
            standing[copy.volume_id] = standing.get(copy.volume_id, 0) + 1
    return {volume_id for volume_id, count in standing.items() if count == version.number - 1}
