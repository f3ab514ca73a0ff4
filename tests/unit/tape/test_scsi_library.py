"""A whole SCSI library through real ioctls and the real mtx: drives by serial number, loads verified, one owner.

What starts with ``in_`` runs in a process that sees the devices.
"""

import pytest

from hardware.errors import HardwareError, Refused
from hardware.tape.changer import Moved, OperatorAsked
from hardware.tape.elements import DriveElement, parse_drive_elements
from hardware.tape.errors import (
    DoorOpen,
    DriveVanished,
    DuplicateBarcode,
    Incompatible,
    InvalidElement,
    NotInLibrary,
    NotUnderstood,
    WrongCartridge,
    WrongVolume,
)
from hardware.tape.held import HeldCartridge
from hardware.tape.inventory import How
from hardware.tape.libraries import manual_library, pair, scsi_library
from hardware.tape.nodes import find_nodes
from hardware.tape.patience import Patience
from hardware.tape.session import LtfsVolume
from hardware.tape.tapealert import Flag
from hardware.tape.tools.acts import Tools
from tests.support.tape import STORAGE, emulated_library
from tests.support.tools import require


class InLibrary:
    """Acts on one library, in the process that sees its devices; it stays open between calls."""

    held = None

    @classmethod
    def open(cls, work, **options):
        cls.held = scsi_library(tools=Tools(work, work), patience=Patience(attempts=3, interval=0), **options)

    @classmethod
    def open_manual(cls, work, **options):
        cls.held = manual_library(work, tools=Tools(work, work), **options)


def in_library(act, *arguments, **options):
    """What an act of the library says; of a session, what is on the cartridge and in its files."""
    try:
        if act in {"open", "open_manual"}:
            return getattr(InLibrary, act)(*arguments, **options)
        if act == "close":
            return InLibrary.held.close()
        if act == "nodes":
            return find_nodes()
        if act == "confirm":
            return InLibrary.held.changer.confirm(*arguments)
        if act == "place":
            return InLibrary.held.changer.place(*arguments)
        said = getattr(InLibrary.held, act)(*arguments, **options)
        if isinstance(said, HeldCartridge):
            with said:
                content = said.recognise()
                if not isinstance(content, LtfsVolume):
                    return said.drive, content, {}
                with said.open_for_reading() as reader:
                    return said.drive, content, {entry.path: b"".join(reader.read(entry)) for entry in reader.files()}
        return said
    except HardwareError as error:
        return error


@pytest.fixture(params=["ibm", "quantum", "hp"])
def style(request):
    return request.param


@pytest.fixture
def library(tmp_path, style, cartridge):
    require("mtx", "mtx", ["/usr/sbin", "/sbin"])
    with emulated_library(tmp_path, drives=2, slots=4, exports=1, style=style) as found:
        found.do("put", kind=STORAGE, number=0, barcode="VLT001L8", folder=str(cartridge))
        found.do("put", kind=STORAGE, number=1, barcode="VLT002L8")
        found.do("put", kind=STORAGE, number=2, barcode="CLN001CU")
        found.work = str(tmp_path / "work")
        yield found


