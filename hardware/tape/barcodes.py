"""Barcodes of LTO cartridges: Code 39 labels of six characters and a media identifier of two (``VLT001L8``).

Source: *LTO Ultrium Cartridge Label Specification* (the first six characters any of A–Z and 0–9, the last two the media
identifier), and the lists of identifiers that drive makers publish for WORM and cleaning cartridges.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from hardware.errors import Refused
from hardware.tape.generation import Generation


class Kind(enum.Enum):
    """What a label says that a cartridge is for."""

    DATA = "data"
    WORM = "write once"
    CLEANING = "cleaning"


@dataclass(frozen=True, slots=True)
class Barcode:
    """A label that follows the rules. ``generation`` is None for cleaning cartridges, which fit every drive."""

    text: str
    kind: Kind
    generation: Generation | None

    @property
    def serial(self) -> str:
        """The six characters before the media identifier, as they stand in an LTFS volume label."""
        return self.text[:6]

    @property
    def media_identifier(self) -> str:
        """The last two characters."""
        return self.text[6:]

    def __str__(self) -> str:
        return self.text


_DATA: Final = {
    "L1": Generation.LTO1,
    "L2": Generation.LTO2,
    "L3": Generation.LTO3,
    "L4": Generation.LTO4,
    "L5": Generation.LTO5,
    "L6": Generation.LTO6,
    "L7": Generation.LTO7,
    "M8": Generation.M8,
    "L8": Generation.LTO8,
    "L9": Generation.LTO9,
    "LA": Generation.LTO10,
}
_WORM: Final = {
    "LT": Generation.LTO3,
    "LU": Generation.LTO4,
    "LV": Generation.LTO5,
    "LW": Generation.LTO6,
    "LX": Generation.LTO7,
    "LY": Generation.LTO8,
    "LZ": Generation.LTO9,
}
_CLEANING: Final = "CLN"
_UNIVERSAL: Final = "CU"
_LENGTH: Final = 8
_CODE_39: Final = re.compile(r"[A-Z0-9]*", re.ASCII)
_LABEL: Final = "A label has six characters and a media identifier of two, as in VLT001L8."


def parse(text: str) -> Barcode:
    """The barcode in ``text``, exactly as it was scanned or typed. Raises ``Refused`` with the rule that it breaks."""
    if problem := check(text):
        raise Refused(problem, remedy="Read the label again, or put a label on the cartridge that follows the rule.")
    identifier = text[6:]
    if text.startswith(_CLEANING):
        return Barcode(text, Kind.CLEANING, None)
    if identifier in _WORM:
        return Barcode(text, Kind.WORM, _WORM[identifier])
    return Barcode(text, Kind.DATA, _DATA[identifier])


def check(text: str) -> str:
    """Which rule a barcode breaks, in a sentence; empty where it breaks none."""
    if not text:
        return f"The barcode is empty. {_LABEL}"
    if text != text.strip():
        return f"The barcode {_shown(text)} has spaces around it. {_LABEL}"
    if not _CODE_39.fullmatch(text):
        small = text.isascii() and _CODE_39.fullmatch(text.upper())
        what = "small letters; a label has capitals only" if small else "characters other than A to Z and 0 to 9"
        return f"The barcode {_shown(text)} has {what}. {_LABEL}"
    if len(text) != _LENGTH:
        what = "no media identifier (L8 for LTO-8 and so on)" if len(text) == 6 else f"{len(text)} characters"
        return f"The barcode {_shown(text)} has {what}. {_LABEL}"
    return _check_identifier(text)


def _check_identifier(text: str) -> str:
    identifier = text[6:]
    if text.startswith(_CLEANING):
        if identifier in _DATA or identifier == _UNIVERSAL:
            return ""
        return f"The cleaning cartridge {text} ends in {identifier}; CU, or L1 and its like, are expected."
    if identifier == _UNIVERSAL:
        return f"The barcode {text} ends as a cleaning cartridge does, but does not begin with {_CLEANING}."
    if identifier in _DATA or identifier in _WORM:
        return ""
    known = ", ".join((*_DATA, *_WORM))
    return f"The barcode {text} ends in {identifier}, which is no known media identifier ({known})."


def is_cleaning(text: str) -> bool:
    """Whether a label, even one that breaks a rule or was cut short by the library, is that of a cleaning cartridge.

    Asked before anything is loaded as data: where a label is doubtful, cleaning is what must not be missed.
    """
    return text.strip().upper().startswith(_CLEANING) or (len(text) == _LENGTH and text.endswith(_UNIVERSAL))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
