"""How ``vaultctl`` ends: the numbers that scripts look at. ``docs/reference/cli.md`` has the same table."""

from __future__ import annotations

import enum

from vault.errors import (
    ConfigError,
    Conflict,
    Corrupted,
    Full,
    NotFound,
    Refused,
    Unreachable,
    VaultError,
)


class ExitCode(enum.IntEnum):
    """Each number with its one meaning."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    UNSOUND = 5
    FULL = 6
    CONFLICT = 7
    CONFIG = 8
    PENDING = 9
    FAILED = 10
    INTERRUPTED = 130


class StillGoingOn(VaultError):
    """The time to wait is over, and what was waited for goes on."""

    default_code = "still-going-on"


class Stopped(VaultError):
    """Whoever typed the command stopped it (Ctrl-C), or the system did."""

    default_code = "stopped"


_BY_CLASS: tuple[tuple[type[VaultError], ExitCode], ...] = (
    (StillGoingOn, ExitCode.PENDING),
    (Stopped, ExitCode.INTERRUPTED),
    (ConfigError, ExitCode.CONFIG),
    (NotFound, ExitCode.NOT_FOUND),
    (Conflict, ExitCode.CONFLICT),
    (Refused, ExitCode.REFUSED),
    (Full, ExitCode.FULL),
    (Unreachable, ExitCode.UNREACHABLE),
    (Corrupted, ExitCode.UNSOUND),
)


def exit_code_of(error: VaultError) -> ExitCode:
    """The code with which an error ends the command."""
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), ExitCode.FAILED)
