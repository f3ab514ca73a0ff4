"""Tasks: the work that the planner derived, and who has taken it up. Their changes owe no event.

A task occupies a lane of each of its volumes. There are few different sets of volumes and there may be a great many
tasks, so a claim asks each set whose volumes have lanes left for its most urgent task; tasks of a blocked volume are
never looked at, nor are those whose time has not come (``waiting``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_CLAIMABLE, IS_ENDED, IS_OPEN, IS_RUNNING, IS_WAITING, tasks
from vault.model import NewTask, Task, TaskKind, TaskState

_ENDED = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED})
_WAKE_AT_ONCE = 10_000
_PURGE_AT_ONCE = 1_000

KEPT_ENDED = 10_000
"""So many ended tasks are kept at most: a verification of everything would leave a million, and each scrape counts."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many open tasks of one kind, priority and set of volumes there are. ``waiting``: their time has not come."""

    kind: TaskKind
    volumes: tuple[str, ...]
    priority: int
    waiting: bool
    number: int


_BY_ID = sa.select(tasks).where(tasks.c.id == sa.bindparam("this"))
_OPEN_OF_KEY = sa.select(tasks.c.id).where(tasks.c.key == sa.bindparam("of"), IS_OPEN)
_INSERT = tasks.insert()
_CHANGE = tasks.update().where(tasks.c.id == sa.bindparam("this"))
_CHANGE_OPEN = _CHANGE.where(IS_OPEN)
_IS_OWNERS = tasks.c.lease_owner == sa.bindparam("owner")
_CHANGE_OWNERS = _CHANGE_OPEN.where(_IS_OWNERS)
_CHANGE_RUNNING = _CHANGE.where(IS_RUNNING, _IS_OWNERS)
_EXPIRED = (
    sa.select(tasks)
    .where(IS_RUNNING, tasks.c.lease_until < sa.bindparam("now", type_=tasks.c.lease_until.type))
    .order_by(tasks.c.lease_until, tasks.c.id)
)
_FIRST_SET = sa.select(sa.func.min(tasks.c.volumes)).where(IS_CLAIMABLE)
_NEXT_SET = _FIRST_SET.where(tasks.c.volumes > sa.bindparam("last", type_=tasks.c.volumes.type))
_CLAIMABLE = (
    sa.select(tasks)
    .where(IS_CLAIMABLE, tasks.c.volumes == sa.bindparam("of"))
    .order_by(tasks.c.priority, tasks.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


def _task(row: sa.RowMapping) -> Task:
    facts = {name: value for name, value in row.items() if name not in ("waiting", "volumes")}
    return Task(**facts, volumes=_volumes(row["volumes"]))


def _volumes(text: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", json.loads(text)))


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> list[Task]:
    return [_task(row) for row in tx.connection.execute(query, values).mappings()]


def get(tx: Tx, task_id: int) -> Task | None:
    """Return the task with that number, or None."""
    found = _several(tx, _BY_ID, this=task_id)
    return found[0] if found else None


def derive(tx: Tx, task: NewTask, not_before: datetime | None = None) -> bool:
    """Make ``task`` unless an open one has its key; return whether it was made. It waits until ``not_before``."""
    if tx.connection.execute(_OPEN_OF_KEY, {"of": task.key}).first() is not None:
        return False
    begin = tx.now if not_before is None else not_before
    values: dict[str, object] = {
        "key": task.key,
        "kind": task.kind,
        "state": TaskState.READY,
        "waiting": begin > tx.now,
        "priority": task.priority,
        "package_id": task.package_id,
        "identifier": task.identifier,
        "version": task.version,
        "volumes": json.dumps(list(task.volumes), ensure_ascii=False),
        "params": dict(task.params),
        "attempts": 0,
        "not_before": begin,
        "lease_owner": "",
        "done_bytes": 0,
        "total_bytes": task.total_bytes,
        "created_at": tx.now,
        "message": "",
    }
    tx.connection.execute(_INSERT, values)
    return True


def claim(tx: Tx, *, owner: str, lease: timedelta, free_lanes: Mapping[str, int], limit: int = 1) -> list[Task]:
    """Take up to ``limit`` tasks for ``owner`` and return them as they are then: running, one attempt more.

    Taken are those that are ready, whose time has come, and for each of whose volumes ``free_lanes`` has a lane left
    (a volume that it does not name has none), the lowest priority first, then the oldest. Each that is taken
    occupies a lane. They are the owner's for ``lease``, and longer where it calls :func:`renew`.
    """
    _wake(tx)
    free = Counter(dict(free_lanes))
    candidates: list[Task] = []
    for volumes in _sets_of_volumes(tx):
        if _fits(_volumes(volumes), free):
            candidates += _several(tx, _CLAIMABLE, of=volumes, most=limit)
    taken: list[Task] = []
    for task in sorted(candidates, key=lambda task: (task.priority, task.id)):
        if len(taken) < limit and _fits(task.volumes, free):
            free.subtract(task.volumes)
            values = {
                "state": TaskState.RUNNING,
                "attempts": task.attempts + 1,
                "lease_owner": owner,
                "lease_until": tx.now + lease,
                "started_at": tx.now,
                "done_bytes": 0,
            }
            tx.connection.execute(_CHANGE, {"this": task.id, **values})
            taken += _several(tx, _BY_ID, this=task.id)
    return taken


def take(tx: Tx, key: str, owner: str, lease: timedelta) -> Task | None:
    """Take the open task of this key for ``owner`` as :func:`claim` does, whatever its volumes; None while it waits or
    somebody has it."""
    query = sa.select(tasks).where(tasks.c.key == key, IS_OPEN, tasks.c.not_before <= tx.now)
    found = [task for task in _several(tx, query) if task.state is TaskState.READY]
    if not found:
        return None
    values = {
        "state": TaskState.RUNNING,
        "waiting": False,
        "attempts": found[0].attempts + 1,
        "lease_owner": owner,
        "lease_until": tx.now + lease,
        "started_at": tx.now,
        "done_bytes": 0,
    }
    tx.connection.execute(tasks.update().where(tasks.c.id == found[0].id).values(**values))
    return get(tx, found[0].id)


def open_of_kinds(tx: Tx, kinds: Collection[TaskKind]) -> list[Task]:
    """Return the open tasks of these kinds, the oldest first."""
    query = sa.select(tasks).where(IS_OPEN, tasks.c.kind.in_(list(kinds)))
    return _several(tx, query.order_by(tasks.c.id))


def _wake(tx: Tx) -> None:
    come = sa.select(tasks.c.id).where(IS_WAITING, tasks.c.not_before <= tx.now)
    come = come.order_by(tasks.c.not_before).limit(_WAKE_AT_ONCE)
    tx.connection.execute(tasks.update().where(tasks.c.id.in_(come)).values(waiting=False))


def _sets_of_volumes(tx: Tx) -> list[str]:
    """Hop through the index from one set of volumes to the next, whatever lies between."""
    found: list[str] = []
    following = tx.connection.scalar(_FIRST_SET)
    while following is not None:
        found.append(following)
        following = tx.connection.scalar(_NEXT_SET, {"last": following})
    return found


def _fits(volumes: Iterable[str], free: Mapping[str, int]) -> bool:
    return all(free.get(name, 0) >= wanted for name, wanted in Counter(volumes).items())


def renew(tx: Tx, task_id: int, owner: str, lease: timedelta, done_bytes: int) -> bool:
    """Prolong a lease and record progress. False when the task is no longer the owner's: it must stop then."""
    values = {"this": task_id, "owner": owner, "lease_until": tx.now + lease, "done_bytes": done_bytes}
    return tx.connection.execute(_CHANGE_RUNNING, values).rowcount == 1


def finish(tx: Tx, task_id: int, state: TaskState, message: str = "", owner: str | None = None) -> bool:
    """End an open task as DONE, FAILED or CANCELLED. False when it is no longer open (or not ``owner``'s, if given)."""
    if state not in _ENDED:
        raise ValueError(f"a task does not end as {state}")
    return _change(tx, task_id, owner, state=state, message=message, finished_at=tx.now,
                   waiting=False, lease_owner="", lease_until=None)  # fmt: skip


def postpone(tx: Tx, task_id: int, until: datetime, message: str, owner: str | None = None) -> bool:
    """Put an open task back, not to begin before ``until``. False as with :func:`finish`."""
    return _change(tx, task_id, owner, state=TaskState.READY, message=message, not_before=until,
                   waiting=until > tx.now, lease_owner="", lease_until=None)  # fmt: skip


def bring_near(tx: Tx, latest: datetime) -> int:
    """Let no task wait for longer than until ``latest``; return how many would have."""
    later = tasks.update().where(IS_WAITING, tasks.c.not_before > latest)
    return tx.connection.execute(later.values(not_before=latest)).rowcount


def _change(tx: Tx, task_id: int, owner: str | None, **values: object) -> bool:
    if owner is None:
        return tx.connection.execute(_CHANGE_OPEN, {"this": task_id, **values}).rowcount == 1
    return tx.connection.execute(_CHANGE_OWNERS, {"this": task_id, "owner": owner, **values}).rowcount == 1


def expired(tx: Tx) -> list[Task]:
    """Return the running tasks whose lease is over, the oldest first."""
    return _several(tx, _EXPIRED, now=tx.now)


def release_expired(tx: Tx) -> list[Task]:
    """Put the tasks whose lease is over back, ready at once; return them as they were."""
    released = expired(tx)
    for task in released:
        _release(tx, tasks.c.id == task.id)
    return released


def release_owner(tx: Tx, owner: str) -> int:
    """Put every running task of ``owner`` back, as a program does for its former self when it starts; return how
    many there were."""
    return _release(tx, tasks.c.lease_owner == owner)


def release_all(tx: Tx) -> int:
    """Put every running task back: for a program that has just started and knows that it is alone."""
    return _release(tx, sa.true())


def backlog(tx: Tx) -> list[Backlog]:
    """Return how many open tasks there are of each kind, priority and set of volumes. It looks at every open task, of
    which the planner makes no more than it needs."""
    facts = (tasks.c.kind, tasks.c.volumes, tasks.c.priority, tasks.c.waiting)
    query = sa.select(*facts, sa.func.count()).where(IS_OPEN).group_by(*facts)
    return [Backlog(kind, _volumes(volumes), priority, waiting, number)
            for kind, volumes, priority, waiting, number in tx.connection.execute(query)]  # fmt: skip


def open_keys(tx: Tx, keys: Collection[str]) -> set[str]:
    """Return those of these keys that open tasks have."""
    return set(tx.connection.scalars(sa.select(tasks.c.key).where(tasks.c.key.in_(keys), IS_OPEN))) if keys else set()


def open_by_keys(tx: Tx, keys: Collection[str]) -> list[Task]:
    """Return the open tasks that have one of these keys."""
    return _several(tx, sa.select(tasks).where(tasks.c.key.in_(keys), IS_OPEN)) if keys else []


def cancel_ready(tx: Tx, volume: str, kind: TaskKind, message: str) -> int:
    """End the ready tasks of a kind that need this volume, among others, also those whose time has not come; return
    how many there were.

    Their work is derived again without it.
    """
    # Without the hint SQLite would rather walk all that is ready of this kind.
    waiting = sa.select(tasks.c.id, tasks.c.volumes).with_hint(tasks, "INDEXED BY ix_tasks_waiting", "sqlite")
    concerned = [
        tasks.c.id == task_id
        for task_id, volumes in tx.connection.execute(waiting.where(IS_WAITING, tasks.c.kind == kind))
        if volume in _volumes(volumes)
    ]
    concerned += [
        sa.and_(IS_CLAIMABLE, tasks.c.volumes == volumes, tasks.c.kind == kind)
        for volumes in _sets_of_volumes(tx)
        if volume in _volumes(volumes)
    ]
    ending = {"state": TaskState.CANCELLED, "message": message, "finished_at": tx.now, "waiting": False}
    return sum(tx.connection.execute(tasks.update().where(those).values(**ending)).rowcount for those in concerned)


def _release(tx: Tx, condition: sa.ColumnElement[bool]) -> int:
    updated = tx.connection.execute(
        tasks.update()
        .where(IS_RUNNING, condition)
        .values(state=TaskState.READY, waiting=False, lease_owner="", lease_until=None)
    )
    return updated.rowcount


def open_tasks(tx: Tx, limit: int | None = None) -> list[Task]:
    """Return the tasks that are ready or running, in the order in which they are taken up."""
    return _several(tx, sa.select(tasks).where(IS_OPEN).order_by(tasks.c.priority, tasks.c.id).limit(limit))


def listing(tx: Tx, states: Iterable[TaskState] | None = None, *, limit: int) -> list[Task]:
    """Return tasks (in any of ``states``), the newest first."""
    query = sa.select(tasks).order_by(tasks.c.id.desc()).limit(limit)
    return _several(tx, query if states is None else query.where(tasks.c.state.in_(list(states))))


def newest_done(tx: Tx, kinds: Collection[TaskKind], limit: int) -> list[Task]:
    """Return the tasks of these kinds that were done last, as far as they are kept."""
    ended = sa.and_(IS_ENDED, tasks.c.kind.in_(sorted(kinds)), tasks.c.state == TaskState.DONE)
    return _several(tx, sa.select(tasks).where(ended).order_by(tasks.c.finished_at.desc()).limit(limit))


def counts(tx: Tx) -> dict[tuple[TaskKind, TaskState], int]:
    """Return how many tasks there are of which kind in which state. Zeros are absent."""
    query = sa.select(tasks.c.kind, tasks.c.state, sa.func.count()).group_by(tasks.c.kind, tasks.c.state)
    return {(kind, state): number for kind, state, number in tx.connection.execute(query)}


def purge(tx: Tx, before: datetime, keep: int = KEPT_ENDED) -> int:
    """Forget the tasks that ended before ``before``, and those beyond the newest ``keep``; return how many.

    However crowded it is, the last one of each kind that was done stays, for somebody may ask when that was. It
    forgets no more than a thousand of each at a time: call it again.
    """
    old = sa.select(tasks.c.id).where(IS_ENDED, tasks.c.finished_at < before)
    forgotten = _forget(tx, old)
    newest_first = sa.select(tasks.c.finished_at).where(IS_ENDED).order_by(tasks.c.finished_at.desc())
    last_kept: datetime | None = tx.connection.scalar(newest_first.offset(max(0, keep - 1)).limit(1))
    if last_kept is not None:
        done = (
            sa.select(sa.func.max(tasks.c.id)).where(tasks.c.kind == kind, tasks.c.state == TaskState.DONE)
            for kind in TaskKind
        )
        last_done = [number for number in map(tx.connection.scalar, done) if number is not None]
        crowding = sa.select(tasks.c.id).where(IS_ENDED, tasks.c.finished_at < last_kept)
        forgotten += _forget(tx, crowding.where(tasks.c.id.not_in(last_done)))
    return forgotten


def _forget(tx: Tx, those: sa.Select[int]) -> int:
    oldest = those.order_by(tasks.c.finished_at).limit(_PURGE_AT_ONCE)
    return tx.connection.execute(tasks.delete().where(tasks.c.id.in_(oldest))).rowcount
