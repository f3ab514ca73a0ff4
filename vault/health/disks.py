"""Verdicts on disks, with their history, from what the helper reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from hardware.places import place
from hardware.smart import schedule
from hardware.smart.facts import Counter, DiskFacts, Reading, TestKind, TestOutcome
from hardware.smart.growth import WINDOW, Day, judge_growth, mended_links
from hardware.smart.reasons import Code, Judgement, Reason, Verdict, judged
from hardware.smart.schedule import Schedule
from hardware.smart.verdict import judge
from vault.device_model import Disk, DiskDay, Health
from vault.health.identities import Named, named

REMEMBERED_ASLEEP: Final = timedelta(days=30)
"""So long what a disk said before it fell asleep is still believed."""

_COUNTERS: Final = frozenset(counter.value for counter in Counter)
_SPARE: Final = "spare_percent"
_TESTS: Final = (TestKind.LONG, TestKind.SHORT)


@dataclass(frozen=True, slots=True)
class Judged:
    """A disk with today's verdict, and the day to remember where it told of itself."""

    disk: Disk
    day: DiskDay | None


def judge_all(
    found: Iterable[DiskFacts],
    known: Mapping[str, Disk],
    history: Mapping[str, Sequence[DiskDay]],
    *,
    taken_at: datetime,
    where: Callable[[str], str] = place,
) -> list[Judged]:
    """Judge every disk in a report; one that cannot be told from others by its place (:mod:`vault.health.identities`).

    ``known`` are the disks that are remembered, ``history`` their days since :data:`hardware.smart.growth.WINDOW`.
    ``where`` tells the place of a device.
    """
    return [
        _judged(one, history.get(one.key, ()) if one.lasting else (), taken_at) for one in named(found, known, where)
    ]


def _judged(one: Named, history: Sequence[DiskDay], taken_at: datetime) -> Judged:
    facts, before = one.facts, one.before
    read = facts.reading is Reading.READ
    if read:
        days = [Day(day.day, _only_counters(day.readings), day.readings.get(_SPARE)) for day in history]
        today = taken_at.date()
        judgement = judge(facts, judge_growth(days, facts, today), mended_links(days, facts, today))
        readings = _readings(facts) | _untested(facts, before.first_seen_at if before else taken_at, taken_at)
    else:
        judgement = _without_reading(judge(facts), facts.reading, before, taken_at)
        readings = dict(before.readings) if before else {}
    judgement = judged([*one.remarks, *_others(judgement, one)], otherwise=judgement.verdict)
    disk = Disk(
        key=one.key,
        serial=facts.identity.serial,
        wwn=facts.identity.wwn,
        model=facts.identity.model,
        device=facts.device,
        protocol=facts.protocol.value if read or before is None else before.protocol,
        health=Health(judgement.verdict.value),
        reasons=[_as_json(reason) for reason in judgement.reasons],
        readings=readings,
        present=facts.reading is not Reading.ABSENT,
        read_at=taken_at if read else (before.read_at if before else None),
        seen_at=taken_at,
        first_seen_at=before.first_seen_at if before else taken_at,
    )
    day = DiskDay(disk.key, taken_at.date(), disk.health, readings) if read and one.lasting else None
    return Judged(disk, day)


def _others(judgement: Judgement, one: Named) -> list[Reason]:
    """The reasons, without those of an earlier round that the remarks say again."""
    again = {remark.code for remark in one.remarks}
    return [reason for reason in judgement.reasons if reason.code not in again]


def _without_reading(now: Judgement, reading: Reading, before: Disk | None, taken_at: datetime) -> Judgement:
    """A disk that says nothing just now: what was wrong with it still is, and a sleeping one is as it fell asleep."""
    if before is None or before.read_at is None:
        return now
    slept_well = reading is Reading.ASLEEP and taken_at - before.read_at <= REMEMBERED_ASLEEP
    if before.health.doubtful or slept_well:
        remembered = tuple(reason for row in before.reasons if (reason := from_json(row)) is not None)
        was = tuple(reason for reason in remembered if reason.code not in {one.code for one in now.reasons})
        remarks = tuple(replace(reason, verdict=Verdict.HEALTHY) for reason in now.reasons)
        return Judgement(Verdict(before.health.value), (*was, *remarks))
    return now


def gone(disk: Disk) -> Disk:
    """A disk that is no longer there: taken out, or dead to the bus. What was wrong with it is remembered."""
    return replace(
        disk,
        present=False,
        health=disk.health if disk.health.doubtful else Health.UNKNOWN,
        reasons=[*[row for row in disk.reasons if row.get("code") != Code.ABSENT], _as_json(_ABSENT)],
    )


