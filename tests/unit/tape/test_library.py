"""A library knows what is where, moves the right cartridge, and refuses before anything is moved."""

import os
import subprocess
import sys

import pytest

from hardware.errors import Busy, Refused
from hardware.ltfs import VirtualMedium
from hardware.tape.cleaning import CleaningCartridge
from hardware.tape.errors import (
    DoorOpen,
    DriveVanished,
    DuplicateBarcode,
    ElementFull,
    Incompatible,
    NotInLibrary,
    WrongCartridge,
    WrongVolume,
)
from hardware.tape.inventory import Holds, How
from hardware.tape.libraries import own_sessions, virtual_library
from hardware.tape.library import Library
from hardware.tape.manual import ManualChanger
from hardware.tape.patience import Patience
from hardware.tape.tapealert import Flag
from hardware.tape.virtual import FAULTS, VirtualChanger

BARCODES = ("VLT001L8", "VLT002L8", "VLT003L8", "CLN001CU")


@pytest.fixture
def path(tmp_path):
    with VirtualChanger.create(tmp_path / "library", drives=2, slots=6, import_export=1) as changer:
        for barcode in BARCODES:
            changer.add_cartridge(barcode, capacity_mb=64)
    return tmp_path / "library"


@pytest.fixture
def library(path):
    with virtual_library(path, patience=Patience(attempts=2, interval=0)) as found:
        yield found


def where(library):
    return {str(found.barcode): found.place.number for found in library.inventory().cartridges}


def test_inventory_tells_what_each_cartridge_is(library):
    library.changer.insert(blank(library, "odd"), barcode="VLT9L8")
    library.changer.insert(blank(library, "none"), barcode="")
    inventory = library.inventory()
    assert [(found.barcode, found.holds) for found in inventory.cartridges] == [
        *((barcode, Holds.DATA) for barcode in BARCODES[:3]),
        ("CLN001CU", Holds.CLEANING),
        ("VLT9L8", Holds.BAD_LABEL),
        ("", Holds.NO_LABEL),
    ]
    assert all(bool(found.note) is (found.holds in {Holds.BAD_LABEL, Holds.NO_LABEL}) for found in inventory.cartridges)
    assert [drive.serial for drive in inventory.drives] == ["VIRTUAL000", "VIRTUAL001"]
    assert [str(drive.facts.generation) for drive in inventory.drives] == ["LTO-8", "LTO-8"]
    assert [found.barcode for found in inventory.cleaning] == ["CLN001CU"]


def blank(library, folder):
    VirtualMedium.create(os.path.join(library.changer.path, folder), capacity_mb=64).close()
    return folder


def test_what_hands_did_between_two_inventories_is_told_and_what_we_did_is_not(library):
    assert library.inventory().changes == ()
    library.load("VLT001L8").close()
    library.unload(0, 6)
    assert library.inventory().changes == ()
    library.changer.remove(2)
    library.changer.transfer(3, 2)
    library.changer.insert(blank(library, "VLT007L8"))
    changes = {change.barcode: change for change in library.inventory().changes}
    assert {barcode: change.how for barcode, change in changes.items()} == {
        "VLT002L8": How.GONE,
        "VLT003L8": How.MOVED,
        "VLT007L8": How.APPEARED,
    }
    assert (changes["VLT003L8"].before.number, changes["VLT003L8"].now.number) == (3, 2)
    assert "slot 3 to slot 2" in str(changes["VLT003L8"])
    assert library.inventory().changes == ()


def test_a_cartridge_moved_by_hand_is_found_where_it_is_now(library):
    library.inventory()
    library.changer.transfer(1, 6)
    with library.load("VLT001L8") as session:
        assert session.barcode == "VLT001L8"
    assert library.unload(0).target.number == 6


def test_a_cartridge_whose_place_a_hand_has_given_away_goes_to_a_free_one(library):
    library.load("VLT001L8").close()
    library.changer.transfer(2, 1)
    with library.load("VLT003L8", drive=0) as session:
        assert session.barcode == "VLT003L8"
    assert library.inventory().find("VLT001L8").place.number == 2


def test_cartridges_with_one_label_are_not_touched(library):
    library.changer.insert(blank(library, "twin"), barcode="VLT001L8")
    inventory = library.inventory()
    assert inventory.duplicates == {"VLT001L8"}
    assert all(found.note for found in inventory.cartridges if found.barcode == "VLT001L8")
    with pytest.raises(DuplicateBarcode):
        library.load("VLT001L8")
    assert not any(drive.full for drive in library.inventory().status.drives)
    library.load("VLT002L8").close()


