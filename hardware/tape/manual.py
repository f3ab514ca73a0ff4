"""No library at all: one drive, a shelf, and a person who is asked for cartridges by name.

The slots are the places on the shelf: each cartridge that was put on it has one. :meth:`ManualChanger.load` and
:meth:`ManualChanger.unload` answer with :class:`~hardware.tape.changer.OperatorAsked`; the person does it, scans the
label, and :meth:`ManualChanger.confirm` is the proof. What was asked is kept, so that a restart asks for the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final, Self

from hardware.errors import Busy, NotFound, Refused, Unsupported
from hardware.tape import barcodes, changer
from hardware.tape.changer import Drive, LibraryStatus, Moved, OperatorAsked, Slot
from hardware.tape.errors import ElementFull, WrongCartridge
from hardware.tape.state import State, make_folder

STATE: Final = "manual.json"
_VERSION: Final = 1
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What is remembered: the label at each place (empty for a free one), the place that is loaded, what is asked."""

    places: tuple[str, ...] = ()
    loaded: int | None = None
    asked: int | None = None
    loading: bool = True

    def status(self, serial: str) -> LibraryStatus:
        drive = Drive(0, False, serial=serial)
        if self.loaded is not None:
            drive = Drive(0, True, self.places[self.loaded - 1], self.loaded, serial)
        return LibraryStatus(
            (drive,),
            tuple(
                Slot(number, bool(label) and number != self.loaded, "" if number == self.loaded else label)
                for number, label in enumerate(self.places, 1)
            ),
            in_robot=False,
        )


