"""What a reader or validator finds: errors (MUST) and warnings (SHOULD), bounded in number and length.

Codes are those of the OCFL 1.1 validation codes, https://ocfl.io/1.1/spec/validation-codes.html, and two of ours:
``too-large`` and ``too-deep`` for what goes beyond our own limits.
"""

from __future__ import annotations

from vault.errors import Fault

_MAX_TEXT = 500


class Findings:
    """Collects faults; keeps the first ``limit`` of errors and of warnings, and counts the others."""

    __slots__ = ("_limit", "errors", "suppressed", "warnings")

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self.errors: list[Fault] = []
        self.warnings: list[Fault] = []
        self.suppressed = 0

    def error(self, code: str, message: str, path: str = "") -> None:
        """Record that a MUST is broken."""
        self._add(self.errors, Fault(code, printable(message), printable(path)))

    def warning(self, code: str, message: str, path: str = "") -> None:
        """Record that a SHOULD is not followed."""
        self._add(self.warnings, Fault(code, printable(message), printable(path)))

    def _add(self, to: list[Fault], fault: Fault) -> None:
        if len(to) < self._limit:
            to.append(fault)
        else:
            self.suppressed += 1


def printable(text: str) -> str:
    """Return text that can be encoded, stored and printed: bounded, undecodable bytes as escapes."""
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]}..."
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
