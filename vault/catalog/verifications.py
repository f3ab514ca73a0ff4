"""Orders to check copies now. Which copies are still to do follows from the copies (``copies.unchecked``)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_HELD, copies, packages, versions, volumes
from vault.catalog.verification_tables import IS_VERIFYING, verification_sample, verifications
from vault.errors import Conflict, NotFound, Refused
from vault.model import READABLE, Copy, Verification, VerificationState

_RUNNING = sa.select(verifications).where(IS_VERIFYING).order_by(verifications.c.requested_at, verifications.c.id)


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]]) -> list[Verification]:
    return [Verification(**row) for row in tx.connection.execute(query).mappings()]


def order(
    tx: Tx,
    verification_id: str,
    volume: str,
    identifier: str,
    agent: str,
    total: int = 0,
    *,
    fonds: str = "",
    sample: int = 0,
) -> Verification:
    """Order the check of every copy on ``volume``, of the package ``identifier``, of the fonds; each empty for all.

    With ``sample`` of so many packages of these, which are chosen at random now. ``total`` is how many copies that is;
    for a fonds or a sample it is counted here. Owes an event. Raises :class:`Conflict` for an id in use.
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
            fonds=fonds,
            sample=sample,
        )
    )
    made = _present(tx, verification_id)
    if sample:
        _choose(tx, made)
    if sample or fonds:
        counted = sa.select(sa.func.count()).select_from(copies).join(versions).where(IS_HELD, *_limits(made))
        total = tx.connection.scalar(counted) or 0
        tx.connection.execute(verifications.update().where(verifications.c.id == verification_id).values(total=total))
    return _present(tx, verification_id)


def _choose(tx: Tx, order_: Verification) -> None:
    """Choose the packages of a sample among those with copies in the scope. It looks at all of them, once."""
    held = sa.select(versions.c.package_id).select_from(versions).join(copies).where(IS_HELD)
    if order_.volume:
        held = held.where(copies.c.volume_id.in_(sa.select(volumes.c.id).where(volumes.c.name == order_.volume)))
    if order_.fonds:
        held = held.where(versions.c.package_id.in_(_of_fonds(order_.fonds)))
    chosen = held.distinct().subquery()
    some = sa.select(sa.literal(order_.id), chosen.c.package_id).order_by(sa.func.random()).limit(order_.sample)
    tx.connection.execute(verification_sample.insert().from_select(["verification_id", "package_id"], some))


def _of_fonds(fonds: str) -> sa.Select[tuple[int]]:
    return sa.select(packages.c.id).where(packages.c.fonds == fonds)


def among(order_: Verification) -> sa.Select[tuple[int]] | None:
    """The numbers of the packages in an order's scope, where that is a fonds or a sample; None for any."""
    if order_.sample:
        return sa.select(verification_sample.c.package_id).where(verification_sample.c.verification_id == order_.id)
    return _of_fonds(order_.fonds) if order_.fonds else None


def _limits(order_: Verification) -> list[sa.ColumnElement[bool]]:
    """The scope as conditions on copies joined with their versions."""
    limits: list[sa.ColumnElement[bool]] = []
    if order_.volume:
        limits.append(copies.c.volume_id.in_(sa.select(volumes.c.id).where(volumes.c.name == order_.volume)))
    if order_.identifier:
        named = sa.select(packages.c.id).where(packages.c.identifier == order_.identifier)
        limits.append(versions.c.package_id.in_(named))
    chosen = among(order_)
    if chosen is not None:
        limits.append(versions.c.package_id.in_(chosen))
    return limits


def covers(tx: Tx, order_: Verification, volume: str, identifier: str) -> bool:
    """Whether an order's scope has the copies of that package on that volume."""
    if order_.volume not in ("", volume) or order_.identifier not in ("", identifier):
        return False
    chosen = among(order_)
    if chosen is None:
        return True
    mine = sa.select(packages.c.id).where(packages.c.identifier == identifier, packages.c.id.in_(chosen))
    return tx.connection.scalar(mine) is not None


def get(tx: Tx, verification_id: str) -> Verification | None:
    """Return the order of that id, or None."""
    found = _several(tx, sa.select(verifications).where(verifications.c.id == verification_id))
    return found[0] if found else None


def running(tx: Tx) -> list[Verification]:
    """Return the orders that still have copies to check, the oldest first."""
    return _several(tx, _RUNNING)


def latest_order(tx: Tx, *, volume: str, identifier: str) -> datetime | None:
    """Return when the newest order was given that still runs and covers this package on this volume."""
    return max((o.requested_at for o in running(tx) if covers(tx, o, volume, identifier)), default=None)


def note(tx: Tx, copy: Copy, identifier: str, *, good: bool) -> None:
    """Count a check that has just concluded in every running order that covers it and has not counted it yet.

    ``copy`` is the copy as it was before the check. What was written after an order is no part of it.
    """
    for order_ in running(tx):
        was_there = copy.written_at is None or copy.written_at <= order_.requested_at
        unchecked = copy.checked_at is None or copy.checked_at < order_.requested_at
        if was_there and unchecked and covers(tx, order_, copy.volume, identifier):
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
    held = (IS_HELD, copies.c.volume_id.in_(away), wanting, of_it)
    query = sa.select(sa.func.count()).select_from(copies).join(versions).where(*held, *_limits(order_))
    return tx.connection.scalar(query) or 0


def newest_of_volume(tx: Tx, volume: str) -> datetime | None:
    """Return when a check of a volume, or of a sample of it, was last ordered."""
    mine = sa.and_(verifications.c.volume == volume, verifications.c.identifier == "", verifications.c.fonds == "")
    query = sa.select(verifications.c.requested_at).where(mine).order_by(verifications.c.requested_at.desc()).limit(1)
    found: datetime | None = tx.connection.scalar(query)
    return found


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
