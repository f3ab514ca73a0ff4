"""What was read back on which day, volume by volume: a row for what the schedule asked for, and one for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.reading_tables import readings


@dataclass(frozen=True, slots=True)
class Count:
    """What one check, or many, came to. ``bytes`` were read now; ``seconds`` is the time that this took, all lanes
    together and without waiting for a cap; 0 where it is not known."""

    intact: int = 0
    damaged: int = 0
    missing: int = 0
    doubtful: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def copies(self) -> int:
        """Copies of which a check was concluded."""
        return self.intact + self.damaged + self.missing + self.doubtful


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a volume was within its interval: of ``held`` copies ``proved`` were read back within ``interval``, and
    ``overdue`` should have been."""

    held: int
    proved: int
    overdue: int
    interval: timedelta
    oldest_proof: datetime | None
    looked_at: datetime


@dataclass(frozen=True, slots=True)
class ReadingDay:
    """A day of a volume. ``events`` are the numbers of the first and last event in which its checks are told of."""

    day: date
    volume: str
    routine: Count
    other: Count
    began_at: datetime | None
    ended_at: datetime | None
    events: tuple[int, int] | None
    standing: Standing | None


def add(tx: Tx, day: date, volume: str, count: Count, *, routine: bool, event: int | None = None) -> None:
    """Add to a day's numbers; ``event`` is that of the check. Owes no event: each check has its own."""
    numbers = {
        "intact": count.intact, "damaged": count.damaged, "missing": count.missing, "doubtful": count.doubtful,
        "files": count.files, "bytes": count.bytes, "milliseconds": round(1000 * count.seconds),
    }  # fmt: skip
    first: dict[str, object] = {"began_at": tx.now, "ended_at": tx.now, "first_event": event, "last_event": event}
    key = {"day": day.isoformat(), "volume": volume, "routine": routine}
    values = {f"of_{name}": value for name, value in key.items()} | {f"{name}_more": n for name, n in numbers.items()}
    if event is not None:
        values["event"] = event
    changed = tx.connection.execute(_ADD if event is None else _ADD_WITH_EVENT, {**values, "now": tx.now})
    if changed.rowcount == 0:
        tx.connection.execute(readings.insert().values(**key, **numbers, **first))


_NUMBERS = ("intact", "damaged", "missing", "doubtful", "files", "bytes", "milliseconds")
# In the form in which the column keeps a time, which a function does not hand on to its other arguments.
_NOW = sa.bindparam("now", type_=readings.c.began_at.type)
_ADD = (
    readings.update()
    .where(*(readings.c[name] == sa.bindparam(f"of_{name}") for name in ("day", "volume", "routine")))
    .values({name: readings.c[name] + sa.bindparam(f"{name}_more") for name in _NUMBERS})
    .values(ended_at=_NOW, began_at=sa.func.coalesce(readings.c.began_at, _NOW))
)
_EVENT = sa.bindparam("event", type_=readings.c.last_event.type)
_ADD_WITH_EVENT = _ADD.values(last_event=_EVENT, first_event=sa.func.coalesce(readings.c.first_event, _EVENT))


def stands(tx: Tx, day: date, volume: str, standing: Standing) -> None:
    """Note how far a volume is within its interval. Owes no event: it is no act."""
    values = {
        "held": standing.held, "proved": standing.proved, "overdue": standing.overdue,
        "interval_seconds": int(standing.interval.total_seconds()), "oldest_proof": standing.oldest_proof,
        "looked_at": standing.looked_at,
    }  # fmt: skip
    row = _row(day, volume, routine=True)
    if tx.connection.execute(readings.update().where(row).values(**values)).rowcount == 0:
        nothing = dict.fromkeys(_NUMBERS, 0)
        key = {"day": day.isoformat(), "volume": volume, "routine": True}
        tx.connection.execute(readings.insert().values(**key, **nothing, **values))


def between(tx: Tx, first: date, last: date, volume: str = "", *, limit: int) -> list[ReadingDay]:
    """Return the days from ``first`` to ``last``, both of them too, of a volume or (empty) of all; not more than
    ``limit``."""
    these = [readings.c.day >= first.isoformat(), readings.c.day <= last.isoformat()]
    if volume:
        these.append(readings.c.volume == volume)
    order = (readings.c.day, readings.c.volume, readings.c.routine)
    rows = tx.connection.execute(sa.select(readings).where(*these).order_by(*order).limit(2 * limit)).mappings()
    found: dict[tuple[str, str], list[sa.RowMapping]] = {}
    for row in rows:
        found.setdefault((row["day"], row["volume"]), []).append(row)
    return [_day(of_day) for of_day in found.values()][:limit]


def _row(day: date, volume: str, routine: bool) -> sa.ColumnElement[bool]:
    return sa.and_(readings.c.day == day.isoformat(), readings.c.volume == volume, readings.c.routine == routine)


def _day(rows: list[sa.RowMapping]) -> ReadingDay:
    counts = {bool(row["routine"]): _count(row) for row in rows}
    began = [row["began_at"] for row in rows if row["began_at"] is not None]
    ended = [row["ended_at"] for row in rows if row["ended_at"] is not None]
    events = [row[name] for row in rows for name in ("first_event", "last_event") if row[name] is not None]
    return ReadingDay(
        day=date.fromisoformat(rows[0]["day"]),
        volume=rows[0]["volume"],
        routine=counts.get(True, Count()),
        other=counts.get(False, Count()),
        began_at=min(began, default=None),
        ended_at=max(ended, default=None),
        events=(min(events), max(events)) if events else None,
        standing=next((_standing(row) for row in rows if row["looked_at"] is not None), None),
    )


def _count(row: sa.RowMapping) -> Count:
    return Count(
        row["intact"], row["damaged"], row["missing"], row["doubtful"], row["files"], row["bytes"],
        row["milliseconds"] / 1000,
    )  # fmt: skip


def _standing(row: sa.RowMapping) -> Standing:
    return Standing(
        row["held"], row["proved"], row["overdue"], timedelta(seconds=row["interval_seconds"]), row["oldest_proof"],
        row["looked_at"],
    )  # fmt: skip
