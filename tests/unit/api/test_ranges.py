"""``Range`` against the plainest reading of RFC 9110, section 14."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.api.ranges import BadRange, ByteRange, NotSatisfiable, parse_range


def reference(first: int | None, last: int | None, size: int) -> list[int] | str:
    """The positions asked for, one by one; "416" where there are none, "bad" where it cannot be meant."""
    positions = range(size)
    if first is None:
        if last is None:
            return "bad"
        wanted = [p for p in positions if p >= size - last]
    elif last is None:
        wanted = [p for p in positions if p >= first]
    elif last < first:
        return "bad"
    else:
        wanted = [p for p in positions if first <= p <= last]
    return wanted or "416"


@given(
    st.one_of(st.none(), st.integers(0, 50)),
    st.one_of(st.none(), st.integers(0, 50)),
    st.integers(0, 40),
    st.sampled_from(["bytes={}-{}", "bytes = {}-{}", "Bytes={} - {} ", "bytes=,{}-{}, ,", "bytes=00{}-{}"]),
)
def test_against_the_reference(first: int | None, last: int | None, size: int, form: str) -> None:
    if "00" in form and first is None:
        first = 0
    value = form.format("" if first is None else first, "" if last is None else last)
    expected = reference(first, last, size)
    if isinstance(expected, str):
        with pytest.raises(NotSatisfiable if expected == "416" else BadRange):
            parse_range([value], size)
        return
    found = parse_range([value], size)
    assert isinstance(found, ByteRange)
    assert list(range(found.start, found.start + found.length)) == expected
    assert found.content_range(size) == f"bytes {expected[0]}-{expected[-1]}/{size}"


@pytest.mark.parametrize(
    "values",
    [[], ["bytes=1-2,4-5"], ["bytes=0-,-1"], ["lines=1-2"], ["bytes=" + ",".join(["0-"] * 9000)], ["bytes=50-,60-"]],
)
def test_the_whole_is_served_for_other_units_and_for_several_ranges(values: list[str]) -> None:
    assert parse_range(values, 10) is None


@pytest.mark.parametrize(
    "values",
    [
        [""], ["bytes"], ["bytes="], ["bytes=,"], ["bytes=a-b"], ["bytes=--1"], ["bytes=1"], ["bytes=-"],
        ["bytes=+1-2"],
        ["bytes=1-2,x"], ["bytes=5-4"], ["bytes=0x1-2"], ["bytes=١-"], ["bytes=0-1", "bytes=0-1"], ["=0-1"],
        ["bytes=1_0-20"], ["bytes=1-2;3-4"],
    ],
)  # fmt: skip
def test_what_is_no_range_is_told_so(values: list[str]) -> None:
    with pytest.raises(BadRange):
        parse_range(values, 10)


def test_numbers_without_end_cost_nothing() -> None:
    long = "9" * 60_000
    assert parse_range([f"bytes=3-{long}"], 10) == ByteRange(3, 7)
    assert parse_range([f"bytes=-{long}"], 10) == ByteRange(0, 10)
    with pytest.raises(NotSatisfiable):
        parse_range([f"bytes={long}-"], 10)
    assert parse_range([f"bytes={'0' * 60_000}1-2"], 10) == ByteRange(1, 2)


@pytest.mark.parametrize("space", [" ", "\t", " \t"])
@pytest.mark.parametrize("form", ["bytes=0-{}x", "bytes=0{}x", "bytes={}x", "bytes={}-x", "bytes=-{}x", "bytes=0-1{}x"])
def test_spaces_without_end_cost_nothing(form: str, space: str) -> None:
    began = time.process_time()
    with pytest.raises(BadRange):
        parse_range([form.format(space * 15_000)], 10)
    # Against seconds, where a number of spaces is tried with each other number of them.
    assert time.process_time() - began < 0.5


@given(st.lists(st.text(max_size=40) | st.text("bytes=-,0123456789 ", max_size=40), max_size=2), st.integers(0, 100))
def test_anything_at_all(values: list[str], size: int) -> None:
    try:
        found = parse_range(values, size)
    except (NotSatisfiable, BadRange):
        return
    assert found is None or 0 <= found.start < found.start + found.length <= size
