"""The health of a volume: that of what it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hardware.blocks import Block
from hardware.places import is_same_device
from hardware.smart.facts import NOBODY, Identity
from hardware.stack import Stack
from vault.device_model import Disk, Health
from vault.health.disks import explained

_NOBODY_KNOWN: Final[Mapping[str, Identity]] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that bears on a volume: ``health`` is what it alone would make of it."""

    health: Health
    text: str


@dataclass(frozen=True, slots=True)
class Footing:
    """What a volume stands on, and what is thought of that. ``disks`` are those that are known by what they told."""

    stack: Stack
    disks: tuple[Disk, ...]
    health: Health
    reason: str


def footing(
    stack: Stack,
    known: Iterable[Disk],
    more: Iterable[Finding] = (),
    kernel: Mapping[str, Identity] = _NOBODY_KNOWN,
) -> Footing:
    """Join what a path stands on with what is known of the disks. ``more`` is what is known of arrays and mounts;
    ``kernel`` is whom the kernel takes each disk for, by key, where a report told it: behind a USB bridge the bridge,
    or nobody.

    The worst decides. A disk below of which nothing is known makes it unknown; and so it is for a volume on a server,
    whose disks nobody here can see.
    """
    everyone = list(known)
    by_name = _by_name(everyone, kernel)
    mine, unknown = [], []
    for block in stack.disks:
        disk = _match(block, by_name) or _nameless(block, everyone, kernel)
        if disk is None:
            unknown.append(block)
        elif disk not in mine:
            mine.append(disk)
    findings = list(more)
    for disk in mine:
        if disk.health is not Health.HEALTHY:
            text = f"The disk {disk.key} ({disk.model}) is {disk.health}: {explained(disk)}"
            findings.append(Finding(disk.health, text))
    if unknown and mine:
        listed = ", ".join(block.key or block.name for block in unknown)
        findings.append(Finding(Health.UNKNOWN, f"Of the disk {listed} nothing is known."))
    findings.sort(key=lambda finding: -finding.health.rank)
    worst = findings[0].health if findings else Health.HEALTHY
    if not mine and worst is Health.HEALTHY:  # nothing speaks for it
        worst = Health.UNKNOWN
    return Footing(stack, tuple(mine), worst, " ".join(finding.text for finding in findings)[:2000])


def _by_name(known: Iterable[Disk], kernel: Mapping[str, Identity]) -> Mapping[str, Disk]:
    found: dict[str, Disk] = {}
    for disk in known:
        taken_for = kernel.get(disk.key, NOBODY)
        for name in {disk.wwn, disk.serial, disk.key, taken_for.serial, taken_for.wwn}:
            if name and disk.present:
                # Two disks with one serial number: either may be meant, so it is taken for the worse.
                other = found.get(_plain(name))
                if other is None or other.health.rank < disk.health.rank:
                    found[_plain(name)] = disk
    return found


def _nameless(block: Block, known: Iterable[Disk], kernel: Mapping[str, Identity]) -> Disk | None:
    """The disk in that place, where the kernel has no name for it, and had none in the report: that is of now."""
    if block.key:
        return None
    there = (disk for disk in known if disk.present and not kernel.get(disk.key, _named_itself(disk)).known)
    return next((disk for disk in there if is_same_device(disk.device, block.name)), None)


def _named_itself(disk: Disk) -> Identity:
    return Identity(disk.serial or disk.wwn, disk.serial, disk.wwn, disk.model, "")


def _match(block: Block, by_name: Mapping[str, Disk]) -> Disk | None:
    return next((by_name[_plain(name)] for name in (block.wwn, block.serial) if name and _plain(name) in by_name), None)


def _plain(name: str) -> str:
    """Serial numbers are written with spaces or underscores, in either case, by one program and another."""
    return "".join(character for character in name.casefold() if character.isalnum())
