"""Batches (đợt giao nộp) and their packages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Two new tables; there were no batches before, and what packages called one was only a word."""
    op.create_table(
        "batches",
        sa.Column("id", KEY, primary_key=True, comment="Identifier of the batch, as in the API."),
        sa.Column("agent", KEY, nullable=False, comment="Who opened it."),
        sa.Column("registration_code", KEY, nullable=False, comment="Registration code of the delivery."),
        sa.Column("delivery_number", KEY, nullable=False, comment="Number of the delivery; may be empty."),
        sa.Column("agency", KEY, nullable=False, comment="Code of the agency that delivers; may be empty."),
        sa.Column("agency_name", sa.Text(), nullable=False, comment="Name of that agency."),
        sa.Column("list_digest", KEY, nullable=False, comment="SHA-256 of the depositor's list, canonical JSON."),
        sa.Column("listed", sa.Integer(), nullable=False, comment="Packages on that list."),
        sa.Column("listed_files", sa.BigInteger(), nullable=False, comment="Files on that list."),
        sa.Column("listed_bytes", sa.BigInteger(), nullable=False, comment="Bytes on that list."),
        sa.Column("opened_at", KEY, nullable=False, comment="When it was opened."),
        sa.Column("closed_at", KEY, comment="When it was closed; null while it is open."),
        sa.Column("receipt", sa.Text(), comment="The signed batch receipt, once it is closed."),
        sa.UniqueConstraint("agent", "registration_code", "delivery_number"),
        comment="Deliveries (đợt giao nộp), each with the depositor's own list.",
    )
    op.create_index("ix_batches_opened", "batches", ["opened_at", "id"])
    op.create_table(
        "batch_items",
        sa.Column("batch_id", KEY, sa.ForeignKey("batches.id"), primary_key=True, comment="The batch."),
        sa.Column("identifier", KEY, primary_key=True, comment="Identifier of the package."),
        sa.Column("listed", sa.Integer(), nullable=False, comment="1 if it is on the list; 0 for what came beside it."),
        sa.Column("digests", sa.Text(), nullable=False, comment="Digests on the list, by algorithm."),
        sa.Column("files", sa.BigInteger(), nullable=False, comment="Files on the list."),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Bytes on the list."),
        sa.Column("ingest_id", KEY, nullable=False, comment="Deposit that brought it; empty before."),
        sa.Column("version", sa.Integer(), comment="Version that it was stored as; null before."),
        sa.Column("came_files", sa.BigInteger(), nullable=False, comment="Files that came."),
        sa.Column("came_bytes", sa.BigInteger(), nullable=False, comment="Bytes of the files that came."),
        sa.Column("differences", sa.Text(), nullable=False, comment="In what it is not as listed: JSON list."),
        comment="Packages of batches: listed, come, or both.",
    )
