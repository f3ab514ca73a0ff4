"""What /metrics says of the ledger and of tokens."""

from datetime import timedelta

import pytest

from tests.support.holdings import tell
from tests.support.scraping import Scraper
from vault.catalog import facts, tokens
from vault.clock import to_text
from vault.model import EventType, Scope


def test_what_is_said_of_tokens_is_about_those_that_are_in_use(catalogue, hands):
    now = hands()
    with catalogue.write() as tx:
        for name, ends, used in (
            ("in use", 9, True),
            ("soon, unused", 2, False),
            ("ended long ago", -8, True),
            ("revoked", 1, True),
            ("endless", None, True),
        ):
            expires = None if ends is None else now + timedelta(days=ends)
            token, _ = tokens.create(tx, name, [Scope.READ], expires)
            if used:
                tokens.touch(tx, token.id)
        tokens.revoke(tx, "revoked")
        tell(tx, EventType.TOKEN_CREATED)
    scraper = Scraper(catalogue)
    expected = (now + timedelta(days=9)).timestamp()
    assert scraper.scrape().get("vault_token_next_expiry_timestamp_seconds") == pytest.approx(expected, abs=1e-3)
    hands.move(days=12)
    assert scraper.scrape().get("vault_token_next_expiry_timestamp_seconds") == pytest.approx(expected, abs=1e-3)
    hands.move(days=5)
    assert scraper.scrape().get("vault_token_next_expiry_timestamp_seconds") is None


def test_the_ledger_is_intact_only_when_somebody_looked(catalogue, hands):
    scraper = Scraper(catalogue)
    assert scraper.scrape().get("vault_ledger_intact") is None
    with catalogue.write() as tx:
        facts.put(tx, "ledger-proof", {"time": to_text(hands()), "count": 1, "intact": False, "reason": "x"})
    assert scraper.scrape().get("vault_ledger_intact") == 0
