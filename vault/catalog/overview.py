"""Numbers about the whole catalogue that cost next to nothing, however much it holds: what a scrape may ask for.

Every one is read from counters, from the end of an index, or from a range of it that stays short. No statement here
may walk a table that grows with the archive; where a number cannot be had otherwise, the caller keeps what it has
seen and asks only for what is new (``after``, ``since``).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import (
    IS_AWAITING_RECEIPT,
    IS_DUE_SOME_TIME,
    IS_ENDED,
    IS_UNFINISHED,
    IS_UNHEALTHY,
    copies,
    copy_counts,
    events,
    evidence,
    ingests,
    packages,
    tasks,
    versions,
    volumes,
)
from vault.clock import from_text
from vault.model import CopyState, EventType, IngestState, TaskKind, TaskState

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows there were, and the id of the last one."""

    number: int = 0
    last_id: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait, and since when the one that has waited longest does; None when none waits."""

    number: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class CheckpointSeen:
    """The newest checkpoint: when it was made, up to which event it reaches, and on how many volumes it is kept."""

    time: datetime
    seq: int
    volumes: int


def count_packages(tx: Tx, before: Tally) -> Tally:
    """Return how many packages there are, counting only those that came after ``before``: packages never go, and
    ids only grow."""
    return _count(tx, packages.c.id, before)


def count_versions(tx: Tx, before: Tally) -> Tally:
    """Return how many versions there are, in the same way."""
    return _count(tx, versions.c.id, before)


def _count(tx: Tx, key: sa.Column[int], before: Tally) -> Tally:
    last_id = tx.connection.scalar(sa.select(sa.func.max(key))) or 0
    query = sa.select(sa.func.count()).select_from(key.table)
    if before.last_id:
        query = query.where(key > before.last_id)
    # Without a condition it is the smallest index that is walked, and not the table, whose rows are long.
    return Tally(before.number + tx.connection.execute(query).scalar_one(), max(last_id, before.last_id))


def oldest_due(tx: Tx) -> dict[str, datetime]:
    """Return for each volume the earliest time at which a check of one of its copies should begin, or should have."""
    earliest = (
        sa.select(sa.func.min(copies.c.due_at))
        .where(copies.c.volume_id == volumes.c.id, IS_DUE_SOME_TIME)
        .correlate(volumes)
        .scalar_subquery()
    )
    rows = tx.connection.execute(sa.select(volumes.c.name, earliest))
    return {name: moment for name, moment in rows if moment is not None}


def receipts_waiting(tx: Tx) -> Waiting:
    """Return how many stored deposits have no receipt yet."""
    query = sa.select(sa.func.count(), sa.func.min(ingests.c.created_at)).where(IS_AWAITING_RECEIPT)
    number, since = tx.connection.execute(query).one()
    return Waiting(number, since)


def deposits_open(tx: Tx) -> dict[IngestState, int]:
    """Return how many deposits are being received or prepared, by state; both are always there."""
    query = sa.select(ingests.c.state, sa.func.count()).where(IS_UNFINISHED).group_by(ingests.c.state)
    return {IngestState.RECEIVING: 0, IngestState.PREPARED: 0, **dict(tx.connection.execute(query).all())}


MANY_BROKEN = 100_000
"""So many damaged and missing copies are looked at; beyond that, counting what is left of each takes too long."""


def without_good_copy(tx: Tx) -> int | None:
    """Return how many versions have damaged or missing copies and none that may be right; None where too many copies
    are broken to tell in time."""
    broken = (CopyState.DAMAGED, CopyState.MISSING)
    numbers = sa.select(sa.func.sum(copy_counts.c.number)).where(copy_counts.c.state.in_(broken))
    if (tx.connection.scalar(numbers) or 0) > MANY_BROKEN:
        return None
    other = copies.alias()
    believed = (CopyState.GOOD, CopyState.SUSPECT, CopyState.WRITTEN)
    left = sa.exists(sa.select(1).where(other.c.version_id == copies.c.version_id, other.c.state.in_(believed)))
    found: set[int] = set()
    for state in broken:
        # One range of the index for each state.
        is_it = copies.c.state == sa.literal_column(f"'{state}'")
        found.update(tx.connection.scalars(sa.select(copies.c.version_id).where(is_it, IS_UNHEALTHY, ~left)))
    return len(found)


def evidence_kept(tx: Tx) -> int:
    """Return how many pieces of evidence are kept and not released."""
    query = sa.select(sa.func.count()).select_from(evidence).where(evidence.c.released_at.is_(None))
    return tx.connection.execute(query).scalar_one()


def last_done(tx: Tx, kinds: Collection[TaskKind], since: datetime | None) -> dict[TaskKind, datetime]:
    """Return for each of ``kinds`` when a task of it was last done, looking at those that ended after ``since`` (None:
    all), from the newest back until every kind was met."""
    query = sa.select(tasks.c.kind, tasks.c.state, tasks.c.finished_at).where(IS_ENDED)
    if since is not None:
        query = query.where(tasks.c.finished_at > since)
    found: dict[TaskKind, datetime] = {}
    wanted = set(kinds)
    if wanted:
        newest_first = query.order_by(tasks.c.finished_at.desc()).execution_options(yield_per=_PAGE)
        with tx.connection.execute(newest_first) as rows:
            for kind, state, finished_at in rows:
                if state is TaskState.DONE and kind in wanted:
                    found[kind] = finished_at
                    wanted.remove(kind)
                    if not wanted:
                        break
    return found


def last_checkpoint(tx: Tx) -> CheckpointSeen | None:
    """Return the newest checkpoint that the ledger tells of; None when it tells of none that can be read."""
    query = (
        sa.select(sa.type_coerce(events.c.time, sa.Text), events.c.detail)
        .where(events.c.type == EventType.CHECKPOINT.value)
        .order_by(events.c.seq.desc())
        .limit(1)
    )
    row = tx.connection.execute(query).first()
    if row is None:
        return None
    try:
        detail: object = json.loads(row[1])
        time = from_text(row[0])
    except (ValueError, RecursionError):
        return None  # tampered with: `ledger verify` says so, and a scrape only knows nothing
    if not isinstance(detail, dict):
        return None
    seq, kept = detail.get("seq"), detail.get("volumes")
    if not isinstance(seq, int) or not isinstance(kept, list):
        return None
    return CheckpointSeen(time, seq, len(kept))
