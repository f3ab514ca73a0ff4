"""Orders to check copies now. Which copies are still to do follows from the copies (``copies.unchecked``)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_HELD, IS_VERIFYING, copies, packages, verifications, versions, volumes
from vault.errors import Conflict, NotFound, Refused
from vault.model import READABLE, Copy, Verification, VerificationState


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]]) -> list[Verification]:
    return [Verification(**row) for row in tx.connection.execute(query).mappings()]


def order(tx: Tx, verification_id: str, volume: str, identifier: str, agent: str, total: int) -> Verification:
    """Order the check of every copy on ``volume``, of the package ``identifier``, or (both empty) of all.

    ``total`` is how many copies that is now. Owes an event. Raises :class:`Conflict` for an id in use.
    """
    if get(tx, verification_id) is not None:
        raise Conflict(f"There is already a verification {verification_id}.", code="verification-exists")
    tx.owe()
    tx.connection.execute(
        verifications.insert().values(
            id=verification_id,
            volume=volume,
            identifier=identifier,
            agent=agent,
            state=VerificationState.RUNNING,
            requested_at=tx.now,
            total=total,
            checked=0,
            good=0,
            bad=0,
            skipped=0,
        )
    )
    return _present(tx, verification_id)


def get(tx: Tx, verification_id: str) -> Verification | None:
    """Return the order of that id, or None."""
    found = _several(tx, sa.select(verifications).where(verifications.c.id == verification_id))
    return found[0] if found else None


def running(tx: Tx) -> list[Verification]:
    """Return the orders that still have copies to check, the oldest first."""
    order_by = (verifications.c.requested_at, verifications.c.id)
    return _several(tx, sa.select(verifications).where(IS_VERIFYING).order_by(*order_by))


def latest_order(tx: Tx, *, volume: str, identifier: str) -> datetime | None:
    """Return when the newest order was given that still runs and covers this package on this volume."""
    covers = sa.and_(verifications.c.volume.in_(["", volume]), verifications.c.identifier.in_(["", identifier]))
    newest: datetime | None = tx.connection.scalar(
        sa.select(sa.func.max(verifications.c.requested_at)).where(IS_VERIFYING, covers)
    )
    return newest


def note(tx: Tx, copy: Copy, identifier: str, *, good: bool) -> None:
    """Count a check that has just concluded in every running order that covers it and has not counted it yet.

    ``copy`` is the copy as it was before the check. What was written after an order is no part of it.
    """
    for order_ in running(tx):
        covered = order_.volume in ("", copy.volume) and order_.identifier in ("", identifier)
        covered = covered and (copy.written_at is None or copy.written_at <= order_.requested_at)
        if covered and (copy.checked_at is None or copy.checked_at < order_.requested_at):
            count(tx, order_.id, checked=1, good=int(good), bad=int(not good))


def unreached(tx: Tx, order_: Verification) -> int:
    """Return how many of an order's copies wait for a volume that cannot be read now."""
    if order_.state is VerificationState.DONE:
        return 0
    away = sa.select(volumes.c.id).where(volumes.c.condition.not_in(READABLE))
    if order_.volume:
        away = away.where(volumes.c.name == order_.volume)
    wanting = sa.or_(copies.c.checked_at.is_(None), copies.c.checked_at < order_.requested_at)
    # What was written after the order is no part of it.
    of_it = sa.or_(copies.c.written_at.is_(None), copies.c.written_at <= order_.requested_at)
    query = sa.select(sa.func.count()).select_from(copies).where(IS_HELD, copies.c.volume_id.in_(away), wanting, of_it)
    if order_.identifier:
        of_package = sa.select(versions.c.id).join(packages).where(packages.c.identifier == order_.identifier)
        query = query.where(copies.c.version_id.in_(of_package))
    return tx.connection.scalar(query) or 0


def listing(tx: Tx, *, limit: int) -> list[Verification]:
    """Return the orders, the newest first."""
    order_by = (verifications.c.requested_at.desc(), verifications.c.id)
    return _several(tx, sa.select(verifications).order_by(*order_by).limit(limit))


def count(tx: Tx, verification_id: str, *, checked: int = 0, good: int = 0, bad: int = 0, skipped: int = 0) -> None:
    """Add to an order's numbers. Owes no event: each check has its own. Raises :class:`NotFound`."""
    _present(tx, verification_id)
    tx.connection.execute(
        verifications.update()
        .where(verifications.c.id == verification_id)
        .values(
            checked=verifications.c.checked + checked,
            good=verifications.c.good + good,
            bad=verifications.c.bad + bad,
            skipped=verifications.c.skipped + skipped,
        )
    )


def finish(tx: Tx, verification_id: str) -> Verification:
    """Note that nothing is left to check. Owes an event. Raises :class:`NotFound`, and Refused when it had ended."""
    if _present(tx, verification_id).state is VerificationState.DONE:
        raise Refused(f"The verification {verification_id} has ended already.", code="bad-transition")
    tx.owe()
    tx.connection.execute(
        verifications.update()
        .where(verifications.c.id == verification_id)
        .values(state=VerificationState.DONE, finished_at=tx.now)
    )
    return _present(tx, verification_id)


def _present(tx: Tx, verification_id: str) -> Verification:
    found = get(tx, verification_id)
    if found is None:
        raise NotFound(f"There is no verification {verification_id}.")
    return found
