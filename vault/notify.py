"""Telling systemd how the daemon is: the protocol of sd_notify(3), and the watchdog.

A message is one datagram of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names: a path, or an abstract
address when it begins with ``@``. Where the variable is not set, nobody listens and nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

log = structlog.get_logger(__name__)

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

_SEND_SECONDS: Final = 1.0
_LONGEST_STATUS: Final = 200

Age = Callable[[], float | None]
"""Tells how many seconds ago a part last came round, None before the first time."""


class Notifier:
    """Sends messages to the service manager, if one listens."""

    def __init__(self, address: str) -> None:
        self._address = address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Return one for the socket that ``NOTIFY_SOCKET`` names."""
        return cls(environ.get("NOTIFY_SOCKET", ""))

    @property
    def listening(self) -> bool:
        """Whether a service manager said that it listens."""
        return self._address.startswith(("/", "@")) and len(self._address) > 1

    def ready(self, status: str = "") -> bool:
        """Say that start-up is done: only now do units that wait for this one begin."""
        return self.send(READY, *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Say that shutdown has begun."""
        return self.send(STOPPING, *_status(status))

    def status(self, text: str) -> bool:
        """Set the sentence that ``systemctl status`` shows."""
        return self.send(*_status(text))

    def watchdog(self) -> bool:
        """Say that all is well. For :class:`Watchdog`, which knows whether that is true."""
        return self.send(WATCHDOG)

    def send(self, *lines: str) -> bool:
        """Send lines as one message; return whether it went out. Never raises: a deaf manager stops no work."""
        if not lines or not self.listening:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.connect(address)
                sender.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("systemd-not-told", message=lines[0], reason=str(error))
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    one_line = " ".join(text.split())[:_LONGEST_STATUS]
    return (f"STATUS={one_line}",) if one_line else ()


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return within how many seconds systemd wants a sign of life, None when it wants none.

    See sd_watchdog_enabled(3): ``WATCHDOG_USEC`` counts only for the process that ``WATCHDOG_PID`` names.
    """
    pid, usec = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / 1e6 if usec.isascii() and usec.isdecimal() and int(usec) > 0 else None


class Watchdog:
    """Tells systemd that the daemon lives, as long as every part of it does.

    A thread that only says "I live" would say so while all work stands still. This one asks, twice in each period,
    how long ago each part last came round (``ages``, by name), and pets only when none is older than ``period``
    seconds; a part that never did has that long from the start. Where one is late systemd restarts the daemon, one to
    two periods after it stood still, and the log says which part it was.
    """

    def __init__(self, notifier: Notifier, ages: Mapping[str, Age], period: float) -> None:
        self._notifier = notifier
        self._ages = dict(ages)
        self._period = period
        self._stop = threading.Event()
        self._late: frozenset[str] = frozenset()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="watchdog", daemon=True)

    @classmethod
    def from_environment(cls, notifier: Notifier, ages: Mapping[str, Age]) -> Watchdog | None:
        """Return one for the period that systemd set, None when it set none."""
        period = watchdog_seconds()
        return None if period is None or not notifier.listening else cls(notifier, ages, period)

    def start(self) -> None:
        """Begin, with a sign of life at once."""
        self._thread.start()

    def stop(self) -> None:
        """End; no more signs of life follow. The shutdown has its own limit (``TimeoutStopSec``)."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def turn(self) -> frozenset[str]:
        """Ask every part once, pet if all are fresh, and return the names of those that are late."""
        late: dict[str, str] = {}
        for name, age in self._ages.items():
            problem = self._problem(age)
            if problem:
                late[name] = problem
        names = frozenset(late)
        for name in sorted(names - self._late):
            log.error("watchdog-late", part=name, reason=late[name], limit_seconds=self._period)
        for name in sorted(self._late - names):
            log.info("watchdog-recovered", part=name)
        self._late = names
        if not names:
            self._notifier.watchdog()
        return names

    def _problem(self, age: Age) -> str:
        try:
            seconds = age()
        except Exception as error:  # noqa: BLE001 - a part that cannot say how it is, is not well; others are still asked
            return f"it cannot be asked ({type(error).__name__}: {error})"
        if seconds is None:
            waited = time.monotonic() - self._began
            return f"it has not come round in {waited:.1f} s" if waited > self._period else ""
        return f"it last came round {seconds:.1f} s ago" if seconds > self._period else ""

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.turn()
            self._stop.wait(self._period / 2)


class Beat:
    """When something last came round, by the monotonic clock: its part calls :meth:`beat`, a watchdog :meth:`age`."""

    def __init__(self) -> None:
        self._at: float | None = None

    def beat(self) -> None:
        """It has just come round."""
        self._at = time.monotonic()

    def age(self) -> float | None:
        """Return how many seconds ago that was, None before the first time."""
        return None if self._at is None else time.monotonic() - self._at


async def keep_beating(beat: Beat, every: float = 1.0) -> None:
    """Beat in the running event loop every so many seconds, until cancelled: it is late when the loop is blocked."""
    while True:
        beat.beat()
        await asyncio.sleep(every)


class RoundTrip:
    """The age of the last time that ``call`` came back without an error, called in a thread of its own.

    For the catalogue: the watchdog must not hang in the database that it is to watch. At most one call is under way;
    :meth:`age` begins the next one when none is.
    """

    def __init__(self, call: Callable[[], object], name: str) -> None:
        self._call = call
        self._name = name
        self._beat = Beat()
        self._lock = threading.Lock()
        self._under_way = False

    def age(self) -> float | None:
        """Return how many seconds ago the last call came back, None before the first; begin another one."""
        with self._lock:
            begin, self._under_way = not self._under_way, True
        if begin:
            threading.Thread(target=self._once, name=self._name, daemon=True).start()
        return self._beat.age()

    def _once(self) -> None:
        try:
            self._call()
            self._beat.beat()
        except Exception as error:  # noqa: BLE001 - whatever it was, the beat is late by it, and that is what is reported
            log.warning("watchdog-call-failed", part=self._name, reason=f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._under_way = False
