"""A second reading of the same answer: pySMART's, of smartctl's text.

The JSON of smartctl before 7.4 (Debian 12 has 7.3) leaves out the self-test logs of SCSI and NVMe disks, the
temperature limits of NVMe ones, and the pending defects and background scans of SCSI ones; the text has them. Where
both know a thing, the JSON is believed: pySMART takes an unknown temperature for 0.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hardware.smart.counters import UNRESOLVED
from hardware.smart.facts import Counter, DiskFacts, SelfTest, Temperature
from hardware.smart.jsontools import Json, clean, items, number, text
from hardware.smart.run import Smartctl
from hardware.smart.selftests import from_words

_MOST_TESTS: Final = 32
_MOST_PENDING: Final = (1 << 32) - 2
_DEFECTS: Final = re.compile(r"^\s*Pending defect count:\s*([0-9]{1,10})\b", re.IGNORECASE)
_SCANNED: Final = re.compile(r"^\s*[0-9]+\s+[0-9]+:[0-9]{2}\s+[0-9a-f]{16}\s+\[[0-9a-f]+,[0-9a-f]+,[0-9a-f]+\]\s+(.+)$")
_LIMIT: Final = re.compile(r"^(Warning|Critical)\s+Comp\. Temp\. Threshold:\s+([0-9]{1,3}) Celsius", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Second:
    """What the text says, as far as it is wanted."""

    assessment: str = ""
    serial: str = ""
    temperature: int | None = None
    warning: int | None = None
    critical: int | None = None
    pending: int | None = None
    """Sectors that a SCSI disk could not read."""
    tests: tuple[tuple[str, str, str], ...] = ()
    """Of each self-test what became of it, its hours, and its kind."""

    def to_json(self) -> Mapping[str, object]:
        """For the report; what is not known is left out."""
        found: dict[str, object] = {"assessment": self.assessment, "serial": self.serial}
        for name in ("temperature", "warning", "critical", "pending"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        found["tests"] = [{"status": status, "hours": hours, "kind": kind} for status, hours, kind in self.tests]
        return found


def from_json(document: Json) -> Second:
    """What :meth:`Second.to_json` wrote, as hostile as any input."""
    return Second(
        text(document, "assessment", 16),
        text(document, "serial", 64),
        number(document, "temperature", 1, 150),
        number(document, "warning", 1, 150),
        number(document, "critical", 1, 150),
        number(document, "pending", 0, _MOST_PENDING),
        tuple(
            (text(test, "status"), text(test, "hours", 12), text(test, "kind", 32))
            for test in items(document, "tests", _MOST_TESTS)
        ),
    )


class _Replay(Smartctl):
    """A smartctl that answers every question with the lines that were had already."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(smartctl_path="smartctl")
        self._lines = list(lines)

    def generic_call(self, params: list[str], pass_options: bool = False) -> tuple[list[str], int]:  # noqa: ARG002
        return list(self._lines), 0


def read(lines: Sequence[str], device: str, kind: str) -> Second:
    """Let pySMART read the text of an answer. What it stumbles over is not known; it never raises."""
    from pySMART import Device

    limits = {}
    for line in lines:
        if found := _LIMIT.match(line):
            limits[found[1].lower()] = int(found[2])
    pending = _pending(lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seen = Device(device, interface=kind or None, smartctl=_Replay(lines))
        temperature = seen.temperature if isinstance(seen.temperature, int) and seen.temperature > 0 else None
        tests = tuple(
            (clean(str(test.status)), clean(str(test.hours), 12), clean(str(test.type), 32))
            for test in seen.tests[:_MOST_TESTS]
        )
        return Second(
            clean(str(seen.assessment or ""), 16),
            clean(str(seen.serial or ""), 64),
            temperature,
            limits.get("warning"),
            limits.get("critical"),
            pending,
            tests,
        )
    except Exception:  # noqa: BLE001 - it reads a stranger's text line by line and raises whatever comes of that
        return Second(warning=limits.get("warning"), critical=limits.get("critical"), pending=pending)


def _pending(lines: Sequence[str]) -> int | None:
    """The longer of the two lists in which such sectors stand; None where there is neither."""
    defects = [int(found[1]) for line in lines if (found := _DEFECTS.match(line))]
    scanned = [found[1].strip().lower() in UNRESOLVED.values() for line in lines if (found := _SCANNED.match(line))]
    known = [*(count for count in defects if count <= _MOST_PENDING), *([sum(scanned)] if scanned else [])]
    return max(known, default=None)


def complete(facts: DiskFacts, second: Second) -> DiskFacts:
    """The facts of the JSON, with what only the text knew."""
    found = facts.temperature
    passed = {"PASS": True, "FAIL": False}.get(second.assessment)
    return dataclasses.replace(
        facts,
        passed=passed if facts.passed is None else facts.passed,
        temperature=Temperature(
            found.current if found.current is not None else second.temperature,
            found.warning or second.warning,
            found.critical or second.critical,
        ),
        counters=facts.counters if second.pending is None else {Counter.PENDING: second.pending, **facts.counters},
        self_tests=facts.self_tests or _tests(second),
    )


def _tests(second: Second) -> tuple[SelfTest, ...]:
    return tuple(from_words(status, hours, kind) for status, hours, kind in second.tests)
