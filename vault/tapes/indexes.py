"""Every index of a cartridge is also kept off it: in the state folder each, on the disk volumes the newest."""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

import hardware.errors as hw
from hardware.ltfs.kept import kept_entries
from hardware.ltfs.model import FileEntry
from hardware.tape.reading import TapeReader
from vault.catalog import volumes as catalog_volumes
from vault.durable import write_durably
from vault.errors import Corrupted, NotFound, Unreachable, VaultError
from vault.model import Condition, Volume
from vault.tapes.context import Tapes

log = structlog.get_logger(__name__)


def keep_index(tapes: Tapes, barcode: str, reader: TapeReader) -> Path:
    """Keep the index that was just read, unless that generation is kept already; return where."""
    folder = tapes.state / barcode
    path = folder / f"{_prefix(reader.volume_uuid)}{reader.header.generation:08}.xml.gz"
    if path.exists():
        return path
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
        reader.capture_index(packed.write)
    data = buffer.getvalue()
    write_durably(path, data)
    with tapes.custodian.catalogue.read() as tx:
        online = [volume.name for volume in catalog_volumes.all(tx) if volume.condition is Condition.ONLINE]
    for name in online:
        volume = tapes.custodian.volumes.get(name)
        if volume is None:
            continue
        try:
            volume.write_note(f"tapes/{barcode}.xml.gz", data)
        except VaultError as error:
            log.warning("index-not-kept", volume=name, barcode=barcode, code=error.code, reason=str(error))
    return path


def _prefix(volume_uuid: str) -> str:
    """A cartridge that was formatted anew begins its generations anew."""
    return f"index-{volume_uuid[:8]}-"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of what is on a cartridge by its kept index, in the order of the index. ``next`` is where the page after
    it begins, None at the end."""

    files: tuple[FileEntry, ...]
    next: int | None


def listing(tapes: Tapes, volume: Volume, *, prefix: str = "", start: int = 0, limit: int) -> Listing:
    """The files whose paths begin with ``prefix``, from the one with the number ``start`` in the index. The cartridge
    need not be there. Raises NotFound (``no-index``), Corrupted (``tape-damaged``), Unreachable."""
    found: list[FileEntry] = []
    for number, entry in enumerate(itertools.islice(_files(tapes, volume), start, None), start):
        if not entry.path.startswith(prefix):
            continue
        if len(found) == limit:
            return Listing(tuple(found), number)
        found.append(entry)
    return Listing(tuple(found), None)


def find(tapes: Tapes, volume: Volume, path: str) -> FileEntry:
    """A file by its path. Raises NotFound (``not-on-tape``, ``no-index``), Corrupted, Unreachable."""
    for entry in _files(tapes, volume):
        if entry.path == path:
            return entry
    raise NotFound(
        f"The cartridge {volume.name} has no file {path[:200]!r}.",
        remedy=f"For the list: vaultctl tapes files {volume.name}",
        code="not-on-tape",
    )


def _files(tapes: Tapes, volume: Volume) -> Iterator[FileEntry]:
    kept = max((tapes.state / volume.name).glob(f"{_prefix(str(volume.uuid))}*.xml.gz"), default=None)
    if kept is None:
        raise NotFound(
            f"The index of the cartridge {volume.name} is not kept here.",
            remedy=f"Have it read: vaultctl tapes import {volume.name} (one of a pool is read when it is next written)",
            code="no-index",
        )

    def pieces() -> Iterator[bytes]:
        with gzip.open(kept, "rb") as file:
            while piece := file.read(1 << 18):
                yield piece

    try:
        for entry in kept_entries(pieces):
            if isinstance(entry, FileEntry):
                yield entry
    except (hw.Corrupted, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Corrupted(
            f"The kept index {kept.name} of {volume.name} is damaged: {error}",
            remedy=f"Remove it, and have it read again: vaultctl tapes import {volume.name}",
            code="tape-damaged",
        ) from error
    except OSError as error:
        raise Unreachable(f"The kept index of {volume.name} cannot be read: {error.strerror}.") from error
