"""Cleaning: when a drive asks for it, with which cartridge, and how often that cartridge can be used."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from hardware.errors import Refused
from hardware.tape.barcodes import is_cleaning
from hardware.tape.tapealert import Flag

CLEANING_USES: Final = 50
"""How often an LTO Ultrium universal cleaning cartridge cleans; counted by its memory, and by us."""


class Cleaning(enum.Enum):
    """Whether a drive wants cleaning."""

    NO = "no"
    SOON = "when the session has ended"
    NOW = "before anything else is read or written"


def should_clean(flags: Iterable[Flag]) -> Cleaning:
    """What a set of TapeAlert flags says about cleaning: flag 20 asks for it now, flag 21 soon.

    Flags 22 and 23 (the cleaning cartridge was worn out, or none) mean that a cleaning asked for was not done: now.
    """
    flags = set(flags)
    if flags & {Flag.CLEAN_NOW, Flag.EXPIRED_CLEANING_MEDIUM, Flag.INVALID_CLEANING_MEDIUM}:
        return Cleaning.NOW
    return Cleaning.SOON if Flag.CLEAN_PERIODIC in flags else Cleaning.NO


@dataclass(frozen=True, slots=True)
class CleaningCartridge:
    """A cleaning cartridge and how often it was used. ``expired`` as a drive has said (TapeAlert 22)."""

    barcode: str
    uses: int = 0
    expired: bool = False

    def __post_init__(self) -> None:
        if not is_cleaning(self.barcode):
            raise Refused(f"{self.barcode} is not the label of a cleaning cartridge, which begins with CLN.")
        if self.uses < 0:
            raise Refused(f"The cleaning cartridge {self.barcode} cannot have been used {self.uses} times.")

    @property
    def left(self) -> int:
        """How often it can still be used; 0 when worn out."""
        return 0 if self.expired else max(0, CLEANING_USES - self.uses)

    def used(self, flags: Iterable[Flag] = ()) -> CleaningCartridge:
        """The cartridge after one more use, with the flags that the drive raised meanwhile."""
        return replace(self, uses=self.uses + 1, expired=self.expired or Flag.EXPIRED_CLEANING_MEDIUM in set(flags))


def choose(cartridges: Iterable[CleaningCartridge]) -> CleaningCartridge:
    """The cartridge to clean with: the one that has the fewest uses left, so that they are used up one by one.

    Raises ``Refused`` where there is none or all are worn out.
    """
    usable = sorted((cartridge for cartridge in cartridges if cartridge.left), key=lambda found: found.left)
    if not usable:
        raise Refused(
            "There is no cleaning cartridge with uses left.",
            remedy="Put a new one (label CLN…CU or CLN…L1) into a slot; an LTO cleaning cartridge lasts for 50 uses.",
        )
    return usable[0]
