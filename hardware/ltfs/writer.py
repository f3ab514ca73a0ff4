"""Writing to LTFS volumes: sessions that append files.

A session writes data behind the end of the data partition, then an index there, then the same generation over the old
index of the index partition. Until the data partition's new index is whole the earlier generation is the last one, so a
session that dies loses what it wrote and nothing else; the next session appends behind what it left.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, Self

from hardware.errors import Corrupted, Full, MediumChanged, NotFound, Refused, Unsupported
from hardware.ltfs.additions import Additions, Draft
from hardware.ltfs.compose import check_attribute, file_xml
from hardware.ltfs.formatting import CREATOR, note_coherency, write_index
from hardware.ltfs.label import (
    FORMAT_VERSION,
)
from hardware.ltfs.mam import (
    Attribute,
    VolumeLock,
)
from hardware.ltfs.medium import END, Position, Room, TapeMedium
from hardware.ltfs.model import (
    ExtendedAttribute,
    Extent,
    FileEntry,
    IndexHeader,
    Location,
    Times,
)
from hardware.ltfs.parse import SPARSE_VERSION
from hardware.ltfs.volume import Volume

_NEWEST_WRITTEN: Final = (2, 4, 99)


class WriteSession:
    """Appends files to a volume. Nothing is on the volume before :meth:`checkpoint` or :meth:`commit` returned.

    Leaving the session without commit leaves the earlier generation. After any error but ``Full`` and ``Refused`` the
    session is over; it never retries. After ``Full`` the files finished before are still there to be committed.
    """

    def __init__(
        self,
        medium: TapeMedium,
        volume: Volume,
        *,
        creator: str,
        spool: str | os.PathLike[str] | None,
        clock: Callable[[], int],
    ) -> None:
        self._medium = medium
        self._clock = clock
        self._creator = creator
        self._spool = spool
        self.label = volume.label
        self._index = volume.labels.number(volume.label.index_partition)
        self._data = volume.labels.number(volume.label.data_partition)
        self._volume = volume
        self._last_data = volume.last.on_data
        self._additions = Additions(volume.last.copy, volume.header.highest_uid)
        self._draft: Draft | None = None
        self._dirty = not volume.last.clean
        self._failed = False
        self._writer: FileWriter | None = None
        self._warned = False
        self._block_cost = volume.label.blocksize
        self._next = medium.locate(self._data, END)
        if not volume.last.data_closed and volume.last.unindexed_blocks == 0:
            medium.write_filemarks(1)
            self._next = medium.position()
        self._budget = 0

    @classmethod
    def open(
        cls,
        medium: TapeMedium,
        *,
        volume_uuid: str | None = None,
        creator: str = CREATOR,
        spool: str | os.PathLike[str] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> WriteSession:
        """Open the volume on ``medium`` for appending; ``volume_uuid``, where given, must be its own.

        Raises what :meth:`Volume.open` raises, and ``Refused`` where the volume is protected, locked, of another
        version, another volume, or so damaged that only its reading is safe.
        """
        volume = Volume.open(medium, spool=spool)
        try:
            _check_writable(medium, volume, volume_uuid)
            return cls(medium, volume, creator=creator, spool=spool, clock=clock)
        except BaseException:
            volume.close()
            raise

    @property
    def header(self) -> IndexHeader:
        """The last index that is on the volume."""
        return self._draft.header if self._draft else self._volume.header

    def create(
        self,
        path: str,
        *,
        modified: int | None = None,
        attributes: Iterable[ExtendedAttribute] = (),
        read_only: bool = False,
        replaces: bool = False,
        length: int | None = None,
    ) -> FileWriter:
        """Begin a file; folders above it are made as needed. One file is written at a time.

        ``modified`` in nanoseconds since 1970. With ``replaces`` a file of this name is replaced (its blocks stay
        used). Where ``length`` is given and cannot fit, ``Full`` is raised before anything is written.
        Raises ``Refused`` for impossible names, and names that are taken.
        """
        self._check()
        if self._writer is not None:
            raise Refused("One file is still being written; finish or abandon it first.")
        kept = tuple(attributes)
        for attribute in kept:
            check_attribute(attribute)
        now = self._clock()
        clean = self._additions.check(path, replaces=replaces)
        self._check_position()
        self._budget = self._free(sum(2 * len(attribute.value) for attribute in kept) + 6 * len(clean))
        if self._warned or self._budget < max(length or 0, 1):
            raise self._full()
        entry = FileEntry(
            path=clean,
            uid=0,
            length=0,
            read_only=read_only,
            times=Times(now, now, now if modified is None else modified, now, now),
            attributes=kept,
        )
        self._writer = FileWriter(self, entry)
        return self._writer

    def free_bytes(self) -> int:
        """Bytes of file data that still fit, when the last indexes of both partitions are to fit behind them."""
        self._check()
        return 0 if self._warned else max(0, self._free())

    def append(
        self,
        path: str,
        pieces: Iterable[bytes],
        *,
        modified: int | None = None,
        attributes: Iterable[ExtendedAttribute] = (),
        read_only: bool = False,
        replaces: bool = False,
        length: int | None = None,
    ) -> FileEntry:
        """Write a whole file from pieces; see :meth:`create`."""
        writer = self.create(
            path, modified=modified, attributes=attributes, read_only=read_only, replaces=replaces, length=length
        )
        with writer:
            for piece in pieces:
                writer.write(piece)
            return writer.finish()

    def checkpoint(self) -> IndexHeader:
        """Make durable what was finished so far: a new generation on the data partition only."""
        with self._careful():
            if self._dirty:
                self._write_data_index()
        return self.header

    def commit(self) -> IndexHeader:
        """Write the new generation to both partitions; nothing where nothing is new and the volume is whole."""
        with self._careful():
            if self._dirty:
                self._write_data_index()
            elif self._draft is None or self._draft.header.location.partition == self.label.index_partition:
                return self.header
            self._write_index_index()
        return self.header

    def close(self) -> None:
        """End the session. What was not committed is not on the volume. The medium stays open."""
        self._failed = True
        self._volume.close()
        if self._draft:
            self._draft.close()
            self._draft = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # Used by FileWriter.

    def _put(self, record: bytes | memoryview) -> None:
        """Write one data block where the next is due."""
        if self._warned or self._budget < len(record):
            self._budget = 0 if self._warned else self._free()
            if self._budget < len(record):
                raise self._full()
        try:
            room = self._medium.write(record)
        except Full:
            # The end came sooner than foretold. What stands before it can still be indexed, where room can be made.
            self._warned = True
            self._failed = self._medium.locate(self._next.partition, self._next.block) != self._next
            raise
        except BaseException:
            self._failed = True
            raise
        self._next = Position(self._next.partition, self._next.block + 1)
        self._budget -= self.label.blocksize
        self._warned = room is Room.EARLY_WARNING

    def _ended(self, entry: FileEntry | None) -> FileEntry | None:
        """The file that was being written is finished, or given up."""
        self._writer = None
        if entry is None:
            return None
        self._check_position()
        entry = self._additions.add(entry, file_xml, self._clock())
        self._dirty = True
        return entry

    # How it is done.

    def _check(self) -> None:
        if self._failed:
            raise Refused("The session is over.", remedy="Open another one.")

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        self._check()
        if self._writer is not None:
            raise Refused("A file is still being written; finish or abandon it first.")
        self._check_position()
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def _check_position(self) -> None:
        if (here := self._medium.position()) != self._next:
            self._failed = True
            raise MediumChanged(
                f"The tape stands at {here} and must stand at {self._next}: something else has moved it.",
                remedy="Nothing was written. Find out what else uses the drive.",
            )

    def _free(self, more: int = 0) -> int:
        """Bytes of data that still fit, when the last indexes of both partitions are to fit behind them.

        ``more`` bytes are about to be added to the index. Not above 0 where nothing fits.
        """
        size = self.label.blocksize
        front, data = self._medium.capacity(self._index), self._medium.capacity(self._data)
        self._block_cost = max(size, data.least)
        blocks = -(-(self._additions.size + more + 8192) // size) + 2
        first = self._volume.header.first_free(self.label.index_partition)
        if (first + blocks) * max(size, front.least) > front.maximum:
            return 0
        room = data.remaining - (blocks + 2) * self._block_cost
        # Room is counted in whole blocks, of which each holds no more than the block size.
        return room // self._block_cost * size

    def _full(self) -> Full:
        return Full(
            "The cartridge is full: what is left is kept for its last indexes.",
            remedy="Commit what was finished, and go on with another cartridge.",
        )

    def _write_data_index(self) -> None:
        header = self.header
        location = Location(self.label.data_partition, self._next.block + 1)
        header = replace(
            header,
            version=FORMAT_VERSION,
            creator=self._creator,
            comment="",
            generation=header.generation + 1,
            updated=self._clock(),
            location=location,
            previous=self._last_data,
        )
        draft = self._additions.merge(header, self._spool)
        try:
            write_index(self._medium, draft.pieces(), self.label.blocksize)
        except BaseException:
            draft.close()
            raise
        if self._draft:
            self._draft.close()
        self._draft = draft
        self._last_data = location
        self._dirty = False
        self._next = self._medium.position()
        note_coherency(self._medium, self._data, draft.header.generation, location.block, self.label.volume_uuid)

    def _write_index_index(self) -> None:
        if self._draft is None:  # pragma: no cover  -- commit() writes the data partition first
            raise Refused("Nothing to write.")
        last = self._last_data
        at = self._draft.header.first_free(self.label.index_partition)
        location = Location(self.label.index_partition, at + 1)
        if self._medium.locate(self._index, at) != Position(self._index, at):
            raise Corrupted(f"The index partition ends before block {at}, where its index must stand.")
        self._draft.header = replace(self._draft.header, location=location, previous=last)
        write_index(self._medium, self._draft.pieces(), self.label.blocksize)
        generation = self._draft.header.generation
        note_coherency(self._medium, self._index, generation, location.block, self.label.volume_uuid)
        if last:
            note_coherency(self._medium, self._data, generation, last.block, self.label.volume_uuid)
        self._next = self._medium.locate(self._data, END)


class FileWriter:
    """One file on its way to tape. :meth:`finish` ends it; leaving the ``with`` block before gives it up."""

    def __init__(self, session: WriteSession, entry: FileEntry) -> None:
        self._session = session
        self._entry = entry
        self._first = session._next.block  # noqa: SLF001  -- one unit, in two classes
        self._size = session.label.blocksize
        self._buffer = bytearray()
        self._length = 0
        self._open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Raises ``Full``: the file was given up, the session can be committed."""
        if not self._open:
            raise Refused(f"{self._entry.path!r} is finished or was given up.")
        view = memoryview(data).cast("B")
        self._length += len(view)
        try:
            if self._buffer:
                lack = self._size - len(self._buffer)
                self._buffer += view[:lack]
                view = view[lack:]
                if len(self._buffer) == self._size:
                    self._session._put(memoryview(self._buffer))  # noqa: SLF001
                    self._buffer = bytearray()
            while len(view) >= self._size:
                self._session._put(view[: self._size])  # noqa: SLF001
                view = view[self._size :]
            self._buffer += view
        except BaseException:
            self.abandon()
            raise

    def finish(self) -> FileEntry:
        """The file is whole. It is on the volume after the session's next checkpoint or commit."""
        if not self._open:
            raise Refused(f"{self._entry.path!r} is finished or was given up.")
        try:
            if self._buffer:
                self._session._put(memoryview(self._buffer))  # noqa: SLF001
        except BaseException:
            self.abandon()
            raise
        extents: tuple[Extent, ...] = ()
        if self._length:
            extents = (Extent(0, self._session.label.data_partition, self._first, 0, self._length),)
        self._open = False
        entry = self._session._ended(replace(self._entry, length=self._length, extents=extents))  # noqa: SLF001
        if entry is None:  # pragma: no cover  -- said for the type checker
            raise Refused("The file was given up.")
        return entry

    def abandon(self) -> None:
        """Give the file up. What was written of it stays on tape, and no index will know it."""
        if self._open:
            self._open = False
            self._session._ended(None)  # noqa: SLF001

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.abandon()


