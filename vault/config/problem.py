"""One thing that is wrong with a configuration, in a form that people can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""Where a value stands: ``("volume", 1, "path")`` is the path of the second ``[[volume]]``."""

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do about it.

    ``line`` counts from 1; 0 means that no line is concerned. ``value`` is as it would be written in TOML, ""
    where there is none to show.
    """

    file: Path
    line: int
    key: str
    value: str
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return ": ".join(part for part in (where, self.key, self.value, self.what) if part) + f"; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Source:
    """The text that settings came from: its file, and the line of every key in it."""

    file: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest thing around it that is written, or else the first line."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def problem(self, path: KeyPath, key: str, what: str, remedy: str, value: object = None) -> Problem:
        """A problem at ``path``, shown as ``key``."""
        return Problem(self.file, self.line(path), key, "" if value is None else toml_value(value), what, remedy)


def toml_value(value: object) -> str:
    """Return ``value`` about as TOML would write it, cut where it is long."""
    text = _toml(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)
