"""The one place where what a database reports becomes one of the program's own errors."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from vault.errors import ConfigError, Corrupted, Full, Refused, Unreachable, VaultError

BUSY: Final = "catalogue-busy"
"""Code of the :class:`Unreachable` that goes away by itself: the same work may be tried again."""

OUTAGES: Final = frozenset({BUSY, "catalogue-unreachable", "catalogue-gone", "catalogue-in-use", "catalogue-damaged"})
"""Codes by which the catalogue says of itself that it cannot be used: they tell nothing of any volume."""

_NO_SCHEMA: Final = "Start vaultd, which creates and upgrades the catalogue, or restore a backup of it."
_REBUILD: Final = (
    "Stop vaultd, keep the damaged file, and restore the newest backup of the catalogue; what is on the volumes is not"
    " touched by this."
)


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise the program's errors for a database's while the body runs. ``place`` names the database, for people.

    Unreachable: it is locked (code ``catalogue-busy``), down, or does not let us in. Full: no room. Corrupted: its file
    is damaged. ConfigError: there is no schema in it, or it does not let us do what we must. Anything else is a mistake
    of this program and passes unchanged.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise Unreachable(
            f"Every connection to the catalogue {place} is in use.",
            remedy="Try again; if it stays so, restart vaultd and report it.",
            code=BUSY,
        ) from error
    except sa.exc.DBAPIError as error:
        original = error.orig
        if isinstance(original, sqlite3.Error):
            found = _explain_sqlite(original, place)
        else:
            found = _explain_postgresql(error, place)
        if found is None:
            raise
        raise found from error
    except sqlite3.Error as error:
        found = _explain_sqlite(error, place)
        if found is None:
            raise
        raise found from error


def _explain_sqlite(error: sqlite3.Error, place: str) -> VaultError | None:
    """See https://sqlite.org/rescode.html; the low byte of the code is its class."""
    full_code: int = getattr(error, "sqlite_errorcode", 0)
    code = full_code & 0xFF
    said = f"The catalogue {place} says: {error}."
    found: VaultError | None = None
    if "no such table" in str(error):
        found = ConfigError(f"There is no schema in the catalogue {place}, or an old one.", remedy=_NO_SCHEMA)
    elif code == sqlite3.SQLITE_FULL or full_code == sqlite3.SQLITE_IOERR_SHMSIZE:
        found = Full(said, remedy="Make room on the file system that holds it; nothing of this change was kept.")
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        remedy = "Another program holds it locked: look who (fuser), and try again."
        found = Unreachable(said, remedy=remedy, code=BUSY)
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        found = Corrupted(said, remedy=_REBUILD, code="catalogue-damaged")
    elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        remedy = "Look whether the file and its folder are there and the service's user may write to them."
        found = Unreachable(said, remedy=remedy, code="catalogue-unreachable")
    elif code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        remedy = "The disk that holds it reports errors; look in the kernel log (dmesg) and at SMART."
        found = Unreachable(said, remedy=remedy, code="catalogue-unreachable")
    return found


def _explain_postgresql(error: sa.exc.DBAPIError, place: str) -> VaultError | None:
    """See PostgreSQL's manual, Appendix A, for the codes. Without a code the connection itself failed."""
    state: str = getattr(error.orig, "sqlstate", None) or ""
    said = f"The catalogue {place} says: {' '.join(str(error.orig).split())}."
    lost = not state and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    found: VaultError | None = None
    if state in ("40001", "40P01", "55P03"):
        found = Unreachable(said, remedy="Others were quicker; try again.", code=BUSY)
    elif state in ("42P01", "3F000"):
        found = ConfigError(f"There is no schema in the catalogue {place}, or an old one.", remedy=_NO_SCHEMA)
    elif state in ("3D000", "42501") or state.startswith("28"):
        found = ConfigError(said, remedy="Look at [catalog] url, and at the database's roles and pg_hba.conf.")
    elif state == "53100":
        found = Full(said, remedy="Make room on the database server; nothing of this change was kept.")
    elif state in ("XX001", "XX002"):
        remedy = "Restore the database from its backup."
        found = Corrupted(said, remedy=remedy, code="catalogue-damaged")
    elif lost or state.startswith(("08", "53", "57", "58")) or state in ("25P03", "25P04"):
        # What a server says to who may not come in has no code either: the driver hands on its words alone.
        remedy = "Look whether the database server runs and can be reached, and lets in whom [catalog] url names."
        found = Unreachable(said, remedy=remedy, code="catalogue-unreachable")
    return found


def refuse_on_postgresql(what: str) -> Refused:
    """The error for what only a catalogue in SQLite can do."""
    return Refused(
        f"{what} is only for a catalogue in SQLite.",
        remedy="Use PostgreSQL's own tool: pg_dump --format=custom.",
        code="not-for-postgresql",
    )
