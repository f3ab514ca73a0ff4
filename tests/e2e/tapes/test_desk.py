"""What a person does with cartridges: practise, check out and in, format; and what the node asks a person for."""

import shutil

import pytest

from tests.support.nodes import eventually
from tests.support.tapes import TapeBench
from vault.catalog import packages
from vault.errors import Refused
from vault.model import EventType, RecallState
from vault.tape_model import CartridgeState, Whereabouts


def test_a_cartridge_on_the_shelf_is_asked_for_and_answers_when_it_is_brought(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"content" * 1000, filename="tệp")
        barcode = bench.wait_for_tape("Đ-1")
        bench.settle()
        desk = bench.running.tape_desk
        gone = desk.checkout(barcode, "kho 2, giá 3", "user:test")
        assert gone.cartridge.whereabouts is Whereabouts.VAULTED
        assert bench.good_tapes("Đ-1") == {barcode}, "what is on a shelf is as good as before"
        with bench.running.catalogue.read() as tx:
            version = packages.version(tx, "Đ-1", 1)
        for volume in ("a", "b"):
            shutil.rmtree(bench.object_path(volume, "Đ-1"))
            bench.order(volume=volume)
        asked = eventually(desk.requests, 30, bench.tape_problem)
        assert asked[0].barcode == barcode
        assert "Đ-1" in asked[0].reason
        assert version is not None
        desk.checkin(barcode, "user:test")
        assert desk.requests() == []
        eventually(lambda: bench.events(EventType.RECALL_ENDED), 60, bench.tape_problem)
        bench.settle()
        assert bench.events(EventType.MOUNT_REQUESTED, volume=barcode)
        assert bench.events(EventType.MOUNT_ENDED, volume=barcode)
        assert bench.running.recaller.request(version, (), "user:test").state in (
            RecallState.WAITING,
            RecallState.READY,
        )


def test_somebody_elses_data_are_recognised_and_destroyed_only_where_the_barcode_is_typed(tmp_path):
    with TapeBench(tmp_path, ()) as bench:
        desk = bench.running.tape_desk
        made = desk.make_practice("lib", "OLD001L8", 256 << 20)
        assert made.cartridge.state is CartridgeState.SCRATCH
        foreign = tmp_path / "library" / "OLD001L8"
        (foreign / "0_0_E").unlink()
        (foreign / "0_0_R").write_bytes(b"somebody's backup" * 100)
        (foreign / "0_1_E").touch()
        bench.deposit("Đ-1", b"content", filename="tệp")
        eventually(lambda: bench.cartridge("OLD001L8").state is CartridgeState.FOREIGN, 30, bench.tape_problem)
        assert (foreign / "0_0_R").read_bytes().startswith(b"somebody's backup")
        with pytest.raises(Refused) as refused:
            desk.format("OLD001L8", "tape-1", "OLD002L8", "user:test")
        assert refused.value.code == "cartridge-not-blank"
        assert "--erase OLD001L8" in refused.value.remedy
        desk.format("OLD001L8", "tape-1", "OLD001L8", "user:test")
        assert bench.wait_for_tape("Đ-1") == "OLD001L8"
        bench.settle()
        with pytest.raises(Refused) as refused:
            desk.format("OLD001L8", "tape-1", "OLD001L8", "user:test")
        assert refused.value.code == "cartridge-needed"
