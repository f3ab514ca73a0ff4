import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Busy, HardwareError, Refused, Unreachable
from hardware.tape import mtx
from hardware.tape.changer import Drive, Slot
from hardware.tape.errors import (
    DeviceFault,
    DoorOpen,
    ElementEmpty,
    ElementFull,
    HomeUnknown,
    InvalidElement,
    NotReady,
    NotUnderstood,
    RemovalPrevented,
    TimedOut,
)
from hardware.tape.mtx import MtxChanger, Timeouts
from hardware.tape.mtx_status import parse_status
from hardware.tape.patience import Patience

IBM = """\
  Storage Changer /dev/sg2:2 Drives, 5 Slots ( 1 Import/Export )
Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = VLT001L8                        \x20
Data Transfer Element 1:Empty
      Storage Element 1:Empty
      Storage Element 2:Full :VolumeTag=VLT002L8                        \x20
      Storage Element 3:Full :VolumeTag=
      Storage Element 4:Full\x20
      Storage Element 5 IMPORT/EXPORT:Full :VolumeTag=CLN001L1
"""


def test_status_of_a_library():
    status = parse_status(IBM.encode())
    assert status.drives == (Drive(0, True, "VLT001L8", 1), Drive(1, False))
    assert status.slots == (
        Slot(1, False),
        Slot(2, True, "VLT002L8"),
        Slot(3, True),
        Slot(4, True),
        Slot(5, True, "CLN001L1", True),
    )


@pytest.mark.parametrize(
    ("line", "drive"),
    [
        ("Data Transfer Element 0:Full (Unknown Storage Element Loaded):VolumeTag = VLT001L8", ("VLT001L8", None)),
        ("Data Transfer Element 0:Full (Unknown Storage Element Loaded)", ("", None)),
        ("Data Transfer Element 0:Full (Storage Element 7 Loaded)", ("", 7)),
        ("Data Transfer Element:Full (Storage Element 7 Loaded):VolumeTag=VLT001L8", ("VLT001L8", 7)),
        (
            "Data Transfer Element 0:Full (Storage Element 7 Loaded):VolumeTag = A1L8:AlternateVolumeTag = B",
            ("A1L8", 7),
        ),
        ("Data Transfer Element 0:Full (Storage Element 7 Loaded):AlternateVolumeTag = B", ("", 7)),
        ("Data Transfer Element 0:Full (Storage Element 7 Loaded):VolumeTag = \x01\x02\ufffd", ("", 7)),
        ("  Data Transfer Element 0:Full:VolumeTag =VLT001L8\r", ("VLT001L8", None)),
    ],
)
def test_drives_as_vendors_print_them(line, drive):
    text = f"  Storage Changer /dev/tape/by-id/x:1:1 Drives, 0 Slots ( 0 Import/Export )\nWarning: unknown\n{line}\n"
    found = parse_status(text.encode()).drives[0]
    assert (found.number, found.full, found.barcode, found.home) == (0, True, *drive)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Storage Element 1:Empty",
        IBM.replace("5 Slots", "6 Slots"),
        IBM.replace("2 Drives", "1 Drives"),
        IBM.replace("Storage Element 4:", "Storage Element 3:"),
        IBM.replace("Element 1:Empty", "Element 0:Empty"),
        "\n".join(IBM.splitlines()[:-1]),
        IBM.replace("Storage Element 2:Full", "Storage Element 2:Sideways"),
    ],
)
def test_half_a_list_is_no_list(text):
    """Otherwise cartridges would look as if they were gone."""
    with pytest.raises(NotUnderstood):
        parse_status(text.encode())


PIECES = st.sampled_from(
    [
        "  Storage Changer /dev/sg2:1 Drives, 1 Slots ( 0 Import/Export )\n",
        "Data Transfer Element 0:Full",
        "Data Transfer Element ",
        "Storage Element 1:",
        "Storage Element 1 IMPORT/EXPORT:Full ",
        " (Storage Element 4 Loaded)",
        " (Unknown Storage Element Loaded)",
        ":VolumeTag = ",
        ":VolumeTag=",
        ":AlternateVolumeTag=",
        "99999999999999999999",
        "Empty",
        "Full ",
        "VLT001L8",
        "\n",
        ":",
        " " * 200,
        "\r",
        "١",
        "\0",
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join).map(str.encode) | st.binary(max_size=300))
def test_whatever_is_printed_is_a_status_or_not_understood(data):
    try:
        status = parse_status(data)
    except NotUnderstood:
        return
    for place in status.places():
        assert place.full or not place.barcode
        assert place.barcode.isascii()


