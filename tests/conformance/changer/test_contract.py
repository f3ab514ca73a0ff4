"""What every library keeps to, whether mtx, a folder or a person moves the cartridges."""

import pytest

from hardware.errors import Busy, Refused, Unreachable, Unsupported
from hardware.tape.errors import (
    DoorOpen,
    ElementEmpty,
    ElementFull,
    HomeUnknown,
    InvalidElement,
    NotReady,
    WrongCartridge,
)

HOME = {1: "VLT001L8", 2: "VLT002L8", 3: "CLN001L1"}


def test_inventory_shows_what_is_where(rig):
    assert rig.shown() == HOME
    status = rig.changer.inventory()
    assert [drive.number for drive in status.drives] == list(range(rig.drives))
    assert [slot.number for slot in status.slots][:4] == [1, 2, 3, 4]
    assert [slot.number for slot in status.slots if slot.import_export] == ([5] if rig.robot else [])


def test_a_cartridge_goes_into_the_drive_and_home_again(rig):
    moved = rig.load(1, 0)
    assert (moved.barcode, moved.target.number) == ("VLT001L8", 0)
    assert rig.shown() == {"drive 0": "VLT001L8", 2: "VLT002L8", 3: "CLN001L1"}
    moved = rig.unload(0)
    assert (moved.barcode, moved.target.number) == ("VLT001L8", 1)
    assert rig.shown() == HOME


def test_it_can_be_put_elsewhere(rig):
    rig.load(1, 0)
    assert rig.unload(0, 4).target.number == 4
    assert rig.shown() == {2: "VLT002L8", 3: "CLN001L1", 4: "VLT001L8"}
    assert rig.load(4, 0).barcode == "VLT001L8"


def test_two_drives_at_once(robot):
    robot.load(1, 1)
    robot.load(2, 0)
    assert robot.shown() == {"drive 0": "VLT002L8", "drive 1": "VLT001L8", 3: "CLN001L1"}
    robot.unload(1, 1)
    assert robot.shown() == {"drive 0": "VLT002L8", 1: "VLT001L8", 3: "CLN001L1"}


def test_from_slot_to_slot_and_out(robot):
    assert robot.done(robot.changer.transfer(1, 4)).target.number == 4
    assert robot.done(robot.changer.transfer(4, 5)).target.import_export
    assert robot.shown() == {2: "VLT002L8", 3: "CLN001L1", 5: "VLT001L8"}


def test_where_there_is_no_robot_nothing_is_transferred(by_hand):
    with pytest.raises(Unsupported):
        by_hand.changer.transfer(1, 4)
    assert by_hand.shown() == HOME


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda changer: changer.load(4, 0), ElementEmpty),
        (lambda changer: changer.unload(0), ElementEmpty),
        (lambda changer: changer.unload(0, 4), ElementEmpty),
        (lambda changer: changer.load(0, 0), InvalidElement),
        (lambda changer: changer.load(99, 0), InvalidElement),
        (lambda changer: changer.load(-1, 0), InvalidElement),
        (lambda changer: changer.load(1, 7), InvalidElement),
        (lambda changer: changer.load(1, -1), InvalidElement),
        (lambda changer: changer.unload(7), InvalidElement),
        (lambda changer: changer.load(1, 0, barcode="VLT002L8"), WrongCartridge),
        (lambda changer: changer.load(4, 0, barcode="VLT001L8"), ElementEmpty),
    ],
)
def test_what_cannot_be_done_is_refused_and_moves_nothing(rig, act, error):
    with pytest.raises(error) as caught:
        act(rig.changer)
    assert caught.value.remedy
    assert rig.shown() == HOME


