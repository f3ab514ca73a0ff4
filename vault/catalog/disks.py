"""Disks as the catalogue knows them, and what they told day by day. Known by identity, never by a device's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime

import sqlalchemy as sa

from vault.catalog.changes import about
from vault.catalog.device_tables import disk_history, disks
from vault.catalog.engine import Tx
from vault.catalog.schema import volumes
from vault.device_model import Disk, DiskDay, Health
from vault.errors import Conflict, NotFound

MOST: int = 10_000
"""So many disks are remembered; of those that are gone, the ones that have been so for longest are forgotten."""


def all(tx: Tx) -> list[Disk]:  # noqa: A001 - read as disks.all
    """Return every disk that is remembered, by key."""
    return [Disk(**row) for row in tx.connection.execute(sa.select(disks).order_by(disks.c.key)).mappings()]


def put(tx: Tx, disk: Disk) -> bool:
    """Remember a disk as it is now. Return whether its health, or its being there, is another; only then an event is
    owed."""
    values = {name: getattr(disk, name) for name in Disk.__slots__}
    before = tx.connection.execute(sa.select(disks.c.health, disks.c.present).where(disks.c.key == disk.key)).first()
    changed = before is None or (before[0], before[1]) != (disk.health, disk.present)
    if changed:
        tx.owe()
    if before is None:
        tx.connection.execute(disks.insert().values(**values))
    else:
        tx.connection.execute(disks.update().where(disks.c.key == disk.key).values(**values))
    return changed


def put_day(tx: Tx, day: DiskDay) -> None:
    """Remember what a disk told on a day; what it told earlier on that day is replaced."""
    where = sa.and_(disk_history.c.key == day.key, disk_history.c.day == day.day.isoformat())
    values: Mapping[str, object] = {"health": day.health, "readings": day.readings}
    if not tx.connection.execute(disk_history.update().where(where).values(**values)).rowcount:
        tx.connection.execute(disk_history.insert().values(key=day.key, day=day.day.isoformat(), **values))


def history(tx: Tx, since: date, keys: Collection[str] | None = None) -> dict[str, list[DiskDay]]:
    """Return the days from ``since`` on, by disk (of ``keys`` only, where given), the oldest first."""
    query = sa.select(disk_history).where(disk_history.c.day >= since.isoformat()).order_by(disk_history.c.day)
    if keys is not None:
        query = query.where(disk_history.c.key.in_(keys))
    found: dict[str, list[DiskDay]] = {}
    for row in tx.connection.execute(query).mappings():
        day = DiskDay(row["key"], date.fromisoformat(row["day"]), row["health"], row["readings"])
        found.setdefault(day.key, []).append(day)
    return found


def forget(tx: Tx, before: date, gone_since: datetime) -> None:
    """Forget the days before that one, and disks that have not been there since then."""
    tx.connection.execute(disk_history.delete().where(disk_history.c.day < before.isoformat()))
    tx.connection.execute(disks.delete().where(disks.c.present == False, disks.c.seen_at < gone_since))  # noqa: E712
    oldest = sa.select(disks.c.key).order_by(disks.c.present.desc(), disks.c.seen_at.desc()).offset(MOST).limit(MOST)
    surplus = list(tx.connection.scalars(oldest))
    if surplus:
        tx.connection.execute(disks.delete().where(disks.c.key.in_(surplus)))


def let_go(tx: Tx, key: str) -> Disk:
    """Forget a disk that is not there any more and return it as it was; its days stay for as long as all do. Owes an
    event. Raises :class:`NotFound`; :class:`Conflict` for one that is there: the next report would bring it back."""
    disk = next((disk for disk in all(tx) if disk.key == key), None)
    if disk is None:
        raise NotFound(f"There is no disk {key[:100]!r}.", remedy="vaultctl disks lists them.", code="no-such-disk")
    if disk.present:
        raise Conflict(
            f"The disk {key} is there, at {disk.device}.",
            remedy="Only a disk that was taken out can be forgotten.",
            code="disk-present",
        )
    tx.owe()
    tx.connection.execute(disks.delete().where(disks.c.key == key))
    return disk


def set_volume_health(tx: Tx, volume_id: int, health: Health, reason: str) -> bool:
    """Record what is thought of what a volume stands on. Return whether it is another; only then an event is owed."""
    before = tx.connection.execute(
        sa.select(volumes.c.health, volumes.c.health_reason).where(volumes.c.id == volume_id)
    ).one()
    if tuple(before) == (health, reason):
        return False
    changed: bool = before[0] is not health
    if changed:
        tx.owe()
    this = volumes.update().where(volumes.c.id == volume_id)
    tx.connection.execute(about(this.values(health=health, health_reason=reason)))
    return changed
