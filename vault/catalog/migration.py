"""Bringing a database's schema to this program's, with Alembic and without its command line."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from vault.errors import ConfigError

if TYPE_CHECKING:  # Alembic is slow to import, and only a start of the daemon needs it.
    from alembic.config import Config

_LOCK_KEY: Final = 0x6B686F736F
"""Number of the advisory lock in PostgreSQL: "khoso" in ASCII."""

_alembic_lock: Final = threading.Lock()  # Alembic keeps the migration at work in a global.


def current_revision(connection: sa.Connection) -> str | None:
    """Return the revision that the database is at, None for an empty one."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """Return the revision that this program works with."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Create or upgrade the schema within the transaction that ``connection`` is in, which must hold off others.

    ``to`` is the revision wanted: this program's newest, unless an export of an older one is about to be loaded. Raises
    :class:`ConfigError` for a schema of a newer program, and for a PostgreSQL database not in UTF-8.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
        encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise ConfigError(
                f"The catalogue's database is encoded in {encoding}.",
                remedy="Create it with: createdb --encoding=UTF8 --template=template0 NAME",
            )
    config = _config()
    script = ScriptDirectory.from_config(config)
    present = current_revision(connection)
    if present == script.get_current_head():
        return
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = next((one for one in (present, to) if one not in {None, "head", *known}), None)
    if unknown is not None:
        raise ConfigError(
            f"The catalogue's schema is at revision {unknown}, which this program does not know: it is newer.",
            remedy="Install the newer khoso again, or restore a backup of the catalogue from before its upgrade.",
            code="catalogue-newer",
        )
    config.attributes["connection"] = connection
    with _alembic_lock:
        command.upgrade(config, to)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", os.path.join(os.path.dirname(__file__), "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
