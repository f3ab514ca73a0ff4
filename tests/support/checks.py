"""Routine checks brought about: copies that are due, and hours in which they may be read."""

import dataclasses
from datetime import timedelta

import sqlalchemy as sa

from tests.support.nodes import Bench
from vault.catalog.engine import Catalogue
from vault.catalog.schema import copies
from vault.clock import utcnow


def bring_forward(catalogue: Catalogue, by: timedelta) -> None:
    """As if the copies had been proved so long ago."""
    with catalogue.write() as tx:
        for row in tx.connection.execute(sa.select(copies.c.id, copies.c.proved_at, copies.c.due_at)).all():
            tx.connection.execute(
                copies.update()
                .where(copies.c.id == row.id)
                .values(proved_at=row.proved_at - by, checked_at=row.proved_at - by, due_at=row.due_at - by)
            )


def hours(bench: Bench, begin: timedelta, rate: str = "1 GB", **fixity: timedelta) -> None:
    """From the next start on, routine checks may read for an hour that begins so long from now."""
    start = (utcnow().astimezone(bench.settings.node.zone) + begin).replace(second=0, microsecond=0)
    end = start + timedelta(hours=1)
    text = f'[[fixity.window]]\nfrom = "{start:%H:%M}"\nto = "{end:%H:%M}"\nrate = "{rate}"'
    settings = bench.configured(extra=text)
    bench.settings = dataclasses.replace(settings, fixity=settings.fixity.model_copy(update=fixity))
