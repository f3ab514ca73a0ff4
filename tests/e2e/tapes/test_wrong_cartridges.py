"""Cartridges that are not what they should be: nothing is written to them, no copy is called good that cannot be read,
none that is good is lost, and the sysadmin is told what to do."""

import shutil

import pytest

from hardware.ltfs import VirtualMedium
from hardware.tape.virtual_drive import GENERATION
from tests.support.nodes import eventually
from tests.support.tape_faults import make_foreign, set_tab
from tests.support.tapes import TapeBench
from vault.errors import Refused
from vault.model import Condition, CopyState, EventType
from vault.tape_model import CartridgeState, Whereabouts

TWO = ("VLT001L8", "VLT002L8")


def contents(cartridge):
    return {path.name: path.read_bytes() for path in cartridge.iterdir()}


def state_of(bench, barcode):
    return bench.cartridge(barcode).state


def test_a_write_protected_cartridge_is_passed_by_and_used_again_when_its_tab_was_moved(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        set_tab(tmp_path / "library" / "VLT001L8")
        before = contents(tmp_path / "library" / "VLT001L8")
        bench.deposit("Đ-2", b"two", filename="tệp")
        bench.wait_told("cartridge-read-only", "VLT001L8 is write-protected", "move its tab", "tapes checkin VLT001L8")
        bench.wait_told("no-cartridge", "pool tape-1", "Put a blank cartridge into the library")
        assert contents(tmp_path / "library" / "VLT001L8") == before
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        assert bench.verify(volume="VLT001L8").bad == 0, "what is protected can be read"
        set_tab(tmp_path / "library" / "VLT001L8", protected=False)
        bench.running.tape_desk.checkin("VLT001L8", "user:test")
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        assert bench.told() == {}


def test_a_cartridge_that_was_erased_or_exchanged_has_no_copy_that_counts_until_it_is_back(tmp_path):
    """The label on the box is that of ours, and the tape in it is a blank one."""
    with TapeBench(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        ours, aside = tmp_path / "library" / "VLT001L8", tmp_path / "aside"
        bench.hands(lambda changer: changer.unload(0))
        ours.rename(aside)
        VirtualMedium.create(ours, capacity_mb=64).close()
        bench.order(volume="VLT001L8")
        bench.wait_told("cartridge-foreign", "VLT001L8 bears no LTFS volume", "set it aside, and find the right one")
        # It is made anew on another one, and what nobody can read no longer counts.
        eventually(lambda: bench.good_tapes("Đ-1") == {"VLT002L8"}, 30, bench.tape_problem)
        assert bench.copies("Đ-1")["VLT001L8", 1].state is CopyState.SUSPECT
        assert bench.condition("VLT001L8") is Condition.FOREIGN
        # The right one was found: what is on it is read, and nothing of it was lost.
        bench.hands(lambda changer: changer.remove(1))
        eventually(lambda: bench.cartridge("VLT001L8").whereabouts is Whereabouts.OFFLINE, 30, bench.tape_problem)
        shutil.rmtree(ours)
        aside.rename(ours)
        bench.hands(lambda changer: changer.insert("VLT001L8", slot=1))
        eventually(lambda: bench.good_tapes("Đ-1") == set(TWO), 30, bench.tape_problem)
        bench.settle()
        assert state_of(bench, "VLT001L8") is CartridgeState.APPENDABLE
        assert bench.told() == {}
        bench.assert_ledger()


def test_cartridges_whose_labels_were_exchanged_are_found_out_and_not_written(tmp_path):
    policies = '[[policy]]\nname = "default"\ndisk = 2\ntape = 2\nreceipt_after = 2'
    with TapeBench(tmp_path, TWO, policies=policies) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        eventually(lambda: bench.good_tapes("Đ-1") == set(TWO), 60, bench.tape_problem)
        bench.settle()

        def exchange(changer):
            if changer.inventory().drives[0].full:
                changer.unload(0)
            for slot, folder in ((1, changer.remove(1)), (2, changer.remove(2))):
                changer.insert(folder, slot=3 - slot, barcode=f"VLT00{3 - slot}L8")

        before = [contents(tmp_path / "library" / barcode) for barcode in TWO]
        bench.hands(exchange)
        bench.order(volume="VLT001L8")
        bench.wait_told("cartridge-foreign", "The box says VLT00", "Somebody exchanged labels", "set it aside")
        eventually(lambda: state_of(bench, "VLT001L8") is CartridgeState.FOREIGN, 30, bench.tape_problem)
        bench.deposit("Đ-2", b"two", filename="tệp")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        eventually(lambda: state_of(bench, "VLT002L8") is CartridgeState.FOREIGN, 30, bench.tape_problem)
        assert bench.good_tapes("Đ-1") == bench.good_tapes("Đ-2") == set()
        assert [contents(tmp_path / "library" / barcode) for barcode in TWO] == before


def test_what_others_have_written_is_never_overwritten(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        foreign = tmp_path / "library" / "VLT001L8"
        make_foreign(foreign)
        before = contents(foreign)
        bench.deposit("Đ-1", b"one", filename="tệp")
        assert bench.wait_for_tape("Đ-1") == "VLT002L8"
        told = bench.wait_told("cartridge-foreign", "VLT001L8 is foreign", "VOL1 OTHER1 of other software")
        assert "vaultctl tapes format VLT001L8 --pool POOL --erase VLT001L8" in told
        assert contents(foreign) == before


def test_a_cartridge_too_old_for_the_drive_is_not_even_loaded(tmp_path):
    with TapeBench(tmp_path, ("VLT001L7",)) as bench:
        bench.hands(lambda changer: None)
        bench.stop()
        (tmp_path / "library" / GENERATION).write_text("LTO-10\n")
        bench.start()
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_told("cartridge-read-only", "VLT001L7", "too old")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        assert not bench.hands(lambda changer: changer.inventory().drives[0].full)
        assert bench.good_tapes("Đ-1") == set()


def test_a_cartridge_too_new_for_the_drive_is_not_even_loaded(tmp_path):
    with TapeBench(tmp_path, ("VLT001L9",)) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_told("cartridge-read-only", "VLT001L9", "LTO-8")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        assert not bench.hands(lambda changer: changer.inventory().drives[0].full)
        assert not bench.good_tapes("Đ-1")


def test_cartridges_that_bear_one_barcode_are_both_left_alone(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        twin = tmp_path / "library" / "twin"
        VirtualMedium.create(twin, capacity_mb=64).close()
        before = contents(twin), contents(tmp_path / "library" / "VLT001L8")
        bench.hands(lambda changer: changer.insert("twin", slot=5, barcode="VLT001L8"))
        bench.deposit("Đ-2", b"two", filename="tệp")
        bench.wait_told("library-note", "VLT001L8: Another cartridge in the library bears the same label", "take both")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        assert (contents(twin), contents(tmp_path / "library" / "VLT001L8")) == before
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        assert bench.condition("VLT001L8") is Condition.OFFLINE
        bench.hands(lambda changer: changer.remove(5))
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        assert bench.told() == {}


def test_a_cartridge_without_a_label_is_not_used(tmp_path):
    with TapeBench(tmp_path, ()) as bench:
        VirtualMedium.create(tmp_path / "library" / "nameless", capacity_mb=64).close()
        VirtualMedium.create(tmp_path / "library" / "badname", capacity_mb=64).close()
        before = [contents(tmp_path / "library" / name) for name in ("nameless", "badname")]
        bench.hands(lambda changer: changer.insert("nameless", slot=5, barcode=""))
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_told("library-note", "in slot 5: It has no label that can be read", "take it out, and stick one on")
        bench.hands(lambda changer: (changer.remove(5), changer.insert("badname", slot=6, barcode="VLT001X9")))
        bench.wait_told("library-note", "VLT001X9 ends in X9", "put a label on it that follows the rule")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        assert [contents(tmp_path / "library" / name) for name in ("nameless", "badname")] == before


def test_a_cleaning_cartridge_among_the_data_is_no_place_for_copies(tmp_path):
    with TapeBench(tmp_path, ("CLN001L8",)) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_told("no-cartridge", "pool tape-1", "Put a blank cartridge into the library")
        assert state_of(bench, "CLN001L8") is CartridgeState.CLEANING
        with pytest.raises(Refused, match="cleaning cartridge; it holds no data"):
            bench.running.tape_desk.format("CLN001L8", "tape-1", "CLN001L8", "user:test")
        assert bench.cartridge("CLN001L8").loads == 0
        assert bench.events(EventType.CARTRIDGE_FORMATTED) == []
        assert bench.good_tapes("Đ-1") == set()
