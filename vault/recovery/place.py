"""Where the new catalogue is built, unseen, until it takes the old one's place, which is moved aside and kept."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa

from vault.catalog import facts, migration, schema
from vault.catalog.engine import Catalogue, Tx, parse_url
from vault.clock import Clock, to_text
from vault.durable import describe_os_error, fsync_directory, rename_durably
from vault.errors import ConfigError, VaultError

UNFINISHED: Final = "rebuild-unfinished"
"""Fact that stands in a catalogue while it is being rebuilt; a daemon does not start on it."""

_LOGS: Final = ("-wal", "-shm")
_WHOLE: Final = ".rebuilt"
_FRESH: Final = ".rebuilding"


class Place(Protocol):
    """One database that a rebuild fills."""

    catalogue: Catalogue

    def current(self) -> bool:
        """Fill it with the catalogue that is there now, if that can be read whole; tell whether that was so."""

    def clear(self) -> None:
        """Empty it again, schema and all."""

    def finish(self, now: datetime) -> str:
        """Put it where the daemon looks for it, durably. Returns where what stood there is now; "" if nothing did."""

    def close(self) -> None:
        """Let go of it."""


def mark(connection: sa.Connection, now: datetime) -> None:
    """Note that it is being rebuilt, in the very transaction that makes a catalogue of an empty database: no moment is
    left in which a daemon could take it for whole."""
    facts.put(Tx(connection, now, writable=True), UNFINISHED, to_text(now))


def open_place(url: str, clock: Clock) -> Place:
    """The place for this catalogue. Raises ConfigError where the database holds a catalogue that cannot be moved."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _File(Path(str(parsed.database)), clock)
    return _Database(url, clock)


def is_cut_off(url: str) -> bool:
    """Whether a rebuild was cut off and no catalogue stands in the place: on a new machine nothing else says that the
    node was used before. What stood aside already, being whole, the next rebuild puts in its place."""
    parsed = parse_url(url)
    path = str(parsed.database)
    sqlite = parsed.get_backend_name() == "sqlite"
    return sqlite and not os.path.exists(path) and any(os.path.exists(f"{path}{end}") for end in (_WHOLE, _FRESH))


class _File:
    """SQLite: a file beside the catalogue's. A rebuild that was cut off is begun anew; one that was cut off between the
    renames at its end is ended first."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._fresh = path.with_name(f"{path.name}{_FRESH}")
        self._whole = path.with_name(f"{path.name}{_WHOLE}")
        self._end_former()
        self.catalogue = Catalogue.open(f"sqlite:///{self._fresh}", clock)
        self.clear()

    def _end_former(self) -> None:
        """Where the catalogue was moved aside already, what was to take its place does so now. Where it still stands,
        a daemon may have gone on with it since, and it is the better one to begin with."""
        if not self._whole.exists():
            return
        if self._path.exists():
            self._whole.unlink()
        else:
            self._put_in_place(self._clock())

    def clear(self) -> None:
        self.catalogue.close()
        try:
            for end in ("", *_LOGS):
                Path(f"{self._fresh}{end}").unlink(missing_ok=True)
        except OSError as error:
            raise describe_os_error(error, f"removing {self._fresh}") from error

    def current(self) -> bool:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise describe_os_error(error, f"reading the catalogue {self._path}") from error
        with contextlib.closing(Catalogue.open(f"sqlite:///{self._path}", self._clock)) as old:
            if old.schema_revision() is None:
                return False
            old.copy_to(self._fresh)
        self.catalogue.migrate()
        return True

    def finish(self, now: datetime) -> str:
        self.catalogue.close()
        _give_to_owner(self._fresh)
        # By this name it is known to be whole, if nothing but the renames below is cut off.
        rename_durably(self._fresh, self._whole)
        return self._put_in_place(now)

    def _put_in_place(self, now: datetime) -> str:
        aside = f"{self._path}.before-{now:%Y%m%dT%H%M%SZ}"
        moved = self._path.exists()
        # Its logs after it: those of a catalogue whose file is gone would be taken for the new one's.
        for end in ("", *_LOGS):
            if os.path.exists(f"{self._path}{end}"):
                rename_durably(f"{self._path}{end}", f"{aside}{end}")
        rename_durably(self._whole, self._path)
        fsync_directory(self._path.parent)
        return aside if moved else ""

    def close(self) -> None:
        # What did not come to its end is of no use, and the disk may be full of it: all but its name goes.
        begun = _is_unfinished(self.catalogue)
        with contextlib.suppress(VaultError, OSError):
            self.clear()
            if begun and not self._path.exists():
                self._fresh.touch(mode=0o600)


def _is_unfinished(catalogue: Catalogue) -> bool:
    try:
        with catalogue.read() as tx:
            return facts.get(tx, UNFINISHED) is not None
    except VaultError:
        return False


def _give_to_owner(path: Path) -> None:
    """Root rebuilds what the service's user works with."""
    owner = path.parent.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


class _Database:
    """PostgreSQL: the database itself, which must be empty, or hold a rebuild that was cut off."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.catalogue = Catalogue.open(url, clock)
        try:
            self._take()
        except BaseException:
            self.catalogue.close()
            raise

    def _take(self) -> None:
        self.catalogue.hold()
        if self.catalogue.schema_revision() is not None:
            if not _is_unfinished(self.catalogue):
                raise ConfigError(
                    f"There is a catalogue at {self.catalogue.place}; nothing is written over it.",
                    remedy="Rename that database (ALTER DATABASE … RENAME TO …), create an empty one of its name, and"
                    " try again.",
                    code="catalogue-exists",
                )
            self.clear()

    def clear(self) -> None:
        with self.catalogue.setup() as connection:
            if migration.current_revision(connection) is not None:
                schema.metadata.drop_all(connection)
                connection.execute(sa.text("DROP TABLE alembic_version"))

    def current(self) -> bool:
        return False

    def finish(self, now: datetime) -> str:
        del now
        self.catalogue.close()
        return ""

    def close(self) -> None:
        self.catalogue.close()
