"""The JSON of the node: volumes, work, events, orders, evidence, tokens, and how it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from vault.device_model import Health as DeviceHealth
from vault.model import (
    Condition,
    CopyState,
    MediumClass,
    Outcome,
    Scope,
    TaskKind,
    TaskState,
    VerificationState,
    VolumeMode,
)
from vault.wire.base import MOST, JsonObject, Model, Moment, SaidMoment


class Backlog(Model):
    """What is still to be copied."""

    versions: int
    bytes: int = Field(description="About.")
    seconds: float | None = Field(description="About how long it takes; null where nothing was measured yet.")


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
    health: DeviceHealth = Field(default=DeviceHealth.UNKNOWN, description="That of the devices that it stands on.")
    health_reason: str = Field(default="", description="Why; empty where all is well, or nothing is known.")
    evacuation: Backlog | None = Field(default=None, description="What is still to be copied; null where none is on.")


class VolumeList(Model):
    """All volumes, by name."""

    items: list[Volume]


class ModeChange(Model):
    """What the operator wants of a volume from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: VolumeMode


class ReplaceOrder(Model):
    """A new medium for a volume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    give_up: int = Field(
        default=0,
        ge=0,
        le=MOST,
        description="So many versions at most may have no other copy than the one on the old medium.",
    )


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
    """What to check now: one volume, one package, one fonds, or everything; exactly one of the four. With ``sample``
    only so many packages of that, chosen at random; alone, of everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    volume: str = ""
    identifier: str = ""
    all: bool = False
    fonds: str = Field(default="", max_length=512)
    sample: int = Field(default=0, ge=0, le=100_000, description="Packages chosen at random; 0 for all of them.")


class Verification(Model):
    """An order to check copies now, and how far it is."""

    id: str
    volume: str
    identifier: str
    fonds: str = ""
    sample: int = Field(default=0, description="Packages that were chosen at random; 0 where all are checked.")
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


class ReadingCount(Model):
    """What checks came to."""

    copies: int = Field(description="Checks that were concluded.")
    intact: int
    damaged: int
    missing: int
    doubtful: int = Field(description="Could not be read, or not twice alike; it is read again.")
    files: int
    bytes: int = Field(description="Read from the medium, also of checks that ended on another day.")
    seconds: float = Field(description="Spent reading, all lanes together, without waits for a cap; 0: not known.")


class ReadingStanding(Model):
    """How far a volume was within its interval at the last look of a day."""

    held: int = Field(description="Copies that are to be checked.")
    proved: int = Field(description="Of these, those that were proved within the interval.")
    overdue: int = Field(description="Copies whose check was due.")
    interval_seconds: float = Field(description="The shortest interval that a policy has for the medium.")
    oldest_proof: Moment | None
    looked_at: Moment


class ReadingDay(Model):
    """What was read back from a volume on a day. Hours after midnight belong to the day on which their window began."""

    day: date = Field(examples=["2026-11-22"])
    volume: str
    routine: ReadingCount = Field(description="What only the schedule asked for.")
    other: ReadingCount = Field(description="What somebody waited for: first proofs, orders, doubts.")
    began_at: Moment | None = Field(description="The first check; null where there was none.")
    ended_at: Moment | None
    first_event: int | None = Field(description="Number of the event of the first check.")
    last_event: int | None
    standing: ReadingStanding | None = Field(description="Null where nobody looked: for tapes, and before the first.")


class ReadingList(Model):
    """Days, the first one first, and volumes by name."""

    node: str
    items: list[ReadingDay]


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
    bytes_per_day: int | None = Field(default=None, ge=1, le=MOST, description="Bytes of bodies that it sends.")
    packages_per_day: int | None = Field(default=None, ge=1, le=MOST, description="Deposits that it begins.")
    open_uploads: int | None = Field(default=None, ge=1, le=100_000, description="Resumable uploads at one time.")


class TokenOrder(Model):
    """A token to be made. ``expires_at`` null: it is valid until it is revoked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    expires_at: SaidMoment | None = None
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
    backlog: Backlog | None = Field(default=None, description="What is to be copied until the policy holds again.")
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
