"""The exception tree, in one place.

::

    VaultError
    ├── ConfigError          the configuration cannot work; names file, line, key and remedy
    ├── NotFound             there is no such package, version, ingest, volume, ...
    ├── Refused              what was asked is against a rule; asking again the same way will not help
    │   ├── Invalid          what was sent is not well formed or does not agree with itself; carries every fault
    │   │   └── Secret       it is marked as a state secret, which may not be stored here
    │   ├── Conflict         it contradicts what is already stored
    │   └── Forbidden        the caller may not do this
    ├── Full                 no room; nothing was kept of what was begun
    ├── Unreachable          a volume, device or service does not answer; says nothing about its contents
    │   └── WrongVolume      something else is mounted where the volume should be
    ├── Throttled            too much was asked at once or in a day; the same request may be made again later
    ├── Corrupted            bytes were read and are not what they must be
    └── Interrupted          work was stopped before its end, by a shutdown or a vanished client

Each error carries a stable ``code`` (kebab-case, part of the API's contract), a message that says what is wrong,
and a ``remedy`` that says what to do about it. They are written for the sysadmin at three in the morning.
NotFound, Corrupted, Unreachable, Full and Refused are different facts and are never turned into one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was sent.

    ``code`` is stable and kebab-case, ``path`` is the member or key concerned ("" where the whole is meant),
    ``message`` is a sentence.
    """

    code: str
    message: str
    path: str = ""


class VaultError(Exception):
    """Root of the tree: something that this program foresaw and can explain."""

    default_code = "internal-error"

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(VaultError):
    """The configuration cannot work."""

    default_code = "bad-configuration"


class NotFound(VaultError):
    """There is no such thing."""

    default_code = "not-found"


class Refused(VaultError):
    """Against a rule; the same request will be refused again."""

    default_code = "refused"


class Invalid(Refused):
    """Not well formed, or at odds with itself. ``faults`` lists everything found, not only the first."""

    default_code = "invalid"

    def __init__(self, message: str, *, faults: Sequence[Fault] = (), remedy: str = "", code: str = "") -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.faults = tuple(faults)


class Secret(Invalid):
    """Marked as a state secret. Nothing in it tells of its content or title: ``field`` is where the marking stands,
    ``level`` which it is. ``volume`` is where something of it lay in staging until it was removed ("" for nowhere),
    ``received`` how many bytes of it had come."""

    default_code = "state-secret"

    def __init__(
        self,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        remedy: str = "",
        code: str = "",
        field: str = "",
        level: str = "",
    ) -> None:
        super().__init__(message, faults=faults, remedy=remedy, code=code)
        self.field = field
        self.level = level
        self.volume = ""
        self.received = 0


class Conflict(Refused):
    """Contradicts what is already stored."""

    default_code = "conflict"


class Forbidden(Refused):
    """The caller may not do this."""

    default_code = "forbidden"


class Full(VaultError):
    """No room. Nothing was kept of what was begun."""

    default_code = "no-space"


class Unreachable(VaultError):
    """It does not answer. This says nothing about what it holds."""

    default_code = "unreachable"


class WrongVolume(Unreachable):
    """Something else is mounted where the volume should be, or nothing is."""

    default_code = "wrong-volume"


class Throttled(VaultError):
    """Too much was asked. ``retry_after`` is the number of seconds after which it may be asked again."""

    default_code = "too-many-requests"

    def __init__(self, message: str, *, remedy: str = "", code: str = "", retry_after: int = 1) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.retry_after = retry_after


class Corrupted(VaultError):
    """Bytes were read, and they are not what they must be."""

    default_code = "corrupted"


class Interrupted(VaultError):
    """Stopped before its end; nothing half-made remains."""

    default_code = "interrupted"
