"""Reading zip from a file, by its central directory, which must agree with all else in the file.

Source: PKWARE APPNOTE 6.3.10 (section numbers below). The standard library's zipfile reads the whole central directory
into memory, guesses CP437 for names, cuts names at a NUL and tolerates data before, between and after entries; each of
those lets two readers see two archives in one file, so this reader parses by itself: entries must lie side by side from
byte 0 to the central directory, which is followed by nothing but its end record. Methods are stored and deflate (what
BagIt and E-ARK zips use); LZMA would let an archive choose how much memory we spend.

Fault codes beside those of names and limits: ``zip-no-directory``, ``zip-malformed``, ``zip-multi-disk``,
``zip-directory-too-large``, ``zip-encrypted``, ``zip-method``, ``zip-special-file``, ``zip-hidden-data``,
``zip-overlap``, ``zip-header-mismatch``, ``zip-damaged``, ``too-many-members``.
"""

from __future__ import annotations

import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from vault.formats.archive import ArchiveLimits, Member, MemberKind
from vault.formats.names import refuse

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR64 = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s2B5HL2L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_EXTRA = struct.Struct("<2H")  # 4.5.1
_READ = 256 * 1024
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # traditional, strong, masked directory
_DESCRIPTOR, _PATCHED, _UTF8 = 0x0008, 0x0020, 0x0800
_NEWEST = 63  # version 6.3, the newest that 4.4.3 gives a meaning
_DESCRIPTOR_SIZES = frozenset({12, 16, 20, 24})  # with or without signature, 32 or 64 bits (4.3.9)


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry of the central directory: what the archive says, not yet what it holds. Sizes in bytes."""

    name: str
    kind: MemberKind
    size: int
    compressed: int
    mtime: int | None
    crc: int
    method: int
    flags: int
    offset: int
    raw_name: bytes


@dataclass(frozen=True, slots=True)
class _Directory:
    start: int
    size: int
    count: int


def list_zip(file: BinaryIO, limits: ArchiveLimits) -> tuple[ZipEntry, ...]:
    """The entries, in the order they lie in the file, by the central directory alone. Raises as `read_zip`."""
    return tuple(sorted(_entries(file, _locate(file, limits), limits), key=lambda entry: entry.offset))


def read_zip(file: BinaryIO, limits: ArchiveLimits) -> Iterator[Member]:
    """The members of the zip in ``file`` (seekable; nobody else may move it meanwhile), in the order they lie there.

    A member's content must be read before the next is asked for. Its size and CRC-32 are checked when it is read to the
    end; what is not read is not checked. A declared size is never trusted: limits are enforced on what comes out.

    Raises Invalid, with one fault, for whatever is not accepted.
    """
    directory = _locate(file, limits)
    entries = sorted(_entries(file, directory, limits), key=lambda entry: entry.offset)
    if (entries[0].offset if entries else directory.start) != 0:
        refuse("zip-hidden-data", "there is data before the first entry.")
    register = limits.register()
    budget = _Budget(limits)
    for number, entry in enumerate(entries):
        register.add(entry.name, directory=entry.kind is MemberKind.DIRECTORY)
        following = entries[number + 1].offset if number + 1 < len(entries) else directory.start
        start = _content_start(file, entry, following)
        content = _Content(file, entry, start, budget)
        yield Member(entry.name, entry.kind, entry.size, entry.mtime, content.pull)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """``size`` bytes at ``offset``; the places asked for are known to lie inside the file."""
    file.seek(offset)
    pieces: list[bytes] = []
    while size and (piece := file.read(size)):
        pieces.append(piece)
        size -= len(piece)
    if size:
        refuse("zip-malformed", "a record reaches beyond the end of the file.")
    return b"".join(pieces)


def _locate(file: BinaryIO, limits: ArchiveLimits) -> _Directory:
    """The central directory, from the one end record that the file may have."""
    length = file.seek(0, io.SEEK_END)
    tail_start = max(0, length - _END.size - 0xFFFF)
    tail = _at(file, tail_start, length - tail_start)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        refuse(
            "zip-no-directory",
            "the zip has no central directory; it may have been cut short.",
            remedy="Send it again, whole.",
        )
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail):
        refuse("zip-hidden-data", "there is data after the end of the zip, or a second end inside its comment.")
    position = tail_start + found
    start_of_end = position
    wide = _locate64(file, position)
    if wide is not None:
        start_of_end, (disk64, first64, here64, count64, size64, offset64) = wide
        stated = ((here, here64, 0xFFFF), (count, count64, 0xFFFF), (size, size64, 2**32 - 1))
        for narrow, broad, unset in (*stated, (offset, offset64, 2**32 - 1)):
            if narrow not in {unset, broad}:
                refuse("zip-malformed", "the two end records of the zip disagree.")
        disk, first_disk, here, count, size, offset = disk64, first64, here64, count64, size64, offset64
    if disk or first_disk or here != count:
        refuse("zip-multi-disk", "the zip is one part of several; join them before depositing.")
    if count > limits.max_members:
        refuse("too-many-members", f"the archive has more than {limits.max_members} members.")
    if size > limits.max_directory_bytes:
        refuse("zip-directory-too-large", f"the central directory is larger than {limits.max_directory_bytes} bytes.")
    if offset + size != start_of_end:
        refuse("zip-hidden-data", "the central directory is not where the zip says; data was put before or after it.")
    return _Directory(offset, size, count)


def _locate64(file: BinaryIO, end: int) -> tuple[int, tuple[int, int, int, int, int, int]] | None:
    """The zip64 end record, where a locator lies directly before the end record at ``end``."""
    if end < _LOCATOR64.size + _END64.size:
        return None
    signature, disk, offset, disks = _LOCATOR64.unpack(_at(file, end - _LOCATOR64.size, _LOCATOR64.size))
    if signature != b"PK\x06\x07":
        return None
    expected = end - _LOCATOR64.size - _END64.size
    if disk or disks > 1:
        refuse("zip-multi-disk", "the zip is one part of several; join them before depositing.")
    if offset != expected:
        refuse("zip-malformed", "the zip64 end record is not where its locator says.")
    fields = _END64.unpack(_at(file, expected, _END64.size))
    signature, size, _, _, disk_number, first_disk, here, count, directory_size, directory_offset = fields
    if signature != b"PK\x06\x06" or size != _END64.size - 12:
        refuse("zip-malformed", "the zip64 end record is malformed.")
    return expected, (disk_number, first_disk, here, count, directory_size, directory_offset)


def _entries(file: BinaryIO, directory: _Directory, limits: ArchiveLimits) -> Iterator[ZipEntry]:
    """The central directory, entry by entry; it must be exactly as long as the end record says."""
    position = directory.start
    end = directory.start + directory.size
    buffer = b""
    at = 0
    total = 0
    for _ in range(directory.count):
        if len(buffer) - at < _CENTRAL.size + 3 * 0xFFFF:
            unread = min(end - position, _READ * 4)
            buffer = buffer[at:] + _at(file, position, unread)
            position += unread
            at = 0
        if len(buffer) - at < _CENTRAL.size:
            refuse("zip-malformed", "the central directory holds fewer entries than the zip says.")
        fields = _CENTRAL.unpack_from(buffer, at)
        name_size, extra_size, comment_size = fields[11:14]
        after = at + _CENTRAL.size + name_size + extra_size + comment_size
        if fields[0] != b"PK\x01\x02" or after > len(buffer):
            refuse("zip-malformed", "the central directory is malformed.")
        raw = buffer[at + _CENTRAL.size : at + _CENTRAL.size + name_size]
        extra = buffer[at + _CENTRAL.size + name_size : after - comment_size]
        entry = _entry(fields, raw, extra, limits)
        total += entry.size
        # The size is only a claim, but one that is already too large need not be tried.
        limits.check_member_size(entry.name, entry.size, total)
        yield entry
        at = after
    if position != end or at != len(buffer):
        refuse("zip-malformed", "the central directory holds more than the zip says.")


def _entry(fields: tuple[int, ...], raw: bytes, extra: bytes, limits: ArchiveLimits) -> ZipEntry:
    flags, method = fields[4], fields[5]
    crc, compressed, size = fields[8:11]
    disk, attributes, offset = fields[14], fields[16], fields[17]
    extras = _extras(extra)
    name = _name(raw, flags, extras)
    if flags & _ENCRYPTED:
        refuse("zip-encrypted", "is encrypted; nobody could read it in thirty years.", name)
    if method not in {_STORED, _DEFLATED}:
        refuse("zip-method", f"uses compression method {method}; only stored and deflate are accepted.", name)
    if fields[3] & 0xFF > _NEWEST:
        refuse("zip-method", "needs a newer version of the format than this node reads.", name)
    if flags & _PATCHED:
        refuse("zip-method", "holds a patch to another file (flag bit 5).", name)
    wide = extras.get(0x0001)
    if wide is not None:
        size, compressed, offset, disk = _widen(wide, size, compressed, offset, disk, name=name)
    if disk:
        refuse("zip-multi-disk", "lies on another part of a zip in several parts.", name)
    kind = _kind(name, attributes >> 16)
    if kind is MemberKind.DIRECTORY and size:
        refuse("zip-malformed", "is a directory with content.", name)
    if method == _STORED and size != compressed:
        refuse("zip-malformed", "is stored, but its two sizes differ.", name)
    checked = limits.check_name(name)
    return ZipEntry(checked, kind, size, compressed, _mtime(extras), crc, method, flags, offset, raw)


def _kind(name: str, mode: int) -> MemberKind:
    """By the trailing slash (4.4.17), which must agree with the Unix mode where there is one."""
    directory = name.endswith("/")
    form = stat.S_IFMT(mode)
    if form == stat.S_IFLNK:
        refuse("zip-special-file", "is a symbolic link; only files and directories are accepted.", name)
    if form not in {0, stat.S_IFREG, stat.S_IFDIR}:
        refuse("zip-special-file", "is a device or pipe; only files and directories are accepted.", name)
    if (form == stat.S_IFDIR and not directory) or (form == stat.S_IFREG and directory):
        refuse("zip-malformed", "is a file by its name and a directory by its mode, or the other way round.", name)
    return MemberKind.DIRECTORY if directory else MemberKind.FILE


def _extras(extra: bytes) -> dict[int, bytes]:
    """Extra fields by id (4.5.1); the first of an id holds. A rest too short for a field is padding by old tools."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _EXTRA.size <= len(extra):
        identifier, size = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if at + size > len(extra):
            refuse("zip-malformed", "an extra field reaches beyond its record.")
        if identifier == 0x0001 and identifier in found:
            refuse("zip-malformed", "an entry has two zip64 fields.")
        found.setdefault(identifier, extra[at : at + size])
        at += size
    return found