def unheard(disk: Disk) -> Disk:
    """A disk of which no fresh report tells: what was wrong with it is remembered, all else is not known."""
    if disk.health.doubtful or not disk.present or disk.health is Health.UNKNOWN:
        return disk
    when = "before the helper fell silent" if disk.read_at is None else f"at {disk.read_at:%Y-%m-%d %H:%M} UTC"
    stale = Reason(Code.STALE, Verdict.UNKNOWN, {"detail": when})
    return replace(disk, health=Health.UNKNOWN, reasons=[_as_json(stale)])


_ABSENT: Final = Reason(Code.ABSENT, Verdict.HEALTHY)


def since(taken_at: datetime) -> date:
    """The day from which on history is needed to judge growth."""
    return (taken_at - WINDOW).date()


def _readings(facts: DiskFacts) -> dict[str, int]:
    """What is measured and counted, by name, without what is not known."""
    measured: dict[str, int | None] = {
        "temperature_celsius": facts.temperature.current,
        "temperature_warning_celsius": facts.temperature.warning,
        "temperature_critical_celsius": facts.temperature.critical,
        "power_on_hours": facts.power_on_hours,
        "wear_percent": facts.wear_percent,
        "capacity_bytes": facts.capacity_bytes,
        _SPARE: facts.nvme.spare_percent if facts.nvme else None,
        "spare_threshold_percent": facts.nvme.spare_threshold_percent if facts.nvme else None,
        "short_test_hours_ago": schedule.since(facts, TestKind.SHORT),
        "long_test_hours_ago": schedule.since(facts, TestKind.LONG),
        "self_test_failed": _last_test_failed(facts),
    }
    counted = {counter.value: number for counter, number in facts.counters.items()}
    return counted | {name: number for name, number in measured.items() if number is not None}


def _last_test_failed(facts: DiskFacts) -> int | None:
    """Whether the last self-test that ended found something; None where its log has none."""
    ended = (TestOutcome.PASSED, TestOutcome.FAILED)
    return next((int(test.outcome is TestOutcome.FAILED) for test in facts.self_tests if test.outcome in ended), None)


def _untested(facts: DiskFacts, first_seen: datetime, taken_at: datetime) -> dict[str, int]:
    """For how many hours a disk that can test itself has been seen to run and never did, by kind of test."""
    if not facts.tests_itself or facts.power_on_hours is None:
        return {}
    known = max(0, (taken_at - first_seen) // timedelta(hours=1))
    kinds = (kind for kind in _TESTS if schedule.since(facts, kind) is None)
    return {f"{kind}_untested_hours": min(facts.power_on_hours, known) for kind in kinds}


def hours_since_test(disk: Disk, kind: TestKind) -> int | None:
    """For how many hours the disk ran since its last test of this kind, or, where it can and never did, since this node
    knows it; None where it does not tell."""
    ago = disk.readings.get(f"{kind}_test_hours_ago")
    return disk.readings.get(f"{kind}_untested_hours") if ago is None else ago


def overdue_tests(disk: Disk, wanted: Schedule) -> list[tuple[TestKind, timedelta]]:
    """The self-tests with which a disk is overdue, and how long it ran without each. One that is failing is spared."""
    if disk.health in (Health.FAILING, Health.FAILED):
        return []
    found = [(kind, timedelta(hours=hours)) for kind in _TESTS if (hours := hours_since_test(disk, kind)) is not None]
    return [(kind, running) for kind, running in found if wanted.is_late(kind, running)]


def _only_counters(readings: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in readings.items() if name in _COUNTERS}


def _as_json(reason: Reason) -> dict[str, object]:
    return {"code": reason.code.value, "verdict": reason.verdict.value, "values": dict(reason.values)}


def from_json(row: Mapping[str, object]) -> Reason | None:
    """A reason as the catalogue keeps it; None for one of a code that is not known (any more)."""
    values = row.get("values")
    try:
        code, verdict = Code(str(row.get("code"))), Verdict(str(row.get("verdict")))
    except ValueError:
        return None
    known = {str(k): v for k, v in values.items() if isinstance(v, int | str)} if isinstance(values, Mapping) else {}
    return Reason(code, verdict, known)


def explained(disk: Disk) -> str:
    """Why a disk is judged as it is, in English sentences; remarks only where there is nothing worse."""
    reasons = [reason for row in disk.reasons if (reason := from_json(row)) is not None]
    grave = [reason for reason in reasons if reason.verdict is not Verdict.HEALTHY]
    return " ".join(reason.text for reason in grave or reasons)
