"""What all archives have in common: limits, the shape of a member, and telling one container from another."""

from __future__ import annotations

import enum
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vault.formats import names
from vault.formats.names import NameRegister, check_member_name, refuse

CHUNK = 1024 * 1024
"""Bytes asked for at a time."""

SNIFF_BYTES = 4096
"""First bytes of a body that `sniff` wants to see."""

BLOCK = 512
"""Bytes in a tar record (POSIX.1-2017, pax, “ustar Interchange Format”)."""


class ReadableStream(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes (fewer where fewer are at hand), ``b""`` only at the end.

        A client that vanished is not an end: the source raises `vault.errors.Interrupted` for it.
        """
        ...


class MemberKind(enum.Enum):
    """What a member of an archive is; there is nothing else that we accept."""

    FILE = "file"
    DIRECTORY = "directory"


class Container(enum.Enum):
    """What a deposited body is, as a whole."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may ask of us before it is refused. Sizes are in bytes.

    ``max_total_bytes`` counts what comes out (for gzip the whole inflated stream, headers too), ``max_ratio`` is
    inflated : compressed and is only judged once ``ratio_floor`` bytes have come out, ``max_header_bytes`` bounds the
    extended headers (pax, GNU long names) of one member, ``max_directory_bytes`` a zip's central directory, and
    ``max_names_bytes`` all names together.
    """

    max_members: int = 1_000_000
    max_total_bytes: int = 8 * 1024**4
    max_member_bytes: int = 8 * 1024**4
    max_ratio: int = 200
    ratio_floor: int = 16 * 1024**2
    max_header_bytes: int = 1024**2
    max_directory_bytes: int = 256 * 1024**2
    max_depth: int = names.MAX_DEPTH
    max_name_bytes: int = names.MAX_NAME_BYTES
    max_component_bytes: int = names.MAX_COMPONENT_BYTES
    max_names_bytes: int = 512 * 1024**2

    def check_name(self, raw: str) -> str:
        """`check_member_name` with these limits."""
        return check_member_name(
            raw,
            max_bytes=self.max_name_bytes,
            max_component_bytes=self.max_component_bytes,
            max_depth=self.max_depth,
        )

    def register(self) -> NameRegister:
        """A register as large as these limits ask for. Implied folders count as names, hence the factor."""
        return NameRegister(max_names=4 * self.max_members, max_bytes=self.max_names_bytes)

    def check_ratio(self, inflated: int, compressed: int) -> None:
        """Raise Invalid (``archive-ratio``) when so few bytes gave so many."""
        if inflated > self.ratio_floor and inflated > self.max_ratio * compressed:
            refuse(
                "archive-ratio",
                f"inflates to more than {self.max_ratio} times its size; it is taken for a bomb.",
                remedy="Deposit the content with less compression, or raise the limit for a deposit that you know.",
            )

    def check_member_size(self, name: str, size: int, total: int) -> None:
        """Raise Invalid when this member, or all of them up to it (``total``), are larger than accepted."""
        if size > self.max_member_bytes:
            refuse("member-too-large", f"has {size} bytes; at most {self.max_member_bytes} are accepted.", name)
        if total > self.max_total_bytes:
            refuse("archive-too-large", f"unpacks to more than {self.max_total_bytes} bytes.")


class Member:
    """One file or directory in an archive, to be read before the next one is asked for.

    ``name`` is a checked relative POSIX path, ``size`` bytes, ``mtime`` seconds since 1970 UTC (None
    where the archive does not know it).
    """

    __slots__ = ("_pull", "kind", "mtime", "name", "size")

    def __init__(self, name: str, kind: MemberKind, size: int, mtime: int | None, pull: Callable[[int], bytes]) -> None:
        self.name = name
        self.kind = kind
        self.size = size
        self.mtime = mtime
        self._pull = pull

    def __repr__(self) -> str:
        return f"Member({names.shown(self.name)!r}, {self.kind.value}, {self.size})"

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` (at least 1) bytes of content, ``b""`` only at its end.

        Raises Invalid where the archive turns out to be bad.
        """
        if size < 1:
            raise ValueError("ask for at least one byte")
        return self._pull(size)

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The content, in pieces of at most ``size`` bytes."""
        pull = self._pull
        while chunk := pull(size):
            yield chunk


def tar_checksum_holds(header: bytes) -> bool:
    """Whether these 512 bytes carry the checksum of a tar header: the sum of all bytes, its own field taken as spaces.

    Some old writers summed signed bytes; that is accepted as well.
    """
    digits = header[148:156].strip(b" \0")
    if not digits or not digits.isdigit() or b"8" in digits or b"9" in digits:
        return False
    stated = int(digits, 8)
    total = sum(header) - sum(header[148:156]) + 8 * 32
    if total == stated:
        return True
    negative = sum(1 for byte in header[:148] + header[156:] if byte >= 128)
    return total - 256 * negative == stated


def _is_tar(first: bytes | None, *, hinted: bool) -> bool:
    if first is None:
        return False
    if len(first) < BLOCK or not any(first[:BLOCK]):
        return hinted
    return tar_checksum_holds(first[:BLOCK])


def _inflated(first: bytes) -> bytes | None:
    try:
        return zlib.decompressobj(31).decompress(first, BLOCK)
    except zlib.error:
        return None


def sniff(first_bytes: bytes, filename: str) -> Container:
    """What the body is that begins with ``first_bytes`` (give at least `SNIFF_BYTES` where there are so many).

    Bytes decide. The name is heard only where they cannot: an archive without members, or gzip whose first
    bytes do not yet tell what is inside. A gzip of something else than tar is OTHER: a file kept as it is.
    """
    hint = filename.lower()
    if first_bytes.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Container.ZIP
    if first_bytes.startswith(b"\x1f\x8b\x08"):
        inside = _is_tar(_inflated(first_bytes), hinted=hint.endswith((".tar.gz", ".tgz")))
        return Container.TAR_GZ if inside else Container.OTHER
    return Container.TAR if _is_tar(first_bytes, hinted=hint.endswith(".tar")) else Container.OTHER
