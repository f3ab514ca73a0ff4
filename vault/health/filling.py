"""When each volume will be full at the present intake: told as a date, to someone without Grafana too.

The free space of each day is kept as a fact of the node. A month of it says more than an hour: deliveries come in
batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from vault.catalog import facts
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.model import READABLE, Json, MediumClass

SCHEDULE: Final = "growth"
EVERY: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=30)
_FACT: Final = "volume-growth"
_LONGEST_DAYS: Final = 36525


def look(custodian: Custodian) -> None:
    """Remember how much is free today on each volume that answers, and forget what is older than a month."""
    with custodian.catalogue.write() as tx:
        kept = _read(tx)
        oldest = (tx.now - KEPT).date().isoformat()
        found: dict[str, Json] = {}
        for row in catalog_volumes.all(tx, but=MediumClass.TAPE):
            days = {day: free for day, free in kept.get(row.name, {}).items() if day >= oldest}
            if row.condition in READABLE and row.free_bytes is not None:
                days[tx.now.date().isoformat()] = row.free_bytes
            if days:
                found[row.name] = dict(days)
        facts.put(tx, _FACT, found)


def full_at(tx: Tx, reserves: Mapping[str, int]) -> dict[str, datetime]:
    """When each volume will have no more than its reserve (bytes) left; those that do not fill up are not in it."""
    found = {name: estimate(days, reserves.get(name, 0)) for name, days in _read(tx).items()}
    return {name: moment for name, moment in found.items() if moment is not None}


def estimate(days: Mapping[str, int], reserve: int = 0) -> datetime | None:
    """From the free bytes of some days (as 2026-11-22) to the day on which ``reserve`` is reached; None where that is
    not in sight: less than a day is known, or nothing was taken in, or it would be more than a century."""
    known = sorted((date.fromisoformat(day), free) for day, free in days.items())
    if len(known) < 2:
        return None
    (first, before), (last, now) = known[0], known[-1]
    taken = before - now
    if taken <= 0:
        return None
    days_left = max(0, now - reserve) / taken * (last - first).days
    if days_left > _LONGEST_DAYS:
        return None
    return datetime.combine(last, time(), UTC) + timedelta(days=days_left)


def _read(tx: Tx) -> dict[str, dict[str, int]]:
    kept = facts.get(tx, _FACT)
    if not isinstance(kept, dict):
        return {}
    return {
        name: {day: free for day, free in days.items() if isinstance(free, int)}
        for name, days in kept.items()
        if isinstance(days, dict)
    }
