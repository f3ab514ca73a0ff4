"""Writing that fails beneath a working node: a cartridge full anywhere, one that cannot be written, a drive that
cannot read. What did not come to be on tape is made anew elsewhere, and what was there stays good."""

import shutil
from datetime import timedelta

import pytest

from tests.e2e.tapes.test_import import foreign
from tests.support.debian import REPO
from tests.support.nodes import eventually
from tests.support.tape_faults import DriveFault, drive_fault
from tests.support.tapes import TapeBench
from vault.errors import Interrupted, Refused
from vault.model import CopyState, EventType
from vault.tape_model import CartridgeState
from vault.tapes import record, writing
from vault.tapes.context import Doing

CONTENT = b"content " * 200_000
"""Some records long."""


@pytest.fixture(scope="module")
def writes(tmp_path_factory):
    """How many records and marks a session writes that appends one package of this content."""
    with TapeBench(tmp_path_factory.mktemp("dry")) as bench:
        bench.deposit("Đ-0", b"first", filename="tệp")
        bench.wait_for_tape("Đ-0")
        bench.settle()
        with drive_fault() as watch:
            bench.deposit("Đ-1", CONTENT, filename="tệp")
            bench.wait_for_tape("Đ-1")
        return watch.written


WHERE = {
    "in the middle of a file": lambda _: 3,
    "in what the cartridge carries of itself": lambda writes: writes - 10,
    "at the index of the data partition": lambda writes: writes - 5,
    "at the index of the index partition": lambda writes: writes - 2,
}
FAULTS = [(DriveFault.FULL, where) for where in WHERE] + [
    (DriveFault.WRITE_ERROR, "in the middle of a file"),
    (DriveFault.WRITE_ERROR, "at the index of the data partition"),
]


@pytest.mark.parametrize(("fault", "where"), FAULTS)
def test_what_does_not_come_to_be_on_tape_goes_to_another_cartridge(tmp_path, writes, where, fault):
    with TapeBench(tmp_path, ("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-0", b"first", filename="tệp")
        bench.wait_for_tape("Đ-0")
        bench.settle()
        with drive_fault(fault, WHERE[where](writes), cartridge="VLT001L8") as watch:
            bench.deposit("Đ-1", CONTENT, filename="tệp")
            (barcode,) = eventually(lambda: bench.good_tapes("Đ-1"), 60, bench.tape_problem)
            assert watch.happened
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, barcode)
        # It is read by a stranger: nothing of what was good before has suffered.
        assert bench.good_tapes("Đ-0") == {"VLT001L8"}
        bench.assert_on_tape("Đ-0", 1, "VLT001L8")
        assert bench.verify(volume="VLT001L8").bad == 0
        if fault is DriveFault.FULL:
            assert bench.cartridge("VLT001L8").state is CartridgeState.FULL
            assert bench.cartridge("VLT001L8").reason
        else:
            bench.wait_told("cartridge-suspect", "VLT001L8", "cannot be written there", "Nothing more is written to it")
        bench.assert_ledger()


def test_where_no_other_cartridge_is_left_a_full_one_asks_for_another_and_nothing_is_lost(tmp_path, writes):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-0", b"first", filename="tệp")
        bench.wait_for_tape("Đ-0")
        bench.settle()
        with drive_fault(DriveFault.FULL, WHERE["in the middle of a file"](writes)) as watch:
            bench.deposit("Đ-1", CONTENT, filename="tệp")
            bench.wait_told("no-cartridge", "No cartridge has room for the pool tape-1", "Put a blank cartridge")
            assert watch.happened
        assert bench.cartridge("VLT001L8").state is CartridgeState.FULL
        assert not bench.good_tapes("Đ-1")
        bench.assert_on_tape("Đ-0", 1, "VLT001L8")
        bench.running.tape_desk.make_practice("lib", "VLT002L8", 256 << 20)
        assert bench.wait_for_tape("Đ-1") == "VLT002L8"
        bench.settle()
        assert bench.verify(volume="VLT001L8").bad == 0
        assert "no-cartridge" not in bench.told()


