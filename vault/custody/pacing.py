"""How routine reading is kept within its hours and under its cap, and how fast it turned out to be.

Routine is what the schedule asks for of copies that were good. What somebody waits for (a proof of what was just
written, an order, a doubt) is read at once and as fast as it goes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Literal

from vault.config import Settings
from vault.model import MediumClass
from vault.volumes.base import Cancelled
from vault.windows import Pace, pace

LOOK_EVERY_SECONDS: Final = 1.0
"""So often a check that is under way looks whether its hours are over, or the cap has changed."""

_SLICE_SECONDS: Final = 0.25
_FORGETTING: Final = 0.9
_LEAST_SECONDS: Final = 0.05


class Pacing:
    """The hours and caps of every volume. One per node; for any thread."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}
        self._speed: dict[str, float] = {}

    def now(self, volume: str, medium: MediumClass = MediumClass.DISK) -> Pace:
        """What holds for routine reading of a volume just now."""
        return pace(self._settings.fixity.windows, medium, volume, self._local())

    def wait_turn(self, volume: str, count: int, rate: int | None, stop: Cancelled) -> float:
        """Wait until so many bytes may have been read under the cap, all lanes of the volume together; return the
        seconds that it took."""
        if rate is None:
            return 0.0
        now = time.monotonic()
        with self._lock:
            begin = max(now, self._free_at.get(volume, now))
            self._free_at[volume] = until = begin + count / rate
        never = threading.Event()
        while (left := until - time.monotonic()) > 0 and not stop():
            never.wait(min(left, _SLICE_SECONDS))
        return time.monotonic() - now

    def note_speed(self, volume: str, read: int, seconds: float) -> None:
        """So many bytes were read in so many seconds by one lane, waits for the cap not counted."""
        if seconds < _LEAST_SECONDS:
            return
        with self._lock:
            before = self._speed.get(volume)
            speed = read / seconds
            self._speed[volume] = speed if before is None else _FORGETTING * before + (1 - _FORGETTING) * speed

    def speeds(self) -> Mapping[str, float]:
        """Bytes a second of one lane, by volume, where some were read."""
        with self._lock:
            return dict(self._speed)

    def remember_speeds(self, speeds: Mapping[str, float]) -> None:
        """What a former process measured."""
        with self._lock:
            self._speed = {**speeds, **self._speed}

    def _local(self) -> datetime:
        return self._clock().astimezone(self._settings.node.zone)


class Routine:
    """One routine check of a volume: what its reading tells and asks on the way."""

    def __init__(self, pacing: Pacing, volume: str, priority_class: str, stop: Cancelled) -> None:
        self._pacing = pacing
        self._volume = volume
        self._class = priority_class
        self._stop = stop
        self._looked_at = float("-inf")
        self._pace = pacing.now(volume)
        self.waited = 0.0

    def is_over(self) -> bool:
        """Whether the hours in which this may be read are over."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_SECONDS:
            self._looked_at = time.monotonic()
            self._pace = self._pacing.now(self._volume)
        return not self._pace.takes(self._class)

    def cancelled(self) -> bool:
        """Whether reading must stop."""
        return self._stop() or self.is_over()

    def read(self, count: int) -> None:
        """So many bytes were read: wait as the cap asks."""
        self.waited += self._pacing.wait_turn(self._volume, count, self._pace.rate, self.cancelled)


_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
"""Number of ioprio_set(2), which libc does not have."""

_WHO_PROCESS: Final = 1
_CLASS_SHIFT: Final = 13
_PRIORITIES: Final = {"idle": 3 << _CLASS_SHIFT, "low": (2 << _CLASS_SHIFT) | 7, "normal": 0}


@contextmanager
def io_priority(level: Literal["idle", "low", "normal"]) -> Iterator[None]:
    """Read at this priority in this thread, and in those that it begins, for the block (ioprio_set(2)). Where the
    kernel has no such thing, nothing happens: it is a courtesy to others."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is None or level == "normal":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(number, _WHO_PROCESS, 0, _PRIORITIES[level])
    try:
        yield
    finally:
        libc.syscall(number, _WHO_PROCESS, 0, _PRIORITIES["normal"])