def test_everything_of_a_library(library, files):
    def ask(act, *arguments, **options):
        return library.call(_call, act, arguments, options)

    nodes = ask("nodes")
    assert [(node.path, node.changer) for node in nodes] == [
        ("/dev/sg1", False), ("/dev/sg2", False), ("/dev/sg3", True)
    ]  # fmt: skip
    assert ask("open", library.work) is None
    inventory = ask("inventory")
    # Drive 0 of the library is at sg2: nothing but its serial number tells.
    assert [(drive.number, drive.serial, drive.problem) for drive in inventory.drives] == [
        (0, "10WT012340", ""), (1, "10WT012341", "")
    ]  # fmt: skip
    assert library.serials["10WT012340"] == "/dev/sg2"
    assert [found.barcode for found in inventory.cartridges] == ["VLT001L8", "VLT002L8", "CLN001CU"]
    # Loaded into the drive that was asked for, and read there.
    drive, content, held = ask("load", "VLT001L8", drive=1)
    assert (drive, content.serial, content.protected) == (1, "VLT001", False)
    assert held == files
    drive, _, held = ask("load", "VLT001L8", volume_uuid=content.volume_uuid)
    assert (drive, held) == (1, files)
    # The volume that is on it is not the one expected: it is put back.
    assert isinstance(ask("load", "VLT001L8", volume_uuid="0" * 36), WrongVolume)
    assert not any(drive.full for drive in ask("inventory").status.drives)
    # What cannot be is told before anything moves.
    assert isinstance(ask("load", "VLT009L8"), NotInLibrary)
    assert isinstance(ask("load", "CLN001CU"), Incompatible)
    library.do("put", kind=STORAGE, number=3, barcode="VLT004L9")
    assert isinstance(ask("load", "VLT004L9"), Incompatible)
    assert [change.how for change in ask("inventory").changes] == []
    library.do("put", kind=STORAGE, number=3, barcode="VLT001L8")
    assert isinstance(ask("load", "VLT001L8"), DuplicateBarcode)
    library.do("take", kind=STORAGE, number=3)
    # Moved by hand while the door was open.
    ask("inventory")
    library.do("set", node=library.changer, door_open=True)
    assert isinstance(ask("inventory"), DoorOpen)
    library.do("take", kind=STORAGE, number=1)
    library.do("put", kind=STORAGE, number=3, barcode="VLT002L8")
    library.do("set", node=library.changer, door_open=False)
    library.fault(library.changer, 6, 0x28, 0)
    (change,) = ask("inventory").changes
    assert (change.barcode, change.how, change.now.number) == ("VLT002L8", How.MOVED, 4)
    # TapeAlert has one reader.
    library.do("set", node="/dev/sg2", alerts=[20, 4])
    assert ask("alerts", 0) == {Flag.CLEAN_NOW, Flag.MEDIUM}
    assert ask("alerts", 0) == frozenset()
    # The door to the outside.
    assert isinstance(ask("export", "VLT001L8"), Moved)
    assert ask("inventory").find("VLT001L8").place.import_export
    assert ask("take_in", "VLT001L8").barcode == "VLT001L8"
    # A label of the box that the tape contradicts.
    where = ask("inventory").find("VLT001L8").place.number
    folder = str(library.cartridge)
    library.do("put", kind=STORAGE, number=where - 1, barcode="VLT008L8", folder=folder)
    assert isinstance(ask("load", "VLT008L8"), WrongCartridge)
    assert ask("inventory").find("VLT008L8").place.number == where
    assert ask("close") is None


@pytest.fixture(autouse=True)
def _known(request):
    """The fixture of the library tells where the cartridge's folder is."""
    if "library" in request.fixturenames:
        request.getfixturevalue("library").cartridge = request.getfixturevalue("cartridge")


def _call(act, arguments, options):
    return in_library(act, *arguments, **options)


def test_cleaning_with_the_library(library):
    def ask(act, *arguments, **options):
        return library.call(_call, act, arguments, options)

    ask("open", library.work)
    # The drive says that a cleaning cartridge is in it, then that there is none.
    library.fault("/dev/sg2", 2, 0x30, 3, opcode=0, times=1)
    library.do("set", node="/dev/sg2", alerts=[])
    done = ask("clean", 0)
    assert (done.drive, done.cartridge.barcode, done.cartridge.uses) == (0, "CLN001CU", 1)
    assert ask("inventory").find("CLN001CU").place.number == 3
    # One with data whose box says that it cleans: the drive makes it ready, and is not clean.
    library.do("put", kind=STORAGE, number=2, barcode="CLN001CU", folder=str(library.cartridge))
    done = ask("clean", 0)
    assert done.flags == {Flag.INVALID_CLEANING_MEDIUM}
    assert ask("inventory").find("CLN001CU").place.number == 3
    # One that bears a label of data: the drive knows better, and nothing is concluded of what is on it.
    library.fault("/dev/sg2", 2, 0x30, 3, opcode=0, times=9)
    said = ask("load", "VLT002L8", drive=0)
    assert isinstance(said, Incompatible)
    assert "a cleaning cartridge is in the drive" in said.message
    assert "load another one" in said.remedy
    ask("close")


def test_drives_that_were_not_found_are_named(library):
    def ask(act, *arguments, **options):
        return library.call(_call, act, arguments, options)

    ask("open", library.work, drives=("10WT012341",))
    first, second = ask("inventory").drives
    assert (first.facts, second.problem) == (None, "")
    assert "serial number" in first.problem
    assert isinstance(ask("load", "VLT001L8", drive=0), InvalidElement)
    assert ask("load", "VLT001L8")[0] == 1
    ask("close")