class ManualChanger:
    """A single drive that is loaded by hand as a :class:`~hardware.tape.changer.Changer`."""

    def __init__(self, folder: str | os.PathLike[str], *, serial: str = "") -> None:
        """Hold the drive; ``folder`` keeps what is known, and is made if need be. ``Busy``, ``Malformed``."""
        make_folder(folder)
        self._serial = serial
        self._state = State(folder, STATE)
        try:
            self._shelf()
        except BaseException:
            self._state.close()
            raise

    # What the protocol asks for.

    def inventory(self) -> LibraryStatus:
        """What is where, as it was confirmed last."""
        return self._shelf().status(self._serial)

    def load(self, slot: int, drive: int, *, barcode: str = "") -> OperatorAsked:
        """Ask a person to put a cartridge into the drive. ``Busy`` while something else is asked."""
        shelf = self._shelf()
        status = shelf.status(self._serial)
        source, target = status.slot(slot), status.drive(drive)
        if (asked := _asked(shelf)) is not None:
            return self._same(asked, shelf, slot, barcode, loading=True)
        changer.check_source(source, barcode)
        changer.check_target(target)
        return self._ask(replace(shelf, asked=slot, loading=True))

    def unload(self, drive: int, slot: int | None = None, *, barcode: str = "") -> OperatorAsked:
        """Ask a person to take the cartridge out, and put it back to its place or into a free one."""
        shelf = self._shelf()
        status = shelf.status(self._serial)
        source = status.drive(drive)
        target = None if slot is None else status.slot(slot)
        if (asked := _asked(shelf)) is not None:
            return self._same(asked, shelf, shelf.asked if slot is None else slot, barcode, loading=False)
        changer.check_source(source, barcode)
        home = target or changer.home_of(status, source)
        changer.check_target(home)
        return self._ask(replace(shelf, asked=home.number, loading=False))

    def transfer(self, source: int, target: int, *, barcode: str = "") -> OperatorAsked:
        """Not here: where on a shelf a cartridge lies is up to the person."""
        raise Unsupported(
            f"Nothing can move the cartridge {barcode} from place {source} to {target}: there is no robot.",
            remedy="Move it by hand.",
        )

    def close(self) -> None:
        """Let go of the drive."""
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # The person.

    def asked(self) -> OperatorAsked | None:
        """What a person is asked for now."""
        return _asked(self._shelf())

    def confirm(self, barcode: str) -> Moved:
        """It was done with the cartridge whose label was scanned.

        Raises ``WrongCartridge`` where another one was asked for (and is still), ``Refused`` where none was.
        """
        shelf = self._shelf()
        asked = _asked(shelf)
        if asked is None or shelf.asked is None:
            raise Refused(f"No cartridge was asked for, and {barcode} was scanned.", remedy="Take it out again.")
        if barcode != asked.barcode:
            raise WrongCartridge(
                f"{asked.barcode} was asked for, and {barcode} was scanned.",
                remedy=f"Take {barcode} out, and give {asked.barcode}." if asked.loading else asked.request,
            )
        number = shelf.asked
        if asked.loading:
            done = replace(shelf, loaded=number, asked=None)
        else:
            # The place that it came from is freed, where it went to another one.
            places = list(shelf.places)
            if shelf.loaded is not None:
                places[shelf.loaded - 1] = ""
            places[number - 1] = barcode
            done = replace(shelf, places=tuple(places), loaded=None, asked=None)
        self._write(done)
        status = done.status(self._serial)
        return Moved(barcode, status.drive(0) if asked.loading else status.slot(number))

    def cancel(self) -> None:
        """Ask no longer; where the cartridge is, is as it was confirmed last."""
        self._write(replace(self._shelf(), asked=None))

    def place(self, barcode: str, slot: int | None = None) -> Slot:
        """Put a cartridge on the shelf: into a new place unless told. Raises ``Refused`` (label), ``ElementFull``."""
        label = barcodes.parse(barcode).text
        shelf = self._shelf()
        if label in shelf.places:
            raise Refused(f"The cartridge {label} is on the shelf already.", remedy="Two must not bear one label.")
        number = len(shelf.places) + 1 if slot is None else slot
        if not 1 <= number <= min(len(shelf.places) + 1, _MOST):
            raise Refused(f"The shelf has no place {number}.", remedy=f"Name one up to {len(shelf.places) + 1}.")
        places = [*shelf.places, ""]
        if places[number - 1]:
            raise ElementFull(f"At place {number} is {places[number - 1]}.", remedy="Name a free place.")
        places[number - 1] = label
        self._write(replace(shelf, places=tuple(places[: max(number, len(shelf.places))])))
        return Slot(number, True, label)

    def take_away(self, barcode: str) -> None:
        """A cartridge left the shelf for good. Raises ``NotFound``, ``Busy`` while it is loaded or asked for."""
        shelf = self._shelf()
        if not barcode or barcode not in shelf.places:
            raise NotFound(f"The cartridge {barcode} is not on the shelf.")
        number = shelf.places.index(barcode) + 1
        if number in {shelf.loaded, shelf.asked}:
            raise Busy(f"The cartridge {barcode} is in use.", remedy="Unload it first.")
        places = list(shelf.places)
        places[number - 1] = ""
        self._write(replace(shelf, places=tuple(places)))

    # How it is done.

    def _ask(self, shelf: _Shelf) -> OperatorAsked:
        self._write(shelf)
        asked = _asked(shelf)
        if asked is None:
            raise Refused("Nothing was asked for.")
        return asked

    def _same(
        self, asked: OperatorAsked, shelf: _Shelf, slot: int | None, barcode: str, *, loading: bool
    ) -> OperatorAsked:
        if asked.loading is loading and shelf.asked == slot and barcode in {"", asked.barcode}:
            return asked
        raise Busy(f"A person is being asked: {asked.request}", remedy="Confirm that, or cancel it.")

    def _write(self, shelf: _Shelf) -> None:
        self._state.write(
            {
                "version": _VERSION,
                "places": list(shelf.places),
                "loaded": shelf.loaded,
                "asked": shelf.asked,
                "loading": shelf.loading,
            }
        )

    def _shelf(self) -> _Shelf:
        content = self._state.read()
        if content is None:
            return _Shelf()
        try:
            return _parse(content)
        except ValueError as error:
            raise self._state.malformed(str(error)) from error


def _asked(shelf: _Shelf) -> OperatorAsked | None:
    if shelf.asked is None:
        return None
    number = shelf.asked if shelf.loading else shelf.loaded
    return OperatorAsked(shelf.places[number - 1] if number else "", 0, shelf.loading)


def _parse(content: object) -> _Shelf:
    """Raises ``ValueError`` with what is wrong."""
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError("it is of another version")
    places, loading = content.get("places"), content.get("loading")
    if not isinstance(places, list) or len(places) > _MOST or not isinstance(loading, bool):
        raise ValueError("there is no list of places")
    labels: list[str] = []
    for label in places:
        if not isinstance(label, str) or (label and barcodes.check(label)):
            raise ValueError("a place holds what is no label")
        labels.append(label)
    if len({label for label in labels if label}) != len([label for label in labels if label]):
        raise ValueError("two cartridges bear one label")
    loaded, asked = (_number(content.get(key), labels) for key in ("loaded", "asked"))
    if loaded is not None and not labels[loaded - 1]:
        raise ValueError("what is loaded has no label")
    if asked is not None and (loaded is None) is not loading:
        raise ValueError("it asks for what cannot be")
    return _Shelf(tuple(labels), loaded, asked, loading)


def _number(found: object, labels: list[str]) -> int | None:
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= len(labels):
        raise ValueError("it names a place that there is not")
    return found
