"""The catalogue is lost. It is made anew from what the volumes hold, and the archive answers as before."""

import dataclasses
import io
import json
import os
import shutil
import sqlite3
import uuid

import pytest

from tests.support.faults import flip
from tests.support.nodes import VIETNAMESE, Bench, bag, tar_of, write_config
from vault.catalog import copies, listing, packages, tokens
from vault.cli.offline import open_volume, rebuild_sources
from vault.cli.run import run as vaultctl
from vault.clock import utcnow
from vault.custody.replacing import replace
from vault.depositing import UploadState
from vault.errors import ConfigError, Refused
from vault.intake.deposit import DepositRequest
from vault.ledger import append, verify
from vault.model import Condition, CopyState, Descriptive, EventType, NewEvent, Outcome, Scope
from vault.recovery.found_checkpoints import statements
from vault.recovery.rebuild import Base, rebuild
from vault.signing import NodeKey
from vault.volumes.base import VolumeIdentity


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def fill(bench):
    said = Descriptive("H49", "UBND xã Chiềng An", "", "Hồ sơ địa chính", "vĩnh viễn", "mở", "land")
    files = bag(VIETNAMESE)
    body = tar_of({f"x/{name}": data for name, data in files.items()})
    bench.deposit("Hồ sơ/Đ-012", body, files, descriptive=said, metadata={"số": "12"})
    bench.deposit("tệp", b"one", filename="một.pdf")
    bench.deposit("tệp", b"two", filename="một.pdf", if_match=1)
    bench.settle()


def lose(bench):
    for left in (bench.folder / "state").glob("catalog.db*"):
        left.unlink()


def lose_everything(bench, *, key: bool = True):
    kept = (bench.folder / "state" / "node.key").read_bytes()
    shutil.rmtree(bench.folder / "state")
    (bench.folder / "state").mkdir()
    if key:
        (bench.folder / "state" / "node.key").write_bytes(kept)
        (bench.folder / "state" / "node.key").chmod(0o600)


def key_of(bench):
    return NodeKey.load_or_create(bench.folder / "state" / "node.key")


def rebuilt(bench, **how):
    return rebuild(bench.settings, rebuild_sources(bench.settings), key_of(bench), **how)


def answers(bench, *, times=True, receipts=True):
    """All that the API tells of packages, by identifier and version."""
    found = {}
    with bench.running.catalogue.read() as tx:
        for package in listing.page(tx, listing.Wanted(), limit=1000):
            for version in packages.versions_of(tx, package.id):
                facts = dataclasses.asdict(version)
                for local in (
                    "id",
                    "package_id",
                    "policy_fingerprint",
                    "priority",
                    *(() if times else ("created_at",)),
                ):
                    del facts[local]
                facts |= {
                    "said": package.descriptive,
                    "metadata": packages.metadata(tx, version.id),
                    "receipt": packages.receipt(tx, version.id) if receipts else None,
                    "copies": {(c.volume, str(c.state), c.proved_at if times else None)
                               for c in copies.of_version(tx, version.id)},
                }  # fmt: skip
                found[package.identifier, version.number] = facts
    return found


def codes(report):
    return {trouble.code for trouble in report.troubles}


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
    assert (report.packages, report.versions, report.counts) == (2, 3, {})
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


def test_what_came_after_the_backup_is_taken_from_the_volumes(bench):
    fill(bench)
    bench.running.backups.make()
    bench.deposit("tệp", b"three", filename="một.pdf", if_match=2)
    accepted = bench.deposit("mới", b"new", filename="x")
    bench.settle()
    bench.running.keep_checkpoint()
    before = answers(bench, times=False, receipts=False)
    bench.stop()
    lose(bench)
    report = rebuilt(bench)
    assert sum(source.versions_added for source in report.sources) == 2
    first, last = report.lost_events
    assert first == report.base["seq"] + 1 <= last
    bench.start()
    bench.settle()
    assert answers(bench, times=False, receipts=False) == before
    assert bench.receipt(accepted.ingest_id)
    bench.assert_sound()
    (told,) = statements(bench.running.catalogue, [bench.running.key.public_key])
    assert told.after == report.base["seq"]


def test_an_upload_that_was_under_way_when_the_backup_was_made_has_come_to_its_end(bench):
    """It was stored and receipted since: the depositor, who asks for it, is not told that it was cut off."""
    uploads = bench.running.uploads
    upload = uploads.create(DepositRequest("tải lên", agent="token:test", ingest_id="", filename="x"), 10)
    uploads.append(upload.id, lambda _: True, 0, io.BytesIO(b"01234"), lambda _: None)
    bench.running.backups.make()
    uploads.append(upload.id, lambda _: True, 5, io.BytesIO(b"56789"), lambda _: None)
    before = bench.receipt(upload.id)
    bench.settle()
    bench.stop()
    lose(bench)
    rebuilt(bench)
    bench.start()
    after = bench.receipt(upload.id)
    assert {name: after[name] for name in ("ingest", "identifier", "version", "digests")} == {
        name: before[name] for name in ("ingest", "identifier", "version", "digests")
    }
    bench.settle()
    assert bench.running.uploads.find(upload.id, lambda _: True).state is UploadState.ENDED
    bench.assert_nothing_left()


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


