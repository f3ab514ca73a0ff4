"""Real ioctls on emulated nodes: programs of others, and our drive and medium beside them.

What starts with ``in_`` runs in a process that sees the nodes; the rest of the test tells the devices what to do.
"""

import contextlib
import errno
import json
import os
import subprocess
import sys

import pytest

from hardware.errors import Busy, HardwareError, MediumChanged, NotFound, Refused, Unreachable, Unsupported
from hardware.tape import elements, sgio
from hardware.tape.barcodes import parse
from hardware.tape.cleaning import Cleaning, should_clean
from hardware.tape.drive import DriveFacts, DriveState, Loaded, ScsiTapeDrive, check_fits
from hardware.tape.errors import DoorOpen, DriveVanished, Incompatible, NoCartridge, NotReady, TimedOut
from hardware.tape.generation import Generation
from hardware.tape.mtx import MtxChanger
from hardware.tape.sgio import Direction, SgDevice
from hardware.tape.tapealert import Flag
from tests.support.tape import DRIVE, NODE, STORAGE, emulated_library
from tests.support.tools import require

# Programs of others.


def test_sg_inq(library):
    require("sg_inq", "sg3-utils")
    code, output = library.run("sg_inq", NODE)
    assert code == 0
    assert "ULTRIUM-HH8" in output
    assert "Unit serial number: 10WT012340" in output


def test_sg_logs_and_that_reading_clears(loaded):
    require("sg_logs", "sg3-utils")
    loaded.run("sg_turs", NODE)
    loaded.do("set", node=NODE, alerts=[3, 20])
    code, output = loaded.run("sg_logs", "-p", "0x2e", NODE)
    assert code == 0
    assert [line.strip() for line in output.splitlines() if line.endswith(": 1")] == [
        "Hard error: 1",
        "Cleaning required: 1",
    ]
    assert ": 1\n" not in loaded.run("sg_logs", "-p", "0x2e", NODE)[1]
    code, output = loaded.run("sg_logs", "-p", "0x17", NODE)
    assert code == 0
    assert "Lifetime megabytes written: 1500" in output
    assert "Volume barcode: VLT001L8" in output


def test_smartctl(loaded):
    smartctl = require("smartctl", "smartmontools", ["/usr/sbin", "/sbin"])
    loaded.run("sg_turs", NODE)
    loaded.do("set", node=NODE, alerts=[4, 21])
    _, output = loaded.run(smartctl, "-a", "-j", NODE)
    found = json.loads(output)
    assert found["device_type"]["name"] == "tape"
    assert found["serial_number"] == "10WT012340"
    # It has not read the flags by that; asked twice for health it does, and clears them.
    for flags in ([4, 21], []):
        _, output = loaded.run(smartctl, "-H", "-H", "-j", NODE)
        alerts = json.loads(output)["scsi_tapealert"]["status"]
        assert alerts == "Good" if not flags else [alert["parameter_code"] for alert in alerts] == flags


@pytest.mark.parametrize("style", ["hp", "bare", "forgetful"])
def test_mtx_on_libraries_of_other_vendors(tmp_path, style):
    mtx = require("mtx", "mtx", ["/usr/sbin", "/sbin"])
    with emulated_library(tmp_path, drives=2, slots=3, exports=1, style=style) as library:
        library.do("put", kind=STORAGE, number=0, barcode="VLT001L8")
        assert library.run(mtx, "-f", library.changer, "load", "1", "1") == (
            0,
            "Loading media from Storage Element 1 into drive 1...done\n",
        )
        _, output = library.run(mtx, "-f", library.changer, "status")
        assert "Data Transfer Element 1:Full" in output
        assert ("VolumeTag = VLT001L8" in output) is (style != "bare")
        assert library.run(mtx, "-f", library.changer, "unload", "4", "1")[0] == 0


