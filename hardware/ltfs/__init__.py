"""The LTFS format, in pure Python: labels, indexes, extents, cartridge memory; no FUSE, no root.

A :class:`Volume` reads and a :class:`WriteSession` writes over the :class:`TapeMedium` protocol, so that they know
nothing of what lies below. Below lies the :class:`VirtualMedium`, a folder in the layout of the reference
implementation's *file* backend; a real drive fits there too. Everything read from a medium is the work of strangers:
XML goes through ``safexml`` alone, names through ``names``, and what breaks the format raises an error of
:mod:`hardware.errors`. What does not belong here: changers, mounting, running the reference's tools, and any notion
of what the files on a tape are.
"""

from hardware.ltfs.formatting import format_volume
from hardware.ltfs.label import Label
from hardware.ltfs.last_index import IndexCopy, LastIndex
from hardware.ltfs.mam import Attribute
from hardware.ltfs.medium import END, Capacity, Mark, Position, Room, TapeMedium
from hardware.ltfs.model import (
    DirectoryEntry,
    Entry,
    ExtendedAttribute,
    Extent,
    FileEntry,
    IndexHeader,
    Location,
    Times,
)
from hardware.ltfs.virtual import VirtualMedium
from hardware.ltfs.volume import Volume
from hardware.ltfs.writer import FileWriter, WriteSession

__all__ = [
    "END",
    "Attribute",
    "Capacity",
    "DirectoryEntry",
    "Entry",
    "ExtendedAttribute",
    "Extent",
    "FileEntry",
    "FileWriter",
    "IndexCopy",
    "IndexHeader",
    "Label",
    "LastIndex",
    "Location",
    "Mark",
    "Position",
    "Room",
    "TapeMedium",
    "Times",
    "VirtualMedium",
    "Volume",
    "WriteSession",
    "format_volume",
]
