"""Whether a drive ever told its TapeAlert flags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Of the drives that there are it is not known until they are asked."""
    op.add_column(
        "tape_drives",
        sa.Column("heard_at", KEY, comment="When its TapeAlert flags were first read; null: it may have none to tell."),
    )
