"""Drives that are held, and what failed in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Of the drives that there are none is held."""
    op.add_column(
        "tape_drives",
        sa.Column(
            "failing", sa.Text(), nullable=False, server_default="{}",
            comment="Cartridges whose sessions failed in it, one after another, and why.",
        ),
    )  # fmt: skip
    op.add_column(
        "tape_drives",
        sa.Column("held", sa.Text(), nullable=False, server_default="", comment="Why it is held; empty: it is not."),
    )
    op.add_column("tape_drives", sa.Column("held_at", KEY, comment="Since when it is held."))
