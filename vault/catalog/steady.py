"""What changes seldom and is asked for often: read anew only when its rows did change.

Comparing rows as the database gives them costs a fraction of making facts of them, and it cannot miss a change as a
counter or a time could that somebody forgot to move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from vault.catalog.engine import Tx

_T = TypeVar("_T")


class Steady(Generic[_T]):
    """Remembers what ``read`` made of some rows. Not for several threads at once."""

    def __init__(self, columns: Sequence[sa.Column[object]], read: Callable[[Tx], _T], *where: object) -> None:
        """``columns`` are all that ``read`` looks at, of one table, its key first; ``where`` which rows."""
        plain = (sa.type_coerce(column, sa.Text) for column in columns)  # as they are stored
        conditions = (condition for condition in where if isinstance(condition, sa.ColumnElement))
        self._rows = sa.select(*plain).where(*conditions).order_by(columns[0])
        self._read = read
        self._before: list[tuple[object, ...]] | None = None
        self._value: _T | None = None

    def get(self, tx: Tx) -> _T:
        """What the rows say now; the same object as before while they are the same."""
        rows: list[tuple[object, ...]] = [tuple(row) for row in tx.connection.execute(self._rows)]
        value = self._value
        if value is None or rows != self._before:
            value = self._read(tx)
            self._before, self._value = rows, value
        return value