def _check_writable(medium: TapeMedium, volume: Volume, volume_uuid: str | None) -> None:
    if volume_uuid is not None and volume.label.volume_uuid != volume_uuid:
        raise Refused(
            f"The drive holds volume {volume.label.volume_uuid}, not {volume_uuid}.", remedy="Load the right cartridge."
        )
    if medium.write_protected:
        raise Refused("The cartridge is write-protected.")
    if not volume.last.chain_intact or volume.labels.remarks:
        raise Refused(
            "The volume is damaged; it can be read, and must not be written.",
            remedy="Copy what is on it to another cartridge. " + " ".join(volume.last.remarks),
        )
    if not SPARSE_VERSION <= volume.header.version <= _NEWEST_WRITTEN or volume.label.version > _NEWEST_WRITTEN:
        raise Unsupported(
            f"The volume is of LTFS version {'.'.join(map(str, volume.header.version))}.",
            remedy="It can be read here; only versions 2.0 to 2.4 can be extended.",
        )
    lock = VolumeLock.UNLOCKED.to_bytes(1, "big")
    with contextlib.suppress(NotFound):
        lock = medium.attribute(0, Attribute.VOLUME_LOCK)
    if lock not in {b"\x00", bytes((VolumeLock.NO_LOCK,))} or volume.header.lock_state != "unlocked":
        raise Refused("The volume is locked, or an earlier write error has made it read-only.")
