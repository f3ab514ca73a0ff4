"""A drive in which one cartridge after another fails is held: it uses up no more of them, and a person releases it."""

import pytest

from tests.support.nodes import eventually
from tests.support.tape_faults import worn_heads
from tests.support.tapes import TapeBench
from vault.errors import NotFound, Refused
from vault.model import EventType
from vault.tape_model import CartridgeState
from vault.tapes import holding

WHO = "user:test"
FIVE = tuple(f"VLT00{number}L8" for number in range(1, 6))


def the_drive(bench):
    found = bench.running.tape_desk.drives()
    return found[0] if found else None


def test_a_drive_that_fails_with_every_cartridge_does_not_use_them_all_up(tmp_path):
    with TapeBench(tmp_path, FIVE) as bench:
        desk = bench.running.tape_desk
        with worn_heads():
            bench.deposit("Đ-1", b"content", filename="tệp")
            told = bench.wait_told(
                "drive-held", "Drive 0 of lib is held", "3 cartridges failed in it", "cannot be written there",
                "vaultctl tapes release",
            )  # fmt: skip
            assert all(barcode in told for barcode in FIVE[:3])
            for _ in range(3):  # whatever it still had to do, it has done by then
                bench.running.librarians["lib"].call(lambda _library: None)
        states = [bench.cartridge(barcode).state for barcode in FIVE]
        assert states == [CartridgeState.SUSPECT] * 3 + [CartridgeState.SCRATCH] * 2
        (event,) = bench.events(EventType.DRIVE_HELD)
        assert list(event.detail["failed"]) == list(FIVE[:3])
        # The drive was mended; until somebody says so nothing is put into it, by nobody.
        for act in (lambda: desk.load(FIVE[4], WHO), lambda: desk.format(FIVE[4], "tape-1", "", WHO)):
            with pytest.raises(Refused) as refused:
                act()
            assert (refused.value.code, the_drive(bench).serial in refused.value.remedy) == ("drive-held", True)
        assert not bench.good_tapes("Đ-1")
        with pytest.raises(NotFound):
            desk.release("lib", 7, WHO)
        desk.release("lib", 0, WHO)
        assert bench.wait_for_tape("Đ-1") == FIVE[3]
        assert "drive-held" not in bench.told()
        assert [event.agent for event in bench.events(EventType.DRIVE_RELEASED)] == [WHO]
        bench.settle()
        bench.assert_ledger()


def test_cartridges_count_and_not_attempts_and_what_was_read_back_ends_the_row(tmp_path):
    with TapeBench(tmp_path) as bench:
        tapes, librarian = bench.running.tape_desk._tapes, bench.running.librarians["lib"]
        eventually(lambda: the_drive(bench), 30, bench.tape_problem)

        def failed(barcode):
            librarian.call(lambda library: holding.failed(tapes, library, barcode, 0, "It failed."))

        for barcode in ("VLT007L8", "VLT007L8", "VLT007L8", "VLT008L8"):
            failed(barcode)
        assert list(the_drive(bench).failing) == ["VLT007L8", "VLT008L8"]
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_for_tape("Đ-1")
        eventually(lambda: not the_drive(bench).failing, 30, bench.tape_problem)
        failed("VLT007L8")
        assert not the_drive(bench).held
