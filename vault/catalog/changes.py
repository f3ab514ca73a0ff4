"""What was changed lately, and about what: so that an answer which was made of the catalogue is known to hold still.

A statement that changes something of packages says which, with :func:`about`. One that says nothing may have changed
them all: who forgets to say it makes the program slower, and never wrong. This process is the only one that writes the
catalogue (:mod:`vault.custody.state`), so nothing can change behind its back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.sql.dml import UpdateBase

from vault.catalog.schema import copies, events, packages, versions, volumes

About = tuple[str, int | str]
"""What a change is about: ``("package", id)``, ``("version", id)`` or ``("identifier", identifier)``."""

MOST: Final = 20_000
"""So many changes are remembered. What was made of the catalogue before the oldest of them must be made anew."""

_OPTION: Final = "khoso_about"
_GATHERED: Final = "khoso_gathered"
_WATCHED: Final = frozenset(table.name for table in (packages, versions, copies, volumes, events))

_Change = TypeVar("_Change", bound=UpdateBase)


def about(statement: _Change, *what: About) -> _Change:
    """Say what a statement changes: of these packages something, and nothing of any other. Nothing named: nothing that
    is told of a package."""
    return statement.execution_options(**{_OPTION: what})


def carry_out(
    connection: sa.Connection, statement: UpdateBase, values: Mapping[str, object], *what: About
) -> sa.CursorResult[object]:
    """Execute a statement that was built once and changes what :func:`about` would say of it. ``values`` are those of
    its columns and of its named parameters."""
    done = connection.execute(statement, values, execution_options={_OPTION: what})
    return cast("sa.CursorResult[object]", done)


@dataclass(slots=True)
class Gathered:
    """What one transaction changed so far."""

    what: set[About] = field(default_factory=set)
    everything: bool = False
    volumes: int = 0
    """How many statements changed what is known of volumes: what was read of them before is old."""

    def attach(self, connection: sa.Connection) -> None:
        """Have what is changed over this connection noted here."""
        connection.execution_options(**{_GATHERED: self})


def listen(engine: sa.Engine) -> None:
    """Have each statement of this engine say what it changes."""

    def look(
        connection: sa.Connection, statement: object, _multi: object, _params: object, options: dict[str, object]
    ) -> None:
        if not isinstance(statement, UpdateBase):
            return
        # Of what is no plain table nobody knows what it changes.
        if isinstance(statement.table, sa.Table) and statement.table.name not in _WATCHED:
            return
        gathered = connection.get_execution_options().get(_GATHERED)
        if isinstance(gathered, Gathered):
            gathered.volumes += statement.table is volumes
            said = options.get(_OPTION)
            if isinstance(said, tuple):
                gathered.what.update(said)
            else:
                gathered.everything = True

    sa.event.listen(engine, "before_execute", look)


class Changes:
    """Counts what was committed. May be used from any thread, and never blocks for long."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._number = 0
        self._oldest = 0
        self._last: OrderedDict[About, int] = OrderedDict()

    @property
    def number(self) -> int:
        """The number of the newest commit. Ask before the catalogue is read."""
        return self._number

    def committed(self, gathered: Gathered) -> None:
        """Note what a transaction changed. Call it after the commit, and before anybody is told of it."""
        if not gathered.everything and not gathered.what:
            return
        with self._lock:
            self._number += 1
            if gathered.everything:
                self._last.clear()
                self._oldest = self._number
                return
            for one in gathered.what:
                self._last[one] = self._number
                self._last.move_to_end(one)
            while len(self._last) > self._most:
                self._oldest = self._last.popitem(last=False)[1]

    def any_since(self, number: int, what: Collection[About] | Iterable[About]) -> bool:
        """Whether anything of this may have changed since the commit of that number."""
        with self._lock:
            return number < self._oldest or any(self._last.get(one, 0) > number for one in what)
