"""Drives: what they tell between two jobs, and cleaning them when they ask for it.

Reading TapeAlert flags clears them in the drive, so what is read is kept before anything else is done. Whether a drive
asks to be cleaned stands in the catalogue until it was cleaned.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

import structlog

from hardware.errors import HardwareError, Unsupported
from hardware.tape.changer import OperatorAsked
from hardware.tape.cleaning import CLEANING_USES, Cleaning, CleaningCartridge, should_clean
from hardware.tape.inventory import DriveSeen
from hardware.tape.library import Library
from hardware.tape.pages import DriveStatistics, VolumeStatistics
from hardware.tape.tapealert import Flag, Severity, worst
from vault.catalog import cartridges, tape_drives
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.errors import Unreachable
from vault.model import EventType, Json, Outcome
from vault.tape_model import Cartridge, CartridgeState, CleaningNeed, TapeDrive
from vault.tapes import record
from vault.tapes.context import Tapes, hardware_explained

log = structlog.get_logger(__name__)

CLEAN_AGAIN: Final = timedelta(hours=6)
"""A drive that asks again sooner than this after a cleaning is not cleaned again by itself: cleaning wears its heads,
and something else is wrong with it."""
_SAME: Final = timedelta(hours=1)
"""A flag that an idle drive raises again within this time is no new event."""
_NEEDS: Final = {Cleaning.NO: CleaningNeed.NO, Cleaning.SOON: CleaningNeed.SOON, Cleaning.NOW: CleaningNeed.NOW}
_ORDER: Final = (CleaningNeed.NO, CleaningNeed.SOON, CleaningNeed.NOW)


def name_of(flag: Flag) -> str:
    """A flag as events, metrics and people have it: ``clean-now``."""
    return flag.name.lower().replace("_", "-")


def note_alerts(tapes: Tapes, library: Library, barcode: str, drive: int) -> frozenset[Flag]:
    """Keep a drive's TapeAlert flags, with the cartridge that was in it ("" for none): reading has cleared them."""
    try:
        flags = library.alerts(drive)
    except Unsupported:
        return frozenset()  # a drive without TapeAlert
    except HardwareError as error:
        log.warning("alerts-not-read", drive=drive, reason=str(error))
        return frozenset()
    _note_heard(tapes, library, drive)
    if flags:
        names = sorted(name_of(flag) for flag in flags)
        with tapes.custodian.catalogue.write() as tx:
            row = tape_drives.at(tx, library.name, drive)
            before = row.cleaning if row is not None else CleaningNeed.NO
            need = max(before, _NEEDS[should_clean(flags)], key=_ORDER.index)
            if barcode or row is None or need is not before or _are_news(tx, row, names):
                if barcode:
                    told: list[Json] = [{"time": to_text(tx.now), "flag": name, "drive": drive} for name in names]
                    cartridges.alerted(tx, barcode, told)
                if row is not None:
                    tape_drives.alerted(tx, row, names)
                    if need is not before:
                        tape_drives.asks(tx, row, need)
                detail: dict[str, Json] = {"drive": drive, "serial": row.serial if row else "", "flags": list(names)}
                record.told(tx, EventType.TAPE_ALERT, tapes.agent, barcode, detail, Outcome.WARNING)
    return flags


def _note_heard(tapes: Tapes, library: Library, drive: int) -> None:
    with tapes.custodian.catalogue.read() as tx:
        row = tape_drives.at(tx, library.name, drive)
    if row is not None and row.heard_at is None:
        with tapes.custodian.catalogue.write() as tx:
            tape_drives.heard(tx, row.serial)


def _are_news(tx: Tx, drive: TapeDrive, names: list[str]) -> bool:
    return any(name not in drive.alerts or tx.now - from_text(drive.alerts[name]) > _SAME for name in names)


def note_life(tapes: Tapes, library: Library, barcode: str, drive: int) -> None:
    """Keep what the drive, and the memory of the cartridge in it, count of themselves. What is not told is left out."""
    with contextlib.suppress(HardwareError):
        life = _counted(library.life(drive))
        if life:
            with tapes.custodian.catalogue.write() as tx:
                tape_drives.told(tx, library.name, drive, life)
    with contextlib.suppress(HardwareError):
        life = _counted(library.cartridge_life(drive))
        if life and barcode:
            with tapes.custodian.catalogue.write() as tx:
                cartridges.told(tx, barcode, life)