def test_labels_are_not_lost_to_a_unit_attention(library, tmp_path, monkeypatch):
    """mtx then asks again without labels, ends with 0 and says nothing; so we look again."""
    mtx = require("mtx", "mtx", ["/usr/sbin", "/sbin"])
    library.do("put", kind=STORAGE, number=0, barcode="VLT001L8")
    library.fault(library.changer, 6, 0x28, 0, opcode=0xB8)
    code, output = library.run(mtx, "-f", library.changer, "status")
    assert (code, "Storage Element 1:Full" in output, "VLT001L8" in output) == (0, True, False)
    for name, value in library.environment.items():
        monkeypatch.setenv(name, value)
    library.fault(library.changer, 6, 0x28, 0, opcode=0xB8)
    (tmp_path / "lock").touch()
    with MtxChanger(library.changer, program=mtx, lock=tmp_path / "lock") as changer:
        assert changer.inventory().slot(1).barcode == "VLT001L8"


# Our drive.


def in_drive(*acts):
    """What each act says, in one session; errors are what they say, too."""
    said = []
    with ScsiTapeDrive(SgDevice.open(NODE), ready_timeout=100, wait=lambda _: None) as drive:
        for act, *arguments in acts:
            try:
                said.append(getattr(drive, act)(*arguments))
            except HardwareError as error:
                said.append(error)
    return said


def test_what_a_drive_says_of_itself(loaded):
    loaded.do("set", node=NODE, alerts=[4, 21])
    facts, state, alerts, again, statistics, cartridge, cleaning = loaded.call(
        in_drive, ["facts"], ["state"], ["alerts"], ["alerts"], ["statistics"], ["loaded"], ["cleaning_requested"]
    )
    assert facts == DriveFacts("IBM", "ULTRIUM-HH8", "R1.0", "10WT012340", Generation.LTO8)
    assert state is DriveState.READY
    assert alerts == {Flag.MEDIUM, Flag.CLEAN_PERIODIC}
    assert should_clean(alerts) is Cleaning.SOON
    assert again == frozenset()
    assert (statistics.loads, statistics.write_errors, statistics.bytes_written) == (12, 1, 1_500_000_000)
    assert (statistics.barcode, statistics.read_retries, statistics.middle_passes) == ("VLT001L8", None, None)
    assert cartridge == Loaded(Generation.LTO8, write_protected=False)
    assert cleaning is False


@pytest.mark.parametrize(
    ("sense", "state"),
    [
        ([2, 0x04, 0x01], DriveState.LOADING),
        ([2, 0x04, 0x03], DriveState.NOT_READY),
        ([2, 0x30, 0x03], DriveState.CLEANING),
        ([2, 0x3A, 0x00], DriveState.EMPTY),
    ],
)
def test_what_a_drive_does(loaded, sense, state):
    assert loaded.call(in_drive, ["state"]) == [DriveState.READY]
    loaded.do("fault", node=NODE, sense=sense, opcode=0)
    assert loaded.call(in_drive, ["state"]) == [state]


def test_an_empty_drive(library):
    state, medium, unload = library.call(in_drive, ["state"], ["medium"], ["unload"])
    assert state is DriveState.EMPTY
    assert type(medium) is NoCartridge
    assert unload is None


def test_unloading(loaded):
    assert loaded.call(in_drive, ["state"], ["unload"], ["state"]) == [DriveState.READY, None, DriveState.EMPTY]


def test_a_cartridge_that_nobody_took_out_is_loaded_again(loaded):
    assert loaded.call(in_drive, ["unload"], ["wait_ready"], ["state"]) == [None, None, DriveState.READY]


def test_a_cartridge_is_let_go_of_after_ltfs_was_killed_over_it(loaded):
    loaded.do("set", node=NODE, prevented=True)
    assert loaded.call(in_drive, ["unload"], ["state"]) == [None, DriveState.EMPTY]


