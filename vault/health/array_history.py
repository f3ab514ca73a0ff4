"""When each array was first seen and last checked through, which the kernel does not remember: it is looked on.

md tells that a check is under way and not when the last one was. The daemon looks once a minute, and a check takes
hours, so its end is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hardware.arrays import Array, ArrayState
from vault.catalog import facts
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.model import Json

_FACT: Final = "array-history"
CHECKED: Final = frozenset({"md"})
"""Kinds of arrays whose checks can be seen."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was seen of an array: since when it is known, when a check of it last ended, whether one is under way."""

    first_seen: datetime
    checked_at: datetime | None = None
    checking: bool = False


def seen(before: Mapping[str, Past], arrays: Iterable[Array], now: datetime) -> dict[str, Past]:
    """The past with what is seen now. An array that is gone is forgotten; a check that ends in trouble is none."""
    found = {}
    for array in arrays:
        if array.kind not in CHECKED:
            continue
        past = before.get(array.name, Past(now))
        ended = past.checking and array.state is ArrayState.WELL
        checking = array.state is ArrayState.CHECKING
        found[array.name] = replace(past, checked_at=now if ended else past.checked_at, checking=checking)
    return found


def read(tx: Tx) -> dict[str, Past]:
    """What is remembered, by the array's name."""
    kept = facts.get(tx, _FACT)
    if not isinstance(kept, dict):
        return {}
    found = {}
    for name, one in kept.items():
        first = one.get("first_seen") if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(first, str):
            checked = one.get("checked_at")
            at = from_text(checked) if isinstance(checked, str) else None
            found[name] = Past(from_text(first), at, one.get("checking") is True)
    return found


def write(tx: Tx, past: Mapping[str, Past]) -> None:
    """Remember it."""
    kept: dict[str, Json] = {
        name: {
            "first_seen": to_text(one.first_seen),
            "checked_at": None if one.checked_at is None else to_text(one.checked_at),
            "checking": one.checking,
        }
        for name, one in past.items()
    }
    facts.put(tx, _FACT, kept)
