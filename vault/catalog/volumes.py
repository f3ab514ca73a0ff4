"""Volumes as the catalogue knows them; what they are on the machine is :mod:`vault.volumes`."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import sqlalchemy as sa

from vault.catalog.changes import about
from vault.catalog.engine import Tx
from vault.catalog.schema import volumes
from vault.errors import Conflict, NotFound
from vault.model import Condition, MediumClass, Volume, VolumeMode

_ALL = sa.select(volumes).order_by(volumes.c.name)
_BY_NAME = sa.select(volumes).where(volumes.c.name == sa.bindparam("named"))
_BY_ID = sa.select(volumes).where(volumes.c.id == sa.bindparam("this"))
_REMEMBERED = "volumes"


def register(tx: Tx, *, uuid: UUID, name: str, kind: str, medium: MediumClass, domain: str, site: str) -> Volume:
    """Make a volume known: active, its condition unknown. Owes an event.

    Raises :class:`Conflict` when the name or the identity is already that of another one.
    """
    taken = tx.connection.execute(
        sa.select(volumes.c.name, volumes.c.uuid).where(sa.or_(volumes.c.name == name, volumes.c.uuid == uuid))
    ).first()
    if taken is not None:
        raise Conflict(
            f"Volume {name} ({uuid}) cannot be added: {taken[0]} ({taken[1]}) is known already.",
            remedy="Give it a name of its own, or look whether one medium is configured twice.",
            code="volume-exists",
        )
    tx.owe()
    tx.connection.execute(
        volumes.insert().values(
            uuid=uuid,
            name=name,
            kind=kind,
            medium=medium,
            domain=domain,
            site=site,
            mode=VolumeMode.ACTIVE,
            condition=Condition.UNKNOWN,
            condition_reason="",
            added_at=tx.now,
        )
    )
    added = get(tx, name)
    assert added is not None  # noqa: S101 - it was inserted in this transaction
    return added


def get(tx: Tx, name: str) -> Volume | None:
    """Return the volume of that name, or None."""
    row = tx.connection.execute(_BY_NAME, {"named": name}).mappings().first()
    return None if row is None else Volume(**row)


def all(tx: Tx, *, but: MediumClass | None = None) -> list[Volume]:  # noqa: A001 - read as volumes.all
    """Return every volume, by name; without those of a medium, where one is given.

    All of them are read once in a transaction, and again after it changed one.
    """
    if but is not None:
        return [Volume(**row) for row in tx.connection.execute(_ALL.where(volumes.c.medium != but)).mappings()]
    when, found = cast("tuple[int, tuple[Volume, ...]]", tx.remembered.get(_REMEMBERED, (-1, ())))
    if when != tx.gathered.volumes:
        found = tuple(Volume(**row) for row in tx.connection.execute(_ALL).mappings())
        tx.remembered[_REMEMBERED] = (tx.gathered.volumes, found)
    return list(found)


def set_condition(
    tx: Tx, volume_id: int, condition: Condition, reason: str, size_bytes: int | None, free_bytes: int | None
) -> bool:
    """Record what a probe saw, and when. Return whether the condition is another one; only then an event is owed."""
    changed = _require(tx, volume_id).condition is not condition
    if changed:
        tx.owe()
    seen = {"condition": condition, "condition_reason": reason, "size_bytes": size_bytes, "free_bytes": free_bytes}
    # Nothing that is told of a package: a copy keeps the state last proved, wherever its volume is.
    this = volumes.update().where(volumes.c.id == volume_id)
    tx.connection.execute(about(this.values(**seen, probed_at=tx.now)))
    return changed


def set_mode(tx: Tx, volume_id: int, mode: VolumeMode) -> None:
    """Record what the operator wants of a volume. Owes an event. Raises :class:`NotFound`."""
    _require(tx, volume_id)
    tx.owe()
    _update(tx, volume_id, mode=mode)


def succeed(tx: Tx, volume_id: int, uuid: UUID) -> None:
    """Record that another medium stands in a volume's place from now on, active. Owes an event. Raises
    :class:`NotFound`."""
    _require(tx, volume_id)
    tx.owe()
    _update(tx, volume_id, uuid=uuid, mode=VolumeMode.ACTIVE, condition=Condition.UNKNOWN, condition_reason="")


def describe(tx: Tx, volume_id: int, *, domain: str, site: str) -> None:
    """Record the failure domain and site that a volume is in now. Owes an event. Raises :class:`NotFound`."""
    _require(tx, volume_id)
    tx.owe()
    _update(tx, volume_id, domain=domain, site=site)


def _require(tx: Tx, volume_id: int) -> Volume:
    row = tx.connection.execute(_BY_ID, {"this": volume_id}).mappings().first()
    if row is None:
        raise NotFound(f"There is no volume number {volume_id}.")
    return Volume(**row)


def _update(tx: Tx, volume_id: int, **values: object) -> None:
    tx.connection.execute(volumes.update().where(volumes.c.id == volume_id).values(**values))
