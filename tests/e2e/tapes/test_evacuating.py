"""A cartridge is a volume: it is evacuated and retired as one, by its barcode."""

import httpx
import pytest

from tests.support.nodes import eventually
from tests.support.patience import PATIENCE
from tests.support.prometheus import WatchedBench
from tests.support.serving import make_token
from tests.support.tapes import TapeBench
from vault.catalog import packages
from vault.custody import record
from vault.errors import Refused
from vault.model import CopyState, VolumeMode
from vault.tape_model import CartridgeState

TWO = ("VLT001L8", "VLT002L8")


class TapeNode(WatchedBench, TapeBench):
    """A node with a tape library and a door."""


def test_a_cartridge_is_evacuated_to_another_and_retired(tmp_path):
    with TapeNode(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", b"content", filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        (other,) = set(TWO) - {first}
        bench.open_door()
        headers = {"Authorization": f"Bearer {make_token(bench.running, 'operate')}"}
        with httpx.Client(
            base_url=f"http://{bench.target}", headers=headers, timeout=30 * PATIENCE, trust_env=False
        ) as client:
            answer = client.post(f"/v1/volumes/{first}/mode", json={"mode": "evacuating"})
            assert answer.status_code == 200, answer.text
            assert (answer.json()["name"], answer.json()["medium"]) == (first, "tape")
            eventually(lambda: other in bench.good_tapes("Đ-1"), 60, bench.tape_problem)
            bench.settle()
            assert client.post(f"/v1/volumes/{first}/mode", json={"mode": "retired"}).status_code == 200
            assert client.get(f"/v1/volumes/{first}").json()["mode"] == "retired"
            assert client.get("/v1/volumes/VLT009L8").json()["code"] == "no-such-volume"
        bench.shut_door()


def test_a_cartridge_that_was_evacuated_and_retired_may_be_used_again(tmp_path):
    with TapeNode(tmp_path, TWO) as bench:
        desk = bench.running.tape_desk
        bench.deposit("Đ-1", b"content", filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        (other,) = set(TWO) - {first}
        with pytest.raises(Refused) as refused:
            desk.format(first, "tape-1", first, "user:test")
        assert refused.value.code == "cartridge-needed"
        assert f"vaultctl volumes set-state {first} retired" in refused.value.remedy
        bench.set_mode(first, VolumeMode.EVACUATING)
        eventually(lambda: other in bench.good_tapes("Đ-1"), 60, bench.tape_problem)
        bench.settle()
        with pytest.raises(Refused):
            desk.format(first, "tape-1", first, "user:test")
        bench.set_mode(first, VolumeMode.RETIRED)
        with pytest.raises(Refused) as refused:
            desk.format(first, "tape-1", "", "user:test")
        assert refused.value.code == "cartridge-not-blank"
        assert bench.tape_copies("Đ-1")[first, 1].state is CopyState.GOOD, "nothing was touched yet"
        with bench.running.catalogue.write() as tx:
            copy = bench.tape_copies("Đ-1")[other, 1]
            record.doubted(bench.running.custodian, tx, packages.version(tx, "Đ-1", 1), copy, "a test")
        with pytest.raises(Refused) as refused:
            desk.format(first, "tape-1", first, "user:test")
        assert refused.value.code == "cartridge-needed"
        assert "Đ-1 v1" in refused.value.message
        bench.settle()
        shown = desk.format(first, "tape-1", first, "user:test")
        assert (shown.cartridge.state, shown.volume.mode) == (CartridgeState.APPENDABLE, VolumeMode.ACTIVE)
        assert bench.good_tapes("Đ-1") == {other}
        bench.set_mode(other, VolumeMode.READ_ONLY)
        bench.deposit("Đ-2", b"more", filename="tệp")
        assert bench.wait_for_tape("Đ-2") == first
        bench.settle()
        bench.assert_ledger()


def test_an_order_to_erase_looks_again_when_its_turn_comes(tmp_path, monkeypatch):
    """It waits for the library, where a session may write to that cartridge first."""
    with TapeNode(tmp_path) as bench:
        desk = bench.running.tape_desk
        librarian = bench.running.librarians["lib"]
        call = librarian.call

        def written_meanwhile(act):
            if not bench.good_tapes("Đ-1"):
                bench.deposit("Đ-1", b"content", filename="tệp")
                bench.wait_for_tape("Đ-1")
            return call(act)

        eventually(lambda: "VLT001L8" in {shown.cartridge.barcode for shown in desk.all()}, 30, bench.tape_problem)
        monkeypatch.setattr(librarian, "call", written_meanwhile)
        with pytest.raises(Refused) as refused:
            desk.format("VLT001L8", "tape-1", "VLT001L8", "user:test")
        assert refused.value.code == "cartridge-needed"
        bench.settle()
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
