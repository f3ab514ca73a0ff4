"""Adopting a cartridge that this node did not write: it is read, entered into the catalogue, and never written to.

One of a node like this (``khoso/volume.json``) brings its packages: versions and copies are entered as a rebuild
enters them, as written and never read, so that only the librarian's own reading makes them count. Any other LTFS volume
is inventoried: its index is kept off the tape, from where its files are listed (:mod:`vault.tapes.indexes`), and no
file of it is ever taken for a copy of a package. An import may be stopped or cut off anywhere, and ordered again: what
it entered is known, and its tape is not wound to it again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from hardware.ltfs.model import FileEntry
from hardware.tape.library import Library
from hardware.tape.own_session import said
from hardware.tape.reading import TapeReader
from hardware.tape.session import Blank, CleaningCartridge, Content, LtfsVolume, Unreadable
from vault.catalog import cartridges, packages
from vault.catalog.engine import Tx
from vault.errors import Conflict, Corrupted, Interrupted, NotFound, Refused
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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: files of the cartridge that were looked at, with their bytes on the tape. The totals are 0
    until the index was read. Of what a node like this wrote, the files are the tars of packages."""

    agent: str
    since: datetime
    files: int = 0
    total_files: int = 0
    bytes: int = 0
    total_bytes: int = 0


class _Running:
    """An import that goes on: how far it is, and whether it is to stop."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stop = threading.Event()

    def found(self, files: int, total_bytes: int) -> None:
        """What there is to look at is known."""
        self.progress = replace(self.progress, total_files=files, total_bytes=total_bytes)

    def passed(self, total_bytes: int) -> None:
        """One more file was looked at."""
        now = self.progress
        self.progress = replace(now, files=now.files + 1, bytes=now.bytes + total_bytes)


class TapeImport:
    """``tapes import``. May be used from any thread; it takes as long as reading the cartridge's index, and for each
    package the beginning of its tar."""

    def __init__(self, tapes: Tapes, desk: TapeDesk) -> None:
        self._tapes = tapes
        self._desk = desk
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def progress(self, barcode: str) -> Progress:
        """How far the import of a cartridge is. Raises NotFound (``no-such-import``) where none goes on."""
        return self._going_on(barcode).progress

    def stop(self, barcode: str) -> Progress:
        """Have it stopped before the next file; what was entered stays, and the next import goes on behind it. Raises
        NotFound (``no-such-import``)."""
        running = self._going_on(barcode)
        running.stop.set()
        return running.progress

    def _going_on(self, barcode: str) -> _Running:
        with self._lock:
            if barcode not in self._running:
                raise NotFound(
                    f"No import of {barcode[:100]!r} goes on.",
                    remedy=f"To begin one, or go on with one that was stopped: vaultctl tapes import {barcode[:100]}",
                    code="no-such-import",
                )
            return self._running[barcode]

    def adopt(self, barcode: str, agent: str) -> tuple[Shown, Imported]:
        """Adopt a cartridge that is in a library.

        Raises NotFound (``no-such-cartridge``), Conflict (``cartridge-known``: it is one of this node's own;
        ``volume-exists``: its volume is known under another barcode; ``import-running``), Refused (``cartridge-blank``,
        ``cartridge-not-ltfs``, and ``tape-refused`` for a generation that no drive reads), Corrupted
        (``tape-damaged``), Unreachable, Interrupted. Nothing is ever written to it.
        """
        librarian = self._desk.librarian_of(barcode)
        cartridge = self._desk.one(barcode).cartridge
        _check_may_be_adopted(cartridge)
        running, daemon = _Running(Progress(agent, self._tapes.custodian.catalogue.clock())), librarian.doing()
        doing = Doing(daemon.progress, lambda: daemon.cancelled() or running.stop.is_set())
        with self._lock:
            if barcode in self._running:
                raise Conflict(
                    f"The cartridge {barcode} is being imported.",
                    remedy="Wait for its end; vaultctl tapes import shows how far it is.",
                    code="import-running",
                )
            self._running[barcode] = running

        def act(library: Library) -> Imported:
            with loaded(self._tapes, library, barcode) as session:
                content = _check_content(barcode, session.recognise())
                with session.open_for_reading() as reader:
                    keep_index(self._tapes, barcode, reader)
                    return self._enter(cartridge, reader, content, agent, running, doing)

        try:
            imported = librarian.call(act, what=f"import {barcode}")
        finally:
            with self._lock:
                del self._running[barcode]
        librarian.wake()
        return self._desk.one(barcode), imported

    def _enter(
        self,
        cartridge: Cartridge,
        reader: TapeReader,
        content: LtfsVolume,
        agent: str,
        running: _Running,
        doing: Doing,
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
            try:
                self._enter_parts(source, volume, imported, running, doing)
            except Interrupted:
                done = running.progress
                stopped: dict[str, Json] = {
                    "uuid": str(found.uuid), "import": "stopped", "files": done.files, "of_files": done.total_files
                }  # fmt: skip
                with self._tapes.custodian.catalogue.write() as tx:
                    self._told(tx, agent, cartridge.barcode, stopped, Outcome.WARNING)
                raise
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

    def _enter_parts(
        self, source: TapeSource, volume: Volume, imported: Imported, running: _Running, doing: Doing
    ) -> None:
        late: list[FoundPart] = []
        entered = self._entered(volume)
        tars = source.tars()
        running.found(len(tars), sum(entry.length for entry in tars))
        left = [entry for entry in tars if (entry.path, entry.start.block, entry.length) not in entered]
        for entry in tars if len(left) < len(tars) else ():
            if (entry.path, entry.start.block, entry.length) in entered:
                imported.parts += 1
                imported.known += 1
                running.passed(entry.length)
        for batch in _batches(source, left, imported, running, doing):
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

    def _entered(self, volume: Volume) -> set[tuple[str, int, int]]:
        """The files on the cartridge that an import before this one entered, with block and length."""
        with self._tapes.custodian.catalogue.read() as tx:
            known = cartridges.by_path(tx, volume.id).values()
            return {(file.path, file.start_block, file.length) for file in known}

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


def _batches(
    source: TapeSource, tars: Sequence[FileEntry], imported: Imported, running: _Running, doing: Doing
) -> Iterator[list[FoundPart]]:
    batch: list[FoundPart] = []
    for entry in tars:
        if doing.cancelled():
            break
        item = source.part(entry)
        running.passed(entry.length)
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
    if doing.cancelled():
        raise Interrupted(
            f"The import of {source.name} was stopped.",
            remedy=f"To go on with it: vaultctl tapes import {source.name}",
        )


def _trouble(code: str, source: TapeSource, found: FoundPart, message: str) -> Trouble:
    return Trouble(code, source.name, message, found.part.object_id, found.part.number)


def _check_may_be_adopted(cartridge: Cartridge) -> None:
    barcode = cartridge.barcode
    if cartridge.state is CartridgeState.CLEANING:
        raise Refused(f"{barcode} is a cleaning cartridge; it holds no data.", code="tape-refused")
    if cartridge.pool or (cartridge.volume_id is not None and cartridge.adopted is Adopted.OURS):
        raise Conflict(
            f"The cartridge {barcode} is one of this node's own already.",
            remedy=f"To read anew what is known to be on it: vaultctl verify --volume {barcode}. What came to it after"
            " the backup with which the catalogue was rebuilt is found by another rebuild: stop vaultd, and type:"
            " vaultctl catalog rebuild --from-tapes",
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
