"""What is exported of the devices below the volumes: disks and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from hardware.arrays import Array
from hardware.shares import Share
from hardware.smart.facts import Counter
from monitoring import metrics
from monitoring.metrics import Metric
from vault.catalog import disks
from vault.catalog.engine import Tx
from vault.device_model import Disk

MOST: Final = 1000
"""So many disks have series of their own, the worst before the others."""

_COUNTERS: Final = tuple(counter.value for counter in Counter)
_HOUR: Final = 3600
_MEASURES: Final[Mapping[str, tuple[Metric, float]]] = {
    "capacity_bytes": (metrics.DISK_CAPACITY, 1),
    "temperature_celsius": (metrics.DISK_TEMPERATURE, 1),
    "power_on_hours": (metrics.DISK_POWER_ON, _HOUR),
    "wear_percent": (metrics.DISK_WEAR, 0.01),
    "spare_percent": (metrics.DISK_SPARE, 0.01),
}


class Sink(Protocol):
    """Where samples go: labels in the metric's order, None adds nothing."""

    def add(self, metric: Metric, value: float | datetime | None, *labels: str) -> None:
        """Add a sample."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When the report on the disks was taken, whether it is fresh, and which disks each volume stands on; which devices
    are there by role, and what happened to them, by role and change; the arrays, and which volumes stand on
    them; what the file system of each volume told."""

    taken_at: datetime | None
    fresh: bool
    volumes: Mapping[str, Iterable[str]]
    present: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    overflows: int | None = None
    arrays: Sequence[Array] = ()
    on_arrays: Mapping[str, Iterable[str]] = field(default_factory=dict)
    shares: Mapping[str, Share] = field(default_factory=dict)


Hearing = Callable[[], Heard]


def add(sink: Sink, tx: Tx, heard: Heard, *, valid: timedelta) -> None:
    """Add everything that is known of the disks; what was read longer than ``valid`` ago is not known any more."""
    for role, number in heard.present.items():
        sink.add(metrics.DEVICES, number, role)
    for (role, change), number in heard.events.items():
        sink.add(metrics.DEVICE_EVENTS, number, role, change)
    sink.add(metrics.DEVICE_OVERFLOWS, heard.overflows)
    _add_arrays(sink, heard)
    for volume, share in heard.shares.items():
        sink.add(metrics.MOUNT_STATE, 1, volume, share.state.value)
        sink.add(metrics.MOUNT_SECONDS, share.took, volume)
        sink.add(metrics.VOLUME_FILES, share.files, volume)
        sink.add(metrics.VOLUME_FREE_FILES, share.free_files, volume)
    found = sorted(disks.all(tx), key=lambda disk: (-disk.health.rank, disk.key))[:MOST]
    if found or heard.taken_at is not None:
        sink.add(metrics.DISK_REPORT, heard.taken_at)
        sink.add(metrics.DISK_REPORT_FRESH, heard.fresh)
    keys = {disk.key for disk in found}
    for volume, mine in heard.volumes.items():
        for key in mine:
            if key in keys:
                sink.add(metrics.DISK_VOLUME, 1, key, volume)
    for disk in found:
        _add_disk(sink, disk, is_fresh=disk.read_at is not None and tx.now - disk.read_at <= valid)


def _add_arrays(sink: Sink, heard: Heard) -> None:
    for array in heard.arrays[:MOST]:
        sink.add(metrics.ARRAY_STATE, 1, array.name, array.kind, array.state.value)
        sink.add(metrics.ARRAY_MISSING, array.missing, array.name, array.kind)
        sink.add(metrics.ARRAY_MISMATCHES, array.mismatches, array.name, array.kind)
        sink.add(metrics.ARRAY_ERRORS, array.errors, array.name, array.kind)
        sink.add(metrics.ARRAY_DONE, array.done, array.name, array.kind)
    known = {array.name for array in heard.arrays[:MOST]}
    for volume, mine in heard.on_arrays.items():
        for name in known.intersection(mine):
            sink.add(metrics.ARRAY_VOLUME, 1, name, volume)


def _add_disk(sink: Sink, disk: Disk, *, is_fresh: bool) -> None:
    sink.add(metrics.DISK_INFO, 1, disk.key, disk.wwn, disk.model, disk.protocol)
    sink.add(metrics.DISK_PRESENT, disk.present, disk.key)
    sink.add(metrics.DISK_VERDICT, 1, disk.key, disk.health.value)
    sink.add(metrics.DISK_READ, disk.read_at, disk.key)
    if not is_fresh or not disk.present:
        return
    readings = disk.readings
    for name, (metric, factor) in _MEASURES.items():
        if name in readings:
            sink.add(metric, readings[name] * factor, disk.key)
    for limit in ("warning", "critical"):
        sink.add(metrics.DISK_TEMPERATURE_LIMIT, readings.get(f"temperature_{limit}_celsius"), disk.key, limit)
    for name in _COUNTERS:
        if name in readings:
            sink.add(metrics.DISK_ERRORS, readings[name], disk.key, name)
