"""A cartridge that a bad drive made suspect is read through by order: intact, it is used again; damaged, it is not."""

import pytest

from hardware.tape.virtual import VirtualChanger
from tests.support.nodes import eventually
from tests.support.tape_faults import DriveFault, drive_fault, flip_bit, worn_heads
from tests.support.tapes import TapeBench
from vault.errors import NotFound, Refused
from vault.model import CopyState, EventType
from vault.tape_model import CartridgeState, Whereabouts
from vault.tapes import clearing, holding, record

WHO = "user:test"
TWO = ("VLT001L8", "VLT002L8")
ONE = TWO[0]
CONTENT = b"content " * 200_000


def clear(bench, barcode=ONE):
    """Order it, and wait until it was read."""
    bench.running.tape_desk.clear(barcode, WHO)
    return wait_read(bench, barcode)


def wait_read(bench, barcode=ONE):
    eventually(lambda: bench.running.tape_desk.one(barcode).clearing is None, 60, bench.tape_problem)
    return bench.cartridge(barcode)


def told_of(bench, barcode, key="clear"):
    found = [event for event in bench.events(EventType.CARTRIDGE_CHANGED, volume=barcode) if key in event.detail]
    return [(event.detail[key], str(event.outcome), event.agent) for event in found]


def made_suspect(bench, content=b"two"):
    """The first cartridge bears Đ-0, and becomes suspect as the drive cannot write Đ-1, which goes to the second."""
    bench.deposit("Đ-0", CONTENT, filename="tệp")
    assert bench.wait_for_tape("Đ-0") == ONE
    bench.settle()
    with drive_fault(DriveFault.WRITE_ERROR, 3, cartridge=ONE):
        bench.deposit("Đ-1", content, filename="tệp")
        assert bench.wait_for_tape("Đ-1") == TWO[1]
    bench.settle()
    assert bench.cartridge(ONE).state is CartridgeState.SUSPECT


