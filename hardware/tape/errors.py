"""What can go wrong with a drive or a library, as branches of the tree in :mod:`hardware.errors`.

::

    Refused
    ├── ElementEmpty         there is no cartridge to take
    ├── ElementFull          there is a cartridge where one was to be put
    ├── HomeUnknown          the library does not know, or no longer has, the slot that the cartridge came from
    ├── WrongCartridge       another cartridge than the one expected is there
    │   └── WrongVolume      the label of the box is right, and the volume on the tape is another one
    ├── DuplicateBarcode     two cartridges in the library bear one label
    ├── WriteProtected       the cartridge, its tab or its state forbids writing
    ├── NeedsRecovery        a session died on this volume: recover it before anything is written to it
    └── Incompatible         drive and cartridge do not fit each other
    NotFound
    ├── InvalidElement       the library has no such drive or slot
    ├── NotInLibrary         the cartridge is in no drive and no slot
    └── NoCartridge          the drive is empty
    Full
    └── TapeFull             no room on the cartridge; ``lost`` names the files that are surely not on it
    Unreachable
    ├── NotReady             it starts up, loads, or waits for somebody: later it may answer
    │   └── DoorOpen         somebody works at the library
    ├── TimedOut             it did not answer in time: whether the act was done is not known
    │   └── ToolHung         a program that was to act on it did not end in time
    ├── ToolCrashed          a program that was to act on it died, or said what nobody foresaw
    ├── DriveVanished        the drive is no longer there
    ├── DeviceFault          it reports a defect of itself
    └── NotUnderstood        it answered, and the answer makes no sense
    Busy
    └── RemovalPrevented     the cartridge is held in the drive by a program
"""

from __future__ import annotations

from hardware.errors import Busy, Full, NotFound, Refused, Unreachable


class ElementEmpty(Refused):
    """There is no cartridge to take."""


class ElementFull(Refused):
    """There is a cartridge where one was to be put."""


class HomeUnknown(Refused):
    """The library does not know, or no longer has, the slot that a cartridge came from. Name a slot."""


class WrongCartridge(Refused):
    """Another cartridge than the one expected is there. Nothing was moved."""


class WrongVolume(WrongCartridge):
    """The label of the box is right, and the volume on the tape is another one. Nothing was written."""


class DuplicateBarcode(Refused):
    """Two cartridges in the library bear one label: which of them is meant is not known."""


class WriteProtected(Refused):
    """The cartridge, its tab or its state forbids writing. Nothing was written."""


class NeedsRecovery(Refused):
    """A session died on this volume: it is to be recovered before anything is written to it."""


class Incompatible(Refused):
    """Drive and cartridge do not fit each other."""


class InvalidElement(NotFound):
    """The library has no such drive or slot."""


class NoCartridge(NotFound):
    """The drive is empty."""


class NotInLibrary(NotFound):
    """The cartridge is in no drive and no slot of the library."""


class TapeFull(Full):
    """No room on the cartridge. ``lost`` names the files that are surely not on it; those finished before can be
    committed.
    """

    def __init__(self, message: str, *, remedy: str = "", lost: tuple[str, ...] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.lost = lost


class NotReady(Unreachable):
    """It starts up, loads, or waits for somebody. Later it may answer."""


class DoorOpen(NotReady):
    """The door of the library is open, or a magazine is out: somebody works at it."""


class TimedOut(Unreachable):
    """It did not answer in time. Whether the act was done is not known: take inventory before the next one."""


class ToolHung(TimedOut):
    """A program that was to act on it did not end in time. Not ``ended``: it cannot even be killed."""

    def __init__(self, message: str, *, remedy: str = "", ended: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.ended = ended


class ToolCrashed(Unreachable):
    """A program that was to act on it died, or said what nobody foresaw. Nobody knows what it has done."""


class DriveVanished(Unreachable):
    """The drive is no longer there. This says nothing about the cartridge in it."""


class DeviceFault(Unreachable):
    """It reports a defect of itself."""


class NotUnderstood(Unreachable):
    """It answered, and the answer makes no sense. Nothing is concluded from it."""


class RemovalPrevented(Busy):
    """A program holds the cartridge in the drive."""
