"""Many small files, in runs: each outcome beside its own item, in order, whichever thread came to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from vault.volumes import ahead as ahead_module
from vault.volumes.ahead import SMALL_FILES_AT_ONCE, ahead


@pytest.fixture
def seconds(monkeypatch):
    """A clock of this test's own: what runs are said to take, file by file, and which share of it a processor had."""
    took = SimpleNamespace(a_file=0.0, busy=0.0, now=threading.local())

    def now() -> float:
        return float(getattr(took.now, "value", 0.0))

    monkeypatch.setattr(ahead_module, "time", SimpleNamespace(perf_counter=now, thread_time=lambda: now() * took.busy))
    return took


class Doing:
    """What is done for each number: it is squared, in so many seconds."""

    def __init__(self, seconds: SimpleNamespace) -> None:
        self.seconds = seconds
        self.runs: list[tuple[int, bool]] = []
        self.caller = threading.get_ident()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.runs.append((len(numbers), threading.get_ident() == self.caller))
        self.seconds.now.value = getattr(self.seconds.now, "value", 0.0) + self.seconds.a_file * len(numbers)
        return [number**2 for number in numbers]


def test_what_takes_little_is_done_in_long_runs_where_it_is_asked_for(seconds):
    seconds.a_file = 0.00001
    doing = Doing(seconds)
    with ahead(doing, range(1000), "test") as outcomes:
        assert list(outcomes) == [(number, number**2) for number in range(1000)]
    assert all(here for _, here in doing.runs)
    assert len(doing.runs) < 30


def test_what_takes_long_is_handed_over_in_short_runs(seconds):
    seconds.a_file = 0.02
    doing = Doing(seconds)
    with ahead(doing, range(100), "test") as outcomes:
        assert list(outcomes) == [(number, number**2) for number in range(100)]
    # The first is done where it is asked for: nothing is known yet.
    assert [here for _, here in doing.runs] == [True] + [False] * (len(doing.runs) - 1)
    assert max(length for length, _ in doing.runs) == 1


def test_what_is_computed_all_the_time_is_done_where_it_is_asked_for(seconds):
    seconds.a_file, seconds.busy = 0.02, 1.0
    doing = Doing(seconds)
    with ahead(doing, range(100), "test") as outcomes:
        assert list(outcomes) == [(number, number**2) for number in range(100)]
    assert all(here for _, here in doing.runs)


def test_lanes_that_are_busy_with_small_files_share_the_threads(seconds):
    behind = ahead_module._behind
    with ahead(Doing(seconds), range(10), "one"):
        assert behind(64) == SMALL_FILES_AT_ONCE
        with ahead(Doing(seconds), range(10), "another"):
            assert (behind(64), behind(1)) == (1, SMALL_FILES_AT_ONCE)
        assert behind(64) == SMALL_FILES_AT_ONCE


def test_a_quick_disk_is_known_by_having_been_read(seconds, monkeypatch):
    seconds.a_file = 0.00001
    blocks = iter(range(100_000))
    usage = SimpleNamespace(RUSAGE_THREAD=1, getrusage=lambda _who: SimpleNamespace(ru_inblock=next(blocks)))
    monkeypatch.setattr(ahead_module, "resource", usage)
    doing = Doing(seconds)
    with ahead(doing, range(500), "test") as outcomes:
        assert [number for number, _ in outcomes] == list(range(500))
    assert [here for _, here in doing.runs] == [True] + [False] * (len(doing.runs) - 1)


def test_the_order_is_kept_when_the_medium_turns_out_otherwise(seconds):
    """Runs that were handed over come before what is then done at once, also where it shows in the middle of them."""
    doing = Doing(seconds)
    runs = ahead_module._Runs(doing)
    runs.do = doing  # type: ignore[method-assign]  # learns nothing: the test says what it has learnt
    runs.length, runs.long = 3, True
    found = []
    with ThreadPoolExecutor(4) as pool:
        for outcome in ahead_module._in_order(pool, runs, iter(range(1000))):
            found.append(outcome)
            runs.long = len(found) // 7 % 3 > 0
    assert found == [(number, number**2) for number in range(1000)]
    assert {here for _, here in doing.runs} == {True, False}


def test_few_are_begun_before_they_are_asked_for(seconds):
    seconds.a_file = 0.02
    doing = Doing(seconds)
    with ahead(doing, range(1000), "test") as outcomes:
        for _ in range(10):
            next(outcomes)
    assert sum(length for length, _ in doing.runs) <= 10 + SMALL_FILES_AT_ONCE + 1


def test_what_fails_is_told_where_it_is_asked_for(seconds):
    def failing(numbers: Sequence[int]) -> list[int]:
        seconds.now.value = getattr(seconds.now, "value", 0.0) + 0.02
        if 5 in numbers:
            raise OSError("the fifth")
        return list(numbers)

    with ahead(failing, range(100), "test") as outcomes, pytest.raises(OSError, match="the fifth"):
        list(outcomes)
    with ahead(failing, range(100), "test") as outcomes:
        assert [next(outcomes)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
