"""When each array was first seen and last checked through: told by pools and file systems, looked on elsewhere.

md and LVM tell that a check is under way and not when the last one was. The daemon looks once a minute (LVM: as often
as the helper does), and a check takes hours, so its end is seen. Of md only a pass that reached its end counts, in one
go or in parts that follow on one another (as mdcheck does it, some hours each night): the kernel says where it was
broken off. LVM does not; there it is reckoned whether a check can have come to its end. An md array that is so small
that a check is through between two looks is left out: nobody could say when it was. ZFS and btrfs keep the end of their
last scrub themselves, until the next begins or nobody asks; here it is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from hardware.arrays import Array, ArrayState
from vault.catalog import facts
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.model import Json

_FACT: Final = "array-history"
_SMALL: Final = 16 << 30
"""Bytes of a member. More takes longer than a minute at the speed that the kernel checks with at most (200 MB/s)."""

_LOOKS: Final = timedelta(minutes=15)
"""So often the helper looks."""

_ALMOST: Final = 0.9

_CHECKS: Final = frozenset({"check", "repair"})
"""Actions of md that read all of every member."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was seen of an array: since when it is known, when a check of it last ended, whether one is under way.

    Of md: the sector at which the one under way began, whether it was seen to get on, and the sector up to which
    earlier parts of it got; its UUID, for after a restart md126 may be what was md127 (the others are named by what
    stays). Of LVM: how far the one under way was (0 to 1) and when that was seen first, and how much of it is done in a
    second.
    """

    first_seen: datetime
    checked_at: datetime | None = None
    checking: bool = False
    began: int = 0
    moved: bool = False
    reached: int = 0
    part: float = 0.0
    part_at: datetime | None = None
    speed: float = 0.0
    uuid: str = ""


def seen(before: Mapping[str, Past], arrays: Iterable[Array], now: datetime) -> dict[str, Past]:
    """The past with what is seen now. An array that is gone is forgotten; a check that ends in trouble is none."""
    found = {}
    by_uuid = {past.uuid: past for past in before.values() if past.uuid}
    for array in arrays:
        known = array.name in before
        past = _before(array, before, by_uuid) or Past(now)
        past = replace(past, uuid=array.uuid or past.uuid)
        checking = array.state is ArrayState.CHECKING
        if not array.can_be_checked or (array.member_bytes is not None and array.member_bytes < _SMALL):
            continue
        if array.kind == "md":
            found[array.name] = _md(past, array, now)
        elif array.kind == "lvm":
            found[array.name] = _lvm(past, array, now)
        elif array.checks_known or known:
            found[array.name] = replace(past, checked_at=array.checked_at or past.checked_at, checking=checking)
    return found


def _before(array: Array, by_name: Mapping[str, Past], by_uuid: Mapping[str, Past]) -> Past | None:
    """The past of this array, and not of another that had its name."""
    past = by_name.get(array.name)
    if not array.uuid or (past is not None and not past.uuid):
        return past
    return by_uuid.get(array.uuid)


def _lvm(past: Past, array: Array, now: datetime) -> Past:
    """Nothing tells whether a check was broken off: it counts where it can have come to its end by now."""
    if array.state is ArrayState.UNKNOWN:
        return past
    if array.state is ArrayState.CHECKING:
        part = array.done or 0.0
        if not past.checking or past.part_at is None:
            return replace(past, checking=True, part=part, part_at=now, speed=part / _LOOKS.total_seconds())
        if part == past.part or now <= past.part_at:
            return past  # the helper did not look again
        speed = max(0.0, part - past.part) / (now - past.part_at).total_seconds()
        return replace(past, part=part, part_at=now, speed=speed)
    if not past.checking:
        return past
    gone_by = (now - past.part_at).total_seconds() if past.part_at else 0.0
    through = array.state is ArrayState.WELL and past.part + past.speed * gone_by >= _ALMOST
    return replace(past, checking=False, checked_at=now if through else past.checked_at)


def _md(past: Past, array: Array, now: datetime) -> Past:
    if array.state is ArrayState.UNKNOWN:
        return past
    if array.state is ArrayState.CHECKING:
        if not past.checking:
            past = replace(past, checking=True, began=array.check_from or 0, moved=False)
        return replace(past, moved=past.moved or bool(array.done))
    if not past.checking:
        return past
    past = replace(past, checking=False)
    if array.state is not ArrayState.WELL or array.last_action not in _CHECKS or array.check_from is None:
        return past  # in trouble, or assembled anew since
    follows_on = past.began <= past.reached
    if array.check_from:
        return replace(past, reached=max(past.reached, array.check_from)) if follows_on else past
    # One that is broken off before it is seen to get on is set back to where it began, as if it had reached the end.
    through = follows_on and (past.moved or past.began > 0)
    return replace(past, checked_at=now, reached=0) if through else past


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
            began, reached, seen_at = one.get("began"), one.get("reached"), one.get("part_at")
            part, speed, uuid = one.get("part"), one.get("speed"), one.get("uuid")
            found[name] = Past(
                from_text(first),
                at,
                one.get("checking") is True,
                began if isinstance(began, int) else 0,
                one.get("moved") is True,
                reached if isinstance(reached, int) else 0,
                float(part) if isinstance(part, int | float) else 0.0,
                from_text(seen_at) if isinstance(seen_at, str) else None,
                float(speed) if isinstance(speed, int | float) else 0.0,
                uuid if isinstance(uuid, str) else "",
            )
    return found


def write(tx: Tx, past: Mapping[str, Past]) -> None:
    """Remember it."""
    kept: dict[str, Json] = {
        name: {
            "first_seen": to_text(one.first_seen),
            "checked_at": None if one.checked_at is None else to_text(one.checked_at),
            "checking": one.checking,
            "began": one.began,
            "moved": one.moved,
            "reached": one.reached,
            "part": one.part,
            "part_at": None if one.part_at is None else to_text(one.part_at),
            "speed": one.speed,
            "uuid": one.uuid,
        }
        for name, one in past.items()
    }
    facts.put(tx, _FACT, kept)
