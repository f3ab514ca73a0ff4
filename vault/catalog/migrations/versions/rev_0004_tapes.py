"""Cartridges, what stands on them, requests to mount them, and recalls."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial_index(name: str, table: str, columns: Sequence[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Add the tables."""
    _cartridges()
    _recalls()


def _cartridges() -> None:
    op.create_table(
        "cartridges",
        sa.Column("barcode", KEY, primary_key=True, comment="Barcode on the label."),
        sa.Column(
            "volume_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("volumes.id"),
            unique=True,
            comment="What is on it; null before formatting.",
        ),
        sa.Column("library", KEY, nullable=False, comment="Library that it belongs to."),
        sa.Column("generation", KEY, nullable=False, comment="Generation by its label, such as LTO-8."),
        sa.Column("pool", KEY, nullable=False, comment="Pool that it is of; empty for scratch."),
        sa.Column("state", sa.Text(), nullable=False, comment="What it is good for."),
        sa.Column("whereabouts", sa.Text(), nullable=False, comment="library, offline or vaulted."),
        sa.Column("element", KEY, nullable=False, comment="Its place in the library; empty elsewhere."),
        sa.Column("shelf", sa.Text(), nullable=False, comment="Where it lies outside the library."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it is in this state, for people."),
        sa.Column("index_generation", sa.BigInteger(), nullable=False, comment="Generation of its last known index."),
        sa.Column("loads", sa.BigInteger(), nullable=False, comment="How often this node loaded it."),
        sa.Column("errors", sa.BigInteger(), nullable=False, comment="Errors that reading or writing it met."),
        sa.Column("alerts", sa.Text(), nullable=False, comment="TapeAlert flags with their times: JSON list."),
        sa.Column("seen_at", KEY, comment="When it was last seen in the library."),
        sa.Column("formatted_at", KEY, comment="When this node formatted it."),
        sa.Column("written_at", KEY, comment="When this node last wrote it."),
        sa.Column("added_at", KEY, nullable=False, comment="When the catalogue first met it."),
        comment="Tape cartridges, by barcode.",
    )
    op.create_table(
        "tape_files",
        sa.Column("copy_id", BIG_KEY, sa.ForeignKey("copies.id"), primary_key=True, comment="The copy."),
        sa.Column("path", KEY, nullable=False, comment="Path of its tar file on the cartridge."),
        sa.Column(
            "start_block", sa.BigInteger(), nullable=False, comment="First block on the data partition; 0 unknown."
        ),
        sa.Column("length", sa.BigInteger(), nullable=False, comment="Bytes of the tar file."),
        comment="Where copies stand on cartridges.",
    )
    op.create_table(
        "mount_requests",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column(
            "barcode",
            KEY,
            sa.ForeignKey("cartridges.barcode"),
            nullable=False,
            comment="Cartridge that is needed.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="What it is needed for, for people."),
        sa.Column("requested_at", KEY, nullable=False, comment="Since when it is asked for."),
        sa.Column("ended_at", KEY, comment="When it came, or was no longer needed."),
        sa.Column("ended_by", KEY, nullable=False, comment="Who brought it; empty while it is open."),
        comment="Cartridges that are asked for.",
    )
    _partial_index("ux_mount_requests_open", "mount_requests", ["barcode"], "ended_at IS NULL", unique=True)


def _recalls() -> None:
    op.create_table(
        "recalls",
        sa.Column("id", KEY, primary_key=True, comment="Identifier of the recall, as in the API."),
        sa.Column("identifier", KEY, nullable=False, comment="Package that is brought back."),
        sa.Column("version", sa.Integer(), nullable=False, comment="Number of the version."),
        sa.Column("what", KEY, nullable=False, comment="Names the files below; empty for all."),
        sa.Column("files", sa.Text(), nullable=False, comment="Logical paths: JSON list; empty for all."),
        sa.Column("state", sa.Text(), nullable=False, comment="How far it is."),
        sa.Column("agent", KEY, nullable=False, comment="Who asked for it."),
        sa.Column("barcode", KEY, nullable=False, comment="Cartridge that is read; empty before one is chosen."),
        sa.Column("message", sa.Text(), nullable=False, comment="How it stands, for people."),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False, comment="Bytes to bring back."),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False, comment="Bytes brought back."),
        sa.Column("requested_at", KEY, nullable=False, comment="When it was first asked for."),
        sa.Column("finished_at", KEY, comment="When it ended."),
        sa.Column("used_at", KEY, comment="When what it brought was last asked for."),
        comment="What is to be brought back from tape, and how that went.",
    )
    _partial_index(
        "ux_recalls_open", "recalls", ["identifier", "version", "what"], "state IN ('waiting', 'reading')", unique=True
    )
    _partial_index("ix_recalls_cached", "recalls", ["identifier", "version"], "state = 'ready'")
