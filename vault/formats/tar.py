"""Reading tar while it streams, trusting nothing.

Formats: v7, POSIX ustar, GNU (long names, base-256 numbers) and POSIX pax. Sources: POSIX.1-2017, pax utility,
“EXTENDED DESCRIPTION”; GNU tar manual, “Basic Tar Format”; libarchive's tar(5). Two readers must never see two
different archives in one stream, so what is lenient elsewhere (a lone zero block, data after the end, two long names
for one member, a size on a directory) is refused here.

Fault codes beside those of names and limits: ``tar-truncated``, ``tar-no-end``, ``tar-trailing-data``,
``tar-bad-checksum``, ``tar-bad-number``, ``tar-bad-header``, ``tar-pax-malformed``, ``tar-header-too-large``,
``tar-symlink``, ``tar-hardlink``, ``tar-device``, ``tar-fifo``, ``tar-sparse``, ``tar-multi-volume``,
``tar-unknown-type``, ``too-many-members``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vault.formats.archive import BLOCK, ArchiveLimits, Member, MemberKind, ReadableStream, tar_checksum_holds
from vault.formats.names import refuse

MAX_PADDING = 64 * 1024**2
"""Zero bytes accepted after the end of the archive: tar pads to its blocking factor, tape tools to more."""

_ZERO = bytes(BLOCK)
_REFILL = _DIRECT = 1024 * 1024
_MAX_NUMBER = 2**63 - 1

_FILES = frozenset({b"0", b"\0", b"7"})  # “7” is a contiguous file, to be treated as a regular one
_REFUSED = {
    b"1": ("tar-hardlink", "is a hard link; only files and directories are accepted."),
    b"2": ("tar-symlink", "is a symbolic link; only files and directories are accepted."),
    b"3": ("tar-device", "is a character device; only files and directories are accepted."),
    b"4": ("tar-device", "is a block device; only files and directories are accepted."),
    b"6": ("tar-fifo", "is a named pipe; only files and directories are accepted."),
    b"S": ("tar-sparse", "is stored as a GNU sparse file; pack without --sparse."),
    b"M": ("tar-multi-volume", "continues from another volume; multi-volume archives are not accepted."),
}
_NUMBERS = (
    ("mode", 100, 108),
    ("uid", 108, 116),
    ("gid", 116, 124),
    ("mtime", 136, 148),
    ("device", 329, 337),
    ("device", 337, 345),
)
_PAX_MTIME = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{0,18}))?")
_PAX_SIZE = re.compile(r"[0-9]{1,19}")


class _Feed:
    """The source, with a buffer for headers and small members; large reads go past the buffer, without a copy."""

    __slots__ = ("_buffer", "_position", "_read")

    def __init__(self, source: ReadableStream) -> None:
        self._read = source.read
        self._buffer = b""
        self._position = 0

    def some(self, size: int) -> bytes:
        """Between 1 and ``size`` bytes; ``b""`` at the end."""
        start = self._position
        held = len(self._buffer) - start
        if not held:
            if size >= _DIRECT:
                return self._read(size)
            self._buffer = self._read(_REFILL)
            self._position = start = 0
            held = len(self._buffer)
        if size >= held:
            piece = self._buffer[start:] if start else self._buffer
            self._buffer = b""
            self._position = 0
            return piece
        self._position = start + size
        return self._buffer[start : start + size]

    def exactly(self, size: int) -> bytes:
        """``size`` bytes, fewer only when the source ends."""
        piece = self.some(size)
        if len(piece) == size or not piece:
            return piece
        pieces = [piece]
        missing = size - len(piece)
        while missing and (piece := self.some(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


class _Overrides:
    """What extended headers say about the member that follows."""

    __slots__ = ("long_name", "mtime", "path", "size", "spent")

    def __init__(self) -> None:
        self.path: bytes | None = None
        self.long_name: bytes | None = None
        self.size: int | None = None
        self.mtime: int | None = None
        self.spent = 0


def _stale(_size: int) -> bytes:
    raise RuntimeError("a member is read before the next one is asked for")


class _Reader:
    def __init__(self, source: ReadableStream, limits: ArchiveLimits) -> None:
        self._feed = _Feed(source)
        self._limits = limits
        self._register = limits.register()
        self._members = 0
        self._total = 0
        self._remaining = 0
        self._padding = 0
        self._current: Member | None = None
        self._global_mtime: int | None = None

    def next_member(self) -> Member | None:
        if self._current is not None:
            self._leave()
        overrides = _Overrides()
        while True:
            header = self._header()
            if header is None:
                if overrides.spent:
                    refuse("tar-truncated", "the archive ends after an extended header.")
                self._finish()
                return None
            flag = header[156:157]
            if flag in b"xgLK":
                self._extend(overrides, flag, header)
                continue
            member = self._member(header, flag, overrides)
            if member is not None:
                return member
            overrides = _Overrides()

    def _header(self) -> bytes | None:
        header = self._feed.exactly(BLOCK)
        if not header:
            refuse(
                "tar-no-end",
                "the archive ends without its end marker, so it may have been cut short.",
                remedy="Send it again, whole.",
            )
        if len(header) < BLOCK:
            self._refuse_truncated()
        if header == _ZERO:
            return None
        if not tar_checksum_holds(header):
            refuse("tar-bad-checksum", f"the header of member {self._members + 1} is damaged, or is no tar header.")
        # Not needed here, but a reader that stumbles over one of them would see an archive that ends before it.
        for what, start, end in _NUMBERS:
            _number(header[start:end], what, "", signed=True)
        return header

    def _member(self, header: bytes, flag: bytes, overrides: _Overrides) -> Member | None:
        """The member of this header; None for the folder that the archive was packed in (``./``)."""
        self._members += 1
        if self._members > self._limits.max_members:
            refuse("too-many-members", f"the archive has more than {self._limits.max_members} members.")
        raw = _decode(_raw_name(header, overrides))
        if flag in _FILES:
            # v7 knows no type for directories: the name ends in a slash.
            directory = flag == b"\0" and raw.endswith("/")
            if raw.endswith("/") and not directory:
                refuse("tar-bad-header", "is called a file, but its name ends in “/”.", raw)
        elif flag == b"5":
            directory = True
        elif flag in _REFUSED:
            refuse(*_REFUSED[flag], raw)
        else:
            refuse("tar-unknown-type", f"is of type {flag!r}; only files and directories are accepted.", raw)
        size = _number(header[124:136], "size", raw) if overrides.size is None else overrides.size
        mtime = overrides.mtime if overrides.mtime is not None else self._global_mtime
        if mtime is None:
            mtime = _number(header[136:148], "mtime", raw, signed=True)
        if directory:
            if size:
                refuse("tar-bad-header", "is a directory with content; readers disagree on what follows.", raw)
            if raw.rstrip("/") in {".", ""} and not raw.startswith("/"):
                return None
        name = self._limits.check_name(raw)
        self._register.add(name, directory=directory)
        self._total += size
        self._limits.check_member_size(name, size, self._total)
        self._remaining = size
        self._padding = -size % BLOCK
        kind = MemberKind.DIRECTORY if directory else MemberKind.FILE
        self._current = Member(name, kind, size, mtime, self._content)
        return self._current

    def _content(self, size: int) -> bytes:
        remaining = self._remaining
        if not remaining:
            return b""
        piece = self._feed.some(min(size, remaining))
        if not piece:
            self._refuse_truncated()
        self._remaining = remaining - len(piece)
        return piece

    def _leave(self) -> None:
        """Go to the end of the current member; what was not read of it is passed over."""
        while self._remaining:
            self._content(_REFILL)
        if self._current is not None:
            self._current._pull = _stale  # noqa: SLF001 - the reader made it
        if self._padding and len(self._feed.exactly(self._padding)) < self._padding:
            self._refuse_truncated()
        self._current = None

    def _refuse_truncated(self) -> None:
        where = self._current.name if self._current is not None and self._remaining else ""
        refuse("tar-truncated", "the archive was cut short.", where, remedy="Send it again, whole.")

    def _finish(self) -> None:
        second = self._feed.exactly(BLOCK)
        if len(second) < BLOCK:
            refuse("tar-no-end", "the end marker of the archive is incomplete.", remedy="Send it again, whole.")
        seen = 0
        piece = second
        while piece:
            if piece.count(0) != len(piece):
                refuse("tar-trailing-data", "there is data after the end of the archive.")
            seen += len(piece)
            if seen > MAX_PADDING:
                refuse("tar-trailing-data", f"more than {MAX_PADDING} zero bytes follow the end of the archive.")
            piece = self._feed.some(_REFILL)

    def _extend(self, overrides: _Overrides, flag: bytes, header: bytes) -> None:
        size = _number(header[124:136], "size", "")
        overrides.spent += BLOCK + size
        # Checked before a byte of it is read: the header may claim gigabytes.
        if overrides.spent > self._limits.max_header_bytes:
            refuse("tar-header-too-large", f"extended headers of more than {self._limits.max_header_bytes} bytes.")
        body = self._feed.exactly(size + -size % BLOCK)
        if len(body) < size + -size % BLOCK:
            self._refuse_truncated()
        body = body[:size]
        if flag == b"L":
            if overrides.long_name is not None:
                refuse("tar-bad-header", "one member has two GNU long names.")
            overrides.long_name = body.rstrip(b"\0")
        elif flag == b"x":
            self._apply(overrides, _pax_records(body))
        elif flag == b"g":
            records = _pax_records(body)
            # A global path or size would apply to every member, and readers differ on it.
            if records.get(b"path") or records.get(b"size"):
                refuse("tar-pax-malformed", "a global pax header sets path or size.")
            if b"mtime" in records:
                self._global_mtime = _pax_mtime(records[b"mtime"])

    @staticmethod
    def _apply(overrides: _Overrides, records: dict[bytes, bytes]) -> None:
        path = records.get(b"path")
        if path:
            overrides.path = path
        size = records.get(b"size")
        if size:
            text = size.decode("ascii", "replace")
            if not _PAX_SIZE.fullmatch(text) or int(text) > _MAX_NUMBER:
                refuse("tar-bad-number", "a pax header gives a size that is none.")
            overrides.size = int(text)
        if b"mtime" in records:
            overrides.mtime = _pax_mtime(records[b"mtime"])


def _pax_records(body: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, ``LENGTH KEY=VALUE\\n`` each, those that concern us; the last of a key holds."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 9)
        digits = body[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        if end <= space + 1 or end > len(body) or body[end - 1] != 0x0A:
            refuse("tar-pax-malformed", "a pax header is malformed.")
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            refuse("tar-pax-malformed", "a pax header is malformed.")
        if key.startswith((b"GNU.sparse.", b"SCHILY.realsize")):
            refuse("tar-sparse", "a member is stored as a sparse file; pack without --sparse.")
        if key == b"hdrcharset" and value not in {b"ISO-IR 10646 2000 UTF-8", b"BINARY", b""}:
            refuse("tar-pax-malformed", "a pax header declares a character set other than UTF-8.")
        if key in {b"path", b"size", b"mtime"}:
            records[key] = value
        position = end
    return records


def _pax_mtime(value: bytes) -> int | None:
    if not value:
        return None
    found = _PAX_MTIME.fullmatch(value.decode("ascii", "replace"))
    if found is None:
        refuse("tar-bad-number", "a pax header gives an mtime that is none.")
    sign, whole, fraction = found.groups()
    if not sign:
        return int(whole)
    return -int(whole) - (1 if fraction and fraction.strip("0") else 0)


def _number(field: bytes, what: str, name: str, *, signed: bool = False) -> int:
    """A header field in octal, or in GNU's base-256 (top bit of the first byte set). Empty is 0."""
    digits = field.strip(b" \0")
    if digits.isdigit():
        try:
            return int(digits, 8)
        except ValueError:
            refuse("tar-bad-number", f"the field {what} is not octal.", name)
    if digits and field[0] in {0x80, 0xFF}:
        value = int.from_bytes(field[1:], "big", signed=field[0] == 0xFF)
        if (value >= 0 or signed) and abs(value) <= _MAX_NUMBER:
            return value
        refuse("tar-bad-number", f"the field {what} is negative or absurdly large.", name)
    if digits:
        refuse("tar-bad-number", f"the field {what} is not a number.", name)
    return 0


def _raw_name(header: bytes, overrides: _Overrides) -> bytes:
    if overrides.path is not None:
        if overrides.long_name is not None:
            refuse("tar-bad-header", "one member has a GNU and a pax name; readers disagree on which holds.")
        return overrides.path
    if overrides.long_name is not None:
        return overrides.long_name
    name = header[:100].partition(b"\0")[0]
    # In GNU's own format (magic “ustar  ”) the bytes of the prefix mean something else.
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].partition(b"\0")[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _decode(raw: bytes) -> str:
    # surrogateescape, so that the name check can say what is wrong and still show the name
    return raw.decode("utf-8", "surrogateescape")


def read_tar(source: ReadableStream, limits: ArchiveLimits) -> Iterator[Member]:
    """The members of a tar, as the stream brings them.

    A member's content must be read before the next member is asked for; what is left unread is passed over. The stream
    is read to its very end, and only when the iteration ends by itself has the archive been seen to be whole. Memory is
    constant, but for the names (bounded by ``limits``) that are kept to notice two alike.

    Raises Invalid, with one fault, for whatever is not accepted; errors of ``source`` pass through.
    """
    reader = _Reader(source, limits)
    while (member := reader.next_member()) is not None:
        yield member
