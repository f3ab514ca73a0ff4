"""Cartridge memory (MAM) attributes that LTFS uses (SPC-5, section 7.4; LTFS Format Specification, annex on MAM)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from hardware.errors import Malformed, Refused

HEADER: Final = struct.Struct(">HBH")
MAX_VALUE: Final = 4096


class Attribute(enum.IntEnum):
    """Identifiers of attributes."""

    VOLUME_CHANGE_REFERENCE = 0x0009
    APPLICATION_VENDOR = 0x0800
    APPLICATION_NAME = 0x0801
    APPLICATION_VERSION = 0x0802
    MEDIUM_LABEL = 0x0803
    TEXT_LOCALISATION = 0x0805
    BARCODE = 0x0806
    MEDIA_POOL = 0x0808
    FORMAT_VERSION = 0x080B
    COHERENCY = 0x080C
    VOLUME_LOCK = 0x1623


BINARY: Final = 0
ASCII: Final = 1
TEXT: Final = 2
UTF8: Final = b"\x81"
"""The value of TEXT_LOCALISATION for UTF-8."""

_ASCII_SIZES: Final = {
    Attribute.APPLICATION_VENDOR: 8,
    Attribute.APPLICATION_NAME: 32,
    Attribute.APPLICATION_VERSION: 8,
    Attribute.BARCODE: 32,
    Attribute.FORMAT_VERSION: 16,
}
_TEXT_SIZES: Final = {Attribute.MEDIUM_LABEL: 160, Attribute.MEDIA_POOL: 160}


@dataclass(frozen=True, slots=True)
class Stored:
    """An attribute as a drive returns it: identifier, kind (0 binary, 1 ASCII, 2 text), value."""

    identifier: int
    kind: int
    value: bytes


def pack(attribute: Stored) -> bytes:
    """Header (identifier u16, format u8, length u16, big endian) and value."""
    return HEADER.pack(attribute.identifier, attribute.kind, len(attribute.value)) + attribute.value


def unpack(data: bytes) -> Stored:
    """Read one packed attribute. Bytes behind its length are ignored. Raises ``Malformed``."""
    if len(data) < HEADER.size:
        raise Malformed(f"A cartridge memory attribute of {len(data)} bytes has no whole header.")
    identifier, kind, length = HEADER.unpack_from(data)
    value = data[HEADER.size : HEADER.size + length]
    if len(value) != length or length > MAX_VALUE:
        raise Malformed(f"Cartridge memory attribute {identifier:04x} says {length} bytes and holds {len(value)}.")
    return Stored(identifier, kind & 0x03, value)


def text_value(identifier: Attribute, text: str) -> tuple[int, bytes]:
    """Kind and value of an attribute that holds text, padded to its fixed size.

    ``Refused`` where ASCII is needed and the text is not, or it is too long; long labels are cut at a character.
    """
    if identifier in _ASCII_SIZES:
        size = _ASCII_SIZES[identifier]
        if not text.isascii() or len(text) > size or any(ord(character) < 32 for character in text):
            raise Refused(f"{text!r} does not fit cartridge memory: at most {size} ASCII characters are needed.")
        return ASCII, text.encode().ljust(size)
    size = _TEXT_SIZES[identifier]
    encoded = text.encode()[: size - 1].decode(errors="ignore").encode()
    return TEXT, encoded.ljust(size, b"\x00")


def text_of(value: bytes) -> str:
    """The text of an ASCII or text attribute, without padding. Never fails: it is for people to read."""
    return value.split(b"\x00", 1)[0].decode(errors="replace").rstrip()


@dataclass(frozen=True, slots=True)
class Coherency:
    """Attribute 080C of one partition: which index it ends in, and at which volume change reference (VCR) that held.

    Where ``change_reference`` equals the cartridge's VCR, nothing was written since, and the record can be believed.
    ``version`` 0 comes from software that is known to have written it wrongly.
    """

    change_reference: int
    generation: int
    block: int
    volume_uuid: str
    version: int = 1


_COHERENCY = struct.Struct(">BQQQH5s36sxB")


def pack_coherency(coherency: Coherency) -> bytes:
    """The 70 bytes of a coherency record."""
    return _COHERENCY.pack(
        8,
        coherency.change_reference,
        coherency.generation,
        coherency.block,
        43,
        b"LTFS\x00",
        coherency.volume_uuid.encode(),
        coherency.version,
    )


def parse_coherency(value: bytes) -> Coherency:
    """Read a coherency record. Byte 36 is not looked at: the reference has been seen to leave garbage there."""
    if len(value) != _COHERENCY.size:
        raise Malformed(f"The coherency record has {len(value)} bytes and must have {_COHERENCY.size}.")
    size, reference, generation, block, length, magic, volume, version = _COHERENCY.unpack(value)
    if size != 8 or length not in {42, 43} or magic[:4] != b"LTFS":
        raise Malformed("The coherency record in cartridge memory is not one of LTFS.")
    return Coherency(reference, generation, block, volume.decode("latin-1").lower(), version)


class VolumeLock(enum.IntEnum):
    """Values of the volume lock attribute. All but UNLOCKED and NO_LOCK forbid writing."""

    UNLOCKED = 0
    LOCKED = 1
    WRITE_ERROR = 2
    PERMANENTLY_LOCKED = 3
    WRITE_ERROR_DATA = 4
    WRITE_ERROR_INDEX = 5
    WRITE_ERROR_BOTH = 6
    NO_LOCK = 128
