"""When routine reading may go on, and how fast: hours of the week with a cap. Pure functions, no clock.

Times are those of the site's wall clock. A window that ends before it begins goes over midnight, and belongs to the day
on which it began. Where no window is written for a kind of work, it is always open and has no cap.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from vault.errors import Invalid
from vault.model import MediumClass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))

_CLOCK = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")
_MIDNIGHT = time(0)
_DAYS_REMEDY = 'Write days and ranges of them, such as "mon-fri", "sat,sun" or "mon,wed-fri".'


@dataclass(frozen=True, slots=True)
class Window:
    """Hours in which scheduled checks may read. ``days`` counts from Monday = 0; ``rate`` is in bytes a second for each
    volume, None for no cap. Empty ``media``, ``volumes`` and ``classes`` mean all."""

    start: time
    end: time
    days: frozenset[int] = EVERY_DAY
    rate: int | None = None
    media: frozenset[MediumClass] = frozenset()
    volumes: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()

    def concerns(self, medium: MediumClass, volume: str) -> bool:
        """Whether it says anything about this volume."""
        return (not self.media or medium in self.media) and (not self.volumes or volume in self.volumes)

    def is_open(self, local: datetime) -> bool:
        """Whether it is open at this moment of the site's clock."""
        now, today = local.time(), local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= now < self.end
        # Over midnight; the same hour at both ends is a whole day.
        if now >= self.start:
            return today in self.days
        return now < self.end and (today - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Pace:
    """Whether reading may go on now, how many bytes a second at most (None: as fast as it goes), and packages of which
    classes may be read (None: of all)."""

    open: bool
    rate: int | None = None
    classes: frozenset[str] | None = None

    def takes(self, priority_class: str) -> bool:
        """Whether a package of this class may be read now."""
        return self.open and (self.classes is None or priority_class in self.classes)


FREELY = Pace(open=True)
CLOSED = Pace(open=False)


def pace(windows: Iterable[Window], medium: MediumClass, volume: str, local: datetime) -> Pace:
    """What holds for routine reading of a volume at this moment of the site's clock.

    Of several windows that are open the one that allows most counts.
    """
    mine = [window for window in windows if window.concerns(medium, volume)]
    if not mine:
        return FREELY
    now = [window for window in mine if window.is_open(local)]
    if not now:
        return CLOSED
    rates = [window.rate for window in now if window.rate is not None]
    return Pace(
        open=True,
        rate=max(rates) if len(rates) == len(now) else None,
        classes=frozenset().union(*(w.classes for w in now)) if all(w.classes for w in now) else None,
    )


def day_of(windows: Iterable[Window], medium: MediumClass, volume: str, local: datetime) -> date:
    """The day to which reading of a volume at this moment of the site's clock belongs: after midnight still the day
    before, while a window is open that began then."""
    yesterday = local - timedelta(days=1)
    for window in windows:
        over_midnight = window.start >= window.end and local.time() < window.end
        if over_midnight and yesterday.weekday() in window.days and window.concerns(medium, volume):
            return yesterday.date()
    return local.date()


def next_change(windows: Iterable[Window], medium: MediumClass, volume: str, local: datetime) -> datetime | None:
    """The next moment at which some window of this volume opens or closes; None where it has none."""
    moments = []
    for window in windows:
        if not window.concerns(medium, volume):
            continue
        for edge in (window.start, window.end):
            moment = local.replace(hour=edge.hour, minute=edge.minute, second=0, microsecond=0)
            moments.append(moment if moment > local else moment + timedelta(days=1))
    return min(moments, default=None)


def bytes_a_week(windows: Collection[Window], medium: MediumClass, volume: str, speed: float) -> float:
    """How many bytes of this volume can be read in a week of windows, by a medium of this speed (bytes a second)."""
    mine = [window for window in windows if window.concerns(medium, volume)]
    if not mine:
        return 7 * 86400.0 * speed
    monday = datetime(2024, 1, 1)  # noqa: DTZ001 (any Monday of a wall clock)
    total = 0.0
    for quarter in range(7 * 24 * 4):
        now = pace(mine, medium, volume, monday + timedelta(minutes=15 * quarter))
        if now.open:
            total += 900.0 * (speed if now.rate is None else min(speed, now.rate))
    return total


def parse_days(text: str) -> frozenset[int]:
    """The days that ``"mon-fri,sun"`` means, Monday = 0. A range may go over the end of the week. Raises Invalid."""
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise Invalid(f"{text!r} names no days of the week.", remedy=_DAYS_REMEDY)
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found.update(day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
    return frozenset(found)


def parse_clock(text: str) -> time:
    """The time of day that ``"20:00"`` means; ``"24:00"`` is midnight at the end of a day. Raises Invalid."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or (match[1] == "24" and match[2] != "00"):
        raise Invalid(f"{text!r} is no time of day.", remedy='Write one such as "20:00".')
    return _MIDNIGHT if match[1] == "24" else time(int(match[1]), int(match[2]))
