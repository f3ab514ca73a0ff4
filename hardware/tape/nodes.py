"""Which tape drives and changers this machine has, and at which ``/dev/sgN`` each is now.

Source: sysfs (``/sys/class/scsi_generic``); the type of a SCSI device is that of INQUIRY (1 sequential access, 8 medium
changer). Node numbers change when something is plugged in; serial numbers do not.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from hardware.errors import HardwareError, Refused
from hardware.tape.drive import ScsiTapeDrive, TapeDrive
from hardware.tape.errors import DriveVanished
from hardware.tape.sgio import CLASS, SgDevice

_NODE: Final = re.compile(r"sg[0-9]{1,5}", re.ASCII)
_TAPE, _CHANGER = "1", "8"


@dataclass(frozen=True, slots=True)
class Node:
    """A tape drive or a changer, by the node to speak to it."""

    path: str
    changer: bool


def find_nodes() -> tuple[Node, ...]:
    """All tape drives and changers that the kernel knows, by the number of their nodes."""
    try:
        names = [name for name in os.listdir(CLASS) if _NODE.fullmatch(name)]
    except OSError:
        return ()
    found = []
    for name in sorted(names, key=lambda name: int(name[2:])):
        kind = _type_of(os.path.realpath(os.path.join(CLASS, name)))
        if kind in {_TAPE, _CHANGER}:
            found.append(Node(f"/dev/{name}", kind == _CHANGER))
    return tuple(found)


def _type_of(device: str) -> str:
    """The type in the folder of the SCSI device, which is two above that of its node."""
    with contextlib.suppress(OSError), open(os.path.join(device, "..", "..", "type"), encoding="ascii") as file:
        return file.read(16).strip()
    return ""


def drives_by_serial(wanted: Collection[str] = ()) -> dict[str, str]:
    """Serial number to node of the tape drives; only those of ``wanted`` where that is given.

    A drive that does not answer, or that another program holds, is left out. Nothing on it is changed.
    """
    found: dict[str, str] = {}
    for node in find_nodes():
        if node.changer:
            continue
        with contextlib.suppress(HardwareError), SgDevice.open(node.path, exclusive=False) as device:
            serial = device.serial()
            if not wanted or serial in wanted:
                found[serial] = node.path
    return found


def the_changer() -> str:
    """The one changer of this machine. Raises ``Refused`` where there is none, or several to choose from."""
    found = [node.path for node in find_nodes() if node.changer]
    if len(found) != 1:
        raise Refused(
            f"This machine has {len(found)} tape libraries{': ' if found else ''}{', '.join(found)}.",
            remedy="Name the changer by its path below /dev/tape/by-id, or “none” for a drive that is loaded by hand.",
        )
    return found[0]


class ScsiPort:
    """A real drive, known by its serial number, as a :class:`~hardware.tape.held.DrivePort`."""

    def __init__(self, number: int, serial: str, node: str) -> None:
        """``node`` is where it was seen last; it is looked for again where it has moved."""
        self._number = number
        self._serial = serial
        self._node = node
        self._drive: ScsiTapeDrive | None = None

    @property
    def number(self) -> int:
        """Its number in the library."""
        return self._number

    def drive(self) -> TapeDrive:
        """The drive, held exclusively. Raises ``DriveVanished``, ``Busy``."""
        if self._drive is None:
            self._drive = self._open()
        return self._drive

    def let_go(self) -> None:
        """Let go of it."""
        if self._drive is not None:
            drive, self._drive = self._drive, None
            drive.close()

    def tool_device(self) -> str:
        """Its node."""
        return self._node

    def _open(self) -> ScsiTapeDrive:
        for node in dict.fromkeys((self._node, drives_by_serial((self._serial,)).get(self._serial, ""))):
            if not node or not os.path.exists(node):
                continue
            drive = ScsiTapeDrive.open(node)
            if drive.facts().serial == self._serial:
                self._node = node
                return drive
            drive.close()
        raise DriveVanished(
            f"The drive {self._serial} is no longer there (it was at {self._node}).",
            remedy="Check its power and cables (lsscsi -g).",
        )
