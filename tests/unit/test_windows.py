"""When routine reading may go on: windows over midnight, caps, and what a week of them allows."""

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.model import MediumClass
from vault.windows import (
    CLOSED,
    DAYS,
    FREELY,
    Window,
    bytes_a_week,
    day_of,
    next_change,
    pace,
    parse_clock,
    parse_days,
)

DISK, TAPE = MediumClass.DISK, MediumClass.TAPE
SUNDAY = datetime(2026, 11, 22)  # noqa: DTZ001
NIGHT = Window(time(20), time(6), parse_days("mon-fri"), rate=100)


def at(text: str) -> datetime:
    day, _, clock = text.partition(" ")
    moment = parse_clock(clock)
    return SUNDAY + timedelta(days=(DAYS.index(day) + 1) % 7, hours=moment.hour, minutes=moment.minute)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("mon 19:59", False),
        ("mon 20:00", True),
        ("tue 05:59", True),
        ("tue 06:00", False),
        ("fri 23:00", True),
        ("sat 05:00", True),
        ("sat 21:00", False),
        ("sun 23:59", False),
        ("mon 03:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(moment, is_open):
    assert pace([NIGHT], DISK, "a", at(moment)).open is is_open


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("mon 20:00", "mon"),
        ("mon 23:59", "mon"),
        ("tue 05:59", "mon"),
        ("tue 06:00", "tue"),
        ("sat 05:59", "fri"),
        ("sun 05:00", "sun"),  # no window began on Saturday
        ("mon 03:00", "mon"),
    ],
)
def test_what_is_read_after_midnight_is_in_the_minutes_of_the_day_before(moment, day):
    assert DAYS[day_of([NIGHT], DISK, "a", at(moment)).weekday()] == day
    assert day_of([], DISK, "a", at(moment)) == at(moment).date()
    others = Window(time(20), time(6), volumes=frozenset({"b"}))
    assert day_of([others], DISK, "a", at(moment)) == at(moment).date()


def test_without_a_window_that_concerns_it_a_volume_is_read_at_any_hour():
    only_tape = Window(time(1), time(2), media=frozenset({TAPE}))
    only_b = Window(time(1), time(2), volumes=frozenset({"b"}))
    noon = at("wed 12:00")
    assert pace([], DISK, "a", noon) == FREELY
    assert pace([only_tape, only_b], DISK, "a", noon) == FREELY
    assert pace([only_tape, only_b], DISK, "b", noon) == CLOSED
    assert pace([only_tape, only_b], TAPE, "VLT001L8", noon) == CLOSED


def test_of_several_open_windows_the_one_that_allows_most_counts():
    by_day = Window(time(0), time(0), rate=10)
    fast = Window(time(22), time(4))
    assert pace([by_day, NIGHT], DISK, "a", at("mon 12:00")).rate == 10
    assert pace([by_day, NIGHT], DISK, "a", at("mon 20:30")).rate == 100
    assert pace([by_day, NIGHT, fast], DISK, "a", at("mon 23:00")).rate is None


def test_a_window_of_one_class_lets_others_wait():
    land = Window(time(0), time(0), classes=frozenset({"land"}))
    now = pace([land, NIGHT], DISK, "a", at("mon 12:00"))
    assert now.takes("land")
    assert not now.takes("default")
    assert pace([land, NIGHT], DISK, "a", at("mon 21:00")).takes("default")


@given(st.integers(0, 1439), st.integers(0, 1439), st.sets(st.integers(0, 6), min_size=1), st.integers(0, 7 * 1440 - 1))
def test_nothing_changes_before_the_next_change(start, end, days, minute):
    window = Window(time(*divmod(start, 60)), time(*divmod(end, 60)), frozenset(days))
    now = SUNDAY + timedelta(minutes=minute)
    change = next_change([window], DISK, "a", now)
    assert change is not None
    assert now < change <= now + timedelta(days=1)
    just_before = change - timedelta(minutes=1)
    if just_before >= now and change.date() == now.date():
        assert window.is_open(just_before) is window.is_open(now)


@given(st.integers(0, 95), st.integers(0, 95), st.sets(st.integers(0, 6), min_size=1))
def test_the_hours_of_a_week_are_those_in_which_it_is_open(start, end, days):
    window = Window(time(*divmod(start * 15, 60)), time(*divmod(end * 15, 60)), frozenset(days))
    hours = (end - start) % 96 or 96
    assert bytes_a_week([window], DISK, "a", 1.0) == len(days) * hours * 900


def test_a_cap_bounds_what_a_week_can_read():
    assert bytes_a_week([], DISK, "a", 50.0) == 7 * 86400 * 50
    assert bytes_a_week([NIGHT], DISK, "a", 1000.0) == 5 * 10 * 3600 * 100


def test_days_and_times_as_people_write_them():
    assert parse_days("Mon-Wed, sun") == {0, 1, 2, 6}
    assert parse_days("sat-mon") == {5, 6, 0}
    assert parse_clock("24:00") == time(0)
    for wrong in ("", "mon-", "monday", "mon;tue"):
        with pytest.raises(Invalid, match=r"names no days"):
            parse_days(wrong)
    for wrong in ("", "20", "24:01", "7:5", "25:00"):
        with pytest.raises(Invalid, match=r"no time of day"):
            parse_clock(wrong)