def test_what_a_bad_drive_made_suspect_is_read_through_and_written_again(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        made_suspect(bench)
        bench.wait_told("cartridge-suspect", f"vaultctl tapes clear {ONE}")
        proved = bench.copies("Đ-0")[ONE, 1].proved_at
        with drive_fault() as watch:
            cartridge = clear(bench)
        assert (cartridge.state, cartridge.reason) == (CartridgeState.APPENDABLE, "")
        assert watch.read > len(bench.records(ONE)) / 2, "everything on it was read"
        assert bench.copies("Đ-0")[ONE, 1].proved_at > proved
        assert told_of(bench, ONE) == [("ordered", "success", WHO), ("intact", "success", WHO)]
        assert told_of(bench, ONE, "is")[-1] == ("appendable", "success", WHO)
        assert "cartridge-suspect" not in bench.told()
        # It is written again: the other one is away.
        bench.running.tape_desk.checkout(TWO[1], "", WHO)
        bench.deposit("Đ-2", b"three", filename="tệp")
        assert bench.wait_for_tape("Đ-2") == ONE
        bench.settle()
        for identifier in ("Đ-0", "Đ-2"):
            bench.assert_on_tape(identifier, 1, ONE)
        bench.assert_ledger()


def test_what_could_not_even_be_formatted_is_scratch_again(tmp_path):
    with TapeBench(tmp_path) as bench:
        with worn_heads():
            bench.deposit("Đ-1", b"one", filename="tệp")
            bench.wait_told("cartridge-suspect", ONE)
            bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        assert clear(bench).state is not CartridgeState.SUSPECT
        assert bench.wait_for_tape("Đ-1") == ONE
        bench.settle()
        assert told_of(bench, ONE)[-1] == ("intact", "success", WHO)
        assert bench.told() == {}


def test_a_damaged_copy_that_was_replaced_long_ago_speaks_against_the_cartridge(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", CONTENT, filename="tệp")
        assert bench.wait_for_tape("Đ-1") == ONE
        bench.settle()
        flip_bit(bench.library / ONE, containing=b"content content")
        assert bench.verify(volume=ONE).bad == 1
        eventually(lambda: bench.good_tapes("Đ-1") == {TWO[1]}, 30, bench.tape_problem)
        bench.settle()
        assert bench.copies("Đ-1")[ONE, 1].state is CopyState.RETIRED
        cartridge = clear(bench)
        assert cartridge.state is CartridgeState.SUSPECT
        assert "1 of 6 files on it are not right, the first: Đ-1 v1 (mismatch: v1/content/tệp)" in cartridge.reason
        assert told_of(bench, ONE)[-1] == ("damaged", "failure", WHO)
        bench.wait_told("cartridge-suspect", "Đ-1 v1 (mismatch")
        bench.assert_ledger()


def test_a_copy_that_is_found_damaged_on_the_way_is_made_anew_elsewhere(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        made_suspect(bench)
        flip_bit(bench.library / ONE, containing=b"content content")
        assert clear(bench).state is CartridgeState.SUSPECT
        eventually(lambda: bench.good_tapes("Đ-0") == {TWO[1]}, 30, bench.tape_problem)
        bench.settle()
        bench.assert_on_tape("Đ-0", 1, TWO[1])


def test_only_what_is_suspect_is_cleared(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        with pytest.raises(Refused) as refused:
            bench.running.tape_desk.clear(ONE, WHO)
        assert (refused.value.code, f"vaultctl verify --volume {ONE}" in refused.value.remedy) == (
            "cartridge-not-suspect", True
        )  # fmt: skip
        with pytest.raises(NotFound):
            bench.running.tape_desk.clear("NIX001L8", WHO)


def test_the_order_outlives_a_restart_goes_on_where_it_was_and_asks_for_what_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(clearing, "_NOTE_SECONDS", 0.0)
    with TapeBench(tmp_path, TWO) as bench:
        made_suspect(bench)
        desk = bench.running.tape_desk
        desk.checkout(ONE, "giá 1", WHO)
        desk.clear(ONE, WHO)
        eventually(lambda: [one for one in desk.requests() if one.barcode == ONE], 30, bench.tape_problem)
        bench.stop()
        read, wrong_with = [], clearing._wrong_with

        def stopped_at_the_third(tapes, reader, entry, pieces, copy_id, doing):
            if len(read) == 2:
                read.append("stopped")
                raise clearing.Interrupted("The daemon stops.")
            read.append(entry.path)
            return wrong_with(tapes, reader, entry, pieces, copy_id, doing)

        monkeypatch.setattr(clearing, "_wrong_with", stopped_at_the_third)
        bench.start()
        bench.running.tape_desk.checkin(ONE, WHO)
        assert wait_read(bench).state is CartridgeState.APPENDABLE
        assert bench.cartridge(ONE).whereabouts is Whereabouts.LIBRARY
        read.remove("stopped")
        assert len(read) == len(set(read)) == told_files(bench), "each file once"
        with bench.running.catalogue.read() as tx:
            assert record.clearings(tx) == {}


def told_files(bench):
    found = bench.events(EventType.CARTRIDGE_CHANGED, volume=ONE)
    return next(event.detail["files"] for event in found if event.detail.get("clear") == "intact")


def test_it_is_read_in_a_drive_in_which_nothing_failed(tmp_path):
    with VirtualChanger.create(tmp_path / "library", drives=2, slots=4) as changer:
        for barcode in TWO:
            changer.add_cartridge(barcode, capacity_mb=128)
    with TapeBench(tmp_path, TWO) as bench:
        made_suspect(bench)
        tapes, librarian = bench.running.tape_desk._tapes, bench.running.librarians["lib"]
        librarian.call(lambda library: library.unload(0))
        librarian.call(lambda library: holding.failed(tapes, library, "VLT009L8", 0, "It failed."))
        assert clear(bench).state is CartridgeState.APPENDABLE
        found = bench.events(EventType.CARTRIDGE_CHANGED, volume=ONE)
        assert [event.detail["drive"] for event in found if event.detail.get("clear") == "intact"] == ["drive 1"]
