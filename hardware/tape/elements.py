"""Which ``/dev/sgN`` is which drive of a library: the library is asked for the serial numbers of its drives.

Source: SMC-3, READ ELEMENT STATUS with DVCID (B8h), *data transfer element descriptor*, and SPC-4, *identification
descriptor*. Drive 0 of a library has been seen to be ``/dev/st1``: nothing but the serial number tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hardware.tape.errors import NotUnderstood
from hardware.tape.pages import text_of
from hardware.tape.sgio import Direction, SgDevice

_DRIVES: Final = 4
_HEADER: Final = 8
_TAG: Final = 36
_BASIC: Final = 12
_LONGEST: Final = 65536
_ASCII: Final = 2


@dataclass(frozen=True, slots=True)
class DriveElement:
    """A drive as the library describes it: its number (from 0, in the order of addresses), address, and serial.

    ``serial_cut``: the library sent fewer bytes than it announced, and the serial number is only the beginning of it.
    """

    number: int
    address: int
    full: bool
    barcode: str
    serial: str
    door_or_fault: tuple[int, int] | None = None
    serial_cut: bool = False


def read_drive_elements(device: SgDevice, *, timeout: float = 300.0) -> tuple[DriveElement, ...]:
    """Ask a changer for its drives. Raises what :meth:`SgDevice.command` raises, and ``NotUnderstood``."""
    # VOLTAG, all drives from address 0; CURDATA off, DVCID on.
    cdb = bytes((0xB8, 0x10 | _DRIVES, 0, 0, 0xFF, 0xFF, 0x01, *_LONGEST.to_bytes(3, "big"), 0, 0))
    data = device.command(cdb, Direction.FROM_DEVICE, length=_LONGEST, timeout=timeout)
    return parse_drive_elements(data)


def parse_drive_elements(data: bytes) -> tuple[DriveElement, ...]:
    """The drives in element status data. Raises ``NotUnderstood`` where lengths do not fit.

    SMC counts the bytes behind the header; tgt counts the header too, and sends eight bytes less than its page has. So
    the end of the last descriptor may be lacking, as far as it is a part of the serial number.
    """
    stated = int.from_bytes(data[5:8], "big")
    if len(data) < _HEADER or len(data) < stated:
        raise NotUnderstood("The element status of the library is cut short.")
    rest = data[_HEADER : _HEADER + stated]
    found: list[DriveElement] = []
    while rest:
        length = int.from_bytes(rest[5:8], "big")
        each = int.from_bytes(rest[2:4], "big")
        if len(rest) < max(_HEADER, length) or each < _BASIC:
            raise NotUnderstood("A page of the library's element status is cut short.")
        if rest[0] == _DRIVES:
            body = rest[_HEADER : _HEADER + length]
            found.extend(
                _element(body[start : start + each], rest[1], cut=len(body) < start + each)
                for start in range(0, length - each + 1, each)
            )
        rest = rest[_HEADER + length :]
    found.sort(key=lambda element: element.address)
    return tuple(replace(element, number=number) for number, element in enumerate(found))


def _element(data: bytes, tags: int, *, cut: bool) -> DriveElement:
    at = _BASIC
    full = bool(data[2] & 0x01)
    barcode = ""
    if tags & 0x80:
        barcode = text_of(data[at : at + 32]) if full else ""
        at += _TAG
    if tags & 0x40:
        at += _TAG
    fault = (data[4], data[5]) if data[2] & 0x04 else None
    if cut and len(data) < at + 4:
        raise NotUnderstood("A page of the library's element status is cut short.")
    return DriveElement(0, int.from_bytes(data[:2], "big"), full, barcode, _serial(data[at:]), fault, cut)


def _serial(data: bytes) -> str:
    """The serial number in an identification descriptor; empty where there is none in ASCII."""
    if len(data) < 4:
        return ""
    coding, kind, identifier = data[0] & 0x0F, data[1] & 0x0F, data[4 : 4 + data[3]]
    if coding != _ASCII:
        return ""
    # T10 vendor identification: vendor (8), product (16), serial. Some send the serial alone, under either type.
    return text_of(identifier[24:] if kind == 1 and len(identifier) > 24 else identifier)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which node is which drive. What could not be paired is named, so that nobody guesses."""

    nodes: dict[int, str]
    elements_without_node: tuple[DriveElement, ...]
    serials_without_element: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every drive of the library has its node."""
        return not self.elements_without_node


def pair_drives(elements: Iterable[DriveElement], drives: Mapping[str, str]) -> Pairing:
    """Pair the drives of a library with nodes by serial number; ``drives`` maps serial numbers to nodes.

    Serial numbers are compared without leading zeros and in capitals, as libraries pad them. One that occurs twice, on
    either side, is paired with nothing.
    """
    elements = tuple(elements)
    known: dict[str, list[str]] = {}
    for serial in drives:
        known.setdefault(_comparable(serial), []).append(serial)
    asked = [_comparable(element.serial) for element in elements]
    nodes: dict[int, str] = {}
    used: set[str] = set()
    for element, wanted in zip(elements, asked, strict=True):
        candidates = known.get(wanted, [])
        if wanted and len(candidates) == 1 and asked.count(wanted) == 1:
            nodes[element.number] = drives[candidates[0]]
            used.add(candidates[0])
    for element in elements:
        # The beginning of a serial number is enough where one drive only is left, and it agrees.
        if element.serial_cut and element.serial and len(left := set(drives) - used) == 1:
            serial = left.pop()
            if element.number not in nodes and _comparable(serial).startswith(_comparable(element.serial)):
                nodes[element.number] = drives[serial]
                used.add(serial)
    return Pairing(
        nodes,
        tuple(element for element in elements if element.number not in nodes),
        tuple(sorted(set(drives) - used)),
    )


def _comparable(serial: str) -> str:
    return serial.strip().upper().lstrip("0")
