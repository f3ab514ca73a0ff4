"""When waiting for a verification has no end."""

from __future__ import annotations

from datetime import UTC, datetime

from vault import wire
from vault.cli.commands.verify import OutOfReach

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def seen(checked: int, skipped: int, state: str = "running") -> wire.Verification:
    return wire.Verification.model_validate(
        {
            "id": "x", "volume": "", "identifier": "", "agent": "user:a", "state": state, "requested_at": NOW,
            "finished_at": None, "total": 4, "checked": checked, "good": checked, "bad": 0, "skipped": skipped,
        }
    )  # fmt: skip


def ends(looks: list[tuple[float, wire.Verification]]) -> list[bool]:
    clock = iter([at for at, _found in looks])
    ended = OutOfReach(10, lambda: next(clock))
    return [ended(found) for _at, found in looks]


def test_waiting_ends_when_all_that_is_left_is_away_for_ten_seconds():
    assert ends([(0, seen(2, 2)), (9, seen(2, 2)), (10, seen(2, 2))]) == [False, False, True]


def test_a_volume_that_comes_back_is_waited_for_again():
    clock = iter([0.0, 20.0, 29.0])
    ended = OutOfReach(10, lambda: next(clock))
    assert not ended(seen(2, 2))
    assert not ended(seen(2, 0))
    assert not ended(seen(2, 2))
    assert not ended(seen(3, 1))


def test_while_anything_can_be_read_it_is_waited_for():
    assert not any(ends([(0, seen(1, 2)), (100, seen(1, 2))]))


def test_the_end_is_the_end():
    assert ends([(0, seen(4, 0, "done"))]) == [True]
