"""Faults of tapes and drives, for any test that wants to see what becomes of them; virtual cartridges only.

Two families: what a drive does while it is used (:func:`drive_fault`, at the n-th record or filemark that is written or
read, in this process), and what happens to a cartridge on its shelf (:func:`flip_bit`, :func:`set_tab`,
:func:`session_lost` and so on, on the cartridge's folder). A kill at each durable step is
:func:`tests.support.faults.killed_at_every_step`; a kill at the n-th record is ``DriveFault.KILL``.
"""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.errors import Corrupted, Full, Unreachable
from hardware.ltfs import Mark, Room, VirtualMedium
from hardware.ltfs.cartridge import CONFIG, parse_block_name
from hardware.tape.errors import DeviceFault, DriveVanished


class DriveFault(enum.Enum):
    """What the drive does. Writing: at the n-th record or filemark; reading: at the n-th record or mark."""

    WRITE_ERROR = "the medium cannot be written there"
    FULL = "the end of the medium is met, and nothing is written"
    EARLY_WARNING = "it is written, and the drive says that the end is near"
    DEFECT = "the drive reports a defect"
    VANISHES = "the drive is gone, and stays away"
    LIES = "it says that it was written, and it was not: zeros stand there"
    KILL = "the process dies"
    READ_ERROR = "the record cannot be read"


_READING = frozenset({DriveFault.READ_ERROR})


@dataclass
class Watch:
    """How many records and marks were written and read so far, and whether the fault has happened."""

    written: int = 0
    read: int = 0
    happened: bool = False


@contextlib.contextmanager
def drive_fault(fault: DriveFault | None = None, at: int = 1, *, cartridge: str = "") -> Iterator[Watch]:
    """Let the drive do this at its ``at``-th write (or read) in the block; without a fault only count.

    ``cartridge`` is the name of the folder that it happens to, all of them unless told.
    """
    watch = Watch()
    write, marks, read = VirtualMedium.write, VirtualMedium.write_filemarks, VirtualMedium.read

    def concerns(medium: VirtualMedium) -> bool:
        return not cartridge or Path(medium._path).name == cartridge

    def before_write(medium: VirtualMedium) -> bool:
        """Whether this is the one, and it shall be done, but wrongly."""
        if not concerns(medium):
            return False
        watch.written += 1
        return _strike(fault, watch, at, watch.written, reading=False)

    def watched_write(medium: VirtualMedium, record: bytes | bytearray | memoryview) -> Room:
        wrongly = before_write(medium)
        lies = wrongly and fault is DriveFault.LIES
        done = write(medium, bytes(len(record)) if lies else record)
        return Room.EARLY_WARNING if wrongly and fault is DriveFault.EARLY_WARNING else done

    def watched_marks(medium: VirtualMedium, count: int = 1, *, flush: bool = True) -> Room:
        wrongly = before_write(medium)
        done = marks(medium, count, flush=flush)
        return Room.EARLY_WARNING if wrongly and fault is DriveFault.EARLY_WARNING else done

    def watched_read(medium: VirtualMedium) -> bytes | Mark:
        if concerns(medium):
            watch.read += 1
            _strike(fault, watch, at, watch.read, reading=True)
        return read(medium)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VirtualMedium, "write", watched_write)
        patch.setattr(VirtualMedium, "write_filemarks", watched_marks)
        patch.setattr(VirtualMedium, "read", watched_read)
        yield watch


def _strike(fault: DriveFault | None, watch: Watch, at: int, now: int, *, reading: bool) -> bool:
    if fault is DriveFault.VANISHES and watch.happened:
        raise DriveVanished("The drive is gone.", remedy="Check its power and cables.")
    if fault is None or now != at or watch.happened or (fault in _READING) is not reading:
        return False
    watch.happened = True
    if fault is DriveFault.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    errors: dict[DriveFault, Exception] = {
        DriveFault.WRITE_ERROR: Corrupted("The medium cannot be written there (3/0C/00)."),
        DriveFault.READ_ERROR: Corrupted("The medium cannot be read there (3/11/00)."),
        DriveFault.FULL: Full("The end of the medium was met."),
        DriveFault.DEFECT: DeviceFault("The drive reports a defect (4/44/00)."),
        DriveFault.VANISHES: DriveVanished("The drive is gone.", remedy="Check its power and cables."),
    }
    if fault in errors:
        raise errors[fault]
    return True


@contextlib.contextmanager
def worn_heads() -> Iterator[None]:
    """No cartridge can be written in any drive."""

    def refuse(*_: object, **__: object) -> Room:
        raise Corrupted("The medium cannot be written there (3/0C/00).")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VirtualMedium, "write", refuse)
        yield


@contextlib.contextmanager
def unreachable() -> Iterator[None]:
    """No cartridge can be opened at all."""

    def refuse(*_: object, **__: object) -> VirtualMedium:
        raise Unreachable("The drive does not answer.", remedy="Check its power and cables.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VirtualMedium, "open", refuse)
        yield


# --- What happens to a cartridge on its shelf


def records(cartridge: Path, partition: int = 1) -> list[Path]:
    """The files of a partition's records, in tape order."""
    found = [
        (block[1], path)
        for path in cartridge.iterdir()
        if (block := parse_block_name(path.name)) and block[0] == partition and block[2] == "R"
    ]
    return [path for _, path in sorted(found)]


def flip_bit(cartridge: Path, *, containing: bytes = b"", record: int | None = None, at: int | None = None) -> Path:
    """Change one bit of a record of the data partition: that which holds some bytes, or the n-th; says which file."""
    if record is not None:
        path = records(cartridge)[record]
    else:
        path = next(path for path in records(cartridge) if containing in path.read_bytes())
    data = bytearray(path.read_bytes())
    data[at if at is not None else data.index(containing) if containing else len(data) // 2] ^= 0x10
    path.write_bytes(data)
    return path


def set_tab(cartridge: Path, *, protected: bool = True) -> None:
    """Move the write-protect tab."""
    config = cartridge / CONFIG
    old, new = (f"<emulate_readonly>{str(state).lower()}</emul" for state in (not protected, protected))
    config.write_text(config.read_text().replace(old, new))


def make_foreign(cartridge: Path) -> None:
    """Let other software have written it."""
    with VirtualMedium.open(cartridge, write=True) as medium:
        medium.partition_medium()
        medium.locate(0, 0)
        medium.write(b"VOL1OTHER1".ljust(80))
        medium.write_filemarks(1)


def spoil_labels(cartridge: Path) -> None:
    """Neither partition has a label that can be read."""
    for partition in (0, 1):
        for path in records(cartridge, partition)[:2]:
            path.write_bytes(b"\xff" * path.stat().st_size)


def spoil_indexes(cartridge: Path) -> None:
    """No index can be read any more, while labels and data are whole."""
    for partition in (0, 1):
        for path in records(cartridge, partition)[2:]:
            if path.read_bytes().startswith(b"<?xml"):
                path.write_bytes(b"\xff" * path.stat().st_size)


@contextlib.contextmanager
def session_lost(cartridge: Path) -> Iterator[None]:
    """Whatever is written in the block was never there: the drive has said “done” for nothing at all."""
    aside = cartridge.with_name(cartridge.name + "-aside")
    shutil.copytree(cartridge, aside)
    try:
        yield
    finally:
        shutil.rmtree(cartridge)
        aside.rename(cartridge)
