"""Sense data: why a SCSI command was not simply good, and which error that is.

Source: SPC-4/5 *Sense data* (fixed and descriptor format), *ASC and ASCQ assignments*; SSC for the bits of tapes, SMC
for the codes of changers. Codes of makers (80h and above) are those that several of their manuals agree on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from hardware.errors import (
    Busy,
    Corrupted,
    Full,
    HardwareError,
    MediumChanged,
    Refused,
    Unreachable,
    Unsupported,
)
from hardware.tape.errors import (
    DeviceFault,
    DoorOpen,
    ElementEmpty,
    ElementFull,
    Incompatible,
    InvalidElement,
    NoCartridge,
    NotReady,
    RemovalPrevented,
)


class Key(enum.IntEnum):
    """The sense key: the class of what happened."""

    NO_SENSE = 0
    RECOVERED_ERROR = 1
    NOT_READY = 2
    MEDIUM_ERROR = 3
    HARDWARE_ERROR = 4
    ILLEGAL_REQUEST = 5
    UNIT_ATTENTION = 6
    DATA_PROTECT = 7
    BLANK_CHECK = 8
    VENDOR_SPECIFIC = 9
    COPY_ABORTED = 10
    ABORTED_COMMAND = 11
    RESERVED = 12
    VOLUME_OVERFLOW = 13
    MISCOMPARE = 14
    COMPLETED = 15


@dataclass(frozen=True, slots=True)
class Sense:
    """Sense data, read. ``information`` is the signed residue of a tape command, None where it is not valid."""

    key: Key
    asc: int
    ascq: int
    filemark: bool = False
    end_of_medium: bool = False
    wrong_length: bool = False
    information: int | None = None
    deferred: bool = False

    @property
    def code(self) -> tuple[int, int, int]:
        """Key, ASC and ASCQ."""
        return self.key, self.asc, self.ascq

    def __str__(self) -> str:
        name = self.key.name.lower().replace("_", " ")
        return f"{name}, {self.key:X}/{self.asc:02X}/{self.ascq:02X}{_NAMES.get((self.asc, self.ascq), '')}"


def parse_sense(data: bytes) -> Sense | None:
    """Read sense data of either format. None where there are none, or too few to say anything."""
    if len(data) < 4:
        return None
    code = data[0] & 0x7F
    if code in {0x70, 0x71}:
        return _fixed(data, deferred=code == 0x71)
    if code in {0x72, 0x73}:
        return _descriptors(data, deferred=code == 0x73)
    return None


def _fixed(data: bytes, *, deferred: bool) -> Sense:
    data = data.ljust(18, b"\x00")
    return Sense(
        key=Key(data[2] & 0x0F),
        asc=data[12],
        ascq=data[13],
        filemark=bool(data[2] & 0x80),
        end_of_medium=bool(data[2] & 0x40),
        wrong_length=bool(data[2] & 0x20),
        information=int.from_bytes(data[3:7], "big", signed=True) if data[0] & 0x80 else None,
        deferred=deferred,
    )


def _descriptors(data: bytes, *, deferred: bool) -> Sense:
    flags, information = 0, None
    rest = data[8 : 8 + (data[7] if len(data) > 7 else 0)]
    while len(rest) >= 2:
        kind, length = rest[0], rest[1]
        body = rest[2 : 2 + length]
        if kind == 0x00 and len(body) >= 10 and body[0] & 0x80:
            information = int.from_bytes(body[2:10], "big", signed=True)
            if information > 0x7FFFFFFF and information <= 0xFFFFFFFF:
                # A 32-bit residue that was not extended by its sign.
                information -= 1 << 32
        elif kind == 0x04 and len(body) >= 2:
            flags = body[1]
        rest = rest[2 + length :]
    return Sense(
        key=Key(data[1] & 0x0F),
        asc=data[2],
        ascq=data[3],
        filemark=bool(flags & 0x80),
        end_of_medium=bool(flags & 0x40),
        wrong_length=bool(flags & 0x20),
        information=information,
        deferred=deferred,
    )


_NAMES: Final = {
    (0x00, 0x01): " (filemark)",
    (0x00, 0x02): " (end of medium)",
    (0x00, 0x04): " (beginning of medium)",
    (0x00, 0x05): " (end of data)",
    (0x04, 0x01): " (becoming ready)",
    (0x04, 0x03): " (manual intervention required)",
    (0x04, 0x18): " (a door is open)",
    (0x04, 0x83): " (a door is open)",
    (0x11, 0x00): " (unrecovered read error)",
    (0x15, 0x01): " (mechanical positioning error)",
    (0x20, 0x00): " (invalid command)",
    (0x21, 0x01): " (invalid element address)",
    (0x24, 0x00): " (invalid field in command)",
    (0x28, 0x00): " (the medium may have changed)",
    (0x28, 0x01): " (import or export element accessed)",
    (0x29, 0x00): " (power on or reset)",
    (0x2A, 0x01): " (mode parameters changed)",
    (0x30, 0x00): " (incompatible medium)",
    (0x3A, 0x00): " (medium not present)",
    (0x3B, 0x0D): " (destination element full)",
    (0x3B, 0x0E): " (source element empty)",
    (0x3B, 0x12): " (magazine removed)",
    (0x53, 0x02): " (medium removal prevented)",
}

RESERVED: Final = (
    "Find out which host uses it; one must let go. One that died while ltfs had a volume mounted still holds it: then "
    "switch the drive off and on."
)
"""What to do where another host has reserved a drive. ``ltfs`` does, and the drive remembers it until it is told, or
has no power: a server that takes over the library of a dead one meets that."""
_NO_MEDIUM: Final = 0x3A
_DOOR: Final = "Close the door and insert the magazines; the library then takes inventory by itself."
_WAIT: Final = "Wait until it is ready; its panel says what it does."

_BY_CODE: Final[dict[tuple[int, int], tuple[type[HardwareError], str, str]]] = {
    (0x04, 0x18): (DoorOpen, "A door is open", _DOOR),
    (0x04, 0x83): (DoorOpen, "A door is open", _DOOR),
    (0x3B, 0x11): (DoorOpen, "A magazine cannot be reached", _DOOR),
    (0x3B, 0x12): (DoorOpen, "A magazine is out", _DOOR),
    (0x04, 0x03): (NotReady, "It waits for somebody to help", "Look at its panel; a door may be open."),
    (0x04, 0x12): (NotReady, "It was taken off line", "Set it on line at its panel."),
    (0x04, 0x8D): (NotReady, "Somebody works at its panel", "Leave the menu of its panel."),
    (0x3A, 0x00): (NoCartridge, "There is no cartridge in the drive", "Load one."),
    (0x21, 0x01): (InvalidElement, "There is no such slot or drive", "Take inventory, and name one that is listed."),
    (0x3B, 0x0D): (ElementFull, "There is a cartridge already where one was to be put", "Take inventory again."),
    (0x3B, 0x0E): (ElementEmpty, "There is no cartridge to take", "Take inventory again."),
    (0x14, 0x03): (Corrupted, "The end of the data cannot be found", "Try the cartridge in another drive."),
    (0x53, 0x02): (RemovalPrevented, "A program holds the cartridge in the drive", "End its session first."),
    (0x53, 0x03): (RemovalPrevented, "A program holds the cartridge in the drive", "End its session first."),
    (0x3B, 0x83): (RemovalPrevented, "The drive has not let go of its cartridge", "Have the drive unload it first."),
    (0x30, 0x00): (Incompatible, "Drive and cartridge do not fit each other", "Use another drive for it."),
    (0x30, 0x01): (Incompatible, "The drive does not know the format of the cartridge", "Use another drive for it."),
    (0x30, 0x02): (Incompatible, "The drive does not know the format of the cartridge", "Use another drive for it."),
    (0x30, 0x03): (Incompatible, "A cleaning cartridge is in the drive", "Wait until it is ejected; load another one."),
}

_BY_KEY: Final[dict[Key, tuple[type[HardwareError], str, str]]] = {
    Key.NOT_READY: (NotReady, "It is not ready", _WAIT),
    Key.MEDIUM_ERROR: (Corrupted, "The medium cannot be read", "Try it in another drive before giving it up."),
    Key.HARDWARE_ERROR: (
        DeviceFault,
        "It reports a defect",
        "Look at its panel, and call its maker if this comes back.",
    ),
    Key.ILLEGAL_REQUEST: (Unsupported, "It does not know this command, or not in this state", ""),
    Key.UNIT_ATTENTION: (MediumChanged, "The medium was changed, or it was reset", "Check what is loaded; begin anew."),
    Key.DATA_PROTECT: (Refused, "The medium is write-protected", "Move its tab if it may be written to."),
    Key.BLANK_CHECK: (Corrupted, "The tape is blank where data were expected", "Try the cartridge in another drive."),
    Key.ABORTED_COMMAND: (Unreachable, "It gave the command up", "Check cables and adapter."),
    Key.VOLUME_OVERFLOW: (Full, "The end of the medium was met", "Go on with another cartridge."),
}
_UNSURE: Final[tuple[type[HardwareError], str, str]] = (Unreachable, "It answered with an error", "Look at its panel.")

# Attentions that say something about settings or logs, and nothing about medium or position.
_HARMLESS: Final = frozenset({(0x2A, 0x01), (0x2A, 0x02), (0x2A, 0x03), (0x2A, 0x05), (0x2A, 0x06), (0x2A, 0x10)})
_HARMLESS_ASC: Final = frozenset({0x5B, 0x5D})


def harmless(sense: Sense) -> bool:
    """Whether a unit attention says nothing about medium or position, so that the command may be sent again."""
    return sense.key is Key.UNIT_ATTENTION and (
        (sense.asc, sense.ascq) in _HARMLESS or sense.asc in _HARMLESS_ASC or (sense.asc, sense.ascq) == (0x3F, 0x0E)
    )


def becoming_ready(sense: Sense) -> bool:
    """Whether waiting will help: it starts up, loads, or is busy with itself, and nobody needs to do anything."""
    return sense.key is Key.NOT_READY and sense.asc == 0x04 and sense.ascq in {0x00, 0x01, 0x07}


def error_of(sense: Sense, what: str) -> HardwareError:
    """The error for sense data; ``what`` begins its message (``/dev/sg1``, or what was tried with it)."""
    kind, sentence, remedy = _UNSURE
    code = (sense.asc, 0 if sense.asc == _NO_MEDIUM else sense.ascq)
    if sense.key is not Key.UNIT_ATTENTION and code in _BY_CODE:
        kind, sentence, remedy = _BY_CODE[code]
    elif sense.key in _BY_KEY:
        kind, sentence, remedy = _BY_KEY[sense.key]
    return kind(f"{what}: {sentence[0].lower()}{sentence[1:]} ({sense}).", remedy=remedy)


def reservation_conflict(what: str) -> HardwareError:
    """The error for SCSI status 18h: another host has reserved the device."""
    return Busy(f"{what}: another host has reserved it.", remedy=RESERVED)
