"""Backups of the catalogue: on every volume, sealed, few, and held up by no volume that hangs."""

import gzip
import hashlib
import json
import threading
from datetime import timedelta

import pytest

from tests.support.nodes import Bench, eventually
from vault.errors import Full, Unreachable
from vault.model import EventType, Outcome
from vault.signing import verify_document


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def backups(bench, place):
    return sorted(path.name for path in (bench.folder / place).glob("catalog-*"))


def test_every_volume_and_the_state_folder_have_the_same_sealed_backup(bench):
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    seal = bench.running.backups.make()
    assert seal["volumes"] == ["a", "b"]
    for place in ("state/catalog", "a/node/catalog", "b/node/catalog"):
        data = (bench.folder / place / seal["file"]).read_bytes()
        written = json.loads((bench.folder / place / seal["file"].replace(".jsonl.gz", ".json")).read_bytes())
        assert hashlib.sha256(data).hexdigest() == written["sha256"]
        assert verify_document(written, [bench.running.key.public_key]).ok
        assert "hồ sơ" in gzip.decompress(data).decode()
    (event,) = bench.events(EventType.CATALOGUE_BACKUP)
    assert (event.outcome, event.detail["volumes"]) == (Outcome.SUCCESS.value, ["a", "b"])


def test_it_holds_no_secret(bench):
    seal = bench.running.backups.make()
    text = gzip.decompress((bench.folder / "a/node/catalog" / seal["file"]).read_bytes()).decode()
    assert "PRIVATE KEY" not in text


def test_the_newest_few_are_kept_and_what_was_cut_off_goes(bench):
    (bench.folder / "a/node/catalog").mkdir()
    (bench.folder / "a/node/catalog/catalog-20200101T000000.000000Z.jsonl.gz").write_bytes(b"cut off")
    (bench.folder / "a/node/catalog/readme").write_bytes(b"of a person")
    made = [bench.running.backups.make()["file"] for _ in range(5)]
    newest = set(made[-3:]) | {name.replace(".jsonl.gz", ".json") for name in made[-3:]}
    for place in ("state/catalog", "a/node/catalog", "b/node/catalog"):
        assert set(backups(bench, place)) == newest
    assert (bench.folder / "a/node/catalog/readme").exists()


def test_a_volume_that_hangs_holds_nothing_up_and_is_said(tmp_path, monkeypatch):
    with Bench(tmp_path, custody={"stalled_after": timedelta(milliseconds=300)}) as bench:
        hang = threading.Event()
        monkeypatch.setattr(bench.running.volumes["a"], "write_note", lambda *_: hang.wait(60))
        try:
            for _ in range(2):
                assert bench.running.backups.make()["volumes"] == ["b"]
            event = bench.events(EventType.CATALOGUE_BACKUP)[-1]
            assert event.outcome == Outcome.WARNING.value
            assert "a" in event.detail["failed"]
            assert len([t for t in threading.enumerate() if t.name == "backup-a"]) == 1
        finally:
            hang.set()


def test_one_that_no_volume_took_is_a_failure(bench, monkeypatch):
    def full(*_):
        raise Full("no room")

    for name in "ab":
        monkeypatch.setattr(bench.running.volumes[name], "write_note", full)
    with pytest.raises(Unreachable) as failed:
        bench.running.backups.make()
    assert failed.value.code == "backup-not-kept"
    assert "no room" in str(failed.value)


def test_the_clock_makes_them(tmp_path):
    with Bench(tmp_path, custody={"backup_interval": timedelta(milliseconds=300)}) as bench:
        eventually(lambda: len(bench.events(EventType.CATALOGUE_BACKUP)) >= 2, 30)
