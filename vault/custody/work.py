"""What a piece of work is given while it runs, and how it can end."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from vault.custody.context import Custodian
from vault.model import Task, TaskKind


class Progress:
    """Bytes done so far; read by the thread that renews the lease, so that what hangs can be told from what works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = 0

    def add(self, count: int) -> None:
        """So many more bytes were read or written."""
        with self._lock:
            self._done += count

    @property
    def done(self) -> int:
        """Bytes since the work began."""
        return self._done


class Ending(enum.Enum):
    """How work ended. LATER: it could not be done now, and the reason is not that something is wrong with a copy."""

    DONE = "done"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Result:
    """An ending with a sentence for ``vaultctl tasks``. ``after`` is when to try again (LATER only)."""

    ending: Ending
    message: str = ""
    after: timedelta | None = None


def done(message: str) -> Result:
    """It is finished."""
    return Result(Ending.DONE, message)


def later(message: str, after: timedelta | None = None) -> Result:
    """Try again; without ``after`` the wait grows with each attempt."""
    return Result(Ending.LATER, message, after)


@dataclass(frozen=True)
class Work:
    """A claimed task with what it needs."""

    task: Task
    custodian: Custodian
    progress: Progress
    cancelled: Callable[[], bool]


Handler = Callable[[Work], Result]
Handlers = Mapping[TaskKind, Handler]