def _widen(wide: bytes, size: int, compressed: int, offset: int, disk: int, *, name: str) -> tuple[int, int, int, int]:
    """The zip64 extended information (4.5.3): those values that did not fit, in this order."""
    at = 0
    values: list[int] = []
    for value, unset, width in (
        (size, 2**32 - 1, 8),
        (compressed, 2**32 - 1, 8),
        (offset, 2**32 - 1, 8),
        (disk, 0xFFFF, 4),
    ):
        if value != unset:
            values.append(value)
            continue
        if at + width > len(wide):
            refuse("zip-malformed", "its zip64 field is too short.", name)
        values.append(int.from_bytes(wide[at : at + width], "little"))
        at += width
    return values[0], values[1], values[2], values[3]


def _name(raw: bytes, flags: int, extras: dict[int, bytes]) -> str:
    """The name: UTF-8 where the flag or the Unicode Path field (4.6.9) says so, and where the bytes are nothing else.

    Names in a code page are refused: which one is not recorded, so any reading of them would be a guess.
    """
    try:
        name: str | None = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = None
    unicode_path = extras.get(0x7075)
    if not flags & _UTF8 and unicode_path is not None and unicode_path[:1] == b"\x01":
        if int.from_bytes(unicode_path[1:5], "little") != zlib.crc32(raw):
            refuse("zip-malformed", "its Unicode name belongs to another name.", _shown(raw))
        try:
            better = unicode_path[5:].decode("utf-8")
        except UnicodeDecodeError:
            refuse("name-not-utf8", "its Unicode name is not valid UTF-8.", _shown(raw))
        if name is not None and name != better:
            refuse("zip-malformed", "has two different names.", name)
        return better
    if name is None:
        refuse(
            "name-not-utf8",
            "the name is not UTF-8, and the zip does not say in which code page it is.",
            _shown(raw),
            remedy="Pack with a tool that writes UTF-8 names.",
        )
    return name


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _mtime(extras: dict[int, bytes]) -> int | None:
    """From the extended timestamp (Info-ZIP, 0x5455). The DOS time has no time zone, so it tells no instant."""
    stamp = extras.get(0x5455, b"")
    if len(stamp) >= 5 and stamp[0] & 1:
        return int.from_bytes(stamp[1:5], "little", signed=True)
    return None


