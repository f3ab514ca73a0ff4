"""When which disk is to test itself: derived anew in each round from the logs of the disks themselves.

A disk's self-test log says at which hour of its running it was tested, so nothing has to be remembered and no timer can
fall out of step. One disk at a time tests itself, for a test takes from what the disk does beside it; a sleeping disk
is not asked, one that is failing is spared. Only what was tried is noted, since a disk that cannot test itself says so
each time. ACS-4 (SMART EXECUTE OFF-LINE IMMEDIATE), SPC-4 (SEND DIAGNOSTIC), NVM Express (Device Self-test).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hardware.errors import HardwareError, Malformed, NotFound, Unreachable
from hardware.smart.facts import DiskFacts, Reading, TestKind, TestOutcome
from hardware.smart.jsontools import Json, inner, moment, text
from hardware.smart.reasons import Verdict
from hardware.smart.report import load_bounded, put
from hardware.smart.run import Place
from hardware.smart.verdict import judge

NAME: Final = "self-tests.json"
SHORT: Final = timedelta(days=7)
LONG: Final = timedelta(days=90)
AGAIN: Final = timedelta(days=1)
"""So long a disk is left alone after a test of it was tried."""

LATE: Final = 2
"""After so many intervals a test is overdue: long ones wait for one another, a day for each disk of a shelf."""

_MOST_CONFIG: Final = 1 << 20
_WRAP: Final = 1 << 16
_DURATION: Final = re.compile(r"([0-9]{1,9}) ?([smhdw])\Z")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often each disk is to test itself, in time that it runs; nothing: never."""

    short: timedelta = SHORT
    long: timedelta = LONG

    def every(self, kind: TestKind) -> timedelta:
        """How often this test is due."""
        return self.long if kind is TestKind.LONG else self.short

    def is_late(self, kind: TestKind, running: timedelta) -> bool:
        """Whether a disk that ran for so long since this test is overdue with it."""
        return bool(self.every(kind)) and running > LATE * self.every(kind)


@dataclass(frozen=True, slots=True)
class Due:
    """A test that is to be begun now."""

    place: Place
    key: str
    kind: TestKind


def from_config(path: Path) -> Schedule:
    """The schedule in the node's configuration: ``[health]``, ``short_test`` and ``long_test``, and nothing else of it.
    Raises NotFound, Unreachable, Malformed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = file.read(_MOST_CONFIG + 1)
    except FileNotFoundError:
        raise NotFound(f"There is no {path}.", remedy="Type: vaultctl init") from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}.", remedy="See who may read it: ls -l") from error
    try:
        found = tomllib.loads(data[:_MOST_CONFIG].decode())
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{path} is no TOML: {error}.", remedy="Type: vaultd --check") from error
    health = inner(found, "health")
    return Schedule(_duration(path, health, "short_test", SHORT), _duration(path, health, "long_test", LONG))


def _duration(path: Path, section: Json, name: str, otherwise: timedelta) -> timedelta:
    if name not in section:
        return otherwise
    match = _DURATION.match(text(section, name, 20))
    if match is None:
        raise Malformed(f"{path}: health.{name} is no duration.", remedy='Write it as "7d"; "0s" is never.')
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def due(
    disks: Iterable[tuple[Place, DiskFacts]], schedule: Schedule, tried: Mapping[str, datetime], now: datetime
) -> Due | None:
    """The one test to begin now; None where none is due, or a disk is at one. ``tried`` says by disk when a test of it
    was last begun. The disk that is overdue for longest comes first, a long test before a short one."""
    found: list[tuple[float, Due]] = []
    for place, facts in disks:
        if any(test.outcome is TestOutcome.RUNNING for test in facts.self_tests):
            return None
        if facts.reading is not Reading.READ or not facts.identity.known or facts.power_on_hours is None:
            continue
        if facts.tests_itself is False:
            continue
        key = facts.identity.key
        lately = key in tried and timedelta(0) <= now - tried[key] < AGAIN
        if lately or judge(facts).verdict in (Verdict.FAILING, Verdict.FAILED):
            continue
        for kind in (TestKind.LONG, TestKind.SHORT):
            every, hours = schedule.every(kind) / timedelta(hours=1), since(facts, kind)
            if every and (hours is None or hours >= every):
                late = float("inf") if hours is None else hours / every
                found.append((late, Due(place, key, kind)))
                break
    return max(found, key=lambda one: (one[0], one[1].kind is TestKind.LONG), default=(0, None))[1]


def since(facts: DiskFacts, kind: TestKind) -> int | None:
    """Hours that the disk has run since a test of this kind ended, for better or worse; None where its log has none. A
    long test does all that a short one does."""
    if facts.power_on_hours is None:
        return None
    kinds = (kind, TestKind.LONG)
    ended = (TestOutcome.PASSED, TestOutcome.FAILED)
    ages = [
        (facts.power_on_hours - test.hours) % _WRAP  # the hours of ATA's log have 16 bits
        for test in facts.self_tests
        if test.kind in kinds and test.outcome in ended and test.hours is not None
    ]
    return min(ages, default=None)


def read_tried(folder: Path) -> dict[str, datetime]:
    """When a test was last begun, by disk; nothing where that is not known (after a reboot)."""
    try:
        document = load_bounded(folder / NAME)
    except HardwareError:
        return {}
    tried = inner(document, "tried")
    return {key: at for key in tried if (at := moment(tried, key)) is not None}


def write_tried(folder: Path, tried: Mapping[str, datetime]) -> None:
    """Note it. Raises OSError."""
    put(folder, NAME, {"tried": {key: at.astimezone(UTC).isoformat() for key, at in tried.items()}})
