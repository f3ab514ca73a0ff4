"""That one process at a time works with a catalogue in PostgreSQL: what the lock of its state folder is to a node on
one machine, for a database that every machine can reach.

It is an advisory lock of a session of its own, so it goes with the process, however that ends. It goes with a restart
of the server too; so before each transaction that writes it is looked whether the session still lives, which costs no
round trip, and if not, the lock is taken again. Where another process was quicker, nothing more is written here.
"""

from __future__ import annotations

import contextlib
import select
import threading
from typing import Final

import sqlalchemy as sa

from vault.catalog.faults import translated
from vault.errors import Unreachable

IN_USE: Final = "catalogue-in-use"

_LOCK_KEY: Final = 0x6B686F736F + 1
"""Number of the advisory lock: "khoso" in ASCII, and one more; that itself is the migrations'."""


class Hold:
    """The lock of one database. Usable from many threads."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._guard = threading.Lock()
        self._wanted = False
        self._session: sa.Connection | None = None

    def take(self) -> None:
        """Take it, and have it from now on. Raises Unreachable (``catalogue-in-use``) while another process does."""
        self._wanted = True
        self.check()

    def check(self) -> None:
        """See that it is held still, if it was ever taken. Raises as :meth:`take`."""
        if not self._wanted:
            return
        with self._guard, translated(self._place):
            if self._session is not None and not self._lives(self._session):
                self._drop()
            if self._session is None:
                self._session = self._taken()

    def release(self) -> None:
        """Let go of it."""
        with self._guard:
            self._wanted = False
            self._drop()

    def _lives(self, session: sa.Connection) -> bool:
        """Whether the server still has the session: nothing comes from it but word of its end, or small talk."""
        try:
            socket = session.connection.dbapi_connection.fileno()  # type: ignore[union-attr]
            poll = select.poll()
            poll.register(socket, select.POLLIN)
            if poll.poll(0):
                session.exec_driver_sql("SELECT 1")
        except (sa.exc.DBAPIError, OSError):
            return False
        return True

    def _taken(self) -> sa.Connection:
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # It goes back to no pool, which would let others work with it.
        session.detach()
        if not session.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK_KEY))):
            session.close()
            raise Unreachable(
                f"Another process works with the catalogue {self._place}: a vaultd or a rebuild, here or on another"
                " machine.",
                remedy="Each node needs a database of its own ([catalog] url). If that other one was this node and has"
                " just died, try again in two minutes.",
                code=IN_USE,
            )
        return session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                session.close()
