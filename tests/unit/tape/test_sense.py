import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Corrupted, Full, HardwareError, MediumChanged, Refused, Unreachable, Unsupported
from hardware.tape import elements, pages
from hardware.tape.elements import DriveElement, pair_drives
from hardware.tape.errors import DoorOpen, NoCartridge, NotReady, NotUnderstood
from hardware.tape.sense import Key, Sense, becoming_ready, error_of, harmless, parse_sense


def fixed(key, asc, ascq, information=None):
    head = bytes((0xF0 if information is not None else 0x70, 0, key)) + struct.pack(">i", information or 0)
    return head + bytes((10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0))


def described(key, asc, ascq, information=None, flags=0):
    body = bytes((4, 2, 0, flags))
    if information is not None:
        body = struct.pack(">BBBBq", 0, 10, 0x80, 0, information) + body
    return bytes((0x72, key, asc, ascq, 0, 0, 0, len(body))) + body


@given(st.integers(0, 15), st.integers(0, 255), st.integers(0, 255), st.none() | st.integers(-(2**31), 2**31 - 1))
def test_both_formats_say_the_same(key, asc, ascq, information):
    assert parse_sense(fixed(key, asc, ascq, information)) == parse_sense(described(key, asc, ascq, information))


def test_the_bits_of_tapes():
    for flag, name in ((0x80, "filemark"), (0x40, "end_of_medium"), (0x20, "wrong_length")):
        for data in (fixed(flag, 0, 0), described(0, 0, 0, flags=flag)):
            found = parse_sense(data)
            assert [getattr(found, field) for field in ("filemark", "end_of_medium", "wrong_length")].count(True) == 1
            assert getattr(found, name)


def test_a_residue_without_its_sign():
    data = bytes((0x72, 0, 0, 0, 0, 0, 0, 12)) + struct.pack(">BBBBQ", 0, 10, 0x80, 0, 0xFFFFFF00)
    assert parse_sense(data).information == -256


@given(st.binary(max_size=64))
def test_whatever_comes_is_sense_or_nothing(data):
    found = parse_sense(data)
    if found is not None:
        error = error_of(found, "/dev/sg1")
        assert isinstance(error, HardwareError)
        assert "/dev/sg1" in str(error)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ((2, 0x04, 0x01), NotReady),
        ((2, 0x3A, 0x00), NoCartridge),
        ((2, 0x3A, 0x7F), NoCartridge),
        ((2, 0x04, 0x18), DoorOpen),
        ((3, 0x11, 0x00), Corrupted),
        ((5, 0x20, 0x00), Unsupported),
        ((6, 0x28, 0x00), MediumChanged),
        ((6, 0x3B, 0x12), MediumChanged),
        ((7, 0x27, 0x00), Refused),
        ((8, 0x14, 0x03), Corrupted),
        ((11, 0x00, 0x00), Unreachable),
        ((13, 0x00, 0x02), Full),
    ],
)
def test_what_a_code_means(code, error):
    assert type(error_of(Sense(Key(code[0]), *code[1:]), "x")) is error


def test_attentions_that_say_nothing_about_the_tape():
    assert harmless(Sense(Key.UNIT_ATTENTION, 0x2A, 0x01))
    assert harmless(Sense(Key.UNIT_ATTENTION, 0x5D, 0x00))
    for code in ((0x28, 0), (0x29, 0), (0x29, 4), (0x2F, 0), (0x3F, 1), (0x00, 0)):
        assert not harmless(Sense(Key.UNIT_ATTENTION, *code))
    assert not harmless(Sense(Key.NOT_READY, 0x2A, 0x01))


def test_waiting_helps_only_where_nobody_is_needed():
    assert becoming_ready(Sense(Key.NOT_READY, 4, 1))
    assert not becoming_ready(Sense(Key.NOT_READY, 4, 3))
    assert not becoming_ready(Sense(Key.NOT_READY, 0x3A, 0))


# What drives and libraries send.


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_not_understood(data):
    for parse in (
        pages.parse_inquiry,
        pages.parse_serial,
        pages.parse_volume_statistics,
        pages.parse_cleaning_request,
        elements.parse_drive_elements,
        lambda given: pages.parse_attribute(given, 9),
    ):
        for sent in (data, b"\x17\0" + struct.pack(">H", len(data)) + data):
            try:
                parse(sent)
            except NotUnderstood:
                continue


def element(number, serial, barcode=""):
    return DriveElement(number, 256 + number, bool(barcode), barcode, serial)


def test_drives_are_paired_by_serial_and_never_by_order():
    pairing = pair_drives([element(0, "10WT02"), element(1, "0010wt01 ")], {"10WT01": "/dev/sg1", "10WT02": "/dev/sg4"})
    assert pairing.nodes == {0: "/dev/sg4", 1: "/dev/sg1"}
    assert pairing.complete


def test_what_cannot_be_paired_is_named():
    pairing = pair_drives([element(0, "A"), element(1, "")], {"B": "/dev/sg1", "": "/dev/sg2"})
    assert pairing.nodes == {}
    assert [found.number for found in pairing.elements_without_node] == [0, 1]
    assert pairing.serials_without_element == ("", "B")


def test_a_serial_that_occurs_twice_pairs_with_nothing():
    assert pair_drives([element(0, "A"), element(1, "A")], {"A": "/dev/sg1"}).nodes == {}
    assert pair_drives([element(0, "A")], {"A": "/dev/sg1", "0A": "/dev/sg2"}).nodes == {}
