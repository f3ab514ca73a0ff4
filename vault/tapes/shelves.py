"""Inventory: what the library shows, compared with what the catalogue knows of its cartridges."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from hardware.tape import barcodes
from hardware.tape.changer import Drive, Slot
from hardware.tape.inventory import DriveSeen, Found, Holds, Inventory
from vault.catalog import cartridges, tape_drives
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.config import LibrarySettings, Settings
from vault.model import MediumClass, Volume
from vault.tape_model import Cartridge, CartridgeState, Whereabouts
from vault.tapes import record
from vault.tapes.context import Tapes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen in a library: cartridges that can be used now, and what a person should look at."""

    present: frozenset[str]
    notes: tuple[str, ...]


def reconcile(tapes: Tapes, library: LibrarySettings, inventory: Inventory) -> Sight:
    """Write down what came, went and moved. Cartridges that cannot be told apart are not used."""
    notes = [f"{_name(found)}: {found.note}" for found in inventory.cartridges if found.note]
    seen: dict[str, Found] = {}
    for found in inventory.cartridges:
        if found.holds in (Holds.DATA, Holds.WORM, Holds.CLEANING) and found.barcode not in inventory.duplicates:
            seen[found.barcode] = found
    waiting: set[str] = set()
    with tapes.custodian.catalogue.write() as tx:
        for drive in inventory.drives:
            _see(tx, library, drive)
        known = {cartridge.barcode: cartridge for cartridge in cartridges.all(tx)}
        for barcode, found in sorted(seen.items()):
            element = element_of(found.place)
            cartridge = known.get(barcode)
            if cartridge is None:
                _add(tapes, tx, library, found, element)
                continue
            if _waits_outside(cartridge, library, element):
                waiting.add(barcode)
                continue
            _there(tapes, tx, library, cartridge, element)
            record.request_ended(tx, f"library:{library.name}", barcode, "it is in the library")
        for barcode, cartridge in known.items():
            if cartridge.library == library.name and barcode not in seen:
                _gone(tapes, tx, cartridge, twice=barcode in inventory.duplicates)
    for note in notes:
        log.warning("tape-library-note", library=library.name, note=note)
    return Sight(frozenset(seen) - waiting, tuple(notes))


def _there(tapes: Tapes, tx: Tx, library: LibrarySettings, cartridge: Cartridge, element: str) -> None:
    """It is there: since the last inventory, or as before."""
    if cartridge.library != library.name:
        cartridges.belongs(tx, cartridge.barcode, library.name)
        record.placed(tx, tapes.agent, cartridge, Whereabouts.LIBRARY, element=element)
    elif cartridge.whereabouts is not Whereabouts.LIBRARY:
        record.placed(tx, tapes.agent, cartridge, Whereabouts.LIBRARY, element=element)
        record.looked_at_anew(tx, tapes.agent, cartridge)
    else:
        cartridges.seen(tx, cartridge.barcode, element)
    if cartridge.volume_id is None and cartridge.state in (CartridgeState.SCRATCH, CartridgeState.FOREIGN):
        _recognise(tapes, tx, cartridge.barcode)


def _gone(tapes: Tapes, tx: Tx, cartridge: Cartridge, *, twice: bool) -> None:
    """It is not there, or cannot be told from another one."""
    if cartridge.whereabouts is Whereabouts.LIBRARY:
        reason = "Two cartridges in the library bear its label." if twice else ""
        record.placed(tx, tapes.agent, cartridge, Whereabouts.OFFLINE, reason=reason)
    elif cartridge.element:
        cartridges.taken(tx, cartridge.barcode)


def _waits_outside(cartridge: Cartridge, library: LibrarySettings, element: str) -> bool:
    """Whether a cartridge that was checked out still stands where it is to be taken out: then it has not come back, and
    is not used."""
    out = cartridge.library == library.name and cartridge.whereabouts is Whereabouts.VAULTED
    return out and cartridge.element == element


def _add(tapes: Tapes, tx: Tx, library: LibrarySettings, found: Found, element: str) -> None:
    state, reason, generation = CartridgeState.SCRATCH, "", ""
    if found.holds is Holds.CLEANING:
        state = CartridgeState.CLEANING
    else:
        label = barcodes.parse(found.barcode)
        generation = str(label.generation or "")
        if found.holds is Holds.WORM:
            state, reason = CartridgeState.READ_ONLY, "It can be written only once, which this node does not do."
    record.added(
        tx, tapes.agent, found.barcode, library=library.name, generation=generation, state=state, reason=reason,
        element=element,
    )  # fmt: skip
    _recognise(tapes, tx, found.barcode)


def _recognise(tapes: Tapes, tx: Tx, barcode: str) -> None:
    """The catalogue was made anew, and knows what is on a cartridge: of the cartridge itself it knows nothing yet, or
    what was so when the backup was made that the rebuild began with. It may have been blank then."""
    volume = catalog_volumes.get(tx, barcode)
    if volume is not None and volume.medium is MediumClass.TAPE:
        pool, to = pool_and_state(tapes.settings, volume)
        record.recognised(tx, tapes.agent, barcode, volume, pool, to)


def pool_and_state(settings: Settings, volume: Volume) -> tuple[str, CartridgeState]:
    """To which pool a cartridge belongs by what is on it, and what it is good for: of none, it is only read."""
    pool = next((pool.name for pool in settings.pools if pool.set == volume.domain), "")
    return pool, CartridgeState.APPENDABLE if pool else CartridgeState.READ_ONLY


def _see(tx: Tx, library: LibrarySettings, drive: DriveSeen) -> None:
    before = tape_drives.at(tx, library.name, drive.number)
    serial = drive.serial or (before.serial if before is not None and drive.problem else "")
    if serial:
        facts = drive.facts
        tape_drives.seen(
            tx, serial, library=library.name, number=drive.number, vendor=facts.vendor if facts else "",
            product=facts.product if facts else "", revision=facts.revision if facts else "", problem=drive.problem,
        )  # fmt: skip


def element_of(place: Drive | Slot) -> str:
    """A place as it is written down: ``slot 3``, ``drive 0``."""
    return f"drive {place.number}" if isinstance(place, Drive) else f"slot {place.number}"


def _name(found: Found) -> str:
    return found.barcode or f"The cartridge in {element_of(found.place)}"