def test_a_backup_of_events_that_were_lost_before_does_not_displace_what_came_after(bench):
    """A rebuild began with an older backup, for the volume with the newer one was away. Run again when that is back,
    it keeps what the node did since, though the lost ledger was longer."""
    fill(bench)
    bench.running.backups.make()
    shutil.copytree(bench.folder / "state" / "catalog", bench.folder / "older")
    with bench.running.catalogue.write() as tx:
        for _ in range(100):
            append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "user:test"))
    bench.running.backups.make()
    bench.stop()
    lose(bench)
    for place in (bench.folder / "state" / "catalog", bench.path("a") / "node" / "catalog"):
        shutil.rmtree(place)
        shutil.copytree(bench.folder / "older", place)
    bench.path("b").rename(bench.folder / "away")
    lost = rebuilt(bench).base["seq"]
    (bench.folder / "away").rename(bench.path("b"))
    bench.start()
    bench.settle()
    bench.running.backups.make()
    with bench.running.catalogue.write() as tx:
        _, secret = tokens.create(tx, "máy", [Scope.READ], None)
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "user:test"))
    last = bench.last_event()
    assert lost < last < lost + 100
    report = rebuilt_again(bench)
    assert report.base["kind"] == "current"
    bench.start()
    with bench.running.catalogue.read() as tx:
        assert tokens.find(tx, secret) is not None
    bench.settle()
    bench.assert_sound()


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


def test_a_disk_that_was_replaced_since_the_backup_is_known_by_its_age(bench):
    """What is on it is read before it counts: what the backup knows was proved on the disk before it."""
    fill(bench)
    bench.running.backups.make()
    bench.path("b").rename(bench.folder / "dead")
    bench.path("b").mkdir()
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    replace(bench.running.custodian, "b", "user:test")
    bench.settle()
    bench.deposit("mới", b"new", filename="x")
    bench.settle()
    bench.stop()
    shutil.rmtree(bench.object_path("b", "tệp"))
    lose(bench)
    report = rebuilt(bench)
    assert report.counts["medium-replaced"] == 1
    with sqlite3.connect(bench.folder / "state" / "catalog.db") as database:
        states = database.execute(
            "SELECT copies.state FROM copies JOIN volumes ON volume_id = volumes.id WHERE volumes.name = 'b'"
        ).fetchall()
    database.close()
    assert sorted(state for (state,) in states) == ["missing", "missing", "suspect", "written"]
    bench.start()
    bench.settle()
    bench.assert_sound()
    assert rebuilt_again(bench).counts == {}


def test_the_disk_that_was_replaced_is_not_taken_for_its_successor(bench):
    """By mistake the old one was mounted again, and a rebuild begins with a catalogue that knows the new one."""
    fill(bench)
    bench.path("b").rename(bench.folder / "old")
    bench.path("b").mkdir()
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    replace(bench.running.custodian, "b", "user:test")
    bench.settle()
    bench.stop()
    bench.path("b").rename(bench.folder / "new")
    (bench.folder / "old").rename(bench.path("b"))
    assert rebuilt(bench).counts == {"foreign-volume": 1, "volume-not-read": 1}


def rebuilt_again(bench):
    bench.stop()
    return rebuilt(bench)


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

    class Killed(BaseException):
        """As a kill is: nothing is cleaned up that a process would."""

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


def test_checkpoints_of_lost_events_do_not_say_for_ever_that_the_ledger_was_cut(bench):
    fill(bench)
    bench.running.backups.make()
    bench.deposit("mới", b"new", filename="x")
    bench.settle()
    bench.running.keep_checkpoint()
    bench.stop()
    lose(bench)
    rebuilt(bench)
    config = bench.folder / "vault.toml"
    config.write_text(write_config(bench.folder))
    assert vaultctl(["--config", str(config), "ledger", "verify"]) == 0
    with sqlite3.connect(bench.folder / "state" / "catalog.db") as database:
        (detail,) = database.execute("SELECT detail FROM events WHERE type = 'catalogue-rebuilt'").fetchone()
        assert json.loads(detail)["lost_events"]
        database.execute("UPDATE events SET detail = replace(detail, 'statement', 'stetement')")
    database.close()
    assert vaultctl(["--config", str(config), "ledger", "verify"]) == 5, "without the signed statement they count"


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