def test_a_drive_that_loads_is_waited_for_but_not_for_ever(loaded):
    loaded.do("set", node=NODE, loading=20)
    assert loaded.call(in_drive, ["wait_ready"]) == [None]
    loaded.do("set", node=NODE, loading=10**6)
    assert type(loaded.call(in_impatience)) is TimedOut
    loaded.do("set", node=NODE, loading=0)
    loaded.fault(NODE, 6, 0x29, 0, times=50)
    assert type(loaded.call(in_drive, ["wait_ready"])[0]) is NotReady


def in_impatience():
    ticks = iter(range(0, 10**6, 60))
    with ScsiTapeDrive(
        SgDevice.open(NODE), ready_timeout=7200, wait=lambda _: None, clock=lambda: next(ticks)
    ) as drive:
        try:
            drive.wait_ready()
        except HardwareError as error:
            return error
    return None


def test_a_device_that_is_no_drive(library):
    assert library.call(in_other_nodes, library.changer) == (Unsupported, NotFound)


def in_other_nodes(changer):
    found = []
    for node in (changer, "/dev/sg77"):
        try:
            ScsiTapeDrive.open(node)
        except HardwareError as error:
            found.append(type(error))
    # The node is free again after it was refused.
    SgDevice.open(changer).close()
    return tuple(found)


def test_a_drive_has_one_owner(library):
    with another_owner(library):
        assert type(library.call(in_open)) is Busy
    assert library.call(in_open) is None


@contextlib.contextmanager
def another_owner(library):
    """Another process that has the drive."""
    code = f"from hardware.tape.sgio import SgDevice as D; x = D.open({NODE!r}); print('held', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | library.environment,
    )
    try:
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.kill()
        process.communicate()


def in_open():
    try:
        SgDevice.open(NODE).close()
    except HardwareError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EBUSY, Busy),
        (errno.ENOENT, NotFound),
        (errno.ENXIO, NotFound),
        (errno.EACCES, Refused),
        (errno.EIO, Unreachable),
    ],
)
def test_the_kernel_is_asked_for_the_node_alone_and_without_waiting(monkeypatch, number, error):
    """The emulation cannot play O_EXCL; the flags, and what the kernel answers by them, are seen here."""
    asked = []

    def refuse(_node, flags):
        asked.append(flags)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sgio.os, "open", refuse)
    with pytest.raises(error) as caught:
        SgDevice.open(NODE)
    assert caught.value.remedy
    assert asked[0] & (os.O_RDWR | os.O_EXCL | os.O_NONBLOCK) == os.O_RDWR | os.O_EXCL | os.O_NONBLOCK


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENODEV, DriveVanished),
        (errno.ENXIO, DriveVanished),
        (errno.EPERM, Refused),
        (errno.ENOMEM, Unreachable),
        (errno.EIO, Unreachable),
    ],
)
def test_a_device_that_is_pulled_out_is_told_from_one_that_does_not_answer(monkeypatch, tmp_path, number, error):
    node = tmp_path / "sg1"
    node.touch()

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with SgDevice.open(str(node)) as device:
        monkeypatch.setattr(sgio.fcntl, "ioctl", refuse)
        with pytest.raises(error) as caught:
            device.test_unit_ready()
    assert type(caught.value) is error
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"host": 3}, TimedOut),
        ({"host": 1}, Unreachable),
        ({"driver": 6}, TimedOut),
        ({"driver": 4}, Unreachable),
        ({"status": 0x18}, Busy),
        ({"status": 0x08}, Busy),
        ({"sense": [2, 4, 0x18]}, DoorOpen),
        ({"sense": [6, 0x29, 0]}, MediumChanged),
    ],
)
def test_what_goes_wrong_on_the_way(library, fault, error):
    library.do("fault", node=library.changer, opcode=0xB8, **fault)
    assert type(library.call(in_elements, library.changer)) is error


def in_elements(changer):
    with SgDevice.open(changer) as device:
        try:
            return elements.read_drive_elements(device)
        except HardwareError as error:
            return error