@pytest.mark.parametrize(
    ("barcode", "options", "error"),
    [
        ("VLT099L8", {}, NotInLibrary),
        ("CLN001CU", {}, Incompatible),
        ("vlt001l8", {}, Refused),
        ("VLT001L7", {"write": True}, NotInLibrary),
    ],
)
def test_what_cannot_be_loaded_moves_nothing(library, barcode, options, error):
    before = where(library)
    with pytest.raises(error):
        library.load(barcode, **options)
    assert where(library) == before


@pytest.mark.parametrize(
    ("drives", "barcode", "write", "message"),
    [
        ("LTO-9", "VLT005L7", False, "too old"),
        ("LTO-7", "VLT005L5", True, "only reads"),
        ("LTO-7", "VLT005L8", False, "newer"),
        ("LTO-8", "VLT005L4", False, "LTO-5 or newer"),
    ],
)
def test_generations_that_do_not_fit_are_known_before_anything_moves(library, drives, barcode, write, message):
    with open(os.path.join(library.changer.path, "generation"), "w") as file:
        file.write(drives)
    library.changer.insert(blank(library, barcode))
    before = where(library)
    with pytest.raises(Incompatible, match=message):
        library.load(barcode, write=write)
    assert where(library) == before


def test_the_label_on_tape_must_agree_with_the_one_on_the_box(library):
    with library.load("VLT001L8") as session:
        uuid = session.format()
    library.unload(0)
    folder = library.changer.remove(1)
    library.changer.insert(folder, slot=1, barcode="VLT009L8")
    with pytest.raises(WrongCartridge, match="VLT001"):
        library.load("VLT009L8")
    assert where(library)["VLT009L8"] == 1, "it was not put back"
    assert not library.inventory().status.drive(0).full
    library.changer.insert(library.changer.remove(1), slot=1, barcode="VLT001L8")
    with library.load("VLT001L8", volume_uuid=uuid) as session:
        assert session.recognise().serial == "VLT001"
    library.unload(0)
    for barcode in ("VLT001L8", "VLT002L8"):
        with pytest.raises(WrongVolume):
            library.load(barcode, volume_uuid="00000000-0000-4000-8000-000000000000")
        assert not library.inventory().status.drive(0).full


def test_drives_are_shared_and_emptied_as_needed(library):
    one, two = library.load("VLT001L8"), library.load("VLT002L8")
    assert {one.drive, two.drive} == {0, 1}
    assert library.session_in(one.drive) is one
    assert {drive.in_session for drive in library.inventory().drives} == {"VLT001L8", "VLT002L8"}
    with pytest.raises(Busy, match="VLT001L8"):
        library.load("VLT003L8")
    with pytest.raises(Busy):
        library.load("VLT001L8")
    one.close()
    three = library.load("VLT003L8")
    assert three.drive == one.drive
    assert where(library)["VLT001L8"] == 1
    assert library.changer.inventory().slot(1).full


def test_drives_that_are_to_be_avoided_are_left_and_say_nothing_of_a_cartridge(library):
    library.load("VLT001L8", drive=0).close()
    with library.load("VLT001L8", avoid={0}) as session:
        assert (session.drive, library.tried) == (1, 1)
    with pytest.raises(Busy, match="may be used"):
        library.load("VLT001L8", avoid={0, 1})
    assert library.tried is None


def test_what_fits_no_drive_but_perhaps_one_to_be_avoided_is_not_called_unfit(library):
    library.changer.insert(blank(library, "VLT009M8"))
    with open(os.path.join(library.changer.path, "generation"), "w") as file:
        file.write("LTO-6")
    with pytest.raises(Busy, match="may be used"):
        library.load("VLT009M8", avoid={0})


def test_a_cartridge_that_is_in_a_drive_is_used_there(library):
    library.load("VLT001L8", drive=1).close()
    with library.load("VLT001L8") as session:
        assert session.drive == 1


def test_an_open_door_is_told_and_after_it_everything_is_looked_at_anew(library):
    library.inventory()
    door = os.path.join(library.changer.path, "door-open")
    open(door, "w").close()
    with pytest.raises(DoorOpen):
        library.inventory()
    with pytest.raises(DoorOpen):
        library.load("VLT001L8")
    library.changer.remove(2)
    os.unlink(door)
    with open(os.path.join(library.changer.path, FAULTS), "w") as file:
        file.write("unit-attention\n")
    assert [(change.barcode, change.how) for change in library.inventory().changes] == [("VLT002L8", How.GONE)]


