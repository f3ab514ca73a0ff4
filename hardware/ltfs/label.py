"""The labels at the head of each partition (LTFS Format Specification 2.4, section 8.1).

Each partition begins ``VOL1`` (80 bytes, ANSI X3.27), filemark, label XML, filemark.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from typing import Final

from hardware.errors import Malformed, NoVolume, Refused, Unsupported
from hardware.ltfs import safexml
from hardware.ltfs.names import format_time, parse_time

FORMAT_VERSION: Final = (2, 4, 0)
"""The version of labels and indexes that are written here."""
OLDEST_READ: Final = (1, 0, 0)
NEWEST_READ: Final = (2, 99, 99)
VOL1_SIZE: Final = 80
MAX_LABEL: Final = 4096
"""Bytes of label XML that are read; the reference reads as many."""
MIN_BLOCKSIZE: Final = 4096
MAX_BLOCKSIZE: Final = 16 << 20
DEFAULT_BLOCKSIZE: Final = 524288

_SERIAL = re.compile(r"[0-9A-Z]{6}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LIMITS = safexml.Limits(size=MAX_LABEL, depth=16, text=2048, token=MAX_LABEL)


@dataclass(frozen=True, slots=True)
class Label:
    """What a partition's labels say. Both partitions of a volume agree in all but ``partition``.

    ``serial`` is the volume serial of VOL1 (6 characters, or empty), ``formatted`` nanoseconds since 1970,
    ``partition`` the letter of the partition it was read from, ``index_partition`` and ``data_partition`` the letters
    of the two.
    """

    serial: str
    creator: str
    formatted: int
    volume_uuid: str
    partition: str
    index_partition: str
    data_partition: str
    blocksize: int
    compression: bool
    version: tuple[int, int, int] = FORMAT_VERSION

    @property
    def other(self) -> Label:
        """The label that the other partition must have."""
        letters = (self.index_partition, self.data_partition)
        return replace(self, partition=letters[letters.index(self.partition) - 1])


def make_vol1(serial: str) -> bytes:
    """The 80 bytes of VOL1 for a volume serial of six characters (0-9, A-Z), or none."""
    if serial and not _SERIAL.fullmatch(serial):
        raise Refused(f"{serial!r} cannot be a volume serial: six characters of 0-9 and A-Z are needed.")
    return b"VOL1" + serial.ljust(6).encode() + b"L" + b" " * 13 + b"LTFS".ljust(13) + b" " * 42 + b"4"


def parse_vol1(record: bytes) -> str:
    """The volume serial in a VOL1 record. ``NoVolume`` where it is no LTFS label at all."""
    if len(record) < VOL1_SIZE or record[:4] != b"VOL1" or record[24:28] != b"LTFS":
        raise NoVolume("The cartridge bears no LTFS label.", remedy="It is blank, or was written by other software.")
    if len(record) != VOL1_SIZE:
        raise Malformed(f"The VOL1 label has {len(record)} bytes and must have {VOL1_SIZE}.")
    serial = record[4:10].decode("latin-1").rstrip()
    if serial and not _SERIAL.fullmatch(serial):
        raise Malformed(f"The volume serial {serial!r} in VOL1 is not made of 0-9 and A-Z.")
    return serial


def make_label(label: Label) -> bytes:
    """The label XML, as the reference implementation writes it."""
    if not MIN_BLOCKSIZE <= label.blocksize <= MAX_BLOCKSIZE:
        raise Refused(f"A block size of {label.blocksize} bytes is outside {MIN_BLOCKSIZE} to {MAX_BLOCKSIZE}.")
    element = safexml.element
    version = ".".join(map(str, label.version))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ltfslabel version="{version}">\n'
        + element("creator", label.creator)
        + element("formattime", format_time(label.formatted))
        + element("volumeuuid", label.volume_uuid)
        + f"<location>\n<partition>{label.partition}</partition>\n</location>\n"
        + f"<partitions>\n<index>{label.index_partition}</index>\n<data>{label.data_partition}</data>\n</partitions>\n"
        + element("blocksize", str(label.blocksize))
        + element("compression", "true" if label.compression else "false")
        + "</ltfslabel>\n"
    ).encode()


class _LabelHandler:
    """Collects the leaves of a label by their path; elements it does not know are passed over."""

    def __init__(self) -> None:
        self.version = ""
        self.leaves: dict[str, str] = {}
        self._path: list[str] = []
        self._pieces: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            if name != "ltfslabel":
                raise Malformed(f"The label XML begins with <{name[:40]}>, not <ltfslabel>.")
            self.version = attributes.get("version", "")
        self._path.append(name)
        self._pieces = []

    def end(self, _name: str) -> None:
        path = "/".join(self._path[1:])
        self._path.pop()
        text = "".join(self._pieces)
        self._pieces = []
        if path in _LEAVES:
            if path in self.leaves:
                raise Malformed(f"The label says <{path}> twice.")
            self.leaves[path] = text

    def text(self, data: str) -> None:
        self._pieces.append(data)


_LEAVES = frozenset(
    {
        "creator", "formattime", "volumeuuid", "location/partition", "partitions/index", "partitions/data",
        "blocksize", "compression",
    }
)  # fmt: skip


def parse_label(record: bytes, *, serial: str = "") -> Label:
    """Read label XML. Raises ``Malformed``, or ``Unsupported`` for a version outside 1.0 to 2.99."""
    if len(record) > MAX_LABEL:
        raise Malformed(f"The label XML has {len(record)} bytes; more than {MAX_LABEL} are not read.")
    handler = _LabelHandler()
    parser = safexml.Parser(handler, "label", _LIMITS)
    parser.feed(record)
    parser.close()
    version = check_version(handler.version, "label")
    if missing := _LEAVES - handler.leaves.keys():
        raise Malformed(f"The label lacks {', '.join(sorted(missing))}.")
    leaves = handler.leaves
    blocksize = safexml.parse_integer(leaves["blocksize"])
    if not MIN_BLOCKSIZE <= blocksize <= MAX_BLOCKSIZE:
        raise Malformed(
            f"The label gives a block size of {blocksize} bytes, outside {MIN_BLOCKSIZE} to {MAX_BLOCKSIZE}."
        )
    index, data = parse_letter(leaves["partitions/index"]), parse_letter(leaves["partitions/data"])
    here = parse_letter(leaves["location/partition"])
    if index == data or here not in {index, data}:
        raise Malformed(f"The label names partitions {index!r} and {data!r} and stands on {here!r}.")
    return Label(
        serial=serial,
        creator=leaves["creator"],
        formatted=parse_time(leaves["formattime"]),
        volume_uuid=parse_uuid(leaves["volumeuuid"]),
        partition=here,
        index_partition=index,
        data_partition=data,
        blocksize=blocksize,
        compression=safexml.parse_boolean(leaves["compression"]),
        version=version,
    )


def check_version(text: str, what: str) -> tuple[int, int, int]:
    """The version of a label or index, if it is one that is read here."""
    version = safexml.parse_version(text)
    if not OLDEST_READ <= version <= NEWEST_READ:
        raise Unsupported(
            f"The {what} is of LTFS version {text}; versions 1.0 to 2.99 are read.",
            remedy="Read the cartridge with newer software.",
        )
    return version


def parse_letter(text: str) -> str:
    """The letter of a partition."""
    if len(text) != 1 or not "a" <= text <= "z":
        raise Malformed(f"{text[:40]!r} is no partition letter.")
    return text


def parse_uuid(text: str) -> str:
    """A UUID in lower case."""
    if not _UUID.fullmatch(text.lower()):
        raise Malformed(f"{text[:60]!r} is no UUID.")
    return text.lower()


def new_uuid() -> str:
    """A UUID for a new volume."""
    return str(uuid.uuid4())
