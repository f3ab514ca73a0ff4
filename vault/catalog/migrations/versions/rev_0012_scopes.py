"""Verifications of a fonds, and of packages chosen at random."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in byte order, the same in both databases."""


def upgrade() -> None:
    """The orders that there are have neither."""
    op.add_column(
        "verifications",
        sa.Column("fonds", KEY, nullable=False, server_default="", comment="Fonds in its scope; empty for all."),
    )
    op.add_column(
        "verifications",
        sa.Column(
            "sample", sa.BigInteger(), nullable=False, server_default="0",
            comment="Packages chosen at random that are its scope; 0: all.",
        ),
    )  # fmt: skip
    op.create_table(
        "verification_sample",
        sa.Column("verification_id", KEY, primary_key=True, comment="The order."),
        sa.Column("package_id", sa.BigInteger(), primary_key=True, comment="A package that was chosen."),
        comment="Packages that were chosen at random for an order to check copies.",
    )
