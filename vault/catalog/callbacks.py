"""Who wants to be told how a deposit ended, and how far that is. None of this owes an event."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from vault.catalog.callback_tables import IS_TO_BE_TOLD, callbacks
from vault.catalog.engine import Tx
from vault.catalog.schema import ingests
from vault.depositing import Callback
from vault.model import IngestState

_BY_INGEST = sa.select(callbacks).where(callbacks.c.ingest_id == sa.bindparam("of"))

ENDED = (IngestState.RECEIPTED, IngestState.REFUSED, IngestState.FAILED)


def add(tx: Tx, ingest_id: str, url: str) -> None:
    """Note whom to tell when this deposit has ended."""
    values = {"ingest_id": ingest_id, "url": url, "outcome": "", "attempts": 0, "not_before": tx.now, "message": ""}
    tx.connection.execute(callbacks.insert().values(**values))


def get(tx: Tx, ingest_id: str) -> Callback | None:
    """Return what is known of a deposit's callback, None where it has none."""
    found = tx.connection.execute(_BY_INGEST, {"of": ingest_id}).mappings().first()
    return Callback(**found) if found else None


def due(tx: Tx, now: datetime, limit: int) -> list[Callback]:
    """Return those whose deposit has ended and whose time has come by ``now``, the longest waiting first."""
    query = (
        sa.select(callbacks)
        .join(ingests, ingests.c.id == callbacks.c.ingest_id)
        .where(IS_TO_BE_TOLD, callbacks.c.not_before <= now, ingests.c.state.in_(ENDED))
        .order_by(callbacks.c.not_before, callbacks.c.ingest_id)
        .limit(limit)
    )
    return [Callback(**row) for row in tx.connection.execute(query).mappings()]


def waiting(tx: Tx) -> tuple[int, datetime | None]:
    """Return how many ended deposits are still to be told of, and since when the oldest of them has been tried."""
    query = (
        sa.select(sa.func.count(), sa.func.min(callbacks.c.first_at))
        .join(ingests, ingests.c.id == callbacks.c.ingest_id)
        .where(IS_TO_BE_TOLD, ingests.c.state.in_(ENDED))
    )
    number, since = tx.connection.execute(query).one()
    return int(number), since


def tried(tx: Tx, callback: Callback, *, outcome: str, message: str, not_before: datetime) -> None:
    """Note an attempt. ``outcome`` "" means that it is to be tried again at ``not_before``."""
    tx.connection.execute(
        callbacks.update()
        .where(callbacks.c.ingest_id == callback.ingest_id)
        .values(
            outcome=outcome,
            message=message,
            not_before=not_before,
            attempts=callbacks.c.attempts + 1,
            first_at=callback.first_at or tx.now,
        )
    )


def forget(tx: Tx, after: timedelta) -> int:
    """Remove those that were told or given up so long ago; return how many."""
    old = sa.and_(callbacks.c.outcome != sa.literal_column("''"), callbacks.c.not_before <= tx.now - after)
    return tx.connection.execute(callbacks.delete().where(old)).rowcount
