"""Tape: writing and proving a virtual cartridge, one file out of a large tar, and many scattered recalls.

Write and verify stand beside the floor (read, sha512, write, sync; then read back from the disk and sha512 again, by
the plainest loop) and, where the reference LTFS is installed, beside its FUSE mount on a cartridge of the same layout.
What is counted besides time: bytes that come from the medium, and how often the tape goes backwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import MIB, Row, console, drop_caches, fill, show
from hardware.errors import HardwareError
from hardware.ltfs import Mark, VirtualMedium
from hardware.tape.changer import OperatorAsked
from hardware.tape.libraries import mounted_sessions, own_sessions, virtual_library
from hardware.tape.library import NewSession
from hardware.tape.reading import TapeReader, Wanted
from hardware.tape.session import CartridgeSession
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import VirtualChanger
from tests.support.parts import Package
from vault.formats.ocfl import parse_inventory
from vault.formats.part_tar import read_head, write_part

FLOOR = "floor: read, sha512, write, sync; read back, sha512"
BARCODE = "VLT001L8"


def run(scale: float) -> None:
    """``scale`` 1 writes 2 GiB to each contender, a tar of 10 GiB, and recalls 1,000 files of 256 KiB."""
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        _write_and_verify(Path(name), scale)
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        _one_file(Path(name), scale)
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as name:
        _scattered(Path(name), max(50, int(1000 * min(scale, 1))))


# --- writing and proving


TURNS = 3


@dataclass
class _Contender:
    """Writes everything and reads it back; the times that it took. ``before`` is not counted."""

    name: str
    before: Callable[[], object]
    write: Callable[[], None]
    verify: Callable[[], None]
    writes: list[float] = field(default_factory=list)
    proofs: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        """Write, then verify, each with no page of it in memory."""
        self.before()
        for act, taken in ((self.write, self.writes), (self.verify, self.proofs)):
            drop_caches()
            began = time.perf_counter()
            act()
            taken.append(time.perf_counter() - began)


def _write_and_verify(folder: Path, scale: float) -> None:
    """In turns, so that whatever else the machine does meets all of them alike."""
    source = folder / "source"
    count = max(2, int(8 * scale))
    total = fill(source, count, 256 * MIB if scale >= 0.25 else 64 * MIB)
    files = sorted(source.iterdir())
    with contextlib.ExitStack() as stack:
        found = [_floor(folder / "plain", files)]
        for number, (label, sessions) in enumerate(_contenders(folder)):
            library = folder / f"library-{number}"
            session = stack.enter_context(_cartridge(library, 3 * total // MIB + 512, sessions))
            found.append(_on_tape(label, session, files))
        for _ in range(TURNS):
            for one in found:
                one.take_turn()
    title = f"{count} files to a cartridge, {total / MIB:.0f} MiB, the best of {TURNS} turns"
    show(f"write {title}", [Row(one.name, min(one.writes), total) for one in found], FLOOR)
    show("read all of it back from the medium", [Row(one.name, min(one.proofs), total) for one in found], FLOOR)
    show("both", [Row(one.name, min(one.writes) + min(one.proofs), 2 * total) for one in found], FLOOR)


def _floor(plain: Path, files: list[Path]) -> _Contender:
    plain.mkdir()

    def clear() -> None:
        for path in plain.iterdir():
            path.unlink()

    def write() -> None:
        for path in files:
            _copy(path, plain / path.name)

    def verify() -> None:
        for path in sorted(plain.iterdir()):
            _hash(path)

    return _Contender(FLOOR, clear, write, verify)


def _on_tape(label: str, session: CartridgeSession, files: list[Path]) -> _Contender:
    uuid = ""

    def form() -> None:
        nonlocal uuid
        uuid = session.format(force=True)

    return _Contender(label, form, lambda: _write(session, uuid, files), lambda: _verify(session))


def _contenders(folder: Path) -> list[tuple[str, NewSession]]:
    found = [("khoso", own_sessions(folder))]
    tools = _reference(folder)
    if tools is not None:
        found.append(("reference (mkltfs, ltfs by FUSE)", mounted_sessions(tools, folder)))
    return found


def _reference(folder: Path) -> Tools | None:
    tools = Tools(str(folder / "work"), str(folder / "mounts"), os.environ.get("KHOSO_LTFS_BIN", ""), "file")
    usable = not tools.missing() and os.geteuid() == 0 and os.path.exists("/dev/fuse")
    return tools if usable else None


@contextlib.contextmanager
def _cartridge(path: Path, capacity_mb: int, sessions: NewSession) -> Iterator[CartridgeSession]:
    with VirtualChanger.create(path, drives=1, slots=1, import_export=0) as changer:
        changer.add_cartridge(BARCODE, capacity_mb=capacity_mb)
    with virtual_library(path, new_session=sessions) as library:
        session = library.load(BARCODE)
        if isinstance(session, OperatorAsked):
            raise HardwareError("a virtual library asks nobody")
        with session:
            yield session


def _write(session: CartridgeSession, uuid: str, files: list[Path]) -> None:
    with session.open_for_writing(uuid) as writing:
        for path in files:
            digest = hashlib.sha512()
            sink = writing.create(path.name, length=path.stat().st_size)
            with path.open("rb", buffering=0) as source:
                while piece := source.read(MIB):
                    digest.update(piece)
                    sink.write(piece)
            sink.finish()
        writing.commit()


def _verify(session: CartridgeSession) -> None:
    with session.open_for_reading() as reader:
        for entry in reader.files():
            reader.digest(entry)


def _copy(source: Path, target: Path) -> None:
    digest = hashlib.sha512()
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while piece := reading.read(MIB):
            digest.update(piece)
            writing.write(piece)
        os.fsync(writing.fileno())


def _hash(path: Path) -> None:
    digest = hashlib.sha512()
    with path.open("rb", buffering=0) as reading:
        while piece := reading.read(MIB):
            digest.update(piece)


# --- recalls


@dataclass
class Moves:
    """What a tape did: bytes that were read, how often it went back, blocks that were read more than once."""

    bytes: int = 0
    back: int = 0
    again: int = 0


@contextlib.contextmanager
def _watched() -> Iterator[Moves]:
    """Count what virtual media do on the data partition, while labels and index are behind us already."""
    moves, seen = Moves(), set[int]()
    highest = -1
    read, real = VirtualMedium.read, VirtualMedium.position

    def watch(medium: VirtualMedium) -> bytes | Mark:
        nonlocal highest
        at = real(medium)
        record = read(medium)
        if isinstance(record, bytes):
            moves.bytes += len(record)
            moves.again += at.block in seen
            moves.back += at.block < highest
            seen.add(at.block)
            highest = at.block
        return record

    VirtualMedium.read = watch  # type: ignore[method-assign]
    try:
        yield moves
    finally:
        VirtualMedium.read = read  # type: ignore[method-assign]


def _one_file(folder: Path, scale: float) -> None:
    """One 1 MiB file out of a package whose tar has 10 GiB at scale 1."""
    count = max(64, int(10 * 1024 * scale))
    block = os.urandom(MIB)
    package = Package()
    built = package.add({f"data/{number:06}.pdf": number.to_bytes(8, "big") for number in range(count)})
    inventory = parse_inventory(built.inventory)
    sizes = dict.fromkeys(built.content, MIB)
    with _cartridge(folder / "library", int(count * 1.2) + 512, own_sessions(folder)) as session:
        uuid = session.format()
        with session.open_for_writing(uuid) as writing:
            sink = writing.create("package.tar")
            length = write_part(sink.write, inventory, built.inventory, 1, sizes, lambda _: [block])
            sink.finish()
            writing.commit()
        drop_caches()
        path = sorted(built.content)[count * 2 // 3]
        began = time.perf_counter()
        with _watched() as moves, session.open_for_reading() as reader:
            entry = reader.find("package.tar")
            span = read_head(_Stream(reader.read(entry)), 1).layout().find(path)
            got = b"".join(reader.read(entry, span.offset, span.length))
        taken = time.perf_counter() - began
    if got != block:
        raise HardwareError("the recalled file is not the one that was written")
    console.print(
        f"recall one 1 MiB file out of a tar of {length / 1024 / MIB:.2f} GiB with {count} files: "
        f"{moves.bytes / MIB:.1f} MiB read, labels and indexes included, in {taken:.2f} s\n"
    )


class _Stream:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def _scattered(folder: Path, recalls: int) -> None:
    """Files of 256 KiB all over a cartridge, asked for in any order."""
    chance = random.Random(7)
    tars = {f"package-{number:04}.tar": 4 * MIB for number in range(recalls // 2)}
    with _cartridge(folder / "library", 5 * len(tars) + 512, own_sessions(folder)) as session:
        uuid = session.format()
        block = os.urandom(4 * MIB)
        with session.open_for_writing(uuid) as writing:
            for path in tars:
                sink = writing.create(path)
                sink.write(block)
                sink.finish()
            writing.commit()
        places = [(chance.choice(list(tars)), chance.randrange(0, 15 * MIB // 4)) for _ in range(recalls)]
        drop_caches()
        began = time.perf_counter()
        with session.open_for_reading() as reader, _watched() as moves:
            entries = {entry.path: entry for entry in reader.files()}
            _recall(reader, [Wanted(at, entries[path], at, 256 * 1024) for path, at in places], block)
        taken = time.perf_counter() - began
        lines = [
            f"{recalls} recalls of 256 KiB, scattered over {len(tars)} tars: {taken:.2f} s, "
            f"{moves.bytes / MIB:.0f} MiB read, {moves.back} times backwards, {moves.again} blocks read again"
        ]
        lines += _by_mount(folder, places, block)
    console.print("\n".join(lines) + "\n")


def _recall(reader: TapeReader, wanted: list[Wanted[int]], block: bytes) -> None:
    for item, pieces in reader.in_tape_order(wanted):
        if b"".join(pieces) != block[item.key : item.key + 256 * 1024]:
            raise HardwareError("a recalled range is not the one that was written")


def _by_mount(folder: Path, places: list[tuple[str, int]], block: bytes) -> list[str]:
    """The same ranges by the reference's mount, in the order in which they were asked for, as FUSE gets them."""
    tools = _reference(folder)
    if tools is None:
        return ["(the reference LTFS is not installed, or may not mount here)"]
    drop_caches()

    def read(point: str) -> None:
        for path, at in places:
            with open(os.path.join(point, path), "rb", buffering=0) as file:
                if os.pread(file.fileno(), 256 * 1024, at) != block[at : at + 256 * 1024]:
                    raise HardwareError("the mount gives something else")

    taken = _timed(tools, str(folder / "library" / BARCODE), read)
    return [f"the same by the reference's FUSE mount, in the order asked: {taken:.2f} s, mounting included"]


def _timed(tools: Tools, cartridge: str, act: Callable[[str], None]) -> float:
    began = time.perf_counter()
    with tools.mount(cartridge, "bench") as mounted:
        act(mounted.point)
        taken = time.perf_counter() - began
        mounted.unmount()
    return taken
