"""Tokens that are remembered for a moment: never longer than they are valid; and who guesses, throttled by address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault.api.known_tokens import BELIEVED_SECONDS, FAILURES, MOST_ADDRESSES, MOST_TOKENS, Guesses, KnownTokens
from vault.catalog import tokens
from vault.catalog.engine import Catalogue, Tx
from vault.errors import Throttled
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Scope, Token


class _Time:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)


@pytest.fixture
def time() -> _Time:
    return _Time()


@pytest.fixture
def catalogue(tmp_path: Path, time: _Time) -> Iterator[Catalogue]:
    opened = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db", time.utc)
    opened.migrate()
    yield opened
    opened.close()


def _event(type_: EventType) -> NewEvent:
    return NewEvent(type_, Outcome.SUCCESS, "user:root", detail={"name": "a"})


def _make(catalogue: Catalogue, name: str = "a", expires_at: datetime | None = None) -> str:
    with catalogue.write() as tx:
        _, secret = tokens.create(tx, name, [Scope.READ], expires_at)
        append(tx, _event(EventType.TOKEN_CREATED))
    return secret


def _revoke(catalogue: Catalogue) -> None:
    with catalogue.write() as tx:
        tokens.revoke(tx, "a")
        append(tx, _event(EventType.TOKEN_REVOKED))


def test_a_token_is_asked_for_once_in_a_while(catalogue: Catalogue, time: _Time) -> None:
    secret, known = _make(catalogue), KnownTokens(catalogue, time.monotonic)
    assert known.get(secret) is None
    assert known.find(secret) == known.get(secret)
    time.at = BELIEVED_SECONDS
    assert known.get(secret) is None, "another program may have changed it"


def test_a_revoked_token_is_forgotten_at_once(catalogue: Catalogue, time: _Time) -> None:
    secret, known = _make(catalogue), KnownTokens(catalogue, time.monotonic)
    assert known.find(secret) is not None
    _revoke(catalogue)
    assert known.get(secret) is None
    assert known.find(secret) is None


def test_what_was_read_just_before_it_was_revoked_is_not_remembered(
    catalogue: Catalogue, time: _Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, known = _make(catalogue), KnownTokens(catalogue, time.monotonic)
    find = tokens.find

    def find_and_revoke(tx: Tx, wanted: str) -> Token | None:
        token = find(tx, wanted)
        _revoke(catalogue)
        return token

    # The race, made certain: the token is read, then revoked, and only then remembered.
    monkeypatch.setattr(tokens, "find", find_and_revoke)
    assert known.find(secret) is not None
    assert known.get(secret) is None


def test_what_was_valid_is_no_guess_until_it_is_found_not_to_be(catalogue: Catalogue, time: _Time) -> None:
    secret, known = _make(catalogue), KnownTokens(catalogue, time.monotonic)
    assert not known.was_valid(secret)
    known.find(secret)
    time.at = 100 * BELIEVED_SECONDS
    assert known.get(secret) is None
    assert known.was_valid(secret), "it is looked up again, however many others guess at its address"
    _revoke(catalogue)
    known.find(secret)
    assert not known.was_valid(secret)


def test_a_revocation_that_was_not_committed_changes_nothing(catalogue: Catalogue, time: _Time) -> None:
    secret, known = _make(catalogue), KnownTokens(catalogue, time.monotonic)
    known.find(secret)
    with pytest.raises(RuntimeError, match="ledger was not told"), catalogue.write() as tx:
        tokens.revoke(tx, "a")
    assert known.get(secret) is not None


def test_a_token_that_expires_is_forgotten_then(catalogue: Catalogue, time: _Time) -> None:
    secret = _make(catalogue, expires_at=time.utc() + timedelta(seconds=BELIEVED_SECONDS / 2))
    known = KnownTokens(catalogue, time.monotonic)
    assert known.find(secret) is not None
    time.at = BELIEVED_SECONDS / 2
    assert known.get(secret) is None


def test_no_more_tokens_are_remembered_than_are_bounded(catalogue: Catalogue, time: _Time) -> None:
    known = KnownTokens(catalogue, time.monotonic)
    first = _make(catalogue)
    assert known.find(first) is not None
    token = known.get(first)
    assert token is not None
    for number in range(MOST_TOKENS):
        known.remember(f"khoso_{number}", token, catalogue.credentials)
    assert known.get(first) is None
    assert known.get(f"khoso_{MOST_TOKENS - 1}") is not None


def test_who_guesses_waits(time: _Time) -> None:
    guesses = Guesses(time.monotonic)
    for _ in range(FAILURES):
        guesses.check("192.0.2.7")
        guesses.failed("192.0.2.7")
    with pytest.raises(Throttled) as refused:
        guesses.check("192.0.2.7")
    assert refused.value.code == "too-many-guesses"
    guesses.check("192.0.2.8")
    time.at += refused.value.retry_after
    guesses.check("192.0.2.7")
    guesses.failed("192.0.2.7")
    with pytest.raises(Throttled):
        guesses.check("192.0.2.7")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
    ],
)
def test_what_counts_as_one_address(time: _Time, one: str, other: str, together: bool) -> None:
    guesses = Guesses(time.monotonic)
    for _ in range(FAILURES):
        guesses.failed(one)
    if together:
        with pytest.raises(Throttled):
            guesses.check(other)
    else:
        guesses.check(other)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.2", ""])
def test_this_machine_is_not_throttled(time: _Time, address: str) -> None:
    guesses = Guesses(time.monotonic)
    for _ in range(FAILURES * 3):
        guesses.check(address)
        guesses.failed(address)


def test_addresses_are_bounded_and_the_oldest_goes(time: _Time) -> None:
    guesses = Guesses(time.monotonic)
    for _ in range(FAILURES):
        guesses.failed("192.0.2.7")
    for number in range(MOST_ADDRESSES):
        guesses.failed(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    guesses.check("192.0.2.7")
    assert len(guesses) == MOST_ADDRESSES
