"""What is to be brought back from tape, and what of it lies in the recall cache."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_CACHED, IS_RECALLING, recalls
from vault.model import RecallState
from vault.tape_model import Recall


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]]) -> list[Recall]:
    return [Recall(**row) for row in tx.connection.execute(query).mappings()]


def get(tx: Tx, recall_id: str) -> Recall | None:
    """Return the recall of that id, or None."""
    found = _several(tx, sa.select(recalls).where(recalls.c.id == recall_id))
    return found[0] if found else None


def what_of(files: Sequence[str]) -> str:
    """Return what names a set of logical paths; "" for none, which means all."""
    if not files:
        return ""
    return hashlib.sha256("\0".join(sorted(set(files))).encode("utf-8", "surrogateescape")).hexdigest()


def open_for(tx: Tx, identifier: str, version: int, files: Sequence[str] = ()) -> Recall | None:
    """Return the recall of exactly this that waits or is read, or None."""
    exactly = (recalls.c.identifier == identifier, recalls.c.version == version, recalls.c.what == what_of(files))
    found = _several(tx, sa.select(recalls).where(IS_RECALLING, *exactly))
    return found[0] if found else None


def ready_for(tx: Tx, identifier: str, version: int) -> list[Recall]:
    """Return the recalls of this version whose bytes lie in the cache, the newest first."""
    query = sa.select(recalls).where(IS_CACHED, recalls.c.identifier == identifier, recalls.c.version == version)
    return _several(tx, query.order_by(recalls.c.requested_at.desc(), recalls.c.id))


def order(
    tx: Tx, identifier: str, version: int, files: Sequence[str], agent: str, total_bytes: int
) -> tuple[Recall, bool]:
    """Ask for something, or join whoever asked for it before; return the recall, and whether it is new.

    Owes an event if it is.
    """
    present = open_for(tx, identifier, version, files)
    if present is not None:
        return present, False
    tx.owe()
    recall_id = str(uuid.uuid4())
    tx.connection.execute(
        recalls.insert().values(
            id=recall_id,
            identifier=identifier,
            version=version,
            what=what_of(files),
            files=sorted(set(files)),
            state=RecallState.WAITING,
            agent=agent,
            barcode="",
            message="",
            total_bytes=total_bytes,
            done_bytes=0,
            requested_at=tx.now,
        )
    )
    made = get(tx, recall_id)
    assert made is not None  # noqa: S101 - it was inserted in this transaction
    return made, True


def waiting(tx: Tx) -> list[Recall]:
    """Return those that wait or run, the oldest first."""
    return _several(tx, sa.select(recalls).where(IS_RECALLING).order_by(recalls.c.requested_at, recalls.c.id))


def listing(tx: Tx, *, limit: int) -> list[Recall]:
    """Return recalls, the newest first."""
    return _several(tx, sa.select(recalls).order_by(recalls.c.requested_at.desc(), recalls.c.id).limit(limit))


def cached(tx: Tx) -> list[Recall]:
    """Return those whose bytes lie in the cache, used longest ago first."""
    return _several(tx, sa.select(recalls).where(IS_CACHED).order_by(recalls.c.used_at, recalls.c.id))


def note(tx: Tx, recall_id: str, state: RecallState, *, barcode: str, message: str, done_bytes: int = 0) -> None:
    """Note how far one that is not ended is. Owes no event."""
    _update(tx, recall_id, state=state, barcode=barcode, message=message, done_bytes=done_bytes)


def finish(tx: Tx, recall_id: str, state: RecallState, message: str, done_bytes: int = 0) -> None:
    """Note that it ended: READY or FAILED. Owes an event."""
    tx.owe()
    _update(tx, recall_id, state=state, message=message, done_bytes=done_bytes, finished_at=tx.now, used_at=tx.now)


def used(tx: Tx, recall_id: str) -> None:
    """Note that what it brought was asked for just now. Owes no event."""
    _update(tx, recall_id, used_at=tx.now)


def expire(tx: Tx, recall_id: str) -> None:
    """Note that its bytes are no longer in the cache. Owes no event: they were only a convenience."""
    _update(tx, recall_id, state=RecallState.EXPIRED)


def forget(tx: Tx, before: datetime) -> int:
    """Forget those that ended before that time and hold nothing in the cache; return how many."""
    ended = recalls.c.state.in_([RecallState.EXPIRED, RecallState.FAILED])
    return tx.connection.execute(recalls.delete().where(ended, recalls.c.finished_at < before)).rowcount


def _update(tx: Tx, recall_id: str, **values: object) -> None:
    tx.connection.execute(recalls.update().where(recalls.c.id == recall_id).values(**values))
