"""Which bytes of a representation a ``Range`` header asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_UNIT = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=(.*)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]*")
_DIGITS = 20
"""No file has 10^20 bytes; longer numbers are as good as that one, and cost nothing to read."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a representation: ``length`` bytes from ``start``, both within it."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The ``Content-Range`` that goes with it."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class NotSatisfiable(Exception):
    """The range lies behind the end."""


class BadRange(Exception):
    """It is no range of bytes that can be read."""


def parse_range(values: Sequence[str], size: int) -> ByteRange | None:
    """Return the one range that these ``Range`` headers ask for in ``size`` bytes; None where all is to be served.

    All is served, as RFC 9110 (sections 14.2 and 15.3.7) allows, for units other than bytes and for several ranges.
    Raises :class:`NotSatisfiable` for a range that has no byte in it, and :class:`BadRange` for what has not the form
    of section 14.1.1 and 14.1.2.
    """
    if not values:
        return None
    unit = _UNIT.fullmatch(values[0])
    if unit is None or len(values) > 1:
        raise BadRange
    if unit[1].lower() != "bytes":
        return None
    # Section 5.6.1.2: empty members of a list count for nothing.
    ranges = [_spec(part, size) for part in unit[2].split(",") if part.strip(" \t")]
    if not ranges:
        raise BadRange
    if len(ranges) > 1:
        return None
    if ranges[0] is None:
        raise NotSatisfiable
    return ranges[0]


def _spec(text: str, size: int) -> ByteRange | None:
    """One range; None where it has no byte within ``size``."""
    # Taken apart at the dash: with space on both sides of a number that may be missing, one expression for all of it
    # takes the square of the spaces' number to fail.
    first, dash, last = (part.strip(" \t") for part in text.partition("-"))
    if not dash or not (first or last) or not (_NUMBER.fullmatch(first) and _NUMBER.fullmatch(last)):
        raise BadRange
    if not first:
        length = min(_number(last), size)
        return ByteRange(size - length, length) if length else None
    start = _number(first)
    end = _number(last) if last else size - 1
    if last and end < start:
        raise BadRange
    return ByteRange(start, min(end, size - 1) - start + 1) if start < size else None


def _number(digits: str) -> int:
    found = digits.lstrip("0")
    return int(found or "0") if len(found) <= _DIGITS else 10**_DIGITS