def test_what_the_drive_said_it_had_written_and_had_not_is_no_copy(tmp_path):
    """Zeros stand where a record of the package should; the indexes are whole and say that all is there."""
    with TapeBench(tmp_path, ("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-0", b"first", filename="tệp")
        bench.wait_for_tape("Đ-0")
        bench.settle()
        with drive_fault(DriveFault.LIES, 3, cartridge="VLT001L8") as watch:
            bench.deposit("Đ-1", CONTENT, filename="tệp")
            assert bench.wait_for_tape("Đ-1") == "VLT002L8"
            assert watch.happened
        bench.settle()
        bench.wait_told("cartridge-suspect", "VLT001L8", "Đ-1 v1", "Nothing more is written to it")
        assert not bench.events(EventType.FIXITY_CHECK, identifier="Đ-1", volume="VLT001L8", outcome="success")
        bench.assert_on_tape("Đ-1", 1, "VLT002L8")
        assert bench.good_tapes("Đ-0") == {"VLT001L8"}


@pytest.mark.parametrize("at", [2, 6, 9, 14, None])
def test_a_formatting_that_did_not_come_to_its_end_is_not_taken_for_somebody_elses_data(tmp_path, monkeypatch, at):
    """At any of its writes, or when the tape is done and the catalogue does not know it yet."""
    formatted, struck = record.formatted, []

    def not_written_down(*what, **more):
        if at is None and not struck:
            struck.append(what)
            raise Interrupted("killed")
        return formatted(*what, **more)

    monkeypatch.setattr(record, "formatted", not_written_down)
    with TapeBench(tmp_path) as bench, drive_fault(DriveFault.DEFECT if at else None, at or 0) as watch:
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_for_tape("Đ-1")
        assert watch.happened or struck
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, "VLT001L8")
        assert len(bench.events(EventType.CARTRIDGE_FORMATTED)) == 1
        # What is known of it now is no leave to format it again.
        assert bench.cartridge("VLT001L8").state is CartridgeState.APPENDABLE
        with pytest.raises(Refused, match="copies that count"):
            bench.running.tape_desk.format("VLT001L8", "tape-1", "", "user:test")


def test_a_cartridge_that_was_outside_after_its_formatting_was_cut_off_is_not_taken_for_blank(tmp_path):
    with TapeBench(tmp_path) as bench:
        desk = bench.running.tape_desk
        eventually(lambda: [one for one in desk.all() if one.cartridge.barcode == "VLT001L8"])
        with bench.running.catalogue.write() as tx:
            record.formatting(tx, "VLT001L8", begun=True)
        desk.checkout("VLT001L8", "giá 1", "user:test")
        # An LTFS volume without a file, as somebody else has just made it: its label may be all that it is for.
        shelf = next(path for path in bench.library.rglob("VLT001L8") if path.is_dir())
        shutil.rmtree(shelf)
        foreign(shelf, {}, serial="VLT001")
        desk.checkin("VLT001L8", "user:test")
        bench.deposit("Đ-1", b"content", filename="tệp")
        bench.wait_told("cartridge-foreign", "VLT001L8")
        assert bench.tape_copies("Đ-1") == {} or not bench.good_tapes("Đ-1")
        assert bench.events(EventType.CARTRIDGE_FORMATTED) == []


def test_a_tape_that_cannot_be_read_just_now_is_read_again_before_anything_is_concluded(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", CONTENT, filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        with drive_fault() as watch:
            bench.verify(volume="VLT001L8")
        with drive_fault(DriveFault.READ_ERROR, watch.read - 2) as struck:
            bench.order(volume="VLT001L8")
            eventually(lambda: struck.happened, 30, bench.tape_problem)
            eventually(lambda: bench.events(EventType.FIXITY_CHECK, volume="VLT001L8", outcome="failure"), 30)
        eventually(lambda: bench.good_tapes("Đ-1") == {"VLT001L8"}, 30, bench.tape_problem)
        bench.settle()
        was = [copy.state for copy in bench.tape_copies("Đ-1").values()]
        assert was == [CopyState.GOOD]
        assert bench.cartridge("VLT001L8").state is CartridgeState.APPENDABLE


def test_a_stop_in_the_midst_of_a_session_ends_it_in_order(tmp_path, monkeypatch):
    """What was finished is committed before the daemon ends: it is not written again, nothing is to be recovered."""
    begun, pour = [], writing._pour

    def stopped(source, write, doing):
        begun.append(source.name)
        pour(source, write, Doing(doing.progress, lambda: len(begun) == 2))

    monkeypatch.setattr(writing, "_pour", stopped)
    with TapeBench(tmp_path, ()) as bench:
        for identifier in ("Đ-1", "Đ-2"):
            bench.deposit(identifier, CONTENT, filename="tệp")
        bench.running.tape_desk.make_practice("lib", "VLT001L8", 256 << 20)
        for identifier in ("Đ-1", "Đ-2"):
            bench.wait_for_tape(identifier)
            bench.assert_on_tape(identifier, 1, "VLT001L8")
        bench.settle()
        assert len(begun) == 3, "the first, the second, and the second again"
        assert bench.events(EventType.CARTRIDGE_RECOVERED) == []


def test_a_stop_waits_for_what_a_real_drive_does(tmp_path):
    """Its index takes minutes: ltfs, ended before, leaves a volume that needs recovery."""
    with TapeBench(tmp_path) as bench:
        (librarian,) = bench.running.librarians.values()
        assert librarian.end_takes == timedelta()
        librarian.settings = librarian.settings.model_copy(update={"kind": "scsi"})
        patience = []
        stop = librarian.stop
        librarian.stop = lambda longest: patience.append(longest) or stop(longest)
        bench.stop()
        unit = (REPO / "systemd/vaultd-tape.conf").read_text()
        assert "\nTimeoutStopSec=4h\n" in unit
        assert timedelta(hours=3) < patience[0] < timedelta(hours=4)
