"""A cartridge in a drive for the length of a block, and what is concluded where it is not what it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog

from hardware.errors import Corrupted, HardwareError
from hardware.tape.changer import OperatorAsked
from hardware.tape.errors import Incompatible, NotInLibrary, WriteProtected, WrongCartridge
from hardware.tape.library import Library
from hardware.tape.session import CartridgeSession
from hardware.tape.tapealert import Flag
from vault.catalog import cartridges
from vault.catalog import volumes as catalog_volumes
from vault.clock import to_text
from vault.errors import Unreachable
from vault.model import EventType, Outcome
from vault.tape_model import CartridgeState, Whereabouts
from vault.tapes import record
from vault.tapes.context import Tapes, hardware_explained

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def loaded(tapes: Tapes, library: Library, barcode: str, *, write: bool = False) -> Iterator[CartridgeSession]:
    """The cartridge in a drive, its label and volume checked, for the block. It stays in the drive after it.

    What the hardware raises comes out as the program's own errors; what it means for the cartridge is recorded. Raises
    Unreachable (``operator-asked``) where a person has to load it first.
    """
    with tapes.custodian.catalogue.read() as tx:
        volume = catalog_volumes.get(tx, barcode)
    with hardware_explained(), _judged(tapes, barcode):
        session = library.load(barcode, write=write, volume_uuid=str(volume.uuid) if volume else "")
        if isinstance(session, OperatorAsked):
            raise Unreachable(session.request, remedy="Load it; the work goes on by itself.", code="operator-asked")
        with session:
            with tapes.custodian.catalogue.write() as tx:
                cartridges.loaded(tx, barcode, f"drive {session.drive}")
            try:
                yield session
            finally:
                drive = session.drive
                session.close()
                note_alerts(tapes, library, barcode, drive)


@contextlib.contextmanager
def _judged(tapes: Tapes, barcode: str) -> Iterator[None]:
    """Write down what an error says of the cartridge; errors of drive and library say nothing of it."""
    try:
        yield
    except (WrongCartridge, Incompatible, WriteProtected) as error:
        to = CartridgeState.FOREIGN if isinstance(error, WrongCartridge) else CartridgeState.READ_ONLY
        with tapes.custodian.catalogue.write() as tx:
            record.state(tx, tapes.agent, barcode, to, str(error))
        raise
    except NotInLibrary:
        with tapes.custodian.catalogue.write() as tx:
            cartridge = cartridges.need(tx, barcode)
            if cartridge.whereabouts is Whereabouts.LIBRARY:
                record.placed(tx, tapes.agent, cartridge, Whereabouts.OFFLINE)
        raise
    except Corrupted:
        with tapes.custodian.catalogue.write() as tx:
            cartridges.failed(tx, barcode)
        raise


def note_alerts(tapes: Tapes, library: Library, barcode: str, drive: int) -> frozenset[Flag]:
    """Keep the drive's TapeAlert flags, with the cartridge that was in it: reading has cleared them."""
    try:
        flags = library.alerts(drive)
    except HardwareError as error:
        log.warning("alerts-not-read", drive=drive, reason=str(error))
        return frozenset()
    if flags:
        names = sorted(flag.name.lower().replace("_", "-") for flag in flags)
        with tapes.custodian.catalogue.write() as tx:
            time = to_text(tx.now)
            if barcode:
                cartridges.alerted(tx, barcode, [{"time": time, "flag": name, "drive": drive} for name in names])
            record.told(
                tx, EventType.TAPE_ALERT, tapes.agent, barcode, {"drive": drive, "flags": list(names)}, Outcome.WARNING
            )
    return flags
