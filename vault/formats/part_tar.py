"""The tar in which one version of a package goes to tape: that version's part of its OCFL object, and nothing else.

Members, in this order: ``0=ocfl_object_1.1``, ``inventory.json`` and its sidecar, ``vN/inventory.json`` and its
sidecar, and the files of ``vN/`` by their paths. Unpacking v1..vN over one another gives a valid OCFL object. The tar
is POSIX pax without compression, and every byte of it follows from the inventory and the sizes of the files: so a
damaged or hostile tar is told from a right one by comparing bytes, and where each file stands is known beforehand.

The sizes stand in global pax headers (keyword ``comment``, which every reader passes over) behind the first sidecar::

    khoso-sizes 1 FIRST COUNT SIZE SIZE …      sizes of the files FIRST to FIRST+COUNT-1, in the order of their paths

Whoever knows nothing of this unpacks it with any tar. Fault codes: ``tar-part-head`` (the beginning is not that of
such a tar), ``tar-part-inventory`` (it is of another version, or its inventory is not the one expected).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, Protocol

from vault.errors import Invalid, NotFound
from vault.formats.archive import BLOCK, CHUNK, ReadableStream
from vault.formats.names import refuse
from vault.formats.ocfl import (
    INVENTORY_FILE,
    MAX_INVENTORY_BYTES,
    Inventory,
    object_declaration,
    parse_inventory,
    sidecar_bytes,
    sidecar_name,
)
from vault.formats.tar_writer import TAR_END, TarWriter, tar_comment, tar_header, tar_padding

_SIZES_AT_ONCE = 32768
"""Sizes in one pax header: libarchive takes headers of up to 1 MiB."""
_MAX_COMMENT = 1024**2
_LAST_MTIME = 0o77777777777
_COMMENT = re.compile(rb"[0-9]{1,7} comment=khoso-sizes 1 ([0-9]{1,9}) ([0-9]{1,9})((?: [0-9]{1,19})*)\n")
_OCTAL = re.compile(rb"[0-7]{11}\0")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a file's bytes stand in the tar."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PartLayout:
    """The tar of version ``number``: content path (``vN/…``) -> place, and the ``length`` of it all."""

    number: int
    files: Mapping[str, Span]
    length: int

    def find(self, path: str) -> Span:
        """Where the bytes of a content path stand. Raises NotFound."""
        try:
            return self.files[path]
        except KeyError:
            raise NotFound(f"{path!r} is not in the part v{self.number}.") from None


@dataclass(frozen=True, slots=True)
class PartHead:
    """What stands before the files: the inventory (parsed, and as it is) and the sizes of the files."""

    number: int
    inventory: Inventory
    inventory_bytes: bytes
    sizes: Mapping[str, int]

    def layout(self) -> PartLayout:
        """Where the files stand."""
        return part_layout(self.inventory, self.inventory_bytes, self.number, self.sizes)


def part_paths(inventory: Inventory, number: int) -> list[str]:
    """The content paths in the part of a version, in the order in which the tar has them. Raises NotFound."""
    return sorted(inventory.content_of_version_part(number))


def part_layout(inventory: Inventory, inventory_bytes: bytes, number: int, sizes: Mapping[str, int]) -> PartLayout:
    """Where everything stands in the tar of a version, without writing or reading it.

    ``inventory_bytes`` is ``vN/inventory.json``, of which ``inventory`` is the meaning, and ``sizes`` the bytes of each
    of its :func:`part_paths`. Raises NotFound (no such version), ValueError (sizes are lacking).
    """
    paths = part_paths(inventory, number)
    mtime = _mtime(inventory, number)
    at = len(_head(inventory, inventory_bytes, number, sizes))
    files: dict[str, Span] = {}
    for path in paths:
        at += len(tar_header(path, sizes[path], mtime=mtime))
        files[path] = Span(at, sizes[path])
        at += sizes[path] + -sizes[path] % BLOCK
    return PartLayout(number, files, at + len(TAR_END))


def write_part(
    write: Callable[[bytes], object],
    inventory: Inventory,
    inventory_bytes: bytes,
    number: int,
    sizes: Mapping[str, int],
    content: Callable[[str], Iterable[bytes]],
) -> int:
    """Write the tar of a version through ``write``, which takes all the bytes it is given; returns its length.

    ``content`` gives the bytes of a content path; it is asked for one path after another, in order. Raises Interrupted
    (``source-changed``) where they are not as many as ``sizes`` says, and what ``content`` and ``write`` raise.
    """
    mtime = _mtime(inventory, number)
    head = _head(inventory, inventory_bytes, number, sizes)
    write(head)
    writer = TarWriter(write)
    for path in part_paths(inventory, number):
        writer.file(path, sizes[path], content(path), mtime=mtime)
    writer.close()
    return len(head) + writer.offset


def _head(inventory: Inventory, inventory_bytes: bytes, number: int, sizes: Mapping[str, int]) -> bytes:
    """Everything before the first file: declaration, inventories, sidecars, sizes."""
    mtime = _mtime(inventory, number)
    version = inventory.version_name(number)
    sidecar = sidecar_bytes(inventory_bytes, inventory.digest_algorithm)
    paths = part_paths(inventory, number)
    if missing := [path for path in paths if path not in sizes]:
        raise ValueError(f"the sizes of {len(missing)} files are not known, {missing[0]!r} among them")
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    name, text = object_declaration(inventory.spec or "1.1")
    writer.file(name, len(text), [text], mtime=mtime)
    for folder in ("", f"{version}/"):
        writer.file(f"{folder}{INVENTORY_FILE}", len(inventory_bytes), [inventory_bytes], mtime=mtime)
        writer.file(f"{folder}{sidecar_name(inventory.digest_algorithm)}", len(sidecar), [sidecar], mtime=mtime)
        if not folder:
            pieces.extend(_comments([sizes[path] for path in paths]))
    return b"".join(pieces)


def _comments(sizes: list[int]) -> Iterator[bytes]:
    for first in range(0, max(len(sizes), 1), _SIZES_AT_ONCE):
        some = sizes[first : first + _SIZES_AT_ONCE]
        yield tar_comment(" ".join(map(str, ("khoso-sizes", 1, first, len(some), *some))))


def _mtime(inventory: Inventory, number: int) -> int:
    """When the version was made, in whole seconds; 0 where that cannot be said in a tar."""
    text = inventory.versions[inventory.version_name(number)].created
    try:
        return min(max(0, int(datetime.fromisoformat(text).timestamp())), _LAST_MTIME)
    except (ValueError, OverflowError):
        return 0


# --- Reading


def read_head(
    source: ReadableStream, number: int, *, inventory_digest: str = "", to_first_file: bool = False
) -> PartHead:
    """Read the inventory and the sizes, which tell where every file stands.

    Nothing behind them is read, or, with ``to_first_file``, all up to the first file, at which ``source`` is then left.
    With ``inventory_digest`` (in the inventory's own algorithm) it must be that very inventory. Memory is bounded by
    the largest inventory that is accepted. Raises Invalid, with one fault, for whatever is not the head of such a tar.
    """
    stream = _Exact(source)
    declaration = stream.take(BLOCK)
    spec = declaration[:18].removeprefix(b"0=ocfl_object_").rstrip(b"\0").decode("ascii", "replace")
    name, text = object_declaration(spec if spec in {"1.0", "1.1"} else "1.1")
    mtime = _octal(declaration[136:148])
    if declaration != tar_header(name, len(text), mtime=mtime):
        _refuse_head("does not begin with the declaration of an OCFL object")
    if stream.take(BLOCK) != text + tar_padding(len(text)):
        _refuse_head("has a damaged declaration")
    data = _member(stream, INVENTORY_FILE, mtime, MAX_INVENTORY_BYTES)
    try:
        inventory = parse_inventory(data)
        created = _mtime(inventory, number)
    except (Invalid, NotFound) as error:
        refuse("tar-part-inventory", f"its inventory cannot be used: {error.message}")
    found = hashlib.new(inventory.digest_algorithm, data).hexdigest()
    if inventory_digest and found != inventory_digest.lower():
        refuse("tar-part-inventory", f"its inventory has the digest {found}, and not the one expected.")
    if inventory.head_number != number or created != mtime:
        refuse("tar-part-inventory", f"its inventory is that of {inventory.head}, and not of v{number}.")
    sidecar = sidecar_bytes(data, inventory.digest_algorithm)
    stream.expect(_file(sidecar_name(inventory.digest_algorithm), sidecar, mtime))
    paths = part_paths(inventory, number)
    sizes = dict(zip(paths, _read_sizes(stream, len(paths)), strict=True))
    if not to_first_file:
        return PartHead(number, inventory, data, sizes)
    version = inventory.version_name(number)
    stream.expect(_file(f"{version}/{INVENTORY_FILE}", data, mtime))
    stream.expect(_file(f"{version}/{sidecar_name(inventory.digest_algorithm)}", sidecar, mtime))
    return PartHead(number, inventory, data, sizes)


class Hasher(Protocol):
    """What computes a digest."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The digest."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A file that is not as it must be. ``found`` is its digest; empty where the tar itself is damaged there.

    The path is empty where the end of the tar is not that of a tar.
    """

    path: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class PartRead:
    """What reading a whole tar came to: how much was right to look at, and everything that was wrong."""

    head: PartHead
    files: int
    bytes: int
    wrong: tuple[Wrong, ...]

    @property
    def intact(self) -> bool:
        """Every byte of the tar is what it must be."""
        return not self.wrong


Taker = Callable[[str, Iterator[bytes]], None]
"""Takes the bytes of a content path as they are read. Whether they are right is known only at their end."""


def read_part(
    source: ReadableStream,
    number: int,
    *,
    inventory_digest: str = "",
    begin: Callable[[PartHead], None] | None = None,
    take: Taker | None = None,
) -> PartRead:
    """Read the tar of a version from end to end and compare every byte with what it must be.

    ``begin`` is given what stands before the files, and ``take`` each file of ``vN/content`` on the way; what it leaves
    unread is read all the same. A damaged file or header is one :class:`Wrong` and the next file is read on: where it
    stands is known. Raises Invalid where the beginning is no such tar, or not that of this version; errors of
    ``source``, ``begin`` and ``take`` pass through.
    """
    head = read_head(source, number, inventory_digest=inventory_digest, to_first_file=True)
    if begin is not None:
        begin(head)
    digests = head.inventory.content_of_version_part(number)
    mtime = _mtime(head.inventory, number)
    stream = _Exact(source, lenient=True)
    wrong: list[Wrong] = []
    total = 0
    for path, size in head.sizes.items():
        header = tar_header(path, size, mtime=mtime)
        whole = stream.take(len(header)) == header
        hasher = hashlib.new(head.inventory.digest_algorithm)
        chunks = _hashed(stream, size, hasher)
        if take is not None:
            take(path, chunks)
        for _ in chunks:
            pass
        whole = stream.take(-size % BLOCK) == tar_padding(size) and whole
        found = hasher.hexdigest()
        total += size
        if found != digests[path] or not whole:
            wrong.append(Wrong(path, digests[path], found if whole and not stream.ended else ""))
    if stream.take(len(TAR_END)) != TAR_END or source.read(1):
        wrong.append(Wrong("", "", ""))
    return PartRead(head, len(head.sizes), total, tuple(wrong))


def _hashed(stream: _Exact, size: int, hasher: Hasher) -> Iterator[bytes]:
    while size > 0:
        piece = stream.some(min(size, CHUNK))
        if not piece:
            return
        size -= len(piece)
        hasher.update(piece)
        yield piece


class _Exact:
    """Reads exactly what is asked for. Where the source ends it refuses, or (lenient) gives less and notes it."""

    def __init__(self, source: ReadableStream, *, lenient: bool = False) -> None:
        self._read = source.read
        self._lenient = lenient
        self.ended = False

    def some(self, size: int) -> bytes:
        piece = self._read(size)
        if not piece:
            self.ended = True
        return piece

    def take(self, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := self.some(min(size, CHUNK))):
            pieces.append(piece)
            size -= len(piece)
        if size > 0 and not self._lenient:
            _refuse_head("ends before its first file")
        return b"".join(pieces)

    def expect(self, data: bytes) -> None:
        """The next bytes must be these."""
        for at in range(0, len(data), CHUNK):
            piece = data[at : at + CHUNK]
            if self.take(len(piece)) != piece:
                _refuse_head("has something else where inventory or sidecar must stand")


def _file(name: str, data: bytes, mtime: int) -> bytes:
    return tar_header(name, len(data), mtime=mtime) + data + tar_padding(len(data))


def _member(stream: _Exact, name: str, mtime: int, limit: int) -> bytes:
    """The content of the member that must come next, whose size only its header says."""
    header = stream.take(BLOCK)
    size = _octal(header[124:136])
    if header != tar_header(name, size, mtime=mtime):
        _refuse_head(f"has something else where {name} must stand")
    if size > limit:
        _refuse_head(f"has an {name} of {size} bytes; at most {limit} are read")
    data = stream.take(size)
    if stream.take(-size % BLOCK) != tar_padding(size):
        _refuse_head(f"has something behind {name}")
    return data


def _read_sizes(stream: _Exact, count: int) -> Iterator[int]:
    seen = 0
    while True:
        header = stream.take(BLOCK)
        size = _octal(header[124:136])
        if header[156:157] != b"g" or size > _MAX_COMMENT:
            _refuse_head("does not say the sizes of its files")
        padded = stream.take(size + -size % BLOCK)
        body = padded[:size]
        said = _COMMENT.fullmatch(body)
        if said is None or int(said[1]) != seen:
            _refuse_head("does not say the sizes of its files")
        sizes = [int(text) for text in said[3].split()]
        if len(sizes) != int(said[2]) or seen + len(sizes) > count or (not sizes and count):
            _refuse_head("says the sizes of other files")
        if header + padded != tar_comment(body.split(b"=", 1)[1][:-1].decode("ascii")):
            _refuse_head("has a damaged header")
        yield from sizes
        seen += len(sizes)
        if seen == count:
            return


def _octal(field: bytes) -> int:
    if not _OCTAL.fullmatch(field):
        _refuse_head("has a header that is none of ours")
    return int(field[:11], 8)


def _refuse_head(why: str) -> NoReturn:
    refuse("tar-part-head", f"The tar {why}.", remedy="It is damaged, or was not made by this program.")
