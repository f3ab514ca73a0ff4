"""LTO generations: what a cartridge holds, how fast it is, and which drive reads or writes which cartridge.

Source: the specifications that the LTO programme publishes for each generation. Capacities and speeds are native
(without compression), in decimal units. Which drives take which cartridges is a rule up to generation 7 (read two back,
write one back) and a list from 8 on.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final


class Generation(enum.Enum):
    """A generation of cartridges; of drives, too, but for M8, which is a cartridge only."""

    LTO1 = "LTO-1"
    LTO2 = "LTO-2"
    LTO3 = "LTO-3"
    LTO4 = "LTO-4"
    LTO5 = "LTO-5"
    LTO6 = "LTO-6"
    LTO7 = "LTO-7"
    M8 = "LTO-7 type M"
    LTO8 = "LTO-8"
    LTO9 = "LTO-9"
    LTO10 = "LTO-10"

    @property
    def native_bytes(self) -> int:
        """What a cartridge holds without compression, in bytes, before partitions and filemarks take their share."""
        return _FACTS[self][0] * 10**9

    @property
    def native_speed(self) -> int:
        """What a full-height drive of this generation writes without compression, in bytes a second."""
        return _FACTS[self][1] * 10**6

    @property
    def partitions(self) -> bool:
        """Whether a cartridge can be divided in two, as LTFS needs it (from LTO-5 on)."""
        return self not in _UNDIVIDED

    def __str__(self) -> str:
        return self.value


_FACTS: Final = {
    # capacity in GB, speed in MB/s
    Generation.LTO1: (100, 20),
    Generation.LTO2: (200, 40),
    Generation.LTO3: (400, 80),
    Generation.LTO4: (800, 120),
    Generation.LTO5: (1500, 140),
    Generation.LTO6: (2500, 160),
    Generation.LTO7: (6000, 300),
    Generation.M8: (9000, 300),
    Generation.LTO8: (12000, 360),
    Generation.LTO9: (18000, 400),
    Generation.LTO10: (30000, 400),
}
_UNDIVIDED: Final = frozenset({Generation.LTO1, Generation.LTO2, Generation.LTO3, Generation.LTO4})

# The rule up to generation 7; from 8 on every pair is listed.
_BY_RULE: Final = (
    Generation.LTO1,
    Generation.LTO2,
    Generation.LTO3,
    Generation.LTO4,
    Generation.LTO5,
    Generation.LTO6,
    Generation.LTO7,
)
_WRITES: Final = {
    Generation.LTO8: frozenset({Generation.LTO8, Generation.LTO7, Generation.M8}),
    Generation.LTO9: frozenset({Generation.LTO9, Generation.LTO8}),
    Generation.LTO10: frozenset({Generation.LTO10}),
}


class Mode(enum.Enum):
    """What a drive can do with a cartridge."""

    READ_WRITE = "reads and writes"
    READ_ONLY = "reads only"
    NONE = "takes not"


@dataclass(frozen=True, slots=True)
class Access:
    """What a drive can do with a cartridge, and why not more."""

    mode: Mode
    reason: str

    @property
    def reads(self) -> bool:
        """Whether it can be read."""
        return self.mode is not Mode.NONE

    @property
    def writes(self) -> bool:
        """Whether it can be written."""
        return self.mode is Mode.READ_WRITE


def can(drive: Generation, cartridge: Generation) -> Access:
    """What a drive of one generation can do with a cartridge of another; WORM cartridges follow the same table."""
    if drive is Generation.M8:
        return Access(Mode.NONE, "Type M is a format of cartridges; there are no drives of it.")
    writes, reads = _fits(drive)
    if cartridge in writes:
        return Access(Mode.READ_WRITE, f"An {drive} drive writes {cartridge} cartridges.")
    if cartridge in reads:
        return Access(
            Mode.READ_ONLY, f"An {drive} drive only reads {cartridge} cartridges; to write, use an {cartridge} drive."
        )
    if cartridge is Generation.M8:
        return Access(Mode.NONE, f"Only LTO-8 drives take {cartridge} cartridges; this is an {drive} drive.")
    age = "newer than" if _order(cartridge) > _order(drive) else "too old for"
    return Access(Mode.NONE, f"An {cartridge} cartridge is {age} an {drive} drive.")


def _fits(drive: Generation) -> tuple[frozenset[Generation], frozenset[Generation]]:
    """Cartridges that a drive writes, and those it reads."""
    if drive in _WRITES:
        return _WRITES[drive], _WRITES[drive]
    number = _BY_RULE.index(drive)
    return (
        frozenset(_BY_RULE[max(0, number - 1) : number + 1]),
        frozenset(_BY_RULE[max(0, number - 2) : number + 1]),
    )


def _order(generation: Generation) -> int:
    return list(Generation).index(generation)


# ULTRIUM-HH8, ULT3580-TD9, ULTRIUM-TD5 (IBM); "Ultrium 8-SCSI" (HP, HPE); "LTO-9 HH", "ULTRIUM 7" (Quantum, Tandberg).
_PRODUCT: Final = re.compile(
    r"(?:TD|HH|HF)([0-9]{1,2})\b|ULTRIUM[- ]([0-9]{1,2})\b|\bLTO[- ]?([0-9]{1,2})\b", re.IGNORECASE | re.ASCII
)


def of_drive(product: str) -> Generation | None:
    """The generation of a drive by the product name of its INQUIRY data; None where it does not tell."""
    found = _PRODUCT.search(product)
    if found is None:
        return None
    number = next(group for group in found.groups() if group)
    return next((generation for generation in Generation if generation.value == f"LTO-{int(number)}"), None)


_DENSITIES: Final = {
    0x40: Generation.LTO1,
    0x42: Generation.LTO2,
    0x44: Generation.LTO3,
    0x46: Generation.LTO4,
    0x58: Generation.LTO5,
    0x5A: Generation.LTO6,
    0x5C: Generation.LTO7,
    0x5D: Generation.M8,
    0x5E: Generation.LTO8,
    0x60: Generation.LTO9,
}


def of_density(code: int) -> Generation | None:
    """The generation of a loaded cartridge by its density code (MODE SENSE block descriptor); None if unknown."""
    return _DENSITIES.get(code)
