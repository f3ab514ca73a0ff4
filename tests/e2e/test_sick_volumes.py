"""Volumes fall ill in every way: nothing acknowledged is lost, nobody is blamed without cause, and all heals."""

from __future__ import annotations

import errno
import os
import random
import time

import pytest

from tests.support.nodes import BAD, Bench, eventually
from tests.support.sickness import sick
from vault.catalog import schedules
from vault.errors import VaultError
from vault.model import CopyState, EventType, Outcome, VolumeMode

BODY = os.urandom(3_000_000)


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path, "abc") as made:
        yield made


def try_to_deposit(bench, identifier, body):
    """What is not acknowledged was not promised."""
    try:
        bench.deposit(identifier, body, filename="x")
    except VaultError:
        return False
    return True


def good(bench, identifier, but=""):
    return sum(c.state is CopyState.GOOD for (v, _), c in bench.copies(identifier).items() if v != but)


def blamed(bench):
    told = bench.events(EventType.FIXITY_CHECK, outcome=Outcome.FAILURE)
    return {(e.identifier, e.volume, e.detail["is"]) for e in told}


ILLNESSES = {
    "reads fail": lambda ill: ill.fails("read", errno.EIO),
    "the server forgot the handle": lambda ill: ill.fails("read", errno.ESTALE),
    "reads are short": lambda ill: ill.short("read"),
    "writes are short": lambda ill: ill.short("write"),
    "it is full": lambda ill: ill.fails("write", errno.ENOSPC),
    "the quota is used up": lambda ill: ill.fails("write", errno.EDQUOT),
    "writes fail": lambda ill: ill.fails("write", errno.EIO),
    "syncing fails once": lambda ill: ill.fails("sync", errno.EIO, times=1),
    "renames fail": lambda ill: ill.fails("rename", errno.EIO),
    "folders cannot be listed": lambda ill: ill.fails("list", errno.EIO),
}


@pytest.mark.parametrize("how", ILLNESSES)
def test_an_illness_that_passes_costs_nothing(bench, how):
    bench.deposit("trước", BODY, filename="x")
    bench.settle()
    with sick(bench.path("a")) as ill:
        ILLNESSES[how](ill)
        try_to_deposit(bench, "trong khi", BODY[:-1])
        order = bench.order()
        # The volumes that are well go on.
        eventually(lambda: all(c.checked_at and c.checked_at > order.requested_at
                               for (v, _), c in bench.copies("trước").items() if v != "a"))  # fmt: skip
        ill.heal()
        bench.settle()
    assert bench.deposit("sau", b"after", filename="x").created
    bench.verify()
    bench.settle()
    assert not [c for c in bench.all_copies() if c.state in BAD]
    for name in {identifier for identifier, _ in bench.kept}:
        assert good(bench, name) >= 2
    bench.assert_kept()
    bench.assert_ledger()
    bench.assert_nothing_left()
    assert not bench.evidence(), "what reads well again is no evidence of anything"


def test_a_bit_that_flips_on_the_way_once_makes_a_doubt_and_no_damage(bench):
    bench.deposit("hồ sơ", BODY, filename="x")
    bench.settle()
    volume = min(v for v, _ in bench.copies("hồ sơ"))
    with sick(bench.path(volume)) as ill:
        ill.flips(times=1)
        bench.verify(volume=volume)
        assert ill.seen["read"] == 1
    bench.settle()
    assert {state for _, _, state in blamed(bench)} <= {"suspect"}
    assert not bench.evidence()


def test_what_a_sick_volume_keeps_in_staging_is_cleared_when_it_is_well(bench):
    """It was on-line all the while: nothing else would clear it before the next start."""
    with sick(bench.path("a")) as ill:
        custodian = bench.running.custodian
        with custodian.staging(custodian.volume("a"), "test", "x", 1):
            ill.fails("list", errno.EIO)
        assert bench.staged().keys() == {"a"}
        ill.heal()
        bench.assert_nothing_left()
    assert [e.detail["is"] for e in bench.events(EventType.VOLUME_CHANGED, volume="a")] == ["online"]


def test_a_volume_that_lies_is_believed_nowhere(bench):
    """All that is read from it is wrong, in another place each time: it can be repaired no more, another takes over."""
    bench.deposit("hồ sơ", BODY, filename="x")
    bench.settle()
    liar = min(v for v, _ in bench.copies("hồ sơ"))
    with sick(bench.path(liar)) as ill:
        ill.flips()
        bench.verify(volume=liar)
        eventually(lambda: good(bench, "hồ sơ", but=liar) == 2)
        accepted = bench.deposit("khác", BODY[1:], filename="x")
        if liar in {v for v, _ in bench.copies("khác")} and good(bench, "khác") < 2:
            assert bench.ingest(accepted.ingest_id).receipt is None, "nothing that was not proved twice is promised"
    bench.settle()
    bench.verify()
    bench.settle()
    bench.assert_kept()
    assert good(bench, "khác") >= 2


def test_a_volume_that_hangs_holds_up_nobody_else(bench):
    bench.deposit("trước", BODY, filename="x")
    bench.settle()
    volume = max(v for v, _ in bench.copies("trước"))
    # No deposit goes there first: what lies only where nothing can be read is proved by nobody.
    bench.set_mode(volume, VolumeMode.READ_ONLY)
    with sick(bench.path(volume)) as ill:
        ill.hangs("read")
        bench.order(volume=volume)
        eventually(lambda: ill.seen["read"])
        began = time.monotonic()
        bench.deposit("mới", b"new", filename="x")
        eventually(lambda: good(bench, "mới") >= 1)
        before = planned(bench)
        eventually(lambda: planned(bench) != before, what="the planner goes on")
        assert time.monotonic() - began < 20
        ill.heal()
    bench.set_mode(volume, VolumeMode.ACTIVE)
    bench.settle()
    bench.assert_sound(others=False)


def planned(bench):
    with bench.running.catalogue.read() as tx:
        return next((s.last_success for s in schedules.all(tx) if s.kind == "plan"), None)


@pytest.mark.parametrize("seed", range(int(os.environ.get("KHOSO_POWER_CUTS", "3"))))
def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path, seed):
    chance = random.Random(seed)
    bench = Bench(tmp_path, "ab")
    with sick(bench.path("a")) as one, sick(bench.path("b")) as other:
        bench.start()
        for number in range(chance.randrange(1, 4)):
            bench.deposit(f"p/{number}", chance.randbytes(chance.randrange(1, 300_000)), filename="x")
        # The power goes while copies are under way: the process does not get to its end, and neither do its bytes.
        node = bench.running
        node.abandon()
        node.close()
        bench.node = None
        one.power_cut()
        other.power_cut()
        bench.start()
        bench.settle()
        bench.verify()
        bench.settle()
        assert not blamed(bench)
        bench.assert_sound(others=False)
        bench.stop()
