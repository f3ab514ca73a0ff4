"""A cartridge alone, in another node, restores everything on it."""

import shutil

from tests.support.nodes import VIETNAMESE, bag, tar_of
from tests.support.tapes import TapeBench
from vault.recovery.rebuild import rebuild
from vault.recovery.tape import tape_sources
from vault.signing import NodeKey
from vault.tape_model import CartridgeState


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
