"""A process that runs a node and works without a pause, until it is killed: ``python restless_node.py FOLDER SEED``.

Everything that was acknowledged is written to ``FOLDER/promised`` first, one JSON line each, made durable: what stands
there the depositor has been told. Damages that it does are announced in ``FOLDER/damaged`` before they are done.
"""

import io
import json
import logging
import os
import random
import sys
import threading
import time
import uuid
from pathlib import Path

import structlog

from tests.support.nodes import Bench, bag, tar_of
from vault.catalog import copies, listing
from vault.errors import Refused, VaultError
from vault.model import CopyState


class Diary:
    """A file to which lines are added durably."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()

    def add(self, **facts: object) -> None:
        with self._lock:
            os.write(self._fd, json.dumps(facts).encode() + b"\n")
            os.fsync(self._fd)


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    bench = Bench(folder)
    promised, damaged = Diary(folder / "promised"), Diary(folder / "damaged")
    (folder / "starting").touch()
    bench.start()
    (folder / "running").touch()
    chance = random.Random(seed)
    for number in range(2):
        worker = threading.Thread(target=depose, args=(bench, random.Random(seed + number), promised), daemon=True)
        worker.start()
    while True:
        if any(damage(bench, chance, damaged) for _ in range(10)):
            bench.order()
        # The pause between two damages; nothing waits for what happens in it.
        time.sleep(0.2)


def depose(bench: Bench, chance: random.Random, promised: Diary) -> None:
    """Deposit new packages, new versions, and the same again."""
    mine: list[tuple[str, int]] = []
    while True:
        if mine and chance.random() < 0.4:
            identifier, head = chance.choice(mine)
        else:
            identifier, head = f"gói/{uuid.uuid4()}", 0
        files = bag({f"tệp {n}": chance.randbytes(chance.randrange(1, 40_000)) for n in range(3)})
        try:
            body = tar_of(files)
            accepted = bench.receive(identifier, io.BytesIO(body), content_length=len(body), if_match=head or None)
        except Refused:
            continue
        except VaultError as error:
            print(f"not taken: {error}", file=sys.stderr)
            continue
        bench.remember(identifier, accepted.version, files)
        promised.add(
            identifier=identifier,
            number=accepted.version,
            files=bench.kept[identifier, accepted.version].files,
            ingest=accepted.ingest_id,
        )
        mine = [(i, n) for i, n in mine if i != identifier] + [(identifier, accepted.version)]
        mine = mine[-10:]


def damage(bench: Bench, chance: random.Random, damaged: Diary) -> bool:
    """Spoil one content file of a package that is good on both volumes; tell whether that was done."""
    with bench.running.catalogue.read() as tx:
        listed = listing.page(tx, listing.Wanted(), limit=1000)
        if not listed:
            return False
        package = chance.choice(listed)
        states = [copy.state for copy in copies.of_package(tx, package.id)]
    if len(states) < 2 * package.head or any(state is not CopyState.GOOD for state in states):
        return False
    # Always the same copy of a package: the other one may be needed to repair a damage that nobody has seen yet.
    volume = "ab"[sum(package.identifier.encode()) % 2]
    root = bench.object_path(volume, package.identifier)
    try:
        files = sorted(p for p in root.rglob("*") if p.is_file() and "content" in p.parts and p.stat().st_size)
        if not files or json.loads((root / "inventory.json").read_bytes())["head"] != f"v{package.head}":
            return False
        path = chance.choice(files)
        damaged.add(identifier=package.identifier, volume=volume, path=str(path))
        # Beside it and then in its place, as bits rot in a file that nobody holds open.
        spoilt = path.with_name(path.name + "~")
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1
        spoilt.write_bytes(data)
        spoilt.rename(path)
        return True
    except FileNotFoundError:
        # It was being replaced just now.
        return False


if __name__ == "__main__":
    main()
