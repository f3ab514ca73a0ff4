"""What the catalogue must know of a version, worked out from what lies on a medium."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vault.clock import from_text
from vault.errors import NotFound, Unreachable
from vault.formats.bag_tags import (
    MAX_DECLARATION_BYTES,
    MAX_TAG_BYTES,
    Findings,
    UnreadableTagFileError,
    parse_bag_info,
    parse_declaration,
    tag_lines,
)
from vault.formats.ocfl import Inventory, identifier_of, parse_inventory
from vault.intake.describe import from_note, metadata_of
from vault.intake.note import content_digest_of
from vault.intake.unpack import RESERVED, StoredFile
from vault.model import Descriptive, Json, PackageKind
from vault.recovery.sources import FoundPart, RebuildSource
from vault.volumes.base import Part


@dataclass(frozen=True, slots=True)
class Described:
    """All that the catalogue keeps of a version. ``unknown_sizes`` counts the files whose size no medium told.
    ``payload`` are the files and bytes that a depositor counts of a bag; of anything else it is the whole."""

    part: Part
    identifier: str
    kind: PackageKind
    content_digest: str
    files: int
    bytes: int
    part_bytes: int
    deposit_digests: Mapping[str, str]
    descriptive: Descriptive
    metadata: Mapping[str, Json]
    agent: str
    ingest_id: str
    deposited: datetime
    unknown_sizes: int
    payload: tuple[int, int]


def describe(found: FoundPart, sources: list[RebuildSource], *, unread_ok: bool = False) -> Described:
    """Work it out; ``sources`` are asked for sizes and for bag-info.txt, the one that has the part first. Raises
    Unreachable where one does not answer for a size, unless with ``unread_ok`` that counts as one that is unknown."""
    inventory = parse_inventory(found.inventory)
    number, note = found.part.number, found.note or {}
    files = {
        path: StoredFile(content, 0, digest)
        for path, (digest, content) in inventory.files_of_version(number).items()
        if path != RESERVED
    }
    sizes = _Sizes(found.part.object_id, sources, unread_ok)
    logical = sum(sizes.of(file.content_path) for file in files.values())
    payload = [file for path, file in files.items() if path.startswith("data/")]
    own = sum(sizes.of(path) for path in inventory.content_of_version_part(number))
    kind = _kind(note, files)
    return Described(
        part=found.part,
        identifier=identifier_of(found.part.object_id),
        kind=kind,
        content_digest=content_digest_of(files, found.part.algorithm),
        files=len(files),
        bytes=logical,
        part_bytes=own + 2 * len(found.inventory),
        deposit_digests=_texts(note.get("digests")),
        descriptive=from_note(note),
        metadata=_metadata(found, note, kind, files, sources),
        agent=_text(note, "agent"),
        ingest_id=_text(note, "ingest"),
        deposited=_deposited(note, inventory, number),
        unknown_sizes=len(sizes.unknown),
        payload=(len(payload), sum(sizes.of(file.content_path) for file in payload))
        if kind is PackageKind.BAG
        else (len(files), logical),
    )


class _Sizes:
    """Sizes of one object's content files, from the first medium that has each."""

    def __init__(self, object_id: str, sources: list[RebuildSource], unread_ok: bool) -> None:
        self._object_id = object_id
        self._sources = sources
        self._unread_ok = unread_ok
        self._known: dict[str, int] = {}
        self.unknown: set[str] = set()

    def of(self, content_path: str) -> int:
        if content_path not in self._known:
            told = (self._told(source, content_path) for source in self._sources)
            size = next((one for one in told if one is not None), None)
            if size is None:
                self.unknown.add(content_path)
            self._known[content_path] = size or 0
        return self._known[content_path]

    def _told(self, source: RebuildSource, content_path: str) -> int | None:
        try:
            return source.size(self._object_id, content_path)
        except Unreachable:
            if not self._unread_ok:
                raise
            return None


def _kind(note: Mapping[str, Json], files: Mapping[str, StoredFile]) -> PackageKind:
    with contextlib.suppress(ValueError):
        return PackageKind(_text(note, "kind"))
    return PackageKind.BAG if "bagit.txt" in files else PackageKind.FILE


def _deposited(note: Mapping[str, Json], inventory: Inventory, number: int) -> datetime:
    with contextlib.suppress(ValueError):
        return from_text(_text(note, "deposited"))
    created = inventory.versions[inventory.version_name(number)].created
    moment = datetime.fromisoformat(created.upper())
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _metadata(
    found: FoundPart,
    note: Mapping[str, Json],
    kind: PackageKind,
    files: Mapping[str, StoredFile],
    sources: list[RebuildSource],
) -> dict[str, Json]:
    said = note.get("metadata")
    metadata = dict(said) if isinstance(said, dict) else {}
    if kind is PackageKind.BAG:
        metadata |= metadata_of(_bag_info(found.part.object_id, files, sources))
    return metadata


def _bag_info(
    object_id: str, files: Mapping[str, StoredFile], sources: list[RebuildSource]
) -> Sequence[tuple[str, str]]:
    """The elements of bag-info.txt, as the validation of the deposit found them."""

    def read(name: str, limit: int) -> bytes:
        for source in sources if name in files else ():
            with contextlib.suppress(NotFound):
                data = source.small_file(object_id, files[name].content_path, limit)
                if data is not None:
                    return data
        return b""

    declaration = parse_declaration(read("bagit.txt", MAX_DECLARATION_BYTES), Findings(), Findings())
    version, codec = (declaration.version, declaration.codec) if declaration else ((1, 0), None)
    name = "bag-info.txt" if version >= (0, 96) else "package-info.txt"
    try:
        lines = tag_lines(io.BytesIO(read(name, MAX_TAG_BYTES)), codec or "utf-8", max_bytes=MAX_TAG_BYTES)
        return parse_bag_info(lines, version, name, Findings(), Findings())
    except UnreadableTagFileError:
        return ()


def _text(note: Mapping[str, Json], name: str) -> str:
    value = note.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Json) -> dict[str, str]:
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
