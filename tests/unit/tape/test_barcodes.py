import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Refused
from hardware.tape import barcodes
from hardware.tape.barcodes import Kind
from hardware.tape.generation import Generation


@pytest.mark.parametrize(
    ("text", "kind", "generation"),
    [
        ("VLT001L5", Kind.DATA, Generation.LTO5),
        ("VLT001L8", Kind.DATA, Generation.LTO8),
        ("VLT001M8", Kind.DATA, Generation.M8),
        ("000001L9", Kind.DATA, Generation.LTO9),
        ("VLT001LA", Kind.DATA, Generation.LTO10),
        ("VLT001LT", Kind.WORM, Generation.LTO3),
        ("VLT001LZ", Kind.WORM, Generation.LTO9),
        ("CLN001L1", Kind.CLEANING, None),
        ("CLNU01CU", Kind.CLEANING, None),
    ],
)
def test_the_media_identifier_tells_what_a_cartridge_is(text, kind, generation):
    found = barcodes.parse(text)
    assert (found.kind, found.generation) == (kind, generation)
    assert (found.serial, found.media_identifier, str(found)) == (text[:6], text[6:], text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" VLT001L8", "spaces around"),
        ("vlt001l8", "small letters"),
        ("VLT 01L8", "other than A to Z"),
        ("VLT-01L8", "other than A to Z"),
        ("VĐT001L8", "other than A to Z"),
        ("VLT001", "no media identifier"),
        ("VLT01L8", "7 characters"),
        ("VLT0001L8", "9 characters"),
        ("VLT001Q4", "Q4, which is no known"),
        ("VLT001CU", "does not begin with CLN"),
        ("CLN001LZ", "ends in LZ"),
        ("../../L8", "other than A to Z"),
    ],
)
def test_a_refused_label_hears_which_rule_it_breaks(text, reason):
    with pytest.raises(Refused, match=reason):
        barcodes.parse(text)


@given(st.text(max_size=12) | st.from_regex(r"[A-Z0-9]{6}(L[1-9ATUVWXYZ]|M8|CU)", fullmatch=True))
def test_a_barcode_is_either_read_or_refused(text):
    try:
        found = barcodes.parse(text)
    except Refused:
        assert barcodes.check(text)
    else:
        assert len(found.text) == 8
        assert found.text.isalnum()
        assert (found.generation is None) == (found.kind is Kind.CLEANING) == barcodes.is_cleaning(text)


@pytest.mark.parametrize("text", ["CLN001", "CLN001L1   ", "cln001l1", "XYZ001CU"])
def test_a_doubtful_cleaning_label_is_taken_for_one(text):
    assert barcodes.is_cleaning(text)


@pytest.mark.parametrize("text", ["VLT001L8", "", "ACLN01L8", "CL001L8"])
def test_a_data_label_is_not(text):
    assert not barcodes.is_cleaning(text)
