"""A tape library: one changer and its drives, held by one owner, with every load verified.

Whoever has a :class:`Library` is the only one that moves its cartridges and speaks to its drives; a second one, in this
process or another, meets ``Busy`` where it opens the changer. Drives are paired with the changer's elements by serial
number before this is made (:mod:`hardware.tape.libraries` does it for each kind).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

from hardware.errors import Busy, Corrupted, HardwareError, NotFound, Refused, Unreachable, Unsupported
from hardware.tape import barcodes, cleaning
from hardware.tape.barcodes import Kind
from hardware.tape.changer import Changer, Drive, Moved, OperatorAsked, Outcome, Slot
from hardware.tape.cleaning import CleaningCartridge
from hardware.tape.drive import DriveFacts, DriveState, check_fits
from hardware.tape.errors import (
    DuplicateBarcode,
    ElementFull,
    HomeUnknown,
    Incompatible,
    InvalidElement,
    NotInLibrary,
    TimedOut,
    WrongCartridge,
    WrongVolume,
)
from hardware.tape.held import DrivePort
from hardware.tape.inventory import DriveSeen, Found, Inventory, cartridges_in, changes_between
from hardware.tape.manual import ManualChanger
from hardware.tape.pages import DriveStatistics, VolumeStatistics
from hardware.tape.session import CartridgeSession
from hardware.tape.tapealert import Flag
from hardware.tape.virtual import VirtualChanger

_CLEANING_TIMEOUT: Final = 900.0
"""Seconds that a cleaning may take; makers give two to five minutes."""
_INTERVAL: Final = 3.0


class NewSession(Protocol):
    """Makes the session for a cartridge that was loaded: which of the two kinds, is the library's configuration."""

    def __call__(self, port: DrivePort, barcode: str, ended: Callable[[], None]) -> CartridgeSession:
        """A session; ``ended`` is to be called when it is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaning that was done. ``cartridge`` counts this use; ``flags`` are what the drive says afterwards, and
    ``INVALID_CLEANING_MEDIUM`` where it made the cartridge ready, as one with data: it has cleaned nothing."""

    drive: int
    cartridge: CleaningCartridge
    flags: frozenset[Flag]


