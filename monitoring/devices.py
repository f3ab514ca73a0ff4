"""What is exported of the devices below the volumes: disks and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hardware.arrays import Array
from hardware.shares import Share
from hardware.smart.facts import Counter, TestKind
from monitoring import metrics
from monitoring.metrics import Metric
from monitoring.samples import Samples
from vault.catalog import disks
from vault.catalog.device_tables import disks as DISKS  # noqa: N812 - the table
from vault.catalog.engine import Tx
from vault.catalog.steady import Steady
from vault.device_model import Disk
from vault.health import array_history
from vault.health.disks import hours_since_test

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


@dataclass(frozen=True, slots=True)
class Heard:
    """When the report on the disks was taken, whether it is fresh, and which disks each volume stands on; which devices
    are there by role, and what happened to them, by role and change; the arrays, and which volumes stand on
    them; what the file system of each volume told; whether there should be a report on the disks."""

    taken_at: datetime | None
    fresh: bool
    volumes: Mapping[str, Iterable[str]]
    present: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    overflows: int | None = None
    arrays: Sequence[Array] = ()
    on_arrays: Mapping[str, Iterable[str]] = field(default_factory=dict)
    shares: Mapping[str, Share] = field(default_factory=dict)
    expected: bool = False


Hearing = Callable[[], Heard]


class Disks:
    """The series of disks: many, and mostly the same as the time before. Made anew only when something changed."""

    def __init__(self, valid: timedelta) -> None:
        """What was read longer than ``valid`` ago is not known any more."""
        self._valid = valid
        self._known: Steady[list[Disk]] = Steady(tuple(DISKS.c), disks.all)
        self._seen: list[Disk] | None = None
        self._made_of: tuple[object, ...] = ()
        self._samples = Samples()

    def samples(self, tx: Tx, heard: Heard) -> Samples:
        """What is known of each disk; the same object as before while nothing changed."""
        known = self._known.get(tx)
        fresh = frozenset(d.key for d in known if d.read_at is not None and tx.now - d.read_at <= self._valid)
        volumes = {name: tuple(mine) for name, mine in heard.volumes.items()}
        made_of = (fresh, volumes, MOST)
        if known is not self._seen or made_of != self._made_of:
            self._samples, self._seen, self._made_of = _of_disks(known, fresh, volumes), known, made_of
        return self._samples

    @property
    def any(self) -> bool:
        """Whether any disk is known, as of the last samples."""
        return bool(self._samples.values)


def _of_disks(known: list[Disk], fresh: frozenset[str], volumes: Mapping[str, Iterable[str]]) -> Samples:
    samples = Samples()
    found = sorted(known, key=lambda disk: (-disk.health.rank, disk.key))[:MOST]
    keys = {disk.key for disk in found}
    for volume, mine in volumes.items():
        for key in mine:
            if key in keys:
                samples.add(metrics.DISK_VOLUME, 1, key, volume)
    for disk in found:
        _add_disk(samples, disk, is_fresh=disk.key in fresh)
    return samples


def add(sink: Samples, heard: Heard, *, any_disk: bool) -> None:
    """Add what is known of the devices as a whole, of arrays and of file systems."""
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
    if any_disk or heard.taken_at is not None or heard.expected:
        sink.add(metrics.DISK_REPORT, heard.taken_at)
        sink.add(metrics.DISK_REPORT_FRESH, heard.fresh)


def _add_arrays(sink: Samples, heard: Heard) -> None:
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


def add_past(sink: Samples, tx: Tx, heard: Heard) -> None:
    """Add since when arrays are looked at, and when a check of them last ended."""
    past = array_history.read(tx)
    for array in heard.arrays[:MOST]:
        one = past.get(array.name)
        if one is not None:
            sink.add(metrics.ARRAY_FIRST_SEEN, one.first_seen, array.name, array.kind)
            sink.add(metrics.ARRAY_CHECKED, one.checked_at, array.name, array.kind)


def _add_disk(sink: Samples, disk: Disk, *, is_fresh: bool) -> None:
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
    sink.add(metrics.DISK_TEST_FAILED, readings.get("self_test_failed"), disk.key)
    for kind in (TestKind.SHORT, TestKind.LONG):
        hours = hours_since_test(disk, kind)
        sink.add(metrics.DISK_TEST_AGE, None if hours is None else hours * _HOUR, disk.key, kind.value)
    for name in _COUNTERS:
        if name in readings:
            sink.add(metrics.DISK_ERRORS, readings[name], disk.key, name)
