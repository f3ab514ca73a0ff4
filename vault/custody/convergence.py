"""How much is still to be copied until every policy holds, or until a volume is empty, and about how long that takes.

From what the newest copies took: bytes and tasks for each second in which any of them ran. It is an estimate: nobody
knows what comes in meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.catalog import packages, tasks
from vault.catalog.engine import Tx
from vault.model import Task, TaskKind

_NEWEST = 300
_LEAST = 3
"""From fewer tasks nothing is foretold."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """``versions`` lack a copy, of about so many ``bytes``; ``left`` is None where nothing was measured yet."""

    versions: int
    bytes: int
    left: timedelta | None


def of_node(tx: Tx) -> Backlog:
    """All versions that are below their policy."""
    return _backlog(tx, *packages.below_policy_size(tx))


def of_evacuation(tx: Tx, volume_id: int) -> Backlog:
    """Those that still need their copy on a volume that is evacuated."""
    return _backlog(tx, *packages.below_policy_size(tx, volume_id))


def _backlog(tx: Tx, versions: int, size: int) -> Backlog:
    if not versions:
        return Backlog(0, 0, timedelta())
    done = tasks.newest_done(tx, (TaskKind.REPLICATE, TaskKind.REPAIR), _NEWEST)
    busy = busy_seconds((t.started_at, t.finished_at) for t in done)
    if len(done) < _LEAST or busy <= 0:
        return Backlog(versions, size, None)
    # Each byte is read once, written, and read back; tasks tell of all of these.
    moved = sum(_size(task) for task in done)
    by_bytes = size / (moved / busy) if moved else 0.0
    return Backlog(versions, size, timedelta(seconds=max(by_bytes, versions / (len(done) / busy))))


def _size(task: Task) -> int:
    """The version's bytes: a task that makes n copies counts them n + 1 times, as ``shortfalls`` derives it."""
    return task.total_bytes // (1 + len(task.volumes))


def busy_seconds(spans: Iterable[tuple[datetime | None, datetime | None]]) -> float:
    """The seconds in which at least one of the spans ran. Those without a beginning or an end are left out."""
    total, until = 0.0, None
    for begin, end in sorted((b, e) for b, e in spans if b is not None and e is not None):
        start = begin if until is None or begin > until else until
        if end > start:
            total += (end - start).total_seconds()
            until = end
    return total
