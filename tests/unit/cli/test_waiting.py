"""Waiting for something that the node does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from vault.cli import run, waiting
from vault.cli.exits import ExitCode
from vault.cli.waiting import StillGoingOn, wait_for
from vault.errors import NotFound, Unreachable


def looking(*answers: int | Exception) -> Callable[[], int]:
    left: Iterator[int | Exception] = iter(answers)

    def look() -> int:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


def test_it_waits_until_the_end_and_shows_the_way():
    shown: list[int] = []
    found = wait_for(looking(1, 2, 3, 4), lambda seen: seen == 3, what="", show=shown.append, interval=0)
    assert (found, shown) == (3, [1, 2, 3])


def test_what_is_not_over_in_time_goes_on():
    with pytest.raises(StillGoingOn, match=r"It goes on\."):
        wait_for(looking(1), lambda _seen: False, what="It goes on.", limit=timedelta(0), interval=0)


def test_a_daemon_that_restarts_is_waited_for():
    gone = Unreachable("gone")
    assert wait_for(looking(1, gone, gone, 2), lambda seen: seen == 2, what="", interval=0) == 2


def test_a_daemon_that_stays_away_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", -1)
    with pytest.raises(Unreachable):
        wait_for(looking(1, Unreachable("gone")), lambda _seen: False, what="", interval=0)


def test_another_fault_ends_the_waiting_at_once():
    with pytest.raises(NotFound):
        wait_for(looking(1, NotFound("no")), lambda _seen: False, what="", interval=0)


def test_what_goes_on_ends_with_9(monkeypatch, capsys):
    def still(**_options: object) -> None:
        raise StillGoingOn("It goes on.")

    monkeypatch.setattr(run, "app", still)
    assert run.run(["x"]) == ExitCode.PENDING
    assert "It goes on." in capsys.readouterr().err
