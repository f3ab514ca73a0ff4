"""Reading a cartridge in tape order: the volume in a drive, its files, and ranges of them as the tape comes by them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeVar

from hardware.ahead import ReadAhead
from hardware.errors import Refused
from hardware.ltfs.medium import TapeMedium
from hardware.ltfs.model import FileEntry, IndexHeader, Location
from hardware.ltfs.volume import Volume

K = TypeVar("K")

_AHEAD_FROM: Final = 4 * 1024 * 1024
"""What is shorter is read as it is used: a thread would cost more than it saves."""


@dataclass(frozen=True, slots=True)
class Wanted(Generic[K]):
    """A range of a file that somebody wants. ``key`` is whatever the asker knows it by; no ``length``: to the end."""

    key: K
    entry: FileEntry
    offset: int = 0
    length: int | None = None


class TapeReader:
    """A volume open for reading: its last index, its files, and ranges of them. Holds the medium until closed."""

    def __init__(self, medium: TapeMedium, volume: Volume, ended: Callable[[], None] | None = None) -> None:
        self._medium = medium
        self._volume = volume
        self._ended = ended
        self._ahead: ReadAhead | None = None

    @classmethod
    def open(
        cls,
        medium: TapeMedium,
        *,
        spool: str | os.PathLike[str] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> TapeReader:
        """Find the volume's last index; the medium is closed where there is none. ``ended`` is called at the end."""
        try:
            return cls(medium, Volume.open(medium, spool=spool), ended)
        except BaseException:
            medium.close()
            raise

    @property
    def volume(self) -> Volume:
        """The volume itself: its label, what speaks for its being whole, its generations."""
        return self._volume

    @property
    def volume_uuid(self) -> str:
        """Which volume it is."""
        return self._volume.label.volume_uuid

    @property
    def header(self) -> IndexHeader:
        """What the last index says of itself."""
        return self._volume.header

    def files(self) -> Iterator[FileEntry]:
        """All files (no links), in the order of the index, in bounded memory."""
        return (entry for entry in self._volume.files() if entry.target is None)

    def find(self, path: str) -> FileEntry:
        """The file at a path; passes through the whole index. Raises ``NotFound``."""
        return self._volume.find(path)

    def read(self, entry: FileEntry, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file or of a range of it; see :meth:`Volume.read`.

        With a ``length`` it is known how far will be read, and what comes next is read while what came before is used;
        that ends where something else is asked of this reader. Without, nothing is read that was not asked for. A block
        that two ranges share is read once; a whole file is always read from tape.
        """
        self._rest()
        pieces = self._volume.read(entry, offset, length, reuse=length is not None)
        return pieces if length is None else self._ahead_of(pieces, min(length, entry.length - offset))

    def in_tape_order(self, wanted: Iterable[Wanted[K]]) -> Iterator[tuple[Wanted[K], Iterator[bytes]]]:
        """What was wanted, with its bytes, in the order in which the tape comes by it: forwards only, and once.

        Each one's bytes are to be read before the next is asked for; what is not read of it is passed over.
        """
        size = self._volume.label.blocksize
        for item in sorted(wanted, key=lambda item: where(item.entry, item.offset, size)):
            self._rest()
            pieces = self._volume.read(item.entry, item.offset, item.length, reuse=True)
            rest = item.entry.length - item.offset
            yield item, self._ahead_of(pieces, rest if item.length is None else min(item.length, rest))

    def capture_index(self, write: Callable[[bytes], object]) -> IndexHeader:
        """Hand the last index, as it stands on tape, to ``write``, to be kept elsewhere; says what it is."""
        for piece in self._volume.last.copy.pieces():
            write(piece)
        return self.header

    def digest(self, entry: FileEntry, algorithm: str = "sha512") -> str:
        """The digest of a whole file, read from tape."""
        found = hashlib.new(algorithm, usedforsecurity=False)
        self._rest()
        for piece in self._ahead_of(self._volume.read(entry), entry.length):
            found.update(piece)
        return found.hexdigest()

    def close(self) -> None:
        """Let go of volume and medium."""
        self._rest()
        self._volume.close()
        self._medium.close()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _ahead_of(self, pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
        if length < _AHEAD_FROM:
            return pieces
        self._ahead = ReadAhead(pieces)
        return self._ahead

    def _rest(self) -> None:
        """Nobody but the caller uses the medium from now on."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            ahead.close()


def where(entry: FileEntry, offset: int, blocksize: int) -> tuple[Location, int]:
    """The block in which a byte of a file stands, and its place in it. Bytes that no extent covers stand nowhere."""
    if entry.target is not None:
        raise Refused(f"{entry.path!r} is a link; it has no bytes.")
    for extent in entry.extents:
        if offset < extent.file_offset + extent.count:
            blocks, within = divmod(extent.byte_offset + max(0, offset - extent.file_offset), blocksize)
            return Location(extent.partition, extent.block + blocks), within
    return Location("", 0), 0
