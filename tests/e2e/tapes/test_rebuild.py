"""A cartridge alone, in another node, restores everything on it."""

import contextlib
import shutil

import pytest

from tests.support.faults import flip
from tests.support.nodes import VIETNAMESE, bag, eventually, tar_of
from tests.support.tapes import TapeBench
from vault.catalog import cartridges, packages
from vault.catalog.engine import Catalogue
from vault.custody import record as custody_record
from vault.custody.modes import change_mode
from vault.model import CopyState, VolumeMode
from vault.recovery.rebuild import rebuild
from vault.recovery.tape import tape_sources
from vault.signing import NodeKey
from vault.tape_model import CartridgeState
from vault.tapes import record


def test_a_cartridge_alone_restores_everything_on_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with TapeBench(old) as bench:
        bench.deposit("Đ-1", tar_of(bag(VIETNAMESE)), files=bag(VIETNAMESE))
        bench.wait_for_tape("Đ-1", 1)
        bench.deposit("Đ-1", b"another content", filename="tệp", if_match=1)
        bench.deposit("Đ-2", b"content", filename="tệp")
        bench.wait_for_tape("Đ-1", 2)
        bench.wait_for_tape("Đ-2")
        bench.settle()
        kept = bench.kept
    shutil.copytree(old / "library", new / "library")
    other = TapeBench(new)
    (new / "state").mkdir()
    with tape_sources(other.settings) as sources:
        assert [source.name for source in sources] == ["VLT001L8"]
        report = rebuild(other.settings, sources, NodeKey.load_or_create(new / "state" / "node.key"))
    assert report.versions == 3
    other.kept = kept
    with other:
        other.settle(120)
        other.assert_kept(["a", "b"])
        other.assert_ledger()
        assert other.cartridge("VLT001L8").state is CartridgeState.APPENDABLE
        assert other.good_tapes("Đ-1", 2) == {"VLT001L8"}


@pytest.mark.parametrize("state", [CartridgeState.SCRATCH, CartridgeState.FOREIGN])
def test_a_cartridge_that_was_blank_when_the_backup_was_made_is_known_for_what_it_is(tmp_path, state):
    """The backup says that it is scratch (or, where the daemon met it since, somebody else's); the copies on it are the
    archive's, are read, and count."""
    with TapeBench(tmp_path) as bench:
        eventually(lambda: known(bench) is CartridgeState.SCRATCH, 30, bench.tape_problem)
        bench.running.backups.make()
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
    (tmp_path / "state" / "catalog.db").unlink()
    with tape_sources(bench.settings) as sources:
        report = rebuild(bench.settings, sources, NodeKey.load_or_create(tmp_path / "state" / "node.key"))
    assert (report.base["kind"], report.counts.get("foreign-volume")) == ("backup", None)
    if state is CartridgeState.FOREIGN:
        there = Catalogue.open(f"sqlite:///{tmp_path}/state/catalog.db")
        with contextlib.closing(there) as catalogue, catalogue.write() as tx:
            record.state(tx, "node:test", "VLT001L8", state, "It is not blank.")
    with bench:
        assert bench.wait_for_tape("Đ-1") == "VLT001L8"
        assert known(bench) is CartridgeState.APPENDABLE
        bench.settle(120)
        bench.assert_kept(["a", "b"])
        bench.assert_ledger()


def test_a_cartridge_that_was_formatted_anew_since_the_backup_is_known_for_what_it_is(tmp_path):
    """It bears another volume under its barcode. What the backup had on it is gone; what is on it now counts."""
    with TapeBench(tmp_path, barcodes=("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-1", b"content", filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.running.backups.make()
        change_mode(bench.running.custodian, first, VolumeMode.EVACUATING, "user:test")
        eventually(lambda: len(bench.good_tapes("Đ-1")) == 2, 60, bench.tape_problem)
        (second,) = bench.good_tapes("Đ-1") - {first}
        with bench.running.catalogue.write() as tx:
            old = next(copy for (name, _), copy in bench.tape_copies("Đ-1").items() if name == first)
            version = packages.need_version(tx, old.version_id)
            # As one that was found damaged and made anew elsewhere.
            custody_record.lost(bench.running.custodian, tx, version, old, "user:test", "erased", CopyState.RETIRED)
        bench.running.tape_desk.format(first, "tape-1", first, "user:test")
        change_mode(bench.running.custodian, first, VolumeMode.ACTIVE, "user:test")
        change_mode(bench.running.custodian, second, VolumeMode.READ_ONLY, "user:test")
        bench.deposit("Đ-2", b"more content", filename="tệp")
        assert bench.wait_for_tape("Đ-2") == first
        bench.settle()
    (tmp_path / "state" / "catalog.db").unlink()
    with tape_sources(bench.settings) as sources:
        report = rebuild(bench.settings, sources, NodeKey.load_or_create(tmp_path / "state" / "node.key"))
    assert report.counts["medium-replaced"] == 1
    assert "foreign-volume" not in report.counts
    with bench:
        assert bench.wait_for_tape("Đ-2") == first
        bench.settle(120)
        assert bench.good_tapes("Đ-1") == {second}
        assert bench.cartridge(first).state is CartridgeState.APPENDABLE
        bench.deposit("Đ-3", b"still more", filename="tệp")
        bench.wait_for_tape("Đ-3")
        bench.settle()
        bench.assert_kept(["a", "b"])
        bench.assert_ledger()


def test_a_damaged_copy_that_was_replaced_long_ago_is_not_damage_again(tmp_path):
    """It stays on its cartridge as evidence, where a rebuild finds it; the copy in its place is good."""
    with TapeBench(tmp_path, barcodes=("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-1", b"to be spoilt" * 100, filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        bench.settle()
        spoilt = next(path for path in bench.records(first) if b"to be spoilt" in path.read_bytes())
        flip(spoilt, spoilt.read_bytes().index(b"to be spoilt"))
        bench.order(volume=first)
        eventually(lambda: bench.good_tapes("Đ-1") not in (set(), {first}), 60, bench.tape_problem)
        bench.settle()
    with tape_sources(bench.settings) as sources:
        rebuild(bench.settings, sources, NodeKey.load_or_create(tmp_path / "state" / "node.key"))
    with bench:
        bench.settle(120)
        states = {name: copy.state for (name, _), copy in bench.tape_copies("Đ-1").items()}
        assert states == {first: CopyState.RETIRED, "VLT002L8": CopyState.GOOD}
        assert bench.cartridge(first).state is CartridgeState.SUSPECT


def known(bench: TapeBench) -> CartridgeState | None:
    """The state of the cartridge in the catalogue, once that has it."""
    with bench.running.catalogue.read() as tx:
        found = cartridges.get(tx, "VLT001L8")
    return None if found is None else found.state
