"""Which bytes of a file a ``Range`` header asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(
    r"[ \t]*bytes[ \t]*=[ \t]*(?:([0-9]{1,20})[ \t]*-[ \t]*([0-9]{0,20})|-[ \t]*([0-9]{1,20}))[ \t]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file: ``length`` bytes from ``start``, both within the file."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The ``Content-Range`` that goes with it."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class NotSatisfiable(Exception):
    """The range lies behind the end of the file."""


def parse_range(value: str | None, size: int) -> ByteRange | None:
    """Return the one range that is asked for in a file of ``size`` bytes, None where the whole is to be served.

    The whole is served, as RFC 9110 allows, for units that are not bytes, for what cannot be read, and for several
    ranges. Raises :class:`NotSatisfiable` for a range that has no byte in the file.
    """
    found = _RANGE.fullmatch(value) if value is not None else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        if length == 0:
            raise NotSatisfiable
        return ByteRange(size - length, length)
    start = int(first)
    end = int(last) if last else size - 1
    if last and end < start:
        # Section 14.1.1: such a range is not valid, and an invalid one is passed over.
        return None
    if start >= size:
        raise NotSatisfiable
    return ByteRange(start, min(end, size - 1) - start + 1)