def _content_start(file: BinaryIO, entry: ZipEntry, following: int) -> int:
    """Where the content begins, once the local header (4.3.7) agrees with the central directory.

    ``following`` is where the next record begins; the entry must reach exactly there.
    """
    if entry.offset + _LOCAL.size > following:
        refuse("zip-overlap", "overlaps with what follows it.", entry.name)
    fields = _LOCAL.unpack(_at(file, entry.offset, _LOCAL.size))
    signature, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = fields
    start: int = entry.offset + _LOCAL.size + name_size + extra_size
    gap: int = following - start - entry.compressed
    if gap < 0:
        refuse("zip-overlap", "overlaps with what follows it.", entry.name)
    rest = _at(file, entry.offset + _LOCAL.size, name_size + extra_size)
    if signature != b"PK\x03\x04" or rest[:name_size] != entry.raw_name:
        refuse("zip-header-mismatch", "has another name in its local header than in the directory.", entry.name)
    relevant = _ENCRYPTED | _DESCRIPTOR | _UTF8
    if method != entry.method or flags & relevant != entry.flags & relevant:
        refuse("zip-header-mismatch", "has another method or other flags in its local header.", entry.name)
    wide = _extras(rest[name_size:]).get(0x0001)
    if wide is not None:
        size, compressed, _, _ = _widen(wide, size, compressed, 0, 0, name=entry.name)
    described = bool(flags & _DESCRIPTOR)
    for here, there in ((crc, entry.crc), (compressed, entry.compressed), (size, entry.size)):
        # With a data descriptor the values come after the content, and are 0 here.
        if here != there and not (described and here == 0):
            refuse("zip-header-mismatch", "has another size or CRC in its local header.", entry.name)
    if gap and not (described and gap in _DESCRIPTOR_SIZES):
        refuse("zip-hidden-data", "is followed by data that belongs to no entry.", entry.name)
    return start


