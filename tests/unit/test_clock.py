from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.clock import from_text, to_text, utcnow

moments = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, moments)
def test_text_sorts_as_time_and_comes_back_the_same(one, other):
    assert from_text(to_text(one)) == one
    assert len(to_text(one)) == 27
    assert (to_text(one) < to_text(other)) == (one < other)


def test_every_zone_is_written_as_utc():
    hanoi = timezone(timedelta(hours=7))
    assert to_text(datetime(2026, 11, 22, 17, 40, 42, tzinfo=hanoi)) == "2026-11-22T10:40:42.000000Z"
    assert utcnow().tzinfo is UTC


def test_a_time_without_a_zone_is_no_moment():
    with pytest.raises(ValueError, match="zone"):
        to_text(datetime(2026, 11, 22))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-22", "2026-11-22T10:40:42Z", "2026-11-22T10:40:42.123456+00:00", "2026-11-22 10:40:42.123456Z",
     "2026-13-22T10:40:42.123456Z", "2026-11-22T10:40:42.123456Z\n", "٢٠٢٦-11-22T10:40:42.123456Z"],
)  # fmt: skip
def test_any_other_form_is_refused(text):
    with pytest.raises(ValueError, match=r"form|month"):
        from_text(text)
