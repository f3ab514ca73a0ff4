"""The desk at which people ask for things of tapes: what is, and what is done by order. Each order has its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from hardware.tape.changer import OperatorAsked
from hardware.tape.errors import NotInLibrary
from hardware.tape.library import Library
from hardware.tape.manual import ManualChanger
from hardware.tape.own_session import said
from hardware.tape.session import CartridgeSession
from hardware.tape.virtual import VirtualChanger
from vault.catalog import cartridges, copies, tape_drives
from vault.catalog import volumes as catalog_volumes
from vault.custody import modes
from vault.custody.recalls import Recall
from vault.errors import NotFound, Refused
from vault.identifiers import package_reference
from vault.model import CopyState, EventType, Volume, VolumeMode
from vault.tape_model import Cartridge, CartridgeState, Clearing, MountRequest, TapeDrive, Whereabouts
from vault.tapes import clearing, holding, record, singles
from vault.tapes.cache import RecallCache
from vault.tapes.context import Tapes
from vault.tapes.drives import clean_drive
from vault.tapes.formatting import give_up_copies, is_blank, make_volume
from vault.tapes.indexes import Listing, listing
from vault.tapes.librarian import Librarian, LibraryView
from vault.tapes.loading import asked_of_a_person, loaded
from vault.tapes.recaller import shown
from vault.tapes.shelves import element_of, reconcile

T = TypeVar("T")

_LIVE: Final = tuple(state for state in CopyState if state is not CopyState.RETIRED)
_MB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A cartridge with what is on it. ``volume`` is None before it was formatted, ``due_at`` when the first of its
    copies is to be checked, ``convert_at`` when what is on it is to be moved to a new one, ``copies`` their numbers by
    state, ``request`` why it is asked for, ``clearing`` how far it was read where the doubt about it is to be ended.

    ``left`` are, after a check-in, the cartridges that still stand in the import/export slots, as nobody scanned them
    or they are to be taken out; empty for one without a label."""

    cartridge: Cartridge
    volume: Volume | None
    copies: Mapping[CopyState, int]
    due_at: datetime | None
    request: MountRequest | None
    convert_at: datetime | None = None
    clearing: Clearing | None = None
    left: tuple[str, ...] = ()


