"""The catalogue is lost, and much has changed since it was last backed up."""

import hashlib
import io
import json
import shutil
import sqlite3
from datetime import timedelta

import pytest

from tests.support.nodes import Bench, write_config
from tests.support.rebuilds import answers, fill, lose, rebuilt, rebuilt_again
from vault.catalog import batches, tokens
from vault.catalog.batches import ItemState, ListedPackage
from vault.cli.run import run as vaultctl
from vault.clock import utcnow
from vault.custody.replacing import replace
from vault.depositing import UploadState
from vault.intake.batches import Opening
from vault.intake.deposit import DepositRequest
from vault.ledger import append
from vault.model import Condition, Descriptive, EventType, NewEvent, Outcome, Scope
from vault.recovery.found_checkpoints import statements
from vault.tapes import record as tape_record


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


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


def lose_signed_events(bench):
    """A deposit after the backup, signed by a checkpoint; then the catalogue is lost."""
    fill(bench)
    bench.running.backups.make()
    bench.deposit("mới", b"new", filename="x")
    bench.settle()
    bench.running.keep_checkpoint()
    bench.stop()
    lose(bench)


def test_checkpoints_of_lost_events_do_not_say_for_ever_that_the_ledger_was_cut(bench):
    lose_signed_events(bench)
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


def test_a_token_that_was_revoked_since_the_backup_is_told(bench, capsys):
    """It works again, and nothing knows that it should not but the people who revoked it."""
    for name in ("máy cũ", "máy mới"):
        with bench.running.catalogue.write() as tx:
            tokens.create(tx, name, [Scope.READ], None)
            append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "user:test"))
    with bench.running.catalogue.write() as tx:
        tokens.revoke(tx, "máy mới")
        append(tx, NewEvent(EventType.TOKEN_REVOKED, Outcome.SUCCESS, "user:test"))
    bench.running.backups.make()
    with bench.running.catalogue.write() as tx:
        tokens.revoke(tx, "máy cũ")
        append(tx, NewEvent(EventType.TOKEN_REVOKED, Outcome.SUCCESS, "user:test"))
    bench.stop()
    lose(bench)
    config = bench.folder / "vault.toml"
    config.write_text(write_config(bench.folder))
    assert vaultctl(["--config", str(config), "catalog", "rebuild"]) == 5
    told = " ".join(capsys.readouterr().out.split())
    assert "tokens-restored" in told
    assert "vaultctl token revoke" in told
    assert told.index("máy cũ")
    assert "máy mới" not in told


def test_checkpoints_of_lost_events_are_known_as_such_by_a_server_whose_clock_is_behind(bench):
    """They were signed later than the rebuild, by what its clock says."""
    lose_signed_events(bench)
    rebuilt(bench, clock=lambda: utcnow() - timedelta(days=1))
    config = bench.folder / "vault.toml"
    config.write_text(write_config(bench.folder))
    assert vaultctl(["--config", str(config), "ledger", "verify"]) == 0
    bench.start()
    bench.settle()
    bench.running.keep_checkpoint()
    bench.stop()
    assert vaultctl(["--config", str(config), "ledger", "verify"]) == 0
    assert not {"events-lost", "ledger-broken"} & set(rebuilt(bench).counts)


def test_a_delivery_that_was_open_has_what_came_into_it_since(bench):
    """Its depositor need not send it again, and can close it."""
    contents = {"một": b"one", "hai": b"two", "ba": b"three"}
    listed = [
        ListedPackage(name, {"sha256": hashlib.sha256(body).hexdigest()}, 1, len(body))
        for name, body in contents.items()
    ]
    batch, _ = bench.running.batches.open(Opening("M-1", "1", "H49", "Sở Nội vụ", listed), "token:test")
    into = Descriptive(batch=batch.id)
    bench.deposit("một", b"one", filename="x", descriptive=into)
    bench.settle()
    bench.running.backups.make()
    bench.deposit("hai", b"two", filename="x", descriptive=into)
    bench.deposit("ba", b"not as listed", filename="x", descriptive=into)
    bench.deposit("bốn", b"beside the list", filename="x", descriptive=into)
    bench.settle()
    bench.stop()
    lose(bench)
    rebuilt(bench)
    bench.start()
    bench.settle()
    with bench.running.catalogue.read() as tx:
        shown = {item.identifier: (item.state, item.listed) for item in batches.items(tx, batch.id, limit=10)}
    assert shown == {
        "một": (ItemState.RECEIPTED, True),
        "hai": (ItemState.RECEIPTED, True),
        "ba": (ItemState.MISSING, True),
        "bốn": (ItemState.RECEIPTED, False),
    }
    # It could not be compared with the list; sent again it is the same package.
    bench.deposit("ba", b"not as listed", filename="x", descriptive=into)
    bench.settle()
    with bench.running.catalogue.read() as tx:
        assert batches.counts(tx, batch.id).missing == 0


def test_what_was_being_formatted_when_the_backup_was_made_passes_for_blank_no_longer(bench):
    with bench.running.catalogue.write() as tx:
        tape_record.formatting(tx, "VLT001L8", begun=True)
        append(tx, NewEvent(EventType.CARTRIDGE_CHANGED, Outcome.SUCCESS, "user:test"))
    bench.running.backups.make()
    bench.stop()
    lose(bench)
    rebuilt(bench)
    bench.start()
    with bench.running.catalogue.read() as tx:
        assert not tape_record.formatting_begun(tx)
