"""What is on a cartridge? Asked before it is formatted or written to, so that nobody's data are overwritten."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from hardware.errors import Corrupted, HardwareError, NotFound, NoVolume, Refused, Unreachable, Unsupported
from hardware.ltfs.last_index import read_labels
from hardware.ltfs.medium import END, Mark, TapeMedium
from hardware.ltfs.volume import Volume
from hardware.tape.session import Blank, Content, LtfsVolume, OtherData, Unreadable

ONLY_SECOND: Final = "only its second partition holds something"
"""What is said of a cartridge whose first partition is empty: a formatting that did not come far leaves it so."""
_LTFS: Final = slice(24, 28)
_KEEP: Final = "Set it aside and do not write to it; try it in another drive."


def recognise(
    medium: TapeMedium,
    *,
    known: Collection[str] = (),
    protected: bool = False,
    spool: str | os.PathLike[str] | None = None,
) -> Content:
    """What a medium holds; it is only read. ``protected``: the drive says that the cartridge cannot be written to.

    Raises ``Unreachable`` where the drive does not answer: that says nothing about the cartridge.
    """
    try:
        first = _first(medium)
        if first is Mark.END_OF_DATA and _blank(medium):
            return Blank()
        if not _is_label(first) and not _other_partition_is_ltfs(medium):
            return OtherData(_described(first))
    except Corrupted as error:
        return Unreadable(error.message, error.remedy or _KEEP)
    try:
        volume = Volume.open(medium, spool=spool)
    except NoVolume as error:
        return OtherData(error.message)
    except (Corrupted, Unsupported) as error:
        return Unreadable(error.message, error.remedy or _KEEP)
    with volume:
        label, last = volume.label, volume.last
        return LtfsVolume(
            ours=label.volume_uuid in known,
            volume_uuid=label.volume_uuid,
            serial=label.serial,
            name=volume.header.volume_name,
            creator=label.creator,
            generation=volume.header.generation,
            files=volume.header.files,
            clean=last.clean,
            unindexed_blocks=last.unindexed_blocks,
            protected=protected or volume.header.lock_state != "unlocked",
            remarks=(*volume.labels.remarks, *last.remarks),
        )


def _first(medium: TapeMedium) -> bytes | Mark:
    medium.locate(0, 0)
    return medium.read()


def _blank(medium: TapeMedium) -> bool:
    """Whether the other partition is empty too; a cartridge that was never divided has none, nor has one in a drive
    that cannot divide it (``Unsupported``, a kind of ``Refused``)."""
    try:
        return medium.locate(1, END).block == 0
    except (Refused, NotFound):
        return True


def _is_label(record: bytes | Mark) -> bool:
    return isinstance(record, bytes) and record[:4] == b"VOL1" and record[_LTFS] == b"LTFS"


def _other_partition_is_ltfs(medium: TapeMedium) -> bool:
    """Whether it was an LTFS volume whose first label is gone: that is damage, and no stranger's tape."""
    try:
        read_labels(medium)
    except Unreachable:
        raise
    except HardwareError:
        return False
    return True


def _described(record: bytes | Mark) -> str:
    if isinstance(record, Mark):
        return "it begins with a filemark" if record is Mark.FILEMARK else ONLY_SECOND
    if record[:4] == b"VOL1":
        owner = record[4:10].decode("latin-1").strip()
        shown = "".join(letter if " " <= letter <= "~" else "?" for letter in owner)
        return f"it bears the label VOL1 {shown} of other software"
    if record[257:262] == b"ustar":
        return "it begins with a tar archive"
    return f"it begins with a record of {len(record)} bytes of other software"
