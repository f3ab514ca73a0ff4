"""The facts that the whole program speaks of, as frozen dataclasses and enums.

Nothing here reads a file, opens a connection or decides anything: a value that exists is well formed, and that
is all. Times are aware datetimes in UTC; sizes are bytes; digests are lower-case hexadecimal.

Words: a *package* is what a repository deposits, known by its identifier. A *version* (v1, v2, …) of it is
immutable. A *copy* is one version on one *volume*. A *failure domain* is what fails together (a chassis, an
array); a *site* is what burns together.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from vault.device_model import Health

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What can stand in an event's detail, a task's parameters or a receipt."""


class DigestAlgorithm(enum.StrEnum):
    """Digest algorithms that content may be stored under (OCFL 1.1, section 3.5.1: the two it recommends)."""

    SHA512 = "sha512"
    SHA256 = "sha256"


class CopyState(enum.StrEnum):
    """The life of a copy; ``vault.catalog.copies.ALLOWED_TRANSITIONS`` has its steps.

    Only GOOD counts for a policy: every byte was read back from the medium and every digest was equal. An unreachable
    volume changes no copy's state.
    """

    PLANNED = "planned"
    WRITING = "writing"
    WRITTEN = "written"
    GOOD = "good"
    SUSPECT = "suspect"
    DAMAGED = "damaged"
    MISSING = "missing"
    RETIRED = "retired"


class MediumClass(enum.StrEnum):
    """What policies count: copies on disk volumes and copies on tape."""

    DISK = "disk"
    TAPE = "tape"


class VolumeMode(enum.StrEnum):
    """What the operator wants of a volume. What can be seen of it is its :class:`Condition`."""

    ACTIVE = "active"
    READ_ONLY = "read-only"
    EVACUATING = "evacuating"
    RETIRED = "retired"


class Condition(enum.StrEnum):
    """What a probe saw. OFFLINE: it does not answer. FOREIGN: something else is mounted there."""

    ONLINE = "online"
    READ_ONLY = "read-only"
    OFFLINE = "offline"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


READABLE = (Condition.ONLINE, Condition.READ_ONLY)


@dataclass(frozen=True, slots=True)
class Volume:
    """A place that holds copies: a directory tree or a tape. ``health`` is that of what it stands on."""

    id: int
    uuid: UUID
    name: str
    kind: str
    medium: MediumClass
    domain: str
    site: str
    mode: VolumeMode
    condition: Condition
    condition_reason: str
    size_bytes: int | None
    free_bytes: int | None
    probed_at: datetime | None
    added_at: datetime
    health: Health = Health.UNKNOWN
    health_reason: str = ""


