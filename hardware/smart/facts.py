"""What is known of one disk: plain facts, in the units of the standards. None is "not known", never 0 or healthy."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


class Protocol(enum.StrEnum):
    """The command set that a disk speaks."""

    ATA = "ata"
    NVME = "nvme"
    SCSI = "scsi"
    UNKNOWN = "unknown"


class Reading(enum.StrEnum):
    """How it went when the disk was asked. Only ``READ`` says anything about its health."""

    READ = "read"
    ASLEEP = "asleep"
    HUNG = "hung"
    DENIED = "denied"
    ABSENT = "absent"
    UNREADABLE = "unreadable"


class ExitStatus(enum.IntFlag):
    """The exit status of smartctl(8), section EXIT STATUS: a bit field."""

    COMMAND_LINE = 1 << 0
    OPEN_FAILED = 1 << 1
    COMMAND_FAILED = 1 << 2
    DISK_FAILING = 1 << 3
    PREFAIL_NOW = 1 << 4
    BELOW_THRESHOLD_PAST = 1 << 5
    ERROR_LOG = 1 << 6
    SELF_TEST_LOG = 1 << 7


NO_EXIT_STATUS: Final = ExitStatus(0)


class Counter(enum.StrEnum):
    """What a disk counts over its life and should never have to: growth matters more than the value."""

    REALLOCATED = "reallocated_sectors"
    """Sectors replaced by spare ones (ATA attribute 5; device statistics)."""
    REPORTED_UNCORRECTABLE = "reported_uncorrectable_errors"
    """Errors that the drive could not correct and told the host of (ATA attribute 187; device statistics)."""
    COMMAND_TIMEOUTS = "command_timeouts"
    """Commands aborted because the drive took too long (ATA attribute 188)."""
    PENDING = "pending_sectors"
    """Sectors that could not be read and wait for a write (ATA attribute 197, pending defects log; SCSI pending defects
    and background scan); may fall again."""
    OFFLINE_UNCORRECTABLE = "offline_uncorrectable_sectors"
    """Sectors that the drive's own scan could not read (ATA attribute 198); may fall again."""
    CRC_ERRORS = "interface_crc_errors"
    """Transfers broken on the way between drive and host (ATA attribute 199): cable, backplane, controller."""
    MEDIA_ERRORS = "media_errors"
    """NVMe: times that data could not be recovered."""
    GROWN_DEFECTS = "grown_defects"
    """SCSI: entries of the grown defect list."""
    UNCORRECTED_READ = "uncorrected_read_errors"
    UNCORRECTED_WRITE = "uncorrected_write_errors"
    UNCORRECTED_VERIFY = "uncorrected_verify_errors"
    LOGGED_ERRORS = "logged_errors"
    """Entries that the drive ever made in its error log (ATA)."""
    LINK_ERRORS = "link_errors"
    """SAS: invalid words, lost synchronisation and reset problems, over all phys; SATA: phy events that are errors."""
    END_TO_END = "end_to_end_errors"
    """Data that changed inside the drive between cache and host (ATA attribute 184)."""


SURFACE = frozenset({
    Counter.REALLOCATED, Counter.REPORTED_UNCORRECTABLE, Counter.PENDING, Counter.OFFLINE_UNCORRECTABLE,
    Counter.MEDIA_ERRORS, Counter.GROWN_DEFECTS, Counter.UNCORRECTED_READ, Counter.UNCORRECTED_WRITE,
    Counter.UNCORRECTED_VERIFY, Counter.END_TO_END,
})  # fmt: skip
"""Counters that tell of stored bytes in danger; the others tell of the way to the host."""


class WhenFailed(enum.StrEnum):
    """Whether a normalised attribute is, or was, at or below the threshold of its vendor."""

    NEVER = "never"
    PAST = "past"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An ATA attribute. ``raw`` is the vendor's 48-bit field, which may pack several counters."""

    id: int
    name: str
    value: int | None
    worst: int | None
    threshold: int | None
    raw: int | None
    raw_text: str
    prefailure: bool
    when_failed: WhenFailed


@dataclass(frozen=True, slots=True)
class NvmeHealth:
    """The NVMe SMART / Health Information log page (NVM Express Base Specification, log identifier 02h)."""

    critical_warning: int | None
    spare_percent: int | None
    spare_threshold_percent: int | None
    used_percent: int | None


@dataclass(frozen=True, slots=True)
class Temperature:
    """Degrees Celsius. ``warning`` and ``critical`` are the drive's own limits, where it has any."""

    current: int | None = None
    warning: int | None = None
    critical: int | None = None


class TestOutcome(enum.StrEnum):
    """How a self-test ended. ``ABORTED`` says nothing of the disk."""

    __test__ = False  # not a test of ours

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    RUNNING = "running"
    UNKNOWN = "unknown"


class TestKind(enum.StrEnum):
    """How much a self-test looks at: ``SHORT`` takes two minutes, ``LONG`` reads the whole medium."""

    __test__ = False  # not a test of ours

    SHORT = "short"
    LONG = "long"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """An entry of the self-test log, with the power-on hours at which it was made."""

    outcome: TestOutcome
    text: str
    hours: int | None
    kind: TestKind = TestKind.OTHER


@dataclass(frozen=True, slots=True)
class LoggedError:
    """An entry of the ATA error log. ``medium`` is true for data that could not be read (UNC), ``link`` for transfers
    that broke (ICRC)."""

    hours: int | None
    medium: bool
    link: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the disk is, wherever it is plugged in. ``key`` is what histories and metrics know it by."""

    key: str
    serial: str
    wwn: str
    model: str
    firmware: str

    @property
    def known(self) -> bool:
        """Whether it can be told from others at all."""
        return bool(self.key)


NOBODY: Final = Identity("", "", "", "", "")


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk at one moment. ``device`` is where it was just then, and names nothing for longer than that."""

    identity: Identity
    device: str = ""
    reading: Reading = Reading.UNREADABLE
    protocol: Protocol = Protocol.UNKNOWN
    exit_status: ExitStatus = NO_EXIT_STATUS
    passed: bool | None = None
    smart_enabled: bool | None = None
    smart_available: bool | None = None
    """Whether it monitors itself at all, where that is said."""
    only_warns: bool = False
    """SCSI: the informational exception for which its word is not "good" is a warning (ASC 0Bh), and no prediction of a
    failure (5Dh)."""
    warnings: tuple[str, ...] = ()
    """What it warns of, in smartctl's words."""
    capacity_bytes: int | None = None
    rotation_rpm: int | None = None
    power_on_hours: int | None = None
    temperature: Temperature = Temperature()
    attributes: tuple[Attribute, ...] = ()
    nvme: NvmeHealth | None = None
    wear_percent: int | None = None
    counters: Mapping[Counter, int] = field(default_factory=dict)
    flickering: frozenset[Counter] = frozenset()
    """Counters in which 1 comes and goes with nothing amiss, by an error of its firmware: there, 1 is not counted."""
    implausible: tuple[str, ...] = ()
    """What it says something of that cannot be read: names of counters, attributes and logs. It is not known."""
    self_tests: tuple[SelfTest, ...] = ()
    tests_itself: bool | None = None
    """Whether it can test itself, where it says so."""
    errors: tuple[LoggedError, ...] = ()
    message: str = ""
    kernel: Identity = NOBODY
    """Who the kernel takes it for, without asking it: behind a USB bridge that may be the bridge, or nobody."""
