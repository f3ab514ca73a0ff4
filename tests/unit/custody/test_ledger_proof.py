"""That the ledger is proved by itself, and what is made of it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.support.nodes import Bench, bag, tar_of
from vault.catalog import facts
from vault.custody import proof


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with Bench(tmp_path_factory.mktemp("proof"), extra="") as found:
        found.deposit("hồ sơ", tar_of(bag({"x": b"1"})))
        found.settle()
        yield found


def tamper(bench, statement):
    with bench.running.catalogue.write() as tx:
        tx.connection.execute(sa.text(statement))


def kept(bench):
    with bench.running.catalogue.read() as tx:
        return proof.read(tx)


def test_a_sound_ledger_is_proved_and_that_is_kept(bench):
    found = bench.running.proof.look()
    assert found.intact
    assert found.count > 0
    assert kept(bench).intact
    assert bench.running.catalogue.clock() - kept(bench).time < timedelta(minutes=1)


def test_what_was_changed_is_found_without_anybody_asking(bench):
    was = bench.events()[2].agent
    tamper(bench, "UPDATE events SET agent = 'somebody' WHERE seq = 3")
    found = bench.running.proof.look()
    assert not found.intact
    assert found.count == 2
    assert "Event 3" in kept(bench).reason
    tamper(bench, f"UPDATE events SET agent = '{was}' WHERE seq = 3")
    assert bench.running.proof.look().intact


def test_a_fact_that_is_none_is_no_proof(bench):
    with bench.running.catalogue.write() as tx:
        facts.put(tx, "ledger-proof", {"intact": True})
    assert kept(bench) is None
