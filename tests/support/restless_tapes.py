"""A process that runs a node with a tape library and works without a pause, until it is killed:
``python restless_tapes.py FOLDER SEED``. What was acknowledged stands in ``FOLDER/promised``, as with
:mod:`tests.support.restless_node`. The library suffers from what libraries suffer from."""

import logging
import random
import sys
import threading
import time
from pathlib import Path

import structlog

from hardware.tape.virtual import DOOR, FAULTS, Fault
from tests.support.restless_node import Diary, depose
from tests.support.tapes import TapeBench

CARTRIDGES = tuple(f"VLT0{number:02}L8" for number in range(1, 13))
CAPACITY_MB = 64
"""So little that sessions meet the end of a cartridge all the time."""


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    bench = TapeBench(folder, CARTRIDGES, capacity_mb=CAPACITY_MB, slots=16)
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
