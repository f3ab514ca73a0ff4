"""Opening the library that the configuration describes. Only here it matters of which kind one is."""

from __future__ import annotations

import os
from pathlib import Path

from hardware.tape.libraries import manual_library, scsi_library, virtual_library
from hardware.tape.library import Library
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import STATE, VirtualChanger
from vault.config import LibrarySettings


def open_library(state_folder: Path, settings: LibrarySettings) -> Library:
    """Open it, for us alone; a virtual one is made where there is none. ``state_folder`` is where what is known of
    tapes is kept. A real one is opened without the LTFS tools too: all but writing needs none of them
    (``Library.check_writes``). Raises errors of :mod:`hardware.errors`."""
    spool = state_folder / "index-spool"
    spool.mkdir(mode=0o750, parents=True, exist_ok=True)
    if settings.kind == "virtual" and settings.path is not None:
        if not os.path.exists(settings.path / STATE):
            drives = settings.drives if isinstance(settings.drives, int) else 1
            VirtualChanger.create(settings.path, drives=drives, slots=settings.slots).close()
        return virtual_library(settings.path, name=settings.name, spool=spool)
    state = state_folder / settings.name
    tools = Tools(work=str(state / "ltfs"), mounts=str(state / "mounts"))
    serials = settings.drives if isinstance(settings.drives, tuple) else ()
    if settings.changer == "none":
        drive = serials[0] if serials else "auto"
        return manual_library(state / "shelf", tools=tools, drive=drive, name=settings.name, spool=spool)
    return scsi_library(tools=tools, changer=settings.changer, drives=serials, name=settings.name, spool=spool)
