"""From an HTTP answer that says no, back to the error that the daemon meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import httpx
from pydantic import ValidationError

from vault.errors import (
    ConfigError,
    Conflict,
    Corrupted,
    Fault,
    Forbidden,
    Full,
    Interrupted,
    Invalid,
    NotFound,
    Refused,
    Secret,
    Throttled,
    Unreachable,
    VaultError,
    WrongVolume,
)
from vault.i18n import _
from vault.wire import Problem

_BY_CODE: Final[Mapping[str, type[VaultError]]] = {
    "batch-differs": Invalid,
    "batch-not-ready": Invalid,
    "already-initialised": Refused,
    "already-released": Refused,
    "bad-configuration": ConfigError,
    "bad-transition": Refused,
    "catalogue-damaged": Corrupted,
    "catalogue-newer": ConfigError,
    "corrupted": Corrupted,
    "interrupted": Interrupted,
    "ledger-damaged": Corrupted,
    "no-good-copy": Corrupted,
    "no-good-source": Corrupted,
    "not-empty": Refused,
    "not-evidence": Refused,
    "not-for-postgresql": Refused,
    "not-initialised": WrongVolume,
    "refused": Refused,
    "request-timeout": Interrupted,
    "tape-refused": Refused,
    "too-slow": Interrupted,
    "source-changed": Interrupted,
    "state-secret": Secret,
    "unrepairable": Corrupted,
    "only-copies": Refused,
    "volume-alive": Refused,
    "volume-known": Refused,
    "volume-needed": Refused,
    "write-not-proved": Corrupted,
    "wrong-volume": WrongVolume,
}
"""Where the status alone would not tell."""

_BY_STATUS: Final[Mapping[int, type[VaultError]]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: Interrupted,
    409: Conflict,
    412: Conflict,
    429: Throttled,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
    507: Full,
}


Explain = Callable[[Problem], Problem]
"""Says a problem anew, for people who do not speak HTTP."""


def as_it_is(problem: Problem) -> Problem:
    """The problem as the node said it."""
    return problem


def error_of(response: httpx.Response, explain: Explain = as_it_is) -> VaultError:
    """The error that an answer of 400 or more tells of, as ``explain`` says it. Its body must have been read.

    What is no problem document comes from a proxy in between or from another program: its status decides.
    """
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        kind = _BY_STATUS.get(response.status_code, Invalid if response.status_code < 500 else VaultError)
        return kind(
            f"The answer was {response.status_code} {response.reason_phrase}, without an explanation.",
            remedy=_("Look whether the address is that of vaultd, and at what stands between (a proxy)."),
        )
    return error_from_problem(explain(problem))


def error_from_problem(problem: Problem) -> VaultError:
    """The error that a problem document tells of."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status)
    if kind is None:
        kind = Invalid if 400 <= problem.status < 500 else VaultError
    if problem.faults and kind is Refused:
        kind = Invalid
    if issubclass(kind, Invalid):
        faults = [Fault(fault.code, fault.message, fault.path) for fault in problem.faults]
        return kind(problem.detail, faults=faults, remedy=problem.remedy, code=problem.code)
    return kind(problem.detail, remedy=problem.remedy, code=problem.code)
