"""Making an empty LTFS volume, and the two acts that formatting and appending share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from hardware.errors import Corrupted, HardwareError, NotFound, Refused
from hardware.ltfs.compose import INDEX_END, SETTINGS, directory_start, index_start
from hardware.ltfs.label import DEFAULT_BLOCKSIZE, FORMAT_VERSION, Label, make_label, make_vol1, new_uuid
from hardware.ltfs.last_index import read_labels
from hardware.ltfs.mam import BINARY, UTF8, Attribute, Coherency, VolumeLock, pack_coherency, text_value
from hardware.ltfs.medium import END, TapeMedium
from hardware.ltfs.model import DirectoryEntry, IndexHeader, Location, Times

CREATOR: Final = "khoso 0.1 - Linux - hardware.ltfs"
_INDEX_LETTER: Final = "a"
_DATA_LETTER: Final = "b"
# Cartridge memory is a help to readers: where it cannot be written, the volume is whole without it.
_OPTIONAL: Final = (NotFound, Refused, Corrupted)


def format_volume(
    medium: TapeMedium,
    *,
    serial: str,
    barcode: str = "",
    name: str = "",
    blocksize: int = DEFAULT_BLOCKSIZE,
    compression: bool = True,
    creator: str = CREATOR,
    overwrite: bool = False,
    clock: Callable[[], int] = time.time_ns,
) -> Label:
    """Make an empty LTFS volume: two partitions, labels, generation 1 in both, cartridge memory.

    ``serial`` is the volume serial of six characters; ``barcode`` (up to 32 ASCII characters) goes to cartridge memory,
    and is the serial where it is not given; ``name`` is the volume's name. Raises ``Refused`` where the medium bears a
    volume and ``overwrite`` is not set, or anything at all that cannot be read as labels.
    """
    vol1 = make_vol1(serial)
    now = clock()
    label = Label(serial, creator, now, new_uuid(), _DATA_LETTER, _INDEX_LETTER, _DATA_LETTER, blocksize, compression)
    make_label(label)
    kept = _cartridge_memory(barcode or serial, name)
    if not overwrite:
        _check_blank(medium)
    medium.partition_medium()
    header = IndexHeader(
        version=FORMAT_VERSION,
        creator=f"{creator} - Format",
        volume_uuid=label.volume_uuid,
        generation=1,
        updated=now,
        location=Location(_DATA_LETTER, 5),
        previous=None,
        allow_policy_update=True,
        highest_uid=1,
        lock_state="unlocked",
        volume_name=name,
    )
    root = directory_start(DirectoryEntry("", 1, False, Times(now, now, now, now, now)), name)
    tree = [SETTINGS.encode(), root, b"</contents>\n</directory>\n", INDEX_END]
    for number in (1, 0):
        here = label if number else label.other
        medium.locate(number, 0)
        medium.write(vol1)
        medium.write_filemarks(1, flush=False)
        medium.write(make_label(here))
        medium.write_filemarks(1)
        if not number:
            header = replace(header, location=Location(_INDEX_LETTER, 5), previous=Location(_DATA_LETTER, 5))
        write_index(medium, [index_start(header), *tree], blocksize)
    for identifier, kind, value in kept:
        with contextlib.suppress(*_OPTIONAL):
            medium.write_attribute(0, identifier, kind, value)
    for number in (0, 1):
        note_coherency(medium, number, 1, 5, label.volume_uuid)
    return label


def _cartridge_memory(barcode: str, name: str) -> list[tuple[Attribute, int, bytes]]:
    texts = {
        Attribute.APPLICATION_VENDOR: "KHOSO",
        Attribute.APPLICATION_NAME: "LTFS",
        Attribute.APPLICATION_VERSION: "0.1",
        Attribute.MEDIUM_LABEL: name,
        Attribute.BARCODE: barcode,
        Attribute.FORMAT_VERSION: ".".join(map(str, FORMAT_VERSION)),
        Attribute.MEDIA_POOL: "",
    }
    return [
        *((identifier, *text_value(identifier, text)) for identifier, text in texts.items()),
        (Attribute.TEXT_LOCALISATION, BINARY, UTF8),
        (Attribute.VOLUME_LOCK, BINARY, bytes((VolumeLock.UNLOCKED,))),
    ]


def _check_blank(medium: TapeMedium) -> None:
    if medium.locate(0, END).block == 0:
        return
    try:
        found = f"bears the volume {read_labels(medium).label.serial!r}"
    except HardwareError as error:
        found = f"is not blank ({error.message})"
    raise Refused(f"The cartridge {found}.", remedy="To destroy what is on it, ask for overwriting.")


def write_index(medium: TapeMedium, pieces: Iterable[bytes], blocksize: int) -> None:
    """A filemark, the index in blocks, a filemark; all durable, in this order, when it returns."""
    medium.write_filemarks(1)
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= blocksize:
            medium.write(bytes(buffer[:blocksize]))
            del buffer[:blocksize]
    if buffer:
        medium.write(buffer)
    medium.write_filemarks(1)


def note_coherency(medium: TapeMedium, number: int, generation: int, block: int, uuid: str) -> None:
    """Say in cartridge memory which index a partition ends in, as of now."""
    with contextlib.suppress(*_OPTIONAL):
        reference = int.from_bytes(medium.attribute(0, Attribute.VOLUME_CHANGE_REFERENCE), "big")
        if reference not in {0, 0xFFFFFFFF}:
            record = pack_coherency(Coherency(reference, generation, block, uuid))
            medium.write_attribute(number, Attribute.COHERENCY, BINARY, record)
