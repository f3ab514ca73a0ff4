"""Which disk is which: the key under which a disk that was just heard of is remembered.

A serial number is a name where it is one disk's alone. Two disks that give the same (bridges, batches with a firmware
that was never given one) are told apart by their World Wide Name, else by model; where even that is the same, and for a
disk that gives no name at all, what is left is the place where it is plugged in. In a place another disk may be
tomorrow, so no history is kept by it: what it told yesterday is not held against what the next one tells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hardware.places import place
from hardware.smart.facts import DiskFacts, Identity, Reading
from hardware.smart.reasons import Code, Reason, Verdict
from vault.device_model import Disk


@dataclass(frozen=True, slots=True)
class Named:
    """What was heard of a disk, the key that it is known by, and what is remembered under that. ``remarks`` say what is
    odd about its name; ``lasting`` whether days may be compared under it."""

    facts: DiskFacts
    key: str
    before: Disk | None
    remarks: tuple[Reason, ...] = ()
    lasting: bool = True


def named(found: Iterable[DiskFacts], known: Mapping[str, Disk], where: Callable[[str], str] = place) -> list[Named]:
    """Give every disk of a report its key, each another. ``known`` are the remembered ones, by key; ``where`` tells the
    place of a device."""
    everyone = list(found)
    groups: dict[str, list[DiskFacts]] = {}
    for facts in everyone:
        groups.setdefault(_name(facts.identity), []).append(facts)
    remembered: dict[str, list[Disk]] = {}
    for disk in known.values():
        remembered.setdefault(disk.serial or disk.wwn, []).append(disk)
    taken: set[str] = set()
    made = []
    for facts in everyone:
        name = _name(facts.identity)
        others = [other for other in groups[name] if other is not facts] if name else []
        if name and not any(_are_alike(facts, other) for other in others):
            one = _by_name(facts, others, remembered.get(name, ()), known, taken)
        else:
            one = _by_place(facts, others, known, taken, where(facts.device))
        taken.add(one.key)
        made.append(one)
    return made


def _by_name(
    facts: DiskFacts,
    others: Sequence[DiskFacts],
    remembered: Iterable[Disk],
    known: Mapping[str, Disk],
    taken: Collection[str],
) -> Named:
    who = facts.identity
    name = _name(who)
    remarks = (_same_name(others, Verdict.HEALTHY),) if others else ()
    mine = [d for d in remembered if d.key not in taken and _is_lasting(d.key, name) and _is(d, facts)]
    # Before any other, the one that has told the same World Wide Name, and the one that is still there.
    mine.sort(key=lambda disk: (disk.wwn != who.wwn, not disk.present, disk.key != who.key))
    if mine:
        return Named(facts, mine[0].key, mine[0], remarks)
    if who.key not in known and who.key not in taken:
        return Named(facts, who.key, None, remarks)
    key = _free(f"{name} {who.wwn or who.model}".strip(), facts.device, taken)
    return Named(facts, key, known.get(key), remarks)


def _by_place(
    facts: DiskFacts, others: Sequence[DiskFacts], known: Mapping[str, Disk], taken: Collection[str], spot: str
) -> Named:
    name = _name(facts.identity)
    key = _free(f"{name} at {spot}".strip(), facts.device, taken)
    before = known.get(key)
    if before is not None and not _agree(before.model, facts.identity.model):
        before = None  # another disk is plugged in there
    remark = _same_name(others, Verdict.UNKNOWN) if name else Reason(Code.NAMELESS, Verdict.HEALTHY)
    return Named(facts, key, before, (remark,), lasting=False)


def _is_lasting(key: str, name: str) -> bool:
    return not key.startswith(f"{name} at ")


def _free(key: str, device: str, taken: Collection[str]) -> str:
    return key if key not in taken else f"{key} {device.removeprefix('/dev/').replace('/', ' ')}"


def _name(who: Identity) -> str:
    return who.serial or who.wwn


def _is(disk: Disk, facts: DiskFacts) -> bool:
    """Whether a remembered disk of the same name is this one."""
    who = facts.identity
    if disk.wwn and who.wwn:
        return disk.wwn == who.wwn
    # Of a disk that did not answer the model is the kernel's, or that of the bridge before it.
    return facts.reading is not Reading.READ or _agree(disk.model, who.model)


def _are_alike(facts: DiskFacts, other: DiskFacts) -> bool:
    """Whether nothing tells two disks of one serial number apart."""
    if facts.identity.wwn:
        return False
    return _agree(facts.identity.model, other.identity.model)


def _agree(model: str, other: str) -> bool:
    """Whether two models may be one: the kernel cuts them at 16 characters, and leaves out the vendor."""
    one, two = _plain(model), _plain(other)
    return one in two or two in one


def _plain(model: str) -> str:
    return "".join(character for character in model.casefold() if character.isalnum())


def _same_name(others: Iterable[DiskFacts], verdict: Verdict) -> Reason:
    listed = ", ".join(f"{other.identity.model} ({other.device})".strip() for other in others)
    return Reason(Code.SAME_NAME, verdict, {"detail": listed[:200]})
