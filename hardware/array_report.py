"""The file by which the helper tells the daemon what only root is told of arrays; beside its report on the disks.

One JSON document, replaced as a whole. As with :mod:`hardware.smart.report`, its reader believes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hardware.array_tools import Problem, Told
from hardware.arrays import Array, ArrayState
from hardware.errors import Malformed
from hardware.smart.jsontools import Json, flag, inner, items, moment, number, text
from hardware.smart.report import load_bounded, put

NAME: Final = "arrays.json"
FORMAT: Final = 1
_MOST: Final = 1024
_KINDS: Final = ("zfs", "btrfs", "lvm")


@dataclass(frozen=True, slots=True)
class ArrayReport:
    """What was told of arrays, and when."""

    taken_at: datetime
    told: Told


def write(folder: Path, told: Told, taken_at: datetime) -> Path:
    """Write the report, whole or not at all. Raises OSError."""
    rows = [
        {
            "name": array.name,
            "kind": array.kind,
            "level": array.level,
            "state": array.state.value,
            "missing": array.missing,
            "mismatches": array.mismatches,
            "errors": array.errors,
            "done_ppm": None if array.done is None else int(array.done * 1_000_000),
            "checks_known": array.checks_known,
            "checked_at": None if array.checked_at is None else array.checked_at.astimezone(UTC).isoformat(),
            "members": [{"device": member} for member in array.members],
        }
        for array in told.arrays
    ]
    document = {
        "format": FORMAT,
        "taken_at": taken_at.astimezone(UTC).isoformat(),
        "arrays": rows,
        "problems": {program: problem.value for program, problem in told.problems.items()},
    }
    return put(folder, NAME, document)


def read(path: Path) -> ArrayReport:
    """Read a report. Raises NotFound, Refused (not ours to believe), Unreachable, Malformed."""
    document = load_bounded(path)
    taken_at = moment(document, "taken_at")
    if number(document, "format") != FORMAT or taken_at is None:
        raise Malformed(
            f"{path} is no report of arrays in format {FORMAT}.", remedy="Update daemon and helper together."
        )
    found = tuple(array for row in items(document, "arrays", _MOST) if (array := _array(row)) is not None)
    said = inner(document, "problems")
    problems = {
        program: problem
        for program in ("zpool", "dmsetup")
        if (problem := next((one for one in Problem if one.value == said.get(program)), None)) is not None
    }
    return ArrayReport(taken_at, Told(found, problems))


def _array(row: Json) -> Array | None:
    name, kind = text(row, "name", 256), text(row, "kind", 8)
    if not name or kind not in _KINDS:
        return None
    done = number(row, "done_ppm", 0, 1_000_000)
    members = (text(member, "device", 256) for member in items(row, "members", _MOST))
    return Array(
        name, kind, text(row, "level", 32),
        next((state for state in ArrayState if state.value == row.get("state")), ArrayState.UNKNOWN),
        number(row, "missing"), number(row, "mismatches"), number(row, "errors"),
        None if done is None else done / 1_000_000,
        moment(row, "checked_at"), flag(row, "checks_known") is True,
        tuple(member for member in members if member.startswith("/dev/")),
    )  # fmt: skip
