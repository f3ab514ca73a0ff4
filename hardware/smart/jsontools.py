"""Getting plain values out of JSON that may be anything: what is not of the expected kind and range is None."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

Json = Mapping[str, object]

EMPTY: Final[Json] = {}
MOST_BYTES: Final = 4 << 20
"""An answer of smartctl with everything in it is some 100 KiB."""

_MOST_TEXT: Final = 200
_MOST_DIGITS: Final = 20
_MOST: Final = (1 << 63) - 1
_LAST_YEAR: Final = 9000


def load(data: bytes | str, most: int = MOST_BYTES) -> Json | None:
    """The JSON object in ``data``, or None where there is none. Numbers that no counter can have are null in it."""
    if len(data) > most:
        return None
    try:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        found: object = json.loads(text, parse_int=_parsed_int, parse_float=_parsed_float, parse_constant=_nothing)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def inner(parent: Json, *names: str) -> Json:
    """The object at that path; an empty one where there is none."""
    for name in names:
        child = parent.get(name)
        if not isinstance(child, dict):
            return EMPTY
        parent = child
    return parent


def items(parent: Json, name: str, most: int = 512) -> Iterator[Json]:
    """The objects in the list of that name, not more than ``most`` of them."""
    found = parent.get(name)
    if isinstance(found, list):
        for item in found[:most]:
            if isinstance(item, dict):
                yield item


def number(parent: Json, name: str, least: int = 0, most: int = _MOST) -> int | None:
    """The whole number of that name, where it is one and lies within the bounds."""
    found = parent.get(name)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        return None
    return found


def misread(parent: Json, name: str, least: int = 0, most: int = _MOST) -> bool:
    """Whether something stands under that name that is no whole number within the bounds, so that it is not known what
    was said; false where nothing was."""
    return name in parent and number(parent, name, least, most) is None


def misplaced(parent: Json, name: str) -> bool:
    """Whether something stands under that name that is no object."""
    return name in parent and not isinstance(parent[name], dict)


def misshapen(parent: Json, name: str, *, gaps: bool = False) -> bool:
    """Whether something stands under that name that is no list of objects; with ``gaps``, some may be null."""
    found = parent.get(name, [])
    return not isinstance(found, list) or not all(isinstance(i, dict) or (gaps and i is None) for i in found)


def flag(parent: Json, name: str) -> bool | None:
    """The truth value of that name, where it is one."""
    found = parent.get(name)
    return found if isinstance(found, bool) else None


def text(parent: Json, name: str, most: int = _MOST_TEXT) -> str:
    """The text of that name, in one line of printable characters; "" where it is none."""
    found = parent.get(name)
    return clean(found, most) if isinstance(found, str) else ""


def moment(parent: Json, name: str) -> datetime | None:
    """The time of that name, in UTC; None for one without a zone, and for years in which nothing was told."""
    try:
        found = datetime.fromisoformat(text(parent, name, 40))
        return found.astimezone(UTC) if found.tzinfo is not None and 1970 <= found.year < _LAST_YEAR else None
    except (ValueError, OverflowError):
        return None


def clean(found: str, most: int = _MOST_TEXT) -> str:
    """One line of printable characters, single-spaced, not longer than ``most``."""
    printable = "".join(character if character.isprintable() else " " for character in found[: 4 * most])
    return " ".join(printable.split())[:most]


def _parsed_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _parsed_float(digits: str) -> float | None:
    return float(digits) if len(digits) <= 64 else None


def _nothing(_name: str) -> None:
    return None