class TapeDesk:
    """Everything about tapes that the API offers. May be used from any thread; what moves a cartridge blocks."""

    def __init__(self, tapes: Tapes, librarians: Mapping[str, Librarian], cache: RecallCache) -> None:
        self._tapes = tapes
        self._cache = cache
        self._librarians = librarians

    # --- looking

    def libraries(self) -> list[LibraryView]:
        """How the libraries stand."""
        return [librarian.view() for librarian in self._librarians.values()]

    def all(self) -> list[Shown]:
        """Every cartridge, by barcode."""
        with self._tapes.custodian.catalogue.read() as tx:
            volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
            numbers = copies.counts(tx)
            due = cartridges.next_due(tx)
            asked = {request.barcode: request for request in cartridges.requests(tx)}
            clearings = record.clearings(tx)
            return [
                Shown(
                    cartridge,
                    volumes.get(cartridge.volume_id) if cartridge.volume_id is not None else None,
                    {state: number for (name, state), number in numbers.items() if name == cartridge.barcode},
                    due.get(cartridge.volume_id) if cartridge.volume_id is not None else None,
                    asked.get(cartridge.barcode),
                    self._convert_at(cartridge),
                    clearings.get(cartridge.barcode),
                )
                for cartridge in cartridges.all(tx)
            ]

    def _convert_at(self, cartridge: Cartridge) -> datetime | None:
        pool = next((pool for pool in self._tapes.settings.pools if pool.name == cartridge.pool), None)
        if pool is None or cartridge.formatted_at is None or cartridge.state is CartridgeState.RETIRED:
            return None
        return cartridge.formatted_at + pool.convert_after

    def one(self, barcode: str) -> Shown:
        """One cartridge. Raises NotFound."""
        self._known(barcode)
        return next(shown for shown in self.all() if shown.cartridge.barcode == barcode)

    def requests(self) -> list[MountRequest]:
        """What is asked for, the longest first."""
        with self._tapes.custodian.catalogue.read() as tx:
            return cartridges.requests(tx)

    def files(self, barcode: str, prefix: str, start: int, limit: int) -> Listing:
        """What stands on a cartridge, by the index that was kept of it; see :func:`vault.tapes.indexes.listing`."""
        shown = self.one(barcode)
        if shown.volume is None:
            raise NotFound(
                f"Nothing is known to be on the cartridge {barcode}.",
                remedy=f"If somebody else wrote it: vaultctl tapes import {barcode}",
                code="no-index",
            )
        return listing(self._tapes, shown.volume, prefix=prefix, start=start, limit=limit)

    def drives(self) -> list[TapeDrive]:
        """Every drive that was ever seen, by library and number."""
        with self._tapes.custodian.catalogue.read() as tx:
            return tape_drives.all(tx)

    def file(self, barcode: str, path: str) -> tuple[int, str] | None:
        """A file of an adopted cartridge that was brought back, opened for reading, with its sha512; None where it was
        not."""
        return singles.opened(self._tapes, self._cache, barcode, path)

    # --- orders

    def order_file(self, barcode: str, path: str, agent: str) -> Recall:
        """Have a file of an adopted cartridge of somebody else brought back; see :func:`vault.tapes.singles.order`."""
        ordered = singles.order(self._tapes, self._cache, barcode, path, agent)
        self._librarian(self._known(barcode).library).wake()
        return shown(ordered, self._cache.keep)

    def clean(self, library: str, number: int, agent: str) -> str:
        """Clean a drive now, whether it asks for it or not; says how it went. Raises NotFound (``no-such-drive``),
        Refused (``tape-refused``: no cleaning cartridge with uses left is in the library), Unreachable."""
        librarian = self._librarian(library)
        with self._tapes.custodian.catalogue.read() as tx:
            if tape_drives.at(tx, library, number) is None:
                raise NotFound(
                    f"The library {library} has no drive {number}.",
                    remedy="Look at vaultctl tapes drives.",
                    code="no-such-drive",
                )
        said = librarian.call(
            lambda opened: clean_drive(self._tapes, opened, number, agent), what=f"clean drive {number}"
        )
        librarian.wake()
        return said

    def release(self, library: str, number: int, agent: str) -> None:
        """A drive that was held is in order again; see :func:`vault.tapes.holding.release`."""
        librarian = self._librarian(library)
        holding.release(self._tapes, library, number, agent)
        librarian.at_once()

    def clear(self, barcode: str, agent: str) -> Shown:
        """Have a suspect cartridge read through; see :func:`vault.tapes.clearing.order`."""
        clearing.order(self._tapes, barcode, agent)
        self._librarian(self._known(barcode).library).wake()
        return self.one(barcode)

    def inventory(self, library: str) -> None:
        """Ask a library what is where, now."""
        librarian = self._librarian(library)

        def act(opened: Library) -> None:
            reconcile(self._tapes, librarian.settings, opened.inventory())

        librarian.call(act)

    def format(self, barcode: str, pool_name: str, erase: str, agent: str) -> Shown:
        """Make an empty volume of a pool. What is on it is destroyed only where ``erase`` is its barcode, and no copy
        that counts is on it: none, or it was evacuated and retired. Raises Refused (``cartridge-not-blank``,
        ``cartridge-needed``)."""
        pool = self._tapes.settings.pool(pool_name)
        cartridge = self._known(barcode)
        if cartridge.state is CartridgeState.CLEANING:
            raise Refused(f"{barcode} is a cleaning cartridge; it holds no data.", code="tape-refused")
        self._refuse_needed(barcode)

        def act(library: Library) -> None:
            # What waited before it may have written to it, and a person may have taken it into use again.
            self._refuse_needed(barcode)
            with _unchecked(self._tapes, library, barcode) as session:
                content = session.recognise()
                if not is_blank(self._tapes, barcode, content) and erase != barcode:
                    raise Refused(
                        f"The cartridge {barcode} is not blank: {said(content)}.",
                        remedy=f"To destroy that for good: vaultctl tapes format {barcode} --pool {pool.name}"
                        f" --erase {barcode}",
                        code="cartridge-not-blank",
                    )
                library.check_writes()
                give_up_copies(self._tapes, barcode, agent)
                make_volume(self._tapes, session, pool, barcode, content, agent)

        self._librarian(cartridge.library).call(act)
        return self.one(barcode)

    def _refuse_needed(self, barcode: str) -> None:
        """Raise Refused (``cartridge-needed``) for a cartridge with copies that count, or that something is saved by:
        those on a retired one count no more, but what stood in for them may have been lost since."""
        shown = self.one(barcode)
        if not any(number for state, number in shown.copies.items() if state in _LIVE):
            return
        if shown.volume is None or shown.volume.mode is not VolumeMode.RETIRED:
            raise Refused(
                f"The cartridge {barcode} holds copies that count.",
                remedy=f"Have them made anew elsewhere first: vaultctl volumes evacuate {barcode}. When that is done:"
                f" vaultctl volumes set-state {barcode} retired",
                code="cartridge-needed",
            )
        version = modes.needed_by(self._tapes.custodian, shown.volume)
        if version is not None:
            raise Refused(
                f"{package_reference(version.identifier, version.number)} has not enough good copies without the one"
                f" on the retired cartridge {barcode}.",
                remedy="Wait until vaultctl status says that its policy holds. If it stays below, take the cartridge"
                f" into use again: vaultctl volumes set-state {barcode} read-only",
                code="cartridge-needed",
            )

    def load(self, barcode: str, agent: str) -> Shown:
        """Put it into a drive, and see that it is the right one."""
        cartridge = self._known(barcode)

        def act(library: Library) -> None:
            with loaded(self._tapes, library, barcode) as session:
                where = f"drive {session.drive}"
            self._told(barcode, agent, {"loaded": where})

        self._librarian(cartridge.library).call(act)
        return self.one(barcode)

    def unload(self, barcode: str, agent: str) -> Shown:
        """Put it back into its slot."""
        cartridge = self._known(barcode)

        def act(library: Library) -> None:
            _put_back(library, barcode)
            self._told(barcode, agent, {"unloaded": barcode})

        self._librarian(cartridge.library).call(act)
        return self.one(barcode)

    def checkout(self, barcode: str, shelf: str, agent: str) -> Shown:
        """Take it out of the library, to a shelf. It is moved to the import/export slot where there is one."""
        cartridge = self._known(barcode)

        def act(library: Library) -> None:
            _put_back(library, barcode)
            if any(slot.import_export and not slot.full for slot in library.changer.inventory().slots):
                library.export(barcode)
            library.departed(barcode)
            # Until somebody has taken it, it stands there still, and is not taken for one that came back.
            left = library.inventory().find(barcode)
            element = element_of(left.place) if left is not None else ""
            with self._tapes.custodian.catalogue.write() as tx:
                record.placed(
                    tx, agent, cartridges.need(tx, barcode), Whereabouts.VAULTED, element=element, shelf=shelf
                )

        self._librarian(cartridge.library).call(act)
        return self.one(barcode)

    def checkin(self, barcode: str, agent: str) -> Shown:
        """It was brought, and its label scanned: it, and no other, is taken in from the import/export slot. What stands
        there beside it is in ``left``. Of a drive that is loaded by hand it is the proof that what was asked for was
        done, or that a cartridge came to its shelf.

        Raises NotFound, Refused (``cartridge-not-there`` where the library does not show it, ``tape-refused`` where
        a person was asked for another one)."""
        librarian = self._librarian_for(barcode)

        def act(library: Library) -> tuple[str, ...]:
            _brought(library, barcode)
            with self._tapes.custodian.catalogue.read() as tx:
                new = cartridges.get(tx, barcode) is None
            if new:
                reconcile(self._tapes, librarian.settings, library.inventory())
            with self._tapes.custodian.catalogue.write() as tx:
                record.placed(tx, agent, cartridges.need(tx, barcode), Whereabouts.LIBRARY, shelf="")
                record.request_ended(tx, agent, barcode, "it was checked in")
                record.looked_at_anew(tx, agent, cartridges.need(tx, barcode))
            seen = library.inventory()
            reconcile(self._tapes, librarian.settings, seen)
            return tuple(slot.barcode for slot in seen.status.slots if slot.import_export and slot.full)

        left = librarian.call(act)
        librarian.at_once()
        return replace(self.one(barcode), left=left)

    def make_practice(self, library: str, barcode: str, capacity_bytes: int) -> Shown:
        """A blank cartridge in a virtual library."""
        librarian = self._librarian(library)

        def act(opened: Library) -> None:
            if not isinstance(opened.changer, VirtualChanger):
                raise Refused(f"The library {library} is a real one: put a cartridge into it.", code="tape-refused")
            opened.changer.add_cartridge(barcode, capacity_mb=max(1, capacity_bytes // _MB))
            reconcile(self._tapes, librarian.settings, opened.inventory())

        librarian.call(act)
        return self.one(barcode)

    def librarian_of(self, barcode: str) -> Librarian:
        """Who has the library in which this cartridge is; one that was just put in is looked for there. Raises
        NotFound (``no-such-cartridge``)."""
        with self._tapes.custodian.catalogue.read() as tx:
            known = cartridges.get(tx, barcode)
        if known is None:
            for library in self._librarians:
                self.inventory(library)
        return self._librarian(self._known(barcode).library)

    # --- how it is done

    def _librarian_for(self, barcode: str) -> Librarian:
        """Who has the library to which a cartridge was brought. One that was never seen can be brought to the one drive
        that is loaded by hand."""
        try:
            return self.librarian_of(barcode)
        except NotFound:
            by_hand = [one for one in self._librarians.values() if one.call(_is_by_hand)]
            if len(by_hand) != 1:
                raise
            return by_hand[0]

    def _known(self, barcode: str) -> Cartridge:
        with self._tapes.custodian.catalogue.read() as tx:
            return cartridges.need(tx, barcode)

    def _librarian(self, library: str) -> Librarian:
        if library not in self._librarians:
            self._tapes.settings.library(library)
        return self._librarians[library]

    def _told(self, barcode: str, agent: str, detail: dict[str, str]) -> None:
        with self._tapes.custodian.catalogue.write() as tx:
            record.told(tx, EventType.CARTRIDGE_CHANGED, agent, barcode, {**detail})


def _is_by_hand(library: Library) -> bool:
    return isinstance(library.changer, ManualChanger)


def _brought(library: Library, barcode: str) -> None:
    """What a person did with the cartridge whose label was scanned."""
    asked = library.asked
    if asked is not None and (barcode == asked.barcode or library.inventory().find(barcode) is not None):
        library.confirm(barcode)
        return
    try:
        library.arrived(barcode)
    except NotInLibrary as error:
        raise Refused(
            f"The library does not show {barcode}.",
            remedy="Put it into the import/export slot, close the door, and try again.",
            code="cartridge-not-there",
        ) from error


def _put_back(library: Library, barcode: str) -> None:
    """Out of the drive, if it is in one."""
    for drive in library.changer.inventory().drives:
        if drive.full and drive.barcode == barcode:
            outcome = library.unload(drive.number)
            if isinstance(outcome, OperatorAsked):
                raise asked_of_a_person(outcome, "then try again")


def _unchecked(tapes: Tapes, library: Library, barcode: str) -> CartridgeSession:
    """A session with a cartridge whatever volume is on it: it is to be formatted."""
    with tapes.custodian.catalogue.read() as tx:
        cartridges.need(tx, barcode)
        avoid = holding.avoided(tx, library.name)
    session = library.load(barcode, write=True, avoid=avoid)
    if isinstance(session, OperatorAsked):
        raise asked_of_a_person(session, "then try again")
    return session
