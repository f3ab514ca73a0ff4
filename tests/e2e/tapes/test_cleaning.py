"""Drives that ask to be cleaned are, between two sessions; what cleans them is counted, and asked for."""

import pytest

from hardware.tape.cleaning import CLEANING_USES
from tests.support.nodes import eventually
from tests.support.tapes import TapeBench
from vault.errors import NotFound, Refused
from vault.model import EventType
from vault.tape_model import CartridgeState, CleaningNeed, Whereabouts

WHO = "user:test"


def asks(bench, *flags, drive=0):
    """The drive raises TapeAlert flags."""
    name = bench.library / f"alerts-{drive}"
    partial = bench.library / "alerts-new"
    partial.write_text("".join(f"{flag}\n" for flag in flags))
    partial.rename(name)


def the_drive(bench):
    found = bench.running.tape_desk.drives()
    return found[0] if found else None


def test_a_drive_that_asks_is_cleaned_by_itself_and_the_use_is_counted(tmp_path):
    with TapeBench(tmp_path, ("VLT001L8", "CLN001CU")) as bench:
        eventually(lambda: the_drive(bench), 30, bench.tape_problem)
        assert bench.cartridge("CLN001CU").state is CartridgeState.CLEANING
        asks(bench, 20)
        eventually(lambda: the_drive(bench).cleaned_at, 30, bench.tape_problem)
        assert (the_drive(bench).cleaning, the_drive(bench).cleanings) == (CleaningNeed.NO, 1)
        assert bench.cartridge("CLN001CU").cleanings == 1
        assert "clean-now" in the_drive(bench).alerts
        cleaned = bench.events(EventType.DRIVE_CLEANED, volume="CLN001CU")
        assert (cleaned[0].detail["uses_left"], cleaned[0].outcome) == (CLEANING_USES - 1, "success")
        bench.deposit("Đ-1", b"content", filename="tệp")
        assert bench.wait_for_tape("Đ-1") == "VLT001L8", "the cartridge that cleans is not written"
        asks(bench, 21)
        eventually(lambda: the_drive(bench).cleaning is CleaningNeed.SOON, 30, bench.tape_problem)
        bench.settle()
        assert the_drive(bench).cleanings == 1, "not twice in a short time: cleaning wears the heads"
        assert "cleaning-no-help" in bench.told()
        assert "cleaned with CLN001CU" in bench.running.tape_desk.clean("lib", 0, WHO)
        assert (the_drive(bench).cleanings, the_drive(bench).cleaning) == (2, CleaningNeed.NO)
        bench.assert_ledger()


def test_a_worn_out_cleaning_cartridge_is_put_aside_and_another_is_asked_for(tmp_path):
    with TapeBench(tmp_path, ("VLT001L8", "CLN001CU")) as bench:
        eventually(lambda: the_drive(bench), 30, bench.tape_problem)
        (bench.library / "CLN001CU" / "cleanings").write_text(f"{CLEANING_USES}\n")
        asks(bench, 20)
        eventually(lambda: bench.cartridge("CLN001CU").state is CartridgeState.RETIRED, 30, bench.tape_problem)
        desk = bench.running.tape_desk
        unclean = eventually(lambda: desk.libraries()[0].unclean, 30, bench.tape_problem)
        assert (unclean[0].cleaning, unclean[0].cleanings) == (CleaningNeed.NOW, 0), "it was not cleaned"
        bench.wait_told("cleaning-wanted", "asks to be cleaned", "Put a cleaning cartridge")
        with pytest.raises(Refused) as refused:
            desk.clean("lib", 0, WHO)
        assert "CLN" in refused.value.remedy
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_for_tape("Đ-1")
        desk.make_practice("lib", "CLN002CU", 64 << 20)
        eventually(lambda: the_drive(bench).cleaned_at, 30, bench.tape_problem)
        eventually(lambda: not desk.libraries()[0].unclean, 30, bench.tape_problem)
        assert bench.cartridge("CLN002CU").cleanings == 1


def test_a_cleaning_cartridge_on_the_shelf_is_asked_for_by_its_barcode(tmp_path):
    with TapeBench(tmp_path, ("VLT001L8", "CLN001CU")) as bench:
        eventually(lambda: the_drive(bench), 30, bench.tape_problem)
        desk = bench.running.tape_desk
        assert desk.checkout("CLN001CU", "giá 1", WHO).cartridge.whereabouts is Whereabouts.VAULTED
        asks(bench, 21)
        asked = eventually(desk.requests, 30, bench.tape_problem)
        assert (asked[0].barcode, "cleaned" in asked[0].reason) == ("CLN001CU", True)
        desk.checkin("CLN001CU", WHO)
        eventually(lambda: the_drive(bench).cleaned_at, 30, bench.tape_problem)
        eventually(lambda: not desk.requests(), 30, bench.tape_problem)
        with pytest.raises(NotFound) as missing:
            desk.clean("lib", 7, WHO)
        assert missing.value.code == "no-such-drive"
