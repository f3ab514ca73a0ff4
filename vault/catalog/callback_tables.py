"""The table of callbacks. Part of :mod:`vault.catalog.schema`; who imports the catalogue has it too."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.schema import metadata
from vault.catalog.types import KeyText, ProseText, TimeText

callbacks = sa.Table(
    "callbacks",
    metadata,
    sa.Column("ingest_id", KeyText, primary_key=True, comment="Deposit of which is to be told."),
    sa.Column("url", KeyText, nullable=False, comment="Whom to tell."),
    sa.Column("outcome", KeyText, nullable=False, comment="delivered, given-up; empty while it is to be told."),
    sa.Column("attempts", sa.Integer, nullable=False, comment="How often it was tried."),
    sa.Column("first_at", TimeText, comment="When it was first tried."),
    sa.Column("not_before", TimeText, nullable=False, comment="When it may be tried again."),
    sa.Column("message", ProseText, nullable=False, comment="What the last attempt came to, for people."),
    comment="Who wants to be told how a deposit ended.",
)
IS_TO_BE_TOLD = callbacks.c.outcome == sa.literal_column("''")
sa.Index("ix_callbacks_waiting", callbacks.c.not_before, sqlite_where=IS_TO_BE_TOLD, postgresql_where=IS_TO_BE_TOLD)
