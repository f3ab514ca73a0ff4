"""A check that is stopped or killed in the middle, over and over, goes on where it was: little is read twice.

Everything is smaller than in life: a mark every 0.3 seconds, a check of a few seconds. ``KHOSO_STOPS`` says how often,
``KHOSO_SEED`` repeats the moments.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.checking_node import MARK_EVERY, RATE, bytes_read
from tests.support.checks import bring_forward
from tests.support.nodes import Bench, bag, eventually, tar_of
from vault.catalog.engine import Catalogue
from vault.catalog.schema import copies, node
from vault.clock import utcnow
from vault.volumes.medium import BUFFER_BYTES

STOPS = int(os.environ.get("KHOSO_STOPS", "4"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
LONG_AGO = timedelta(days=100)
FILES, LARGE = 2, 40_000_000
SIZE = FILES * LARGE
VOLUMES = 2
AT_HAND = 2 * BUFFER_BYTES
"""What a check reads before it looks whether it is to stop: one buffer, and another ahead."""
BESIDE = 3_000_000
"""What a node reads beside the content."""
STOPPED = VOLUMES * AT_HAND + BESIDE
KILLED = int(VOLUMES * (RATE * MARK_EVERY.total_seconds() + AT_HAND + BUFFER_BYTES) + BESIDE)
REPO = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(120 + 15 * STOPS)
def test_whenever_it_is_stopped_a_check_reads_little_again(tmp_path):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    with Bench(tmp_path) as bench:
        files = {f"{number}.bin": chance.randbytes(LARGE) for number in range(FILES)}
        bench.deposit("D-1", tar_of(bag(files)))
        bench.settle()
        url = bench.settings.catalog.url
    in_the_middle = 0
    again: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(STOPS):
        before = _come_to(url)
        if before == VOLUMES * SIZE:
            with _catalogue(url) as catalogue:
                bring_forward(catalogue, LONG_AGO)
            before = 0
        killed = chance.random() < 0.5
        read = _run_and_stop(tmp_path, chance.uniform(0.1, 2.5), killed=killed)
        after = _come_to(url)
        in_the_middle += 0 < after < VOLUMES * SIZE
        again[killed].append(read - (after - before))
    print(
        f"{STOPS} stops, {in_the_middle} in the middle of a check;"
        f" bytes read again: stopped {again[False]}, killed {again[True]}"
    )
    assert in_the_middle >= STOPS / 2
    assert max(again[False], default=0) < STOPPED
    assert max(again[True], default=0) < KILLED


def _run_and_stop(folder: Path, seconds: float, *, killed: bool) -> int:
    """Let it check for a moment, and stop or kill it; how many bytes it read since it was running."""
    for name in ("running", "stopped"):
        (folder / name).unlink(missing_ok=True)
    with open(folder / "output", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.checking_node", str(folder)],
            cwd=REPO, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        try:
            eventually((folder / "running").exists, 60, lambda: (folder / "output").read_text()[-3000:])
            # Not a wait for anything: the random instant is the point.
            time.sleep(seconds)
            assert process.poll() is None, (folder / "output").read_text()[-3000:]
            if killed:
                end = bytes_read(process.pid)
            else:
                process.terminate()
                assert process.wait(60) == 0, (folder / "output").read_text()[-3000:]
                end = int((folder / "stopped").read_text())
        finally:
            process.kill()
            process.wait(30)
    return end - int((folder / "running").read_text())


@contextmanager
def _catalogue(url: str) -> Iterator[Catalogue]:
    catalogue = Catalogue.open(url)
    try:
        yield catalogue
    finally:
        catalogue.close()


def _come_to(url: str) -> int:
    """How many bytes of the copies are checked, as the catalogue has it."""
    with _catalogue(url) as catalogue, catalogue.read() as tx:
        kept = tx.connection.scalars(sa.select(node.c.value).where(node.c.key.startswith("check-progress:"))).all()
        proved = tx.connection.scalars(sa.select(copies.c.proved_at)).all()
    done = sum(utcnow() - moment < LONG_AGO / 2 for moment in proved)
    return min(VOLUMES * SIZE, done * SIZE + sum(one["read"] + one["offset"] for one in kept))
