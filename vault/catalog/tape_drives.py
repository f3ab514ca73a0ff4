"""Tape drives: what they told, what was moved with them, and whether they ask to be cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from vault.catalog.device_tables import tape_drives
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.tape_model import CleaningNeed, TapeDrive


def all(tx: Tx) -> list[TapeDrive]:  # noqa: A001 - read as tape_drives.all
    """Return every drive, by library and number."""
    query = sa.select(tape_drives).order_by(tape_drives.c.library, tape_drives.c.number, tape_drives.c.serial)
    return [TapeDrive(**row) for row in tx.connection.execute(query).mappings()]


def at(tx: Tx, library: str, number: int) -> TapeDrive | None:
    """Return the drive that was last seen at this place, or None."""
    query = (
        sa.select(tape_drives)
        .where(tape_drives.c.library == library, tape_drives.c.number == number)
        .order_by(tape_drives.c.seen_at.desc())
    )
    row = tx.connection.execute(query).mappings().first()
    return None if row is None else TapeDrive(**row)


def seen(
    tx: Tx, serial: str, *, library: str, number: int, vendor: str, product: str, revision: str, problem: str = ""
) -> None:
    """Note that a drive is there, and whether it can be used. Owes no event."""
    values = {"library": library, "number": number, "problem": problem}
    if not problem:
        values |= {"vendor": vendor, "product": product, "revision": revision, "seen_at": tx.now}
    if tx.connection.execute(tape_drives.update().where(tape_drives.c.serial == serial).values(**values)).rowcount:
        return
    whole = {"vendor": vendor, "product": product, "revision": revision, "seen_at": tx.now, **values}
    counts = dict.fromkeys(("cleanings", "loads", "errors", "bytes_read", "read_ms", "bytes_written", "write_ms"), 0)
    tx.connection.execute(
        tape_drives.insert().values(
            serial=serial, alerts={}, cleaning=CleaningNeed.NO, life={}, failing={}, held="", **counts, **whole
        )
    )


def alerted(tx: Tx, drive: TapeDrive, flags: Iterable[str]) -> None:
    """Note that these TapeAlert flags were raised just now. Owes an event."""
    tx.owe()
    _update(tx, drive.serial, alerts={**drive.alerts, **dict.fromkeys(flags, to_text(tx.now))})


def heard(tx: Tx, serial: str) -> None:
    """Note that its TapeAlert flags can be read. Owes no event."""
    _update(tx, serial, heard_at=tx.now)


def asks(tx: Tx, drive: TapeDrive, need: CleaningNeed) -> None:
    """Note whether a drive asks to be cleaned. Owes an event."""
    tx.owe()
    since = None if need is CleaningNeed.NO else drive.asked_at or tx.now
    _update(tx, drive.serial, cleaning=need, asked_at=since)


def cleaned(tx: Tx, serial: str) -> None:
    """Note that it was cleaned. Owes an event."""
    tx.owe()
    _update(
        tx, serial, cleaned_at=tx.now, cleanings=tape_drives.c.cleanings + 1, cleaning=CleaningNeed.NO, asked_at=None
    )


def loaded(tx: Tx, library: str, number: int) -> None:
    """Count a load. Owes no event."""
    here = (tape_drives.c.library == library, tape_drives.c.number == number)
    tx.connection.execute(tape_drives.update().where(*here).values(loads=tape_drives.c.loads + 1))


def failed(tx: Tx, library: str, number: int) -> None:
    """Count an error. Owes no event."""
    here = (tape_drives.c.library == library, tape_drives.c.number == number)
    tx.connection.execute(tape_drives.update().where(*here).values(errors=tape_drives.c.errors + 1))


def moved(tx: Tx, library: str, number: int, *, read: int, written: int, seconds: float) -> None:
    """Count bytes, and how long moving them took. Owes no event."""
    spent = round(seconds * 1000)
    values = {
        "bytes_read": tape_drives.c.bytes_read + read,
        "read_ms": tape_drives.c.read_ms + (spent if read else 0),
        "bytes_written": tape_drives.c.bytes_written + written,
        "write_ms": tape_drives.c.write_ms + (spent if written else 0),
    }
    here = (tape_drives.c.library == library, tape_drives.c.number == number)
    tx.connection.execute(tape_drives.update().where(*here).values(**values))


def told(tx: Tx, library: str, number: int, life: Mapping[str, int]) -> None:
    """Note what a drive counts of itself. Owes no event."""
    here = (tape_drives.c.library == library, tape_drives.c.number == number)
    tx.connection.execute(tape_drives.update().where(*here).values(life=dict(life)))


def note_failing(tx: Tx, serial: str, failing: Mapping[str, str]) -> None:
    """Note which cartridges failed in it, one after another. Owes no event."""
    _update(tx, serial, failing=dict(failing))


def hold(tx: Tx, serial: str, why: str) -> None:
    """Note that nothing is to be loaded into it, or (no reason) that it is in order again. Owes an event."""
    tx.owe()
    _update(tx, serial, held=why, held_at=tx.now if why else None)


def _update(tx: Tx, serial: str, **values: object) -> None:
    tx.connection.execute(tape_drives.update().where(tape_drives.c.serial == serial).values(**values))
