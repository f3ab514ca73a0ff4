"""Where a device is plugged in: the one thing that is known of a disk that gives neither serial number nor WWN.

The way from the bus to the device, as sysfs shows it: PCI address, port of the controller, address behind it. It stays
the same over a restart, as the name of the device does not; another disk in that place is there under the same words.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from hardware.blocks import SYS, smart_device

_PCI: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]\Z")
_ATA: Final = re.compile(r"ata[0-9]{1,4}\Z")
_USB: Final = re.compile(r"([0-9]{1,3}-[0-9]{1,3}(?:\.[0-9]{1,3})*)\Z")
_SAS: Final = re.compile(r"port-[0-9]{1,4}:([0-9:]{1,20})\Z")
_SCSI: Final = re.compile(r"[0-9]{1,4}:([0-9]{1,4}:[0-9]{1,4}:[0-9]{1,20})\Z")
_DEVICE: Final = re.compile(r"/dev/([a-z0-9]{1,32})\Z")
_MOST: Final = 128


def place(device: str, sys: Path = SYS) -> str:
    """The place of a device file (``/dev/sda``, ``/dev/nvme0``) such as ``0000:00:17.0 ata2 0:0:0``; without a slash.

    Of what the kernel shows no way to, as of a disk behind a RAID controller (``/dev/bus/0 megaraid,8``), the device's
    own name: controller and slot are in it.
    """
    named = _DEVICE.match(device)
    way = _way(named[1], sys) if named else ""
    return (way or device.removeprefix("/dev/").replace("/", " "))[:_MOST]


def _way(name: str, sys: Path) -> str:
    for folder in ("block", "nvme"):
        entry = sys / "class" / folder / name
        if os.path.lexists(entry):
            steps = Path(os.path.realpath(entry)).parts
            buses = [step for step in steps if _PCI.match(step)][-1:]
            usb = [f"usb{found[1]}" for step in steps if (found := _USB.match(step))][-1:]
            ata = [_port(step, sys) for step in steps if _ATA.match(step)][-1:]
            sas = [f"port{found[1]}" for step in steps if (found := _SAS.match(step))][-1:]
            scsi = [found[1] for step in steps if (found := _SCSI.match(step))][-1:]
            return " ".join([*buses, *usb, *ata, *sas, *scsi]) if buses or usb else ""
    return ""


def _port(step: str, sys: Path) -> str:
    """The kernel numbers the ports of all controllers through as it meets them; a controller its own from 1."""
    try:
        number = (sys / "class/ata_port" / step / "port_no").read_text("ascii", "replace").strip()
    except OSError:
        return step
    return f"ata{number}" if number.isdecimal() and len(number) < 5 else step


def is_same_device(device: str, name: str) -> bool:
    """Whether a block device of that name (``nvme0n1``) is the disk that is asked at that device file."""
    return smart_device(name) == device
