"""The machine itself: Python, SQLite, the clock."""

from __future__ import annotations

import ctypes
import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from typing import Final

from vault.cli.doctor.finding import Finding, Level
from vault.i18n import _

OLDEST_PYTHON: Final = (3, 11)
OLDEST_SQLITE: Final = (3, 35, 0)
RELEASED: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""No clock that is right shows an earlier time than this."""

_TIME_ERROR = 5
_TIMEX_BYTES = 512  # struct timex is 208 bytes on 64-bit Linux


def python_version(found: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Whether Python is new enough."""
    name = ".".join(map(str, found))
    if found >= OLDEST_PYTHON:
        return Finding(Level.OK, _("machine"), f"Python {name} ({platform.machine()}, {platform.system()})")
    remedy = _("Install Python {version} or newer.").format(version=".".join(map(str, OLDEST_PYTHON)))
    return Finding(Level.BAD, _("machine"), _("Python {version} is too old.").format(version=name), remedy)


def sqlite_version(found: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """Whether SQLite can do what the catalogue needs (RETURNING, 3.35)."""
    name = ".".join(map(str, found))
    if found >= OLDEST_SQLITE:
        return Finding(Level.OK, _("machine"), f"SQLite {name}")
    remedy = _("Upgrade the system, or use a catalogue in PostgreSQL.")
    return Finding(Level.BAD, _("machine"), _("SQLite {version} is too old.").format(version=name), remedy)


def clock(now: datetime, newest_event: datetime | None) -> Finding:
    """Whether the clock can be right: not before this program, and not before what the ledger knows."""
    remedy = _("Set the clock and keep it synchronised: timedatectl set-ntp true")
    if now < RELEASED:
        return Finding(
            Level.BAD, _("machine"), _("The clock is wrong: it shows the year {year}.").format(year=now.year), remedy
        )
    if newest_event is not None and now < newest_event:
        seconds = int((newest_event - now).total_seconds())
        what = _("The clock is {seconds} s behind the newest event of the ledger.").format(seconds=seconds)
        return Finding(Level.BAD, _("machine"), what, remedy)
    return Finding(Level.OK, _("machine"), _("The clock is plausible."))


def clock_synchronised(state: int | None = None) -> Finding:
    """Whether the kernel says that the clock is synchronised (adjtimex(2))."""
    if state is None:
        state = _adjtimex()
    if state is None or state < 0:
        return Finding(Level.NOTE, _("machine"), _("Whether the clock is synchronised could not be asked."))
    if state == _TIME_ERROR:
        remedy = _("Set the clock and keep it synchronised: timedatectl set-ntp true")
        return Finding(Level.NOTE, _("machine"), _("The clock is not synchronised with any other."), remedy)
    return Finding(Level.OK, _("machine"), _("The clock is synchronised."))


def _adjtimex() -> int | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    # All zeros: nothing is set, only read.
    return int(function(ctypes.create_string_buffer(_TIMEX_BYTES)))


def who() -> Finding:
    """As whom all of this was looked at: what others may do can differ."""
    return Finding(Level.OK, _("machine"), _("Looked at as user {uid}.").format(uid=os.geteuid()))
