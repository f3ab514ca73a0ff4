"""What happens to a library beneath a working node: hands, doors, a drive that is gone, a second owner. It is told, is
no reason to doubt a copy, and the work goes on by itself when it is cured."""

import json

from hardware.ltfs import VirtualMedium
from hardware.tape.changer import Slot
from hardware.tape.virtual import DOOR, STATE
from tests.support.nodes import eventually
from tests.support.tape_faults import DriveFault, drive_fault
from tests.support.tapes import TapeBench
from vault.model import CopyState
from vault.tape_model import CartridgeState, Whereabouts

TWO = ("VLT001L8", "VLT002L8")


def moved_by_hand(library, source, target):
    """As a hand does it: nobody who works with the library is told."""
    state = json.loads((library / STATE).read_text())
    slots = state["slots"]
    slots[target - 1], slots[source - 1] = slots[source - 1], None
    changed = library / "moved"
    changed.write_text(json.dumps(state))
    changed.rename(library / STATE)


def test_a_cartridge_that_a_hand_has_moved_is_found_where_it_is_now(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.hands(lambda changer: changer.unload(0))
        moved_by_hand(tmp_path / "library", 1, 7)
        moved_by_hand(tmp_path / "library", 2, 1)
        bench.deposit("Đ-2", b"two", filename="tệp")
        assert bench.wait_for_tape("Đ-2") == "VLT001L8", "its label is asked for, and not its place"
        bench.settle()
        bench.assert_on_tape("Đ-2", 1, "VLT001L8")
        assert bench.cartridge("VLT002L8").state is CartridgeState.SCRATCH
        bench.hands(lambda changer: changer.unload(0))
        place = bench.running.librarians["lib"].call(lambda library: library.inventory().find("VLT001L8").place)
        assert isinstance(place, Slot)
        assert place.number == 7
        assert bench.told() == {}


def test_a_cartridge_that_a_hand_took_is_off_line_and_asked_for_and_its_copies_are_as_good_as_before(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.hands(lambda changer: (changer.unload(0), changer.remove(1)))
        eventually(lambda: bench.cartridge("VLT001L8").whereabouts is Whereabouts.OFFLINE, 30, bench.tape_problem)
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        bench.order(volume="VLT001L8")
        assert bench.below_policy() == []
        bench.hands(lambda changer: changer.insert("VLT001L8", slot=3))
        eventually(lambda: bench.cartridge("VLT001L8").whereabouts is Whereabouts.LIBRARY, 30, bench.tape_problem)
        bench.settle()
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        assert bench.told() == {}


def test_with_the_door_open_everything_waits_and_says_so(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        (tmp_path / "library" / DOOR).touch()
        bench.deposit("Đ-2", b"two", filename="tệp")
        bench.wait_told("library-unusable", "The tape library lib cannot be used", "its door is open. Close the door")
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        assert bench.tape_copies("Đ-2") == {}
        (tmp_path / "library" / DOOR).unlink()
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        assert bench.told() == {}
        assert {bench.cartridge("VLT001L8").state} == {CartridgeState.APPENDABLE}


def test_a_door_that_is_opened_in_the_middle_of_a_session_ends_nothing_and_is_told(tmp_path, monkeypatch):
    door, opened = tmp_path / "library" / DOOR, []
    write = VirtualMedium.write

    def and_open_the_door(medium, record):
        if not opened:
            opened.append(door.touch())
        return write(medium, record)

    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        monkeypatch.setattr(VirtualMedium, "write", and_open_the_door)
        bench.deposit("Đ-2", b"two" * 600_000, filename="tệp")
        bench.wait_told("library-unusable", "its door is open. Close the door")
        assert opened
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        door.unlink()
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        bench.assert_on_tape("Đ-2", 1, "VLT001L8")
        eventually(lambda: bench.told() == {}, 30, bench.told)


def test_a_drive_that_is_gone_is_named_and_used_again_when_it_is_back(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        gone = tmp_path / "library" / "vanished-0"
        gone.touch()
        bench.deposit("Đ-2", b"two", filename="tệp")
        bench.wait_told("drive-unusable", "Drive 0 of lib", "is gone", "Check its power and cables")
        bench.wait_told("tape-job-failed", "tape-write of VLT001L8 failed, and is tried again", "Check its power")
        assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        gone.unlink()
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        eventually(lambda: bench.told() == {}, 30, bench.told)


def test_a_drive_that_is_gone_in_the_middle_of_a_session_takes_nothing_with_it(tmp_path):
    with TapeBench(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        with drive_fault(DriveFault.VANISHES, 3) as watch:
            bench.deposit("Đ-2", b"two" * 600_000, filename="tệp")
            bench.wait_told("tape-job-failed", "The drive is gone", "Check its power and cables")
            assert watch.happened
            assert bench.good_tapes("Đ-2") == set()
            assert {copy.state for copy in bench.tape_copies("Đ-2").values()} == {CopyState.WRITING}
            assert bench.good_tapes("Đ-1") == {"VLT001L8"}
        assert bench.wait_for_tape("Đ-2") == "VLT001L8", "the drive says nothing about the cartridge"
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, "VLT001L8")
        bench.assert_on_tape("Đ-2", 1, "VLT001L8")


def test_a_second_daemon_on_the_library_is_told_so_and_never_writes_what_the_first_has_written(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with TapeBench(tmp_path / "one", TWO) as first:
        first.deposit("Đ-1", b"one", filename="tệp")
        first.wait_for_tape("Đ-1")
        (tmp_path / "two" / "library").symlink_to(tmp_path / "one" / "library")
        with TapeBench(tmp_path / "two", TWO) as second:
            second.deposit("Đ-2", b"two", filename="tệp")
            second.wait_told("library-unusable", "has another owner", "stop the other one")
            assert second.tape_copies("Đ-2") == {}
            first.settle()
            first.stop()
            # When the first has gone, the second takes it over, and leaves alone what is not its own.
            assert second.wait_for_tape("Đ-2") == "VLT002L8"
            second.settle()
            second.wait_told("cartridge-foreign", "VLT001L8", "holds the LTFS volume")
        first.start()
        assert first.verify(volume="VLT001L8").bad == 0
        first.assert_on_tape("Đ-1", 1, "VLT001L8")
