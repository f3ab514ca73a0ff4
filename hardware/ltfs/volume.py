"""Reading an LTFS volume: its last index, its files, and ranges of them, without mounting anything."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, Self

from hardware.errors import Corrupted, NotFound, Refused
from hardware.ltfs import safexml
from hardware.ltfs.label import Label
from hardware.ltfs.last_index import IndexCopy, Labels, LastIndex, find_last_index, read_index, read_labels
from hardware.ltfs.medium import Mark, Position, TapeMedium
from hardware.ltfs.model import Entry, Extent, FileEntry, IndexHeader

_ZEROS: Final = bytes(1 << 19)
_FIRST_DATA: Final = 4
_KEPT: Final = 8


class Volume:
    """An LTFS volume in a drive, for reading. Does not close the medium."""

    def __init__(
        self, medium: TapeMedium, labels: Labels, last: LastIndex, spool: str | os.PathLike[str] | None = None
    ) -> None:
        self._medium = medium
        self._spool = spool
        self._at: Position | None = None
        self._kept: OrderedDict[Position, bytes] = OrderedDict()
        self.labels = labels
        self.last = last

    @classmethod
    def open(
        cls,
        medium: TapeMedium,
        *,
        spool: str | os.PathLike[str] | None = None,
        limits: safexml.Limits | None = None,
    ) -> Volume:
        """Read the labels and find the last consistent index, which is spooled in the folder ``spool``.

        Raises ``NoVolume`` (blank, or foreign), ``Malformed``, ``Corrupted``, ``Unsupported``, ``Unreachable``.
        """
        labels = read_labels(medium)
        return cls(medium, labels, find_last_index(medium, labels, spool=spool, limits=limits), spool)

    @property
    def label(self) -> Label:
        """The volume's label."""
        return self.labels.label

    @property
    def header(self) -> IndexHeader:
        """What the last index says of itself."""
        return self.last.header

    def entries(self) -> Iterator[Entry]:
        """All files and directories, in the order of the index, in bounded memory; a directory after its contents."""
        return self.last.copy.entries()

    def files(self) -> Iterator[FileEntry]:
        """All files and links, in the order of the index, in bounded memory."""
        return (entry for entry in self.entries() if isinstance(entry, FileEntry))

    def find(self, path: str) -> FileEntry:
        """The file at a path. Passes through the whole index. Raises ``NotFound``."""
        for entry in self.files():
            if entry.path == path:
                return entry
        raise NotFound(f"There is no file {path!r} in generation {self.header.generation} of the volume.")

    def generations(self) -> Iterator[IndexHeader]:
        """The last index and, along the back pointers, those before it, newest first.

        Each is read from tape and checked from end to end. Raises ``Corrupted`` where the chain breaks.
        """
        header = self.header
        yield header
        while header.previous is not None:
            earlier = self.index_before(header)
            # At the end of a session both partitions hold the same generation: it is one, and given once.
            same = earlier.header.generation == header.generation
            header = earlier.header
            earlier.close()
            if not same:
                yield header

    def index_before(self, header: IndexHeader) -> IndexCopy:
        """The index that another points back to; close it when done. Raises ``NotFound``, ``Corrupted``."""
        if header.previous is None:
            raise NotFound(f"Generation {header.generation} points to no earlier index.")
        backwards = header.previous.partition != header.location.partition or header.previous < header.location
        self._at = None
        earlier = read_index(self._medium, self.labels, header.previous, spool=self._spool)
        if not backwards or earlier.header.generation > header.generation:
            earlier.close()
            raise Corrupted(f"Generation {header.generation} does not point back to an earlier index.")
        return earlier

    def read(
        self, entry: FileEntry, offset: int = 0, length: int | None = None, *, reuse: bool = False
    ) -> Iterator[bytes]:
        """The bytes of a file, or of a range of it, in pieces of at most one block. Holes are zeros.

        With ``reuse`` the blocks that were read last are not read again, so that the tape need not turn back for them.
        Raises ``Corrupted`` where a block cannot be read or is not what the index says, ``Refused`` for a range that
        begins behind the end, and for links.
        """
        if entry.target is not None:
            raise Refused(f"{entry.path!r} is a link to {entry.target!r}, not a file.")
        if offset < 0 or offset > entry.length or (length is not None and length < 0):
            raise Refused(f"{entry.path!r} has {entry.length} bytes; there is nothing at {offset}.")
        end = entry.length if length is None else min(entry.length, offset + length)
        if not reuse:
            self._kept.clear()
        return self._range(entry, offset, end)

    def read_in_tape_order(self, entries: Iterable[FileEntry]) -> Iterator[tuple[FileEntry, Iterator[bytes]]]:
        """Files with their bytes, in the order in which they stand on tape, so that it need not turn round."""
        for entry in sorted(entries, key=lambda entry: entry.start):
            yield entry, self.read(entry)

    def _range(self, entry: FileEntry, at: int, end: int) -> Iterator[bytes]:
        for extent in entry.extents:
            if extent.file_offset + extent.count <= at:
                continue
            if extent.file_offset >= end:
                break
            yield from _hole(extent.file_offset - at)
            at = max(at, extent.file_offset)
            stop = min(end, extent.file_offset + extent.count)
            yield from self._extent(entry, extent, at - extent.file_offset, stop - at)
            at = stop
        yield from _hole(end - at)

    def _extent(self, entry: FileEntry, extent: Extent, skip: int, count: int) -> Iterator[bytes]:
        size = self.label.blocksize
        blocks, within = divmod(extent.byte_offset + skip, size)
        at = Position(self.labels.number(extent.partition), extent.block + blocks)
        if extent.block < _FIRST_DATA:
            raise Corrupted(f"The index says that {entry.path!r} begins in the label, at block {extent.block}.")
        while count > 0:
            record = self._record(at)
            if isinstance(record, Mark):
                raise Corrupted(f"{entry.path!r}: at {at} of the tape is {record.value}, not data.")
            if len(record) > size or (len(record) < size and len(record) < within + count):
                raise Corrupted(f"{entry.path!r}: the block at {at} has {len(record)} bytes; more were written.")
            piece = record[within : within + count] if within or count < len(record) else record
            yield piece
            count -= len(piece)
            within = 0
            at = Position(at.partition, at.block + 1)

    def _record(self, at: Position) -> bytes | Mark:
        """The record at a place; the tape is only sent there where it does not stand there anyway.

        The last records are kept for those who want another range of them.
        """
        if (kept := self._kept.get(at)) is not None:
            return kept
        if self._at != at:
            self._at = None
            if (there := self._medium.locate(at.partition, at.block)) != at:
                raise Corrupted(f"The tape ends at {there}, before {at}, where the index says that data stand.")
        self._at = None
        record = self._medium.read()
        if isinstance(record, bytes):
            self._at = Position(at.partition, at.block + 1)
            self._kept[at] = record
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return record

    def close(self) -> None:
        """Let go of the spooled index. The medium stays open."""
        self.last.copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _hole(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[: min(length, len(_ZEROS))]
        length -= len(_ZEROS)
