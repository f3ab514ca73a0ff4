"""The connection to the catalogue: opening, transactions, and the guard that no change goes without its event."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from vault import credentials
from vault.catalog import changes, migration, schema
from vault.catalog.faults import BUSY, refuse_on_postgresql, translated
from vault.catalog.holding import Hold
from vault.clock import Clock, utcnow
from vault.durable import TEMP_PREFIX, StrPath, describe_os_error, fsync_directory, rename_durably
from vault.errors import ConfigError, Corrupted, NotFound, Unreachable

BUSY_SECONDS: Final = 60
"""How long a transaction waits for its turn to write before it gives up as Unreachable (``catalogue-busy``)."""

CLOSE_SECONDS: Final = 5
"""So long :meth:`Catalogue.close` waits for transactions that other threads are in."""

_REMEDY_URL: Final = "Write sqlite:////var/lib/vault/catalog.db or postgresql+psycopg://user@host/database."


@dataclass(slots=True)
class Tx:
    """A transaction. ``now`` is its time, the same for all that it records.

    ``event_owed`` is the guard of invariant 7: functions that change what the archive holds call :meth:`owe`,
    ``ledger.append`` calls :meth:`paid`, and a transaction that still owes an event does not commit.
    """

    connection: sa.Connection
    now: datetime
    writable: bool
    durably: bool = True
    event_owed: bool = False
    credentials_changed: bool = False
    """Set by whatever takes something from a token; see :attr:`Catalogue.credentials`."""

    gathered: changes.Gathered = field(default_factory=changes.Gathered)
    """What it changed so far."""

    remembered: dict[str, object] = field(default_factory=dict)
    """What was read in it and is asked for again and again; only the module that put something in takes it out."""

    def owe(self) -> None:
        """Note that a state has changed and that the ledger must be told before the transaction ends."""
        if not self.writable:
            raise RuntimeError("a change in a transaction that only reads")
        self.event_owed = True

    def paid(self) -> None:
        """Note that the ledger has been told. Only ``ledger.append`` calls this."""
        if not self.durably:
            raise RuntimeError("an event in a transaction that a power cut may lose")
        self.event_owed = False


class Catalogue:
    """The catalogue of one node. Usable from many threads; at most one of them writes at a time."""

    def __init__(self, url: sa.URL, engine: sa.Engine, clock: Clock) -> None:
        self._url = url
        self._engine = engine
        self._clock = clock
        self._place = url.render_as_string(hide_password=True)
        self._turn = _turn_for(url)
        self._file: tuple[int, int] | None = None
        self._hold = None if self.is_sqlite else Hold(engine, self._place)
        self._credentials = 0
        self._at_work = _AtWork()
        self.changes = changes.Changes()
        """What was committed here lately."""

        changes.listen(engine)

    @classmethod
    def open(cls, url: str, clock: Clock = utcnow) -> Catalogue:
        """Open the catalogue at ``url`` without touching it yet; call :meth:`migrate` before the first use.

        ``url`` is ``sqlite:///PATH`` (a file), ``postgresql://…``, or the ``credential:NAME`` that holds one; raises
        :class:`ConfigError` for any other.
        """
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(parsed, _sqlite_engine(str(parsed.database)), clock)
        return cls(parsed, _postgresql_engine(parsed), clock)

    @property
    def clock(self) -> Clock:
        """The clock by which transactions are dated."""
        return self._clock

    @property
    def credentials(self) -> int:
        """A number that is another one as soon as a token was revoked here: what was read of tokens before is old."""
        return self._credentials

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of our own, of which :meth:`backup` can make copies."""
        return self._engine.dialect.name == "sqlite"

    @property
    def place(self) -> str:
        """Where it is, for people: the URL without a password."""
        return self._place

    def hold(self) -> None:
        """Have it for this process alone, until it is closed. Raises Unreachable (``catalogue-in-use``).

        An SQLite catalogue is held with the state folder (:func:`vault.custody.state.lock_state`).
        """
        if self._hold is not None:
            self._hold.take()

    def migrate(self) -> None:
        """Create the schema, or bring it up to this program's. Two programs may do so at once.

        Raises :class:`ConfigError` when the schema is newer than the program, when the folder is missing or when
        a PostgreSQL database is not in UTF-8; else as every transaction does (see :func:`translated`).
        """
        with self.setup() as connection:
            migration.upgrade(connection)

    @contextlib.contextmanager
    def setup(self) -> Iterator[sa.Connection]:
        """Begin a transaction in a database that may have no schema yet; only for making one. See :meth:`migrate`."""
        with self._turn.taken(self._place), translated(self._place):
            if self.is_sqlite:
                _create_sqlite_file(str(self._url.database))
                self._file = None
            with self._engine.connect() as connection:
                connection.execution_options(khoso_writes=True)
                with connection.begin():
                    yield connection
        self.changes.committed(changes.Gathered(everything=True))

    def schema_revision(self) -> str | None:
        """Return the revision of the schema, None when there is none yet (no file, or an empty database)."""
        if self.is_sqlite and not os.path.exists(str(self._url.database)):
            return None
        with translated(self._place), self._engine.connect() as connection:
            return migration.current_revision(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Begin a transaction that sees one state of the catalogue throughout, and can change nothing.

        Keep it short: in SQLite the log cannot shrink while it lasts.
        """
        with self._at_work.one_more(), translated(self._place), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.execution_options(khoso_writes=False)
            else:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield Tx(connection, self._clock(), writable=False)

    @contextlib.contextmanager
    def write(self, *, durably: bool = True) -> Iterator[Tx]:
        """Begin a transaction that may change things; it commits, durably, when the body ends without an error.

        With ``durably=False`` a power cut, though no kill, may lose it as long as no later one was durable: for what
        nobody was told and is derived again, such as tasks and intentions. It waits for no disk, of which all who
        write would wait with it. The order of commits stays. It can append no event.

        Transactions that write wait for one another, so what one reads stays so until it ends. Raises
        :class:`RuntimeError` and commits nothing when the body changed a state without telling the ledger, or
        begins a second one inside the first; and what :meth:`check` raises.
        """
        self.check()
        with (
            self._at_work.one_more(),
            self._turn.taken(self._place),
            translated(self._place),
            self._engine.connect() as connection,
        ):
            connection.execution_options(khoso_writes=True, khoso_durably=durably)
            gathered = changes.Gathered()
            gathered.attach(connection)
            try:
                with connection.begin():
                    if not self.is_sqlite:
                        if not durably:
                            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                        _lock_head(connection)
                    tx = Tx(connection, self._clock(), writable=True, durably=durably, gathered=gathered)
                    yield tx
                    if tx.event_owed:
                        raise RuntimeError("a state was changed and the ledger was not told: nothing is committed")
            finally:
                # Also where it failed: whether a commit that did not answer was one, nobody knows.
                self.changes.committed(gathered)
            if tx.credentials_changed:
                self._credentials += 1

    def check(self) -> None:
        """Raise Unreachable where nothing may be written: the file of an SQLite catalogue was deleted or replaced
        (``catalogue-gone``), or another process took one in PostgreSQL that was held (``catalogue-in-use``).

        What is open can still be read. But whatever were written to such a file would be gone with this process.
        """
        if self._hold is not None:
            self._hold.check()
            return
        path = str(self._url.database)
        try:
            facts = os.stat(path)
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise describe_os_error(error, f"looking at the catalogue {path}") from error
        else:
            found = (facts.st_dev, facts.st_ino)
        if self._file is None and found is not None:
            self._file = found
        elif found != self._file:
            raise Unreachable(
                f"The file of the catalogue {path} was deleted or replaced while it was open; nothing more is written.",
                remedy="While vaultd still runs, save what it has open: vaultctl catalog backup. Then stop vaultd, and"
                " type: vaultctl catalog rebuild",
                code="catalogue-gone",
            )

    def backup(self, path: StrPath) -> None:
        """Write a consistent copy of the catalogue to ``path`` while work goes on, durable and checked.

        The copy is one plain SQLite file (mode 0600) that needs no log beside it. Raises :class:`Corrupted` when
        the copy does not pass SQLite's own check, Full and Unreachable as usual, and Refused for PostgreSQL.
        """
        if not self.is_sqlite:
            raise refuse_on_postgresql("This backup")
        target = os.path.abspath(path)
        temp = os.path.join(os.path.dirname(target), TEMP_PREFIX + secrets.token_hex(8))
        try:
            self._copy_to(temp)
            rename_durably(temp, target)
        except OSError as error:
            raise describe_os_error(error, f"writing the backup {target}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temp)

    def copy_to(self, path: StrPath) -> None:
        """As :meth:`backup`, to a new file that nobody takes for a catalogue before it is renamed: what was written of
        it stays where it failed."""
        if not self.is_sqlite:
            raise refuse_on_postgresql("This copy")
        try:
            self._copy_to(os.fspath(path))
        except OSError as error:
            raise describe_os_error(error, f"writing the copy {path}") from error

    def _copy_to(self, temp: str) -> None:
        os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            translated(self._place),
            contextlib.closing(_connect(str(self._url.database))) as source,
            contextlib.closing(_connect(temp)) as copy,
        ):
            # In one step: a reader's view of the log is one moment, and writers are not held up by it.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
            found = [str(row[0]) for row in copy.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                raise Corrupted(
                    f"A copy of the catalogue {self._place} does not pass SQLite's check: {found[0]}.",
                    remedy="Stop vaultd and restore an older backup.",
                    code="catalogue-damaged",
                )
        with open(temp, "rb") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close every connection, and hold it no longer. It may be used again after it.

        Transactions that other threads are in come to their end first; one that hangs is not waited for.
        """
        self._at_work.wait(CLOSE_SECONDS)
        if self._hold is not None:
            self._hold.release()
        self._engine.dispose()


class _AtWork:
    """Counts the transactions that are open."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        with self._changed:
            self._number += 1
        try:
            yield
        finally:
            with self._changed:
                self._number -= 1
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until there is none, or for so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._number == 0, seconds)


class _Turn:
    """Lets one thread of this process write at a time, so that ours queue here and not at the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    @contextlib.contextmanager
    def taken(self, place: str) -> Iterator[None]:
        if self._holder == threading.get_ident():
            raise RuntimeError("a transaction that writes was begun inside another one")
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise Unreachable(
                f"The catalogue {place} was held by other work of this program for {BUSY_SECONDS} s.",
                remedy="Try again; if it stays so, look at the disk that holds it.",
                code=BUSY,
            )
        try:
            self._holder = threading.get_ident()
            yield
        finally:
            self._holder = None
            self._lock.release()


_turns: dict[str, _Turn] = {}
_turns_lock: Final = threading.Lock()


def _turn_for(url: sa.URL) -> _Turn:
    key = os.path.realpath(str(url.database)) if url.get_backend_name() == "sqlite" else url.render_as_string()
    with _turns_lock:
        return _turns.setdefault(key, _Turn())


def parse_url(url: str) -> sa.URL:
    """Where a catalogue is; a credential is read. Raises ConfigError."""
    try:
        parsed = sa.make_url(credentials.read(url) if credentials.is_reference(url) else url)
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigError("The catalogue's URL cannot be read.", remedy=_REMEDY_URL) from error
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:") and not parsed.query:
        return parsed
    if backend == "postgresql" and parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    shown = parsed.render_as_string(hide_password=True)
    raise ConfigError(f"The catalogue cannot be kept in {shown}.", remedy=_REMEDY_URL)


def _connect(path: str) -> sqlite3.Connection:
    """Open an existing file; a path that leads nowhere is an error and not a new, empty catalogue."""
    connection = sqlite3.connect(
        f"file:{quote(os.path.abspath(path))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            "cache_size=-32768",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _sqlite_engine(path: str) -> sa.Engine:
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: _connect(path),
        poolclass=sa.QueuePool,
        pool_size=8,
        max_overflow=24,
        pool_timeout=BUSY_SECONDS,
    )

    def begin(connection: sa.Connection) -> None:
        # Taking the write lock at once means that no transaction fails half-way because another one wrote.
        options = connection.get_execution_options()
        writes = options.get("khoso_writes", False)
        _set(connection, "query_only", "OFF" if writes else "ON")
        if writes:
            # In WAL mode NORMAL syncs before a checkpoint only, and no commit comes before an earlier one
            # (sqlite.org/pragma.html#pragma_synchronous).
            _set(connection, "synchronous", "FULL" if options.get("khoso_durably", True) else "NORMAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "begin", begin)
    return engine


def _set(connection: sa.Connection, pragma: str, value: str) -> None:
    """Set it, unless that was done the last time that this connection to the file was used."""
    if connection.info.get(pragma) != value:
        connection.exec_driver_sql(f"PRAGMA {pragma}={value}")
        connection.info[pragma] = value


def _create_sqlite_file(path: str) -> None:
    """Make an empty catalogue in WAL mode appear at ``path`` at once and whole, unless there is one."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.exists(path):
        temp = os.path.join(folder, TEMP_PREFIX + secrets.token_hex(8))
        try:
            os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _set_wal(temp)
            with contextlib.suppress(FileExistsError):
                os.link(temp, path)
            fsync_directory(folder)
        except OSError as error:
            found = describe_os_error(error, f"creating the catalogue {path}")
            if isinstance(found, NotFound):
                raise ConfigError(f"There is no folder {folder} for the catalogue.", remedy="Create it.") from error
            raise found from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temp)
    _set_wal(path)


def _set_wal(path: str) -> None:
    with contextlib.closing(_connect(path)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.execute("PRAGMA journal_mode=WAL")


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 10,
            # A machine that lost its power says nothing. Either side notices that within two minutes: ours would wait
            # for ever, and the server would keep the locks of the dead node from the one that has just started again.
            "keepalives_idle": 60,
            "keepalives_interval": 10,
            "keepalives_count": 6,
            "tcp_user_timeout": 120_000,
            "application_name": "khoso",
            "options": f"-c lock_timeout={BUSY_SECONDS}s -c synchronous_commit=on -c tcp_keepalives_idle=60"
            " -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6",
        },
    )


def _lock_head(connection: sa.Connection) -> None:
    """Do for PostgreSQL what BEGIN IMMEDIATE does for SQLite: one writer at a time, and hence no deadlocks."""
    head = connection.execute(sa.select(schema.ledger_head.c.id).with_for_update()).first()
    if head is None:
        raise Corrupted(
            "The catalogue has lost the row that says where the ledger ends.",
            remedy="Restore the database from its backup.",
            code="catalogue-damaged",
        )
