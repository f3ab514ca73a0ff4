"""Resumable deposits on their way: what was promised of them, and where their bytes are.

None of this owes an event: nothing that the archive holds changes before the ingest of the same id is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_HOLDING_BYTES, uploads
from vault.depositing import Upload, UploadState
from vault.model import Json


@dataclass(frozen=True, slots=True)
class Tally:
    """The uploads that hold bytes or may: how many, and the bytes that they may come to; and of these, one agent's."""

    number: int
    of_agent: int
    bytes: int
    bytes_of_agent: int


_BY_ID = sa.select(uploads).where(uploads.c.id == sa.bindparam("this"))


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> list[Upload]:
    return [Upload(**row) for row in tx.connection.execute(query, values).mappings()]


def get(tx: Tx, upload_id: str) -> Upload | None:
    """Return the upload of that id, or None."""
    found = _several(tx, _BY_ID, this=upload_id)
    return found[0] if found else None


def create(
    tx: Tx,
    upload_id: str,
    *,
    agent: str,
    request: Mapping[str, Json],
    volume: str,
    length: int | None,
    expires_at: datetime,
) -> Upload:
    """Note a new upload (OPEN), of which nothing has come yet."""
    values = {
        "id": upload_id,
        "agent": agent,
        "request": dict(request),
        "volume": volume,
        "length": length,
        "received": 0,
        "state": UploadState.OPEN,
        "attempts": 0,
        "not_before": None,
        "created_at": tx.now,
        "expires_at": expires_at,
    }
    tx.connection.execute(uploads.insert().values(**values))
    return Upload(**values)  # type: ignore[arg-type]  # the columns are the fields


def tally(tx: Tx, agent: str) -> Tally:
    """How many hold bytes, how many of them are this agent's, and how many bytes they may come to.

    One whose length is not known counts with what has come of it.
    """
    mine = uploads.c.agent == agent
    size = sa.func.coalesce(uploads.c.length, uploads.c.received)
    query = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(sa.case((mine, 1), else_=0)), 0),
        sa.func.coalesce(sa.func.sum(size), 0),
        sa.func.coalesce(sa.func.sum(sa.case((mine, size), else_=0)), 0),
    )
    return Tally(*(int(number) for number in tx.connection.execute(query.where(IS_HOLDING_BYTES)).one()))


def held(tx: Tx) -> tuple[int, int]:
    """Return how many uploads hold bytes on a volume or may, and how many bytes have come of them."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(uploads.c.received), 0)).where(IS_HOLDING_BYTES)
    number, received = tx.connection.execute(query).one()
    return int(number), int(received)


def outstanding(tx: Tx, volume: str) -> int:
    """Bytes that the open uploads of a volume announced and that have not come yet."""
    left = sa.func.coalesce(sa.func.sum(uploads.c.length - uploads.c.received), 0)
    query = sa.select(left).where(IS_HOLDING_BYTES, uploads.c.state == UploadState.OPEN, uploads.c.volume == volume)
    return int(tx.connection.execute(query).scalar_one())


def advance(
    tx: Tx, upload_id: str, *, received: int, length: int | None, expires_at: datetime | None, complete: bool = False
) -> bool:
    """Note that so many bytes are on stable storage, and whether that is all. False if it is not OPEN any more."""
    state = UploadState.COMPLETE if complete else UploadState.OPEN
    done = tx.connection.execute(
        uploads.update()
        .where(uploads.c.id == upload_id, uploads.c.state == UploadState.OPEN)
        .values(received=received, length=length, expires_at=expires_at, state=state)
    )
    return done.rowcount == 1


def postpone(tx: Tx, upload_id: str, not_before: datetime) -> None:
    """Note that taking it in failed for a reason of ours, and when to try again."""
    tx.connection.execute(
        uploads.update()
        .where(uploads.c.id == upload_id, uploads.c.state == UploadState.COMPLETE)
        .values(attempts=uploads.c.attempts + 1, not_before=not_before)
    )


def end(tx: Tx, upload_id: str, forget_at: datetime) -> None:
    """Note that it takes and waits for nothing more (ENDED), and until when it is to be remembered."""
    tx.connection.execute(
        uploads.update().where(uploads.c.id == upload_id).values(state=UploadState.ENDED, expires_at=forget_at)
    )


def replace_request(tx: Tx, upload_id: str, request: Mapping[str, Json]) -> None:
    """Put this in the place of what was asked for, of which nothing stays in the database's file (SQLite)."""
    if tx.connection.dialect.name == "sqlite":
        tx.connection.exec_driver_sql("PRAGMA secure_delete=ON")
    tx.connection.execute(uploads.update().where(uploads.c.id == upload_id).values(request=dict(request)))


def freed(tx: Tx, upload_id: str) -> None:
    """Note that its bytes are gone from the volume."""
    tx.connection.execute(
        uploads.update().where(uploads.c.id == upload_id, uploads.c.state == UploadState.ENDED).values(volume="")
    )


def forget(tx: Tx) -> int:
    """Remove the ENDED ones that hold no bytes and whose time is over; return how many."""
    gone = sa.and_(uploads.c.state == UploadState.ENDED, uploads.c.volume == "", uploads.c.expires_at <= tx.now)
    return tx.connection.execute(uploads.delete().where(gone)).rowcount


def complete(tx: Tx) -> list[Upload]:
    """Return those that wait to be taken in, the oldest first."""
    query = sa.select(uploads).where(IS_HOLDING_BYTES, uploads.c.state == UploadState.COMPLETE)
    return _several(tx, query.order_by(uploads.c.created_at, uploads.c.id))


def expired(tx: Tx) -> list[Upload]:
    """Return those that hold bytes and whose time is over."""
    return _several(tx, sa.select(uploads).where(IS_HOLDING_BYTES, uploads.c.expires_at <= tx.now))


def to_free(tx: Tx) -> list[Upload]:
    """Return those that ended and still have bytes on a volume."""
    return _several(tx, sa.select(uploads).where(uploads.c.state == UploadState.ENDED, uploads.c.volume != ""))


def on_volume(tx: Tx, volume: str) -> set[str]:
    """Return the ids of those whose bytes are on this volume."""
    return set(tx.connection.execute(sa.select(uploads.c.id).where(uploads.c.volume == volume)).scalars())
