"""What policies, descriptions and failure domains say later: every version is judged by what holds now."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.nodes import Bench, eventually
from vault.catalog import packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import record
from vault.model import CopyState, Descriptive, EventType
from vault.volumes.base import CheckReport

STRICT_FOR_MAT = """
[[policy]]
name = "strict"
match = { fonds = ["MAT"] }
disk = 2
receipt_after = 2

[[policy]]
name = "default"
disk = 1
receipt_after = 1
"""


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path, policies=STRICT_FOR_MAT) as made:
        yield made


def good(bench, identifier, number):
    return sum(copy.state is CopyState.GOOD for copy in bench.copies(identifier, number).values())


def policy_of(bench, identifier, number):
    with bench.running.catalogue.read() as tx:
        return packages.version(tx, identifier, number).policy


def test_a_later_version_keeps_the_policy_of_what_was_said_before(bench):
    bench.deposit("hồ sơ", b"one", filename="x", descriptive=Descriptive(fonds="MAT", priority_class="land"))
    bench.settle()
    accepted = bench.deposit("hồ sơ", b"two", filename="x", if_match=1)
    bench.settle()
    assert policy_of(bench, "hồ sơ", 2) == "strict"
    assert good(bench, "hồ sơ", 2) == 2
    assert len(bench.receipt(accepted.ingest_id)["copies"]) == 2
    with bench.running.catalogue.read() as tx:
        assert packages.version(tx, "hồ sơ", 2).priority_class == "land"


def test_what_is_said_later_puts_older_versions_under_the_other_policy_too(bench):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    assert good(bench, "hồ sơ", 1) == 1
    bench.deposit("hồ sơ", b"two", filename="x", if_match=1, descriptive=Descriptive(fonds="MAT"))
    eventually(lambda: good(bench, "hồ sơ", 1) == 2 and good(bench, "hồ sơ", 2) == 2, 30)
    assert policy_of(bench, "hồ sơ", 1) == "strict"
    assert [(e.identifier, e.version, e.detail["is"]) for e in bench.events(EventType.POLICY_CHANGED)] == [
        ("hồ sơ", 1, "strict")
    ]


def test_a_check_that_ends_before_the_new_policy_was_looked_at_does_not_hide_it(tmp_path):
    lenient = '[[policy]]\nname = "default"\ndisk = 1\nreceipt_after = 1'
    with Bench(tmp_path, policies=lenient) as bench:
        bench.deposit("hồ sơ", b"one", filename="x", descriptive=Descriptive(fonds="MAT"))
        bench.settle()
        bench.stop()
        bench.settings = bench.configured(policies=STRICT_FOR_MAT)
        bench.start()
        with bench.running.catalogue.write() as tx:
            version = packages.version(tx, "hồ sơ", 1)
            copy = next(c for c in bench.copies("hồ sơ", 1).values() if c.state is CopyState.GOOD)
            record.checked(bench.running.custodian, tx, version, copy, CheckReport((), 1, 3))
        eventually(lambda: good(bench, "hồ sơ", 1) == 2, 30)


def test_two_volumes_that_turn_out_to_be_in_one_chassis_are_one_at_the_next_start(tmp_path):
    with Bench(tmp_path) as bench:
        bench.deposit("hồ sơ", b"one", filename="x")
        bench.settle()
        assert not bench.below_policy()
        bench.stop()
        merged = tuple(v.model_copy(update={"domain": "chassis-1"}) for v in bench.settings.volumes)
        bench.start(dataclasses.replace(bench.settings, volumes=merged))
        with bench.running.catalogue.read() as tx:
            assert {volume.domain for volume in catalog_volumes.all(tx)} == {"chassis-1"}
        eventually(bench.below_policy, 10)
        told = [e.detail["domain"] for e in bench.events(EventType.VOLUME_CHANGED) if "domain" in e.detail]
        assert sorted(change["was"] for change in told) == ["domain-a", "domain-b"]
