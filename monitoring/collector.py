"""What the node knows of itself, as samples: from the catalogue, which takes time, and what the process counted.

What is remembered from one reading to the next makes the next one short. How it is answered, and what happens while
the catalogue does not, is :mod:`monitoring.exporter`'s.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import vault
from monitoring import devices, metrics
from monitoring.devices import Disks
from monitoring.samples import Samples
from monitoring.tapes import Tapes, add_libraries
from vault.catalog import callbacks, copies, events, overview, packages, schedules, tasks, tokens, uploads
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Catalogue, Tx
from vault.catalog.overview import Tally
from vault.custody import forecast, proof
from vault.device_model import Health
from vault.health import filling
from vault.model import READABLE, Condition, CopyState, MediumClass, TaskKind, TaskState, Volume, VolumeMode
from vault.tapes.librarian import LibraryView
from vault.telemetry import Counted, Telemetry

CLASSES: Final = 20
"""So many classes of packages have a label of their own: the words are the depositors'."""

OTHER: Final = "other"
_LONGEST_CLASS: Final = 64
TOKEN_USED_WITHIN: Final = timedelta(days=30)
TOKEN_ENDED_WITHIN: Final = timedelta(days=7)

_OVERLAP: Final = timedelta(minutes=10)
"""A transaction records the time at which it began; this is longer than any lasts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the catalogue knew at one moment. ``steady`` is what is told of disks and of cartridges: much, and mostly
    the same object as the time before."""

    samples: Samples
    steady: tuple[Samples, ...]


