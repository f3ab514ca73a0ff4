"""The tables. Each table and column says in its comment what it holds (PostgreSQL keeps the comments).

Conditions of partial indexes are expressions with their values written out, shared with the queries that rely on
them: a database uses such an index only where it can see that the query's condition implies the index's.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from vault.catalog.types import EnumText, Flag, JsonText, KeyText, ProseText, TimeText, UuidText, big_key
from vault.depositing import UploadState
from vault.device_model import Health
from vault.model import (
    Condition,
    CopyState,
    DigestAlgorithm,
    IngestState,
    MediumClass,
    PackageKind,
    RecallState,
    TaskKind,
    TaskState,
    VolumeMode,
)
from vault.tape_model import Adopted, CartridgeState, Whereabouts

metadata = sa.MetaData()


def _is_one_of(column: sa.Column[object], values: Iterable[str]) -> sa.ColumnElement[bool]:
    return column.in_([sa.literal_column(f"'{value}'") for value in values])


def _is(column: sa.Column[object], value: str) -> sa.ColumnElement[bool]:
    return column == sa.literal_column(value)


def _partial_index(name: str, *columns: sa.Column[object], where: sa.ColumnElement[bool], unique: bool = False) -> None:
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


node = sa.Table(
    "node",
    metadata,
    sa.Column("key", KeyText, primary_key=True, comment="Name of the fact."),
    sa.Column("value", JsonText, nullable=False, comment="The fact, as JSON."),
    comment="Facts about this node that must outlive a restart.",
)

volumes = sa.Table(
    "volumes",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("uuid", UuidText, nullable=False, unique=True, comment="Identity that the volume itself carries."),
    sa.Column("name", KeyText, nullable=False, unique=True, comment="Name in the configuration; a tape's barcode."),
    sa.Column("kind", KeyText, nullable=False, comment="Kind of volume: directory, tape."),
    sa.Column("medium", EnumText(MediumClass), nullable=False, comment="What policies count it as: disk, tape."),
    sa.Column("domain", KeyText, nullable=False, comment="Failure domain: what fails together."),
    sa.Column("site", KeyText, nullable=False, comment="Site: what burns together."),
    sa.Column("mode", EnumText(VolumeMode), nullable=False, comment="What the operator wants of it."),
    sa.Column("condition", EnumText(Condition), nullable=False, comment="What the last probe saw."),
    sa.Column("condition_reason", ProseText, nullable=False, comment="Why the probe came to that, for people."),
    sa.Column("size_bytes", sa.BigInteger, comment="Size in bytes, where known."),
    sa.Column("free_bytes", sa.BigInteger, comment="Free bytes, where known."),
    sa.Column("probed_at", TimeText, comment="When it was last probed."),
    sa.Column("added_at", TimeText, nullable=False, comment="When the catalogue first met it."),
    sa.Column(
        "health", EnumText(Health), nullable=False, server_default="unknown", comment="That of what it stands on."
    ),
    sa.Column("health_reason", ProseText, nullable=False, server_default="", comment="Why, for people."),
    comment="Places that hold copies: directory trees and tapes.",
)

packages = sa.Table(
    "packages",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("identifier", KeyText, nullable=False, unique=True, comment="The repository's name for it, in NFC."),
    sa.Column("head", sa.Integer, nullable=False, comment="Number of the newest version; 0 before the first."),
    sa.Column("fonds", ProseText, nullable=False, comment="Fonds (phông)."),
    sa.Column("agency", ProseText, nullable=False, comment="Agency that delivered it."),
    sa.Column("batch", ProseText, nullable=False, comment="Delivery that it came with."),
    sa.Column("title", ProseText, nullable=False, comment="Title."),
    sa.Column("retention", ProseText, nullable=False, comment="Retention period as the depositor gave it."),
    sa.Column("access", ProseText, nullable=False, comment="Access level as the depositor gave it."),
    sa.Column("priority_class", ProseText, nullable=False, comment="Class that policies match."),
    sa.Column("created_at", TimeText, nullable=False, comment="When the first version was taken in."),
    sa.Column("agency_name", ProseText, nullable=False, server_default="", comment="Name of the agency."),
    sa.Column("file_code", ProseText, nullable=False, server_default="", comment="File code (mã hồ sơ)."),
    sa.Column("date_from", ProseText, nullable=False, server_default="", comment="Date of its first document."),
    sa.Column("date_to", ProseText, nullable=False, server_default="", comment="Date of its last document."),
    sa.Column("last_proved", KeyText, nullable=False, server_default="", comment="See Package.last_proved_at."),
    comment="What repositories deposit, one row per identifier.",
)
sa.Index("ix_packages_fonds", packages.c.fonds, packages.c.identifier)
sa.Index("ix_packages_agency", packages.c.agency, packages.c.identifier)
sa.Index("ix_packages_batch", packages.c.batch, packages.c.identifier)
HAS_FILE_CODE = packages.c.file_code != sa.literal_column("''")
HAS_RETENTION = packages.c.retention != sa.literal_column("''")
HAS_ACCESS = packages.c.access != sa.literal_column("''")
_partial_index("ix_packages_file_code", packages.c.file_code, packages.c.identifier, where=HAS_FILE_CODE)
_partial_index("ix_packages_retention", packages.c.retention, packages.c.identifier, where=HAS_RETENTION)
_partial_index("ix_packages_access", packages.c.access, packages.c.identifier, where=HAS_ACCESS)
sa.Index("ix_packages_created", packages.c.created_at, packages.c.identifier)
sa.Index("ix_packages_last_proved", packages.c.last_proved, packages.c.identifier)
sa.Index("ix_packages_class", packages.c.priority_class, packages.c.identifier)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("package_id", sa.ForeignKey("packages.id"), nullable=False, comment="The package."),
    sa.Column("number", sa.Integer, nullable=False, comment="1, 2, … within the package."),
    sa.Column("kind", EnumText(PackageKind), nullable=False, comment="What the deposit was: bag, file."),
    sa.Column("algorithm", EnumText(DigestAlgorithm), nullable=False, comment="Algorithm of the digests below."),
    sa.Column("content_digest", KeyText, nullable=False, comment="Digest of the content, whatever its packing."),
    sa.Column("inventory_digest", KeyText, nullable=False, comment="Digest of vN/inventory.json; pins every byte."),
    sa.Column("files", sa.BigInteger, nullable=False, comment="Logical files."),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="Bytes of the logical files."),
    sa.Column("part_bytes", sa.BigInteger, nullable=False, comment="Bytes that this version adds on a medium."),
    sa.Column("deposit_digests", JsonText, nullable=False, comment="Digests of the request body, by algorithm."),
    sa.Column("policy", KeyText, nullable=False, comment="Policy that holds for it."),
    sa.Column("policy_fingerprint", KeyText, nullable=False, comment="Wording of the policies when last judged."),
    sa.Column("priority_class", KeyText, nullable=False, comment="Class for metrics and order."),
    sa.Column("priority", sa.Integer, nullable=False, comment="Order among those below policy, lower first."),
    sa.Column("below_policy", Flag, nullable=False, comment="1 while it has fewer good copies than it should."),
    sa.Column("ingest_id", KeyText, nullable=False, comment="Deposit that made it; empty after a rebuild."),
    sa.Column("created_at", TimeText, nullable=False, comment="When it was taken in."),
    sa.Column("metadata", JsonText, nullable=False, comment="What the depositor said of it, as JSON."),
    sa.Column("receipt", JsonText, comment="The signed receipt, once there is one."),
    sa.UniqueConstraint("package_id", "number"),
    comment="Immutable versions of packages.",
)
IS_BELOW_POLICY = _is(versions.c.below_policy, "1")
_partial_index(
    "ix_versions_below_policy",
    versions.c.priority,
    versions.c.created_at,
    versions.c.id,
    where=IS_BELOW_POLICY,
)
_partial_index("ix_versions_below_policy_class", versions.c.priority_class, where=IS_BELOW_POLICY)
_partial_index("ix_versions_below_policy_package", versions.c.package_id, where=IS_BELOW_POLICY)
sa.Index("ix_versions_policy_fingerprint", versions.c.policy_fingerprint, versions.c.id)

copies = sa.Table(
    "copies",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("version_id", sa.ForeignKey("versions.id"), nullable=False, comment="The version."),
    sa.Column("volume_id", sa.ForeignKey("volumes.id"), nullable=False, comment="The volume it is on."),
    sa.Column("state", EnumText(CopyState), nullable=False, comment="Where it is in its life."),
    sa.Column("written_at", TimeText, comment="When it was last written."),
    sa.Column("proved_at", TimeText, comment="When every byte was last read back and found equal."),
    sa.Column("checked_at", TimeText, comment="When a check last came to a conclusion, good or bad."),
    sa.Column("due_at", TimeText, comment="When the next check should begin."),
    sa.Column("changed_at", TimeText, nullable=False, comment="When the state last changed."),
    sa.Column("reason", ProseText, nullable=False, comment="Why it is in this state, for people."),
    sa.Column("failures", sa.Integer, nullable=False, comment="Checks in a row that could not read it."),
    sa.UniqueConstraint("version_id", "volume_id"),
    comment="One version on one volume.",
)
IS_DUE_SOME_TIME = sa.and_(
    _is_one_of(copies.c.state, (CopyState.GOOD, CopyState.SUSPECT, CopyState.WRITTEN)), copies.c.due_at.is_not(None)
)
IS_PROVED = sa.and_(_is_one_of(copies.c.state, (CopyState.GOOD, CopyState.SUSPECT)), copies.c.proved_at.is_not(None))
HELD = (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING)
IS_HELD = _is_one_of(copies.c.state, HELD)
UNHEALTHY = (
    CopyState.PLANNED, CopyState.WRITING, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING,
)  # fmt: skip
# Said by what it is not: SQLite would take a list of what it is for a search, and then sort what it found.
IS_UNHEALTHY = ~_is_one_of(copies.c.state, (CopyState.GOOD, CopyState.RETIRED))
sa.Index("ix_copies_volume_state", copies.c.volume_id, copies.c.state, copies.c.id)
_partial_index("ix_copies_due", copies.c.volume_id, copies.c.due_at, copies.c.id, where=IS_DUE_SOME_TIME)
_partial_index("ix_copies_proved", copies.c.volume_id, copies.c.proved_at, where=IS_PROVED)
_partial_index("ix_copies_checked", copies.c.volume_id, copies.c.checked_at, copies.c.id, where=IS_HELD)
_partial_index("ix_copies_unhealthy", copies.c.state, copies.c.id, where=IS_UNHEALTHY)

copy_counts = sa.Table(
    "copy_counts",
    metadata,
    sa.Column("volume_id", sa.ForeignKey("volumes.id"), primary_key=True, comment="The volume."),
    sa.Column("state", EnumText(CopyState), primary_key=True, comment="The state."),
    sa.Column("number", sa.BigInteger, nullable=False, comment="How many copies are in it there."),
    comment="Numbers of copies by volume and state, kept in the transactions that change copies.",
)

ingests = sa.Table(
    "ingests",
    metadata,
    sa.Column("id", KeyText, primary_key=True, comment="Identifier of the deposit, as in the API."),
    sa.Column("identifier", KeyText, nullable=False, comment="Identifier of the package."),
    sa.Column("state", EnumText(IngestState), nullable=False, comment="Step that it has reached."),
    sa.Column("agent", KeyText, nullable=False, comment="Who deposits."),
    sa.Column("agency", ProseText, nullable=False, server_default="", comment="Agency that it is said to be of."),
    sa.Column("volume", KeyText, nullable=False, comment="Volume of the first copy; empty until prepared."),
    sa.Column("version", sa.Integer, comment="Number that the version gets; null until prepared."),
    sa.Column("bytes_received", sa.BigInteger, nullable=False, comment="Bytes of the body so far."),
    sa.Column("prepared", JsonText, comment="All that is needed to finish it after a crash."),
    sa.Column("problem", JsonText, comment="Problem document of a refused or failed one."),
    sa.Column("receipt", JsonText, comment="The signed receipt."),
    sa.Column("created_at", TimeText, nullable=False, comment="When it began."),
    sa.Column("updated_at", TimeText, nullable=False, comment="When it last changed."),
    comment="Deposits on their way, and how they ended.",
)
IS_UNFINISHED = _is_one_of(ingests.c.state, (IngestState.RECEIVING, IngestState.PREPARED))
IS_AWAITING_RECEIPT = _is(ingests.c.state, f"'{IngestState.STORED}'")
_partial_index("ix_ingests_unfinished", ingests.c.created_at, where=IS_UNFINISHED)
_partial_index("ix_ingests_awaiting_receipt", ingests.c.created_at, where=IS_AWAITING_RECEIPT)
sa.Index("ix_ingests_version", ingests.c.identifier, ingests.c.version)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", KeyText, primary_key=True, comment="Identifier of the batch, as in the API."),
    sa.Column("agent", KeyText, nullable=False, comment="Who opened it."),
    sa.Column("registration_code", KeyText, nullable=False, comment="Registration code of the delivery."),
    sa.Column("delivery_number", KeyText, nullable=False, comment="Number of the delivery; may be empty."),
    sa.Column("agency", KeyText, nullable=False, comment="Code of the agency that delivers; may be empty."),
    sa.Column("agency_name", ProseText, nullable=False, comment="Name of that agency."),
    sa.Column("list_digest", KeyText, nullable=False, comment="SHA-256 of the depositor's list, canonical JSON."),
    sa.Column("listed", sa.Integer, nullable=False, comment="Packages on that list."),
    sa.Column("listed_files", sa.BigInteger, nullable=False, comment="Files on that list."),
    sa.Column("listed_bytes", sa.BigInteger, nullable=False, comment="Bytes on that list."),
    sa.Column("opened_at", TimeText, nullable=False, comment="When it was opened."),
    sa.Column("closed_at", TimeText, comment="When it was closed; null while it is open."),
    sa.Column("receipt", JsonText, comment="The signed batch receipt, once it is closed."),
    sa.UniqueConstraint("agent", "registration_code", "delivery_number"),
    comment="Deliveries (đợt giao nộp), each with the depositor's own list.",
)
sa.Index("ix_batches_opened", batches.c.opened_at, batches.c.id)

batch_items = sa.Table(
    "batch_items",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.id"), primary_key=True, comment="The batch."),
    sa.Column("identifier", KeyText, primary_key=True, comment="Identifier of the package."),
    sa.Column("listed", Flag, nullable=False, comment="1 if it is on the list; 0 for what came beside it."),
    sa.Column("digests", JsonText, nullable=False, comment="Digests on the list, by algorithm."),
    sa.Column("files", sa.BigInteger, nullable=False, comment="Files on the list."),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="Bytes on the list."),
    sa.Column("ingest_id", KeyText, nullable=False, comment="Deposit that brought it; empty before."),
    sa.Column("version", sa.Integer, comment="Version that it was stored as; null before."),
    sa.Column("came_files", sa.BigInteger, nullable=False, comment="Files that came."),
    sa.Column("came_bytes", sa.BigInteger, nullable=False, comment="Bytes of the files that came."),
    sa.Column("differences", JsonText, nullable=False, comment="In what it is not as listed: JSON list."),
    comment="Packages of batches: listed, come, or both.",
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", KeyText, primary_key=True, comment="Identifier of the upload and of its ingest."),
    sa.Column("agent", KeyText, nullable=False, comment="Who uploads; nobody else sees it."),
    sa.Column("request", JsonText, nullable=False, comment="What is to be done with the bytes, as JSON."),
    sa.Column("volume", KeyText, nullable=False, comment="Volume that has the bytes; empty when they are gone."),
    sa.Column("length", sa.BigInteger, comment="Bytes that there shall be; null until they are announced."),
    sa.Column("received", sa.BigInteger, nullable=False, comment="Bytes that are on stable storage."),
    sa.Column("state", EnumText(UploadState), nullable=False, comment="open, complete or ended."),
    sa.Column("attempts", sa.Integer, nullable=False, comment="How often taking it in failed for a reason of ours."),
    sa.Column("not_before", TimeText, comment="When it may be tried again."),
    sa.Column("created_at", TimeText, nullable=False, comment="When it was created."),
    sa.Column("expires_at", TimeText, nullable=False, comment="When it, or the memory of it, may go."),
    comment="Resumable deposits (tus) on their way.",
)
IS_HOLDING_BYTES = _is_one_of(uploads.c.state, (UploadState.OPEN, UploadState.COMPLETE))
_partial_index("ix_uploads_holding", uploads.c.state, uploads.c.created_at, uploads.c.id, where=IS_HOLDING_BYTES)
sa.Index("ix_uploads_expires", uploads.c.expires_at)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("key", KeyText, nullable=False, comment="What it is; unique among the open ones."),
    sa.Column("kind", EnumText(TaskKind), nullable=False, comment="Kind of work."),
    sa.Column("state", EnumText(TaskState), nullable=False, comment="Where it is in its life."),
    sa.Column("waiting", Flag, nullable=False, comment="1 while not_before lay ahead when last looked at."),
    sa.Column("priority", sa.Integer, nullable=False, comment="Lower first."),
    sa.Column("package_id", sa.BigInteger, nullable=False, comment="The package."),
    sa.Column("identifier", KeyText, nullable=False, comment="The package's identifier."),
    sa.Column("version", sa.Integer, comment="Number of the version, where one is meant."),
    sa.Column("volumes", KeyText, nullable=False, comment="Volumes whose lanes it occupies: JSON list of names."),
    sa.Column("params", JsonText, nullable=False, comment="What else the work needs to know."),
    sa.Column("attempts", sa.Integer, nullable=False, comment="How often it was begun."),
    sa.Column("not_before", TimeText, nullable=False, comment="When it may begin."),
    sa.Column("lease_owner", KeyText, nullable=False, comment="Who works on it; empty when nobody does."),
    sa.Column("lease_until", TimeText, comment="Until when the owner need not be doubted."),
    sa.Column("done_bytes", sa.BigInteger, nullable=False, comment="Bytes done."),
    sa.Column("total_bytes", sa.BigInteger, nullable=False, comment="Bytes to do."),
    sa.Column("created_at", TimeText, nullable=False, comment="When it was derived."),
    sa.Column("started_at", TimeText, comment="When it was last begun."),
    sa.Column("finished_at", TimeText, comment="When it ended."),
    sa.Column("message", ProseText, nullable=False, comment="How it went, for people."),
    comment="Work that the planner derived. Losing this table loses nothing.",
)
IS_OPEN = _is_one_of(tasks.c.state, (TaskState.READY, TaskState.RUNNING))
IS_RUNNING = _is(tasks.c.state, f"'{TaskState.RUNNING}'")
IS_CLAIMABLE = sa.and_(_is(tasks.c.state, f"'{TaskState.READY}'"), _is(tasks.c.waiting, "0"))
IS_WAITING = sa.and_(_is(tasks.c.state, f"'{TaskState.READY}'"), _is(tasks.c.waiting, "1"))
IS_ENDED = tasks.c.finished_at.is_not(None)
_partial_index("ux_tasks_open_key", tasks.c.key, where=IS_OPEN, unique=True)
_partial_index("ix_tasks_claimable", tasks.c.volumes, tasks.c.priority, tasks.c.id, where=IS_CLAIMABLE)
_partial_index("ix_tasks_waiting", tasks.c.not_before, where=IS_WAITING)
_partial_index("ix_tasks_running", tasks.c.lease_until, where=IS_RUNNING)
_partial_index("ix_tasks_ended", tasks.c.finished_at, where=IS_ENDED)
sa.Index("ix_tasks_state", tasks.c.state, tasks.c.priority, tasks.c.not_before)
sa.Index("ix_tasks_kind_state", tasks.c.kind, tasks.c.state)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", big_key(), primary_key=True, autoincrement=False, comment="Place in the chain: 1, 2, 3, …"),
    sa.Column("type", KeyText, nullable=False, comment="Type (PREMIS event types where there is one)."),
    sa.Column("time", TimeText, nullable=False, comment="When it happened."),
    sa.Column("outcome", KeyText, nullable=False, comment="success, warning or failure."),
    sa.Column("agent", KeyText, nullable=False, comment="Who did it."),
    sa.Column("identifier", KeyText, nullable=False, comment="Package concerned; may be empty."),
    sa.Column("version", sa.Integer, comment="Number of the version concerned."),
    sa.Column("volume", KeyText, nullable=False, comment="Volume concerned; may be empty."),
    sa.Column("detail", sa.Text, nullable=False, comment="Everything else, as canonical JSON (RFC 8785)."),
    sa.Column("previous", KeyText, nullable=False, comment="Hash of the event before; 64 zeros for the first."),
    sa.Column("hash", KeyText, nullable=False, comment="SHA-256 of the canonical JSON of all the others."),
    comment="The ledger: a chain of events. Rows are only ever added.",
)
HAS_IDENTIFIER = events.c.identifier != sa.literal_column("''")
_partial_index("ix_events_identifier", events.c.identifier, events.c.seq, where=HAS_IDENTIFIER)
sa.Index("ix_events_type", events.c.type, events.c.seq)

ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    sa.Column("seq", sa.BigInteger, nullable=False, comment="Number of the newest event; 0 before the first."),
    sa.Column("hash", KeyText, nullable=False, comment="Hash of the newest event."),
    sa.CheckConstraint("id = 1", name="ck_ledger_head_one_row"),
    comment="Where the chain ends. Whoever writes locks this row first.",
)

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("copy_id", sa.ForeignKey("copies.id"), nullable=False, index=True, comment="Copy that was damaged."),
    sa.Column("path", KeyText, nullable=False, comment="Where the bytes are, within the volume's evidence folder."),
    sa.Column("event_seq", sa.ForeignKey("events.seq"), nullable=False, comment="Event that tells of it."),
    sa.Column("kept_at", TimeText, nullable=False, comment="When they were set aside."),
    sa.Column("released_at", TimeText, comment="When an operator let them go."),
    comment="Damaged bytes that were set aside.",
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("name", KeyText, nullable=False, comment="Name; unique among those not revoked."),
    sa.Column("scopes", JsonText, nullable=False, comment="What it may do: JSON list."),
    sa.Column("secret_hash", KeyText, nullable=False, unique=True, comment="SHA-256 of the secret, hexadecimal."),
    sa.Column("created_at", TimeText, nullable=False, comment="When it was made."),
    sa.Column("expires_at", TimeText, comment="When it ends by itself."),
    sa.Column("revoked_at", TimeText, comment="When it was revoked."),
    sa.Column("agency", ProseText, nullable=False, server_default="", comment="Agency it is bound to; empty for all."),
    sa.Column("prefix", ProseText, nullable=False, server_default="", comment="How identifiers it deposits begin."),
    sa.Column("networks", JsonText, nullable=False, server_default="[]", comment="Whence it is good (CIDR): a list."),
    sa.Column("limits", JsonText, nullable=False, server_default="{}", comment="How much it may ask for."),
    sa.Column("last_used_at", TimeText, comment="When it was last used, to the hour."),
    comment="Credentials of the API, without their secrets.",
)
IS_NOT_REVOKED = tokens.c.revoked_at.is_(None)
_partial_index("ux_tokens_name", tokens.c.name, where=IS_NOT_REVOKED, unique=True)

token_usage = sa.Table(
    "token_usage",
    metadata,
    sa.Column("token_id", sa.ForeignKey("tokens.id"), primary_key=True, comment="The token."),
    sa.Column("day", KeyText, primary_key=True, comment="Day in UTC, as 2026-11-22."),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="Bytes of bodies that it sent."),
    sa.Column("packages", sa.BigInteger, nullable=False, comment="Deposits that it began."),
    comment="What tokens with a daily quota have used of it.",
)

cartridges = sa.Table(
    "cartridges",
    metadata,
    sa.Column("barcode", KeyText, primary_key=True, comment="Barcode on the label."),
    sa.Column("volume_id", sa.ForeignKey("volumes.id"), unique=True, comment="What is on it; null before formatting."),
    sa.Column("library", KeyText, nullable=False, comment="Library that it belongs to."),
    sa.Column("generation", KeyText, nullable=False, comment="Generation by its label, such as LTO-8."),
    sa.Column("pool", KeyText, nullable=False, comment="Pool that it is of; empty for scratch."),
    sa.Column("state", EnumText(CartridgeState), nullable=False, comment="What it is good for."),
    sa.Column("whereabouts", EnumText(Whereabouts), nullable=False, comment="library, offline or vaulted."),
    sa.Column("element", KeyText, nullable=False, comment="Its place in the library; empty elsewhere."),
    sa.Column("shelf", ProseText, nullable=False, comment="Where it lies outside the library."),
    sa.Column("reason", ProseText, nullable=False, comment="Why it is in this state, for people."),
    sa.Column("index_generation", sa.BigInteger, nullable=False, comment="Generation of its last known index."),
    sa.Column("loads", sa.BigInteger, nullable=False, comment="How often this node loaded it."),
    sa.Column("errors", sa.BigInteger, nullable=False, comment="Errors that reading or writing it met."),
    sa.Column("alerts", JsonText, nullable=False, comment="TapeAlert flags with their times: JSON list."),
    sa.Column("seen_at", TimeText, comment="When it was last seen in the library."),
    sa.Column("formatted_at", TimeText, comment="When this node formatted it."),
    sa.Column("written_at", TimeText, comment="When this node last wrote it."),
    sa.Column("added_at", TimeText, nullable=False, comment="When the catalogue first met it."),
    sa.Column("adopted", EnumText(Adopted), nullable=False, server_default="", comment="khoso, foreign; empty: ours."),
    sa.Column("origin", ProseText, nullable=False, server_default="", comment="Where an adopted one comes from."),
    sa.Column("files", sa.BigInteger, comment="Files on an adopted one."),
    sa.Column("cleanings", sa.Integer, nullable=False, server_default="0", comment="Uses of a cleaning cartridge."),
    sa.Column("bytes_read", sa.BigInteger, nullable=False, server_default="0", comment="Bytes read from it here."),
    sa.Column("bytes_written", sa.BigInteger, nullable=False, server_default="0", comment="Bytes written to it here."),
    sa.Column("life", JsonText, nullable=False, server_default="{}", comment="Its memory's own counts, by name."),
    comment="Tape cartridges, by barcode.",
)

tape_files = sa.Table(
    "tape_files",
    metadata,
    sa.Column("copy_id", sa.ForeignKey("copies.id"), primary_key=True, comment="The copy."),
    sa.Column("path", KeyText, nullable=False, comment="Path of its tar file on the cartridge."),
    sa.Column("start_block", sa.BigInteger, nullable=False, comment="First block on the data partition; 0 unknown."),
    sa.Column("length", sa.BigInteger, nullable=False, comment="Bytes of the tar file."),
    comment="Where copies stand on cartridges.",
)

mount_requests = sa.Table(
    "mount_requests",
    metadata,
    sa.Column("id", big_key(), primary_key=True, comment="Number of the row."),
    sa.Column("barcode", sa.ForeignKey("cartridges.barcode"), nullable=False, comment="Cartridge that is needed."),
    sa.Column("reason", ProseText, nullable=False, comment="What it is needed for, for people."),
    sa.Column("requested_at", TimeText, nullable=False, comment="Since when it is asked for."),
    sa.Column("ended_at", TimeText, comment="When it came, or was no longer needed."),
    sa.Column("ended_by", KeyText, nullable=False, comment="Who brought it; empty while it is open."),
    comment="Cartridges that are asked for.",
)
IS_ASKED_FOR = mount_requests.c.ended_at.is_(None)
_partial_index("ux_mount_requests_open", mount_requests.c.barcode, where=IS_ASKED_FOR, unique=True)

recalls = sa.Table(
    "recalls",
    metadata,
    sa.Column("id", KeyText, primary_key=True, comment="Identifier of the recall, as in the API."),
    sa.Column("identifier", KeyText, nullable=False, comment="Package that is brought back."),
    sa.Column("version", sa.Integer, nullable=False, comment="Number of the version."),
    sa.Column("what", KeyText, nullable=False, comment="Names the files below; empty for all."),
    sa.Column("files", JsonText, nullable=False, comment="Logical paths: JSON list; empty for all."),
    sa.Column("state", EnumText(RecallState), nullable=False, comment="How far it is."),
    sa.Column("agent", KeyText, nullable=False, comment="Who asked for it."),
    sa.Column("barcode", KeyText, nullable=False, comment="Cartridge that is read; empty before one is chosen."),
    sa.Column("message", ProseText, nullable=False, comment="How it stands, for people."),
    sa.Column("total_bytes", sa.BigInteger, nullable=False, comment="Bytes to bring back."),
    sa.Column("done_bytes", sa.BigInteger, nullable=False, comment="Bytes brought back."),
    sa.Column("requested_at", TimeText, nullable=False, comment="When it was first asked for."),
    sa.Column("finished_at", TimeText, comment="When it ended."),
    sa.Column("used_at", TimeText, comment="When what it brought was last asked for."),
    comment="What is to be brought back from tape, and how that went.",
)
RECALLS_LEFT = (RecallState.WAITING, RecallState.READING)
IS_RECALLING = _is_one_of(recalls.c.state, RECALLS_LEFT)
IS_CACHED = _is(recalls.c.state, f"'{RecallState.READY}'")
_OF_WHAT = (recalls.c.identifier, recalls.c.version, recalls.c.what)
_partial_index("ux_recalls_open", *_OF_WHAT, where=IS_RECALLING, unique=True)
_partial_index("ix_recalls_cached", recalls.c.identifier, recalls.c.version, where=IS_CACHED)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("kind", KeyText, primary_key=True, comment="Kind of scheduled work."),
    sa.Column("last_started", TimeText, comment="When it last began."),
    sa.Column("last_success", TimeText, comment="When it last succeeded."),
    sa.Column("last_error", ProseText, nullable=False, comment="What the last failure said; empty after a success."),
    comment="When scheduled work last ran.",
)
