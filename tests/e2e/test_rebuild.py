"""The catalogue is lost. It is made anew from what the volumes hold, and the archive answers as before."""

import contextlib
import os
import shutil
import sqlite3
import uuid

import pytest

from tests.support.faults import flip
from tests.support.nodes import Bench
from tests.support.rebuilds import Killed, answers, codes, fill, lose, lose_everything, rebuilt
from vault.catalog import tokens
from vault.cli.offline import open_volume
from vault.clock import utcnow
from vault.durable import rename_durably
from vault.errors import ConfigError, Refused
from vault.ledger import append, verify
from vault.model import CopyState, EventType, NewEvent, Outcome, Scope
from vault.recovery.directory import _Object
from vault.recovery.found_checkpoints import statements
from vault.recovery.rebuild import Base
from vault.volumes.base import VolumeIdentity


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def test_with_a_backup_all_is_as_it_was_proofs_included(bench):
    fill(bench)
    with bench.running.catalogue.write() as tx:
        _, secret = tokens.create(tx, "máy", [Scope.READ], None)
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "user:test"))
    bench.running.backups.make()
    before = answers(bench)
    bench.stop()
    lose_everything(bench)
    report = rebuilt(bench)
    assert report.base["kind"] == "backup"
    assert (report.packages, report.versions, report.counts) == (2, 3, {"tokens-restored": 1})
    bench.start()
    assert answers(bench) == before
    bench.settle()
    bench.assert_sound()
    with bench.running.catalogue.read() as tx:
        assert tokens.find(tx, secret) is not None
    assert not bench.events(EventType.FIXITY_CHECK, after=report.base["seq"]), "nothing that was proved is read again"


def test_with_no_backup_at_all_every_version_is_there_and_is_read_before_it_is_called_good(bench):
    fill(bench)
    before = answers(bench, times=False, receipts=False)
    receipts = {key: facts["receipt"] for key, facts in answers(bench).items()}
    bench.stop()
    lose_everything(bench)
    report = rebuilt(bench)
    assert report.base["kind"] == "nothing"
    assert [source.versions_added for source in report.sources] == [3, 0]
    assert [source.copies_added for source in report.sources] == [0, 3]
    with sqlite3.connect(bench.folder / "state" / "catalog.db") as database:
        states = set(database.execute("SELECT state, proved_at FROM copies"))
    database.close()
    assert states == {("written", None)}
    bench.start()
    bench.settle()
    assert answers(bench, times=False, receipts=False) == before
    bench.assert_sound()
    # The deposits are answered for under their numbers again, with receipts of the same content.
    for key, receipt in receipts.items():
        again = bench.receipt(receipt["ingest"])
        for same in ("ingest", "identifier", "version", "digests", "files", "bytes", "object", "fonds", "node"):
            assert again[same] == receipt[same], (key, same)


def test_an_older_catalogue_that_was_put_back_learns_of_what_the_volumes_hold(bench):
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
    report = rebuilt(bench)
    assert report.base["kind"] == "current"
    assert sum(source.versions_added for source in report.sources) == 1
    assert report.moved_aside
    assert os.path.exists(report.moved_aside), "what stood there is kept"
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_a_catalogue_that_knows_more_than_any_backup_is_not_thrown_away(bench):
    bench.running.backups.make()
    fill(bench)
    before = answers(bench)
    bench.stop()
    report = rebuilt(bench)
    assert (report.base["kind"], report.counts) == ("current", {})
    bench.start()
    assert answers(bench) == before


