"""Processes that run a node with a tape library and work without a pause, until they are killed.

For each line ``FOLDER SEED spoils`` (or ``spares``) on standard input one is forked, so that none of them has to read
the program's modules anew; its number is told, and after it has ended how it did. What was acknowledged stands in
``FOLDER/promised``, as with :mod:`tests.support.restless_node`. The library suffers from what libraries suffer from;
where it ``spoils``, drive and medium fail too, at a write or a read now and then."""

import logging
import os
import random
import sys
import threading
import time
from pathlib import Path

import structlog

from hardware.errors import Corrupted
from hardware.ltfs import Mark, Room, VirtualMedium
from hardware.tape.errors import DeviceFault
from hardware.tape.virtual import DOOR, FAULTS, Fault
from tests.support.restless_node import Diary, depose
from tests.support.tapes import TapeBench

CARTRIDGES = tuple(f"VLT0{number:02}L8" for number in range(1, 25))
SLOTS = 30
SELDOM = 600
"""One write or read of so many fails."""
CAPACITY_MB = 64
"""So little that sessions meet the end of a cartridge all the time."""


def main() -> None:
    for line in sys.stdin:
        folder, seed, medium = line.rsplit(maxsplit=2)
        child = os.fork()
        if not child:
            if medium == "spoils":
                spoil(random.Random(int(seed)))
            work(Path(folder), int(seed))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def work(folder: Path, seed: int) -> None:
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    bench = TapeBench(folder, CARTRIDGES, capacity_mb=CAPACITY_MB, slots=SLOTS)
    promised = Diary(folder / "promised")
    (folder / "starting").touch()
    bench.start()
    (folder / "running").touch()
    chance = random.Random(seed)
    threading.Thread(target=depose, args=(bench, random.Random(seed), promised), daemon=True).start()
    while True:
        suffer(folder / "library", chance)
        # The pause between two faults; nothing waits for what happens in it.
        time.sleep(chance.uniform(0.1, 0.6))


def spoil(chance: random.Random) -> None:
    """From now on a write fails, or says that it was done and was not, and a read fails, each once in a while."""
    write, read = VirtualMedium.write, VirtualMedium.read

    def written(medium: VirtualMedium, record: bytes | bytearray | memoryview) -> Room:
        if not chance.randrange(SELDOM):
            kind = chance.choice(("defect", "error", "lie"))
            if kind == "defect":
                raise DeviceFault("The drive reports a defect (4/44/00).")
            if kind == "error":
                raise Corrupted("The medium cannot be written there (3/0C/00).")
            record = bytes(len(record))
        return write(medium, record)

    def was_read(medium: VirtualMedium) -> bytes | Mark:
        if not chance.randrange(SELDOM):
            raise Corrupted("The medium cannot be read there (3/11/00).")
        return read(medium)

    VirtualMedium.write = written  # type: ignore[method-assign]
    VirtualMedium.read = was_read  # type: ignore[method-assign]


def suffer(library: Path, chance: random.Random) -> None:
    kind = chance.choice(["fault", "fault", "door", "drive", "nothing"])
    if kind == "fault":
        (library / FAULTS).write_text(chance.choice(list(Fault)).value + "\n")
    elif kind != "nothing":
        name = library / (DOOR if kind == "door" else "vanished-0")
        name.touch()
        time.sleep(chance.uniform(0.0, 0.3))
        name.unlink()


if __name__ == "__main__":
    main()
