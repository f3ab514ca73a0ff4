"""Writing zip, stored and not compressed, byte for byte the same for the same content.

Names are UTF-8, times are what the caller says, zip64 stands only where the classic fields cannot hold a number. The
checksum follows the content in a data descriptor, so that nothing need be read before it is sent. Source: PKWARE
APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from vault.formats.pieces import Checksum, Content, FileMember, Made, Packing, offsets, place_at

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_DESCRIPTOR: Final = struct.Struct("<4s3L")
_DESCRIPTOR_64: Final = struct.Struct("<4sLQQ")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END: Final = struct.Struct("<4s4H2LH")

_LIMIT: Final = 0xFFFFFFFF
_MANY: Final = 0xFFFF
_UTF8: Final = 0x0800
_DESCRIBED: Final = 0x0008
_CLASSIC: Final = 20
_ZIP64: Final = 45
_UNIX: Final = 3 << 8
_REGULAR: Final = 0o100644 << 16
_FIRST_YEAR: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LAST_YEAR: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


class ZipPacking(Packing):
    """A zip of these files, each with the time ``moment`` (in UTC, as far as zip can say it: 1980 to 2107)."""

    def __init__(self, members: Sequence[FileMember], *, moment: datetime) -> None:
        super().__init__(members)
        known = max(_FIRST_YEAR, min(_LAST_YEAR, moment.astimezone(UTC)))
        self._time = known.hour << 11 | known.minute << 5 | known.second // 2
        self._date = known.year - 1980 << 9 | known.month << 5 | known.day
        self._starts = offsets(map(self._local_length, members))
        self._directory = self._starts[-1]
        self._entries = offsets(
            _CENTRAL.size + len(member.name.encode()) + len(_central_extra(member.size, start))
            for member, start in zip(members, self._starts, strict=False)
        )
        self._end = self._end_bytes()
        self.size = self._directory + self._entries[-1] + len(self._end)

    @staticmethod
    def _local_length(member: FileMember) -> int:
        large = member.size >= _LIMIT
        around = _LOCAL.size + (20 if large else 0) + (_DESCRIPTOR_64 if large else _DESCRIPTOR).size
        return around + len(member.name.encode()) + member.size

    def _pieces_from(self, start: int, checksum: Checksum) -> tuple[int, Iterator[Made | Content]]:
        if start < self._directory:
            first = place_at(self._starts, start)
            return self._starts[first], self._pieces(first, 0, checksum)
        entry = place_at(self._entries, start - self._directory)
        return self._directory + self._entries[entry], self._pieces(len(self.members), entry, checksum)

    def _pieces(self, first: int, entry: int, checksum: Checksum) -> Iterator[Made | Content]:
        for place in range(first, len(self.members)):
            header = self._local(place)
            yield Made(len(header), lambda header=header: header)  # type: ignore[misc]
            yield Content(place, 0, self.members[place].size)
            length = (_DESCRIPTOR_64 if self.members[place].size >= _LIMIT else _DESCRIPTOR).size
            yield Made(length, partial(self._descriptor, place, checksum))
        for place in range(entry, len(self.members)):
            length = self._entries[place + 1] - self._entries[place]
            yield Made(length, partial(self._central, place, checksum))
        yield Made(len(self._end), lambda: self._end)

    def _local(self, place: int) -> bytes:
        name, size = self.members[place].name.encode(), self.members[place].size
        # Sizes stand in the descriptor. That they have eight bytes there is said by this field (4.3.9.2).
        extra = struct.pack("<2H2Q", 1, 16, 0, 0) if size >= _LIMIT else b""
        needs = _ZIP64 if extra else _CLASSIC
        flags = _DESCRIBED | (0 if name.isascii() else _UTF8)
        head = _LOCAL.pack(
            b"PK\3\4", needs, flags, 0, self._time, self._date, 0, *((_LIMIT, _LIMIT) if extra else (0, 0)),
            len(name), len(extra),
        )  # fmt: skip
        return head + name + extra

    def _descriptor(self, place: int, checksum: Checksum) -> bytes:
        size = self.members[place].size
        form = _DESCRIPTOR_64 if size >= _LIMIT else _DESCRIPTOR
        return form.pack(b"PK\7\x08", checksum(place), size, size)

    def _central(self, place: int, checksum: Checksum) -> bytes:
        name, size, start = self.members[place].name.encode(), self.members[place].size, self._starts[place]
        extra = _central_extra(size, start)
        needs = _ZIP64 if extra else _CLASSIC
        flags = _DESCRIBED | (0 if name.isascii() else _UTF8)
        shown = min(_LIMIT, size)
        head = _CENTRAL.pack(
            b"PK\1\2", _UNIX | needs, needs, flags, 0, self._time, self._date, checksum(place), shown, shown,
            len(name), len(extra), 0, 0, 0, _REGULAR, min(start, _LIMIT),
        )  # fmt: skip
        return head + name + extra

    def _end_bytes(self) -> bytes:
        count, length, start = len(self.members), self._entries[-1], self._directory
        end = _END.pack(
            b"PK\5\6", 0, 0, min(count, _MANY), min(count, _MANY), min(length, _LIMIT), min(start, _LIMIT), 0
        )
        if count < _MANY and length < _LIMIT and start < _LIMIT:
            return end
        end_64 = _END_64.pack(b"PK\6\6", 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, length, start)
        return end_64 + _LOCATOR.pack(b"PK\6\7", 0, start + length, 1) + end


def _central_extra(size: int, start: int) -> bytes:
    """The zip64 field: what the classic ones cannot hold, in this order (4.5.3)."""
    values = ([size, size] if size >= _LIMIT else []) + ([start] if start >= _LIMIT else [])
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
