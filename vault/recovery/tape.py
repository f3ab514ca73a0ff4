"""A cartridge as a source of a rebuild: the heads of its tars say what stands on it, and the rest is not read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

import structlog

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.changer import OperatorAsked
from hardware.tape.inventory import Holds
from hardware.tape.library import Library
from hardware.tape.reading import TapeReader
from hardware.tape.session import CartridgeSession
from vault.clock import from_text
from vault.config import Settings
from vault.errors import Invalid, NotFound, Unreachable
from vault.formats import part_tar
from vault.formats.ocfl.object_ids import identifier_of
from vault.intake.unpack import RESERVED
from vault.model import DigestAlgorithm, Json, MediumClass
from vault.recovery.sources import FoundPart, Trouble
from vault.tapes.belongings import CHECKPOINT, IDENTITY
from vault.tapes.context import TAPE, hardware_explained, idle
from vault.tapes.making import Pieces
from vault.tapes.opening import open_library
from vault.volumes.base import Part, VolumeIdentity

log = structlog.get_logger(__name__)

_PART: Final = re.compile(r"packages/.+/v([1-9][0-9]*)\.tar")
_SMALL: Final = 1 << 20
_LARGEST_NOTE: Final = 16 << 20


@contextlib.contextmanager
def tape_sources(settings: Settings) -> Iterator[list[TapeSource]]:
    """The cartridges in the libraries of the configuration, which are held for the block. A library that cannot be
    used is left out, with a line in the log."""
    with contextlib.ExitStack() as opened:
        found: list[TapeSource] = []
        for library_settings in settings.libraries:
            try:
                library = opened.enter_context(open_library(settings.node.state / "tapes", library_settings))
                seen = library.inventory()
            except hw.HardwareError as error:
                log.error("library-not-usable", library=library_settings.name, reason=str(error))
                continue
            usable = [c for c in seen.cartridges if c.holds is Holds.DATA and c.barcode not in seen.duplicates]
            found += [TapeSource(library, cartridge.barcode) for cartridge in usable]
        yield [source for source in found if source.is_ours()]
        for source in found:
            source.close()


class TapeSource:
    """See :class:`vault.recovery.sources.RebuildSource`. The cartridge is loaded while its parts are read, or is read
    by a ``reader`` that somebody else opened, and closes."""

    kind = TAPE
    medium = MediumClass.TAPE

    def __init__(self, library: Library | None, barcode: str, reader: TapeReader | None = None) -> None:
        self._library = library
        self.name = barcode
        self.domain = ""
        self.site = ""
        self._identity: VolumeIdentity | None = None
        self._checkpoint = b""
        self._session: CartridgeSession | None = None
        self._reader = reader
        self._places: dict[tuple[str, str], tuple[FileEntry, part_tar.Span]] = {}
        self._tars: dict[tuple[str, int], FileEntry] = {}

    def is_ours(self) -> bool:
        """Whether a node like this wrote it; what cannot be read, or is blank, is passed over and named in the log."""
        try:
            with hardware_explained():
                self._read_identity(self._opened())
        except (Unreachable, NotFound) as error:
            log.info("cartridge-passed-over", barcode=self.name, reason=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - one cartridge of a stranger must not end the rebuild
            log.warning("cartridge-passed-over", barcode=self.name, reason=str(error))
            return False
        finally:
            self.close()
        return True

    def identified(self) -> bool:
        """Whether a node like this wrote it. Raises errors of :mod:`hardware.errors`, but for what says of itself
        something that makes no sense: that is none of ours."""
        try:
            self._read_identity(self._opened())
        except (NotFound, KeyError, TypeError, ValueError) as error:
            log.info("cartridge-not-ours", barcode=self.name, reason=str(error))
            return False
        return True

    def tar_of(self, part: Part) -> FileEntry:
        """The file in which a part stands that ``parts`` has handed out."""
        return self._tars[part.object_id, part.number]

    def identity(self) -> VolumeIdentity:
        """See the protocol."""
        if self._identity is None:
            raise Unreachable(f"The cartridge {self.name} could not be read.", code="tape-unreachable")
        return self._identity

    def notes(self, folder: str) -> list[str]:
        """See the protocol; a cartridge carries one checkpoint of the ledger."""
        return ["newest.json"] if folder == "ledger" and self._checkpoint else []

    def read_note(self, path: str) -> Iterator[bytes]:
        """See the protocol."""
        if path != "ledger/newest.json":
            raise NotFound(f"The cartridge {self.name} has no {path}.")
        yield self._checkpoint

    def parts(self) -> Iterator[FoundPart | Trouble]:
        """See the protocol."""
        try:
            for entry in self.tars():
                yield self.part(entry)
        finally:
            self.close()

    def tars(self) -> list[FileEntry]:
        """The files that are versions of packages, by their names, in tape order. Raises Unreachable, Corrupted."""
        with hardware_explained():
            found = [entry for entry in self._opened().files() if _PART.fullmatch(entry.path)]
        return sorted(found, key=lambda entry: entry.start)

    def part(self, entry: FileEntry) -> FoundPart | Trouble:
        """What stands in one of these; only its beginning is read. Raises Unreachable."""
        match = _PART.fullmatch(entry.path)
        assert match is not None, "it is one of the tars"  # noqa: S101
        with hardware_explained():
            return self._part(self._opened(), entry, int(match[1]))

    def size(self, object_id: str, content_path: str) -> int | None:
        """See the protocol."""
        place = self._places.get((object_id, content_path))
        return None if place is None else place[1].length

    def small_file(self, object_id: str, content_path: str, limit: int) -> bytes | None:
        """See the protocol; None too when the cartridge is no longer in the drive."""
        place = self._places.get((object_id, content_path))
        if place is None or self._reader is None or place[1].length > limit:
            return None
        try:
            return b"".join(self._reader.read(place[0], place[1].offset, place[1].length))
        except hw.HardwareError:
            return None

    def close(self) -> None:
        """Let go of the cartridge."""
        if self._library is None:
            return
        self._reader = None
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    # --- how

    def _opened(self) -> TapeReader:
        if self._reader is None:
            assert self._library is not None, "it has the one or the other"  # noqa: S101
            session = self._library.load(self.name)
            if isinstance(session, OperatorAsked):
                raise Unreachable(session.request, remedy="Load it, then try again.", code="operator-asked")
            self._session = session
            self._reader = session.open_for_reading()
        return self._reader

    def _read_identity(self, reader: TapeReader) -> None:
        files = {entry.path: entry for entry in reader.files() if entry.path in (IDENTITY, CHECKPOINT)}
        if IDENTITY not in files:
            raise NotFound(f"The cartridge {self.name} has no {IDENTITY}: it is not of such a node.")
        said = json.loads(b"".join(reader.read(files[IDENTITY], 0, min(_SMALL, files[IDENTITY].length))))
        self.domain, self.site = str(said["set"]), str(said["site"])
        self._identity = VolumeIdentity(
            uuid=UUID(reader.volume_uuid),
            name=str(said["barcode"]),
            domain=self.domain,
            site=self.site,
            node=str(said["node"]),
            created_at=from_text(str(said["time"])),
        )
        if CHECKPOINT in files and files[CHECKPOINT].length <= _SMALL:
            self._checkpoint = b"".join(reader.read(files[CHECKPOINT]))

    def _part(self, reader: TapeReader, entry: FileEntry, number: int) -> FoundPart | Trouble:
        try:
            head = part_tar.read_head(Pieces(reader.read(entry), idle()), number)
            identifier_of(head.inventory.id)
        except (hw.Corrupted, Invalid) as error:
            return Trouble("damaged-inventory", self.name, str(error), "", number, {"path": entry.path})
        algorithm = DigestAlgorithm(head.inventory.digest_algorithm)
        digest = hashlib.new(str(algorithm), head.inventory_bytes, usedforsecurity=False).hexdigest()
        part = Part(head.inventory.id, number, algorithm, digest)
        self._tars[part.object_id, number] = entry
        for path, span in head.layout().files.items():
            self._places[part.object_id, path] = (entry, span)
        return FoundPart(part, head.inventory_bytes, self._note(head, part), sound=True)

    def _note(self, head: part_tar.PartHead, part: Part) -> Mapping[str, Json] | None:
        stated = head.inventory.files_of_version(part.number).get(RESERVED)
        if stated is None:
            return None
        data = self.small_file(part.object_id, stated[1], _LARGEST_NOTE)
        if data is None or hashlib.new(str(part.algorithm), data, usedforsecurity=False).hexdigest() != stated[0]:
            return None
        try:
            document: object = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None
