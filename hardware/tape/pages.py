"""Log pages and inquiry data of drives: pure reading of bytes.

Source: SPC-4/5 (INQUIRY, LOG SENSE, *log parameter format*, READ ATTRIBUTE), SSC-4/5 (*Volume Statistics* 17h,
*Device Statistics* 14h, *Sequential-Access Device* 0Ch). Whatever is cut short, or claims more than there is, raises
``NotUnderstood``: a device that lies about lengths is not believed in the rest either. Unknown parameters are left out,
and unknown values are None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hardware.tape.errors import NotUnderstood

_HEADER: Final = 4
VOLUME_STATISTICS: Final = 0x17
DEVICE_STATISTICS: Final = 0x14
SEQUENTIAL_ACCESS: Final = 0x0C
_TAPE: Final = 0x01
_CHANGER: Final = 0x08


def text_of(data: bytes) -> str:
    """An ASCII field without its padding; what is no printable character becomes a question mark. Never fails."""
    text = data.split(b"\x00", 1)[0].decode("latin-1").strip()
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def parse_log_page(data: bytes, page: int) -> dict[int, bytes]:
    """The parameters of a log page by code; of two with one code the first holds. Raises ``NotUnderstood``."""
    if len(data) < _HEADER or data[0] & 0x3F != page:
        raise NotUnderstood(f"Log page {page:02X}h was asked for, and something else was sent.")
    length = int.from_bytes(data[2:4], "big")
    if len(data) < _HEADER + length:
        raise NotUnderstood(f"Log page {page:02X}h says {length} bytes and has {len(data) - _HEADER}.")
    rest = data[_HEADER : _HEADER + length]
    found: dict[int, bytes] = {}
    while rest:
        if len(rest) < _HEADER or len(rest) < _HEADER + rest[3]:
            raise NotUnderstood(f"A parameter of log page {page:02X}h is cut short.")
        found.setdefault(int.from_bytes(rest[:2], "big"), rest[_HEADER : _HEADER + rest[3]])
        rest = rest[_HEADER + rest[3] :]
    return found


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Standard INQUIRY data: what a device is, in its own words."""

    device_type: int
    vendor: str
    product: str
    revision: str

    @property
    def is_tape(self) -> bool:
        """Whether it is a sequential-access device."""
        return self.device_type == _TAPE

    @property
    def is_changer(self) -> bool:
        """Whether it is a medium changer."""
        return self.device_type == _CHANGER


def parse_inquiry(data: bytes) -> Inquiry:
    """Read standard INQUIRY data. Raises ``NotUnderstood`` where they are cut short."""
    if len(data) < 36:
        raise NotUnderstood(f"The INQUIRY data have {len(data)} bytes and must have 36 at least.")
    return Inquiry(data[0] & 0x1F, text_of(data[8:16]), text_of(data[16:32]), text_of(data[32:36]))


def parse_serial(data: bytes) -> str:
    """The unit serial number of VPD page 80h. Raises ``NotUnderstood``."""
    if len(data) < _HEADER or data[1] != 0x80 or len(data) < _HEADER + int.from_bytes(data[2:4], "big"):
        raise NotUnderstood("The device sent something else than its serial number.")
    return text_of(data[_HEADER : _HEADER + int.from_bytes(data[2:4], "big")])


def parse_attribute(data: bytes, identifier: int) -> bytes | None:
    """The value of an attribute in the answer to READ ATTRIBUTE (values); None where it is not there."""
    if len(data) < 4:
        raise NotUnderstood("The answer to READ ATTRIBUTE is cut short.")
    rest = data[4 : 4 + int.from_bytes(data[:4], "big")]
    while len(rest) >= 5:
        length = int.from_bytes(rest[3:5], "big")
        if len(rest) < 5 + length:
            raise NotUnderstood(f"Cartridge memory attribute {identifier:04X}h is cut short.")
        if int.from_bytes(rest[:2], "big") == identifier:
            return rest[5 : 5 + length]
        rest = rest[5 + length :]
    return None


@dataclass(frozen=True, slots=True)
class VolumeStatistics:
    """Log page 17h: the life of the loaded cartridge, as its memory counts it. None is unknown.

    Lifetimes are in bytes, as the drive counts them (in steps of 10^6).
    """

    loads: int | None = None
    write_retries: int | None = None
    write_errors: int | None = None
    read_retries: int | None = None
    read_errors: int | None = None
    bytes_written: int | None = None
    bytes_read: int | None = None
    barcode: str | None = None
    medium_serial: str | None = None
    write_protected: bool | None = None
    worm: bool | None = None
    beginning_passes: int | None = None
    middle_passes: int | None = None


def parse_volume_statistics(data: bytes) -> VolumeStatistics:
    """Read log page 17h, subpage 0. Raises ``NotUnderstood``; where the page says that it is not valid, all is None."""
    found = parse_log_page(data, VOLUME_STATISTICS)
    if not _number(found.get(0x0000, b"\x01")):
        return VolumeStatistics()

    def number(code: int, unit: int = 1) -> int | None:
        value = _number(found.get(code, b""))
        return None if value is None else value * unit

    def flag(code: int) -> bool | None:
        value = _number(found.get(code, b""))
        return None if value is None else bool(value)

    def text(code: int) -> str | None:
        return text_of(found[code]) or None if code in found else None

    return VolumeStatistics(
        loads=number(0x0001),
        write_retries=number(0x0003),
        write_errors=number(0x0004),
        read_retries=number(0x0008),
        read_errors=number(0x0009),
        bytes_written=number(0x0010, 10**6),
        bytes_read=number(0x0011, 10**6),
        barcode=text(0x0042),
        medium_serial=text(0x0040),
        write_protected=flag(0x0080),
        worm=flag(0x0081),
        beginning_passes=number(0x0101),
        middle_passes=number(0x0102),
    )


@dataclass(frozen=True, slots=True)
class DriveStatistics:
    """Log page 14h: the life of a drive, as it counts it itself. None is unknown."""

    loads: int | None = None
    cleanings: int | None = None
    power_on_hours: int | None = None
    motion_hours: int | None = None
    power_cycles: int | None = None
    hard_write_errors: int | None = None
    hard_read_errors: int | None = None
    motion_hours_since_cleaning: int | None = None


def parse_drive_statistics(data: bytes) -> DriveStatistics:
    """Read log page 14h, subpage 0 (SSC-4, *Device Statistics*). Raises ``NotUnderstood``."""
    found = parse_log_page(data, DEVICE_STATISTICS)

    def number(code: int) -> int | None:
        return _number(found.get(code, b""))

    return DriveStatistics(
        loads=number(0x0000),
        cleanings=number(0x0001),
        power_on_hours=number(0x0002),
        motion_hours=number(0x0003),
        power_cycles=number(0x000C),
        hard_write_errors=number(0x000E),
        hard_read_errors=number(0x000F),
        motion_hours_since_cleaning=number(0x0008),
    )


def parse_cleaning_request(data: bytes) -> bool | None:
    """Whether the drive asks for cleaning (log page 0Ch, parameter 0100h); None where it does not say."""
    value = _number(parse_log_page(data, SEQUENTIAL_ACCESS).get(0x0100, b""))
    return None if value is None else bool(value)


def _number(value: bytes) -> int | None:
    """A counter; None where there is none, or all its bits are set, which means unknown."""
    if not value or (len(value) > 1 and value == b"\xff" * len(value)):
        return None
    return int.from_bytes(value, "big")
