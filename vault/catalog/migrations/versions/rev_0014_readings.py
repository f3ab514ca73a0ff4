"""What was read back from the media, by day and volume."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Of the days before nothing was kept; their events have it."""
    op.create_table(
        "readings",
        sa.Column("day", KEY, nullable=False, comment="Day of the site's calendar on which its hours began."),
        sa.Column("volume", KEY, nullable=False, comment="Name of the volume."),
        sa.Column("routine", sa.Integer(), nullable=False, autoincrement=False,
                  comment="1 for what the schedule asked for, and nobody else."),
        sa.Column("intact", sa.BigInteger(), nullable=False, comment="Copies found as they must be."),
        sa.Column("damaged", sa.BigInteger(), nullable=False, comment="Copies found damaged."),
        sa.Column("missing", sa.BigInteger(), nullable=False, comment="Copies of which nothing was there."),
        sa.Column("doubtful", sa.BigInteger(), nullable=False,
                  comment="Copies that could not be read, or not twice alike."),
        sa.Column("files", sa.BigInteger(), nullable=False, comment="Files of these copies."),
        sa.Column("bytes", sa.BigInteger(), nullable=False,
                  comment="Bytes read, also of checks that went on another day."),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False,
                  comment="Spent reading, all lanes together; 0: not known."),
        sa.Column("began_at", KEY, comment="When the first check was recorded."),
        sa.Column("ended_at", KEY, comment="When the last one was."),
        sa.Column("first_event", sa.BigInteger(), comment="Number of the event of the first check."),
        sa.Column("last_event", sa.BigInteger(), comment="Number of that of the last."),
        sa.Column("held", sa.BigInteger(), comment="Copies there that are to be checked, at the last look of the day."),
        sa.Column("proved", sa.BigInteger(), comment="Of these, those proved within the interval."),
        sa.Column("overdue", sa.BigInteger(), comment="Of these, those whose check was due."),
        sa.Column("interval_seconds", sa.BigInteger(),
                  comment="The shortest interval that a policy has for the medium."),
        sa.Column("oldest_proof", KEY, comment="The proof that was longest ago."),
        sa.Column("looked_at", KEY, comment="When that was so."),
        sa.PrimaryKeyConstraint("day", "volume", "routine"),
        comment="What was read back from the media, by day and volume.",
    )  # fmt: skip