@given(st.data())
def test_a_status_with_some_bytes_changed(data):
    text = bytearray(IBM.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotUnderstood):
        parse_status(bytes(text))


def test_long_lines_and_long_lists_are_read_in_linear_time():
    slots = "".join(f"      Storage Element {number}:Empty\n" for number in range(1, 20001))
    text = f"  Storage Changer /dev/sg2:0 Drives, 20000 Slots ( 0 Import/Export )\n{':' * 10**6}\n{slots}"
    assert len(parse_status(text.encode()).slots) == 20000
    for filling in (" ", ": ", ":VolumeTag", "Storage Element ", "("):
        with pytest.raises(NotUnderstood):
            parse_status(f"Data Transfer Element 0:Full {filling * 200_000}".encode())


# What mtx says, as printed by mtx 1.3.12.


def sense(key, asc, ascq):
    return (
        "mtx: Request Sense: Long Report=yes\nmtx: Request Sense: Error Code=70 (Current)\n"
        f"mtx: Request Sense: Sense Key={key}\nmtx: Request Sense: Additional Sense Code = {asc:02X}\n"
        f"mtx: Request Sense: Additional Sense Qualifier = {ascq:02X}\nmtx: Request Sense: SKSV=no\n"
        "MOVE MEDIUM from Element Address 4096 to 256 Failed\n"
    )


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("Drive 0 Full (Storage Element 1 loaded)\n", ElementFull),
        ("Storage Element 4 is Already Full\n", ElementFull),
        ("Destination Element Address 4097 is Already Full\n", ElementFull),
        ("Source Element Address 4099 is Empty\n", ElementEmpty),
        ("source Element Address 1027 is Empty\n", ElementEmpty),
        ("Data Transfer Element 1 is Empty\n", ElementEmpty),
        ("No Source for tape in drive 0!\n", HomeUnknown),
        ("Do not know which slot to unload tape into!\n", HomeUnknown),
        ("Invalid <storage-element-number> argument '9' to 'load' command\n", InvalidElement),
        ("illegal <drive-number> argument '5' to 'load' command\n", InvalidElement),
        ("Invalid source\n", InvalidElement),
        ("cannot open SCSI device '/dev/sg9' - No such file or directory\n", Unreachable),
        ("cannot open SCSI device '/dev/sg9' - Permission denied\n", Refused),
        ("cannot open SCSI device '/dev/sg9' - Device or resource busy\n", Busy),
        (sense("Not Ready", 0x04, 0x01), NotReady),
        (sense("Not Ready", 0x04, 0x18), DoorOpen),
        (sense("Not Ready", 0x04, 0x83), DoorOpen),
        (sense("Illegal Request", 0x3B, 0x12), DoorOpen),
        (sense("Illegal Request", 0x3B, 0x0D), ElementFull),
        (sense("Illegal Request", 0x3B, 0x0E), ElementEmpty),
        (sense("Illegal Request", 0x21, 0x01), InvalidElement),
        (sense("Illegal Request", 0x53, 0x02), RemovalPrevented),
        (sense("Hardware Error", 0x15, 0x01), DeviceFault),
        ("", NotUnderstood),
        ("something new\n", NotUnderstood),
    ],
)
def test_every_text_of_mtx_has_its_outcome(output, error):
    found = mtx.error_for(1, output.encode(), "/dev/sg2: load 1 0")
    assert type(found) is error
    assert "/dev/sg2: load 1 0" in found.message


@given(
    st.integers(-64, 255),
    st.binary(max_size=300) | st.builds(sense, st.text(max_size=9), st.integers(0, 255), st.just(0)),
)
def test_whatever_mtx_says_has_an_outcome(code, output):
    error = mtx.error_for(code, output if isinstance(output, bytes) else output.encode(), "x")
    assert isinstance(error, HardwareError)
    assert len(str(error)) < 1000


# mtx itself, played by a small program.


@pytest.fixture
def play(tmp_path):
    """A changer whose ``mtx`` is a Python program."""
    opened = []

    def make(code, timeout=30.0):
        program = tmp_path / f"mtx{len(opened)}"
        program.write_text(f"#!{sys.executable} -ISE\nimport os, sys, signal, time\nhere = {str(tmp_path)!r}\n{code}\n")
        program.chmod(0o755)
        lock = tmp_path / f"lock{len(opened)}"
        lock.touch()
        changer = MtxChanger(
            "/dev/sg2",
            program=str(program),
            lock=lock,
            timeouts=Timeouts(timeout, timeout, timeout),
            patience=Patience(3, wait=lambda _: None),
        )
        opened.append(changer)
        return changer

    yield make
    for changer in opened:
        changer.close()