def test_a_damaged_catalogue_gives_way_to_the_newest_backup(bench):
    fill(bench)
    bench.running.backups.make()
    bench.stop()
    place = bench.folder / "state" / "catalog.db"
    data = bytearray(place.read_bytes())
    data[4096 : len(data) // 2] = bytes(len(data) // 2 - 4096)
    place.write_bytes(data)
    report = rebuilt(bench)
    assert report.base["kind"] == "backup"
    assert "catalogue-damaged" in codes(report)
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_a_damaged_backup_is_passed_over_for_a_sound_one(bench):
    fill(bench)
    seal = bench.running.backups.make()
    bench.stop()
    lose_everything(bench)
    flip(bench.folder / "a/node/catalog" / seal["file"])
    report = rebuilt(bench)
    assert report.base["from"] == "b"
    assert report.counts["damaged-backup"] == 1


def test_a_backup_that_nobody_vouches_for_is_not_believed(bench):
    fill(bench)
    bench.running.backups.make()
    own = bench.running.key.public_key
    bench.stop()
    lose_everything(bench, key=False)
    with pytest.raises(Refused) as refused:
        rebuilt(bench)
    assert refused.value.code == "backup-not-vouched"
    assert not (bench.folder / "state" / "catalog.db").exists()
    report = rebuilt(bench, trusted=[own])
    assert report.base["kind"] == "backup"
    bench.start()
    assert verify(bench.running.catalogue).ok
    (told,) = statements(bench.running.catalogue, [bench.running.key.public_key])
    assert told.keys == (own,)


def test_copies_that_the_medium_does_not_show_are_looked_for(bench):
    fill(bench)
    bench.running.backups.make()
    bench.stop()
    shutil.rmtree(bench.object_path("a", "tệp"))
    flip(bench.object_path("b", "Hồ sơ/Đ-012") / "v1" / "inventory.json")
    lose(bench)
    report = rebuilt(bench)
    assert report.counts["copy-not-found"] == 3
    with sqlite3.connect(bench.folder / "state" / "catalog.db") as database:
        states = sorted(row[0] for row in database.execute("SELECT state FROM copies"))
    database.close()
    assert states == ["good"] * 3 + ["suspect"] * 3
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_a_volume_that_is_away_keeps_what_was_known_of_it(bench):
    fill(bench)
    bench.running.backups.make()
    before = answers(bench)
    bench.stop()
    (bench.folder / "b").rename(bench.folder / "away")
    lose(bench)
    report = rebuilt(bench)
    assert {"not-read", "volume-not-read"} <= codes(report)
    (bench.folder / "away").rename(bench.folder / "b")
    bench.start()
    assert answers(bench) == before


def test_a_volume_that_goes_away_while_it_is_read_does_not_end_the_rebuild(bench, monkeypatch):
    fill(bench)
    bench.running.backups.make()
    before = answers(bench)
    bench.stop()
    lose(bench)
    parts_of = _Object.parts

    def parts(one):
        if bench.path("a").exists():
            bench.path("a").rename(bench.folder / "away")
        return parts_of(one)

    monkeypatch.setattr(_Object, "parts", parts)
    report = rebuilt(bench)
    assert [(source.name, source.whole) for source in report.sources] == [("a", False), ("b", True)]
    assert report.counts["not-read"] == 1
    assert "copy-not-found" not in report.counts
    (bench.folder / "away").rename(bench.path("a"))
    bench.start()
    assert answers(bench) == before


def test_each_volume_gives_what_the_other_has_lost(bench):
    """A mixture: on each volume another object's inventories are gone, and no backup anywhere."""
    for name in ("một", "hai", "ba"):
        bench.deposit(name, name.encode(), filename="x")
    bench.settle()
    bench.stop()
    lose_everything(bench)
    shutil.rmtree(bench.object_path("a", "một"))
    for name in ("inventory.json", "v1/inventory.json"):
        flip(bench.object_path("b", "hai") / name)
    flip(bench.object_path("a", "ba") / "v1/content/khoso-deposit.json")
    report = rebuilt(bench)
    assert (report.versions, report.counts["damaged-note"]) == (3, 1)
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_strangers_are_reported_and_left_alone(bench):
    fill(bench)
    bench.stop()
    stranger = bench.path("a") / "ocfl" / "stranger"
    shutil.copytree(bench.object_path("a", "tệp"), stranger)
    lose_everything(bench)
    report = rebuilt(bench)
    assert report.counts["misplaced-object"] == 1
    assert (stranger / "v1" / "inventory.json").exists()


def test_a_volume_of_another_node_gives_nothing(bench):
    fill(bench)
    bench.stop()
    lose_everything(bench)
    shutil.rmtree(bench.path("b"))
    bench.path("b").mkdir()
    open_volume(bench.settings, "b").initialise(VolumeIdentity(uuid.uuid4(), "b", "d", "s", "khác", utcnow()))
    report = rebuilt(bench)
    assert report.counts["foreign-volume"] == 1
    assert [source.name for source in report.sources] == ["a"]
    (bench.folder / ".b-initialised").unlink()


def test_it_is_refused_while_the_daemon_runs(bench):
    with pytest.raises(ConfigError) as refused:
        rebuilt(bench)
    assert refused.value.code == "already-running"
    assert "systemctl stop vaultd" in refused.value.remedy


def test_one_that_is_killed_is_begun_anew_and_nothing_stood_in_between(bench, monkeypatch):
    fill(bench)
    bench.running.backups.make()
    before = answers(bench)
    bench.stop()
    lose(bench)

    def die(*_):
        raise Killed

    monkeypatch.setattr("vault.recovery.place._File.finish", die)
    with pytest.raises(Killed):
        rebuilt(bench)
    assert not (bench.folder / "state" / "catalog.db").exists()
    monkeypatch.undo()
    rebuilt(bench)
    bench.start()
    assert answers(bench) == before


@pytest.mark.parametrize("last", range(1, 5))
def test_one_that_is_killed_between_its_last_renames_is_ended_by_the_next(bench, monkeypatch, last):
    """The catalogue stood aside then, and a rebuild that begins with nothing would know neither tokens nor receipts."""
    fill(bench)
    before = answers(bench)
    bench.stop()
    renames = 0

    def until(source, target):
        nonlocal renames
        renames += 1
        if renames == last:
            raise Killed
        rename_durably(source, target)

    monkeypatch.setattr("vault.recovery.place.rename_durably", until)
    with contextlib.suppress(Killed):
        rebuilt(bench)
    monkeypatch.undo()
    if not (bench.folder / "state" / "catalog.db").exists():
        shutil.rmtree(bench.folder / "state" / "ledger", ignore_errors=True)
        with pytest.raises(ConfigError) as refused:
            bench.start()
        assert refused.value.code == "rebuild-unfinished", "on a new machine nothing else says that it was used"
    assert rebuilt(bench).base["kind"] == "current"
    left = {path.name.split(".before")[0] for path in (bench.folder / "state").glob("catalog.db*")}
    assert left == {"catalog.db"}
    bench.start()
    assert answers(bench) == before


def test_nothing_is_written_on_the_volumes(bench):
    fill(bench)
    bench.stop()
    lose(bench)

    def everything():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for v in "ab" for p in bench.path(v).rglob("*")}

    before = everything()
    rebuilt(bench, base=Base.NOTHING)
    assert everything() == before


def test_a_rebuilt_copy_is_not_good_before_it_is_read(bench):
    bench.deposit("hồ sơ", b"right", filename="x")
    bench.settle()
    bench.stop()
    lose_everything(bench)
    path = next((bench.object_path("a", "hồ sơ") / "v1" / "content").glob("x"))
    path.chmod(0o644)
    path.write_bytes(b"WRONG")
    rebuilt(bench)
    bench.start()
    bench.settle()
    assert bench.events(EventType.RECOVERY, volume="a")
    assert {c.state for c in bench.all_copies()} == {CopyState.GOOD}
