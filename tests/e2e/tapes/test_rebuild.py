"""A cartridge alone, in another node, restores everything on it."""

import contextlib
import shutil

import pytest

from tests.support.nodes import VIETNAMESE, bag, eventually, tar_of
from tests.support.tapes import TapeBench
from vault.catalog import cartridges
from vault.catalog.engine import Catalogue
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


def known(bench: TapeBench) -> CartridgeState | None:
    """The state of the cartridge in the catalogue, once that has it."""
    with bench.running.catalogue.read() as tx:
        found = cartridges.get(tx, "VLT001L8")
    return None if found is None else found.state