class PackageKind(enum.StrEnum):
    """What a deposit was: a complete BagIt bag, or one file kept as it is."""

    BAG = "bag"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Descriptive:
    """What the depositor said of a package, as far as the node knows what it means. Empty where nothing was said.

    ``agency`` is a code; ``file_code`` is the *mã hồ sơ*; the dates (ISO 8601: a year, a month or a day) are those of
    the first and the last document in it; ``batch`` is the id of the delivery.
    """

    fonds: str = ""
    agency: str = ""
    batch: str = ""
    title: str = ""
    retention: str = ""
    access: str = ""
    priority_class: str = "default"
    agency_name: str = ""
    file_code: str = ""
    date_from: str = ""
    date_to: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """What a repository deposits; known by its identifier. ``last_proved_at``: every version of it had a copy read back
    and found right then or later; None where one never had."""

    id: int
    identifier: str
    head: int
    descriptive: Descriptive
    created_at: datetime
    last_proved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version of a package.

    ``content_digest`` names the content whatever its packing: the digest of the canonical list of logical paths
    with their digests. ``inventory_digest`` is that of the ``vN/inventory.json`` which, through its manifest,
    pins every byte; two copies of a version have the same inventory to the letter. ``bytes`` and ``files``
    count the logical files, ``part_bytes`` what this version adds on a medium (unchanged files are not stored
    again). ``deposit_digests`` are those of the request body as it was sent, by algorithm. ``priority`` orders the
    versions that are below their policy, lower first. ``policy_fingerprint`` names the wording of the policies under
    which ``policy`` and ``below_policy`` were last worked out.
    """

    id: int
    package_id: int
    identifier: str
    number: int
    kind: PackageKind
    algorithm: DigestAlgorithm
    content_digest: str
    inventory_digest: str
    files: int
    bytes: int
    part_bytes: int
    deposit_digests: Mapping[str, str]
    policy: str
    priority_class: str
    below_policy: bool
    ingest_id: str
    created_at: datetime
    priority: int = 100
    policy_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """One version on one volume.

    ``proved_at`` is when its bytes were last read back, all equal; ``checked_at`` when a check last came to a
    conclusion, good or bad; ``due_at`` when the next check should begin. ``failures`` counts the checks in a row
    that could not read it.
    """

    id: int
    version_id: int
    package_id: int
    number: int
    volume_id: int
    volume: str
    state: CopyState
    written_at: datetime | None
    proved_at: datetime | None
    checked_at: datetime | None
    due_at: datetime | None
    changed_at: datetime
    reason: str = ""
    failures: int = 0


class IngestState(enum.StrEnum):
    """The steps of a deposit. PREPARED: everything is on the volume's staging, the rename is about to happen."""

    RECEIVING = "receiving"
    PREPARED = "prepared"
    STORED = "stored"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ingest:
    """One deposit on its way. ``agency``: the one it is said to be of. ``problem``: why it was refused or failed."""

    id: str
    identifier: str
    state: IngestState
    agent: str
    agency: str
    volume: str
    version: int | None
    bytes_received: int
    prepared: Mapping[str, Json] | None
    problem: Mapping[str, Json] | None
    receipt: Mapping[str, Json] | None
    created_at: datetime
    updated_at: datetime


class RecallState(enum.StrEnum):
    """Content on its way from a tape. WAITING: for a drive, for other work on the tape, or for somebody to load it.
    READY: it can be fetched. FAILED: no tape gave the right bytes. EXPIRED: it was there, and made room for other."""

    WAITING = "waiting"
    READING = "reading"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


class TaskKind(enum.StrEnum):
    """What the planner may ask for."""

    VERIFY = "verify"
    REPLICATE = "replicate"
    REPAIR = "repair"
    TAPE_WRITE = "tape-write"
    TAPE_CHECK = "tape-check"
    RECALL = "recall"
    DRIVE_CLEAN = "drive-clean"


