"""What tokens may ask for: the arithmetic of rates and places."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.api.limits import Bucket, Limits
from vault.api.places import Places
from vault.catalog import Catalogue, tokens
from vault.errors import Throttled, Unreachable
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Scope, Token, TokenLimits


@given(
    rate=st.floats(0.1, 1000),
    pauses=st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=200),
)
def test_a_bucket_never_gives_more_than_its_rate_and_one_second_of_it(rate: float, pauses: list[float]) -> None:
    bucket, now, given_ = Bucket(rate), 0.0, 0
    for pause in pauses:
        now += pause
        given_ += bucket.take(now) == 0
        assert given_ <= now * rate + bucket.capacity + 1e-6


@given(rate=st.floats(0.1, 1000), drained=st.integers(1, 50))
def test_who_waits_as_long_as_told_gets_one(rate: float, drained: int) -> None:
    bucket, now = Bucket(rate), 100.0
    for _ in range(drained):
        wait = bucket.take(now)
        if wait:
            now += wait * (1 + 1e-9) + 1e-9
            assert bucket.take(now) == 0


class Day:
    """A clock that is set by hand."""

    now = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture
def catalogue(tmp_path: Path, day: Day) -> Catalogue:
    made = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db", day)
    made.migrate()
    return made


def token(catalogue: Catalogue, **limits: float) -> Token:
    with catalogue.write() as tx:
        made, _ = tokens.create(tx, "t", [Scope.DEPOSIT], None, limits=TokenLimits(**limits))
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "node:test"))
    return made


def test_a_quota_holds_for_a_day_and_over_a_restart(catalogue: Catalogue, day: Day) -> None:
    mine = token(catalogue, bytes_per_day=100, packages_per_day=2)
    limits = Limits(catalogue, day)
    limits.load(mine)
    limits.send(mine, 60)
    limits.deposit(mine)
    limits.note(mine)

    again = Limits(catalogue, day)
    again.load(mine)
    again.deposit(mine)
    with pytest.raises(Throttled, match="2 deposits in a day") as caught:
        again.deposit(mine)
    assert caught.value.retry_after == 14 * 3600
    again.send(mine, 0, announced=40)
    with pytest.raises(Throttled, match="100 bytes in a day"):
        again.send(mine, 0, announced=41)
    with pytest.raises(Throttled):
        again.send(mine, 41)

    day.now += timedelta(hours=14)
    again.load(mine)
    again.send(mine, 100)
    again.deposit(mine)


def test_what_cannot_be_written_now_is_written_later(catalogue: Catalogue, day: Day, tmp_path: Path) -> None:
    mine = token(catalogue, bytes_per_day=100)
    limits = Limits(catalogue, day)
    limits.load(mine)
    limits.send(mine, 60)
    working, limits._catalogue = catalogue, Catalogue.open(f"sqlite:///{tmp_path}/no/such.db", day)
    limits.note(mine)
    assert limits.is_to_be_noted(mine)
    limits._catalogue = working
    limits.note(mine)
    assert not limits.is_to_be_noted(mine)
    with catalogue.read() as tx:
        assert tokens.usage(tx, mine.id, day.now.date()).bytes == 60
        assert tokens.all(tx)[0].last_used_at == day.now


def test_no_sender_holds_all_places() -> None:
    places = Places(8)
    held = [places.take("token:slow") for _ in range(6)]
    with pytest.raises(Unreachable, match="token:slow may have"):
        places.take("token:slow")
    other = places.take("token:other")
    places.take("token:other")
    with pytest.raises(Unreachable, match="this node accepts"):
        places.take("token:third")
    held.pop()(None)
    other(None)
    places.take("token:third")
    places.take("token:slow")
    assert [Places(1).take("x"), Places(2).take("x")]
