"""Tape cartridges: what is known of each, where copies stand on them, and which are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from vault.catalog.changes import about
from vault.catalog.engine import Tx
from vault.catalog.schema import IS_ASKED_FOR, IS_DUE_SOME_TIME, cartridges, copies, mount_requests, tape_files, volumes
from vault.errors import NotFound
from vault.model import Json
from vault.tape_model import Adopted, Cartridge, CartridgeState, MountRequest, TapeFile, Whereabouts

MOST_ALERTS: Final = 50
"""So many TapeAlert flags are kept of a cartridge, the newest."""


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]]) -> list[Cartridge]:
    return [Cartridge(**row) for row in tx.connection.execute(query).mappings()]


def get(tx: Tx, barcode: str) -> Cartridge | None:
    """Return the cartridge with that barcode, or None."""
    found = _several(tx, sa.select(cartridges).where(cartridges.c.barcode == barcode))
    return found[0] if found else None


def need(tx: Tx, barcode: str) -> Cartridge:
    """Return the cartridge with that barcode. Raises :class:`NotFound`."""
    found = get(tx, barcode)
    if found is None:
        raise NotFound(
            f"There is no cartridge {barcode[:100]!r}.",
            remedy="Look at vaultctl tapes; one that is new is met when it is put into a library.",
            code="no-such-cartridge",
        )
    return found


def all(tx: Tx) -> list[Cartridge]:  # noqa: A001 - read as cartridges.all
    """Return every cartridge, by barcode."""
    return _several(tx, sa.select(cartridges).order_by(cartridges.c.barcode))


def add(
    tx: Tx, barcode: str, *, library: str, generation: str, state: CartridgeState, reason: str = "", element: str = ""
) -> Cartridge:
    """Make a cartridge known that was seen in a library. Owes an event."""
    tx.owe()
    tx.connection.execute(
        cartridges.insert().values(
            barcode=barcode,
            volume_id=None,
            library=library,
            generation=generation,
            pool="",
            state=state,
            whereabouts=Whereabouts.LIBRARY,
            element=element,
            shelf="",
            reason=reason,
            index_generation=0,
            loads=0,
            errors=0,
            alerts=[],
            seen_at=tx.now,
            added_at=tx.now,
            adopted=Adopted.OURS,
            origin="",
            cleanings=0,
            bytes_read=0,
            bytes_written=0,
            life={},
        )
    )
    return need(tx, barcode)


def seen(tx: Tx, barcode: str, element: str) -> None:
    """Note where in its library it was just seen. Owes no event: only its coming and going is one."""
    _update(tx, barcode, element=element, seen_at=tx.now)


def taken(tx: Tx, barcode: str) -> None:
    """Note that one that is not in its library's care no longer stands in it. Owes no event."""
    _update(tx, barcode, element="")


def place(tx: Tx, barcode: str, whereabouts: Whereabouts, *, element: str = "", shelf: str | None = None) -> None:
    """Record that it came, went, or was taken away. Owes an event."""
    tx.owe()
    values: dict[str, object] = {"whereabouts": whereabouts, "element": element}
    if shelf is not None:
        values["shelf"] = shelf
    if whereabouts is Whereabouts.LIBRARY:
        values["seen_at"] = tx.now
    _update(tx, barcode, **values)


def set_state(tx: Tx, barcode: str, state: CartridgeState, reason: str = "") -> None:
    """Record what it is good for from now on, and why. Owes an event."""
    tx.owe()
    _update(tx, barcode, state=state, reason=reason)


def belongs(tx: Tx, barcode: str, library: str) -> None:
    """Record that it was seen in another library. Owes an event."""
    tx.owe()
    _update(tx, barcode, library=library)


def formatted(tx: Tx, barcode: str, *, volume_id: int, pool: str, state: CartridgeState) -> None:
    """Record that it bears a volume of a pool, just made (or, READ_ONLY, known from before). Owes an event."""
    tx.owe()
    values: dict[str, object] = {"volume_id": volume_id, "pool": pool, "state": state, "reason": ""}
    if state is CartridgeState.APPENDABLE:
        values.update(formatted_at=tx.now, index_generation=1, adopted=Adopted.OURS, origin="", files=None)
    _update(tx, barcode, **values)


def adopted(
    tx: Tx, barcode: str, kind: Adopted, *, volume_id: int, origin: str, generation: int, files: int, reason: str
) -> None:
    """Record that it was brought from elsewhere, and is only read. Owes an event."""
    tx.owe()
    _update(
        tx, barcode, volume_id=volume_id, pool="", state=CartridgeState.READ_ONLY, reason=reason, adopted=kind,
        origin=origin, index_generation=generation, files=files,
    )  # fmt: skip


def rewritten(tx: Tx, volume_id: int, uuid: UUID) -> None:
    """Record that a volume's cartridge was formatted anew, as another volume. Owes an event."""
    tx.owe()
    tx.connection.execute(volumes.update().where(volumes.c.id == volume_id).values(uuid=uuid))


def written(tx: Tx, barcode: str, *, generation: int, size_bytes: int | None, free_bytes: int | None) -> None:
    """Record what its last index is, and how much room is left. Owes no event: the session has its own."""
    _update(tx, barcode, index_generation=generation, written_at=tx.now)
    volume_id = need(tx, barcode).volume_id
    if volume_id is not None:
        values: dict[str, object] = {"free_bytes": free_bytes}
        if size_bytes is not None:
            values["size_bytes"] = size_bytes
        tx.connection.execute(about(volumes.update().where(volumes.c.id == volume_id).values(**values)))


