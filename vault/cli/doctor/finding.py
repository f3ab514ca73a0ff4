"""What a check found."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vault.errors import VaultError

_T = TypeVar("_T")

PATIENCE_SECONDS = 15.0
"""So long a file system may take to answer. A server that is gone may not answer for minutes."""


class Level(enum.StrEnum):
    """OK: as it should be. NOTE: worth knowing. BAD: something does not work, or soon will not."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``area`` is what it belongs to, ``remedy`` "" where there is nothing to do."""

    level: Level
    area: str
    what: str
    remedy: str = ""


def bad(area: str, error: VaultError) -> Finding:
    """An error as a finding."""
    return Finding(Level.BAD, area, error.message, error.remedy)


def in_time(work: Callable[[], _T], seconds: float = PATIENCE_SECONDS) -> _T:
    """Do ``work`` in a thread and return what it returns; TimeoutError when it takes too long (it is left behind)."""
    result: list[_T] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            result.append(work())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            failure.append(error)

    thread = threading.Thread(target=run, name="doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not result:
        raise TimeoutError
    return result[0]
