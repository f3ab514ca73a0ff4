"""Disks, what they told day by day, and the health of volumes that stand on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables; of volumes that there are, the health is not known."""
    for name, default, comment in (
        ("health", "unknown", "That of what it stands on."),
        ("health_reason", "", "Why, for people."),
    ):
        op.add_column("volumes", sa.Column(name, sa.Text(), nullable=False, server_default=default, comment=comment))
    op.create_table(
        "disks",
        sa.Column("key", KEY, primary_key=True, comment="Serial number or World Wide Name."),
        sa.Column("serial", sa.Text(), nullable=False, comment="Serial number; may be empty."),
        sa.Column("wwn", sa.Text(), nullable=False, comment="World Wide Name, hexadecimal; may be empty."),
        sa.Column("model", sa.Text(), nullable=False, comment="Model."),
        sa.Column("device", sa.Text(), nullable=False, comment="Where it was when last seen."),
        sa.Column("protocol", KEY, nullable=False, comment="ata, nvme, scsi, unknown."),
        sa.Column("health", sa.Text(), nullable=False, comment="The verdict."),
        sa.Column("reasons", sa.Text(), nullable=False, comment="Why: a list of codes with their values."),
        sa.Column("readings", sa.Text(), nullable=False, comment="Counters and measures when last read, by name."),
        sa.Column("present", sa.Integer(), nullable=False, comment="1 while it is there."),
        sa.Column("read_at", KEY, comment="When it last told of itself."),
        sa.Column("seen_at", KEY, nullable=False, comment="When it was last there."),
        sa.Column("first_seen_at", KEY, nullable=False, comment="When it was first there."),
        comment="Disks of this machine, whatever their devices are called just now.",
    )
    op.create_table(
        "disk_history",
        sa.Column("key", KEY, primary_key=True, comment="The disk."),
        sa.Column("day", KEY, primary_key=True, comment="Day in UTC, as 2026-11-22."),
        sa.Column("health", sa.Text(), nullable=False, comment="The verdict, when last read on that day."),
        sa.Column("readings", sa.Text(), nullable=False, comment="Counters and measures, by name."),
        comment="What disks told, day by day; as long as the configuration says.",
    )
    op.create_index("ix_disk_history_day", "disk_history", ["day"])
