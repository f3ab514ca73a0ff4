"""Durations and sizes, as written in a configuration and as shown to people."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.units import duration_text, format_bytes, format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("24h", timedelta(hours=24)),
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("0s", timedelta(0)),
        ("1w", timedelta(days=7)),
        ("90 d", timedelta(days=90)),
    ],
)
def test_durations_mean_what_they_say(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "value", ["", "90", "d", "-1d", "1.5h", "1h30m", "90 days", "5M", "1y", 90, True, None, "９d", "1d\n2d"]
)
def test_what_is_no_duration_is_refused_with_a_remedy(value):
    with pytest.raises(Invalid) as caught:
        parse_duration(value)
    assert caught.value.code == "bad-duration"
    assert "90d" in caught.value.remedy


def test_a_duration_of_more_than_a_century_is_refused():
    with pytest.raises(Invalid, match="century"):
        parse_duration("999999999999w")


@given(st.integers(0, 36525 * 86400))
def test_durations_survive_being_written(seconds):
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("200 GB", 200 * 10**9),
        ("200GB", 200 * 10**9),
        ("1 GiB", 2**30),
        ("512 KiB", 512 * 1024),
        ("1.5 TB", 1_500_000_000_000),
        ("0.001 kB", 1),
        ("1 KB", 1000),
        ("12 B", 12),
    ],
)
def test_sizes_mean_what_they_say(value, expected):
    assert parse_size(value) == expected


@pytest.mark.parametrize(
    "value", ["", "GB", "-1", -1, "1,5 GB", "1 GBit", "0.5 B", "1e9", 1.5, True, None, "20 EiB", 2**63]
)
def test_what_is_no_size_is_refused(value):
    with pytest.raises(Invalid) as caught:
        parse_size(value)
    assert caught.value.code == "bad-size"
    assert caught.value.remedy


def test_bits_are_not_taken_for_bytes():
    with pytest.raises(Invalid, match="no unit") as caught:
        parse_size("12 Gb")
    assert '"GB"' in caught.value.remedy


@pytest.mark.parametrize(
    ("size", "english", "vietnamese"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1000, "1 kB", "1 kB"),
        (1234, "1.23 kB", "1,23 kB"),
        (999_499, "999 kB", "999 kB"),
        (999_500, "1 MB", "1 MB"),
        (12_340_000_000, "12.3 GB", "12,3 GB"),
        (30 * 10**12, "30 TB", "30 TB"),
        (-1500, "-1.5 kB", "-1,5 kB"),
        (10**21, "1000 EB", "1000 EB"),
        (100_000, "100 kB", "100 kB"),
    ],
)
def test_bytes_for_people(size, english, vietnamese):
    assert format_bytes(size, "en") == english
    assert format_bytes(size, "vi") == vietnamese


@given(st.integers(0, 10**21))
def test_bytes_for_people_stay_within_half_a_percent(size):
    number, unit = format_bytes(size, "en").split(" ")
    shown = float(number) * 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert abs(shown - size) <= 0.005 * size + 1e-9


@pytest.mark.parametrize(
    ("duration", "english", "vietnamese"),
    [
        (timedelta(0), "0 seconds", "0 giây"),
        (timedelta(seconds=1), "1 second", "1 giây"),
        (timedelta(minutes=2, seconds=5), "2 minutes 5 seconds", "2 phút 5 giây"),
        (timedelta(hours=1), "1 hour", "1 giờ"),
        (timedelta(days=90, minutes=5), "90 days", "90 ngày"),
        (timedelta(days=1, hours=2, minutes=59), "1 day 2 hours", "1 ngày 2 giờ"),
        (timedelta(seconds=-61), "-1 minute 1 second", "-1 phút 1 giây"),
    ],
)
def test_durations_for_people(duration, english, vietnamese):
    assert format_duration(duration, "en") == english
    assert format_duration(duration, "vi") == vietnamese