def test_a_full_drive_takes_no_other_cartridge(rig):
    rig.load(1, 0)
    before = rig.shown()
    with pytest.raises(ElementFull):
        rig.changer.load(2, 0)
    with pytest.raises(ElementFull):
        rig.changer.unload(0, 2)
    with pytest.raises(WrongCartridge):
        rig.changer.unload(0, barcode="VLT002L8")
    with pytest.raises(InvalidElement):
        rig.changer.unload(0, 99)
    assert rig.shown() == before


def test_a_full_or_empty_slot_in_a_transfer(robot):
    for source, target, error in (
        (1, 2, ElementFull),
        (4, 5, ElementEmpty),
        (1, 1, ElementFull),
        (1, 9, InvalidElement),
    ):
        with pytest.raises(error):
            robot.changer.transfer(source, target)
    assert robot.shown() == HOME


def test_a_home_that_was_taken_is_not_guessed(robot):
    robot.load(1, 0)
    robot.put(1, "VLT007L8")
    if robot.forgets:
        # mtx then shows the first free slot as home, which is as good.
        assert robot.unload(0).target.number == 4
    else:
        with pytest.raises(HomeUnknown, match="slot 1"):
            robot.unload(0)
        assert robot.shown()["drive 0"] == "VLT001L8"
    assert robot.shown()[1] == "VLT007L8"


def test_the_right_cartridge_or_none(rig):
    assert rig.load(2, 0, barcode="VLT002L8").barcode == "VLT002L8"
    assert rig.unload(0, barcode="VLT002L8").barcode == "VLT002L8"


def test_a_cartridge_moved_by_hand_between_inventories_is_noticed(rig):
    assert rig.changer.inventory().slot(1).barcode == "VLT001L8"
    rig.take(1)
    with pytest.raises(ElementEmpty):
        rig.changer.load(1, 0, barcode="VLT001L8")
    rig.put(1, "VLT005L8")
    with pytest.raises(WrongCartridge, match="VLT005L8"):
        rig.changer.load(1, 0, barcode="VLT001L8")
    assert rig.shown() == {**HOME, 1: "VLT005L8"}


def test_two_cartridges_with_one_label_are_not_told_apart_by_luck(robot):
    robot.put(4, "VLT001L8")
    assert robot.changer.inventory().duplicates() == {"VLT001L8"}
    with pytest.raises(Refused, match="Two cartridges"):
        robot.changer.load(1, 0, barcode="VLT001L8")
    assert robot.load(1, 0).barcode == "VLT001L8"


def test_a_library_has_one_owner(rig):
    with pytest.raises(Busy):
        rig.open()
    rig.changer.close()
    with rig.other_process() as other:
        with pytest.raises(Busy) as caught:
            rig.open()
        assert caught.value.remedy
        other.kill()
        other.wait()
        rig.changer = rig.open()
    assert rig.shown() == HOME


def test_what_was_let_go_of_does_nothing_any_more(rig):
    rig.changer.close()
    with pytest.raises((Unreachable, Refused)):
        rig.changer.inventory()
    rig.changer.close()


@pytest.mark.parametrize("fault", ["unit-attention", "not-ready"])
def test_a_passing_fault_is_passed_over(robot, fault):
    robot.suffer(fault, 2)
    assert robot.load(1, 0, barcode="VLT001L8").barcode == "VLT001L8"
    assert not robot.suffering()


@pytest.mark.parametrize("fault", ["unit-attention", "not-ready"])
def test_a_lasting_fault_is_not_tried_for_ever(robot, fault):
    robot.suffer(fault, 50)
    with pytest.raises(NotReady):
        robot.changer.load(1, 0)
    assert robot.suffering()


def test_an_open_door_is_said_at_once_and_is_no_absence(robot):
    robot.door(is_open=True)
    for act in (robot.changer.inventory, lambda: robot.changer.load(1, 0), lambda: robot.changer.transfer(1, 4)):
        with pytest.raises(DoorOpen) as caught:
            act()
        assert "lose the door" in caught.value.remedy
    assert robot.waited == []
    robot.door(is_open=False)
    assert robot.shown() == HOME
