"""Counts of what this process has done since it began, for whoever watches it.

What must outlive a restart is in the catalogue and is read from there; what is here begins at zero with each process,
as Prometheus expects of a counter. Nothing here knows of Prometheus: ``monitoring.collector`` reads :meth:`snapshot`.
Any part may count, from any thread.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vault.verdict import Verdict


class DepositOutcome(enum.StrEnum):
    """How a deposit ended.

    STORED: a version was made. UNCHANGED: the same content was here already. REFUSED: against a rule, the depositor's
    to mend. INTERRUPTED: the client went away, or the node was stopped. FAILED: the node could not (no room, no
    volume, a fault of ours), which is the sysadmin's to mend.
    """

    STORED = "stored"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class CallbackOutcome(enum.StrEnum):
    """How an attempt to tell a depositor's program ended. FAILED: it is tried again. GIVEN_UP: it is not."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts at one moment. Every outcome is there, those that never happened with 0."""

    deposits: Mapping[DepositOutcome, int]
    deposit_bytes: Mapping[DepositOutcome, int]
    fixity_files: Mapping[tuple[str, Verdict], int]
    fixity_bytes: Mapping[tuple[str, Verdict], int]
    callbacks: Mapping[CallbackOutcome, int]


class Telemetry:
    """The counts. One per process.

    ``volumes`` are the names of the configured volumes: their counts are there from the start, so that the first bad
    check is seen as a step from 0 to 1. Others join when something is first counted on them.
    """

    def __init__(self, volumes: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._volumes = set(volumes)
        self._deposits: Counter[DepositOutcome] = Counter()
        self._deposit_bytes: Counter[DepositOutcome] = Counter()
        self._fixity_files: Counter[tuple[str, Verdict]] = Counter()
        self._fixity_bytes: Counter[tuple[str, Verdict]] = Counter()
        self._callbacks: Counter[CallbackOutcome] = Counter()

    def deposit(self, outcome: DepositOutcome, received: int) -> None:
        """Count a deposit that ended so; ``received`` is the bytes of its body that came in. Not for negative counts
        (:class:`ValueError`): a counter only grows."""
        _check(received)
        with self._lock:
            self._deposits[outcome] += 1
            self._deposit_bytes[outcome] += received

    def callback(self, outcome: CallbackOutcome) -> None:
        """Count an attempt to tell a depositor's program how its deposit ended."""
        with self._lock:
            self._callbacks[outcome] += 1

    def fixity(self, volume: str, outcome: Verdict, *, files: int, read: int) -> None:
        """Count a check of a copy on ``volume``: how many files it read, and how many bytes from the medium."""
        _check(files)
        _check(read)
        with self._lock:
            self._volumes.add(volume)
            self._fixity_files[volume, outcome] += files
            self._fixity_bytes[volume, outcome] += read

    def snapshot(self) -> Counted:
        """Return the counts as they are at this moment, all of them from the same one."""
        with self._lock:
            checks = [(volume, outcome) for volume in sorted(self._volumes) for outcome in Verdict]
            return Counted(
                deposits={outcome: self._deposits[outcome] for outcome in DepositOutcome},
                deposit_bytes={outcome: self._deposit_bytes[outcome] for outcome in DepositOutcome},
                fixity_files={check: self._fixity_files[check] for check in checks},
                fixity_bytes={check: self._fixity_bytes[check] for check in checks},
                callbacks={outcome: self._callbacks[outcome] for outcome in CallbackOutcome},
            )


def _check(count: int) -> None:
    if count < 0:
        raise ValueError(f"a counter cannot go back by {-count}")
