"""The exception tree of :mod:`hardware`, in one place.

::

    HardwareError
    ├── NotFound             there is no such device, cartridge, file on it, or attribute
    │   └── NoVolume         a medium is there, and it holds no volume of the expected format: blank, or foreign
    ├── Unreachable          it does not answer, or not to us; this says nothing about what it holds
    │   ├── Busy             another program or session holds it
    │   └── MediumChanged    the position is no longer known: the medium was changed, or the drive was reset
    ├── Refused              against a rule: write-protected, locked, an impossible name; asking again will not help
    │   └── Unsupported      well formed, but of a version or kind that this program does not handle
    ├── Full                 no room: the end of the medium is near; what was begun last was not kept
    └── Corrupted            bytes were read and are not what they must be, or can no longer be read at all
        └── Malformed        a label, index, attribute or name breaks its format, or goes beyond its limits

Each error carries a message that says what is wrong and a ``remedy`` that says what to do. NotFound, Unreachable,
Refused, Full and Corrupted are different facts and are never turned into one another: who catches one of them may
rely on its meaning (an outage is no corruption, and neither of them is an absence).
"""

from __future__ import annotations


class HardwareError(Exception):
    """Root of the tree: something about a device or a medium that this program foresaw and can explain."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class NotFound(HardwareError):
    """There is no such thing."""


class NoVolume(NotFound):
    """A medium is there, and it holds no volume of the expected format."""


class Unreachable(HardwareError):
    """It does not answer. This says nothing about what it holds."""


class Busy(Unreachable):
    """Another program or session holds it."""


class MediumChanged(Unreachable):
    """The medium was changed or the drive was reset: nothing may be retried before position and volume are checked."""


class Refused(HardwareError):
    """Against a rule; the same request will be refused again."""


class Unsupported(Refused):
    """Well formed, but of a version or kind that this program does not handle."""


class Full(HardwareError):
    """No room. What was begun last was not kept; what was finished before it was."""


class Corrupted(HardwareError):
    """Bytes were read, and they are not what they must be."""


class Malformed(Corrupted):
    """It breaks its format, or goes beyond the limits within which it is read."""
