"""What a tape does while it is read: where it was, how much came from it, and whether it ever went back."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hardware.ltfs import Mark, Position, VirtualMedium, Volume


@dataclass
class Trail:
    """The records of virtual cartridges that were read, one after another, and their bytes."""

    places: list[Position] = field(default_factory=list)
    bytes: int = 0

    def in_files(self, cartridge: Path) -> list[int]:
        """Those blocks of the data partition in which files stand: labels and indexes are left out."""
        blocks = blocks_of(cartridge)
        return [place.block for place in self.places if place.partition == 1 and place.block in blocks]

    def assert_forward_and_once(self, cartridge: Path) -> list[int]:
        """The tape never turned back to a file, and read no block of one twice; the blocks that were read."""
        read = self.in_files(cartridge)
        assert all(earlier < later for earlier, later in itertools.pairwise(read)), read
        return read


def blocks_of(cartridge: Path, path: str = "") -> set[int]:
    """The blocks of the data partition in which files stand, or that one."""
    with VirtualMedium.open(cartridge) as medium, Volume.open(medium) as volume:
        return {
            extent.block + number
            for entry in volume.files()
            if path in ("", entry.path)
            for extent in entry.extents
            for number in range(-(-(extent.byte_offset + extent.count) // volume.label.blocksize))
        }


@contextlib.contextmanager
def followed(cartridge: str = "") -> Iterator[Trail]:
    """Follow what is read of a cartridge, by the name of its folder; of all unless told."""
    trail = Trail()
    read = VirtualMedium.read

    def watch(medium: VirtualMedium) -> bytes | Mark:
        at = medium.position()
        record = read(medium)
        if isinstance(record, bytes) and (not cartridge or Path(medium._path).name == cartridge):
            trail.places.append(at)
            trail.bytes += len(record)
        return record

    VirtualMedium.read = watch  # type: ignore[method-assign]
    try:
        yield trail
    finally:
        VirtualMedium.read = read  # type: ignore[method-assign]
