"""Why a disk is judged as it is: stable codes, with sentences for people made of them.

The English text is here; whoever speaks another language translates :data:`TEXTS` by code and fills in ``values``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


class Verdict(enum.StrEnum):
    """What to think of a disk. ``UNKNOWN`` is worse than healthy: nobody knows."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    WATCH = "watch"
    FAILING = "failing"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """The order from the best to the worst."""
        return _ORDER.index(self)


_ORDER: Final = (Verdict.HEALTHY, Verdict.UNKNOWN, Verdict.WATCH, Verdict.FAILING, Verdict.FAILED)


class Code(enum.StrEnum):
    """What was found. Names are stable."""

    SAYS_FAILED = "says-failed"
    SAYS_FAILED_EARLIER = "says-failed-earlier"
    ATTRIBUTE_NOW = "attribute-below-threshold"
    ATTRIBUTE_PAST = "attribute-was-below-threshold"
    READ_ONLY = "media-read-only"
    UNRELIABLE = "reliability-degraded"
    BACKUP_FAILED = "power-loss-protection-failed"
    SPARE_LOW = "spare-low"
    SPARE_SHRINKING = "spare-shrinking"
    WORN = "endurance-used"
    COUNTED = "counter-above-zero"
    COUNTED_MANY = "counter-high"
    GREW = "counter-grew"
    LINK = "link-errors"
    LINK_OLD = "link-errors-some"
    TOO_HOT = "too-hot"
    AT_TRIP = "at-temperature-limit"
    SELF_TEST_FAILED = "self-test-failed"
    SELF_TEST_FAILED_EARLIER = "self-test-failed-earlier"
    LOGGED_RECENTLY = "errors-logged-recently"
    LOGGED_LONG_AGO = "errors-logged-long-ago"
    SMART_OFF = "smart-off"
    NO_SMART = "no-self-monitoring"
    PARTLY_READ = "partly-read"
    IMPLAUSIBLE = "implausible-value"
    ASLEEP = "asleep"
    HUNG = "does-not-answer"
    DENIED = "permission-denied"
    ABSENT = "not-there"
    UNREADABLE = "not-readable"
    NO_STATEMENT = "no-statement"
    STALE = "not-read-lately"
    NAMELESS = "no-serial-number"
    SAME_NAME = "serial-number-not-unique"


TEXTS: Final[Mapping[Code, str]] = {
    Code.SAYS_FAILED: "The drive itself says that it has failed or will within a day.",
    Code.SAYS_FAILED_EARLIER: "The drive's health check warns: {detail}.",
    Code.ATTRIBUTE_NOW: "{name} is at or below its vendor's threshold ({value}, threshold {threshold}).",
    Code.ATTRIBUTE_PAST: "{name} was once at or below its vendor's threshold (worst {value}, threshold {threshold}).",
    Code.READ_ONLY: "The drive takes no more writes: its medium has become read-only.",
    Code.UNRELIABLE: "The drive says that its reliability is degraded by media or internal errors.",
    Code.BACKUP_FAILED: "Its protection against power loss has failed: what was just written may be lost.",
    Code.SPARE_LOW: "Spare capacity is at {value} %, and {threshold} % is the limit of the drive.",
    Code.SPARE_SHRINKING: "Spare capacity fell from {before} % to {value} % in {days} days.",
    Code.WORN: "{value} % of the endurance that the drive was made for is used.",
    Code.COUNTED: "{counter} is {value}.",
    Code.COUNTED_MANY: "{counter} is {value}: many.",
    Code.GREW: "{counter} grew by {growth} in {days} days, to {value}.",
    Code.LINK: "{counter} is {value}: look at cable, backplane and controller.",
    Code.LINK_OLD: "{counter} is {value}, from some time in its life.",
    Code.TOO_HOT: "It is {value} °C hot; the drive's own limit is {threshold} °C.",
    Code.AT_TRIP: "It is {value} °C hot; at {threshold} °C the drive may switch off.",
    Code.SELF_TEST_FAILED: "Its last self-test failed: {detail}.",
    Code.SELF_TEST_FAILED_EARLIER: "An earlier self-test failed ({detail}); a later one passed.",
    Code.LOGGED_RECENTLY: "It logged errors in the last {days} days of its running: {value} in all.",
    Code.LOGGED_LONG_AGO: "Its error log holds {value} errors, none of them recent.",
    Code.SMART_OFF: "Its self-monitoring is switched off, so it would not tell of a failure.",
    Code.NO_SMART: "It has no self-monitoring (SMART), or it cannot be reached: the disk tells nothing of its health.",
    Code.PARTLY_READ: "One of the questions to the drive was not answered.",
    Code.IMPLAUSIBLE: "{counter} has a value that cannot be read; it is not known.",
    Code.ASLEEP: "It sleeps and was not woken.",
    Code.HUNG: "It did not answer in time; the attempt was ended.",
    Code.DENIED: "The helper may not open it.",
    Code.ABSENT: "It is not there.",
    Code.UNREADABLE: "It says nothing about its health that can be read.",
    Code.NO_STATEMENT: "It says nothing of its overall health, or nothing beside that.",
    Code.STALE: "It was last read {detail}.",
    Code.NAMELESS: "It gives neither serial number nor World Wide Name: it is known by where it is plugged in.",
    Code.SAME_NAME: "Another disk gives the same serial number: {detail}.",
}

