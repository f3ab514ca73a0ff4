"""Tokens are bound to agencies, networks and quotas; ingests know their agency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; tokens that there are stay as free as they were."""
    for name, default, comment in (
        ("agency", "", "Agency it is bound to; empty for all."),
        ("prefix", "", "How identifiers it deposits begin."),
        ("networks", "[]", "Whence it is good (CIDR): a list."),
        ("limits", "{}", "How much it may ask for."),
    ):
        op.add_column("tokens", sa.Column(name, sa.Text(), nullable=False, server_default=default, comment=comment))
    op.add_column("tokens", sa.Column("last_used_at", KEY, comment="When it was last used, to the hour."))
    op.create_table(
        "token_usage",
        sa.Column("token_id", BIG_KEY, sa.ForeignKey("tokens.id"), primary_key=True, comment="The token."),
        sa.Column("day", KEY, primary_key=True, comment="Day in UTC, as 2026-11-22."),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Bytes of bodies that it sent."),
        sa.Column("packages", sa.BigInteger(), nullable=False, comment="Deposits that it began."),
        comment="What tokens with a daily quota have used of it.",
    )
    op.add_column(
        "ingests",
        sa.Column("agency", sa.Text(), nullable=False, server_default="", comment="Agency that it is said to be of."),
    )
