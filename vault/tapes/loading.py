"""A cartridge in a drive for the length of a block, and what is concluded where it is not what it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import structlog

from hardware.errors import Corrupted, HardwareError
from hardware.tape.changer import OperatorAsked
from hardware.tape.errors import Incompatible, NotInLibrary, WriteProtected, WrongCartridge
from hardware.tape.library import Library
from hardware.tape.session import CartridgeSession
from vault.catalog import cartridges, copies, packages, tape_drives
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record as custody_record
from vault.errors import Unreachable
from vault.model import CopyState
from vault.tape_model import CartridgeState, Whereabouts
from vault.tapes import holding, record
from vault.tapes.context import Doing, Tapes, hardware_explained
from vault.tapes.drives import note_alerts, note_life

_ALL: Final = 1_000_000
log = structlog.get_logger(__name__)


@contextlib.contextmanager
def loaded(
    tapes: Tapes, library: Library, barcode: str, *, write: bool = False, avoid: frozenset[int] = frozenset()
) -> Iterator[CartridgeSession]:
    """The cartridge in a drive, its label and volume checked, for the block. It stays in the drive after it.

    It is put into none of the drives to ``avoid``, nor into one that is held.

    What the hardware raises comes out as the program's own errors; what it means for the cartridge is recorded. Raises
    Unreachable (``operator-asked``) where a person has to load it first, Refused (``drive-held``).
    """
    with tapes.custodian.catalogue.read() as tx:
        volume = catalog_volumes.get(tx, barcode)
        avoid |= holding.avoided(tx, library.name)
    with hardware_explained(), _judged(tapes, barcode), _held_against(tapes, library, barcode):
        uuid = str(volume.uuid) if volume else ""
        session = library.load(barcode, write=write, volume_uuid=uuid, avoid=avoid)
        if isinstance(session, OperatorAsked):
            raise asked_of_a_person(session, "then the work goes on by itself")
        with session:
            drive = session.drive
            with tapes.custodian.catalogue.write() as tx:
                cartridges.loaded(tx, barcode, f"drive {drive}")
                tape_drives.loaded(tx, library.name, drive)
            try:
                yield session
            except HardwareError:
                with tapes.custodian.catalogue.write() as tx:
                    tape_drives.failed(tx, library.name, drive)
                raise
            finally:
                session.close()
                note_alerts(tapes, library, barcode, drive)
                note_life(tapes, library, barcode, drive)


def asked_of_a_person(asked: OperatorAsked, then: str) -> Unreachable:
    """What a person has to do, and how it is told that it was done."""
    return Unreachable(
        asked.request,
        remedy=f"Type vaultctl tapes checkin {asked.barcode} for the scan; {then}.",
        code="operator-asked",
    )


@contextlib.contextmanager
def _held_against(tapes: Tapes, library: Library, barcode: str) -> Iterator[None]:
    """Note in which drive a session failed, where that may be the drive's doing."""
    try:
        yield
    except HardwareError as error:
        if library.tried is not None and holding.is_of_a_drive(error):
            holding.failed(tapes, library, barcode, library.tried, str(error))
        raise


@contextlib.contextmanager
def _judged(tapes: Tapes, barcode: str) -> Iterator[None]:
    """Write down what an error says of the cartridge; errors of drive and library say nothing of it."""
    try:
        yield
    except WrongCartridge as error:
        with tapes.custodian.catalogue.write() as tx:
            record.state(tx, tapes.agent, barcode, CartridgeState.FOREIGN, str(error))
            _doubt(tapes, tx, barcode, str(error))
        raise
    except (Incompatible, WriteProtected) as error:
        with tapes.custodian.catalogue.write() as tx:
            if cartridges.need(tx, barcode).state is not CartridgeState.CLEANING:
                record.state(tx, tapes.agent, barcode, CartridgeState.READ_ONLY, str(error))
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


def _doubt(tapes: Tapes, tx: Tx, barcode: str, reason: str) -> None:
    """What is on the cartridge is not what bears its name. Nobody knows where its copies are, or whether they still
    are: none of them counts until the right one was found and read."""
    volume = catalog_volumes.get(tx, barcode)
    if volume is None:
        return
    for copy in copies.in_states(tx, (CopyState.GOOD, CopyState.WRITTEN), _ALL, volume.id):
        custody_record.doubted(tapes.custodian, tx, packages.need_version(tx, copy.version_id), copy, reason)


class Counted:
    """Counts the bytes of which a job tells, on their way to whoever watches it."""

    def __init__(self, doing: Doing) -> None:
        self.bytes = 0
        self._told = doing.progress
        self.doing = Doing(self._progress, doing.cancelled)

    def _progress(self, count: int) -> None:
        self.bytes += count
        self._told(count)


def moved(
    tapes: Tapes, library: Library, barcode: str, drive: int, *, read: int = 0, written: int = 0, seconds: float
) -> None:
    """Count bytes that came from a cartridge or went to it, and the time that this took."""
    with tapes.custodian.catalogue.write() as tx:
        cartridges.moved(tx, barcode, read=read, written=written)
        tape_drives.moved(tx, library.name, drive, read=read, written=written, seconds=seconds)
