"""The JSON that the API speaks, as pydantic models: what programs may rely on.

Times are UTC in the form ``2026-11-22T10:40:42.123456Z``, sizes are bytes, digests are lower-case hexadecimal. Members
may be added, never renamed or taken away; readers ignore what they do not know. ``None`` (``null``) means that
something is not known or has not happened, and is never the same as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)

from vault.clock import to_text
from vault.model import (
    Condition,
    CopyState,
    DigestAlgorithm,
    IngestState,
    MediumClass,
    Outcome,
    PackageKind,
    RecallState,
    Scope,
    TaskKind,
    TaskState,
    VerificationState,
    VolumeMode,
)

_TIME_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-11-22T10:40:42.123456Z"]}
Moment = Annotated[AwareDatetime, PlainSerializer(to_text, when_used="json"), WithJsonSchema(_TIME_SCHEMA)]
"""A time, always written with microseconds and ``Z``."""

JsonObject = Mapping[str, JsonValue]
"""JSON whose members are not ours to name: receipts (which are signed as they are), details of events."""


_MOST = 2**62
"""No count or number of bytes is larger."""

_CLASS = AliasChoices("class", "priority_class")


class Model(BaseModel):
    """What all have in common: they do not change, and ignore members that a newer daemon may send."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True, serialize_by_alias=True)


class Fault(Model):
    """One thing that is wrong with what was sent."""

    code: str = Field(description="Stable, kebab-case.", examples=["bad-digest"])
    message: str = Field(description="A sentence for people.")
    path: str = Field(default="", description='The member or key concerned; "" where the whole is meant.')


