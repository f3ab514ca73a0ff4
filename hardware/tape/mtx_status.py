"""Reading what ``mtx status`` prints, whatever the library behind it.

Source: mtx 1.3.12, ``mtx.c``. Drives print ``:VolumeTag = ``, slots ``:VolumeTag=``; tags come as a library sent them.
"""

from __future__ import annotations

import re
from typing import Final

from hardware.tape.changer import Drive, LibraryStatus, Slot
from hardware.tape.errors import NotUnderstood

MAX_OUTPUT: Final = 16 << 20
_MAX_ELEMENTS: Final = 65536  # a SCSI element address has 16 bits
_HEADER: Final = re.compile(
    r"Storage Changer .{1,4096}?:([0-9]{1,6}) Drives?, ([0-9]{1,6}) Slots? \( ?([0-9]{1,6}) Import/Export ?\)"
)
_DRIVE: Final = re.compile(r"Data Transfer Element(?: ([0-9]{1,6}))?:\s*(Full|Empty)\b(.*)")
_SLOT: Final = re.compile(r"Storage Element ([0-9]{1,6})( IMPORT/EXPORT)?:\s*(Full|Empty)\b(.*)")
_HOME: Final = re.compile(r"\(Storage Element ([0-9]{1,6}) Loaded\)", re.IGNORECASE)
_REMEDY: Final = "Run mtx status by hand, and report what it prints together with the model of the library."


def parse_status(output: bytes) -> LibraryStatus:
    """What ``mtx status`` printed. Raises ``NotUnderstood``.

    Lines that are not known are left out. But every element that the first line announces must be listed, once: half a
    list would make cartridges look as if they were gone.
    """
    if len(output) > MAX_OUTPUT:
        raise NotUnderstood(f"mtx printed {len(output)} bytes.", remedy=_REMEDY)
    announced: tuple[int, int, int] | None = None
    drives: dict[int, Drive] = {}
    slots: dict[int, Slot] = {}
    # By line feeds alone: a label that the library misread may hold any other character.
    for line in output.decode("utf-8", errors="replace").split("\n"):
        text = line.strip()
        if found := _HEADER.match(text):
            announced = (int(found[1]), int(found[2]), int(found[3]))
        elif found := _DRIVE.match(text):
            drive = _drive(found)
            if drives.setdefault(drive.number, drive) is not drive:
                raise NotUnderstood(f"mtx lists drive {drive.number} twice.", remedy=_REMEDY)
        elif found := _SLOT.match(text):
            slot = Slot(int(found[1]), found[3] == "Full", _tag(found[4], full=found[3] == "Full"), bool(found[2]))
            if slots.setdefault(slot.number, slot) is not slot:
                raise NotUnderstood(f"mtx lists slot {slot.number} twice.", remedy=_REMEDY)
        if len(drives) + len(slots) > _MAX_ELEMENTS:
            raise NotUnderstood("mtx lists more elements than a library can have.", remedy=_REMEDY)
    _check_complete(announced, len(drives), len(slots))
    return LibraryStatus(
        tuple(drives[number] for number in sorted(drives)), tuple(slots[number] for number in sorted(slots))
    )


def _check_complete(announced: tuple[int, int, int] | None, drives: int, slots: int) -> None:
    if announced is None:
        raise NotUnderstood("What mtx printed is no status of a library.", remedy=_REMEDY)
    if (drives, slots) != announced[:2]:
        raise NotUnderstood(
            f"mtx announces {announced[0]} drives and {announced[1]} slots, and lists {drives} and {slots}.",
            remedy=_REMEDY,
        )


def _drive(found: re.Match[str]) -> Drive:
    number, full = int(found[1] or 0), found[2] == "Full"
    home = _HOME.search(found[3].split("VolumeTag", 1)[0])
    return Drive(number, full, _tag(found[3], full=full), int(home[1]) if full and home else None)


def _tag(rest: str, *, full: bool) -> str:
    """The label; empty where there is none, or what was read cannot be one."""
    before, _, after = rest.partition("VolumeTag")
    sign, _, tags = after.partition("=")
    if not full or sign.strip() or before.endswith("Alternate"):
        return ""
    tag = tags.partition(":AlternateVolumeTag")[0].strip()
    return tag if len(tag) <= 36 and all("!" <= character <= "~" for character in tag) else ""
