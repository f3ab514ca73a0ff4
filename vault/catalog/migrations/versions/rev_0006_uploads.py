"""Resumable deposits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in byte order, the same in both databases."""


def upgrade() -> None:
    """Add the table of uploads."""
    op.create_table(
        "uploads",
        sa.Column("id", KEY, primary_key=True, comment="Identifier of the upload and of its ingest."),
        sa.Column("agent", KEY, nullable=False, comment="Who uploads; nobody else sees it."),
        sa.Column("request", sa.Text(), nullable=False, comment="What is to be done with the bytes, as JSON."),
        sa.Column("volume", KEY, nullable=False, comment="Volume that has the bytes; empty when they are gone."),
        sa.Column("length", sa.BigInteger(), comment="Bytes that there shall be; null until they are announced."),
        sa.Column("received", sa.BigInteger(), nullable=False, comment="Bytes that are on stable storage."),
        sa.Column("state", sa.Text(), nullable=False, comment="open, complete or ended."),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="How often taking it in failed for a reason of ours."
        ),
        sa.Column("not_before", KEY, comment="When it may be tried again."),
        sa.Column("created_at", KEY, nullable=False, comment="When it was created."),
        sa.Column("expires_at", KEY, nullable=False, comment="When it, or the memory of it, may go."),
        comment="Resumable deposits (tus) on their way.",
    )
    holding = sa.text("state IN ('open', 'complete')")
    op.create_index(
        "ix_uploads_holding",
        "uploads",
        ["state", "created_at", "id"],
        sqlite_where=holding,
        postgresql_where=holding,
    )
    op.create_index("ix_uploads_expires", "uploads", ["expires_at"])
