"""Tape drives, cleaning, and what is counted of cartridges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Nothing was counted yet."""
    for name, comment in (
        ("bytes_read", "Bytes read from it here."),
        ("bytes_written", "Bytes written to it here."),
    ):
        op.add_column(
            "cartridges", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)
        )
    uses = "Uses of a cleaning cartridge."
    op.add_column("cartridges", sa.Column("cleanings", sa.Integer(), nullable=False, server_default="0", comment=uses))
    counts = "Its memory's own counts, by name."
    op.add_column("cartridges", sa.Column("life", sa.Text(), nullable=False, server_default="{}", comment=counts))
    op.create_table(
        "tape_drives",
        sa.Column("serial", KEY, primary_key=True, comment="Serial number."),
        sa.Column("library", KEY, nullable=False, comment="Library that it is in."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Its number there."),
        sa.Column("vendor", sa.Text(), nullable=False, comment="Vendor, in its own words."),
        sa.Column("product", sa.Text(), nullable=False, comment="Product, in its own words."),
        sa.Column("revision", sa.Text(), nullable=False, comment="Firmware."),
        sa.Column("problem", sa.Text(), nullable=False, comment="Why it cannot be used; empty where it can."),
        sa.Column(
            "alerts", sa.Text(), nullable=False, comment="TapeAlert flags by name, with when each was raised last."
        ),
        sa.Column("cleaning", sa.Text(), nullable=False, comment="soon, now; empty: it asks for none."),
        sa.Column("asked_at", KEY, comment="Since when it asks to be cleaned."),
        sa.Column("cleaned_at", KEY, comment="When it was last cleaned."),
        sa.Column("cleanings", sa.BigInteger(), nullable=False, comment="How often this node cleaned it."),
        sa.Column("loads", sa.BigInteger(), nullable=False, comment="Cartridges that this node loaded."),
        sa.Column("errors", sa.BigInteger(), nullable=False, comment="Errors that were met with it."),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False, comment="Bytes read with it."),
        sa.Column("read_ms", sa.BigInteger(), nullable=False, comment="Milliseconds that this took."),
        sa.Column("bytes_written", sa.BigInteger(), nullable=False, comment="Bytes written with it."),
        sa.Column("write_ms", sa.BigInteger(), nullable=False, comment="Milliseconds that this took."),
        sa.Column("life", sa.Text(), nullable=False, comment="What it counts of itself, by name."),
        sa.Column("seen_at", KEY, nullable=False, comment="When it last answered."),
        comment="Tape drives, by serial number.",
    )
