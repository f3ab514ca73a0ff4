import json

import pytest

from hardware.errors import Busy, Malformed, NotFound, Refused
from hardware.tape.changer import OperatorAsked
from hardware.tape.errors import ElementFull, WrongCartridge
from hardware.tape.manual import STATE, ManualChanger


@pytest.fixture
def drive(tmp_path):
    with ManualChanger(tmp_path / "drive", serial="10WT012345") as changer:
        changer.place("VLT001L8")
        changer.place("VLT002L8")
        yield changer


def test_a_person_is_asked_by_name(drive):
    asked = drive.load(2, 0)
    assert asked == OperatorAsked("VLT002L8", 0, loading=True)
    assert asked.request == "Put VLT002L8 into drive 0, and scan its label."
    assert not drive.inventory().drive(0).full
    moved = drive.confirm("VLT002L8")
    assert (moved.target.barcode, moved.target.serial) == ("VLT002L8", "10WT012345")
    assert "Take VLT002L8 out" in drive.unload(0).request


def test_the_wrong_cartridge_is_sent_back_and_the_right_one_still_asked_for(drive):
    drive.load(1, 0)
    with pytest.raises(WrongCartridge, match="VLT001L8 was asked for") as caught:
        drive.confirm("VLT002L8")
    assert caught.value.remedy == "Take VLT002L8 out, and give VLT001L8."
    assert drive.asked() == OperatorAsked("VLT001L8", 0, loading=True)
    drive.confirm("VLT001L8")
    assert drive.asked() is None


def test_what_nobody_asked_for(drive):
    with pytest.raises(Refused, match="No cartridge was asked for"):
        drive.confirm("VLT001L8")
    assert not drive.inventory().drive(0).full


def test_one_thing_at_a_time_and_asking_again_is_the_same(drive):
    asked = drive.load(1, 0)
    assert drive.load(1, 0) == asked
    assert drive.load(1, 0, barcode="VLT001L8") == asked
    with pytest.raises(Busy, match="Put VLT001L8 into"):
        drive.load(2, 0)
    with pytest.raises(Busy):
        drive.unload(0)
    drive.cancel()
    assert drive.load(2, 0).barcode == "VLT002L8"


def test_a_restart_asks_for_the_same(tmp_path, drive):
    asked = drive.load(1, 0)
    drive.close()
    with ManualChanger(tmp_path / "drive") as again:
        assert again.asked() == asked
        again.confirm("VLT001L8")
    with ManualChanger(tmp_path / "drive") as again:
        assert again.inventory().drive(0).barcode == "VLT001L8"
        assert again.unload(0) == again.unload(0, 1)


def test_the_shelf(drive):
    with pytest.raises(Refused, match="on the shelf already"):
        drive.place("VLT001L8")
    with pytest.raises(Refused, match="media identifier"):
        drive.place("VLT003")
    with pytest.raises(ElementFull):
        drive.place("VLT003L8", 1)
    with pytest.raises(Refused):
        drive.place("VLT003L8", 9)
    drive.load(1, 0)
    with pytest.raises(Busy):
        drive.take_away("VLT001L8")
    drive.take_away("VLT002L8")
    with pytest.raises(NotFound):
        drive.take_away("VLT002L8")
    assert drive.place("VLT003L8", 2).number == 2


@pytest.mark.parametrize(
    "change",
    [
        {"version": 9},
        {"places": ["VLT001L8", "VLT001L8"]},
        {"places": ["x"]},
        {"places": None},
        {"loaded": 9},
        {"loaded": True},
        {"asked": 0},
        {"asked": 1, "loading": False},
    ],
)
def test_a_memory_that_makes_no_sense_is_not_believed(drive, tmp_path, change):
    path = tmp_path / "drive" / STATE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Malformed):
        drive.inventory()