def test_attentions_about_settings_are_passed_over(library):
    library.fault(library.changer, 6, 0x2A, 1, opcode=0xB8, times=3)
    assert library.call(in_elements, library.changer)[0].serial == "10WT012340"


def in_changer(changer):
    """By the owner of the library, which holds its node; nobody else gets it."""
    with MtxChanger(changer) as library:
        with pytest.raises(Busy):
            SgDevice.open(changer)
        return library.drive_elements()


@pytest.mark.parametrize("style", ["ibm", "hp", "quantum", "bare"])
def test_nodes_are_paired_with_the_drives_of_the_library(tmp_path, style):
    with emulated_library(tmp_path, drives=3, style=style) as library:
        library.do("put", kind=DRIVE, number=1, barcode="VLT001L8", home=0)
        found = library.call(in_elements, library.changer)
        pairing = elements.pair_drives(found, library.serials)
        if style == "bare":
            assert not pairing.complete
            assert pairing.nodes == {}
            return
        assert [(drive.full, drive.barcode) for drive in found] == [(False, ""), (True, "VLT001L8"), (False, "")]
        assert library.call(in_changer, library.changer) == found
        # In the emulation the first drive of the library is the last node.
        assert pairing.nodes == {0: "/dev/sg3", 1: "/dev/sg2", 2: "/dev/sg1"}


@pytest.mark.parametrize("cdb", [b"", b"12345", bytes(17)])
def test_what_cannot_be_sent_is_refused(library, cdb):
    assert library.call(in_command, cdb, 0) is Refused
    assert library.call(in_command, bytes(6), 524289) is Refused


def in_command(cdb, length):
    with SgDevice.open(NODE) as device:
        try:
            device.execute(cdb, Direction.FROM_DEVICE if length else Direction.NONE, length=length)
        except HardwareError as error:
            return type(error)
    return None


# Before anything is moved.

LTO8 = DriveFacts("IBM", "ULTRIUM-HH8", "", "10WT012345", Generation.LTO8)
LTO7 = DriveFacts("IBM", "ULTRIUM-HH7", "", "10WT012345", Generation.LTO7)
UNKNOWN = DriveFacts("X", "Y", "", "1", None)


@pytest.mark.parametrize(
    ("drive", "barcode", "write", "reason"),
    [
        (LTO8, "VLT001L8", True, ""),
        (LTO8, "VLT001M8", True, ""),
        (LTO7, "VLT001L5", False, ""),
        (LTO7, "VLT001L5", True, "only reads"),
        (LTO8, "VLT001L6", False, "too old"),
        (LTO8, "VLT001L9", False, "newer"),
        (LTO8, "CLN001L1", False, "cleaning"),
        (LTO7, "VLT001L4", False, "LTFS"),
        (UNKNOWN, "VLT001L9", True, ""),
    ],
)
def test_what_does_not_fit_is_known_before_it_is_loaded(drive, barcode, write, reason):
    if not reason:
        check_fits(drive, parse(barcode), write=write)
        return
    with pytest.raises(Incompatible, match=reason):
        check_fits(drive, parse(barcode), write=write)


def test_a_node_that_is_kept_from_the_service_is_no_missing_device(tmp_path, monkeypatch):
    """systemd gives the service a /dev of its own, unless the drop-in for tape drives is there."""
    monkeypatch.setattr(sgio, "CLASS", str(tmp_path))
    (tmp_path / "sg9").mkdir()
    with pytest.raises(Refused, match="may not be opened by this service") as caught:
        SgDevice.open(str(tmp_path / "dev/sg9"))
    assert "vaultd-tape.conf" in caught.value.remedy
    with pytest.raises(Unreachable, match="cannot be opened") as caught:
        MtxChanger(str(tmp_path / "dev/sg9"))
    assert "vaultd-tape.conf" in caught.value.remedy
    with pytest.raises(NotFound):
        SgDevice.open(str(tmp_path / "dev/sg8"))
