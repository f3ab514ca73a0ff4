"""``Range`` against the plainest reading of RFC 9110, section 14."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.api.ranges import ByteRange, NotSatisfiable, parse_range


def reference(first: int | None, last: int | None, size: int) -> list[int] | str | None:
    """The positions asked for, one by one; None where the header is passed over, "416" where there are none."""
    positions = range(size)
    if first is None:
        assert last is not None
        wanted = [p for p in positions if p >= size - last]
    elif last is None:
        wanted = [p for p in positions if p >= first]
    elif last < first:
        return None
    else:
        wanted = [p for p in positions if first <= p <= last]
    return wanted or "416"


@given(
    st.one_of(st.none(), st.integers(0, 50)),
    st.one_of(st.none(), st.integers(0, 50)),
    st.integers(0, 40),
    st.sampled_from(["bytes={}-{}", "bytes = {}-{}", "Bytes={} - {} "]),
)
def test_against_the_reference(first: int | None, last: int | None, size: int, form: str) -> None:
    value = form.format("" if first is None else first, "" if last is None else last)
    if first is None and last is None:
        assert parse_range(value, size) is None
        return
    expected = reference(first, last, size)
    if expected == "416":
        with pytest.raises(NotSatisfiable):
            parse_range(value, size)
        return
    found = parse_range(value, size)
    if expected is None:
        assert found is None
    else:
        assert isinstance(found, ByteRange)
        assert list(range(found.start, found.start + found.length)) == expected
        assert found.content_range(size) == f"bytes {expected[0]}-{expected[-1]}/{size}"


@pytest.mark.parametrize(
    "value", [None, "", "bytes", "bytes=", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=--1", "bytes=1"]
)
def test_what_is_no_single_range_is_passed_over(value: str | None) -> None:
    assert parse_range(value, 10) is None


@given(st.text(max_size=40), st.integers(0, 100))
def test_anything_at_all(value: str, size: int) -> None:
    try:
        found = parse_range(value, size)
    except NotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.start + found.length <= size
