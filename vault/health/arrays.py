"""How the arrays are, as the kernel and the helper tell; and what their state means for the volumes on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from hardware import array_report
from hardware.array_tools import Problem, Told
from hardware.arrays import Array, ArrayState, combined
from hardware.errors import HardwareError, NotFound
from hardware.stack import Stack
from vault.device_model import Health
from vault.health.volumes import Finding

log = structlog.get_logger(__name__)

_SKEW: Final = timedelta(minutes=5)


class Listener:
    """Joins what everybody sees of the arrays with what the helper was told of them, while that is fresh."""

    def __init__(self, report: Path, stale_after: timedelta, look: Callable[[], Sequence[Array]]) -> None:
        """``report`` is the helper's report on disks; the one on arrays lies beside it."""
        self._report = report.with_name(array_report.NAME)
        self._stale_after = stale_after
        self.look = look
        self.problems: Mapping[str, Problem] = {}
        """The programs that told nothing the last time, and why."""
        self._said = ""

    def arrays(self, now: datetime) -> Sequence[Array]:
        """Every array of this machine. Raises nothing: what is not told is not known."""
        told = self._told(now)
        self.problems = told.problems
        return combined(self.look(), told.arrays)

    def _told(self, now: datetime) -> Told:
        try:
            found = array_report.read(self._report)
        except NotFound:
            return Told()
        except HardwareError as error:
            if error.message != self._said:
                self._said = error.message
                log.warning("arrays-not-heard", reason=error.message)
            return Told()
        return found.told if -_SKEW <= now - found.taken_at <= self._stale_after else Told()


_MEANING: Final = {
    ArrayState.REBUILDING: (Health.WATCH, "is being rebuilt and has no full redundancy yet"),
    ArrayState.DEGRADED: (Health.FAILING, "has lost its redundancy: the next disk that fails takes everything"),
    ArrayState.FAILED: (Health.FAILED, "has failed"),
    ArrayState.UNKNOWN: (Health.UNKNOWN, "does not tell how it is"),
}


def findings(stack: Stack, known: Iterable[Array]) -> Iterator[Finding]:
    """What is amiss with the arrays that a path stands on."""
    for array in known:
        if array.name in stack.arrays:
            if array.state in _MEANING:
                health, words = _MEANING[array.state]
                lacks = f" ({array.missing} missing)" if array.missing else ""
                yield Finding(health, f"The array {array.name} ({array.kind} {array.level}) {words}{lacks}.")
            if array.errors:
                text = f"The array {array.name} ({array.kind}) has counted {array.errors} errors on its devices."
                yield Finding(Health.WATCH, text)