class Library:
    """A library, whatever its kind. All methods may be called from any thread; each waits for the one before."""

    def __init__(
        self,
        changer: Changer,
        ports: Mapping[int, DrivePort],
        new_session: NewSession,
        *,
        name: str = "",
        lacking: Callable[[], HardwareError | None] = lambda: None,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ports`` are the drives by their number in the changer; a drive without a port was not found by serial.
        ``lacking`` says what is missing on this machine for writing, each time it is asked."""
        self.name = name
        self._lacking = lacking
        self.changer = changer
        self._ports = dict(ports)
        self._new_session = new_session
        self._wait = wait
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions: dict[int, CartridgeSession] = {}
        self._seen: Inventory | None = None
        self.tried: int | None = None
        """The drive that the last :meth:`load` chose, also where that failed; None where it came to no choice."""

    # Looking.

    def inventory(self) -> Inventory:
        """What is where now, and what somebody changed since the last inventory. The library is asked each time.

        Raises what :meth:`Changer.inventory` raises: ``DoorOpen``, ``NotReady``, ``TimedOut``, …
        """
        with self._lock:
            status = self.changer.inventory()
            found = cartridges_in(status)
            changes = changes_between(self._seen.cartridges, found) if self._seen else ()
            drives = tuple(self._seen_drive(drive) for drive in status.drives)
            seen = Inventory(status, found, drives, status.duplicates(), changes)
            self._seen = seen
            return seen

    def check_writes(self) -> None:
        """Raise ``Unreachable`` where no cartridge can be written here, whichever it is, as the programs for that are
        not installed. Everything but formatting and writing can be done all the same."""
        if (lacking := self._lacking()) is not None:
            raise lacking

    def session_in(self, drive: int) -> CartridgeSession | None:
        """The session that has a drive's cartridge open."""
        return self._sessions.get(drive)

    def alerts(self, drive: int) -> frozenset[Flag]:
        """TapeAlert flags of a drive since they were read last. This is their one reader: reading clears them."""
        with self._lock:
            self._check_free(drive)
            return self._port(drive).drive().alerts()

    def life(self, drive: int) -> DriveStatistics:
        """What a drive has counted of itself; unknown is None."""
        with self._lock:
            self._check_free(drive)
            return self._port(drive).drive().life()

    def cartridge_life(self, drive: int) -> VolumeStatistics:
        """What the memory of the cartridge in a drive has counted; unknown is None."""
        with self._lock:
            self._check_free(drive)
            return self._port(drive).drive().statistics()

    # Moving.

    def load(
        self,
        barcode: str,
        *,
        write: bool = False,
        drive: int | None = None,
        volume_uuid: str = "",
        avoid: Collection[int] = (),
    ) -> CartridgeSession | OperatorAsked:
        """Put a cartridge into a drive that fits it, and see that it is the right one.

        A cartridge that is in a drive already is used there. A drive that holds another cartridge, without a session,
        is unloaded first. Its label on tape must agree with its barcode, and its volume with ``volume_uuid`` where that
        is given. Where a person does it, :class:`OperatorAsked` is returned: call again when it was confirmed.
        It is put into none of the drives to ``avoid``, and taken out where it is in one of them.

        Raises ``NotInLibrary``, ``DuplicateBarcode``, ``Incompatible`` (generation, or a cleaning cartridge; nothing
        was moved), ``Busy`` (all drives that fit are in use, or to be avoided), ``WrongCartridge`` and ``WrongVolume``
        (it was put back).
        """
        with self._lock:
            self.tried = None
            label = barcodes.parse(barcode)
            if label.kind is Kind.CLEANING:
                raise Incompatible(f"{barcode} is a cleaning cartridge; it holds no data.", remedy="Use it to clean.")
            inventory = self.inventory()
            if barcode in inventory.duplicates:
                raise _twice(barcode)
            found = inventory.find(barcode)
            if found is None:
                raise NotInLibrary(f"The cartridge {barcode} is not in the library.", remedy="Fetch it and insert it.")
            place = found.place
            if isinstance(place, Drive) and place.number in avoid:
                outcome = self.unload(place.number)
                if isinstance(outcome, OperatorAsked):
                    return outcome
                inventory = self.inventory()
                place = next(one.place for one in inventory.cartridges if one.barcode == barcode)
            number = self._choose(
                inventory, place, drive, lambda facts: check_fits(facts, label, write=write), frozenset(avoid)
            )
            self.tried = number
            if not isinstance(place, Drive):
                outcome = self._bring(inventory, place, number, barcode)
                if isinstance(outcome, OperatorAsked):
                    return outcome
            return self._begin(number, barcode, volume_uuid)

    def unload(self, drive: int, slot: int | None = None) -> Outcome:
        """Put a drive's cartridge back where it came from, or into a slot; where another one has taken its place, into
        a free slot. ``Busy`` while a session has it, ``HomeUnknown`` where no slot is free."""
        with self._lock:
            self._check_free(drive)
            return self._unload(self.changer.inventory().drive(drive), slot)

    def transfer(self, barcode: str, slot: int) -> Outcome:
        """Move a cartridge to a slot, wherever it is. Raises ``NotInLibrary``, ``ElementFull``, ``Busy``."""
        with self._lock:
            found = self.inventory().find(barcode)
            if found is None:
                raise NotInLibrary(f"The cartridge {barcode} is not in the library.", remedy="Fetch it and insert it.")
            if isinstance(found.place, Drive):
                return self.unload(found.place.number, slot)
            return self._noted(self.changer.transfer(found.place.number, slot, barcode=barcode))

    def export(self, barcode: str) -> Outcome:
        """Move a cartridge to a free import/export slot, where a person can take it out. ``ElementFull``."""
        with self._lock:
            ports = [slot for slot in self.changer.inventory().slots if slot.import_export and not slot.full]
            if not ports:
                raise ElementFull(
                    "The library has no free import/export slot.",
                    remedy="Take out what is in them.",
                )
            return self.transfer(barcode, ports[0].number)

    def take_in(self, barcode: str) -> Outcome | None:
        """Move a cartridge that a person put into an import/export slot to a free slot, and none that stands beside it.
        None where it stands in no such slot. Raises ``DuplicateBarcode``, ``ElementFull`` where no slot is free."""
        with self._lock:
            status = self.changer.inventory()
            places = status.find(barcode)
            if len(places) > 1:
                raise _twice(barcode)
            port = next((place for place in places if isinstance(place, Slot) and place.import_export), None)
            if port is None:
                return None
            free = [slot for slot in status.slots if not slot.full and not slot.import_export]
            if not free:
                raise ElementFull("The library has no free slot.", remedy="Export a cartridge first.")
            return self._noted(self.changer.transfer(port.number, free[0].number, barcode=barcode))

    # What a person does.

    @property
    def asked(self) -> OperatorAsked | None:
        """What a person is asked to do; None where nothing is, and where a robot does it."""
        return self.changer.asked() if isinstance(self.changer, ManualChanger) else None

    def departed(self, barcode: str) -> None:
        """A cartridge that was put where a person can take it has gone; where a robot holds it, it stands there yet."""
        with self._lock:
            if isinstance(self.changer, ManualChanger):
                self.changer.take_away(barcode)
            elif isinstance(self.changer, VirtualChanger):
                # In a library that is a folder, nobody stands at the door.
                found = self.inventory().find(barcode)
                if found is not None and isinstance(found.place, Slot):
                    self.changer.remove(found.place.number)

    def confirm(self, barcode: str) -> Moved:
        """What was asked was done with the cartridge whose label was scanned.

        Raises ``WrongCartridge`` (another one was asked for, and still is), ``Refused`` (none was).
        """
        with self._lock:
            if not isinstance(self.changer, ManualChanger):
                raise Refused("This library asks nobody for anything.", remedy="Its robot moves the cartridges.")
            moved = self.changer.confirm(barcode)
            self._noted(moved)
            return moved

    def arrived(self, barcode: str) -> Found:
        """A cartridge was brought: put on the shelf of a drive without a robot, or into the library; says where it is.

        Raises ``NotInLibrary`` where the library does not see it, ``ElementFull``, ``Refused`` (label).
        """
        with self._lock:
            if isinstance(self.changer, ManualChanger):
                if self.changer.inventory().find(barcode) == ():
                    self.changer.place(barcode)
            else:
                if isinstance(self.changer, VirtualChanger) and barcode in self.changer.shelf():
                    self.changer.insert(barcode)
                self.take_in(barcode)
            found = self.inventory().find(barcode)
            if found is None:
                raise NotInLibrary(
                    f"The cartridge {barcode} is not in the library.",
                    remedy="Put it into an import/export slot, close the door, and try again.",
                )
            return found

    # Cleaning.

    def clean(self, drive: int, cartridges: Iterable[CleaningCartridge] = ()) -> Cleaned | OperatorAsked:
        """Clean a drive with the cleaning cartridge in the library that has the fewest uses left.

        ``cartridges`` are what is known of their uses; one that is not among them counts as new. Raises ``Refused``
        where none with uses left is there, ``Busy`` while a session has the drive.
        """
        with self._lock:
            self._check_free(drive)
            inventory = self.inventory()
            known = {cartridge.barcode: cartridge for cartridge in cartridges}
            here = [known.get(found.barcode, CleaningCartridge(found.barcode)) for found in inventory.cleaning]
            chosen = cleaning.choose(here)
            place = next(found.place for found in inventory.cleaning if found.barcode == chosen.barcode)
            if not isinstance(place, Drive):
                outcome = self._bring(inventory, place, drive, chosen.barcode)
                if isinstance(outcome, OperatorAsked):
                    return outcome
            taken_for_data = self._wait_cleaned(drive) is DriveState.READY
            try:
                flags = self._port(drive).drive().alerts()
            except Unsupported:
                flags = frozenset()  # a drive without TapeAlert
            flags -= {Flag.CLEANING_MEDIUM}  # it is one: nothing to tell anybody
            if taken_for_data:
                flags |= {Flag.INVALID_CLEANING_MEDIUM}
            self._unload(self.changer.inventory().drive(drive), None)
            return Cleaned(drive, chosen.used(flags), flags)

    def close(self) -> None:
        """End all sessions and let go of drives and changer. Cartridges stay where they are."""
        with self._lock:
            try:
                for session in list(self._sessions.values()):
                    session.close()
                for port in self._ports.values():
                    port.let_go()
            finally:
                self.changer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # How it is done.

    def _seen_drive(self, drive: Drive) -> DriveSeen:
        session = self._sessions.get(drive.number)
        if session is not None:
            # While a session has it, nobody else may speak to the drive: what was seen of it last is said.
            facts = (
                next((seen.facts for seen in self._seen.drives if seen.number == drive.number), None)
                if self._seen
                else None
            )
            return DriveSeen(drive.number, facts.serial if facts else drive.serial, facts, session.barcode)
        try:
            device = self._port(drive.number).drive()
            device.state()
            return DriveSeen(drive.number, device.facts().serial, device.facts())
        except HardwareError as error:
            if isinstance(error, Unreachable) and drive.number in self._ports:
                self._ports[drive.number].let_go()
            return DriveSeen(drive.number, drive.serial, None, problem=str(error))

    def _port(self, drive: int) -> DrivePort:
        if drive not in self._ports:
            raise InvalidElement(
                f"Drive {drive} of the library has no device that bears its serial number.",
                remedy="Check its cables (lsscsi -g), and the list of drives in the configuration.",
            )
        return self._ports[drive]

    def _check_free(self, drive: int) -> None:
        if drive in self._sessions:
            raise Busy(
                f"A session has {self._sessions[drive].barcode} in drive {drive}.", remedy="Wait until it has ended."
            )

    def _choose(
        self,
        inventory: Inventory,
        place: Drive | Slot,
        wanted: int | None,
        check: Callable[[DriveFacts], None],
        avoid: frozenset[int],
    ) -> int:
        """The drive for a cartridge: where it is, the one that is wanted, or the best that fits and is free."""
        if isinstance(place, Drive):
            if wanted not in {None, place.number}:
                raise Busy(f"The cartridge is in drive {place.number}.", remedy="Unload it first.")
            wanted = place.number
        if wanted is not None:
            inventory.status.drive(wanted)
        candidates = [seen for seen in inventory.drives if wanted in {None, seen.number} and seen.number not in avoid]
        problems: list[HardwareError] = []
        fitting = []
        for seen in candidates:
            try:
                if seen.facts is None and not seen.in_session:
                    self._port(seen.number).drive().state()
                if seen.facts is not None:
                    check(seen.facts)
                fitting.append(seen)
            except HardwareError as error:
                problems.append(error)
        if not fitting and avoid:
            # What the others say is no verdict on the cartridge: it may fit the one that is not to be used.
            raise Busy("No drive that fits may be used now.", remedy="Look at vaultctl tapes drives.")
        if not fitting:
            raise (problems[0] if problems else NotFound("The library has no drive.", remedy="Look at its settings."))
        free = [seen for seen in fitting if not seen.in_session]
        if not free:
            holders = ", ".join(sorted(seen.in_session for seen in fitting))
            raise Busy(f"All drives that fit are in use ({holders}).", remedy="Wait until a session has ended.")
        return min(free, key=lambda seen: (inventory.status.drive(seen.number).full, seen.number)).number

    def _bring(self, inventory: Inventory, source: Slot, drive: int, barcode: str) -> Outcome:
        """Into the drive, which is emptied before."""
        if (target := inventory.status.drive(drive)).full:
            outcome = self._unload(target, None)
            if isinstance(outcome, OperatorAsked):
                return outcome
        return self._noted(self.changer.load(source.number, drive, barcode=barcode))

    def _unload(self, drive: Drive, slot: int | None) -> Outcome:
        port = self._ports.get(drive.number)
        if port is not None and drive.full:
            port.drive().unload()
        try:
            return self._noted(self.changer.unload(drive.number, slot, barcode=drive.barcode))
        except (ElementFull, HomeUnknown):
            # Somebody put another cartridge where this one came from.
            free = [other for other in self.changer.inventory().slots if not other.full and not other.import_export]
            if slot is not None or not free:
                raise
            return self._noted(self.changer.unload(drive.number, free[0].number, barcode=drive.barcode))

    def _noted(self, outcome: Outcome) -> Outcome:
        """What we moved ourselves is no change that somebody made."""
        if isinstance(outcome, Moved) and self._seen is not None:
            status = self.changer.inventory()
            kept = [found for found in self._seen.cartridges if found.barcode != outcome.barcode]
            mine = [found for found in cartridges_in(status) if found.barcode == outcome.barcode]
            seen = self._seen
            self._seen = Inventory(seen.status, (*kept, *mine), seen.drives, seen.duplicates)
        return outcome

    def _begin(self, drive: int, barcode: str, volume_uuid: str) -> CartridgeSession:
        self._check_free(drive)
        port = self._port(drive)

        def ended() -> None:
            self._sessions.pop(drive, None)

        session = self._new_session(port, barcode, ended)
        self._sessions[drive] = session
        try:
            check_label(session, volume_uuid)
        except WrongCartridge:
            session.close()
            self._unload(self.changer.inventory().drive(drive), None)
            raise
        except BaseException:
            session.close()
            raise
        return session

    def _wait_cleaned(self, drive: int) -> DriveState:
        """Until the drive has finished with its cleaning cartridge: it then reports that there is none."""
        end = self._clock() + _CLEANING_TIMEOUT
        device = self._port(drive).drive()
        while (state := device.state()) in {DriveState.CLEANING, DriveState.LOADING}:
            if self._clock() >= end:
                raise TimedOut(
                    f"Drive {drive} still cleans after {_CLEANING_TIMEOUT / 60:.0f} minutes.",
                    remedy="Look at its panel, and take the cleaning cartridge out.",
                )
            self._wait(_INTERVAL)
        return state


def _twice(barcode: str) -> DuplicateBarcode:
    return DuplicateBarcode(
        f"Two cartridges in the library bear the label {barcode}.",
        remedy="Take both out, find out which is which, and give one of them a label of its own.",
    )


def check_label(session: CartridgeSession, volume_uuid: str = "") -> None:
    """Raise ``WrongCartridge`` where the label on the tape contradicts that on the box; blank and foreign pass.

    With ``volume_uuid`` that very volume must be on it (``WrongVolume``), and its label be readable (``Corrupted``).
    """
    try:
        label = session.label()
    except Corrupted:
        if volume_uuid:
            raise
        return
    if label is None and volume_uuid:
        raise WrongVolume(
            f"The cartridge {session.barcode} bears no LTFS volume; {volume_uuid} was expected.",
            remedy="Somebody exchanged labels or erased it: set it aside, and find the right one.",
        )
    if label is not None and label.serial and label.serial != session.barcode[:6]:
        raise WrongCartridge(
            f"The box says {session.barcode}, and the label on the tape says {label.serial}.",
            remedy="Somebody exchanged labels, or formatted it under another name: set it aside.",
        )
    if label is not None and volume_uuid and label.volume_uuid != volume_uuid:
        raise WrongVolume(
            f"The cartridge {session.barcode} bears the volume {label.volume_uuid}, and not {volume_uuid}.",
            remedy="Somebody exchanged labels, or formatted it elsewhere: set it aside.",
        )
