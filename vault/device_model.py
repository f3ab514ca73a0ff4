"""The facts about what volumes stand on, as the catalogue keeps them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime


class Health(enum.StrEnum):
    """What to think of a device, and of a volume that stands on it. ``UNKNOWN`` is never healthy."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    WATCH = "watch"
    FAILING = "failing"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """The order from the best to the worst."""
        return tuple(Health).index(self)

    @property
    def doubtful(self) -> bool:
        """Whether something is known to be amiss, so that it is trusted less than others."""
        return self.rank >= Health.WATCH.rank


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as it was last seen, known by ``key``: its serial number or World Wide Name, never by its device's name.
    Where that is no name of its own, the place where it is plugged in is part of it (:mod:`vault.health.identities`).

    ``device`` is where it was then. ``read_at`` is when it last told of itself; ``readings`` what it told then:
    counters and measures by name, without those that are not known. ``reasons`` are codes with their values, the
    worst first.
    """

    key: str
    serial: str
    wwn: str
    model: str
    device: str
    protocol: str
    health: Health
    reasons: Sequence[Mapping[str, object]]
    readings: Mapping[str, int]
    present: bool
    read_at: datetime | None
    seen_at: datetime
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class DiskDay:
    """What a disk told on a day, the last time that it did."""

    key: str
    day: date
    health: Health
    readings: Mapping[str, int]
