"""A cartridge read by real ioctls on an emulated node.

What starts with ``in_`` runs in a process that sees the node; the rest of the test tells the drive what to do.
"""

import hashlib
import os

import pytest

from hardware.errors import Busy, Corrupted, HardwareError, MediumChanged, NotFound, Refused, Unsupported
from hardware.ltfs import END, Mark, Position, VirtualMedium, Volume
from hardware.tape.drive import DriveState, ScsiTapeDrive
from hardware.tape.sgio import SgDevice
from tests.support.tape import DRIVE, NODE


def in_volume():
    """Digest by path, read through ioctls from end to end."""
    with ScsiTapeDrive.open(NODE) as drive, drive.medium() as medium, Volume.open(medium) as volume:
        return {
            entry.path: hashlib.sha256(b"".join(pieces)).hexdigest()
            for entry, pieces in volume.read_in_tape_order(volume.files())
        }


@pytest.mark.parametrize("descriptor", [False, True])
def test_an_ltfs_volume_is_read_through_ioctls(loaded, files, descriptor):
    loaded.do("set", node=NODE, descriptor_sense=descriptor)
    assert loaded.call(in_volume) == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def in_medium(*acts):
    """What each act on the medium says; bytes as their length, errors as they are."""
    said = []
    with ScsiTapeDrive(SgDevice.open(NODE), wait=lambda _: None) as drive, drive.medium() as medium:
        for act, *arguments in acts:
            try:
                said.append(getattr(medium, act)(*arguments))
            except HardwareError as error:
                said.append(error)
    return said


def in_virtual(path, *acts):
    said = []
    with VirtualMedium.open(path) as medium:
        for act, *arguments in acts:
            try:
                said.append(getattr(medium, act)(*arguments))
            except HardwareError as error:
                said.append(error)
    return said


ACTS = [
    ("position",), ("read",), ("read",), ("read",), ("read",), ("position",),
    ("locate", 0, 0), ("space_filemarks", 2), ("read",), ("space_filemarks", -1), ("space_filemarks", -1), ("read",),
    ("locate", 1, END), ("read",), ("position",), ("space_filemarks", -1), ("read",), ("read",),
    ("locate", 1, 10**6), ("locate", 1, 5), ("read",), ("space_filemarks", 0),
    ("locate", 0, 0), ("space_filemarks", -1), ("position",), ("locate", 0, 0), ("space_filemarks", 99), ("position",),
    ("attribute", 0, 0x0009), ("attribute", 1, 0x080C), ("attribute", 0, 0x0806), ("attribute", 0, 0x0999),
]  # fmt: skip


def test_a_real_medium_does_what_the_virtual_one_does(loaded, cartridge):
    """The contract of TapeMedium, act by act, on the same cartridge."""
    for act, real, virtual in zip(ACTS, loaded.call(in_medium, *ACTS), in_virtual(cartridge, *ACTS), strict=True):
        if isinstance(virtual, HardwareError):
            assert type(real) is type(virtual), act
        else:
            assert real == virtual, act


def test_what_only_a_real_medium_says(loaded):
    assert loaded.call(in_facts) == (524288, True, (2000 << 20, 1000 << 20))


def in_facts():
    with ScsiTapeDrive.open(NODE) as drive, drive.medium() as medium:
        capacity = medium.capacity(1)
        return medium.max_record, medium.write_protected, (capacity.maximum, capacity.remaining)


def test_the_end_of_data_whichever_way_a_drive_says_it(loaded):
    """8/00/05 by the standard, 8/00/00 where tgt reads a blank cartridge; a defect of the medium is neither."""
    for sense, said in (([8, 0, 5], Mark.END_OF_DATA), ([8, 0, 0], Mark.END_OF_DATA), ([3, 0, 5], Corrupted)):
        loaded.fault(NODE, *sense, opcode=0x08)
        (found,) = loaded.call(in_medium, ("read",))
        assert found is said or isinstance(found, Corrupted if said is Corrupted else ()), sense


