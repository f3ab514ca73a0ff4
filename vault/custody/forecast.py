"""Whether each volume can be read back within its interval: told weeks before a check is late, not after it.

An hourly look at what a volume holds, at how fast routine checks were, and at the hours that they have. What came out
is kept as a fact of the node, for metrics and status, so that no scrape walks the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vault.catalog import copies, facts
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.model import Json
from vault.windows import bytes_a_week

SCHEDULE: Final = "forecast"
EVERY: Final = timedelta(hours=1)
_FACT: Final = "fixity-forecast"
_WEEK: Final = timedelta(days=7)
_LONGEST_DAYS: Final = 36525.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What reading a whole volume back once takes: ``held`` bytes at ``speed`` bytes a second (of all its lanes), in
    the hours and under the caps of the configuration. ``interval`` is the shortest that a policy asks for."""

    held: int
    speed: float
    whole_pass: timedelta
    interval: timedelta

    @property
    def holds(self) -> bool:
        """Whether every copy can be checked in time."""
        return self.whole_pass <= self.interval


def look(custodian: Custodian) -> None:
    """Work out the forecasts anew and keep them. A volume whose speed nobody has measured yet has none."""
    with custodian.catalogue.read() as tx:
        before = read(tx)
        held = {
            row.name: (row.medium, copies.held_bytes(tx, row.id))
            for row in catalog_volumes.all(tx)
            if row.name in custodian.volumes
        }
    custodian.pacing.remember_speeds(
        {name: one.speed / custodian.settings.volume(name).lanes for name, one in before.items() if name in held}
    )
    speeds = custodian.pacing.speeds()
    found: dict[str, Json] = {}
    for name, (medium, size) in held.items():
        if name not in speeds:
            continue
        speed = speeds[name] * custodian.settings.volume(name).lanes
        weekly = bytes_a_week(custodian.settings.fixity.windows, medium, name, speed)
        days = min(_LONGEST_DAYS, 7 * size / weekly) if weekly > 0 else _LONGEST_DAYS
        interval = min(policy.fixity.interval(medium) for policy in custodian.settings.policies)
        found[name] = {"held": size, "speed": speed, "days": days, "interval": interval / timedelta(days=1)}
    with custodian.catalogue.write() as tx:
        facts.put(tx, _FACT, found)


def read(tx: Tx) -> Mapping[str, Forecast]:
    """The forecasts that were last worked out, by volume."""
    kept = facts.get(tx, _FACT)
    if not isinstance(kept, dict):
        return {}
    return {name: _forecast(one) for name, one in kept.items() if isinstance(one, dict)}


def _forecast(one: Mapping[str, Json]) -> Forecast:
    numbers = {key: value for key, value in one.items() if isinstance(value, int | float)}
    return Forecast(
        held=int(numbers.get("held", 0)),
        speed=float(numbers.get("speed", 0)),
        whole_pass=numbers.get("days", 0) * (_WEEK / 7),
        interval=numbers.get("interval", 0) * (_WEEK / 7),
    )
