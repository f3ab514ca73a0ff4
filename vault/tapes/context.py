"""What all work on tapes is given, and how what the hardware says becomes the program's own errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hardware.errors as hw
from vault.config import LibrarySettings, PoolSettings, Settings
from vault.custody.context import Custodian
from vault.errors import Corrupted, Full, NotFound, Refused, Unreachable, VaultError
from vault.signing import NodeKey

TAPE = "tape"
"""The kind of a volume that is a cartridge."""


@dataclass(frozen=True)
class Tapes:
    """The parts that work on tapes is done with. One per daemon."""

    custodian: Custodian
    key: NodeKey

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.custodian.settings

    @property
    def agent(self) -> str:
        """Who does what nobody ordered."""
        return self.custodian.agent

    @property
    def state(self) -> Path:
        """Where what is known of tapes is kept beside the catalogue: their indexes above all."""
        return self.settings.node.state / "tapes"

    def spool(self, library: LibrarySettings) -> Path:
        """Where tars are made before they are written."""
        return library.spool or self.settings.node.state / "spool" / library.name

    def pools_of(self, library: LibrarySettings) -> list[PoolSettings]:
        """The pools that a library writes."""
        return [pool for pool in self.settings.pools if pool.library == library.name]


@dataclass(frozen=True, slots=True)
class Doing:
    """What a job tells of itself: ``progress`` is given bytes done, ``cancelled`` is asked between two reads."""

    progress: Callable[[int], None]
    cancelled: Callable[[], bool]


def idle() -> Doing:
    """For work whose progress nobody watches."""
    return Doing(lambda _count: None, lambda: False)


def explained(error: hw.HardwareError) -> VaultError:
    """The same fact as an error of this program."""
    for kind, made, code in (
        (hw.Unreachable, Unreachable, "tape-unreachable"),
        (hw.Full, Full, "tape-full"),
        (hw.NotFound, NotFound, "not-on-tape"),
        (hw.Corrupted, Corrupted, "tape-damaged"),
    ):
        if isinstance(error, kind):
            return made(error.message, remedy=error.remedy, code=code)
    return Refused(error.message, remedy=error.remedy, code="tape-refused")


@contextlib.contextmanager
def hardware_explained() -> Iterator[None]:
    """Within the block, what the hardware raises is raised as the program's own."""
    try:
        yield
    except hw.HardwareError as error:
        raise explained(error) from error
