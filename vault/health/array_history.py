"""When each array was first seen and last checked through: told by pools and file systems, looked on elsewhere.

md and LVM tell that a check is under way and not when the last one was. The daemon looks once a minute (LVM: as often
as the helper does), and a check takes hours, so its end is seen. ZFS and btrfs keep the end of their last scrub
themselves, until the next begins or nobody asks; here it is remembered.
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
_LOOKED_ON: Final = frozenset({"md", "lvm"})
"""Kinds of arrays whose checks can only be seen while they go on."""


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
        known = array.name in before
        past = before.get(array.name, Past(now))
        checking = array.state is ArrayState.CHECKING
        if array.kind in _LOOKED_ON:
            ended = past.checking and array.state is ArrayState.WELL
            if array.state is ArrayState.UNKNOWN:
                checking = past.checking
            found[array.name] = replace(past, checked_at=now if ended else past.checked_at, checking=checking)
        elif array.checks_known or known:
            found[array.name] = replace(past, checked_at=array.checked_at or past.checked_at, checking=checking)
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
