"""A tape drive: what it is, what it has loaded, how it feels, and the cartridge in it as a medium to read."""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, Self

from hardware.errors import Busy, Refused, Unsupported
from hardware.ltfs.medium import TapeMedium
from hardware.tape import generation, pages, tapealert
from hardware.tape.barcodes import Barcode, Kind
from hardware.tape.errors import Incompatible, NotReady, NotUnderstood, TimedOut
from hardware.tape.generation import Generation
from hardware.tape.medium import SgMedium
from hardware.tape.pages import DriveStatistics, VolumeStatistics
from hardware.tape.sense import Key, Sense, becoming_ready, error_of
from hardware.tape.sgio import Direction, SgDevice
from hardware.tape.tapealert import Flag

READY_TIMEOUT: Final = 2.5 * 3600
"""Seconds until a loaded drive must be ready: an LTO-9 drive may take two hours over a cartridge that is new to it."""
_INTERVAL: Final = 3.0
_UNLOAD_TIMEOUT: Final = 1200.0
_ATTENTIONS: Final = 8
_NO_CARTRIDGE: Final = 0x3A
_CLEANING: Final = {(0x30, 0x03), (0x30, 0x07)}


class DriveState(enum.Enum):
    """What a drive does now."""

    EMPTY = "empty"
    LOADING = "loading"
    READY = "ready"
    CLEANING = "a cleaning cartridge is in it"
    NOT_READY = "waits for help"


