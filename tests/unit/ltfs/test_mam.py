"""Cartridge memory attributes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Malformed, Refused
from hardware.ltfs.mam import (
    Attribute,
    Coherency,
    Stored,
    pack,
    pack_coherency,
    parse_coherency,
    text_of,
    text_value,
    unpack,
)

UUID = "607f4131-c6cf-4ff4-a7b7-08e050fff9b3"
# attr_1_80c as the reference wrote it.
REFERENCE = bytes.fromhex(
    "080c0000460800000000000000010000000000000001000000000000000500 2b4c544653003630376634"
    "3133312d633663662d346666342d613762372d30386530353066666639623300 01".replace(" ", "")
)


def test_coherency_record_is_that_of_the_reference():
    stored = unpack(REFERENCE)
    assert stored.identifier == Attribute.COHERENCY
    record = parse_coherency(stored.value)
    assert record == Coherency(change_reference=1, generation=1, block=5, volume_uuid=UUID, version=1)
    assert pack(Stored(Attribute.COHERENCY, 0, pack_coherency(record))) == REFERENCE


def test_garbage_where_the_reference_leaves_it_is_tolerated():
    value = bytearray(unpack(REFERENCE).value)
    value[31] = 0xAB
    assert parse_coherency(bytes(value)).block == 5


@pytest.mark.parametrize("change", [(0, 4), (26, 7), (27, 0x58)])
def test_other_coherency_records_are_malformed(change):
    value = bytearray(unpack(REFERENCE).value)
    value[change[0]] = change[1]
    with pytest.raises(Malformed):
        parse_coherency(bytes(value))


def test_texts_are_padded_as_the_reference_does():
    assert text_value(Attribute.BARCODE, "VLT001") == (1, b"VLT001" + b" " * 26)
    kind, label = text_value(Attribute.MEDIUM_LABEL, "Thử")
    assert (kind, len(label), text_of(label)) == (2, 160, "Thử")
    assert text_of(text_value(Attribute.MEDIUM_LABEL, "ử" * 100)[1]) == "ử" * 53
    with pytest.raises(Refused):
        text_value(Attribute.BARCODE, "VLT00Đ")
    with pytest.raises(Refused):
        text_value(Attribute.BARCODE, "V" * 33)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_attribute_or_malformed(data):
    try:
        value = unpack(data).value
    except Malformed:
        value = data
    text_of(value)
    with contextlib.suppress(Malformed):
        parse_coherency(value)


@given(st.integers(0, 0xFFFF), st.integers(0, 2), st.binary(max_size=300))
def test_attribute_survives_packing(identifier, kind, value):
    stored = Stored(identifier, kind, value)
    assert unpack(pack(stored)) == stored


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.uuids().map(str),
    st.integers(0, 255),
)
def test_coherency_survives_packing(reference, generation, block, uuid, version):
    record = Coherency(reference, generation, block, uuid, version)
    assert parse_coherency(pack_coherency(record)) == record