class Collector:
    """Reads the catalogue, one reading at a time, and says what the process knows.

    ``configured`` are the names of the volumes that should be there, with the bytes that are kept free on each where
    that is known; one that the catalogue never met is unknown.
    ``intervals`` says how often each kind of scheduled work should run, ``self_tests`` how often disks are to test
    themselves, by kind of test. ``stalled`` counts the running tasks that do
    not move; ``certificate`` says when the API's certificate ends, ``libraries`` how the tape libraries stand,
    ``tape_life`` how long what is written to a cartridge of each pool may stay there.
    ``devices`` says what was heard of the disks, known for ``devices_valid``. What was seen of a volume longer than
    ``probe_valid`` ago is no longer known.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        telemetry: Telemetry,
        *,
        configured: Mapping[str, int | None] | Iterable[str] = (),
        intervals: Mapping[str, timedelta] | None = None,
        self_tests: Mapping[str, timedelta] | None = None,
        stalled: Callable[[], int] | None = None,
        certificate: Callable[[], datetime | None] | None = None,
        devices: devices.Hearing | None = None,
        devices_valid: timedelta = timedelta(hours=1),
        libraries: Callable[[], Iterable[LibraryView]] = tuple,
        tape_life: Mapping[str, timedelta] | None = None,
        probe_valid: timedelta = timedelta(minutes=5),
    ) -> None:
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._intervals = dict(intervals or {})
        self._self_tests = dict(self_tests or {})
        self._stalled = stalled
        self._certificate = certificate
        self._libraries = libraries
        reserves = configured if isinstance(configured, Mapping) else dict.fromkeys(configured)
        self._memory = _Memory(
            probe_valid, reserves, devices or _nothing_heard, Disks(devices_valid), Tapes(tape_life or {})
        )

    def read(self) -> Reading:
        """Return what the catalogue knows. Not for several threads at once. Raises what the catalogue raises."""
        began = time.monotonic()
        samples, steady = _read(self._catalogue, self._memory)
        samples.add(metrics.COLLECTOR_DURATION, time.monotonic() - began)
        return Reading(samples, steady)

    def known(self) -> Samples:
        """Return what is known without asking the catalogue."""
        samples = Samples()
        samples.add(metrics.BUILD_INFO, 1, vault.__version__, platform.python_version())
        _add_counted(samples, self._telemetry.snapshot())
        for kind, interval in self._intervals.items():
            samples.add(metrics.SCHEDULE_INTERVAL, interval.total_seconds(), kind)
        for kind, interval in self._self_tests.items():
            samples.add(metrics.DISK_TEST_INTERVAL, interval.total_seconds() or None, kind)
        if self._stalled is not None:
            samples.add(metrics.TASKS_STALLED, self._stalled())
        expires = self._certificate() if self._certificate is not None else None
        if expires is not None:
            samples.add(metrics.CERTIFICATE_EXPIRY, expires.timestamp())
        add_libraries(samples, self._libraries())
        return samples


def _add_counted(samples: Samples, counted: Counted) -> None:
    for outcome, number in counted.deposits.items():
        samples.add(metrics.DEPOSITS, number, outcome.value)
    for outcome, number in counted.deposit_bytes.items():
        samples.add(metrics.DEPOSIT_BYTES, number, outcome.value)
    for told, number in counted.callbacks.items():
        samples.add(metrics.CALLBACKS, number, told.value)
    for (volume, check), number in counted.fixity_files.items():
        samples.add(metrics.FIXITY_FILES, number, volume, check.value)
    for (volume, check), number in counted.fixity_bytes.items():
        samples.add(metrics.FIXITY_BYTES, number, volume, check.value)


# --- what the catalogue knows


@dataclass(slots=True)
class _Memory:
    """What is kept from one reading to the next, so that each looks only at what is new. One reading at a time."""

    probe_valid: timedelta
    configured: Mapping[str, int | None]
    devices: devices.Hearing
    disks: Disks
    tapes: Tapes
    packages: Tally = field(default_factory=Tally)
    versions: Tally = field(default_factory=Tally)
    done_at: dict[TaskKind, datetime] = field(default_factory=dict)
    done_looked_at: datetime | None = None
    classes: list[str] = field(default_factory=lambda: ["default"])


def _read(catalogue: Catalogue, memory: _Memory) -> tuple[Samples, tuple[Samples, ...]]:
    samples = Samples()
    with catalogue.read() as tx:
        samples.add(metrics.COLLECTOR_READ, tx.now)
        known = catalog_volumes.all(tx, but=MediumClass.TAPE)
        _add_holdings(samples, tx, memory, known)
        for volume in known:
            _add_volume(samples, volume, tx.now, memory.probe_valid)
            samples.add(metrics.VOLUME_RESERVE, memory.configured.get(volume.name), volume.name)
        for name in memory.configured.keys() - {volume.name for volume in known}:
            _add_condition(samples, name, Condition.UNKNOWN)
        _add_fixity(samples, tx)
        _add_work(samples, tx, memory)
        _add_intake(samples, tx)
        _add_ledger(samples, tx)
        heard = memory.devices()
        of_disks, of_tapes = memory.disks.samples(tx, heard), memory.tapes.samples(tx)
        devices.add(samples, heard, any_disk=memory.disks.any)
        devices.add_past(samples, tx, heard)
        reserves = {name: reserve or 0 for name, reserve in memory.configured.items()}
        for name, moment in filling.full_at(tx, reserves).items():
            samples.add(metrics.VOLUME_FULL_AT, moment, name)
        memory.tapes.add(samples, tx)
        samples.add(metrics.TOKEN_EXPIRY, tokens.next_expiry(tx, TOKEN_USED_WITHIN, TOKEN_ENDED_WITHIN))
    return samples, (of_disks, of_tapes)


def _nothing_heard() -> devices.Heard:
    return devices.Heard(None, fresh=False, volumes={})


def _add_holdings(samples: Samples, tx: Tx, memory: _Memory, known: list[Volume]) -> None:
    memory.packages = overview.count_packages(tx, memory.packages)
    memory.versions = overview.count_versions(tx, memory.versions)
    samples.add(metrics.PACKAGES, memory.packages.number)
    samples.add(metrics.VERSIONS, memory.versions.number)
    counts = copies.counts(tx)
    for volume in known:
        for state in CopyState:
            samples.add(metrics.COPIES, counts.pop((volume.name, state), 0), volume.name, state.value)
    for (name, state), number in counts.items():  # of tapes, of which there are many, only what there is
        samples.add(metrics.COPIES, number, name, state.value)
    for name, number in _by_class(packages.count_below_policy_by_class(tx), memory.classes).items():
        samples.add(metrics.BELOW_POLICY, number, name)
    samples.add(metrics.WITHOUT_GOOD_COPY, overview.without_good_copy(tx))
    samples.add(metrics.EVIDENCE, overview.evidence_kept(tx))


def _by_class(found: Mapping[str, int], classes: list[str]) -> dict[str, int]:
    """Give each class its own number, up to CLASSES of them; the rest share ``other``. A class that had one keeps it,
    and shows 0 when it has nothing more to show."""
    for name in sorted(found, key=lambda name: (-found[name], name)):
        if name not in classes and len(classes) < CLASSES and name != OTHER and 0 < len(name) <= _LONGEST_CLASS:
            classes.append(name)
    numbers = {name: found.get(name, 0) for name in classes}
    return {**numbers, OTHER: sum(found.values()) - sum(numbers.values())}


def _add_volume(samples: Samples, volume: Volume, now: datetime, probe_valid: timedelta) -> None:
    fresh = volume.probed_at is not None and now - volume.probed_at <= probe_valid
    condition = volume.condition if fresh else Condition.UNKNOWN
    _add_condition(samples, volume.name, condition)
    samples.add(metrics.VOLUME_INFO, 1, volume.name, volume.medium.value, volume.domain, volume.site)
    for health in Health:
        samples.add(metrics.VOLUME_HEALTH, health is volume.health, volume.name, health.value)
    for mode in VolumeMode:
        samples.add(metrics.VOLUME_MODE, mode is volume.mode, volume.name, mode.value)
    samples.add(metrics.VOLUME_PROBED, volume.probed_at, volume.name)
    if condition is not Condition.UNKNOWN:
        samples.add(metrics.VOLUME_UP, condition in READABLE, volume.name)
    if condition in READABLE:
        samples.add(metrics.VOLUME_SIZE, volume.size_bytes, volume.name)
        samples.add(metrics.VOLUME_FREE, volume.free_bytes, volume.name)


def _add_condition(samples: Samples, name: str, condition: Condition) -> None:
    for each in Condition:
        samples.add(metrics.VOLUME_CONDITION, each is condition, name, each.value)


def _add_fixity(samples: Samples, tx: Tx) -> None:
    for volume, moment in copies.oldest_proof(tx).items():
        samples.add(metrics.FIXITY_OLDEST, moment, volume)
    for volume, moment in overview.oldest_due(tx).items():
        samples.add(metrics.FIXITY_DUE, moment, volume)
    for volume, one in forecast.read(tx).items():
        samples.add(metrics.FIXITY_PASS, one.whole_pass.total_seconds(), volume)
        samples.add(metrics.FIXITY_INTERVAL, one.interval.total_seconds(), volume)


def _add_work(samples: Samples, tx: Tx, memory: _Memory) -> None:
    counts = tasks.counts(tx)
    for kind in TaskKind:
        for state in TaskState:
            samples.add(metrics.TASKS, counts.get((kind, state), 0), kind.value, state.value)
    ever_done = [kind for kind in TaskKind if counts.get((kind, TaskState.DONE))]
    memory.done_at.update(overview.last_done(tx, ever_done, memory.done_looked_at))
    for kind, moment in memory.done_at.items():
        samples.add(metrics.TASK_SUCCESS, moment, kind.value)
    memory.done_looked_at = tx.now - _OVERLAP
    for schedule in schedules.all(tx):
        samples.add(metrics.SCHEDULE_SUCCESS, schedule.last_success, schedule.kind)
        samples.add(metrics.SCHEDULE_FAILING, schedule.last_error != "", schedule.kind)


def _add_intake(samples: Samples, tx: Tx) -> None:
    for state, number in overview.deposits_open(tx).items():
        samples.add(metrics.DEPOSITS_OPEN, number, state.value)
    waiting = overview.receipts_waiting(tx)
    samples.add(metrics.RECEIPTS_PENDING, waiting.number)
    samples.add(metrics.RECEIPTS_OLDEST, waiting.since)
    uploads_open, uploaded = uploads.held(tx)
    samples.add(metrics.UPLOADS_OPEN, uploads_open)
    samples.add(metrics.UPLOADS_BYTES, uploaded)
    untold, tried_since = callbacks.waiting(tx)
    samples.add(metrics.CALLBACKS_WAITING, untold)
    samples.add(metrics.CALLBACKS_OLDEST, tried_since)


def _add_ledger(samples: Samples, tx: Tx) -> None:
    head, checkpoint = events.head(tx), overview.last_checkpoint(tx)
    if head is not None:
        samples.add(metrics.LEDGER_EVENTS, head.seq)
        # Its own event is not counted, or an archive at rest would never be wholly covered.
        covered = checkpoint.seq + 1 if checkpoint is not None else 0
        samples.add(metrics.LEDGER_UNSIGNED, max(0, head.seq - covered))
    proved = proof.read(tx)
    if proved is not None:
        samples.add(metrics.LEDGER_INTACT, proved.intact)
        samples.add(metrics.LEDGER_PROVED, proved.time)
    if checkpoint is not None:
        samples.add(metrics.LEDGER_CHECKPOINT, checkpoint.time)
        samples.add(metrics.LEDGER_CHECKPOINT_VOLUMES, checkpoint.volumes)
