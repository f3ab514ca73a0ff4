"""A rename happened, and the catalogue never heard of it: what is in place is entered, and nobody is blamed for it."""

from __future__ import annotations

import shutil

import pytest

from tests.support.nodes import Bench, eventually
from vault.catalog import ingests
from vault.custody import replicate
from vault.errors import Unreachable
from vault.intake import accession
from vault.model import Condition, CopyState, EventType, IngestState, Outcome


class CutOffError(Exception):
    """What stands for a kill between two statements."""


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def failures(bench):
    return [e for e in bench.events(EventType.FIXITY_CHECK) if e.outcome is not Outcome.SUCCESS]


def test_a_copy_that_was_put_but_not_recorded_makes_no_damage_of_the_version_before(bench, monkeypatch):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    (holder, other) = sorted(bench.settings.volumes, key=lambda v: v.name)

    def cut_off(*_args, **_kwargs):
        raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(replicate, "_record_written", cut_off)
        bench.deposit("hồ sơ", b"two", filename="x", if_match=1)
        writing = eventually(lambda: [c for c in bench.copies("hồ sơ", 2).values() if c.state is CopyState.WRITING], 20)
        target = writing[0].volume
        eventually((bench.object_path(target, "hồ sơ") / "v2").exists, 20)
        bench.stop()
    source = next(v.name for v in (holder, other) if v.name != target)
    away = bench.folder / "away"
    bench.path(source).rename(away)
    bench.start()
    bench.wait_for(target, Condition.ONLINE)
    bench.verify(volume=target)
    assert failures(bench) == [], "an intact copy was blamed for a rename that the catalogue did not know of"
    assert bench.copies("hồ sơ", 2)[target, 2].state in (CopyState.GOOD, CopyState.WRITTEN)
    away.rename(bench.path(source))
    bench.wait_for(source, Condition.ONLINE)
    bench.settle()
    bench.assert_sound()
    assert not bench.evidence()


def test_a_deposit_in_place_that_the_catalogue_could_not_be_told_of_is_entered_by_itself(bench, monkeypatch):
    def no_answer(*_args, **_kwargs):
        raise Unreachable("The catalogue does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(accession, "enter", no_answer)
        patched.setattr(accession, "settle", no_answer)
        with pytest.raises(Unreachable):
            bench.deposit("hồ sơ", b"one", filename="x", ingest_id="cut-off")
    bench.remember("hồ sơ", 1, {"x": b"one"})
    eventually(lambda: bench.ingest("cut-off").state is IngestState.RECEIPTED, 30)
    bench.settle()
    bench.assert_sound()


def test_an_ingest_that_nobody_understands_does_not_keep_its_volume_away(bench):
    with bench.running.catalogue.write() as tx:
        ingests.begin(tx, "of-a-later-version", "hồ sơ", "token:test")
        ingests.prepare(tx, "of-a-later-version", volume="a", version=1, prepared={"unknown": True})
    bench.restart()
    bench.wait_for("a", Condition.ONLINE)
    accepted = bench.deposit("khác", b"one", filename="x")
    eventually(lambda: bench.ingest(accepted.ingest_id).state is IngestState.RECEIPTED, 30)


def test_the_new_part_of_a_repair_that_was_cut_off_is_not_kept_as_evidence(bench, monkeypatch):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    intact = bench.object_path("b", "hồ sơ") / "v1"
    place = bench.path("a") / "evidence" / "20260101T000000Z-1-cut"
    (place / "object").mkdir(parents=True)
    shutil.copytree(intact, place / "object" / "v1")
    (place / "about.json").write_text('{"identifier": "hồ sơ", "version": 1}', encoding="utf-8")
    bench.restart()
    bench.wait_for("a", Condition.ONLINE)
    eventually(lambda: not place.exists(), 20)
    assert not bench.evidence()
