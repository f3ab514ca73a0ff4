"""When each kind of scheduled work last ran, kept over restarts so that silence can be seen. Owes no events."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import schedules
from vault.model import Schedule


def started(tx: Tx, kind: str) -> None:
    """Note that the work has begun."""
    _set(tx, kind, last_started=tx.now)


def succeeded(tx: Tx, kind: str) -> None:
    """Note that the work has succeeded; the last failure is forgotten."""
    _set(tx, kind, last_success=tx.now, last_error="")


def failed(tx: Tx, kind: str, error: str) -> None:
    """Note that the work has failed, and what was said of it."""
    _set(tx, kind, last_error=error)


def all(tx: Tx) -> list[Schedule]:  # noqa: A001 - read as schedules.all
    """Return what is known of every kind of work that ever began, by kind."""
    rows = tx.connection.execute(sa.select(schedules).order_by(schedules.c.kind)).mappings()
    return [Schedule(**row) for row in rows]


def _set(tx: Tx, kind: str, **values: object) -> None:
    updated = tx.connection.execute(schedules.update().where(schedules.c.kind == kind).values(**values))
    if updated.rowcount == 0:
        tx.connection.execute(schedules.insert().values({"kind": kind, "last_error": "", **values}))
