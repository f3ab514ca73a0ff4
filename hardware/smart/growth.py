"""How a disk's counters changed from day to day, which says more than what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from hardware.smart.facts import SURFACE, Counter, DiskFacts
from hardware.smart.reasons import Code, Reason, Verdict

WINDOW: Final = timedelta(days=14)
"""What happened within it counts as growth now."""

FAST: Final = 10
"""So many new errors within the window are not a single bad place."""

_FEW: Final[Mapping[Counter, int]] = {Counter.CRC_ERRORS: FAST, Counter.LINK_ERRORS: 100}
"""Growth of the counters of the link from which on it is to be watched: each time that a link is begun anew, as all are
when the machine starts, a phy counts a handful of words that it did not understand."""

SPARE_FALL: Final = 5
"""Percentage points of spare capacity."""


@dataclass(frozen=True, slots=True)
class Day:
    """What a disk had counted on a day; counters that were not known are not in it."""

    day: date
    counters: Mapping[str, int]
    spare_percent: int | None = None


def judge_growth(history: Sequence[Day], facts: DiskFacts, today: date) -> list[Reason]:
    """Findings from the days before ``today`` (in any order, of this one disk) and its facts of today.

    A counter that fell began anew (pending sectors that were rewritten, new firmware); only its rises count. Errors of
    stored data that grow on two days, or fast, are a failing disk; other growth is to be watched, but for little of the
    link's.
    """
    past = sorted((day for day in history if today - WINDOW <= day.day < today), key=lambda day: day.day)
    if not past:
        return []
    days = max(1, (today - past[0].day).days)
    found = []
    for counter, value in facts.counters.items():
        values = [day.counters[counter.value] for day in past if counter.value in day.counters]
        if counter in facts.flickering:
            values = [0 if before == 1 else before for before in values]
        rises = [after - before for before, after in pairwise([*values, value]) if after > before]
        growth = sum(rises)
        if growth:
            steady = len(rises) > 1 or growth >= FAST
            verdict = Verdict.FAILING if counter in SURFACE and steady else Verdict.WATCH
            if growth < _FEW.get(counter, 0):
                verdict = Verdict.HEALTHY
            found.append(Reason(Code.GREW, verdict, _values(counter, value, growth, days)))
    spare = facts.nvme.spare_percent if facts.nvme else None
    before = [day.spare_percent for day in past if day.spare_percent is not None]
    if spare is not None and before and max(before) - spare >= SPARE_FALL:
        values_of_spare: dict[str, str | int] = {"before": max(before), "value": spare, "days": days}
        found.append(Reason(Code.SPARE_SHRINKING, Verdict.WATCH, values_of_spare))
    return found


def mended_links(history: Sequence[Day], facts: DiskFacts, today: date) -> frozenset[Counter]:
    """The counters of the link that are known for a week and stood still for as long as growth is looked for: whatever
    broke transfers once (a cable, a slot) does so no longer, though a drive never forgets how many there were."""
    found = set()
    for counter in _FEW:
        known = [day for day in history if today - WINDOW <= day.day < today and counter.value in day.counters]
        is_long = any(day.day <= today - WINDOW / 2 for day in known)
        if is_long and all(day.counters[counter.value] == facts.counters.get(counter) for day in known):
            found.add(counter)
    return frozenset(found)


def _values(counter: Counter, value: int, growth: int, days: int) -> dict[str, str | int]:
    return {"counter": counter.value, "value": value, "growth": growth, "days": days}