def test_a_drive_that_vanishes_is_named_and_the_other_one_is_used(library):
    gone = os.path.join(library.changer.path, "vanished-0")
    session = library.load("VLT001L8")
    open(gone, "w").close()
    with pytest.raises(DriveVanished):
        session.recognise()
    session.close()
    seen = library.inventory().drives
    assert (seen[0].facts, seen[1].problem) == (None, "")
    assert "VIRTUAL000" in seen[0].problem
    with library.load("VLT002L8") as other:
        assert other.drive == 1
    with pytest.raises(DriveVanished):
        library.load("VLT003L8", drive=0)
    os.unlink(gone)
    assert library.inventory().drives[0].problem == ""
    library.load("VLT001L8").close()


def test_cleaning_is_done_with_the_most_used_cartridge_and_counted(library):
    library.changer.insert(blank(library, "CLN002CU"))
    with open(os.path.join(library.changer.path, "alerts-0"), "w") as file:
        file.write("20\n4\n")
    assert library.alerts(0) == {Flag.CLEAN_NOW, Flag.MEDIUM}
    assert library.alerts(0) == frozenset(), "reading clears"
    done = library.clean(0, [CleaningCartridge("CLN002CU", 7), CleaningCartridge("CLN003CU", 9)])
    assert done.cartridge == CleaningCartridge("CLN002CU", 8)
    assert done.flags == frozenset()
    assert not library.inventory().status.drive(0).full
    with open(os.path.join(library.changer.path, "CLN002CU", "cleanings")) as file:
        assert file.read() == "1\n"


def test_a_worn_out_cleaning_cartridge_is_told_by_the_drive_and_used_no_more(library):
    with open(os.path.join(library.changer.path, "CLN001CU", "cleanings"), "w") as file:
        file.write("50\n")
    with open(os.path.join(library.changer.path, "alerts-0"), "w") as file:
        file.write("20\n")
    done = library.clean(0)
    assert done.cartridge == CleaningCartridge("CLN001CU", 1, expired=True)
    assert done.flags == {Flag.EXPIRED_CLEANING_MEDIUM, Flag.CLEAN_NOW}
    with pytest.raises(Refused, match="uses left"):
        library.clean(0, [done.cartridge])
    with library.load("VLT001L8", drive=0), pytest.raises(Busy):
        library.clean(0)


def test_cartridges_leave_and_come_by_the_import_export_slot(library):
    library.load("VLT001L8").close()
    assert library.export("VLT001L8").target.import_export
    with pytest.raises(ElementFull):
        library.export("VLT002L8")
    assert library.inventory().changes == ()
    assert library.take_in("VLT002L8") is None, "what nobody scanned stays in the door"
    assert library.inventory().find("VLT001L8").place.import_export
    assert library.take_in("VLT001L8").barcode == "VLT001L8"
    assert where(library)["VLT001L8"] == 1
    assert library.take_in("VLT001L8") is None


def test_a_cartridge_that_was_brought_is_found_where_it_was_put(library):
    library.changer.remove(2)
    assert library.arrived("VLT002L8").place.number == 2
    assert library.arrived("VLT002L8").place.number == 2
    with pytest.raises(NotInLibrary):
        library.arrived("VLT099L8")
    assert library.asked is None
    with pytest.raises(Refused, match="nobody"):
        library.confirm("VLT002L8")


def test_a_person_is_asked_for_cartridges_and_confirms_by_the_label(tmp_path):
    changer = ManualChanger(tmp_path / "shelf")
    with Library(changer, {}, own_sessions(tmp_path)) as library:
        assert library.arrived("VLT001L8").place.number == 1
        assert library.arrived("VLT001L8").place.number == 1
        assert library.arrived("VLT002L8").place.number == 2
        assert library.inventory().changes == ()
        changer.load(1, 0)
        assert library.asked.barcode == "VLT001L8"
        with pytest.raises(WrongCartridge):
            library.confirm("VLT002L8")
        assert library.confirm("VLT001L8").target.number == 0
        assert library.asked is None
        assert library.inventory().changes == ()


def test_a_second_owner_is_told_so_in_another_process_too(library, path):
    with pytest.raises(Busy, match="another owner"):
        virtual_library(path)
    code = f"from hardware.tape.libraries import virtual_library; virtual_library({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "has another owner" in done.stderr
    library.close()
    virtual_library(path).close()


def test_closing_ends_the_sessions(library):
    session = library.load("VLT001L8")
    uuid = session.format()
    writing = session.open_for_writing(uuid)
    writing.create("half").write(b"x" * 600_000)
    library.close()
    with pytest.raises(Refused):
        session.recognise()
