"""A node with tapes is killed at random moments while its library misbehaves: no copy is called good that is not on
tape, no good one is lost, and it finds its way back by itself.

``KHOSO_TAPE_KILLS`` says how often, ``KHOSO_SEED`` repeats the moments (the threads' timing cannot be repeated).
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hardware.tape.own_session import OwnWriteSession
from hardware.tape.virtual import DOOR, FAULTS
from tests.support.nodes import Kept, eventually
from tests.support.restless_tapes import CAPACITY_MB, CARTRIDGES, SLOTS
from tests.support.tapes import TapeBench, read_tar_from, tape_path
from vault.catalog import Catalogue, copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.model import CopyState, EventType, MediumClass
from vault.tape_model import CartridgeState

KILLS = int(os.environ.get("KHOSO_TAPE_KILLS", "6"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
A_NODE = min(5, max(1, KILLS // 2))
"""So many kills a node suffers before everything is looked at, and another one begins with fresh cartridges."""
REPO = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.timeout(900 + 60 * KILLS)
def test_no_copy_is_called_good_that_is_not_on_tape_however_often_it_is_killed(tmp_path):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    promised = good = 0
    with _nodes() as nodes:
        for first in range(0, KILLS, A_NODE):
            folder = tmp_path / str(first)
            folder.mkdir()
            spoils = first // A_NODE % 2 == 1
            for _ in range(min(A_NODE, KILLS - first)):
                _run_and_kill(nodes, folder, chance, spoils=spoils)
                good += _assert_good_is_on_tape(folder)
            promised += _look(folder, spoils=spoils)
            shutil.rmtree(folder)
    print(f"{KILLS} kills, {promised} versions promised, {good} good copies looked at right after a kill")
    assert promised


@contextlib.contextmanager
def _nodes() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.restless_tapes"],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    with process:
        yield process


def _run_and_kill(nodes: subprocess.Popen[str], folder: Path, chance: random.Random, *, spoils: bool) -> None:
    for name in ("starting", "running"):
        (folder / name).unlink(missing_ok=True)
    assert nodes.stdin
    assert nodes.stdout
    print(folder, chance.randrange(2**31), "spoils" if spoils else "spares", file=nodes.stdin, flush=True)
    child = int(nodes.stdout.readline())
    try:
        eventually((folder / "running").exists, 90, lambda: (folder / "output").read_text()[-3000:])
        # Not a wait for anything: the random instant of the kill is the point.
        time.sleep(chance.uniform(0.0, 6.0))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        ended = int(nodes.stdout.readline())
    assert ended == -signal.SIGKILL, (folder / "output").read_text()[-3000:]


def _assert_good_is_on_tape(folder: Path) -> int:
    """Before anything is settled: what the catalogue calls good is read by LTFS and tar alone."""
    with closing(Catalogue.open(f"sqlite:///{folder}/state/catalog.db")) as catalogue, catalogue.read() as tx:
        tapes = [volume for volume in catalog_volumes.all(tx) if volume.medium is MediumClass.TAPE]
        found = [
            (copy, packages.need_version(tx, copy.version_id))
            for tape in tapes
            for copy in copies.in_states(tx, (CopyState.GOOD,), 100_000, tape.id)
        ]
    for copy, version in found:
        tar = read_tar_from(folder / "library" / copy.volume, tape_path(version.identifier, version.number))
        assert json.loads(tar["inventory.json"])["head"] == f"v{version.number}"
    return len(found)


def _look(folder: Path, *, spoils: bool) -> int:
    """Start it here, without faults: it settles everything by itself, and nothing of what was promised is missing."""
    for name in (DOOR, FAULTS, "vanished-0"):
        (folder / "library" / name).unlink(missing_ok=True)
    bench = TapeBench(folder, CARTRIDGES, capacity_mb=CAPACITY_MB, slots=SLOTS)
    with bench:
        for line in (folder / "promised").read_text().splitlines():
            said = json.loads(line)
            bench.kept[said["identifier"], said["number"]] = Kept(said["identifier"], said["number"], said["files"])
        bench.settle(300)
        bench.assert_ledger()
        bench.assert_kept("ab")
        for identifier, number in bench.kept:
            tapes = bench.good_tapes(identifier, number)
            assert tapes
            assert spoils or len(tapes) == 1
            for barcode in tapes:
                bench.assert_on_tape(identifier, number, barcode)
        # A library that misbehaves is no reason to doubt a cartridge.
        doubted = {CartridgeState.SUSPECT, CartridgeState.FOREIGN} if spoils else set()
        states = {bench.cartridge(barcode).state for barcode in CARTRIDGES}
        assert states <= {CartridgeState.SCRATCH, CartridgeState.APPENDABLE, CartridgeState.FULL} | doubted
        assert "Traceback" not in (folder / "output").read_text()
    return len(bench.kept)


def test_a_session_that_says_it_succeeded_and_lost_its_data_makes_no_copy_good(tmp_path, monkeypatch):
    commit = OwnWriteSession.commit
    lost = []

    def lies(self):
        committed = commit(self)
        if not lost:
            cartridge = tmp_path / "library" / "VLT001L8"
            record = next(path for path in sorted(cartridge.glob("1_*_R")) if b"promise " * 100 in path.read_bytes())
            record.write_bytes(record.read_bytes().replace(b"promise ", b"nothing ", 1))
            lost.append(record)
        return committed

    monkeypatch.setattr(OwnWriteSession, "commit", lies)
    with TapeBench(tmp_path, ("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-1", b"promise " * 200_000, filename="tệp")
        assert bench.wait_for_tape("Đ-1") == "VLT002L8"
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, "VLT002L8")
        assert bench.cartridge("VLT001L8").state is CartridgeState.SUSPECT
        proofs = [e for e in bench.events(EventType.FIXITY_CHECK, volume="VLT001L8") if e.outcome == "success"]
        assert proofs == []
        assert lost


def test_what_is_larger_than_a_cartridge_is_refused_with_its_reason(tmp_path):
    with TapeBench(tmp_path, capacity_mb=64) as bench:
        bench.deposit("lớn", os.urandom(70_000_000), filename="tệp")
        told = eventually(lambda: bench.events(EventType.TAPE_REFUSED), 60, bench.tape_problem)
        assert "no cartridge of the set" in str(told[0].detail)
        bench.deposit("nhỏ", b"fits", filename="tệp")
        bench.wait_for_tape("nhỏ")
        assert bench.cartridge("VLT001L8").state is CartridgeState.APPENDABLE