def test_a_drive_that_knows_no_locate_is_rewound(loaded):
    """tgt's: it says block 0 wherever it stands. What a cartridge begins with is told each time; nothing else is."""
    loaded.do("set", node=NODE, lost=True)
    acts = [("locate", 0, 0), ("read",), ("locate", 0, 0), ("read",), ("locate", 0, 3), ("locate", 1, END)]
    _, first, _, again, *beyond = loaded.call(in_medium, *acts)
    assert first == again
    assert first[:4] == b"VOL1"
    assert [type(found) for found in beyond] == [Unsupported, Unsupported]


@pytest.mark.parametrize(("tells", "sent", "refused"), [(True, False, NotFound), (False, True, Unsupported)])
def test_where_a_cartridge_has_one_partition_a_drive_that_tells_so_is_not_sent_to_another(loaded, tells, sent, refused):
    loaded.do("set", node=NODE, divided=False, tells_partitions=tells)
    loaded.do("trace", node=NODE)
    found = loaded.call(in_medium, ("locate", 1, 0), ("locate", 1, END), ("locate", 0, 0))
    assert [type(one) for one in found] == [refused, refused, Position]
    assert any(cdb.startswith("92") for cdb in loaded.do("trace", node=NODE)) is sent


def test_nothing_is_written(loaded, cartridge):
    before = sorted(os.listdir(cartridge))
    loaded.do("trace", node=NODE)
    acts = [("write", b"x"), ("write_filemarks",), ("write_attribute", 0, 0x800, 1, b"x"), ("partition_medium",)]
    assert [type(found) for found in loaded.call(in_medium, *acts)] == [Refused] * 4
    # INQUIRY, TEST UNIT READY, and nothing that could change a tape.
    assert {cdb[:2] for cdb in loaded.do("trace", node=NODE)} <= {"12", "00"}
    assert sorted(os.listdir(cartridge)) == before


def test_a_block_that_cannot_be_read(loaded):
    loaded.do("set", node=NODE, bad=[[1, 7]])
    at, read = loaded.call(in_medium, ("locate", 1, 7), ("read",))
    assert at == Position(1, 7)
    assert type(read) is Corrupted
    with pytest.raises(Corrupted):
        loaded.call(in_volume)


def test_after_a_change_of_cartridge_nothing_is_sent_any_more(loaded):
    """A blind command after such a change has overwritten a volume."""
    loaded.fault(NODE, 6, 0x28, 0, opcode=0x08)
    loaded.do("trace", node=NODE)
    found = loaded.call(in_medium, ("position",), ("read",), ("read",), ("position",), ("locate", 0, 0))
    assert found[0] == Position(0, 0)
    assert [type(error) for error in found[1:]] == [MediumChanged] * 4
    assert [cdb[:2] for cdb in loaded.do("trace", node=NODE)].count("08") == 1


def test_while_a_medium_is_open_it_alone_speaks_to_the_drive(loaded):
    """Otherwise the attention that tells of a change of cartridge would go to the wrong one."""
    assert loaded.call(in_session) == [Busy] * 5 + [DriveState.READY, MediumChanged]


def in_session():
    said = []
    with ScsiTapeDrive.open(NODE) as drive:
        medium = drive.medium()
        for act in (drive.state, drive.alerts, drive.statistics, drive.unload, drive.medium):
            try:
                said.append(act())
            except HardwareError as error:
                said.append(type(error))
        medium.close()
        said.append(drive.state())
        try:
            medium.read()
        except HardwareError as error:
            said.append(type(error))
    return said


def test_a_record_that_is_longer_than_the_adapter_takes(loaded, tmp_path):
    with VirtualMedium.create(tmp_path / "long") as medium:
        medium.write(b"x" * 600_000)
        medium.write_filemarks()
    loaded.do("put", kind=DRIVE, number=0, barcode="", folder=str(tmp_path / "long"))
    found = loaded.call(in_medium, ("read",), ("read",))
    assert type(found[0]) is Unsupported
    assert "600000" in found[0].message
    assert found[1] is Mark.FILEMARK
