"""The whole catalogue as one file that either database can be made from again, in this program's own plain form.

::

    {"format":"khoso-catalogue/1","schema":"0007","node":"sonla-1","time":"…","seq":812,"hash":"…"}
    {"table":"volumes","columns":["id","uuid",…]}
    [1,"6f9619ff-…",…]                                        one line for each row, as the database stores it
    …
    {"end":true,"rows":{"volumes":3,…}}

JSON lines in UTF-8 under gzip (RFC 1952): anybody can read it with ``zcat`` in thirty years. It is one moment of the
catalogue. Tasks are left out: the planner derives them again. An export of an older schema is loaded into that schema
and then upgraded, so a backup outlives upgrades of the program.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final, Protocol, cast

import sqlalchemy as sa

from vault.catalog import events, migration
from vault.catalog.engine import Catalogue, Tx
from vault.catalog.schema import metadata, tasks
from vault.clock import from_text, to_text
from vault.errors import ConfigError, Corrupted
from vault.model import Json

FORMAT: Final = "khoso-catalogue/1"
LEFT_OUT: Final = frozenset({tasks.name})
"""Tables whose rows are derived again."""

_LEVEL: Final = 3
_PAGE: Final = 2000
_LONGEST_LINE: Final = 64 * 1024 * 1024

Progress = Callable[[int], None]
"""Told how many rows have just been written or read."""


def _no_progress(_rows: int) -> None:
    """For callers that do not care."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds: of which moment, how the ledger ended then, and how many rows of each table."""

    schema: str
    node: str
    time: datetime
    seq: int
    hash: str
    rows: Mapping[str, int]


class Target(Protocol):
    """What an export can be written to: a file, or what counts and hashes on the way to one."""

    def write(self, data: bytes, /) -> object:
        """Append all of ``data``."""

    def flush(self) -> object:
        """Hand on what is held back."""


def write(tx: Tx, target: Target, node: str, progress: Progress = _no_progress) -> Exported:
    """Write everything that ``tx`` sees to ``target``. Raises Corrupted where the ledger has lost its end."""
    schema = migration.current_revision(tx.connection)
    head = events.head(tx)
    if schema is None or head is None:
        raise Corrupted(
            "The catalogue has lost its schema or the row that says where the ledger ends; it was not exported.",
            remedy="Keep this catalogue as it is, and run: vaultctl catalog rebuild",
            code="catalogue-damaged",
        )
    counts: dict[str, int] = {}
    header: dict[str, Json] = {
        "format": FORMAT, "schema": schema, "node": node, "time": to_text(tx.now), "seq": head.seq, "hash": head.hash,
    }  # fmt: skip
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
        packed.write(_line(header))
        for table in metadata.sorted_tables:
            if table.name not in LEFT_OUT:
                counts[table.name] = _write_table(tx, table, packed, progress)
        packed.write(_line({"end": True, "rows": cast("dict[str, Json]", dict(counts))}))
    return Exported(schema, node, tx.now, head.seq, head.hash, counts)


def _write_table(tx: Tx, table: sa.Table, packed: gzip.GzipFile, progress: Progress) -> int:
    names = [column.name for column in table.columns]
    packed.write(_line({"table": table.name, "columns": cast("list[Json]", list(names))}))
    # As stored: nothing that a row holds may keep the others from being saved.
    bare = sa.table(table.name, *(sa.column(name) for name in names))
    query = sa.select(*bare.columns).order_by(*(bare.columns[key.name] for key in table.primary_key))
    count = 0
    # Rows come page by page, from PostgreSQL too: memory does not grow with the archive.
    for page in tx.connection.execute(query.execution_options(yield_per=_PAGE)).partitions():
        packed.write(b"".join(_line(list(row)) for row in page))
        count += len(page)
        progress(len(page))
    return count


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr).encode() + b"\n"


def read_header(source: IO[bytes]) -> Exported:
    """What an export says of itself (without its numbers of rows, which stand at its end). Raises Corrupted."""
    with _sound(), gzip.GzipFile(fileobj=source) as packed:
        return _header(_object(packed.readline(_LONGEST_LINE)))


def _no_more(_connection: sa.Connection) -> None:
    """For callers that want no more."""


