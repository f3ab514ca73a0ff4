"""A single drive without a library: a person is asked for cartridges by name, and scans their labels."""

import pytest

from hardware.ltfs import VirtualMedium
from hardware.tape.errors import NoCartridge
from hardware.tape.libraries import own_sessions
from hardware.tape.library import Library
from hardware.tape.manual import ManualChanger
from hardware.tape.virtual_drive import VirtualPort
from tests.support.nodes import eventually
from tests.support.tapes import TapeBench
from vault.errors import Refused, Unreachable
from vault.tape_model import CartridgeState, Whereabouts
from vault.tapes import librarian

ONE, TWO = "VLT001L8", "VLT002L8"
WHO = "user:test"


class Hand:
    """A person, a drive and some cartridges; ``inserted`` is the one in the drive."""

    def __init__(self, folder):
        self.path = str(folder)
        self.inserted = ""
        for barcode in (ONE, TWO):
            VirtualMedium.create(folder / barcode, capacity_mb=64).close()

    def loaded_label(self, _drive):
        if not self.inserted:
            raise NoCartridge("The drive is empty.", remedy="Load a cartridge.")
        return self.inserted

    def medium_path(self, drive):
        return f"{self.path}/{self.loaded_label(drive)}"


@pytest.fixture
def hand(tmp_path, monkeypatch):
    (tmp_path / "cartridges").mkdir()
    made = Hand(tmp_path / "cartridges")

    def open_by_hand(_state, settings):
        shelf = ManualChanger(tmp_path / "shelf", serial="10WT012340")
        return Library(shelf, {0: VirtualPort(made, 0)}, own_sessions(tmp_path), name=settings.name)

    monkeypatch.setattr(librarian, "open_library", open_by_hand)
    return made


def test_a_person_is_asked_by_name_and_the_scan_is_the_answer(tmp_path, hand):
    with TapeBench(tmp_path, ()) as bench:
        desk = bench.running.tape_desk
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_told("no-cartridge", "Put a blank cartridge into the library")
        # A cartridge that was never seen comes to the shelf by its label.
        brought = desk.checkin(ONE, WHO)
        assert (brought.cartridge.whereabouts, brought.cartridge.element) == (Whereabouts.LIBRARY, "slot 1")
        bench.wait_told(
            "tape-job-failed", f"Put {ONE} into drive 0, and scan its label", f"vaultctl tapes checkin {ONE}"
        )
        desk.checkin(TWO, WHO)
        with pytest.raises(Refused, match=f"{ONE} was asked for, and {TWO} was scanned"):
            desk.checkin(TWO, WHO)
        hand.inserted = ONE
        desk.checkin(ONE, WHO)
        assert bench.wait_for_tape("Đ-1") == ONE
        bench.settle()
        eventually(lambda: bench.told() == {}, 30, bench.told)
        assert bench.cartridge(ONE).state is CartridgeState.APPENDABLE
        # Out of the drive, and away.
        with pytest.raises(Unreachable) as asked:
            desk.checkout(ONE, "giá 2", WHO)
        assert f"Take {ONE} out of drive 0" in asked.value.message
        hand.inserted = ""
        desk.checkin(ONE, WHO)
        gone = desk.checkout(ONE, "giá 2", WHO).cartridge
        assert (gone.whereabouts, gone.shelf, gone.element) == (Whereabouts.VAULTED, "giá 2", "")
        bench.order(volume=ONE)
        desk.inventory("lib")
        assert bench.cartridge(ONE).whereabouts is Whereabouts.VAULTED
        assert bench.good_tapes("Đ-1") == {ONE}
        assert desk.checkin(ONE, WHO).cartridge.whereabouts is Whereabouts.LIBRARY
        bench.assert_ledger()
