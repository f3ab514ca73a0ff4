"""Damaged bytes that were set aside on a volume, until an operator lets them go."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import copies, evidence, packages, versions, volumes
from vault.errors import NotFound, Refused
from vault.model import Evidence

_EVIDENCE = (
    sa.select(
        evidence,
        packages.c.identifier,
        versions.c.number.label("version"),
        volumes.c.name.label("volume"),
    )
    .join(copies, evidence.c.copy_id == copies.c.id)
    .join(versions, copies.c.version_id == versions.c.id)
    .join(packages, versions.c.package_id == packages.c.id)
    .join(volumes, copies.c.volume_id == volumes.c.id)
)


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]]) -> list[Evidence]:
    return [Evidence(**row) for row in tx.connection.execute(query).mappings()]


def keep(tx: Tx, *, copy_id: int, path: str, event_seq: int) -> Evidence:
    """Note what was set aside of a copy, and the event that tells of it, which must be in the ledger already.

    ``path`` is relative to the volume. Raises :class:`NotFound` when there is no such copy.
    """
    if tx.connection.scalar(sa.select(copies.c.id).where(copies.c.id == copy_id)) is None:
        raise NotFound(f"There is no copy number {copy_id}.")
    inserted = tx.connection.execute(
        evidence.insert()
        .values(copy_id=copy_id, path=path, event_seq=event_seq, kept_at=tx.now)
        .returning(evidence.c.id)
    )
    return _several(tx, _EVIDENCE.where(evidence.c.id == inserted.scalar_one()))[0]


def get(tx: Tx, evidence_id: int) -> Evidence | None:
    """Return the evidence with that number, or None."""
    found = _several(tx, _EVIDENCE.where(evidence.c.id == evidence_id))
    return found[0] if found else None


def all(tx: Tx, *, released: bool | None = None) -> list[Evidence]:  # noqa: A001 - read as evidence.all
    """Return the evidence, the oldest first; only what was or was not released, when asked."""
    query = _EVIDENCE.order_by(evidence.c.id)
    if released is not None:
        empty = evidence.c.released_at.is_(None)
        query = query.where(~empty if released else empty)
    return _several(tx, query)


def release(tx: Tx, evidence_id: int) -> Evidence:
    """Note that an operator lets it go. Owes an event. Raises NotFound, and Refused when it is gone."""
    present = get(tx, evidence_id)
    if present is None:
        raise NotFound(f"There is no evidence number {evidence_id}.")
    if present.released_at is not None:
        raise Refused(f"The evidence number {evidence_id} was released already.", code="already-released")
    tx.owe()
    tx.connection.execute(evidence.update().where(evidence.c.id == evidence_id).values(released_at=tx.now))
    return _several(tx, _EVIDENCE.where(evidence.c.id == evidence_id))[0]