class Problem(Model):
    """A problem document (RFC 9457, ``application/problem+json``). Programs look at ``code`` or ``type``."""

    type: str = Field(examples=["urn:khoso:problem:not-found"])
    title: str = Field(examples=["There is no such thing"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What is wrong.", examples=["There is no package H49/2025/0012."])
    code: str = Field(description="Stable, kebab-case.", examples=["no-such-package"])
    remedy: str = Field(default="", description="What to do about it.")
    faults: list[Fault] = Field(default_factory=list, description="Everything that was wrong, not only the first.")
    instance: str = Field(default="", description="Identifies this request; it stands in the log of the daemon too.")


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


class Package(Model):
    """A package with everything that is known of it."""

    identifier: str
    head: int = Field(description="The newest version.")
    descriptive: Descriptive
    policy_held: bool = Field(description="Whether the policy of every version holds.")
    versions: list[Version] = Field(description="The oldest first.")
    events: str = Field(description="Where the events of this package are.")
    events_count: int
    created_at: Moment


class PackageSummary(Model):
    """A package in a listing."""

    identifier: str
    head: int
    descriptive: Descriptive
    policy_held: bool
    created_at: Moment


class PackageList(Model):
    """A page of packages, in the order of their identifiers' code points."""

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
    agent: str
    volume: str = Field(description='Volume of the first copy; "" before it is known.')
    version: int | None
    bytes_received: int
    problem: JsonObject | None = Field(description="The problem document of a refused or failed one.")
    receipt: JsonObject | None = Field(description="The signed receipt, once there is one.")
    created_at: Moment
    updated_at: Moment


class Volume(Model):
    """A place that holds copies. A volume of the configuration that was never seen has no ``uuid``."""

    name: str
    uuid: UUID | None
    kind: str
    medium: MediumClass
    domain: str
    site: str
    mode: VolumeMode = Field(description="What the operator wants of it.")
    condition: Condition = Field(description="What was last seen of it.")
    condition_reason: str
    configured: bool = Field(description="Whether the configuration still has it.")
    size_bytes: int | None
    free_bytes: int | None
    probed_at: Moment | None
    added_at: Moment | None
    copies: Mapping[CopyState, int] = Field(description="How many copies are in which state; zeros are absent.")
    oldest_proof_at: Moment | None = Field(description="The proof that is longest ago among its copies.")


class VolumeList(Model):
    """All volumes, by name."""

    items: list[Volume]


class ModeChange(Model):
    """What the operator wants of a volume from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: VolumeMode


class Task(Model):
    """A piece of work that the planner derived."""

    id: int
    kind: TaskKind
    state: TaskState
    priority: int
    identifier: str
    version: int | None
    volumes: list[str]
    attempts: int
    not_before: Moment
    done_bytes: int
    total_bytes: int = Field(description="0 where it is not known.")
    stalled: bool = Field(default=False, description="It runs, and has read and written nothing for long.")
    message: str
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class TaskList(Model):
    """Tasks, the newest first."""

    items: list[Task]


class Event(Model):
    """An event of the ledger. ``hash`` is the SHA-256 of the canonical JSON (RFC 8785) of all other members."""

    seq: int
    type: str
    time: Moment
    outcome: Outcome
    agent: str
    identifier: str
    version: int | None
    volume: str
    detail: JsonObject
    previous: str
    hash: str


class EventList(Model):
    """Events in the order of the chain."""

    items: list[Event]
    last: int = Field(description="To be sent as ``after`` for those that follow; also when there are none yet.")
    more: bool = Field(description="Whether more are there already.")


class VerificationOrder(Model):
    """What to check now: one volume, one package, or everything; exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    volume: str = ""
    identifier: str = ""
    all: bool = False


class Verification(Model):
    """An order to check copies now, and how far it is."""

    id: str
    volume: str
    identifier: str
    agent: str
    state: VerificationState
    requested_at: Moment
    finished_at: Moment | None
    total: int
    checked: int
    good: int
    bad: int
    skipped: int = Field(description="Copies that cannot be reached now; they are checked when they can be.")


class VerificationList(Model):
    """Orders, the newest first."""

    items: list[Verification]


class RepairOrder(Model):
    """Which package to repair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identifier: str


class Repair(Model):
    """What was ordered. The work itself shows in the tasks and the events."""

    identifier: str
    ordered: int = Field(description="Copies that will be repaired; 0 when all are well.")


class Evidence(Model):
    """Damaged bytes that were set aside on a volume until an operator releases them."""

    id: int
    identifier: str
    version: int
    volume: str
    path: str = Field(description="Below the volume's root.")
    found: str = Field(default="", description="What was wrong with them.")
    event_seq: int
    kept_at: Moment
    released_at: Moment | None


class EvidenceList(Model):
    """What is being kept."""

    items: list[Evidence]


class TokenLimits(Model):
    """How much a token may ask for; null: as much as the node can give. Days are those of UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)

    rate: float | None = Field(default=None, gt=0, le=10_000, description="Requests per second.")
    bytes_per_day: int | None = Field(default=None, ge=1, le=_MOST, description="Bytes of bodies that it sends.")
    packages_per_day: int | None = Field(default=None, ge=1, le=_MOST, description="Deposits that it begins.")
    open_uploads: int | None = Field(default=None, ge=1, le=100_000, description="Resumable uploads at one time.")


class TokenOrder(Model):
    """A token to be made. ``expires_at`` null: it is valid until it is revoked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = None
    agency: str = Field(
        default="", max_length=1000, description='It sees and touches only what is of this agency; "" for all.'
    )
    prefix: str = Field(default="", max_length=1000, description="Identifiers that it deposits begin so.")
    networks: list[str] = Field(
        default_factory=list, max_length=50, description="It is good only from there (CIDR); empty for everywhere."
    )
    limits: TokenLimits = TokenLimits()


class Token(Model):
    """A credential, without its secret."""

    id: int
    name: str
    scopes: list[Scope]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    agency: str = ""
    prefix: str = ""
    networks: list[str] = Field(default_factory=list)
    limits: TokenLimits = TokenLimits()
    last_used_at: Moment | None = Field(default=None, description="To the hour.")


class CreatedToken(Token):
    """A token just made: the only time that its secret is shown."""

    token: str = Field(description="Send it as ``Authorization: Bearer …``. It cannot be shown again.")


class TokenList(Model):
    """All tokens that were not revoked."""

    items: list[Token]


class Alert(Model):
    """Something that a person should look at."""

    severity: Literal["critical", "warning", "info"]
    code: str = Field(description="Stable, kebab-case.", examples=["volume-offline"])
    subject: str = Field(description='The volume, package or part of the node concerned; "" for the node.')
    message: str
    remedy: str


class Schedule(Model):
    """Regular work: when it last began and last succeeded."""

    kind: str
    last_started: Moment | None
    last_success: Moment | None
    last_error: str = Field(description='"" after a success.')


class LedgerHead(Model):
    """Where the chain of events ends."""

    seq: int
    hash: str


class Status(Model):
    """The node on one screen."""

    node: str
    version: str = Field(description="Of the program.")
    key_id: str = Field(description="Of the key that signs receipts.")
    time: Moment
    policy_held: bool = Field(description="Whether the policy of every version holds.")
    packages: int
    below_policy: Mapping[str, int] = Field(description="Versions below their policy, by class; zeros are absent.")
    volumes: list[Volume]
    running: list[Task]
    tasks: Mapping[str, Mapping[str, int]] = Field(description="Kind, state, number; zeros are absent.")
    alerts: list[Alert] = Field(description="The worst first.")
    schedules: list[Schedule]
    ledger: LedgerHead


class Health(Model):
    """The process lives and its loop turns."""

    status: Literal["ok"] = "ok"


class Readiness(Model):
    """Whether the node can do its work; ``reasons`` says why not."""

    ready: bool
    reasons: list[str]
