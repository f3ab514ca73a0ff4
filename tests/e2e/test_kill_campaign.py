"""A node is killed at random moments, over and over: nothing acknowledged is lost, and it always finds its way back.

``KHOSO_KILLS`` says how often, ``KHOSO_SEED`` repeats the moments (the threads' timing cannot be repeated).
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.nodes import Bench, Kept, assert_receipt, eventually
from vault.model import CopyState, EventType

KILLS = int(os.environ.get("KHOSO_KILLS", "12"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
LOOK_EVERY = 5
FULL = 60
REPO = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600 + 12 * KILLS)
def test_nothing_acknowledged_is_lost_however_often_it_is_killed(tmp_path):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    promised = damaged = seen = generation = 0
    folder = tmp_path / "0"
    folder.mkdir()
    for kill in range(1, KILLS + 1):
        _run_and_kill(folder, chance)
        if kill % LOOK_EVERY == 0 or kill == KILLS:
            seen = _look(folder, seen)
            if seen > FULL or kill == KILLS:
                # So that a long campaign does not spend its time on reading what it has read before.
                promised += seen
                damaged += len((folder / "damaged").read_text().splitlines())
                shutil.rmtree(folder)
                generation, seen = generation + 1, 0
                folder = tmp_path / str(generation)
                folder.mkdir()
    print(f"{KILLS} kills, {promised} versions promised, {damaged} damages, {generation} nodes")
    assert promised > KILLS / 5


def _run_and_kill(folder: Path, chance: random.Random) -> None:
    """Start it, let it work for a moment, and end it as a power cut ends the process."""
    for name in ("starting", "running"):
        (folder / name).unlink(missing_ok=True)
    with open(folder / "output", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.restless_node", str(folder), str(chance.randrange(2**31))],
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(folder),
        )
        try:
            # One kill in five comes while it settles what the last one left.
            mark = "starting" if chance.random() < 0.2 else "running"
            eventually((folder / mark).exists, 60, lambda: (folder / "output").read_text()[-3000:])
            # Not a wait for anything: the random instant of the kill is the point.
            time.sleep(chance.uniform(0.0, 0.3 if mark == "starting" else 2.0))
            assert process.poll() is None, (folder / "output").read_text()[-3000:]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)


def _environment(folder: Path) -> dict[str, str]:
    """Compiled modules are kept, so that most of each round is work and not start-up."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPYCACHEPREFIX": str(folder.parent / "pycache")}


def _look(folder: Path, seen: int) -> int:
    """Start it here, let it find its way back by itself, and hold everything against what was promised."""
    bench = Bench(folder)
    with bench:
        lines = (folder / "promised").read_text().splitlines()
        for line in lines:
            said = json.loads(line)
            bench.kept[said["identifier"], said["number"]] = Kept(said["identifier"], said["number"], said["files"])
        order = bench.order()
        # Damages are found, policy holds again, deposits are settled: all of it unasked but for the verification.
        eventually(lambda: bench.verification(order.id).finished_at, 300, bench.unsettled)
        bench.settle(300)
        bench.assert_sound()
        bench.assert_kept("ab")
        assert {c.state for c in bench.all_copies()} <= {CopyState.GOOD}
        _assert_receipts(bench, lines[seen:])
        _assert_evidence(bench)
        output = (folder / "output").read_text()
        assert "Traceback" not in output, output[output.index("Traceback") :][:4000]
    for volume in "ab":
        # Notes are kept by every start; what must not pile up is work that was begun.
        assert list((folder / volume / "staging").iterdir()) == []
    return len(lines)


def _assert_receipts(bench: Bench, lines: list[str]) -> None:
    """Whoever was told "stored" has a receipt in the end."""
    for line in lines:
        said = json.loads(line)
        assert_receipt(bench, bench.receipt(said["ingest"]))


def _assert_evidence(bench: Bench) -> None:
    """What stands in the catalogue as evidence lies on its volume, and the other way round."""
    for volume in "ab":
        known = {e.path for e in bench.evidence() if e.volume == volume}
        there = {f"evidence/{p.name}" for p in (bench.path(volume) / "evidence").iterdir()}
        empty = {path for path in there - known if not _holds_bytes(bench.path(volume) / path)}
        assert known <= there
        assert there - empty <= known, (there - known, bench.events(EventType.EVIDENCE_KEPT)[-3:])


def _holds_bytes(place: Path) -> bool:
    return any(p.is_file() and p.name != "about.json" for p in place.rglob("*"))


def test_the_campaign_would_notice_a_loss(tmp_path):
    """The checks above, put to the test themselves: a promise whose copies are gone is a failure."""
    with Bench(tmp_path) as bench:
        bench.deposit("một", b"bytes", filename="x")
        bench.deposit("hai", b"bytes", filename="y")
        bench.settle()
        shutil.rmtree(bench.object_path("a", "một"))
        with pytest.raises((AssertionError, FileNotFoundError)):
            bench.assert_kept("ab")