COUNTERS: Final[Mapping[str, str]] = {
    "reallocated_sectors": "The number of reallocated sectors",
    "reported_uncorrectable_errors": "The number of uncorrectable errors reported",
    "command_timeouts": "The number of command timeouts",
    "pending_sectors": "The number of sectors that could not be read and wait for a write",
    "offline_uncorrectable_sectors": "The number of sectors that its own scan could not read",
    "interface_crc_errors": "The number of broken transfers (CRC)",
    "media_errors": "The number of media errors",
    "grown_defects": "The number of grown defects",
    "uncorrected_read_errors": "The number of uncorrected read errors",
    "uncorrected_write_errors": "The number of uncorrected write errors",
    "uncorrected_verify_errors": "The number of uncorrected verify errors",
    "logged_errors": "The number of errors logged",
    "link_errors": "The number of link errors",
    "end_to_end_errors": "The number of end-to-end errors",
    "attributes": "Its table of attributes",
    "available_spare": "Its spare capacity",
    "available_spare_threshold": "The limit of its spare capacity",
    "background_scan": "Its background scan",
    "critical_warning": "Its critical warning",
    "device_statistics": "Its statistics",
    "exit_status": "The exit status of smartctl",
    "self_monitoring": "Whether its self-monitoring is on",
    "self_tests": "Its self-test log",
    "temperature": "Its temperature",
    "temperature_limit": "Its temperature limit",
    "wear_percent": "The share of its endurance that is used",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding: the verdict that it alone would give, and what it was found in. ``HEALTHY`` marks a remark."""

    code: Code
    verdict: Verdict
    values: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The sentence in English."""
        filled = dict(self.values)
        if "counter" in filled:
            filled["counter"] = COUNTERS.get(str(filled["counter"]), str(filled["counter"]))
        return TEXTS[self.code].format_map(_Blank(filled))


class _Blank(dict[str, str | int]):
    def __missing__(self, key: str) -> str:
        return "?"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons, the worst first."""

    verdict: Verdict
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """All reasons as one text."""
        return " ".join(reason.text for reason in self.reasons)


def judged(reasons: list[Reason], *, otherwise: Verdict) -> Judgement:
    """The worst of the reasons' verdicts decides; ``otherwise`` where none says more than a remark."""
    ordered = tuple(sorted(reasons, key=lambda reason: -reason.verdict.rank))
    worst = ordered[0].verdict if ordered else otherwise
    return Judgement(worst if worst.rank > otherwise.rank else otherwise, ordered)
