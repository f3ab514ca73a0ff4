"""Who wants to be told how a deposit ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in byte order, the same in both databases."""


def upgrade() -> None:
    """Add the table of callbacks."""
    op.create_table(
        "callbacks",
        sa.Column("ingest_id", KEY, primary_key=True, comment="Deposit of which is to be told."),
        sa.Column("url", KEY, nullable=False, comment="Whom to tell."),
        sa.Column("outcome", KEY, nullable=False, comment="delivered, given-up; empty while it is to be told."),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was tried."),
        sa.Column("first_at", KEY, comment="When it was first tried."),
        sa.Column("not_before", KEY, nullable=False, comment="When it may be tried again."),
        sa.Column("message", sa.Text(), nullable=False, comment="What the last attempt came to, for people."),
        comment="Who wants to be told how a deposit ended.",
    )
    waiting = sa.text("outcome = ''")
    op.create_index("ix_callbacks_waiting", "callbacks", ["not_before"], sqlite_where=waiting, postgresql_where=waiting)
