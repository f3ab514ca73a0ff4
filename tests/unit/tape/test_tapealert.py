import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Refused
from hardware.tape.cleaning import CLEANING_USES, Cleaning, CleaningCartridge, choose, should_clean
from hardware.tape.errors import NotUnderstood
from hardware.tape.tapealert import Flag, Severity, decode, worst


def page(flags, codes=range(1, 65)):
    body = b"".join(struct.pack(">HBBB", code, 0, 1, code in flags) for code in codes)
    return struct.pack(">BBH", 0x2E, 0, len(body)) + body


@given(st.sets(st.integers(1, 64)))
def test_the_flags_that_are_set_come_out(numbers):
    assert decode(page(numbers)) == {Flag(number) for number in numbers}


@given(
    st.binary(max_size=400) | st.binary(max_size=400).map(lambda body: b"\x2e\0" + struct.pack(">H", len(body)) + body)
)
def test_whatever_a_drive_sends_is_flags_or_not_understood(data):
    try:
        flags = decode(data)
    except NotUnderstood:
        return
    assert all(isinstance(flag, Flag) for flag in flags)


@given(st.integers(0, 323))
def test_a_page_that_is_cut_short_is_not_half_believed(length):
    with pytest.raises(NotUnderstood):
        decode(page({3, 20})[:length])


def test_parameters_beyond_the_64_are_left_out():
    assert decode(page({2, 65, 200}, codes=[2, 65, 200])) == {Flag.WRITE_WARNING}


def test_every_flag_has_words_for_the_one_who_is_woken():
    for flag in Flag:
        assert flag.alert.meaning.endswith(".")
        assert flag.alert.remedy.endswith(".")
    assert len(Flag) == 64


def test_severities_are_those_of_the_standard():
    critical = {flag for flag in Flag if flag.alert.severity is Severity.CRITICAL}
    assert critical == {
        4, 5, 6, 9, 13, 14, 16, 20, 22, 23, 30, 31, 33, 38, 40, 41, 43, 44, 45, 52, 53, 54, 55, 56, 57,
    }  # fmt: skip
    assert worst(frozenset({Flag.NEARING_MEDIUM_LIFE, Flag.READ_WARNING})) is Severity.WARNING
    assert worst(frozenset({Flag.WRITE_WARNING, Flag.MEDIUM})) is Severity.CRITICAL
    assert worst(frozenset()) is None


@pytest.mark.parametrize(
    ("flags", "need"),
    [
        (set(), Cleaning.NO),
        ({Flag.READ_WARNING, Flag.MEDIUM}, Cleaning.NO),
        ({Flag.CLEAN_PERIODIC}, Cleaning.SOON),
        ({Flag.CLEAN_NOW, Flag.CLEAN_PERIODIC}, Cleaning.NOW),
        ({Flag.EXPIRED_CLEANING_MEDIUM}, Cleaning.NOW),
        ({Flag.INVALID_CLEANING_MEDIUM}, Cleaning.NOW),
    ],
)
def test_when_to_clean(flags, need):
    assert should_clean(flags) is need


def test_a_cleaning_cartridge_is_used_fifty_times():
    cartridge = CleaningCartridge("CLNU01CU")
    for _ in range(CLEANING_USES):
        assert choose([cartridge]) is cartridge
        cartridge = cartridge.used()
    assert cartridge.left == 0
    with pytest.raises(Refused, match="no cleaning cartridge with uses left"):
        choose([cartridge])


def test_the_drive_knows_better_when_it_is_worn_out():
    cartridge = CleaningCartridge("CLN001L1", uses=3).used({Flag.EXPIRED_CLEANING_MEDIUM})
    assert (cartridge.uses, cartridge.left) == (4, 0)


def test_the_most_used_one_is_used_up_first():
    fresh, old = CleaningCartridge("CLN001CU", 2), CleaningCartridge("CLN002CU", 48)
    assert choose([fresh, old]) is old


def test_a_data_cartridge_is_no_cleaning_cartridge():
    with pytest.raises(Refused):
        CleaningCartridge("VLT001L8")
