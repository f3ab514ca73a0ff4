"""Opening a :class:`~hardware.tape.library.Library` of each kind, with its drives paired by serial number."""

from __future__ import annotations

import os
from collections.abc import Callable

from hardware.tape.held import DrivePort
from hardware.tape.library import Library, NewSession
from hardware.tape.mounted_session import MountedSession
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