def load(
    catalogue: Catalogue,
    source: IO[bytes],
    progress: Progress = _no_progress,
    within: Callable[[sa.Connection], None] = _no_more,
) -> Exported:
    """Make an empty database into the catalogue that was exported, with this program's schema.

    One transaction, and what ``within`` does is part of it: either all of it is there afterwards or nothing. Raises
    Corrupted for an export that is not whole or not one, :class:`ConfigError` for one of a newer program or a database
    that holds something.
    """
    with _sound(), gzip.GzipFile(fileobj=source) as packed, catalogue.setup() as connection:
        if migration.current_revision(connection) is not None:
            raise ConfigError(
                f"There is a catalogue at {catalogue.place} already; nothing is loaded over it.",
                remedy="Move it aside first.",
                code="catalogue-exists",
            )
        header = _header(_object(packed.readline(_LONGEST_LINE)))
        migration.upgrade(connection, header.schema)
        counts = _load_tables(connection, packed, progress)
        if not catalogue.is_sqlite:
            _set_sequences(connection, counts)
        migration.upgrade(connection)
        within(connection)
    return Exported(header.schema, header.node, header.time, header.seq, header.hash, counts)


def _load_tables(connection: sa.Connection, packed: gzip.GzipFile, progress: Progress) -> dict[str, int]:
    counts: dict[str, int] = {}
    insert: sa.Insert | None = None
    name, names, rows = "", list[str](), list[dict[str, object]]()

    def flush() -> None:
        if rows and insert is not None:
            try:
                connection.execute(insert, rows)
            except (sa.exc.IntegrityError, sa.exc.DataError, sa.exc.ProgrammingError) as error:
                raise _damaged(f"rows of {name} cannot be: {error.orig}") from error
            counts[name] += len(rows)
            progress(len(rows))
            rows.clear()

    for line in _lines(packed):
        value = _loaded(line)
        if isinstance(value, list):
            if insert is None or len(value) != len(names):
                raise _damaged("a row does not fit its table")
            rows.append(dict(zip(names, value, strict=True)))
            if len(rows) >= _PAGE:
                flush()
            continue
        flush()
        if not isinstance(value, dict):
            raise _damaged("a line is neither a table nor a row")
        if value.get("end") is True:
            if value.get("rows") != counts:
                raise _damaged("it has not the rows that it says it has")
            return counts
        name, names = str(value.get("table")), [str(column) for column in value.get("columns", [])]
        inspector = sa.inspect(connection)
        known = inspector.get_columns(name) if name in inspector.get_table_names() else []
        if not names or not set(names) <= {str(column["name"]) for column in known}:
            raise _damaged(f"its schema has no such table {name[:100]!r}")
        bare = sa.table(name, *(sa.column(column) for column in names))
        # The migration itself puts a first row into some.
        connection.execute(bare.delete())
        insert, counts[name] = bare.insert(), 0
    raise _damaged("its end is missing")


def _set_sequences(connection: sa.Connection, tables: Mapping[str, int]) -> None:
    """PostgreSQL counts on from what it gave out itself, and it gave out none of the numbers just loaded."""
    for name in tables:
        for column in sa.inspect(connection).get_columns(name):
            if column.get("autoincrement") and "nextval" in str(column.get("default") or ""):
                key: sa.ColumnClause[int] = sa.column(column["name"])
                newest = connection.scalar(sa.select(sa.func.max(key)).select_from(sa.table(name, key)))
                if newest is not None:
                    sequence = sa.func.pg_get_serial_sequence(name, column["name"])
                    connection.execute(sa.select(sa.func.setval(sequence, newest)))


# --- reading what may be damaged


class _sound:  # noqa: N801 - a context manager, used as a word
    """Turns what a damaged file makes gzip and JSON say into Corrupted."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
            raise _damaged(str(error)) from error


def _lines(packed: gzip.GzipFile) -> Iterator[bytes]:
    while line := packed.readline(_LONGEST_LINE):
        yield line


def _loaded(line: bytes) -> object:
    try:
        return cast("object", json.loads(line))
    except (ValueError, RecursionError) as error:
        raise _damaged("a line is no JSON") from error


def _object(line: bytes) -> dict[str, object]:
    value = _loaded(line)
    if not isinstance(value, dict):
        raise _damaged("it does not begin as one")
    return value


def _header(document: Mapping[str, object]) -> Exported:
    schema, node, time, seq, found = (document.get(name) for name in ("schema", "node", "time", "seq", "hash"))
    if document.get("format") != FORMAT:
        raise _damaged("it does not begin as one")
    if not (isinstance(schema, str) and isinstance(node, str) and isinstance(time, str) and isinstance(found, str)):
        raise _damaged("its first line is not whole")
    if not isinstance(seq, int):
        raise _damaged("its first line is not whole")
    try:
        return Exported(schema, node, from_text(time), seq, found, {})
    except ValueError as error:
        raise _damaged("its first line has no time") from error


def _damaged(why: str) -> Corrupted:
    return Corrupted(
        f"The export of the catalogue is damaged, or is none: {why}.",
        remedy="Take an older one, or one from another volume.",
        code="export-damaged",
    )
