"""What is kept of every reading back, so that minutes (*biên bản*) can be made of it: of a night of the schedule as of
an order.

Each check adds to the day of its volume in the transaction that records its outcome, so the numbers are those of the
events. Once an hour it is noted how far the volume is within its interval; the last look of a day stands.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from vault.catalog import copies, readings
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.catalog.readings import Count, Standing
from vault.custody.context import Custodian
from vault.errors import VaultError
from vault.model import CopyState, MediumClass, VolumeMode
from vault.verdict import Verdict
from vault.windows import day_of

SCHEDULE: Final = "minutes"
EVERY: Final = timedelta(hours=1)

_OUTCOMES: Final = {
    Verdict.INTACT: "intact",
    Verdict.DAMAGED: "damaged",
    Verdict.MISSING: "missing",
}


@dataclass(frozen=True, slots=True)
class Took:
    """What a check read: so many bytes in so many seconds (0: not known); whether only the schedule asked for it."""

    bytes: int
    seconds: float
    routine: bool


class Meter:
    """Counts what a check reads, and the time that this takes: without that in which ``progress`` makes it wait."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._began = time.monotonic()
        self._waited = 0.0
        self._bytes = 0

    def add(self, count: int) -> None:
        """So many bytes were read."""
        self._bytes += count
        before = time.monotonic()
        self._progress(count)
        self._waited += time.monotonic() - before

    def took(self, *, routine: bool) -> Took:
        """What it came to so far."""
        return Took(self._bytes, max(0.0, time.monotonic() - self._began - self._waited), routine)


def note(custodian: Custodian, tx: Tx, volume: str, verdict: Verdict, files: int, took: Took, event: int) -> None:
    """A check was concluded, as the event of that number tells."""
    outcome = {_OUTCOMES.get(verdict, "doubtful"): 1}
    count = Count(**outcome, files=files, bytes=took.bytes, seconds=took.seconds)
    readings.add(tx, _today(custodian, tx, volume), volume, count, routine=took.routine, event=event)


def note_unfinished(custodian: Custodian, volume: str, took: Took) -> None:
    """A check was broken off, as its hours are over, or the volume went away; what it read was read. What goes on is
    more important than that this is written down."""
    if took.bytes:
        with contextlib.suppress(VaultError), custodian.catalogue.write() as tx:
            count = Count(bytes=took.bytes, seconds=took.seconds)
            readings.add(tx, _today(custodian, tx, volume), volume, count, routine=took.routine)


def look(custodian: Custodian) -> None:
    """Note how far each volume is within its interval."""
    with custodian.catalogue.read() as tx:
        counts, oldest = copies.counts(tx), copies.oldest_proof(tx)
        found = []
        for row in catalog_volumes.all(tx, but=MediumClass.TAPE):
            if row.mode is VolumeMode.RETIRED:
                continue
            interval = min(policy.fixity.interval(row.medium) for policy in custodian.settings.policies)
            held = sum(counts.get((row.name, state), 0) for state in (CopyState.GOOD, CopyState.SUSPECT))
            proved = copies.proved_since(tx, row.id, tx.now - interval)
            overdue = copies.due_since(tx, row.id, tx.now)
            found.append((row.name, Standing(held, proved, overdue, interval, oldest.get(row.name), tx.now)))
    with custodian.catalogue.write() as tx:
        for name, standing in found:
            readings.stands(tx, _today(custodian, tx, name), name, standing)


def _today(custodian: Custodian, tx: Tx, volume: str) -> date:
    row = catalog_volumes.get(tx, volume)
    medium = MediumClass.DISK if row is None else row.medium
    local = tx.now.astimezone(custodian.settings.node.zone)
    return day_of(custodian.settings.fixity.windows, medium, volume, local)
