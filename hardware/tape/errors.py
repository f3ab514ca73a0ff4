"""What can go wrong with a drive or a library, as branches of the tree in :mod:`hardware.errors`.

::

    Refused
    ├── ElementEmpty         there is no cartridge to take
    ├── ElementFull          there is a cartridge where one was to be put
    ├── HomeUnknown          the library does not know, or no longer has, the slot that the cartridge came from
    ├── WrongCartridge       another cartridge than the one expected is there
    └── Incompatible         drive and cartridge do not fit each other
    NotFound
    ├── InvalidElement       the library has no such drive or slot
    └── NoCartridge          the drive is empty
    Unreachable
    ├── NotReady             it starts up, loads, or waits for somebody: later it may answer
    │   └── DoorOpen         somebody works at the library
    ├── TimedOut             it did not answer in time: whether the act was done is not known
    ├── DeviceFault          it reports a defect of itself
    └── NotUnderstood        it answered, and the answer makes no sense
    Busy
    └── RemovalPrevented     the cartridge is held in the drive by a program
"""

from __future__ import annotations

from hardware.errors import Busy, NotFound, Refused, Unreachable


class ElementEmpty(Refused):
    """There is no cartridge to take."""


class ElementFull(Refused):
    """There is a cartridge where one was to be put."""


class HomeUnknown(Refused):
    """The library does not know, or no longer has, the slot that a cartridge came from. Name a slot."""


class WrongCartridge(Refused):
    """Another cartridge than the one expected is there. Nothing was moved."""


class Incompatible(Refused):
    """Drive and cartridge do not fit each other."""


class InvalidElement(NotFound):
    """The library has no such drive or slot."""


class NoCartridge(NotFound):
    """The drive is empty."""


class NotReady(Unreachable):
    """It starts up, loads, or waits for somebody. Later it may answer."""


class DoorOpen(NotReady):
    """The door of the library is open, or a magazine is out: somebody works at it."""


class TimedOut(Unreachable):
    """It did not answer in time. Whether the act was done is not known: take inventory before the next one."""


class DeviceFault(Unreachable):
    """It reports a defect of itself."""


class NotUnderstood(Unreachable):
    """It answered, and the answer makes no sense. Nothing is concluded from it."""


class RemovalPrevented(Busy):
    """A program holds the cartridge in the drive."""