def test_a_hanging_mtx_is_ended_with_all_it_started(play, tmp_path):
    changer = play("", timeout=2.0)
    (tmp_path / "mtx0").write_text(
        f"#!/bin/sh\nsleep 1000 &\necho $! >{tmp_path}/child\necho $$ >{tmp_path}/parent\nwait\n"
    )
    with pytest.raises(TimedOut, match="no answer for") as caught:
        changer.inventory()
    assert "inventory" in caught.value.remedy
    for name in ("parent", "child"):
        pid = int((tmp_path / name).read_text())
        with contextlib.suppress(FileNotFoundError):
            # The child may wait to be collected by init, but it does not run.
            assert Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"


def test_an_mtx_that_dies_or_is_missing(play, tmp_path):
    with pytest.raises(Unreachable, match=f"signal {signal.SIGSEGV.value}"):
        play("os.kill(os.getpid(), signal.SIGSEGV)").inventory()
    changer = play("")
    (tmp_path / "mtx1").unlink()
    with pytest.raises(Unreachable, match="cannot be started") as caught:
        changer.inventory()
    assert "Install" in caught.value.remedy


def test_mtx_speaks_one_language_and_reads_no_terminal(play):
    changer = play("assert os.environ['LC_ALL'] == 'C.UTF-8' and sys.stdin.read() == ''\nprint('nothing')")
    with pytest.raises(NotUnderstood, match="no status"):
        changer.inventory()


def test_a_status_with_a_complaint_beside_it_is_asked_for_again(play):
    """Seen: after a unit attention mtx lists no import/export slots, ends with 0, and complains on standard error."""
    short = IBM.replace("5 Slots ( 1", "4 Slots ( 0").rsplit("      Storage Element 5", 1)[0]
    changer = play(
        f"seen = here + '/seen'\nif not os.path.exists(seen):\n    open(seen, 'w')\n"
        f"    sys.stderr.write({sense('Unit Attention', 0x28, 0)!r})\n    print({short!r})\nelse:\n    print({IBM!r})"
    )
    assert len(changer.inventory().slots) == 5


def test_a_library_that_refuses_to_tell_its_dimensions_is_believed(play):
    changer = play(f"sys.stderr.write({sense('Illegal Request', 0x24, 0)!r})\nprint({IBM!r})")
    assert len(changer.inventory().slots) == 5


def test_a_move_that_was_done_before_the_library_was_not_ready(play):
    """Otherwise the second attempt would call the slot empty, and nobody would know where the cartridge is."""
    head = "  Storage Changer /dev/sg2:1 Drives, 1 Slots ( 0 Import/Export )\n"
    home = head + "Data Transfer Element 0:Empty\n      Storage Element 1:Full :VolumeTag=VLT001L8\n"
    gone = (
        head + "Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = VLT001L8\nStorage Element 1:Empty\n"
    )
    changer = play(
        f"seen = here + '/moved'\nif 'load' in sys.argv:\n    open(seen, 'x')\n"
        f"    sys.exit({sense('Not Ready', 4, 1)!r})\nprint({gone!r} if os.path.exists(seen) else {home!r})"
    )
    assert changer.load(1, 0).barcode == "VLT001L8"


def test_a_move_that_went_elsewhere_is_not_called_done(play):
    head = "  Storage Changer /dev/sg2:1 Drives, 1 Slots ( 0 Import/Export )\n"
    home = head + "Data Transfer Element 0:Empty\n      Storage Element 1:Full :VolumeTag=VLT001L8\n"
    other = (
        head + "Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = XYZ001L8\nStorage Element 1:Empty\n"
    )
    for after in (home, other):
        changer = play(
            f"seen = __file__ + '.moved'\nif 'load' in sys.argv:\n    open(seen, 'x')\n"
            f"else:\n    print({after!r} if os.path.exists(seen) else {home!r})"
        )
        with pytest.raises(NotUnderstood, match="shows something else"):
            changer.load(1, 0, barcode="VLT001L8")


def test_a_changer_that_is_not_there():
    with pytest.raises(Unreachable):
        MtxChanger("/dev/no-such-changer")
    assert not os.path.exists("/dev/no-such-changer")
