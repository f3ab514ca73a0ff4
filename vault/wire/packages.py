"""The JSON of packages: what was said of them, versions and copies, files, deposits and recalls."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from vault.depositing import IngestStep
from vault.model import CopyState, DigestAlgorithm, IngestState, PackageKind, RecallState
from vault.wire.base import JsonObject, Model, Moment

_CLASS = AliasChoices("class", "priority_class")


class Descriptive(Model):
    """What the depositor said of a package; empty texts where nothing was said."""

    fonds: str = ""
    agency: str = ""
    batch: str = ""
    title: str = ""
    retention: str = ""
    access: str = ""
    priority_class: str = Field(default="default", validation_alias=_CLASS, serialization_alias="class")
    agency_name: str = ""
    file_code: str = Field(default="", description="Mã hồ sơ.")
    date_from: str = Field(default="", description="Of its first document: a year, a month or a day (ISO 8601).")
    date_to: str = Field(default="", description="Of its last document.")


class Count(Model):
    """How many good copies, each in its own failure domain."""

    disk: int
    tape: int


class Copy(Model):
    """One version on one volume. ``proved_at``: every byte was last read back from the medium and was right."""

    volume: str
    state: CopyState
    reason: str = Field(default="", description="Why it is in this state.")
    written_at: Moment | None = None
    proved_at: Moment | None = None
    checked_at: Moment | None = Field(default=None, description="When a check last came to a conclusion, good or bad.")
    due_at: Moment | None = Field(default=None, description="When the next check should begin.")
    changed_at: Moment


class Version(Model):
    """One immutable version of a package."""

    version: int = Field(description="1, 2, … within the package.")
    name: str = Field(description="As receipts, entity tags and OCFL write it.", examples=["v1"])
    kind: PackageKind
    algorithm: DigestAlgorithm
    content_digest: str = Field(description="Names the content, whatever its packing.")
    inventory_digest: str = Field(description="Digest of vN/inventory.json, which pins every byte.")
    files: int
    bytes: int
    part_bytes: int = Field(description="What this version adds on a medium.")
    deposit_digests: Mapping[str, str] = Field(description="Digests of the body as it was sent, by algorithm.")
    policy: str
    priority_class: str = Field(validation_alias=_CLASS, serialization_alias="class")
    policy_held: bool = Field(description="Whether its good copies are what its policy asks for.")
    good: Count = Field(description="Good copies that count.")
    missing: Count = Field(description="What the policy asks for beyond them.")
    copies: list[Copy]
    metadata: JsonObject
    ingest_id: str = Field(description='The deposit that made it; "" after the catalogue was rebuilt.')
    receipt: str | None = Field(description="Where the signed receipt is, once there is one.")
    created_at: Moment


class Sets(Model):
    """Complete, independent backup sets of a package: failure domains in each of which every version of it has a copy
    that was read back and found right."""

    complete: int
    wanted: int = Field(description="What the policy of the newest version asks for, on disk and on tape together.")
    domains: list[str] = Field(description="Which they are.")


class Kept(Model):
    """Whether a package is accepted, whether its sets are complete, and when it was last proved."""

    accepted_at: Moment | None = Field(
        default=None, description="When the receipt of the newest version was signed; null while there is none."
    )
    receipt: str | None = Field(default=None, description="Where that receipt is.")
    policy_holds: bool = Field(default=False, description="Whether the policy of every version holds.")
    sets: Sets = Field(default=Sets(complete=0, wanted=0, domains=[]))
    last_proved_at: Moment | None = Field(
        default=None,
        description="Every version had a copy read back from its medium and found right then or later; null where one"
        " never had.",
    )


class Package(Kept):
    """A package with everything that is known of it."""

    identifier: str
    head: int = Field(description="The newest version.")
    descriptive: Descriptive
    policy_held: bool = Field(description="Whether the policy of every version holds.")
    versions: list[Version] = Field(description="The oldest first.")
    events: str = Field(description="Where the events of this package are.")
    events_count: int
    created_at: Moment


class PackageSummary(Kept):
    """A package in a listing."""

    identifier: str
    head: int
    descriptive: Descriptive
    policy_held: bool
    created_at: Moment


class PackageList(Model):
    """A page of packages."""

    items: list[PackageSummary]
    next_cursor: str | None = Field(description="To be sent as ``cursor`` for the next page; null on the last.")


class ContentFile(Model):
    """A file of a version."""

    path: str
    digest: str = Field(description="In the algorithm of the list.")


class FileList(Model):
    """A page of a version's files, as the depositor sent them, by path."""

    identifier: str
    version: int
    kind: PackageKind
    algorithm: DigestAlgorithm
    items: list[ContentFile]
    next_cursor: str | None


class Recall(Model):
    """Content on its way from a tape."""

    id: str
    identifier: str
    version: int
    files: list[str] = Field(description="Paths of files; empty: all of the version.")
    state: RecallState
    agent: str
    created_at: Moment
    done_bytes: int
    total_bytes: int | None
    message: str = Field(description="What it waits for, or why it failed.")
    kept_until: Moment | None = Field(description="Until when it can be fetched at least, once it is ready.")


class Ingest(Model):
    """A deposit on its way, or how it ended. ``receipt`` is there when ``state`` is ``receipted``."""

    id: str
    identifier: str
    state: IngestState
    step: IngestStep = Field(description="What is being done for it now.")
    agent: str
    volume: str = Field(description='Volume of the first copy; "" before it is known.')
    version: int | None
    bytes_received: int = Field(description="Bytes that are on stable storage.")
    bytes_total: int | None = Field(default=None, description="What an upload announced; null where it is not known.")
    copies_good: int | None = Field(default=None, description="Good copies that count; null before it is stored.")
    callback: str | None = Field(default=None, description="waiting, delivered, given-up; null where nobody is told.")
    copies_needed: int | None = Field(default=None, description="So many good copies the receipt needs.")
    problem: JsonObject | None = Field(description="The problem document of a refused or failed one.")
    receipt: JsonObject | None = Field(description="The signed receipt, once there is one.")
    created_at: Moment
    updated_at: Moment
