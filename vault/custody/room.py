"""What the planner sees in one tick, in which order work comes, and how much of it a volume may be given.

Enough to keep its lanes busy, and no queue that hides what is urgent.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from vault.catalog import packages, tasks
from vault.catalog.engine import Tx
from vault.catalog.tasks import Backlog
from vault.custody.context import Custodian
from vault.model import READABLE, Condition, NewTask, TaskKind, Version, Volume

BATCH = 50
"""So many versions or copies are looked at in one transaction: writers of deposits must not wait for a tick."""


class Rank(enum.IntEnum):
    """What comes first among works of one urgency: what is damaged, then what is missing, then what is unproved.

    Checks of copies that were good (ORDERED, SCHEDULED) come after all that a policy lacks.
    """

    REPAIR = 1
    REPLICATE = 2
    PROVE = 3
    ORDERED = 4
    SCHEDULED = 5


_RANK_STEP = packages.URGENCY_STEP
_URGENCY_STEP = 10 * _RANK_STEP
_NO_URGENCY = 99

LAST = (_NO_URGENCY + 1) * _URGENCY_STEP
"""No task's priority is higher."""


def priority(rank: Rank, version: Version) -> int:
    """The task's place: by urgency, then by kind of work, then by the policy's priority (``packages.set_standing``)."""
    urgency, said = divmod(version.priority, packages.URGENCY_STEP)
    if rank in (Rank.ORDERED, Rank.SCHEDULED):
        urgency = _NO_URGENCY
    return urgency * _URGENCY_STEP + rank * _RANK_STEP + said


def replicate_key(version_id: int) -> str:
    """The key of the one task that makes a version's missing copies."""
    return f"replicate:{version_id}"


PER_LANE: Mapping[TaskKind, int] = {TaskKind.VERIFY: 16, TaskKind.REPLICATE: 32, TaskKind.REPAIR: 32}
"""So many open tasks of a kind for each lane last until the planner comes round again."""

MOST_WAITING = 10_000
"""So many tasks of a kind and volume may wait for another attempt. They take no place of others before that, for what
cannot be done just now must not keep back what can."""


class Room:
    """Counts the open tasks of each volume, beginning with those that there are.

    A task finds room where fewer than the bound are open that are as urgent as it or more: so one that is more urgent
    than all that are open finds room always, and is claimed before them.
    """

    def __init__(self, lanes: Mapping[str, int], open_now: Iterable[Backlog]) -> None:
        self._lanes = lanes
        self._waiting: defaultdict[tuple[TaskKind, str], int] = defaultdict(int)
        self._open: defaultdict[tuple[TaskKind, str], defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        for group in open_now:
            for volume in group.volumes:
                if group.waiting:
                    self._waiting[group.kind, volume] += group.number
                else:
                    self._open[group.kind, volume][group.priority] += group.number

    def left(self, kind: TaskKind, volume: str, priority: int) -> int:
        """How many more tasks of this kind and priority the volume may be given."""
        key = (kind, volume)
        before = sum(number for urgency, number in self._open[key].items() if urgency <= priority)
        bound = PER_LANE[kind] * self._lanes.get(volume, 0)
        return max(0, min(bound - before, MOST_WAITING - self._waiting[key]))

    def take(self, kind: TaskKind, volumes: Collection[str], priority: int) -> None:
        """Note that there is one more."""
        for volume in volumes:
            self._open[kind, volume][priority] += 1


@dataclass(frozen=True, slots=True)
class Sight:
    """What a tick sees of the volumes, and the room that is left on them. ``all`` has also those that are not in the
    configuration, ``here`` only those that are; both by their ids."""

    all: Mapping[int, Volume]
    here: Mapping[int, Volume]
    room: Room

    def online(self) -> list[Volume]:
        """Those that can be written."""
        return [volume for volume in self.here.values() if volume.condition is Condition.ONLINE]

    def readable(self) -> list[Volume]:
        """Those that can be read."""
        return [volume for volume in self.here.values() if volume.condition in READABLE]

    def derive(self, tx: Tx, task: NewTask) -> bool:
        """Make the task, unless there is one, or a volume has no room for it; tell whether it was made."""
        if not all(self.room.left(task.kind, name, task.priority) for name in task.volumes):
            return False
        made = tasks.derive(tx, task)
        if made:
            self.room.take(task.kind, task.volumes, task.priority)
        return made

    def derive_all(self, custodian: Custodian, wanted: list[NewTask]) -> int:
        """Make all for which there is room, in one transaction; return how many that were."""
        if not wanted:
            return 0
        with custodian.catalogue.write(durably=False) as tx:
            return sum(self.derive(tx, task) for task in wanted)
