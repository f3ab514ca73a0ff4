"""A catalogue that knows less than the volumes: restored from a backup, or lost. Nothing acknowledged is taken away."""

from __future__ import annotations

import io
import shutil

import pytest

from tests.support.nodes import Bench, eventually
from vault.custody import evidence as custody_evidence
from vault.errors import ConfigError, Refused, Unreachable
from vault.model import EventType, Outcome


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def test_versions_that_an_older_catalogue_does_not_know_stay_where_they_are(bench):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    bench.stop()
    shutil.copytree(bench.folder / "state", bench.folder / "older")
    bench.start()
    bench.deposit("hồ sơ", b"two", filename="x", if_match=1)
    bench.settle()
    bench.stop()
    shutil.rmtree(bench.folder / "state")
    (bench.folder / "older").rename(bench.folder / "state")
    bench.start()
    order = bench.order()
    eventually(lambda: bench.verification(order.id).finished_at, 30)
    failed = [e for e in bench.events(EventType.FIXITY_CHECK) if e.outcome is not Outcome.SUCCESS]
    assert not failed, "what the catalogue does not know is no damage"
    for volume in "ab":
        assert (bench.object_path(volume, "hồ sơ") / "v2" / "inventory.json").exists()
    assert not bench.evidence()


def test_a_node_that_was_used_does_not_begin_with_an_empty_catalogue(bench):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    bench.running.keep_checkpoint()
    bench.stop()
    for left in (bench.folder / "state").glob("catalog.db*"):
        left.unlink()
    with pytest.raises(ConfigError) as refused:
        bench.start()
    assert refused.value.code == "catalogue-missing"
    assert not (bench.folder / "state" / "catalog.db").exists(), "and none is made by looking"
    bench.node = None


def overwrite(bench, volume):
    path = next((bench.object_path(volume, "hồ sơ") / "v1" / "content").glob("x"))
    path.chmod(0o644)
    path.write_bytes(b"WRONG")


def test_bytes_just_sent_are_not_let_go_for_an_earlier_version_that_is_damaged(bench):
    bench.deposit("hồ sơ", b"right", filename="x")
    bench.settle()
    for volume in "ab":
        overwrite(bench, volume)
    with pytest.raises(Unreachable) as refused:
        bench.receive("hồ sơ", io.BytesIO(b"right"), filename="renamed", if_match=1)
    assert refused.value.code == "earlier-version-damaged"


def test_evidence_is_not_released_on_the_catalogues_word_alone(bench):
    bench.deposit("hồ sơ", b"right", filename="x")
    bench.settle()
    overwrite(bench, "a")
    bench.verify(volume="a")
    (kept,) = eventually(bench.evidence, 20)
    bench.settle()
    for volume in "ab":
        overwrite(bench, volume)
    with pytest.raises(Refused) as refused:
        custody_evidence.release_evidence(bench.running.custodian, kept.id, "user:test")
    assert refused.value.code == "evidence-needed"
