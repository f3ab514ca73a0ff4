"""Names, paths and times."""

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Malformed, Refused
from hardware.ltfs.names import MAX_TIME, MIN_TIME, check_path, decode_name, encode_name, format_time, parse_time
from tests.support.marks import MARKS, at_once

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)


@given(anything.filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."}))
def test_every_name_survives_the_index(name):
    text, encoded = encode_name(name)
    assert decode_name(text, percent_encoded=encoded) == name
    # What XML parsers drop or change never stands in the text.
    assert not any(ord(character) < 32 or character in "\ufffe\uffff" for character in text)


def test_names_are_encoded_as_the_reference_does():
    assert encode_name("a:b%c") == ("a%3Ab%25c", True)
    assert encode_name("100%.txt") == ("100%.txt", False)
    assert decode_name("100%41.txt", percent_encoded=False) == "100%41.txt"
    # Bad writers encode what no name can hold: left as it stands.
    assert decode_name("a%2Fb%00", percent_encoded=True) == "a%2Fb%00"


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "%2E%2E", "%FF", "x" * 2000])
def test_name_that_no_file_can_have_is_malformed(text):
    with pytest.raises(Malformed):
        decode_name(text, percent_encoded=True)


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_a_safe_name_or_malformed(text, encoded):
    try:
        name = decode_name(text, percent_encoded=encoded)
    except (Malformed, UnicodeEncodeError):
        return
    assert name not in {"", ".", ".."}
    assert "/" not in name
    assert "\0" not in name


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", "a/../b", ".", "a\0b", "a\x1fb", "x" * 256, "Đ" * 128, "a/" * 600 + "b", "\ud800"]
)
def test_impossible_paths_are_refused(path):
    with pytest.raises(Refused):
        check_path(path)


def test_a_name_with_very_many_marks_is_refused_at_once():
    with at_once(), pytest.raises(Refused):
        check_path("a" + MARKS)
    with at_once(), pytest.raises(Refused):
        check_path("a" + MARKS[:16_000])


def test_paths_are_made_nfc():
    assert check_path(unicodedata.normalize("NFD", "Sơn La/hồ sơ.tar")) == ("Sơn La", "hồ sơ.tar")


@given(st.integers(MIN_TIME, MAX_TIME))
def test_times_survive(moment):
    assert parse_time(format_time(moment)) == moment


def test_times_outside_the_calendar_are_clamped():
    assert format_time(MAX_TIME + 10**20).startswith("9999-12-31T23:59:59")
    assert format_time(MIN_TIME - 1) == "0001-01-01T00:00:00.000000000Z"


@given(st.one_of(st.text(max_size=40), st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", fullmatch=True)))
def test_any_text_is_a_time_or_malformed(text):
    with contextlib.suppress(Malformed):
        parse_time(text)
