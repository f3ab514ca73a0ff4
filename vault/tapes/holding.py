"""Drives that fail with one cartridge after another: held, so that they spoil no more of them, until a person releases
them.

A drive with worn or dirty heads looks from here like a row of bad cartridges: each would become suspect, its copies
would be made anew on the next, and all scratch cartridges would be used up. What counts are cartridges, not attempts:
one bad cartridge, tried again and again, holds no drive. What was read back well ends the row; that a drive said it had
written something does not.
"""

from __future__ import annotations

import structlog

from hardware.errors import Corrupted, HardwareError
from hardware.tape.errors import DeviceFault, NotUnderstood, TimedOut, ToolCrashed
from hardware.tape.library import Library
from vault.catalog import tape_drives
from vault.catalog.engine import Tx
from vault.errors import NotFound, Refused
from vault.model import EventType, Json, Outcome
from vault.tape_model import TapeDrive
from vault.tapes import record
from vault.tapes.context import Tapes

log = structlog.get_logger(__name__)


def is_of_a_drive(error: HardwareError) -> bool:
    """Whether an error may be the drive's doing: it could not write or read, failed, hung, or made no sense."""
    return isinstance(error, Corrupted | DeviceFault | TimedOut | ToolCrashed | NotUnderstood)


def failed(tapes: Tapes, library: Library, barcode: str, drive: int, reason: str) -> None:
    """A session with this cartridge failed; the drive is held where too many others did before it."""
    most = tapes.settings.library(library.name).hold_drive_after
    with tapes.custodian.catalogue.write() as tx:
        row = tape_drives.at(tx, library.name, drive)
        if row is None or barcode in row.failing:
            return
        reason = reason[:500].rstrip(". ")
        failing = {**row.failing, barcode: reason}
        tape_drives.note_failing(tx, row.serial, failing)
        if row.held or len(failing) < most:
            return
        why = f"{len(failing)} cartridges failed in it, one after another ({', '.join(failing)}); the last: {reason}"
        tape_drives.hold(tx, row.serial, why[:1000])
        detail: dict[str, Json] = {"drive": drive, "serial": row.serial, "failed": {**failing}}
        record.told(tx, EventType.DRIVE_HELD, tapes.agent, "", detail, Outcome.FAILURE)
    log.error("drive-held", library=library.name, drive=drive, serial=row.serial, reason=why)


def proved(tapes: Tapes, library: Library, drive: int) -> None:
    """Something was read back well in this drive: what failed before was not its fault."""
    with tapes.custodian.catalogue.write() as tx:
        row = tape_drives.at(tx, library.name, drive)
        if row is not None and row.failing and not row.held:
            tape_drives.note_failing(tx, row.serial, {})


def held(tx: Tx, library: str) -> list[TapeDrive]:
    """The drives of a library that are held, each if it is the one that stands at its place now."""
    found = (tape_drives.at(tx, library, number) for number in _numbers(tx, library))
    return [drive for drive in found if drive is not None and drive.held]


def none_left(tx: Tx, library: str) -> bool:
    """Whether every drive of a library that can be used is held."""
    here = [tape_drives.at(tx, library, number) for number in _numbers(tx, library)]
    usable = [drive for drive in here if drive is not None and not drive.problem]
    return bool(usable) and all(drive.held for drive in usable)


def avoided(tx: Tx, library: str) -> frozenset[int]:
    """The numbers of drives that nothing is to be loaded into. Raises Refused (``drive-held``) where none is left."""
    drives = held(tx, library)
    if drives and none_left(tx, library):
        first = drives[0]
        raise Refused(
            f"Drive {first.number} of {library} is held: {first.held}.", remedy=remedy(first), code="drive-held"
        )
    return frozenset(drive.number for drive in drives)


def doubted(tx: Tx, library: str) -> frozenset[int]:
    """The numbers of drives in which something failed of late, where there is another one that can be used."""
    here = [tape_drives.at(tx, library, number) for number in _numbers(tx, library)]
    usable = [drive for drive in here if drive is not None and not drive.problem and not drive.held]
    failing = frozenset(drive.number for drive in usable if drive.failing)
    return failing if len(failing) < len(usable) else frozenset()


def remedy(drive: TapeDrive) -> str:
    """What is to be done about a drive that is held."""
    return (
        f"Clean it (vaultctl tapes clean {drive.serial}) or have its maker look at it; the cartridges may be sound. "
        f"Then: vaultctl tapes release {drive.serial}"
    )


def release(tapes: Tapes, library: str, number: int, agent: str) -> None:
    """A person says that a drive is in order again. Fine where it is not held. Raises NotFound (``no-such-drive``)."""
    with tapes.custodian.catalogue.write() as tx:
        row = tape_drives.at(tx, library, number)
        if row is None:
            raise NotFound(
                f"The library {library} has no drive {number}.",
                remedy="Look at vaultctl tapes drives.",
                code="no-such-drive",
            )
        tape_drives.note_failing(tx, row.serial, {})
        if row.held:
            tape_drives.hold(tx, row.serial, "")
            detail: dict[str, Json] = {"drive": number, "serial": row.serial, "reason": row.held}
            record.told(tx, EventType.DRIVE_RELEASED, agent, "", detail)


def _numbers(tx: Tx, library: str) -> list[int]:
    return sorted({drive.number for drive in tape_drives.all(tx) if drive.library == library})
