"""Adopting a cartridge that this node did not write: it is read, entered into the catalogue, and never written to.

One of a node like this (``khoso/volume.json``) brings its packages: versions and copies are entered as a rebuild
enters them, as written and never read, so that only the librarian's own reading makes them count. Any other LTFS volume
is inventoried: its index is kept off the tape, from where its files are listed (:mod:`vault.tapes.indexes`), and no
file of it is ever taken for a copy of a package. An import may be cut off anywhere, and ordered again: what it entered
is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from hardware.tape.library import Library
from hardware.tape.own_session import said
from hardware.tape.reading import TapeReader
from hardware.tape.session import Blank, CleaningCartridge, Content, LtfsVolume, Unreadable
from vault.catalog import cartridges, packages
from vault.catalog.engine import Tx
from vault.errors import Conflict, Corrupted, Interrupted, Refused
from vault.formats.ocfl import identifier_of, parse_inventory
from vault.intake.note import content_digest_of
from vault.intake.unpack import StoredFile
from vault.model import EventType, Json, Outcome, Volume
from vault.recovery.described import describe
from vault.recovery.entering import Standing, enter_copy, enter_version, look_up
from vault.recovery.sources import FoundPart, Trouble
from vault.recovery.tape import TapeSource
from vault.tape_model import Adopted, Cartridge, CartridgeState, TapeFile
from vault.tapes import record
from vault.tapes.context import Doing, Tapes
from vault.tapes.desk import Shown, TapeDesk
from vault.tapes.indexes import keep_index
from vault.tapes.loading import loaded

MOST_TROUBLES: Final = 100
"""So many of the things that a person should look at are told by name."""

_BATCH: Final = 50


@dataclass
class Imported:
    """What an import came to. ``known`` are the copies that the catalogue had already; ``troubles`` counts all that was
    not entered or not as it should be, of which ``told`` are the first."""

    kind: Adopted
    origin: str
    files: int
    parts: int = 0
    versions_added: int = 0
    copies_added: int = 0
    known: int = 0
    troubles: int = 0
    told: list[Trouble] = field(default_factory=list)

    def trouble(self, one: Trouble) -> None:
        """Count it, and keep the first."""
        self.troubles += 1
        if len(self.told) < MOST_TROUBLES:
            self.told.append(one)


class TapeImport:
    """``tapes import``. May be used from any thread; it takes as long as reading the cartridge's index, and for each
    package the beginning of its tar."""

    def __init__(self, tapes: Tapes, desk: TapeDesk) -> None:
        self._tapes = tapes
        self._desk = desk

    def adopt(self, barcode: str, agent: str) -> tuple[Shown, Imported]:
        """Adopt a cartridge that is in a library.

        Raises NotFound (``no-such-cartridge``), Conflict (``cartridge-known``: it is one of this node's own;
        ``volume-exists``: its volume is known under another barcode), Refused (``cartridge-blank``,
        ``cartridge-not-ltfs``, and ``tape-refused`` for a generation that no drive reads), Corrupted
        (``tape-damaged``), Unreachable. Nothing is ever written to it.
        """
        librarian = self._desk.librarian_of(barcode)
        cartridge = self._desk.one(barcode).cartridge
        _check_may_be_adopted(cartridge)

        def act(library: Library) -> Imported:
            with loaded(self._tapes, library, barcode) as session:
                content = _check_content(barcode, session.recognise())
                with session.open_for_reading() as reader:
                    keep_index(self._tapes, barcode, reader)
                    return self._enter(cartridge, reader, content, agent, librarian.doing())

        imported = librarian.call(act, what=f"import {barcode}")
        librarian.wake()
        return self._desk.one(barcode), imported

    def _enter(
        self, cartridge: Cartridge, reader: TapeReader, content: LtfsVolume, agent: str, doing: Doing
    ) -> Imported:
        source = TapeSource(None, cartridge.barcode, reader)
        found = self._found(cartridge, source, content)
        imported = Imported(found.kind, found.origin, found.files)
        again = f"Its import was not finished; go on with: vaultctl tapes import {cartridge.barcode}"
        with self._tapes.custodian.catalogue.write() as tx:
            # From here on it is only read, whatever becomes of the import.
            volume = record.adopted(tx, cartridge.barcode, found, again)
            self._told(tx, agent, cartridge.barcode, {"uuid": str(found.uuid), "import": "begun"}, Outcome.SUCCESS)
        if found.kind is Adopted.KHOSO:
            self._enter_parts(source, volume, imported, doing)
        with self._tapes.custodian.catalogue.write() as tx:
            before = cartridges.need(tx, cartridge.barcode).state
            if before is CartridgeState.READ_ONLY:
                record.adopted(tx, cartridge.barcode, found)
            detail: dict[str, Json] = {
                "uuid": str(found.uuid), "import": "ended", "kind": str(found.kind), "origin": found.origin,
                "files": found.files, "parts": imported.parts, "versions_added": imported.versions_added,
                "copies_added": imported.copies_added, "known": imported.known, "troubles": imported.troubles,
            }  # fmt: skip
            outcome = Outcome.WARNING if imported.troubles else Outcome.SUCCESS
            self._told(tx, agent, cartridge.barcode, detail, outcome)
        return imported

    def _told(self, tx: Tx, agent: str, barcode: str, detail: dict[str, Json], outcome: Outcome) -> None:
        record.told(tx, EventType.CARTRIDGE_ADOPTED, agent, barcode, detail, outcome)

    def _found(self, cartridge: Cartridge, source: TapeSource, content: LtfsVolume) -> record.Found:
        ours = source.identified()
        if ours:
            identity = source.identity()
            kind, domain, site = Adopted.KHOSO, identity.domain or cartridge.barcode, identity.site
            origin = f"node {identity.node}, set {identity.domain}"
            if identity.name != cartridge.barcode:
                origin += f", there called {identity.name}"
        else:
            kind, domain, site = Adopted.FOREIGN, cartridge.barcode, ""
            origin = ", ".join(filter(None, (content.name, content.creator)))
        pools = [pool for pool in self._tapes.settings.pools if pool.library == cartridge.library]
        here = pools[0].site if pools else cartridge.library
        return record.Found(
            kind, origin[:500], UUID(content.volume_uuid), domain, site or here, content.generation, content.files
        )

    # --- the packages of one like ours

    def _enter_parts(self, source: TapeSource, volume: Volume, imported: Imported, doing: Doing) -> None:
        late: list[FoundPart] = []
        for batch in _batches(source.parts(), imported, doing):
            with self._tapes.custodian.catalogue.write() as tx:
                late += [part for part in batch if not self._enter_part(tx, source, volume, part, imported)]
        # A version may stand before the one that came before it.
        late.sort(key=lambda found: (found.part.object_id, found.part.number))
        for found in late:
            with self._tapes.custodian.catalogue.write() as tx:
                if not self._enter_part(tx, source, volume, found, imported):
                    message = (
                        "A version before it is not known here, so it cannot be entered: import its cartridge first."
                    )
                    imported.trouble(_trouble("version-gap", source, found, message))

    def _enter_part(self, tx: Tx, source: TapeSource, volume: Volume, found: FoundPart, imported: Imported) -> bool:
        """Whether it could be told what it is; False where a version before it is not known yet."""
        custodian = self._tapes.custodian
        seen = look_up(tx, found, volume)
        copy = seen.copy
        if seen.standing is Standing.TOO_EARLY:
            return False
        if seen.standing is Standing.KNOWN:
            imported.known += 1
        elif seen.standing is Standing.NEW_COPY and seen.version is not None:
            copy = enter_copy(custodian, tx, seen.version, volume)
            imported.copies_added += 1
        elif seen.standing is Standing.NEW_VERSION and _follows(tx, found):
            version = enter_version(custodian, tx, describe(found, [source]), volume)
            copy = look_up(tx, found, volume).copy
            imported.versions_added += 1
            imported.copies_added += version is not None
        else:
            message = "The catalogue has that package with other content; the one on the cartridge was not entered."
            imported.trouble(_trouble("different-version", source, found, message))
        if copy is not None and seen.standing in (Standing.NEW_COPY, Standing.NEW_VERSION):
            entry = source.tar_of(found.part)
            cartridges.set_file(tx, TapeFile(copy.id, entry.path, entry.start.block, entry.length))
        return True


def _follows(tx: Tx, found: FoundPart) -> bool:
    """Whether the versions before a new one, as its inventory tells them, are those that the catalogue has."""
    package = packages.get(tx, identifier_of(found.part.object_id))
    if package is None:
        return True
    inventory = parse_inventory(found.inventory)
    for version in packages.versions_of(tx, package.id):
        stated = inventory.files_of_version(version.number)
        files = {path: StoredFile(content, 0, digest) for path, (digest, content) in stated.items()}
        if version.algorithm is not found.part.algorithm:
            return False
        if content_digest_of(files, version.algorithm) != version.content_digest:
            return False
    return True


def _batches(found: Iterator[FoundPart | Trouble], imported: Imported, doing: Doing) -> Iterator[list[FoundPart]]:
    batch: list[FoundPart] = []
    for item in found:
        if doing.cancelled():
            raise Interrupted("The import was stopped; order it again.")
        if isinstance(item, Trouble):
            imported.trouble(item)
            continue
        imported.parts += 1
        batch.append(item)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _trouble(code: str, source: TapeSource, found: FoundPart, message: str) -> Trouble:
    return Trouble(code, source.name, message, found.part.object_id, found.part.number)


def _check_may_be_adopted(cartridge: Cartridge) -> None:
    barcode = cartridge.barcode
    if cartridge.state is CartridgeState.CLEANING:
        raise Refused(f"{barcode} is a cleaning cartridge; it holds no data.", code="tape-refused")
    if cartridge.pool or (cartridge.volume_id is not None and cartridge.adopted is Adopted.OURS):
        raise Conflict(
            f"The cartridge {barcode} is one of this node's own already.",
            remedy=f"There is nothing to import; to read it anew: vaultctl verify --volume {barcode}",
            code="cartridge-known",
        )


def _check_content(barcode: str, content: Content) -> LtfsVolume:
    match content:
        case LtfsVolume():
            return content
        case Blank():
            raise Refused(
                f"The cartridge {barcode} is blank: there is nothing to import.",
                remedy="It is written by itself when a pool needs it.",
                code="cartridge-blank",
            )
        case Unreadable():
            raise Corrupted(f"{barcode}: {content.reason}", remedy=content.remedy, code="tape-damaged")
        case CleaningCartridge():
            raise Refused(f"{barcode} is a cleaning cartridge; it holds no data.", code="tape-refused")
        case _:
            raise Refused(
                f"The cartridge {barcode} holds no LTFS volume: {said(content)}.",
                remedy="Read it with the program that wrote it. It is not touched here.",
                code="cartridge-not-ltfs",
            )
