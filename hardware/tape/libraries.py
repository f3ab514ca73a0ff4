"""Opening a :class:`~hardware.tape.library.Library` of each kind, with its drives paired by serial number."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping

from hardware.errors import Refused
from hardware.tape.elements import DriveElement, pair_drives
from hardware.tape.errors import DriveVanished
from hardware.tape.held import DrivePort
from hardware.tape.library import Library, NewSession
from hardware.tape.manual import ManualChanger
from hardware.tape.mounted_session import MountedSession
from hardware.tape.mtx import MtxChanger
from hardware.tape.nodes import ScsiPort, drives_by_serial, the_changer
from hardware.tape.own_session import OwnSession
from hardware.tape.patience import Patience
from hardware.tape.session import CartridgeSession
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import VirtualChanger
from hardware.tape.virtual_drive import VirtualPort


def virtual_library(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    spool: str | os.PathLike[str] | None = None,
    new_session: NewSession | None = None,
    patience: Patience | None = None,
) -> Library:
    """The virtual library in a folder, made before by :meth:`VirtualChanger.create`.

    ``spool`` is the folder in which indexes are kept while they are read. Raises ``NotFound``, ``Busy`` (it has another
    owner), ``Malformed``, ``Unreachable``.
    """
    changer = VirtualChanger(path, patience=patience)
    try:
        ports = {number: VirtualPort(changer, number) for number in range(changer.drive_count)}
    except BaseException:
        changer.close()
        raise
    return Library(changer, ports, new_session or own_sessions(spool), name=name)


def scsi_library(
    *,
    tools: Tools,
    changer: str = "auto",
    drives: Collection[str] = (),
    name: str = "",
    spool: str | os.PathLike[str] | None = None,
    new_session: NewSession | None = None,
    patience: Patience | None = None,
) -> Library:
    """A real library: its changer by ``mtx``, its drives paired with the changer's elements by serial number.

    ``changer`` is its node (or a link below ``/dev/tape/by-id``), or ``auto`` where the machine has one only.
    ``drives`` are the serial numbers of those that may be used; all that the library names, where it is empty. A drive
    of the library that is not found is kept in its inventory with a problem. Raises ``Busy``, ``Refused``,
    ``Unreachable``.
    """
    device = the_changer() if changer == "auto" else changer
    robot = MtxChanger(device, patience=patience)
    try:
        pairing = pair(robot.drive_elements(), drives_by_serial(drives), drives)
    except BaseException:
        robot.close()
        raise
    ports = {number: ScsiPort(number, serial, node) for number, (serial, node) in pairing.items()}
    sessions = new_session or mounted_sessions(tools, spool)
    return Library(robot, ports, sessions, name=name, lacking=tools.lacking)


def pair(
    elements: Iterable[DriveElement], nodes: Mapping[str, str], wanted: Collection[str]
) -> dict[int, tuple[str, str]]:
    """Serial number and node by the drive's number in the library.

    By serial number alone; but where the library has one drive and does not tell its serial number, and the
    configuration names one drive, that is the one.
    """
    elements = tuple(elements)
    serials = {node: serial for serial, node in nodes.items()}
    found = {number: (serials[node], node) for number, node in pair_drives(elements, nodes).nodes.items()}
    if not found and len(elements) == len(wanted) == len(nodes) == 1 and not elements[0].serial:
        ((serial, node),) = nodes.items()
        return {elements[0].number: (serial, node)}
    return found


def manual_library(
    folder: str | os.PathLike[str],
    *,
    tools: Tools,
    drive: str = "auto",
    name: str = "",
    spool: str | os.PathLike[str] | None = None,
    new_session: NewSession | None = None,
) -> Library:
    """A single drive that a person loads; ``folder`` keeps what was confirmed, ``drive`` is its serial number.

    Raises ``Busy``, ``Refused`` (``auto`` with no drive or several), ``DriveVanished``, ``Unreachable``.
    """
    found = drives_by_serial(() if drive == "auto" else (drive,))
    if drive == "auto" and len(found) != 1:
        raise Refused(
            f"This machine has {len(found)} tape drives{': ' if found else ''}{', '.join(found)}.",
            remedy="Name the drive by its serial number.",
        )
    if not found:
        raise DriveVanished(f"The drive {drive} is not there.", remedy="Check its power and cables (lsscsi -g).")
    ((serial, node),) = found.items()
    changer = ManualChanger(folder, serial=serial)
    sessions = new_session or mounted_sessions(tools, spool)
    return Library(changer, {0: ScsiPort(0, serial, node)}, sessions, name=name, lacking=tools.lacking)


def own_sessions(spool: str | os.PathLike[str] | None = None) -> NewSession:
    """Sessions that write with our own writer; for virtual cartridges."""

    def begin(port: DrivePort, barcode: str, ended: Callable[[], None]) -> CartridgeSession:
        return OwnSession(port, barcode, spool=spool, ended=ended)

    return begin


def mounted_sessions(tools: Tools, spool: str | os.PathLike[str] | None = None) -> NewSession:
    """Sessions that the reference tools write; for real drives, and for virtual cartridges (backend ``file``)."""

    def begin(port: DrivePort, barcode: str, ended: Callable[[], None]) -> CartridgeSession:
        return MountedSession(port, barcode, tools, spool=spool, ended=ended)

    return begin