def _counted(statistics: DriveStatistics | VolumeStatistics) -> dict[str, int]:
    found = dataclasses.asdict(statistics)
    return {name: value for name, value in found.items() if isinstance(value, int) and not isinstance(value, bool)}


def listen(tapes: Tapes, library: Library, drives: Iterable[DriveSeen]) -> None:
    """Hear what the drives that nobody uses now have to say."""
    for drive in drives:
        if not drive.problem and not drive.in_session:
            note_alerts(tapes, library, "", drive.number)


# --- cleaning


def uses_left(cartridge: Cartridge) -> int:
    """How often a cleaning cartridge can still be used, as far as this node has counted."""
    return max(0, CLEANING_USES - cartridge.cleanings) if cartridge.state is CartridgeState.CLEANING else 0


def may_clean(drive: TapeDrive, tx: Tx) -> bool:
    """Whether a drive that asks is cleaned by itself: not twice in a short time."""
    return drive.cleaned_at is None or tx.now - drive.cleaned_at >= CLEAN_AGAIN


def wanting(tx: Tx, library: str) -> Iterator[TapeDrive]:
    """The drives of a library that ask to be cleaned, those first that ask for it now."""
    asking = [drive for drive in tape_drives.all(tx) if drive.library == library and drive.cleaning]
    yield from sorted(asking, key=lambda drive: -_ORDER.index(drive.cleaning))


def clean_drive(tapes: Tapes, library: Library, number: int, agent: str) -> str:
    """Clean a drive with a cleaning cartridge of its library; return how it went. Raises Refused (``tape-refused``)
    where there is none with uses left, Unreachable."""
    # What it said before says nothing of the cartridge that cleans it now.
    note_alerts(tapes, library, "", number)
    with tapes.custodian.catalogue.read() as tx:
        known = [
            CleaningCartridge(one.barcode, one.cleanings, expired=one.state is not CartridgeState.CLEANING)
            for one in cartridges.all(tx)
            if one.barcode.startswith("CLN") or one.state is CartridgeState.CLEANING
        ]
    with hardware_explained():
        done = library.clean(number, known)
    if isinstance(done, OperatorAsked):
        raise Unreachable(done.request, remedy="Do that; the cleaning goes on by itself.", code="operator-asked")
    used, flags = done.cartridge, done.flags
    worn = Flag.EXPIRED_CLEANING_MEDIUM in flags
    wrong = Flag.INVALID_CLEANING_MEDIUM in flags
    with tapes.custodian.catalogue.write() as tx:
        drive = tape_drives.at(tx, library.name, number)
        cartridges.cleaned_with(tx, used.barcode)
        if worn or wrong or not used.left:
            reason = "The drive says that it is no cleaning cartridge." if wrong else "It is worn out: throw it away."
            record.state(tx, agent, used.barcode, CartridgeState.RETIRED, reason)
        if drive is not None:
            if not (worn or wrong):
                tape_drives.cleaned(tx, drive.serial)
            elif drive.cleaning is not CleaningNeed.NOW:
                tape_drives.asks(tx, drive, CleaningNeed.NOW)
            if flags:
                tape_drives.alerted(tx, drive, [name_of(flag) for flag in flags])
            if not (worn or wrong) and should_clean(flags) is not Cleaning.NO:
                fresh = tape_drives.at(tx, library.name, number)
                tape_drives.asks(tx, fresh or drive, _NEEDS[should_clean(flags)])
        detail: dict[str, Json] = {
            "drive": number, "serial": drive.serial if drive else "", "uses_left": used.left,
            "flags": [*sorted(name_of(flag) for flag in flags)],
        }  # fmt: skip
        notable = worst(flags) not in (None, Severity.INFORMATION)
        outcome = Outcome.FAILURE if worn or wrong else Outcome.WARNING if notable else Outcome.SUCCESS
        record.told(tx, EventType.DRIVE_CLEANED, agent, used.barcode, detail, outcome)
    if worn or wrong:
        return f"not cleaned: the drive took {used.barcode} for {'no cleaning cartridge' if wrong else 'worn out'}"
    return f"cleaned with {used.barcode}, which has {used.left} uses left"