@dataclass(frozen=True, slots=True)
class DriveFacts:
    """What a drive is. ``generation`` is None where its name does not tell."""

    vendor: str
    product: str
    revision: str
    serial: str
    generation: Generation | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The loaded cartridge as the drive sees it. ``generation`` is None where its density code is not known."""

    generation: Generation | None
    write_protected: bool


class TapeDrive(Protocol):
    """One drive, held by one owner.

    Contract, for every implementation: whoever constructs the object holds the drive alone until :meth:`close`
    (``Busy``). While a medium is open, it alone speaks to the drive, and all methods but :meth:`facts` and
    :meth:`close` raise ``Busy``. Errors of the drive are those of :mod:`hardware.tape.errors`.
    """

    def facts(self) -> DriveFacts:
        """What the drive is."""
        ...

    def state(self) -> DriveState:
        """What it does now."""
        ...

    def alerts(self) -> frozenset[Flag]:
        """TapeAlert flags. Reading clears them: keep what is returned before acting on it."""
        ...

    def statistics(self) -> VolumeStatistics:
        """What the memory of the loaded cartridge has counted."""
        ...

    def life(self) -> DriveStatistics:
        """What the drive has counted of itself."""
        ...

    def loaded(self) -> Loaded:
        """What is loaded. ``NoCartridge``, ``NotReady``."""
        ...

    def medium(self, *, write: bool = False) -> TapeMedium:
        """Wait until the drive is ready, and open the cartridge; ``NoCartridge``, ``NotReady``, ``TimedOut``.

        With ``write`` it can be written to, or ``Refused`` is raised where this is not done (a real drive).
        """
        ...

    def unload(self) -> None:
        """Rewind and let go of the cartridge, so that a library or a person can take it. Closes no medium: ``Busy``."""
        ...

    def close(self) -> None:
        """Let go of the drive."""
        ...


class ScsiTapeDrive:
    """A drive on a ``/dev/sgN`` node as a :class:`TapeDrive`."""

    def __init__(
        self,
        device: SgDevice,
        *,
        ready_timeout: float = READY_TIMEOUT,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ``Unsupported`` where the device is no tape drive; it is then let go of."""
        self._device = device
        self._ready_timeout = ready_timeout
        self._wait = wait
        self._clock = clock
        self._medium: _Session | None = None
        try:
            self._facts = self._ask_facts()
        except BaseException:
            device.close()
            raise

    @classmethod
    def open(cls, node: str, *, ready_timeout: float = READY_TIMEOUT) -> ScsiTapeDrive:
        """Hold the drive at a node. Raises ``Busy``, ``NotFound``, ``Refused``, ``Unreachable``, ``Unsupported``."""
        return cls(SgDevice.open(node), ready_timeout=ready_timeout)

    def facts(self) -> DriveFacts:
        """As it was asked when it was opened."""
        return self._facts

    def state(self) -> DriveState:
        """TEST UNIT READY; attentions are passed over, as no medium is open that they could concern."""
        sense = self._readiness()
        if sense is None:
            return DriveState.READY
        if (sense.asc, sense.ascq) in _CLEANING:
            return DriveState.CLEANING
        if sense.asc == _NO_CARTRIDGE:
            return DriveState.EMPTY
        if becoming_ready(sense):
            return DriveState.LOADING
        if sense.key is Key.NOT_READY:
            return DriveState.NOT_READY
        raise error_of(sense, self._device.node)

    def alerts(self) -> frozenset[Flag]:
        """Log page 2Eh."""
        self._free()
        return tapealert.decode(self._device.log_page(tapealert.PAGE))

    def statistics(self) -> VolumeStatistics:
        """Log page 17h."""
        self._free()
        return pages.parse_volume_statistics(self._device.log_page(pages.VOLUME_STATISTICS))

    def life(self) -> DriveStatistics:
        """Log page 14h."""
        self._free()
        return pages.parse_drive_statistics(self._device.log_page(pages.DEVICE_STATISTICS))

    def cleaning_requested(self) -> bool | None:
        """Log page 0Ch: what the drive says of cleaning, without clearing anything; None where it does not say."""
        self._free()
        return pages.parse_cleaning_request(self._device.log_page(pages.SEQUENTIAL_ACCESS))

    def loaded(self) -> Loaded:
        """MODE SENSE(6) with block descriptor."""
        if (sense := self._readiness()) is not None:
            raise error_of(sense, self._device.node)
        data = self._device.command(bytes((0x1A, 0, 0x10, 0, 0xFF, 0)), Direction.FROM_DEVICE, length=0xFF)
        if len(data) < 4 or (data[3] >= 8 and len(data) < 12):
            raise NotUnderstood(f"{self._device.node} sent mode data that are cut short.")
        density = data[4] if data[3] >= 8 else 0
        return Loaded(generation.of_density(density), bool(data[2] & 0x80))

    def medium(self, *, write: bool = False) -> SgMedium:
        """Test until ready, then the medium. What attentions there were belong to the time before."""
        if write:
            raise Refused("A real drive is written by the LTFS tools only.", remedy="Use a mounted session.")
        self.wait_ready()
        self._medium = _Session(self._device)
        return self._medium

    def wait_ready(self) -> None:
        """Test until ready. Raises ``TimedOut`` at the end of time, and at once what waiting does not help.

        A drive that says that it is empty may hold a cartridge that it has let go of, and that nobody has taken since:
        it is told to load that, once.
        """
        end = self._clock() + self._ready_timeout
        told = False
        while (sense := self._readiness()) is not None:
            if sense.asc == _NO_CARTRIDGE and not told:
                told = True
                self._device.settled(bytes((0x1B, 1, 0, 0, 1, 0)))
                continue
            if not becoming_ready(sense):
                raise error_of(sense, self._device.node)
            if self._clock() >= end:
                raise TimedOut(
                    f"{self._device.node} is not ready after {self._ready_timeout / 60:.0f} minutes.",
                    remedy="Look at its panel; take the cartridge out if it does nothing.",
                )
            self._wait(_INTERVAL)

    def unload(self) -> None:
        """LOAD UNLOAD; fine where nothing is loaded.

        The removal is allowed before: ``ltfs`` prevents it while it has a volume mounted, and one that was killed
        leaves the drive holding on to its cartridge.
        """
        if self.state() is DriveState.EMPTY:
            return
        with contextlib.suppress(Unsupported):
            self._device.command(bytes((0x1E, 0, 0, 0, 0, 0)))
        self._device.command(bytes((0x1B, 0, 0, 0, 0, 0)), timeout=_UNLOAD_TIMEOUT)

    def close(self) -> None:
        """Let go of drive and medium."""
        if self._medium is not None:
            self._medium.close()
        self._device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # How it is done.

    def _ask_facts(self) -> DriveFacts:
        found = self._device.inquiry()
        if not found.is_tape:
            raise Unsupported(
                f"{self._device.node} ({found.vendor} {found.product}) is no tape drive.",
                remedy="Name the node of the drive (lsscsi -g).",
            )
        serial = self._device.serial()
        return DriveFacts(found.vendor, found.product, found.revision, serial, generation.of_drive(found.product))

    def _free(self) -> None:
        if self._medium is not None and self._medium.open:
            raise Busy(f"A session has the cartridge in {self._device.node} open.", remedy="End the session first.")

    def _readiness(self) -> Sense | None:
        """None when ready, otherwise why not, after attentions were passed over."""
        self._free()
        for _ in range(_ATTENTIONS):
            sense = self._device.test_unit_ready()
            if sense is None or sense.key is not Key.UNIT_ATTENTION:
                return sense
        raise NotReady(f"{self._device.node} keeps reporting changes.", remedy="Look at its panel, cables and adapter.")


class _Session(SgMedium):
    """A medium of which its drive can see whether it is still open."""

    def __init__(self, device: SgDevice) -> None:
        super().__init__(device, release=False)
        self.open = True

    def close(self) -> None:
        """Let go of the medium; the drive stays."""
        self.open = False
        super().close()


def check_fits(drive: DriveFacts, cartridge: Barcode, *, write: bool) -> None:
    """Raise ``Incompatible`` where loading a cartridge cannot lead to what is wanted; before anything is moved.

    A drive whose generation is not known is given the benefit of the doubt: it will say so itself.
    """
    if cartridge.kind is Kind.CLEANING or cartridge.generation is None:
        raise Incompatible(
            f"{cartridge} is a cleaning cartridge; it holds no data.",
            remedy="Take it out of the pool of data cartridges.",
        )
    if not cartridge.generation.partitions:
        raise Incompatible(
            f"{cartridge} is an {cartridge.generation} cartridge, which cannot hold an LTFS volume.",
            remedy="LTFS needs LTO-5 or newer.",
        )
    if drive.generation is None:
        return
    access = generation.can(drive.generation, cartridge.generation)
    if not access.reads or (write and not access.writes):
        raise Incompatible(
            f"The cartridge {cartridge} cannot be {'written' if access.reads else 'used'} in the drive {drive.serial}: "
            f"{access.reason}",
            remedy="Choose another cartridge or another drive.",
        )