def test_a_drive_loaded_by_hand(tmp_path, cartridge, files):
    with emulated_library(tmp_path, drives=1, slots=1, exports=0) as library:

        def ask(act, *arguments, **options):
            return library.call(_call, act, arguments, options)

        ask("open_manual", str(tmp_path / "shelf"))
        ask("place", "VLT001L8")
        asked = ask("load", "VLT001L8")
        assert isinstance(asked, OperatorAsked)
        assert "Put VLT001L8 into drive 0" in asked.request
        assert ask("load", "VLT001L8") == asked, "asking again asks for the same"
        library.do("put", kind=4, number=0, barcode="", folder=str(cartridge))
        ask("confirm", "VLT001L8")
        drive, content, held = ask("load", "VLT001L8")
        assert (drive, content.serial, held) == (0, "VLT001", files)
        assert isinstance(ask("unload", 0), OperatorAsked)
        ask("confirm", "VLT001L8")
        # The person puts in another one than was asked for, and scans what was asked for.
        ask("place", "VLT005L8")
        ask("load", "VLT005L8")
        library.do("put", kind=4, number=0, barcode="", folder=str(cartridge))
        ask("confirm", "VLT005L8")
        assert isinstance(ask("load", "VLT005L8"), WrongCartridge)
        ask("close")
        assert isinstance(ask("open_manual", str(tmp_path / "shelf"), drive="NONE"), DriveVanished)


@pytest.mark.parametrize(
    ("serials", "nodes", "wanted", "paired"),
    [
        (["A1", "B2"], {"B2": "/dev/sg1", "A1": "/dev/sg2"}, (), {0: ("A1", "/dev/sg2"), 1: ("B2", "/dev/sg1")}),
        (["00A1", "B2"], {"A1": "/dev/sg2"}, (), {0: ("A1", "/dev/sg2")}),
        ([""], {"A1": "/dev/sg2"}, ("A1",), {0: ("A1", "/dev/sg2")}),
        ([""], {"A1": "/dev/sg2"}, (), {}),
        (["", ""], {"A1": "/dev/sg2"}, ("A1",), {}),
        (["Z9"], {"A1": "/dev/sg2"}, ("A1",), {}),
    ],
)
def test_drives_are_paired_by_serial_number_and_never_guessed(serials, nodes, wanted, paired):
    elements = [DriveElement(number, 256 + number, False, "", serial) for number, serial in enumerate(serials)]
    assert pair(elements, nodes, wanted) == paired


TGT = bytes.fromhex(
    "00800002000000b4" "04800056000000ac"
    + "008000000000000000000000" + "20" * 32 + "00000000" + "02010022" + b"IBM     ULTRIUM-TD8     DRIVE001\0\0".hex()
    + "008100000000000000000000" + "20" * 32 + "00000000" + "02010022" + b"IBM     ULTRIUM-TD8     DR".hex()
)  # fmt: skip
"""What tgt 1.0.85 sends for two drives: eight bytes less than it says."""


def test_a_library_that_miscounts_its_bytes_is_understood_as_far_as_that_is_safe():
    assert len(TGT) == 180
    first, second = elements = parse_drive_elements(TGT)
    assert (first.serial, first.serial_cut) == ("DRIVE001", False)
    assert (second.address, second.serial, second.serial_cut) == (129, "DR", True)
    both = {"DRIVE002": "/dev/sg1", "DRIVE001": "/dev/sg2"}
    assert pair(elements, both, ()) == {0: ("DRIVE001", "/dev/sg2"), 1: ("DRIVE002", "/dev/sg1")}
    # Where two drives could be meant, or none that agrees, nothing is guessed.
    assert set(pair(elements, both | {"DRIVE003": "/dev/sg3"}, ())) == {0}
    assert set(pair(elements, {"DRIVE001": "/dev/sg2", "XY": "/dev/sg1"}, ())) == {0}
    for end in range(len(TGT)):
        with pytest.raises(NotUnderstood):
            parse_drive_elements(TGT[:end])


def test_a_machine_without_a_library_says_so(tmp_path):
    with pytest.raises(Refused, match="none"):
        scsi_library(tools=Tools(str(tmp_path), str(tmp_path)))
    with pytest.raises(Refused, match="0 tape drives"):
        manual_library(tmp_path / "shelf", tools=Tools(str(tmp_path), str(tmp_path)))