class TaskState(enum.StrEnum):
    """READY waits for a lane, RUNNING holds a lease, the others are ended."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work that the planner derived. Losing every task loses nothing: they are derived again.

    ``key`` is unique among the open tasks: deriving twice makes one. ``volumes`` are those whose lanes it occupies.
    """

    id: int
    key: str
    kind: TaskKind
    state: TaskState
    priority: int
    package_id: int
    identifier: str
    version: int | None
    volumes: tuple[str, ...]
    params: Mapping[str, Json]
    attempts: int
    not_before: datetime
    lease_owner: str
    lease_until: datetime | None
    done_bytes: int
    total_bytes: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that the planner wants to exist."""

    key: str
    kind: TaskKind
    priority: int
    package_id: int
    identifier: str
    version: int | None
    volumes: tuple[str, ...]
    total_bytes: int = 0
    params: Mapping[str, Json] = field(default_factory=dict)


class EventType(enum.StrEnum):
    """Types of events: those of PREMIS 3.0 (https://id.loc.gov/vocabulary/preservation/eventType), and our own."""

    INGESTION = "ingestion"
    VALIDATION = "validation"
    VERSION_CREATED = "version-created"
    COPY_WRITTEN = "copy-written"
    REPLICATION = "replication"
    FIXITY_CHECK = "fixity-check"
    RECOVERY = "recovery"
    EVIDENCE_KEPT = "evidence-kept"
    EVIDENCE_RELEASED = "evidence-released"
    RECEIPT = "receipt-issued"
    SPILL_ATTEMPTED = "spill-attempted"
    BATCH_OPENED = "batch-opened"
    BATCH_ENTERED = "batch-entered"
    BATCH_CLOSED = "batch-closed"
    VOLUME_ADDED = "volume-added"
    VOLUME_CHANGED = "volume-changed"
    DEVICE_CHANGED = "device-changed"
    POLICY_CHANGED = "policy-changed"
    VERIFICATION_REQUESTED = "verification-requested"
    VERIFICATION_ENDED = "verification-ended"
    TOKEN_CREATED = "token-created"
    TOKEN_REVOKED = "token-revoked"
    NODE_STARTED = "node-started"
    NODE_STOPPED = "node-stopped"
    CHECKPOINT = "ledger-checkpoint"
    CATALOGUE_BACKUP = "catalogue-backup"
    CATALOGUE_REBUILT = "catalogue-rebuilt"
    DRILL = "restore-drill"
    VOLUME_SCANNED = "volume-scanned"
    OBJECT_ADOPTED = "object-adopted"
    CARTRIDGE_ADDED = "cartridge-added"
    CARTRIDGE_CHANGED = "cartridge-changed"
    CARTRIDGE_FORMATTED = "cartridge-formatted"
    CARTRIDGE_ADOPTED = "cartridge-adopted"
    CARTRIDGE_RECOVERED = "cartridge-recovered"
    TAPE_SESSION = "tape-session"
    TAPE_REFUSED = "tape-refused"
    DRIVE_CLEANED = "drive-cleaned"
    DRIVE_HELD = "drive-held"
    DRIVE_RELEASED = "drive-released"
    TAPE_ALERT = "tape-alert"
    MOUNT_REQUESTED = "mount-requested"
    MOUNT_ENDED = "mount-ended"
    RECALL_REQUESTED = "recall-requested"
    RECALL_ENDED = "recall-ended"


class Outcome(enum.StrEnum):
    """How an event ended (PREMIS eventOutcome)."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, before it has a place in the chain. ``agent`` is who did it: ``node:NAME``
    for the daemon itself, ``token:NAME`` or ``user:LOGIN``. ``detail`` holds nothing secret and no content."""

    type: EventType
    outcome: Outcome
    agent: str
    identifier: str = ""
    version: int | None = None
    volume: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the chain. ``hash`` is the SHA-256 of its canonical JSON (RFC 8785), ``previous`` included."""

    seq: int
    type: str
    time: datetime
    outcome: Outcome
    agent: str
    identifier: str
    version: int | None
    volume: str
    detail: Mapping[str, Json]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Damaged bytes that were set aside on a volume, until an operator releases them."""

    id: int
    copy_id: int
    identifier: str
    version: int
    volume: str
    path: str
    event_seq: int
    kept_at: datetime
    released_at: datetime | None


class Scope(enum.StrEnum):
    """What a token may do."""

    DEPOSIT = "deposit"
    READ = "read"
    OPERATE = "operate"
    APPROVE = "approve"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How much a token may ask for; None: as much as the node can give.

    ``rate`` is requests per second, over any length of time longer than a few seconds; days are those of UTC.
    """

    rate: float | None = None
    bytes_per_day: int | None = None
    packages_per_day: int | None = None
    open_uploads: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A credential, without its secret: only a hash of that is ever stored.

    ``agency``: it sees and touches only what is that agency's; "" for all. ``prefix``: identifiers that it deposits
    begin so. ``networks`` (CIDR): it is good only from there; empty for everywhere. ``last_used_at`` is coarse.
    """

    id: int
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    agency: str = ""
    prefix: str = ""
    networks: tuple[str, ...] = ()
    limits: TokenLimits = TokenLimits()
    last_used_at: datetime | None = None


class VerificationState(enum.StrEnum):
    """Whether an ordered verification still has copies to check."""

    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Verification:
    """An order to check copies now: all copies in its scope that were not checked since ``requested_at``.

    The scope is what is on a volume, of a package, of a fonds; each empty for all. With ``sample`` it is so many
    packages of these, chosen at random when it was ordered. It needs no list of copies: what is still to do follows
    from the time of each copy's last check, so it survives any restart.
    """

    id: str
    volume: str
    identifier: str
    agent: str
    state: VerificationState
    requested_at: datetime
    finished_at: datetime | None
    total: int
    checked: int
    good: int
    bad: int
    skipped: int
    fonds: str = ""
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a kind of scheduled work last began and last succeeded; what its last failure said, "" after a success."""

    kind: str
    last_started: datetime | None
    last_success: datetime | None
    last_error: str
