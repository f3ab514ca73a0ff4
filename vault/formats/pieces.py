"""An archive that is made while it is sent: where each of its bytes is, known before any content was read.

All that decides it are the names and the sizes of the files. So its length can be said beforehand, any part of it can
be made alone, and it is the same each time and from whichever copy the content is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Checksum = Callable[[int], int]
"""The CRC-32 of a member's content, by its place in the list of members. Asked for only where it is needed."""


class FileMember(NamedTuple):
    """A file that goes into an archive: its relative POSIX path, and its bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Made:
    """Bytes of the archive's own, ``length`` of them."""

    length: int
    make: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Content:
    """``length`` bytes from ``start`` of the content of the member at place ``member``."""

    member: int
    start: int
    length: int


class Packing(ABC):
    """An archive of these members, in their order. ``size`` is its length in bytes."""

    size: int

    def __init__(self, members: Sequence[FileMember]) -> None:
        self.members = members

    def cut(self, start: int, length: int, checksum: Checksum) -> Iterator[bytes | Content]:
        """Yield what makes up ``length`` bytes of the archive from ``start``: bytes, and parts of members' content."""
        at, pieces = self._pieces_from(start, checksum)
        end = start + length
        for piece in pieces:
            if at >= end:
                return
            low, high = max(start - at, 0), min(end - at, piece.length)
            if low < high:
                if isinstance(piece, Content):
                    yield Content(piece.member, piece.start + low, high - low)
                else:
                    yield piece.make()[low:high]
            at += piece.length

    @abstractmethod
    def _pieces_from(self, start: int, checksum: Checksum) -> tuple[int, Iterator[Made | Content]]:
        """All pieces from some place at or before ``start`` on, and that place."""


def offsets(lengths: Iterable[int]) -> array[int]:
    """Where each of several things of these lengths begins when they follow one another, and where the last ends."""
    found = array("Q", [0])
    at = 0
    for length in lengths:
        at += length
        found.append(at)
    return found


def place_at(starts: array[int], offset: int) -> int:
    """Which of them holds the byte at ``offset``; their number when it lies behind the last."""
    return min(bisect_right(starts, offset) - 1, len(starts) - 1)
