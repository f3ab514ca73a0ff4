"""TapeAlert: what a drive says about itself and the cartridge in it, in 64 flags (log page 2Eh).

Source: SSC-4/5, *TapeAlert log page* and the annex that names the flags and their severities (I, W, C). Flags 40 to 46
are those of an autoloader that shares the drive's address; newer standards call them obsolete, older devices set them.

**Reading clears.** A drive forgets most flags once the page has been read, so there may be one reader only: what it
reads it must keep, before anyone acts on it. ``sg_logs -p 0x2e`` and ``smartctl -HH`` are readers, too (``smartctl -a``
is none, as of 7.3).

Meanings and remedies are English sentences without values in them, so that they can be translated as they stand.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from hardware.tape.pages import parse_log_page

PAGE: Final = 0x2E
_COUNT: Final = 64


class Severity(enum.Enum):
    """How bad it is, in the words of the standard."""

    INFORMATION = "information"
    WARNING = "warning"
    CRITICAL = "critical"


class Flag(enum.IntEnum):
    """All flags, by the number of the standard. Those without a name of their own have no meaning yet."""

    READ_WARNING = 1
    WRITE_WARNING = 2
    HARD_ERROR = 3
    MEDIUM = 4
    READ_FAILURE = 5
    WRITE_FAILURE = 6
    MEDIUM_LIFE = 7
    NOT_DATA_GRADE = 8
    WRITE_PROTECT = 9
    NO_REMOVAL = 10
    CLEANING_MEDIUM = 11
    UNSUPPORTED_FORMAT = 12
    RECOVERABLE_MECHANICAL_FAILURE = 13
    UNRECOVERABLE_MECHANICAL_FAILURE = 14
    CARTRIDGE_MEMORY_FAILURE = 15
    FORCED_EJECT = 16
    READ_ONLY_FORMAT = 17
    DIRECTORY_CORRUPTED_ON_LOAD = 18
    NEARING_MEDIUM_LIFE = 19
    CLEAN_NOW = 20
    CLEAN_PERIODIC = 21
    EXPIRED_CLEANING_MEDIUM = 22
    INVALID_CLEANING_MEDIUM = 23
    RETENSION_REQUESTED = 24
    MULTIPORT_INTERFACE_ERROR = 25
    COOLING_FAN_FAILURE = 26
    POWER_SUPPLY_FAILURE = 27
    POWER_CONSUMPTION = 28
    PREVENTIVE_MAINTENANCE = 29
    HARDWARE_A = 30
    HARDWARE_B = 31
    PRIMARY_INTERFACE = 32
    EJECT_MEDIUM = 33
    MICROCODE_UPDATE_FAILURE = 34
    DRIVE_HUMIDITY = 35
    DRIVE_TEMPERATURE = 36
    DRIVE_VOLTAGE = 37
    PREDICTIVE_FAILURE = 38
    DIAGNOSTICS_REQUIRED = 39
    LOADER_HARDWARE_A = 40
    LOADER_STRAY_TAPE = 41
    LOADER_HARDWARE_B = 42
    LOADER_DOOR = 43
    LOADER_HARDWARE_C = 44
    LOADER_MAGAZINE = 45
    LOADER_PREDICTIVE_FAILURE = 46
    RESERVED_47 = 47
    RESERVED_48 = 48
    RESERVED_49 = 49
    LOST_STATISTICS = 50
    DIRECTORY_INVALID_ON_UNLOAD = 51
    SYSTEM_AREA_WRITE_FAILURE = 52
    SYSTEM_AREA_READ_FAILURE = 53
    NO_START_OF_DATA = 54
    LOADING_FAILURE = 55
    UNRECOVERABLE_UNLOAD_FAILURE = 56
    AUTOMATION_INTERFACE_FAILURE = 57
    MICROCODE_FAILURE = 58
    WORM_INTEGRITY_FAILED = 59
    WORM_OVERWRITE_ATTEMPTED = 60
    RESERVED_61 = 61
    RESERVED_62 = 62
    RESERVED_63 = 63
    RESERVED_64 = 64

    @property
    def alert(self) -> Alert:
        """Severity, meaning and remedy."""
        return _ALERTS[self]


@dataclass(frozen=True, slots=True)
class Alert:
    """What a flag means, and what to do."""

    severity: Severity
    meaning: str
    remedy: str


def decode(page: bytes) -> frozenset[Flag]:
    """The flags that are set in log page 2Eh, with its header, as LOG SENSE returned it.

    Parameters that are no flags of the standard are left out. Raises ``NotUnderstood`` where it is no such page.
    """
    return frozenset(
        Flag(code) for code, value in parse_log_page(page, PAGE).items() if 1 <= code <= _COUNT and value[-1:] > b"\x00"
    )


def worst(flags: frozenset[Flag]) -> Severity | None:
    """The highest severity among flags; None where there are none."""
    order = list(Severity)
    return max((flag.alert.severity for flag in flags), key=order.index, default=None)


CARTRIDGE_FLAGS: Final = frozenset(
    {
        Flag.MEDIUM,
        Flag.MEDIUM_LIFE,
        Flag.NOT_DATA_GRADE,
        Flag.RECOVERABLE_MECHANICAL_FAILURE,
        Flag.CARTRIDGE_MEMORY_FAILURE,
        Flag.DIRECTORY_CORRUPTED_ON_LOAD,
        Flag.NEARING_MEDIUM_LIFE,
        Flag.DIRECTORY_INVALID_ON_UNLOAD,
        Flag.SYSTEM_AREA_WRITE_FAILURE,
        Flag.SYSTEM_AREA_READ_FAILURE,
        Flag.NO_START_OF_DATA,
        Flag.WORM_INTEGRITY_FAILED,
    }
)
"""Flags that speak of the cartridge, and belong to its history wherever it goes; the others speak of the drive, or of
both, where only a second cartridge or a second drive can tell."""

_I, _W, _C = Severity.INFORMATION, Severity.WARNING, Severity.CRITICAL
_SUPPORT: Final = "If it comes back, call the maker of the drive."
_NOTHING: Final = "Nothing needs to be done."
_RESERVED: Final = (_I, "The standard gives this flag no meaning.", "Look it up in the manual of the drive.")

_TABLE: Final[dict[int, tuple[Severity, str, str]]] = {
    1: (_W, "The drive has trouble reading; nothing is lost, but it is slow.",
        "Clean the drive. Try the cartridge in another drive, and another cartridge in this one, to see which it is."),
    2: (_W, "The drive has trouble writing; nothing is lost, but the cartridge holds less.",
        "Clean the drive. Try the cartridge in another drive, and another cartridge in this one, to see which it is."),
    3: (_W, "Reading, writing or positioning ended with an error that the drive could not correct.",
        "Look at the flags that came with it (4, 5, 6): they say whether cartridge or drive is to blame."),
    4: (_C, "The cartridge is faulty: data on it can no longer be read or written.",
        "Take the cartridge out of use, and make the copies on it anew on another one."),
    5: (_C, "The drive cannot read; either the cartridge is damaged or the drive is.",
        "Read the cartridge in another drive. If that works, have this drive repaired."),
    6: (_C, "The drive cannot write; either the cartridge is faulty or the drive is.",
        "Write to a good cartridge in this drive. If that fails as well, have the drive repaired."),
    7: (_W, "The cartridge has reached the end of its life.",
        "Copy what is on it to another cartridge, and retire it."),
    8: (_W, "The cartridge is not fit for data; what is written to it is at risk.",
        "Replace it by a data cartridge."),
    9: (_C, "Something tried to write to a cartridge that is write-protected.",
        "Move its tab if it may be written to; otherwise give another cartridge."),
    10: (_I, "The cartridge cannot be ejected, because a program holds it in the drive.",
         "Wait until the session has ended."),
    11: (_I, "The cartridge in the drive is a cleaning cartridge.", _NOTHING),
    12: (_I, "The drive cannot use a cartridge of this type or format.",
         "Take it out, and load one that the drive takes."),
    13: (_C, "The tape in the cartridge broke or came off, but the cartridge can be ejected.",
         "Retire the cartridge, and make the copies on it anew."),
    14: (_C, "The tape broke or is stuck in the drive, and the cartridge cannot be ejected.",
         "Do not pull it out. Call the maker of the drive."),
    15: (_W, "The memory chip of the cartridge has failed.",
         "Write nothing more to it, and copy what is on it to another cartridge."),
    16: (_C, "The cartridge was ejected by hand while the drive was reading or writing.",
         "Treat what was written last as not written, and verify the cartridge."),
    17: (_W, "The drive can only read cartridges of this type.",
         "Use a drive that writes this type, or a cartridge of the drive's own."),
    18: (_W, "The directory in the memory of the cartridge was found damaged; searching is slow.",
         "Read all data on the cartridge once: the drive then builds the directory anew."),
    19: (_I, "The cartridge nears the end of its life.",
         "Write new copies elsewhere, and plan to copy what is on it."),
    20: (_C, "The drive must be cleaned now.", "Load a cleaning cartridge before anything else is read or written."),
    21: (_W, "The drive is due for its regular cleaning.", "Load a cleaning cartridge when the session has ended."),
    22: (_C, "The cleaning cartridge that was used is worn out; the drive was not cleaned.",
         "Discard it, and clean the drive with a new one."),
    23: (_C, "A cleaning cartridge was expected, and another one was loaded.",
         "Clean with a valid cleaning cartridge."),
    24: (_W, "The drive asks for the tape to be wound from end to end.", "Have the cartridge retensioned."),
    25: (_W, "One of the drive's interface ports has failed.", "Check the cables. " + _SUPPORT),
    26: (_W, "A fan in the drive has failed.", "Have it replaced before the drive gets too hot."),
    27: (_W, "A redundant power supply of the drive's enclosure has failed.", "Have it replaced."),
    28: (_W, "The drive uses more or less power than it should.", "Call the maker of the drive."),
    29: (_W, "The drive is due for maintenance.", "See the manual of the drive, or call its maker."),
    30: (_C, "The drive has a hardware fault that a reset may clear.",
         "Eject the cartridge and reset the drive. " + _SUPPORT),
    31: (_C, "The drive has a hardware fault.", "Switch the drive off and on. " + _SUPPORT),
    32: (_W, "The drive has a problem with its interface.", "Check cables, connectors and the adapter."),
    33: (_C, "The drive wants the cartridge to be ejected and loaded again.",
         "Eject it and load it again. " + _SUPPORT),
    34: (_W, "Loading new firmware into the drive failed.", "Use the firmware that is made for this drive."),
    35: (_W, "It is too damp or too dry in the drive.", "Check the climate of the room."),
    36: (_W, "The drive is too hot or too cold.", "Check fans and the climate of the room; let it rest."),
    37: (_W, "The voltage that the drive gets is out of range.", "Check the power supply."),
    38: (_C, "The drive expects to fail.", "Have it replaced; write nothing that has no other copy."),
    39: (_W, "The drive may have a hardware fault, and wants to be tested.",
         "Run the extended diagnostics that its manual describes."),
    40: (_C, "The autoloader cannot speak to the drive.", "Switch the autoloader off and on. " + _SUPPORT),
    41: (_C, "A cartridge was left in the mechanism of the autoloader.",
         "Insert an empty magazine, or switch the autoloader off and on. " + _SUPPORT),
    42: (_W, "The mechanism of the autoloader has a problem.", "Watch it. " + _SUPPORT),
    43: (_C, "The door of the autoloader is open.", "Close the door."),
    44: (_C, "The autoloader has a hardware fault.", "Switch the autoloader off and on. " + _SUPPORT),
    45: (_C, "The autoloader has no magazine.", "Insert the magazine."),
    46: (_W, "The mechanism of the autoloader expects to fail.", "Call its maker."),
    50: (_W, "Statistics in the memory of the cartridge were lost at some time.", _NOTHING),
    51: (_W, "The directory of the cartridge that was just unloaded is damaged; searching will be slow.",
         "Read all data on the cartridge once: the drive then builds the directory anew."),
    52: (_C, "The system area of the cartridge that was just unloaded could not be written.",
         "Verify the cartridge, copy what is on it to another one, and retire it."),
    53: (_C, "The system area of the cartridge could not be read when it was loaded.",
         "Copy what is on it to another cartridge, and retire it."),
    54: (_C, "The drive does not find where the data begin.",
         "Check that it is the right type of cartridge; try another drive. If that fails, make the copies on it anew."),
    55: (_C, "The cartridge could not be loaded or its tape not be threaded.",
         "Take the cartridge out and look for damage; try once more. " + _SUPPORT),
    56: (_C, "The cartridge cannot be unloaded.", "Do not pull it out. Call the maker of the drive."),
    57: (_C, "The interface between drive and library has failed.",
         "Check power and cables of the library. " + _SUPPORT),
    58: (_W, "The drive has reset itself after a fault in its firmware.",
         "Treat what was written last as not written. Look for newer firmware. " + _SUPPORT),
    59: (_W, "A write-once cartridge does not look as it was written: somebody may have tampered with it.",
         "Set the cartridge aside as evidence, and compare what is on it with other copies."),
    60: (_W, "Something tried to overwrite data on a write-once cartridge.",
         "Use a rewritable cartridge, or check the settings of the pool that it is in."),
}  # fmt: skip
_ALERTS: Final = {flag: Alert(*_TABLE.get(flag, _RESERVED)) for flag in Flag}