class _Budget:
    """What has come out of the whole archive."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self.limits = limits
        self.inflated = 0
        self.compressed = 0


class _Content:
    """The content of one entry, inflated as it is asked for."""

    def __init__(self, file: BinaryIO, entry: ZipEntry, start: int, budget: _Budget) -> None:
        self._file = file
        self._entry = entry
        self._position = start
        self._left = entry.compressed
        self._budget = budget
        self._inflater = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        self._pending = b""
        self._out = 0
        self._crc = 0
        self._done = False

    def pull(self, size: int) -> bytes:
        while not self._done:
            piece = self._stored(size) if self._inflater is None else self._inflate(self._inflater, size)
            if piece:
                self._account(piece)
                return piece
        return b""

    def _raw(self, size: int) -> bytes:
        size = min(size, self._left)
        if not size:
            return b""
        self._file.seek(self._position)
        piece = self._file.read(size)
        if not piece:
            self._refuse_damaged("was cut short")
        self._position += len(piece)
        self._left -= len(piece)
        self._budget.compressed += len(piece)
        return piece

    def _stored(self, size: int) -> bytes:
        piece = self._raw(size)
        if not piece:
            self._finish()
        return piece

    def _inflate(self, inflater: zlib._Decompress, size: int) -> bytes:
        if not self._pending:
            self._pending = self._raw(_READ)
        at_end = not self._pending
        try:
            piece = inflater.decompress(self._pending, size)
        except zlib.error as error:
            self._refuse_damaged(f"cannot be inflated ({error})")
        self._pending = inflater.unconsumed_tail
        if inflater.eof:
            if inflater.unused_data or self._left:
                self._refuse_damaged("has data after the end of its compressed content")
            if not piece:
                self._finish()
        elif at_end and not piece:
            self._refuse_damaged("was cut short")
        return piece

    def _account(self, piece: bytes) -> None:
        self._out += len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        if self._out > self._entry.size:
            self._refuse_damaged("holds more than the directory says")
        budget = self._budget
        budget.inflated += len(piece)
        budget.limits.check_ratio(self._out, self._entry.compressed - self._left)
        budget.limits.check_member_size(self._entry.name, self._out, budget.inflated)

    def _finish(self) -> None:
        self._done = True
        if self._out != self._entry.size:
            self._refuse_damaged("holds less than the directory says")
        if self._crc != self._entry.crc:
            self._refuse_damaged("does not match its CRC-32")

    def _refuse_damaged(self, what: str) -> NoReturn:
        refuse("zip-damaged", f"{what}.", self._entry.name, remedy="Pack and send it again.")
