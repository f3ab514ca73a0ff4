"""Cartridges that were adopted from elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """All cartridges that there are, are ours."""
    for name, comment in (
        ("adopted", "khoso, foreign; empty: ours."),
        ("origin", "Where an adopted one comes from."),
    ):
        op.add_column("cartridges", sa.Column(name, sa.Text(), nullable=False, server_default="", comment=comment))
    op.add_column("cartridges", sa.Column("files", sa.BigInteger(), comment="Files on an adopted one."))
