"""Verifications of a fonds and of packages chosen at random; and those that follow an event by themselves."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from tests.support.faults import flip
from tests.support.nodes import Bench, eventually
from vault.catalog import packages, verifications
from vault.catalog import volumes as catalog_volumes
from vault.custody.verify import conclude
from vault.device_model import Health
from vault.errors import NotFound
from vault.model import Condition, CopyState, Descriptive, EventType, VerificationState
from vault.volumes.base import CheckReport, Finding, FindingKind


def deposit(bench, number, fonds=""):
    bench.deposit(f"p/{number}", b"%d" % number, filename="x", descriptive=Descriptive(fonds=fonds))


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def checked_since(bench, seq):
    return sorted({(e.identifier, e.volume) for e in bench.events(EventType.FIXITY_CHECK, after=seq)})


def orders(bench, volume=""):
    with bench.running.catalogue.read() as tx:
        return [order for order in verifications.listing(tx, limit=100) if volume in ("", order.volume)]


def test_a_fonds_is_verified_and_nothing_else(bench):
    for number, fonds in enumerate(("UBND", "UBND", "HĐND", "")):
        deposit(bench, number, fonds)
    bench.settle()
    seq = bench.last_event()
    done = bench.verify(fonds="UBND")
    assert (done.total, done.checked, done.good, done.skipped) == (4, 4, 4, 0)
    assert checked_since(bench, seq) == [(f"p/{n}", v) for n in (0, 1) for v in "ab"]
    ended = bench.events(EventType.VERIFICATION_ENDED)[-1]
    assert ended.detail["fonds"] == "UBND"
    seq = bench.last_event()
    assert bench.verify(fonds="HĐND", volume="b").total == 1
    assert checked_since(bench, seq) == [("p/2", "b")]
    with pytest.raises(NotFound) as nothing:
        bench.order(fonds="UBNĐ")
    assert nothing.value.code == "no-such-fonds"


def test_a_sample_is_of_so_many_packages_and_each_time_of_others(bench):
    for number in range(12):
        deposit(bench, number, "UBND" if number % 2 else "")
    bench.settle()
    seen = set()
    for _ in range(4):
        seq = bench.last_event()
        done = bench.verify(sample=3)
        chosen = {identifier for identifier, _ in checked_since(bench, seq)}
        assert (done.total, done.checked, len(chosen)) == (6, 6, 3)
        seen |= chosen
    assert len(seen) > 3, "the same three each time are no sample (once in 50 million this is chance)"
    seq = bench.last_event()
    done = bench.verify(sample=100, fonds="UBND", volume="a")
    assert (done.total, done.good) == (6, 6), "there are no more than that"
    assert checked_since(bench, seq) == [(f"p/{n}", "a") for n in sorted((1, 3, 5, 7, 9, 11), key=str)]


def test_a_sample_goes_on_after_a_restart(bench):
    for number in range(6):
        deposit(bench, number)
    bench.settle()
    order = bench.order(sample=4)
    bench.restart()
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE)
    done = bench.verification(order.id)
    assert (done.total, done.checked) == (8, 8)


def sampling(tmp_path, **more):
    bench = Bench(tmp_path, extra="[fixity]\nsample = 2")
    fixity = bench.settings.fixity.model_copy(update={"after_absence": timedelta(milliseconds=1), **more})
    bench.settings = dataclasses.replace(bench.settings, fixity=fixity)
    return bench


def test_damage_leads_to_a_sample_of_its_volume_and_once_a_day(tmp_path):
    with sampling(tmp_path) as bench:
        for number in range(5):
            deposit(bench, number)
        bench.settle()
        for number in (0, 1):
            flip(next(bench.object_path("a", f"p/{number}").glob("v1/content/x")))
            bench.verify(identifier=f"p/{number}")
        samples = [order for order in orders(bench, "a") if order.sample]
        assert [(order.sample, order.agent) for order in samples] == [(2, "node:thu-nghiem")]
        eventually(lambda: bench.verification(samples[0].id).state is VerificationState.DONE)
        asked = bench.events(EventType.VERIFICATION_REQUESTED, volume="a")[-1]
        assert asked.detail["why"] == "p/0 v1 is damaged there"
        bench.settle()


def test_a_volume_that_returns_is_sampled_and_one_that_never_left_is_not(tmp_path):
    with sampling(tmp_path) as bench:
        deposit(bench, 0)
        bench.settle()
        assert not orders(bench)
        away = bench.path("b").rename(tmp_path / "away")
        bench.wait_for("b", Condition.OFFLINE)
        away.rename(bench.path("b"))
        (order,) = eventually(lambda: orders(bench))
        assert (order.volume, order.sample) == ("b", 2)
        eventually(lambda: bench.verification(order.id).good == 1)


def test_what_reads_wrong_and_then_right_makes_the_volume_doubtful(bench):
    deposit(bench, 0)
    bench.settle()
    copy = bench.copies("p/0")["a", 1]
    with bench.running.catalogue.read() as tx:
        version = packages.need_version(tx, copy.version_id)
    unsteady = CheckReport((Finding(FindingKind.INTERMITTENT, "v1/content/x"),), 1, 1)
    assert conclude(bench.running.custodian, version, copy, unsteady).state is CopyState.SUSPECT
    bench.running.health.look()
    with bench.running.catalogue.read() as tx:
        row = catalog_volumes.get(tx, "a")
    assert row.health is Health.WATCH
    assert "v1/content/x of p/0 read wrong once" in row.health_reason
    # So all of the volume is read back, and the copy, which is well, is good again.
    (order,) = [order for order in orders(bench, "a") if not order.sample]
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE)
    eventually(lambda: bench.copies("p/0")["a", 1].state is CopyState.GOOD)
