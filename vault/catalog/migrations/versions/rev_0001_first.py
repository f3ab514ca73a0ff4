"""The whole schema."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in byte order, the same in both databases."""

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number of 64 bits; SQLite numbers rows by itself only in a column of exactly this type."""


def _partial_index(name: str, table: str, columns: Sequence[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Create every table in an empty database."""
    op.create_table(
        "node",
        sa.Column("key", KEY, primary_key=True, comment="Name of the fact."),
        sa.Column("value", sa.Text(), nullable=False, comment="The fact, as JSON."),
        comment="Facts about this node that must outlive a restart.",
    )
    op.create_table(
        "volumes",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("uuid", sa.Text(), nullable=False, unique=True, comment="Identity that the volume itself carries."),
        sa.Column("name", KEY, nullable=False, unique=True, comment="Name in the configuration; a tape's barcode."),
        sa.Column("kind", KEY, nullable=False, comment="Kind of volume: directory, tape."),
        sa.Column("medium", sa.Text(), nullable=False, comment="What policies count it as: disk, tape."),
        sa.Column("domain", KEY, nullable=False, comment="Failure domain: what fails together."),
        sa.Column("site", KEY, nullable=False, comment="Site: what burns together."),
        sa.Column("mode", sa.Text(), nullable=False, comment="What the operator wants of it."),
        sa.Column("condition", sa.Text(), nullable=False, comment="What the last probe saw."),
        sa.Column("condition_reason", sa.Text(), nullable=False, comment="Why the probe came to that, for people."),
        sa.Column("size_bytes", sa.BigInteger(), comment="Size in bytes, where known."),
        sa.Column("free_bytes", sa.BigInteger(), comment="Free bytes, where known."),
        sa.Column("probed_at", KEY, comment="When it was last probed."),
        sa.Column("added_at", KEY, nullable=False, comment="When the catalogue first met it."),
        comment="Places that hold copies: directory trees and tapes.",
    )
    op.create_table(
        "packages",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("identifier", KEY, nullable=False, unique=True, comment="The repository's name for it, in NFC."),
        sa.Column("head", sa.Integer(), nullable=False, comment="Number of the newest version; 0 before the first."),
        sa.Column("fonds", sa.Text(), nullable=False, comment="Fonds (phông)."),
        sa.Column("agency", sa.Text(), nullable=False, comment="Agency that delivered it."),
        sa.Column("batch", sa.Text(), nullable=False, comment="Delivery that it came with."),
        sa.Column("title", sa.Text(), nullable=False, comment="Title."),
        sa.Column("retention", sa.Text(), nullable=False, comment="Retention period as the depositor gave it."),
        sa.Column("access", sa.Text(), nullable=False, comment="Access level as the depositor gave it."),
        sa.Column("priority_class", sa.Text(), nullable=False, comment="Class that policies match."),
        sa.Column("created_at", KEY, nullable=False, comment="When the first version was taken in."),
        comment="What repositories deposit, one row per identifier.",
    )
    op.create_index("ix_packages_agency", "packages", ["agency", "identifier"])
    op.create_index("ix_packages_batch", "packages", ["batch", "identifier"])
    op.create_index("ix_packages_fonds", "packages", ["fonds", "identifier"])
    op.create_table(
        "versions",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("package_id", BIG_KEY, sa.ForeignKey("packages.id"), nullable=False, comment="The package."),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, … within the package."),
        sa.Column("kind", sa.Text(), nullable=False, comment="What the deposit was: bag, file."),
        sa.Column("algorithm", sa.Text(), nullable=False, comment="Algorithm of the digests below."),
        sa.Column("content_digest", KEY, nullable=False, comment="Digest of the content, whatever its packing."),
        sa.Column("inventory_digest", KEY, nullable=False, comment="Digest of vN/inventory.json; pins every byte."),
        sa.Column("files", sa.BigInteger(), nullable=False, comment="Logical files."),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Bytes of the logical files."),
        sa.Column("part_bytes", sa.BigInteger(), nullable=False, comment="Bytes that this version adds on a medium."),
        sa.Column("deposit_digests", sa.Text(), nullable=False, comment="Digests of the request body, by algorithm."),
        sa.Column("policy", KEY, nullable=False, comment="Policy that holds for it."),
        sa.Column("policy_fingerprint", KEY, nullable=False, comment="Wording of the policies when last judged."),
        sa.Column("priority_class", KEY, nullable=False, comment="Class for metrics and order."),
        sa.Column("priority", sa.Integer(), nullable=False, comment="Order among those below policy, lower first."),
        sa.Column(
            "below_policy", sa.Integer(), nullable=False, comment="1 while it has fewer good copies than it should."
        ),
        sa.Column("ingest_id", KEY, nullable=False, comment="Deposit that made it; empty after a rebuild."),
        sa.Column("created_at", KEY, nullable=False, comment="When it was taken in."),
        sa.Column("metadata", sa.Text(), nullable=False, comment="What the depositor said of it, as JSON."),
        sa.Column("receipt", sa.Text(), comment="The signed receipt, once there is one."),
        sa.UniqueConstraint("package_id", "number"),
        comment="Immutable versions of packages.",
    )
    _partial_index("ix_versions_below_policy", "versions", ["priority", "created_at", "id"], "below_policy = 1")
    _partial_index("ix_versions_below_policy_class", "versions", ["priority_class"], "below_policy = 1")
    _partial_index("ix_versions_below_policy_package", "versions", ["package_id"], "below_policy = 1")
    op.create_index("ix_versions_policy_fingerprint", "versions", ["policy_fingerprint", "id"])
    op.create_table(
        "copies",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("version_id", BIG_KEY, sa.ForeignKey("versions.id"), nullable=False, comment="The version."),
        sa.Column("volume_id", BIG_KEY, sa.ForeignKey("volumes.id"), nullable=False, comment="The volume it is on."),
        sa.Column("state", sa.Text(), nullable=False, comment="Where it is in its life."),
        sa.Column("written_at", KEY, comment="When it was last written."),
        sa.Column("proved_at", KEY, comment="When every byte was last read back and found equal."),
        sa.Column("checked_at", KEY, comment="When a check last came to a conclusion, good or bad."),
        sa.Column("due_at", KEY, comment="When the next check should begin."),
        sa.Column("changed_at", KEY, nullable=False, comment="When the state last changed."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it is in this state, for people."),
        sa.Column("failures", sa.Integer(), nullable=False, comment="Checks in a row that could not read it."),
        sa.UniqueConstraint("version_id", "volume_id"),
        comment="One version on one volume.",
    )
    _partial_index(
        "ix_copies_checked",
        "copies",
        ["volume_id", "checked_at", "id"],
        "state IN ('written', 'good', 'suspect', 'damaged', 'missing')",
    )
    _partial_index(
        "ix_copies_due",
        "copies",
        ["volume_id", "due_at", "id"],
        "state IN ('good', 'suspect', 'written') AND due_at IS NOT NULL",
    )
    _partial_index(
        "ix_copies_proved",
        "copies",
        ["volume_id", "proved_at"],
        "state IN ('good', 'suspect') AND proved_at IS NOT NULL",
    )
    _partial_index(
        "ix_copies_unhealthy",
        "copies",
        ["state", "id"],
        "state NOT IN ('good', 'retired')",
    )
    op.create_index("ix_copies_volume_state", "copies", ["volume_id", "state", "id"])
    op.create_table(
        "copy_counts",
        sa.Column("volume_id", BIG_KEY, sa.ForeignKey("volumes.id"), primary_key=True, comment="The volume."),
        sa.Column("state", sa.Text(), primary_key=True, comment="The state."),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="How many copies are in it there."),
        comment="Numbers of copies by volume and state, kept in the transactions that change copies.",
    )
    op.create_table(
        "ingests",
        sa.Column("id", KEY, primary_key=True, comment="Identifier of the deposit, as in the API."),
        sa.Column("identifier", KEY, nullable=False, comment="Identifier of the package."),
        sa.Column("state", sa.Text(), nullable=False, comment="Step that it has reached."),
        sa.Column("agent", KEY, nullable=False, comment="Who deposits."),
        sa.Column("volume", KEY, nullable=False, comment="Volume of the first copy; empty until prepared."),
        sa.Column("version", sa.Integer(), comment="Number that the version gets; null until prepared."),
        sa.Column("bytes_received", sa.BigInteger(), nullable=False, comment="Bytes of the body so far."),
        sa.Column("prepared", sa.Text(), comment="All that is needed to finish it after a crash."),
        sa.Column("problem", sa.Text(), comment="Problem document of a refused or failed one."),
        sa.Column("receipt", sa.Text(), comment="The signed receipt."),
        sa.Column("created_at", KEY, nullable=False, comment="When it began."),
        sa.Column("updated_at", KEY, nullable=False, comment="When it last changed."),
        comment="Deposits on their way, and how they ended.",
    )
    _partial_index("ix_ingests_awaiting_receipt", "ingests", ["created_at"], "state = 'stored'")
    _partial_index("ix_ingests_unfinished", "ingests", ["created_at"], "state IN ('receiving', 'prepared')")
    op.create_index("ix_ingests_version", "ingests", ["identifier", "version"])
    op.create_table(
        "tasks",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("key", KEY, nullable=False, comment="What it is; unique among the open ones."),
        sa.Column("kind", sa.Text(), nullable=False, comment="Kind of work."),
        sa.Column("state", sa.Text(), nullable=False, comment="Where it is in its life."),
        sa.Column("waiting", sa.Integer(), nullable=False, comment="1 while not_before lay ahead when last looked at."),
        sa.Column("priority", sa.Integer(), nullable=False, comment="Lower first."),
        sa.Column("package_id", sa.BigInteger(), nullable=False, comment="The package."),
        sa.Column("identifier", KEY, nullable=False, comment="The package's identifier."),
        sa.Column("version", sa.Integer(), comment="Number of the version, where one is meant."),
        sa.Column("volumes", KEY, nullable=False, comment="Volumes whose lanes it occupies: JSON list of names."),
        sa.Column("params", sa.Text(), nullable=False, comment="What else the work needs to know."),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was begun."),
        sa.Column("not_before", KEY, nullable=False, comment="When it may begin."),
        sa.Column("lease_owner", KEY, nullable=False, comment="Who works on it; empty when nobody does."),
        sa.Column("lease_until", KEY, comment="Until when the owner need not be doubted."),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False, comment="Bytes done."),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False, comment="Bytes to do."),
        sa.Column("created_at", KEY, nullable=False, comment="When it was derived."),
        sa.Column("started_at", KEY, comment="When it was last begun."),
        sa.Column("finished_at", KEY, comment="When it ended."),
        sa.Column("message", sa.Text(), nullable=False, comment="How it went, for people."),
        comment="Work that the planner derived. Losing this table loses nothing.",
    )
    _partial_index("ix_tasks_claimable", "tasks", ["volumes", "priority", "id"], "state = 'ready' AND waiting = 0")
    _partial_index("ix_tasks_ended", "tasks", ["finished_at"], "finished_at IS NOT NULL")
    op.create_index("ix_tasks_kind_state", "tasks", ["kind", "state"])
    _partial_index("ix_tasks_running", "tasks", ["lease_until"], "state = 'running'")
    op.create_index("ix_tasks_state", "tasks", ["state", "priority", "not_before"])
    _partial_index("ix_tasks_waiting", "tasks", ["not_before"], "state = 'ready' AND waiting = 1")
    _partial_index("ux_tasks_open_key", "tasks", ["key"], "state IN ('ready', 'running')", unique=True)
    op.create_table(
        "events",
        sa.Column("seq", BIG_KEY, primary_key=True, autoincrement=False, comment="Place in the chain: 1, 2, 3, …"),
        sa.Column("type", KEY, nullable=False, comment="Type (PREMIS event types where there is one)."),
        sa.Column("time", KEY, nullable=False, comment="When it happened."),
        sa.Column("outcome", KEY, nullable=False, comment="success, warning or failure."),
        sa.Column("agent", KEY, nullable=False, comment="Who did it."),
        sa.Column("identifier", KEY, nullable=False, comment="Package concerned; may be empty."),
        sa.Column("version", sa.Integer(), comment="Number of the version concerned."),
        sa.Column("volume", KEY, nullable=False, comment="Volume concerned; may be empty."),
        sa.Column("detail", sa.Text(), nullable=False, comment="Everything else, as canonical JSON (RFC 8785)."),
        sa.Column("previous", KEY, nullable=False, comment="Hash of the event before; 64 zeros for the first."),
        sa.Column("hash", KEY, nullable=False, comment="SHA-256 of the canonical JSON of all the others."),
        comment="The ledger: a chain of events. Rows are only ever added.",
    )
    _partial_index("ix_events_identifier", "events", ["identifier", "seq"], "identifier != ''")
    op.create_index("ix_events_type", "events", ["type", "seq"])
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False, comment="Always 1."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="Number of the newest event; 0 before the first."),
        sa.Column("hash", KEY, nullable=False, comment="Hash of the newest event."),
        sa.CheckConstraint("id = 1", name="ck_ledger_head_one_row"),
        comment="Where the chain ends. Whoever writes locks this row first.",
    )
    op.create_table(
        "evidence",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("copy_id", BIG_KEY, sa.ForeignKey("copies.id"), nullable=False, comment="Copy that was damaged."),
        sa.Column("path", KEY, nullable=False, comment="Where the bytes are, within the volume's evidence folder."),
        sa.Column("event_seq", BIG_KEY, sa.ForeignKey("events.seq"), nullable=False, comment="Event that tells of it."),
        sa.Column("kept_at", KEY, nullable=False, comment="When they were set aside."),
        sa.Column("released_at", KEY, comment="When an operator let them go."),
        comment="Damaged bytes that were set aside.",
    )
    op.create_index("ix_evidence_copy_id", "evidence", ["copy_id"])
    op.create_table(
        "tokens",
        sa.Column("id", BIG_KEY, primary_key=True, comment="Number of the row."),
        sa.Column("name", KEY, nullable=False, comment="Name; unique among those not revoked."),
        sa.Column("scopes", sa.Text(), nullable=False, comment="What it may do: JSON list."),
        sa.Column("secret_hash", KEY, nullable=False, unique=True, comment="SHA-256 of the secret, hexadecimal."),
        sa.Column("created_at", KEY, nullable=False, comment="When it was made."),
        sa.Column("expires_at", KEY, comment="When it ends by itself."),
        sa.Column("revoked_at", KEY, comment="When it was revoked."),
        comment="Credentials of the API, without their secrets.",
    )
    _partial_index("ux_tokens_name", "tokens", ["name"], "revoked_at IS NULL", unique=True)
    op.create_table(
        "verifications",
        sa.Column("id", KEY, primary_key=True, comment="Identifier of the order, as in the API."),
        sa.Column("volume", KEY, nullable=False, comment="Volume in its scope; empty for all."),
        sa.Column("identifier", KEY, nullable=False, comment="Package in its scope; empty for all."),
        sa.Column("agent", KEY, nullable=False, comment="Who ordered it."),
        sa.Column("state", sa.Text(), nullable=False, comment="running or done."),
        sa.Column("requested_at", KEY, nullable=False, comment="Copies last checked before this are to be checked."),
        sa.Column("finished_at", KEY, comment="When the last one was."),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="Copies in its scope when it was ordered."),
        sa.Column("checked", sa.BigInteger(), nullable=False, comment="Copies checked."),
        sa.Column("good", sa.BigInteger(), nullable=False, comment="Copies found good."),
        sa.Column("bad", sa.BigInteger(), nullable=False, comment="Copies found damaged or missing."),
        sa.Column("skipped", sa.BigInteger(), nullable=False, comment="Copies that could not be reached."),
        comment="Orders to check copies now.",
    )
    _partial_index("ix_verifications_running", "verifications", ["requested_at"], "state = 'running'")
    op.create_table(
        "schedules",
        sa.Column("kind", KEY, primary_key=True, comment="Kind of scheduled work."),
        sa.Column("last_started", KEY, comment="When it last began."),
        sa.Column("last_success", KEY, comment="When it last succeeded."),
        sa.Column(
            "last_error", sa.Text(), nullable=False, comment="What the last failure said; empty after a success."
        ),
        comment="When scheduled work last ran.",
    )
    op.execute("INSERT INTO ledger_head (id, seq, hash) VALUES (1, 0, '" + "0" * 64 + "')")
