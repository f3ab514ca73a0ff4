"""How times, sizes, numbers and states are said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault.cli import text
from vault.cli.text import Speech, colour, plain, word
from vault.i18n import speaking
from vault.model import Condition, CopyState, VolumeMode

SAY = Speech(ZoneInfo("Asia/Ho_Chi_Minh"))
MOMENT = datetime(2026, 11, 22, 20, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_times_are_shown_where_the_archive_is(language):
    with speaking(language):
        assert SAY.moment(MOMENT) == "23/11/2026 03:05"
        assert SAY.moment(MOMENT, seconds=True) == "23/11/2026 03:05:09"
        assert SAY.moment(None) == "–"


def test_numbers_are_written_as_the_language_has_it():
    with speaking("vi"):
        assert (SAY.number(1234567), SAY.size(1_500_000_000)) == ("1.234.567", "1,5 GB")
        assert SAY.since(MOMENT - timedelta(days=3, hours=4), MOMENT) == "3 ngày 4 giờ"
    with speaking("en"):
        assert (SAY.number(1234567), SAY.size(1_500_000_000)) == ("1,234,567", "1.5 GB")
        assert SAY.since(MOMENT - timedelta(days=3, hours=4), MOMENT) == "3 days 4 hours"


def test_what_is_not_known_is_not_zero():
    assert SAY.size(None) == SAY.percent(3, 0) == SAY.since(None, MOMENT) == "–"
    assert SAY.size(0) == "0 B"


def test_every_state_has_a_word_of_its_own_language():
    for kind in text._WORDS:
        with speaking("en"):
            english = [word(member) for member in kind]
        with speaking("vi"):
            vietnamese = [word(member) for member in kind]
        assert len(set(english)) == len(set(vietnamese)) == len(list(kind))
        assert not set(english) & set(vietnamese)


def test_states_with_the_same_name_are_told_apart():
    assert word(VolumeMode.READ_ONLY) == word(Condition.READ_ONLY)
    assert colour(VolumeMode.READ_ONLY) == ""
    assert colour(Condition.READ_ONLY) == "yellow"
    assert colour(CopyState.DAMAGED) == "bold red"


def test_what_comes_from_outside_cannot_steer_the_terminal():
    assert plain("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert "\u202e" not in plain("abc\u202edef")
    assert plain("two\nlines") == "two\nlines"
