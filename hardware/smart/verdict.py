"""From facts to a verdict.

The rules, and why: a drive that says of itself that it fails is believed. Counters of errors are not a failure (17 of
168 recorded drives in good standing have one above 0) but a reason to look closer, and growth is a stronger one
(Backblaze, "What SMART stats tell us about hard drives", 2016, for attributes 5, 187, 188, 197, 198). Temperature is
held against the drive's own limits only. What was not read is unknown: a sleeping, absent or forbidden disk is never
failed, and healthy is only who says so and shows something to go with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

from hardware.smart.facts import (
    SURFACE,
    Attribute,
    Counter,
    DiskFacts,
    ExitStatus,
    NvmeHealth,
    Reading,
    SelfTest,
    TestKind,
    TestOutcome,
    WhenFailed,
)
from hardware.smart.reasons import Code, Judgement, Reason, Verdict, judged

MANY: Final = 100
"""So many uncorrectable errors are no longer a few bad places."""

MANY_REALLOCATED: Final = 1000
MANY_LINK_ERRORS: Final = 100
"""Above this, broken transfers are a bad cable, not a bad day."""

WORN: Final = 90
"""Percent of its endurance after which a flash disk should be planned away."""

LITTLE_SPARE: Final = 10
"""Percent: the threshold of most NVMe disks, for one whose own cannot be read."""

RECENT_HOURS: Final = 90 * 24
_WRAP: Final = 1 << 16
"""The hours in ATA logs have 16 bits."""

_TEMPERATURES: Final = frozenset({190, 194, 231})
_UNREAD: Final = {
    Reading.ASLEEP: Code.ASLEEP,
    Reading.HUNG: Code.HUNG,
    Reading.DENIED: Code.DENIED,
    Reading.ABSENT: Code.ABSENT,
    Reading.UNREADABLE: Code.UNREADABLE,
}


def judge(facts: DiskFacts, growth: list[Reason] | None = None, mended: frozenset[Counter] = frozenset()) -> Judgement:
    """The verdict on a disk as it was read; ``growth`` are the findings of :mod:`hardware.smart.growth`, ``mended`` the
    counters of the link that tell of nothing that still is."""
    if facts.reading is not Reading.READ:
        mute = facts.reading is Reading.UNREADABLE and facts.smart_available is False
        reason = Reason(Code.NO_SMART if mute else _UNREAD[facts.reading], Verdict.UNKNOWN)
        return Judgement(Verdict.UNKNOWN, (reason,))
    reasons = [
        *_own_word(facts),
        *_attributes(facts),
        *_nvme(facts.nvme),
        *_counters(facts, mended),
        *_temperature(facts),
        *_self_tests(facts),
        *_error_log(facts),
        *(growth or []),
    ]
    if facts.wear_percent is not None and facts.wear_percent >= WORN:
        reasons.append(Reason(Code.WORN, Verdict.WATCH, {"value": facts.wear_percent}))
    if facts.smart_available is False:
        reasons.append(Reason(Code.NO_SMART, Verdict.UNKNOWN))
    elif facts.smart_enabled is False:
        reasons.append(Reason(Code.SMART_OFF, Verdict.WATCH))
    if facts.exit_status & ExitStatus.COMMAND_FAILED:
        reasons.append(Reason(Code.PARTLY_READ, Verdict.HEALTHY))
    reasons += [Reason(Code.IMPLAUSIBLE, Verdict.UNKNOWN, {"counter": name}) for name in facts.implausible]
    if facts.passed is None or not _shows_its_medium(facts):
        reasons.append(Reason(Code.NO_STATEMENT, Verdict.UNKNOWN))
    return judged(reasons, otherwise=Verdict.HEALTHY)


def _shows_its_medium(facts: DiskFacts) -> bool:
    """Whether it says how what is stored fares, beside its own word: an answer of which only the error log, the link's
    counters or the temperature came through says nothing of that."""
    if facts.nvme is not None:
        return facts.nvme.spare_percent is not None and facts.nvme.critical_warning is not None
    return facts.wear_percent is not None or not SURFACE.isdisjoint(facts.counters)


def _own_word(facts: DiskFacts) -> Iterator[Reason]:
    said = facts.passed is False or bool(facts.exit_status & ExitStatus.DISK_FAILING)
    warning = facts.nvme.critical_warning if facts.nvme else None
    # What an NVMe disk warns of has reasons of its own; and smartctl takes each warning of a SCSI disk for a failure.
    if said and not warning and not facts.only_warns:
        yield Reason(Code.SAYS_FAILED, Verdict.FAILED)
    for detail in facts.warnings:
        yield Reason(Code.SAYS_FAILED_EARLIER, Verdict.WATCH, {"detail": detail})
    if facts.exit_status & ExitStatus.PREFAIL_NOW and not any(
        a.prefailure and a.when_failed is WhenFailed.NOW for a in facts.attributes
    ):
        detail = "a pre-failure attribute is below its threshold"
        yield Reason(Code.SAYS_FAILED_EARLIER, Verdict.FAILING, {"detail": detail})
    if facts.exit_status & ExitStatus.BELOW_THRESHOLD_PAST and not any(
        a.when_failed is not WhenFailed.NEVER for a in facts.attributes
    ):
        detail = "an attribute was once below its threshold"
        yield Reason(Code.SAYS_FAILED_EARLIER, Verdict.WATCH, {"detail": detail})


def _attributes(facts: DiskFacts) -> Iterator[Reason]:
    for attribute in facts.attributes:
        if attribute.when_failed is WhenFailed.NOW:
            # Without the mark of a pre-failure attribute, a threshold says "old" and not "about to fail".
            verdict = Verdict.FAILING if attribute.prefailure else Verdict.WATCH
            yield Reason(Code.ATTRIBUTE_NOW, verdict, _named(attribute, attribute.value))
        elif attribute.when_failed is WhenFailed.PAST:
            once_hot = attribute.id in _TEMPERATURES and "temp" in (attribute.name or "temp").lower()
            verdict = Verdict.HEALTHY if once_hot else Verdict.WATCH
            yield Reason(Code.ATTRIBUTE_PAST, verdict, _named(attribute, attribute.worst))


def _named(attribute: Attribute, value: int | None) -> dict[str, str | int]:
    unknown: str | int = "?"
    return {
        "name": attribute.name or str(attribute.id),
        "value": unknown if value is None else value,
        "threshold": unknown if attribute.threshold is None else attribute.threshold,
    }


def _nvme(health: NvmeHealth | None) -> Iterator[Reason]:
    """Bits of the critical warning: NVM Express Base Specification, SMART / Health Information, byte 0."""
    if health is None:
        return
    warning = health.critical_warning or 0
    spare, threshold = health.spare_percent, health.spare_threshold_percent
    if warning & 0x01 or (spare is not None and threshold is not None and spare < threshold):
        values: dict[str, str | int] = {"value": "?" if spare is None else spare}
        yield Reason(Code.SPARE_LOW, Verdict.FAILING, values | {"threshold": "?" if threshold is None else threshold})
    elif spare is not None and threshold is None and spare < LITTLE_SPARE:
        yield Reason(Code.SPARE_LOW, Verdict.WATCH, {"value": spare, "threshold": "?"})
    if warning & 0x02:
        yield Reason(Code.SAYS_FAILED_EARLIER, Verdict.WATCH, {"detail": "its temperature is beyond a limit"})
    if warning & 0x04:
        yield Reason(Code.UNRELIABLE, Verdict.FAILED)
    if warning & 0x08:
        yield Reason(Code.READ_ONLY, Verdict.FAILED)
    if warning & 0x10:
        yield Reason(Code.BACKUP_FAILED, Verdict.FAILING)
    if warning & 0xE0:
        detail = f"critical warning 0x{warning & 0xE0:02x}"
        yield Reason(Code.SAYS_FAILED_EARLIER, Verdict.WATCH, {"detail": detail})


def _counters(facts: DiskFacts, mended: frozenset[Counter]) -> Iterator[Reason]:
    for counter, value in facts.counters.items():
        if value <= 0 or counter is Counter.LOGGED_ERRORS:  # those logged: see _error_log
            continue
        values: dict[str, str | int] = {"counter": counter.value, "value": value}
        if counter in (Counter.CRC_ERRORS, Counter.LINK_ERRORS):
            if value >= MANY_LINK_ERRORS and counter not in mended:
                yield Reason(Code.LINK, Verdict.WATCH, values)
            else:
                yield Reason(Code.LINK_OLD, Verdict.HEALTHY, values)
        elif counter in SURFACE and value >= (MANY_REALLOCATED if counter is Counter.REALLOCATED else MANY):
            yield Reason(Code.COUNTED_MANY, Verdict.FAILING, values)
        else:
            yield Reason(Code.COUNTED, Verdict.WATCH, values)


def _temperature(facts: DiskFacts) -> Iterator[Reason]:
    found = facts.temperature
    if found.current is None:
        return
    if found.critical is not None and found.current >= found.critical:
        yield Reason(Code.AT_TRIP, Verdict.FAILING, {"value": found.current, "threshold": found.critical})
    elif found.warning is not None and found.current >= found.warning:
        yield Reason(Code.TOO_HOT, Verdict.WATCH, {"value": found.current, "threshold": found.warning})


def _self_tests(facts: DiskFacts) -> Iterator[Reason]:
    ended = (TestOutcome.PASSED, TestOutcome.FAILED, TestOutcome.UNKNOWN)
    concluded = [test for test in facts.self_tests if test.outcome in ended]
    failed = [test for test in concluded if test.outcome is TestOutcome.FAILED]
    unread = [test for test in concluded if test.outcome is TestOutcome.UNKNOWN]
    doubts = any(not _was_outdone(test, concluded) for test in unread)
    if not failed:
        # The exit status is set by failures only; without the log itself, one is somewhere in it.
        if facts.exit_status & ExitStatus.SELF_TEST_LOG and (doubts or not concluded):
            yield Reason(Code.SELF_TEST_FAILED, Verdict.FAILING, {"detail": "its log says so"})
        elif facts.exit_status & ExitStatus.SELF_TEST_LOG:
            yield Reason(Code.SELF_TEST_FAILED_EARLIER, Verdict.WATCH, {"detail": "its log says so"})
        elif doubts:
            yield Reason(Code.IMPLAUSIBLE, Verdict.UNKNOWN, {"counter": "self_tests"})
        return
    if doubts:
        yield Reason(Code.IMPLAUSIBLE, Verdict.UNKNOWN, {"counter": "self_tests"})
    standing = next((test for test in failed if not _was_outdone(test, concluded)), None)
    if standing is not None:
        yield Reason(Code.SELF_TEST_FAILED, Verdict.FAILING, _detail(standing))
    else:
        age = _ago(facts.power_on_hours, failed[0].hours)
        recent = age is None or age <= RECENT_HOURS
        verdict = Verdict.WATCH if recent else Verdict.HEALTHY
        yield Reason(Code.SELF_TEST_FAILED_EARLIER, verdict, _detail(failed[0]))


def _was_outdone(failed: SelfTest, newest_first: Sequence[SelfTest]) -> bool:
    """Whether a later test passed that looks at as much: a short one says nothing of what a long one found."""
    later = takewhile(lambda test: test is not failed, newest_first)
    return any(test.outcome is TestOutcome.PASSED and test.kind in (TestKind.LONG, failed.kind) for test in later)


def _detail(test: SelfTest) -> dict[str, str | int]:
    return {"detail": test.text or "no more is known"}


def _error_log(facts: DiskFacts) -> Iterator[Reason]:
    number = facts.counters.get(Counter.LOGGED_ERRORS, len(facts.errors))
    if not number and not facts.exit_status & ExitStatus.ERROR_LOG:
        return
    known: str | int = number or "?"
    ages = [_ago(facts.power_on_hours, error.hours) for error in facts.errors]
    # When they happened is not known: then it may have been yesterday.
    if not ages or any(age is None or age <= RECENT_HOURS for age in ages):
        yield Reason(Code.LOGGED_RECENTLY, Verdict.WATCH, {"value": known, "days": RECENT_HOURS // 24})
    else:
        yield Reason(Code.LOGGED_LONG_AGO, Verdict.HEALTHY, {"value": known})


def _ago(now: int | None, then: int | None) -> int | None:
    """Hours between; the hours of logs have 16 bits, so a long-lived drive's may be nearer than they look."""
    if now is None or then is None:
        return None
    return (now - then) % _WRAP
