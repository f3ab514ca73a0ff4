"""Raw values of ATA attributes, which are 48 bits and the vendor's own affair.

Most hold one counter. Seagate packs several into one field: in 188 (command timeouts) three 16-bit counters, in 1, 7
and 195 a 16-bit count of errors above a 32-bit count of operations. Taken as one number, 51540393996 command timeouts
are an alarm; they are 12, 12 and 12.
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = 0xFFFF
_MOST: Final = 0xFFFFFFFFFFFF
_PLAUSIBLE: Final = 0xFFFFFFFF
_LEADING: Final = re.compile(r"\s*([0-9]{1,10})\b")
_WITH_WORDS: Final = re.compile(r"\s*([0-9]{1,5}) \(([0-9]{1,5}) ([0-9]{1,5})\)\s*\Z")
_OF_OPERATIONS: Final = re.compile(r"\s*([0-9]{1,10})/([0-9]{1,10})\s*\Z")

TIMEOUTS: Final = 188
RATES: Final = frozenset({1, 7, 195})
"""Attributes in which Seagate counts operations below the errors; on other drives they are vendor-specific as well."""


def words(raw: int) -> tuple[int, int, int]:
    """Split 48 bits into three counters of 16, the lowest first."""
    return raw & _WORD, raw >> 16 & _WORD, raw >> 32 & _WORD


def errors_and_operations(raw: int) -> tuple[int, int]:
    """Split a Seagate error rate (1, 7, 195) into errors and operations."""
    return raw >> 32 & _WORD, raw & 0xFFFFFFFF


def count(attribute: int, raw: int | None, text: str) -> int | None:
    """The counter in a raw value that counts events; None where it cannot be one.

    A value of all ones, as drives give for "not counted", and one beyond 32 bits that is not a known packing are no
    counters. ``text`` is smartctl's own reading of it, which knows packings that are in its drive database.
    """
    if raw is None or raw < 0 or raw >= _MOST:
        return None
    if attribute == TIMEOUTS and raw > _WORD:
        return max(words(raw))
    known = _packed(raw, text)
    if known is not None:
        return known
    if raw < _PLAUSIBLE:
        return raw
    leading = _LEADING.match(text)
    if leading and int(leading[1]) < _PLAUSIBLE and int(leading[1]) != raw:
        return int(leading[1])
    return None


def _packed(raw: int, text: str) -> int | None:
    """The counter in smartctl's formats ``raw16(raw16)``, "8 (0 3)", and ``raw24/raw32``, "0/1234" (smartctl(8), option
    -v); None where the text is of neither, or is not that of this value."""
    if found := _WITH_WORDS.match(text):
        low, high, middle = int(found[1]), int(found[2]), int(found[3])
        return low if words(raw) == (low, middle, high) else None
    if found := _OF_OPERATIONS.match(text):
        errors, operations = int(found[1]), int(found[2])
        return errors if raw in (errors << 32 | operations, errors << 24 | operations) else None
    return None
