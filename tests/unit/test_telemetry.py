"""Counts that any thread may add to and that only grow."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from vault.telemetry import DepositOutcome, Telemetry
from vault.verdict import Verdict


def test_configured_volumes_are_there_from_the_start_with_every_outcome():
    counted = Telemetry(["nas-a"]).snapshot()
    assert counted.fixity_files == {("nas-a", outcome): 0 for outcome in Verdict}
    assert counted.deposits == dict.fromkeys(DepositOutcome, 0)


def test_counts_add_up_from_many_threads():
    telemetry = Telemetry()

    def work(_):
        for _ in range(500):
            telemetry.deposit(DepositOutcome.STORED, 10)
            telemetry.fixity("nas-a", Verdict.INTACT, files=2, read=100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    counted = telemetry.snapshot()
    assert counted.deposits[DepositOutcome.STORED] == 4000
    assert counted.deposit_bytes[DepositOutcome.STORED] == 40_000
    assert counted.fixity_files["nas-a", Verdict.INTACT] == 8000
    assert counted.fixity_bytes["nas-a", Verdict.INTACT] == 400_000


def test_a_snapshot_does_not_move():
    telemetry = Telemetry()
    before = telemetry.snapshot()
    telemetry.deposit(DepositOutcome.FAILED, 1)
    assert before.deposits[DepositOutcome.FAILED] == 0


def test_counters_never_go_back():
    telemetry = Telemetry()
    with pytest.raises(ValueError, match="cannot go back by 5"):
        telemetry.deposit(DepositOutcome.STORED, -5)
    with pytest.raises(ValueError, match="cannot go back"):
        telemetry.fixity("nas-a", Verdict.INTACT, files=1, read=-1)
    assert telemetry.snapshot().deposits[DepositOutcome.STORED] == 0
