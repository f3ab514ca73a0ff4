"""The rows of the ledger. What they mean, and whether their chain holds, is for :mod:`vault.ledger` to say.

Rows are handed out as they are stored, undecoded: a row that was tampered with must not be able to stop whoever
looks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.changes import carry_out
from vault.catalog.engine import Tx
from vault.catalog.schema import HAS_IDENTIFIER, events, ledger_head
from vault.clock import from_text

_RAW = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in events.c]
_HEAD = sa.select(ledger_head.c.seq, ledger_head.c.hash)
_ADD = events.insert()
_END = ledger_head.update()
_REMEMBERED = "ledger_head"


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: number and hash of the newest event, 0 and 64 zeros before the first."""

    seq: int
    hash: str


def head(tx: Tx) -> Head | None:
    """Return where the chain ends; None when the row that says so is lost or holds no number."""
    added = tx.remembered.get(_REMEMBERED)
    if isinstance(added, Head):
        return added
    row = tx.connection.execute(_HEAD).first()
    return None if row is None or not isinstance(row[0], int) else Head(row[0], row[1])


def add(tx: Tx, row: dict[str, object], end: Head) -> None:
    """Add a row and let the chain end with it. For ``ledger.append`` only."""
    of_package = [("identifier", str(row["identifier"]))] if row["identifier"] else []
    carry_out(tx.connection, _ADD, row, *of_package)
    tx.connection.execute(_END, {"seq": end.seq, "hash": end.hash})
    tx.remembered[_REMEMBERED] = end


def raw(
    tx: Tx,
    *,
    after: int | None,
    limit: int,
    up_to: int | None = None,
    identifier: str | None = None,
    type: str | None = None,  # noqa: A002 - the fact's name in the model
) -> list[dict[str, object]]:
    """Return rows by ``seq``, those after ``after`` (None: from the very first), at most ``limit``, as stored."""
    query = sa.select(*_RAW).order_by(events.c.seq).limit(limit)
    if after is not None:
        query = query.where(events.c.seq > after)
    if up_to is not None:
        query = query.where(events.c.seq <= up_to)
    if identifier is not None:
        query = query.where(events.c.identifier == identifier)
        query = query.where(HAS_IDENTIFIER) if identifier else query
    if type is not None:
        query = query.where(events.c.type == type)
    return [dict(row) for row in tx.connection.execute(query).mappings()]


def count(tx: Tx, identifier: str) -> int:
    """Return how many events there are of a package."""
    query = sa.select(sa.func.count()).select_from(events).where(events.c.identifier == identifier, HAS_IDENTIFIER)
    return tx.connection.scalar(query) or 0


def last_seq(tx: Tx) -> int:
    """Return the highest ``seq`` that any row has, 0 when there are none."""
    return tx.connection.scalar(sa.select(sa.func.max(events.c.seq))) or 0


def newest_time(tx: Tx, type: str) -> datetime | None:  # noqa: A002 - the fact's name in the model
    """Return when the newest event of a type happened; None where there is none, or its time cannot be read."""
    query = sa.select(sa.type_coerce(events.c.time, sa.Text)).where(events.c.type == type)
    text = tx.connection.scalar(query.order_by(events.c.seq.desc()).limit(1))
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None  # tampered with: `ledger verify` says so
