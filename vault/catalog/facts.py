"""Facts about this node that must outlive a restart, by key (table ``node``)."""

from __future__ import annotations

from typing import cast

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import node
from vault.model import Json

_VALUE = sa.select(node.c.value).where(node.c.key == sa.bindparam("of"))


def get(tx: Tx, key: str) -> Json:
    """Return the fact of that key, None when there is none."""
    return cast("Json", tx.connection.scalar(_VALUE, {"of": key}))


def put(tx: Tx, key: str, value: Json) -> None:
    """Set a fact; None removes it. Owes no event."""
    if value is None:
        tx.connection.execute(node.delete().where(node.c.key == key))
        return
    updated = tx.connection.execute(node.update().where(node.c.key == key).values(value=value))
    if updated.rowcount == 0:
        tx.connection.execute(node.insert().values(key=key, value=value))
