"""Deposits on their way, step by step, so that each can be finished or undone after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_AWAITING_RECEIPT, IS_UNFINISHED, ingests
from vault.errors import Conflict, Refused, Unreachable
from vault.model import Ingest, IngestState, Json

_BY_ID = sa.select(ingests).where(ingests.c.id == sa.bindparam("this"))
_UNFINISHED = sa.select(ingests).where(IS_UNFINISHED).order_by(ingests.c.created_at, ingests.c.id)
_AWAITING_OF = (
    sa.select(ingests)
    .where(ingests.c.identifier == sa.bindparam("of"), ingests.c.version == sa.bindparam("number"))
    .where(IS_AWAITING_RECEIPT)
    .order_by(ingests.c.created_at)
)
_INSERT = ingests.insert()
_CHANGE = ingests.update().where(ingests.c.id == sa.bindparam("this"))


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> list[Ingest]:
    return [Ingest(**row) for row in tx.connection.execute(query, values).mappings()]


def get(tx: Tx, ingest_id: str) -> Ingest | None:
    """Return the deposit of that id, or None."""
    found = _several(tx, _BY_ID, this=ingest_id)
    return found[0] if found else None


def begin(tx: Tx, ingest_id: str, identifier: str, agent: str, agency: str = "") -> Ingest:
    """Note that a deposit has begun (RECEIVING). Owes no event yet. Raises :class:`Conflict` for an id in use."""
    if get(tx, ingest_id) is not None:
        raise Conflict(f"There is already a deposit {ingest_id}.", remedy="Begin a new one.", code="ingest-exists")
    values: dict[str, object] = {
        "id": ingest_id,
        "identifier": identifier,
        "state": IngestState.RECEIVING,
        "agent": agent,
        "agency": agency,
        "volume": "",
        "bytes_received": 0,
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.connection.execute(_INSERT, values)
    return _present(tx, ingest_id)


def restore(
    tx: Tx, ingest_id: str, identifier: str, agent: str, *, volume: str, version: int, created_at: datetime
) -> bool:
    """Enter a deposit whose version was found on a volume (STORED): its receipt is due again. Owes an event.

    One that was still on its way when the catalogue's backup was made is stored by now. Returns False, and changes
    nothing, where the catalogue has a deposit of that id which came to another end.
    """
    known, before = get(tx, ingest_id), {IngestState.RECEIVING, IngestState.PREPARED}
    if known is not None and (known.identifier != identifier or known.state not in before):
        return False
    tx.owe()
    if known is not None:
        _step(tx, ingest_id, before, IngestState.STORED, volume=volume, version=version)
        return True
    tx.connection.execute(
        ingests.insert().values(
            id=ingest_id,
            identifier=identifier,
            state=IngestState.STORED,
            agent=agent,
            volume=volume,
            version=version,
            bytes_received=0,
            created_at=created_at,
            updated_at=tx.now,
        )
    )
    return True


def progress(tx: Tx, ingest_id: str, bytes_received: int) -> Ingest:
    """Note how many bytes of the body have come. Owes no event."""
    return _step(tx, ingest_id, {IngestState.RECEIVING}, IngestState.RECEIVING, bytes_received=bytes_received)


def prepare(tx: Tx, ingest_id: str, *, volume: str, version: int, prepared: Mapping[str, Json]) -> Ingest:
    """Note that all is staged and durable and the rename comes next (PREPARED). Owes no event.

    ``prepared`` is what finishing it after a crash needs. May be repeated with other values before it is stored.
    """
    before = {IngestState.RECEIVING, IngestState.PREPARED}
    values = {"volume": volume, "version": version, "prepared": dict(prepared)}
    return _step(tx, ingest_id, before, IngestState.PREPARED, **values)


def put_back(tx: Tx, ingest_id: str) -> Ingest:
    """Note that nothing of it is in place and that it will be done again (RECEIVING). Owes no event."""
    return _step(tx, ingest_id, {IngestState.PREPARED}, IngestState.RECEIVING)


def store(tx: Tx, ingest_id: str) -> Ingest:
    """Note that the version is in place and in the catalogue (STORED). Owes an event."""
    stored = _step(tx, ingest_id, {IngestState.PREPARED}, IngestState.STORED)
    tx.owe()
    return stored


def receipt(tx: Tx, ingest_id: str, receipt: Mapping[str, Json]) -> Ingest:
    """Keep the signed receipt (RECEIPTED). Owes an event."""
    receipted = _step(tx, ingest_id, {IngestState.STORED}, IngestState.RECEIPTED, receipt=dict(receipt))
    tx.owe()
    return receipted


def repeat(tx: Tx, ingest_id: str, *, version: int, receipt: Mapping[str, Json] | None, of: str) -> Ingest:
    """Note that the same content was stored before, by the deposit ``of``. Owes no event: nothing changed.

    With that one's receipt it is RECEIPTED. Without one yet it is STORED, and ``prepared`` says whose receipt it
    waits for.
    """
    state = IngestState.STORED if receipt is None else IngestState.RECEIPTED
    values: dict[str, object] = {"version": version, "prepared": {"repeats": of}}
    if receipt is not None:
        values["receipt"] = dict(receipt)
    return _step(tx, ingest_id, {IngestState.RECEIVING, IngestState.PREPARED}, state, **values)


def refuse(tx: Tx, ingest_id: str, problem: Mapping[str, Json]) -> Ingest:
    """Note that what was sent is not taken in (REFUSED). Owes no event: nothing that the archive holds changed."""
    before = {IngestState.RECEIVING, IngestState.PREPARED}
    return _step(tx, ingest_id, before, IngestState.REFUSED, problem=dict(problem))


def fail(tx: Tx, ingest_id: str, problem: Mapping[str, Json]) -> Ingest:
    """Note that it ended for a reason of ours (FAILED). Owes no event: nothing that the archive holds changed."""
    before = {IngestState.RECEIVING, IngestState.PREPARED}
    return _step(tx, ingest_id, before, IngestState.FAILED, problem=dict(problem))


def unfinished(tx: Tx) -> list[Ingest]:
    """Return the deposits that were being received or are prepared, the oldest first."""
    return _several(tx, _UNFINISHED)


def awaiting_receipt(tx: Tx, limit: int, after: Ingest | None = None) -> list[Ingest]:
    """Return the stored deposits that have no receipt yet, the oldest first; those behind ``after``, if given."""
    order = (ingests.c.created_at, ingests.c.id)
    query = sa.select(ingests).where(IS_AWAITING_RECEIPT).order_by(*order)
    if after is not None:
        query = query.where(sa.tuple_(*order) > sa.tuple_(after.created_at, after.id))
    return _several(tx, query.limit(limit))


def awaiting_receipt_of(tx: Tx, identifier: str, version: int) -> list[Ingest]:
    """Return the stored deposits of one version that have no receipt yet: the one that made it, and its repeats."""
    return _several(tx, _AWAITING_OF, of=identifier, number=version)


def by_version(tx: Tx, identifier: str, number: int) -> Ingest | None:
    """Return the deposit that made that version, or was the last that meant to; None when none is known."""
    kept = sa.case((ingests.c.state.in_([IngestState.STORED, IngestState.RECEIPTED]), 0), else_=1)
    query = sa.select(ingests).where(ingests.c.identifier == identifier, ingests.c.version == number)
    found = _several(tx, query.order_by(kept, ingests.c.created_at.desc(), ingests.c.id).limit(1))
    return found[0] if found else None


def _present(tx: Tx, ingest_id: str) -> Ingest:
    found = get(tx, ingest_id)
    if found is None:
        # It was begun by whoever asks, but not durably: a server of PostgreSQL that broke down since may have lost it.
        raise Unreachable(
            f"The catalogue knows of the deposit {ingest_id} no longer; nothing of it was kept.",
            remedy="Send it again; and look why the database server broke down.",
            code="catalogue-unreachable",
        )
    return found


def _step(tx: Tx, ingest_id: str, before: set[IngestState], to: IngestState, **values: object) -> Ingest:
    present = _present(tx, ingest_id)
    if present.state not in before:
        raise Refused(
            f"The deposit {ingest_id} is {present.state} and cannot become {to}.",
            remedy="Begin a new deposit.",
            code="bad-transition",
        )
    tx.connection.execute(_CHANGE, {"this": ingest_id, "state": to, "updated_at": tx.now, **values})
    return _present(tx, ingest_id)
