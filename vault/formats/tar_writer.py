"""Writing tar in the POSIX pax format, byte for byte the same for the same content.

Owner, group and rights are fixed (root, 0644 and 0755), times are what the caller says; a pax header is written only
where ustar cannot hold a name (not ASCII, or too long) or a number. Source: POSIX.1-2017, pax, “pax Interchange
Format”.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from vault.errors import Interrupted
from vault.formats.archive import BLOCK, MemberKind
from vault.formats.names import shown
from vault.formats.pieces import Checksum, Content, FileMember, Made, Packing, offsets, place_at

TAR_END = bytes(2 * BLOCK)
"""What ends an archive. It is not padded further: 10 KiB records are for tapes without a block size of their own."""

_MAX_OCTAL = 0o77777777777  # 8 GiB - 1, and the year 2242


def tar_header(name: str, size: int, *, mtime: int = 0, kind: MemberKind = MemberKind.FILE) -> bytes:
    """Header bytes of one member, a multiple of 512: a pax header where one is needed, and the ustar header.

    ``name`` is a relative POSIX path without trailing slash, ``size`` bytes (0 for a directory), ``mtime`` seconds
    since 1970.
    """
    directory = kind is MemberKind.DIRECTORY
    if size < 0 or (directory and size):
        raise ValueError("a size is not negative, and a directory has none")
    path = name + "/" if directory else name
    records: list[tuple[str, str]] = []
    split = _split(path)
    if split is None:
        records.append(("path", path))
        # Seen only by readers that know no pax.
        split = (b"", path.encode("ascii", "replace").replace(b"?", b"_")[-100:].lstrip(b"/"))
    if size > _MAX_OCTAL:
        records.append(("size", str(size)))
    if not 0 <= mtime <= _MAX_OCTAL:
        records.append(("mtime", str(mtime)))
    flag, mode = (b"5", 0o755) if directory else (b"0", 0o644)
    # “size” is 0 when it is overridden: an octal field cannot hold it, and pax readers do not look.
    block = _block(split, size if size <= _MAX_OCTAL else 0, mtime if 0 <= mtime <= _MAX_OCTAL else 0, flag, mode)
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in records)
    return _block((b"", b"PaxHeaders/member"), len(body), 0, b"x", 0o644) + body + tar_padding(len(body)) + block


def tar_comment(text: str) -> bytes:
    """A global pax header that says ``text`` to whoever knows it; all other readers pass over it (POSIX, “comment”)."""
    body = _record("comment", text)
    return _block((b"", b"PaxHeaders/global"), len(body), 0, b"g", 0o644) + body + tar_padding(len(body))


def tar_padding(size: int) -> bytes:
    """The zero bytes that follow content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def _split(path: str) -> tuple[bytes, bytes] | None:
    """Prefix and name of the ustar header; None when the path does not fit or is not ASCII."""
    if not path.isascii():
        return None
    raw = path.encode("ascii")
    if len(raw) <= 100:
        return b"", raw
    # The slash between prefix (155 bytes) and name (100 bytes) is not stored; it must not be the trailing one.
    slash = raw.find(b"/", len(raw) - 101, len(raw) - 1)
    return (raw[:slash], raw[slash + 1 :]) if 0 < slash <= 155 else None


def _record(key: str, value: str) -> bytes:
    """One pax record; its length counts itself."""
    text = f" {key}={value}\n".encode()
    length = len(text)
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return str(length).encode() + text


def _block(split: tuple[bytes, bytes], size: int, mtime: int, flag: bytes, mode: int) -> bytes:
    prefix, name = split
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"0000000\0" * 2,
            b"%011o\0" % size,
            b"%011o\0" % mtime,
        )
    )
    tail = b"".join(
        (
            flag,
            bytes(100),
            b"ustar\x0000",
            b"root".ljust(32, b"\0") * 2,
            b"0000000\0" * 2,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return head + b"%06o\0 " % (sum(head) + sum(tail) + 8 * 32) + tail


class TarWriter:
    """Writes members one after the other through ``write``, which takes all the bytes it is given."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.offset = 0
        """Bytes written so far."""

    def _put(self, data: bytes) -> None:
        if data:
            self._write(data)
            self.offset += len(data)

    def directory(self, name: str, *, mtime: int = 0) -> None:
        """Write a directory member."""
        self._put(tar_header(name, 0, mtime=mtime, kind=MemberKind.DIRECTORY))

    def file(self, name: str, size: int, chunks: Iterable[bytes], *, mtime: int = 0) -> int:
        """Write a file; returns the offset of its first content byte in the archive.

        Raises Interrupted (``source-changed``) when ``chunks`` do not give exactly ``size`` bytes; the archive is
        then of no use.
        """
        self._put(tar_header(name, size, mtime=mtime))
        start = self.offset
        for chunk in chunks:
            if self.offset - start + len(chunk) > size:
                break
            self._put(chunk)
        else:
            if self.offset - start == size:
                self._put(tar_padding(size))
                return start
        raise Interrupted(
            f"“{shown(name)}” does not have the {size} bytes it had when it was listed.",
            remedy="Something is writing to it. Wait until it is finished, then begin again.",
            code="source-changed",
        )

    def close(self) -> None:
        """Write the end of the archive. The underlying file stays open."""
        self._put(TAR_END)


class TarPacking(Packing):
    """The archive that `TarWriter` makes of these files, each with the time ``mtime`` (seconds since 1970)."""

    def __init__(self, members: Sequence[FileMember], *, mtime: int = 0) -> None:
        super().__init__(members)
        self._mtime = mtime
        self._starts = offsets(len(self._header(member)) + member.size + -member.size % BLOCK for member in members)
        self.size = self._starts[-1] + len(TAR_END)

    def _header(self, member: FileMember) -> bytes:
        return tar_header(member.name, member.size, mtime=self._mtime)

    def _pieces_from(self, start: int, _checksum: Checksum) -> tuple[int, Iterator[Made | Content]]:
        first = place_at(self._starts, start)
        return self._starts[first], self._pieces(first)

    def _pieces(self, first: int) -> Iterator[Made | Content]:
        for place in range(first, len(self.members)):
            member = self.members[place]
            header, padding = self._header(member), tar_padding(member.size)
            yield Made(len(header), lambda header=header: header)  # type: ignore[misc]
            yield Content(place, 0, member.size)
            yield Made(len(padding), lambda padding=padding: padding)  # type: ignore[misc]
        yield Made(len(TAR_END), lambda: TAR_END)