def loaded(tx: Tx, barcode: str, element: str) -> None:
    """Count a load. Owes no event."""
    _update(tx, barcode, loads=cartridges.c.loads + 1, element=element, seen_at=tx.now)


def failed(tx: Tx, barcode: str) -> None:
    """Count an error. Owes no event."""
    _update(tx, barcode, errors=cartridges.c.errors + 1)


def cleaned_with(tx: Tx, barcode: str) -> None:
    """Count a use of a cleaning cartridge. Owes no event: the cleaning has its own."""
    _update(tx, barcode, cleanings=cartridges.c.cleanings + 1, loads=cartridges.c.loads + 1, seen_at=tx.now)


def moved(tx: Tx, barcode: str, *, read: int = 0, written: int = 0) -> None:
    """Count bytes. Owes no event."""
    _update(tx, barcode, bytes_read=cartridges.c.bytes_read + read, bytes_written=cartridges.c.bytes_written + written)


def told(tx: Tx, barcode: str, life: Mapping[str, int]) -> None:
    """Note what the cartridge's memory counts. Owes no event."""
    _update(tx, barcode, life=dict(life))


def alerted(tx: Tx, barcode: str, alerts: Collection[Json]) -> None:
    """Add TapeAlert flags. Owes an event."""
    tx.owe()
    _update(tx, barcode, alerts=[*need(tx, barcode).alerts, *alerts][-MOST_ALERTS:])


# --- where copies stand


def set_file(tx: Tx, file: TapeFile) -> None:
    """Note where a copy stands on its cartridge. Owes no event."""
    tx.connection.execute(tape_files.delete().where(tape_files.c.copy_id == file.copy_id))
    tx.connection.execute(
        tape_files.insert().values(
            copy_id=file.copy_id, path=file.path, start_block=file.start_block, length=file.length
        )
    )


def forget_files(tx: Tx, volume_id: int) -> None:
    """Note that where copies stood on a cartridge is no longer so: it was formatted anew. Owes no event."""
    mine = sa.select(copies.c.id).where(copies.c.volume_id == volume_id)
    tx.connection.execute(tape_files.delete().where(tape_files.c.copy_id.in_(mine)))


def files(tx: Tx, copy_ids: Collection[int]) -> dict[int, TapeFile]:
    """Return where these copies stand, by their numbers; those of which it is not known are absent."""
    if not copy_ids:
        return {}
    query = sa.select(tape_files).where(tape_files.c.copy_id.in_(sorted(copy_ids)))
    return {row["copy_id"]: TapeFile(**row) for row in tx.connection.execute(query).mappings()}


def by_path(tx: Tx, volume_id: int) -> dict[str, TapeFile]:
    """Return where copies stand on a cartridge, also those that are retired, by their paths."""
    query = sa.select(tape_files).join(copies, tape_files.c.copy_id == copies.c.id)
    rows = tx.connection.execute(query.where(copies.c.volume_id == volume_id)).mappings()
    return {row["path"]: TapeFile(**row) for row in rows}


# --- requests to mount


def ask_for(tx: Tx, barcode: str, reason: str) -> bool:
    """Ask for a cartridge, unless it is asked for already; then only the reason is renewed. Owes an event if so."""
    query = mount_requests.update().where(IS_ASKED_FOR, mount_requests.c.barcode == barcode)
    if tx.connection.execute(query.values(reason=reason)).rowcount:
        return False
    tx.owe()
    tx.connection.execute(
        mount_requests.insert().values(barcode=barcode, reason=reason, requested_at=tx.now, ended_by="")
    )
    return True


def end_request(tx: Tx, barcode: str, agent: str) -> bool:
    """Note that a cartridge came, or is no longer needed; return whether it was asked for. Owes an event if so."""
    query = mount_requests.update().where(IS_ASKED_FOR, mount_requests.c.barcode == barcode)
    ended = tx.connection.execute(query.values(ended_at=tx.now, ended_by=agent)).rowcount > 0
    if ended:
        tx.owe()
    return ended


def requests(tx: Tx) -> list[MountRequest]:
    """Return the open requests, the oldest first."""
    query = sa.select(mount_requests).where(IS_ASKED_FOR).order_by(mount_requests.c.requested_at, mount_requests.c.id)
    return [MountRequest(**row) for row in tx.connection.execute(query).mappings()]


def next_due(tx: Tx) -> dict[int, datetime]:
    """Return for each tape when the first of its copies is to be checked again, by the volume's number."""
    earliest = (  # the first entry of a range of the index, and not the whole range
        sa.select(sa.func.min(copies.c.due_at))
        .where(copies.c.volume_id == cartridges.c.volume_id, IS_DUE_SOME_TIME)
        .correlate(cartridges)
        .scalar_subquery()
    )
    query = sa.select(cartridges.c.volume_id, earliest).where(cartridges.c.volume_id.is_not(None))
    return {volume_id: due for volume_id, due in tx.connection.execute(query) if due is not None}


def _update(tx: Tx, barcode: str, **values: object) -> None:
    updated = tx.connection.execute(cartridges.update().where(cartridges.c.barcode == barcode).values(**values))
    if updated.rowcount == 0:
        need(tx, barcode)
