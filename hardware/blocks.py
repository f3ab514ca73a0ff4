"""Block devices as the kernel shows them in sysfs: who they are, without asking them anything.

Reading sysfs wakes no disk and needs no privilege. The names (``sda``) are good for this moment only; who a disk is
says its serial number or World Wide Name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")
_WHOLE: Final = re.compile(r"(?:sd[a-z]+|nvme[0-9]+n[0-9]+|vd[a-z]+|xvd[a-z]+|hd[a-z]|mmcblk[0-9]+)\Z")
_NVME: Final = re.compile(r"(nvme[0-9]+)n[0-9]+\Z")
_WWN: Final = re.compile(r"(?:naa\.|0x|eui\.)?([0-9a-f]{16,32})\Z")
_MOST: Final = 512


@dataclass(frozen=True, slots=True)
class Block:
    """A whole disk. ``wwn`` is bare hexadecimal; empty texts where the kernel does not know."""

    name: str
    serial: str
    wwn: str
    model: str
    size_bytes: int | None
    rotational: bool | None

    @property
    def key(self) -> str:
        """What it is known by, wherever it is plugged in; "" where it cannot be told from others."""
        return self.serial or self.wwn


def whole_disks(sys: Path = SYS) -> Iterator[Block]:
    """Every physical disk, by name; neither partitions nor what is made of disks."""
    folder = sys / "class/block"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return
    for name in names:
        if is_whole_disk(name):
            yield block(name, sys)


def is_whole_disk(name: str) -> bool:
    """Whether a block device of that name is a disk, and no partition of one nor made of others."""
    return _WHOLE.match(name) is not None


def block(name: str, sys: Path = SYS) -> Block:
    """What the kernel says of the disk of that name; all of it unknown where there is none."""
    folder = sys / "class/block" / name
    device = folder / "device"
    serial = vpd_serial(device / "vpd_pg80") or _line(device / "serial") or _line(folder / "serial")
    wwn = _bare_wwn(_line(folder / "wwid")) or _bare_wwn(_line(device / "wwid"))
    sectors, rotational = _line(folder / "size"), _line(folder / "queue/rotational")
    return Block(
        name,
        serial,
        wwn,
        _line(device / "model"),
        int(sectors) * 512 if sectors.isdecimal() and len(sectors) < 20 else None,
        {"0": False, "1": True}.get(rotational),
    )


def is_gone(number: int, sys: Path = SYS) -> bool:
    """Whether the device of that number (``st_dev`` of stat(2)) was taken out of the machine.

    A file system that was mounted from it answers for long from its cache. False for what is no block device (a share,
    memory, btrfs), and where the kernel shows none.
    """
    if os.major(number) == 0:
        return False
    devices = sys / "dev/block"
    there = f"{os.major(number)}:{os.minor(number)}"
    try:
        return bool(os.listdir(devices)) and not os.path.lexists(devices / there)
    except OSError:
        return False


def smart_device(name: str) -> str:
    """The device file that smartctl asks for a whole disk: for an NVMe namespace that of its controller."""
    controller = _NVME.match(name)
    return f"/dev/{controller[1] if controller else name}"


def _bare_wwn(text: str) -> str:
    found = _WWN.match(text.lower())
    return found[1] if found else ""


def vpd_serial(path: Path) -> str:
    """The serial number in ``vpd_pg80`` of a SCSI device in sysfs, "" where there is none: a header of four bytes, then
    text (SPC-4, 7.8.15)."""
    data = _bytes(path)
    return clean(data[4:].decode("ascii", "replace")) if len(data) > 4 else ""


def _line(path: Path) -> str:
    return clean(_bytes(path).decode("utf-8", "replace"))


def clean(text: str) -> str:
    """One line of printable characters, single-spaced."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError:
        return b""
