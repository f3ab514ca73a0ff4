"""Opening the library that the configuration describes. Only here it matters of which kind one is."""

from __future__ import annotations

import os

from hardware.errors import Unsupported
from hardware.tape.libraries import virtual_library
from hardware.tape.library import Library
from hardware.tape.virtual import STATE, VirtualChanger
from vault.config import LibrarySettings
from vault.tapes.context import Tapes


def open_library(tapes: Tapes, settings: LibrarySettings) -> Library:
    """Open it, for us alone; a virtual one is made where there is none. Raises errors of :mod:`hardware.errors`."""
    spool = tapes.state / "index-spool"
    spool.mkdir(mode=0o750, parents=True, exist_ok=True)
    if settings.kind == "virtual" and settings.path is not None:
        if not os.path.exists(settings.path / STATE):
            drives = settings.drives if isinstance(settings.drives, int) else 1
            VirtualChanger.create(settings.path, drives=drives, slots=settings.slots).close()
        return virtual_library(settings.path, name=settings.name, spool=spool)
    raise Unsupported("Libraries of the SCSI kind are not driven by this version.", remedy="Use a virtual one.")
