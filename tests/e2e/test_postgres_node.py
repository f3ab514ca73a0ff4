"""A node whose catalogue is in PostgreSQL: its life, the loss of that database, and another process that wants it."""

import contextlib
import shutil

import pytest

from tests.support.faults import flip
from tests.support.nodes import VIETNAMESE, Bench, assert_receipt, bag, catalogue_at, tar_of
from tests.support.rebuilds import Killed, answers, fill, lose_everything, rebuilt
from vault.catalog import Catalogue, copies, tokens
from vault.errors import ConfigError, Unreachable
from vault.ledger import append
from vault.model import CopyState, EventType, NewEvent, Outcome, Scope
from vault.node import Node
from vault.recovery.rebuild import Base


@pytest.fixture
def bench(tmp_path, empty_database):
    with Bench(tmp_path, extra=catalogue_at(empty_database)) as made:
        yield made


def move(bench, url):
    """The configuration names another database from now on."""
    bench.settings = bench.configured(extra=catalogue_at(url))


def backed_up(bench):
    """A filled node that is stopped, with a backup on its volumes; what it answered."""
    fill(bench)
    bench.running.backups.make()
    before = answers(bench)
    bench.stop()
    return before


def states(url):
    with contextlib.closing(Catalogue.open(url)) as catalogue, catalogue.read() as tx:
        return {(c.state, c.proved_at) for c in copies.in_states(tx, list(CopyState), 1000)}


# --- its life


def test_it_keeps_proves_and_mends_what_was_deposited(bench):
    files = bag(VIETNAMESE)
    accepted = [
        bench.deposit("Hồ sơ/Đ-012", tar_of({f"x/{name}": data for name, data in files.items()}), files),
        bench.deposit("tệp", b"one", filename="một.pdf"),
        bench.deposit("tệp", b"two", filename="một.pdf", if_match=1),
    ]
    for one in accepted:
        assert_receipt(bench, bench.receipt(one.ingest_id))
    bench.settle()
    flip(next((bench.object_path("a", "tệp") / "v1" / "content").glob("một.pdf")))
    shutil.rmtree(bench.object_path("b", "Hồ sơ/Đ-012"))
    bench.verify()
    bench.settle()
    assert {event.volume for event in bench.events(EventType.RECOVERY)} == {"a", "b"}
    assert [kept.volume for kept in bench.evidence()] == ["a"]
    bench.running.keep_checkpoint()
    bench.running.ask_catalogue()
    before = answers(bench)
    bench.restart()
    assert answers(bench) == before
    bench.settle()
    bench.assert_sound()


# --- its loss


def test_with_no_backup_every_version_is_there_and_is_read_before_it_is_called_good(bench, new_database):
    fill(bench)
    before = answers(bench, times=False, receipts=False)
    bench.stop()
    lose_everything(bench)
    url = new_database()
    move(bench, url)
    # So that no backup counts which the clock made on a slow machine.
    report = rebuilt(bench, base=Base.NOTHING)
    assert [source.versions_added for source in report.sources] == [3, 0]
    assert states(url) == {(CopyState.WRITTEN, None)}
    bench.start()
    bench.settle()
    assert answers(bench, times=False, receipts=False) == before
    bench.assert_sound(others=False)


def test_a_catalogue_that_stands_there_is_left_as_it_is(bench):
    before = backed_up(bench)
    with pytest.raises(ConfigError) as refused:
        rebuilt(bench)
    assert refused.value.code == "catalogue-exists"
    assert "ALTER DATABASE" in refused.value.remedy
    # One that outlived the node's own machine serves the next one, which has its key.
    lose_everything(bench)
    bench.start()
    assert answers(bench) == before


def test_no_daemon_starts_on_one_that_was_cut_off_wherever_that_was(bench, new_database, monkeypatch):
    before = backed_up(bench)
    move(bench, new_database())

    def die(*_, **__):
        raise Killed

    for moment in (
        "vault.recovery.rebuild.verify",  # as soon as the base is laid: a scan of large volumes takes hours after it
        "vault.recovery.directory._Object.parts",
        "vault.recovery.rebuild._Rebuild._finish",
    ):
        monkeypatch.setattr(moment, die)
        with pytest.raises(Killed):
            rebuilt(bench)
        monkeypatch.undo()
        with pytest.raises(ConfigError) as refused:
            Node(bench.settings)
        assert refused.value.code == "rebuild-unfinished", moment
    report = rebuilt(bench)
    assert (report.base["kind"], report.packages, report.versions, report.counts) == ("backup", 2, 3, {})
    bench.start()
    assert answers(bench) == before
    bench.settle()
    assert not bench.events(EventType.FIXITY_CHECK, after=report.base["seq"]), "nothing that was proved is read again"


def test_one_that_found_nothing_to_begin_with_leaves_no_empty_archive(bench, new_database):
    """Somebody forgot to mount the volumes."""
    before = backed_up(bench)
    shutil.rmtree(bench.folder / "state" / "catalog")
    shutil.rmtree(bench.folder / "state" / "ledger", ignore_errors=True)
    move(bench, new_database())
    for name in "ab":
        bench.path(name).rename(bench.folder / f"away-{name}")
    with pytest.raises(Unreachable) as failed:
        rebuilt(bench)
    assert failed.value.code == "nothing-to-rebuild-from"
    with pytest.raises(ConfigError):
        Node(bench.settings)
    for name in "ab":
        (bench.folder / f"away-{name}").rename(bench.path(name))
    assert rebuilt(bench).base["kind"] == "backup"
    bench.start()
    assert answers(bench) == before


def test_a_catalogue_moves_from_sqlite_to_postgresql_and_back(tmp_path, new_database):
    with Bench(tmp_path) as bench:
        with bench.running.catalogue.write() as tx:
            _, secret = tokens.create(tx, "máy", [Scope.READ], None)
            append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "user:test"))
        before = backed_up(bench)
        move(bench, new_database())
        report = rebuilt(bench)
        assert (report.base["kind"], report.counts) == ("backup", {"tokens-restored": 1})
        bench.start()
        assert answers(bench) == before
        with bench.running.catalogue.read() as tx:
            assert tokens.find(tx, secret) is not None
        # The numbers that the database gives out go on behind those that were loaded.
        bench.receipt(bench.deposit("ở đó", b"there", filename="x").ingest_id)
        bench.settle()
        bench.running.backups.make()
        before = answers(bench)
        bench.stop()
        bench.settings = bench.configured()
        report = rebuilt(bench)
        assert (report.base["kind"], report.counts) == ("backup", {"tokens-restored": 1})
        bench.start()
        assert answers(bench) == before
        bench.settle()
        bench.assert_sound(others=False)


# --- two at once


def test_no_other_process_works_with_its_database(bench, tmp_path_factory, empty_database, postgres):
    """One of another state folder, on whatever machine; the lock of a state folder keeps nobody from that."""
    other = Bench(tmp_path_factory.mktemp("other"), extra=catalogue_at(empty_database))
    (other.folder / "state").mkdir()

    def refused():
        with pytest.raises(Unreachable) as failed:
            Node(other.settings)
        assert failed.value.code == "catalogue-in-use"
        with pytest.raises(Unreachable) as failed:
            rebuilt(other)
        assert failed.value.code == "catalogue-in-use"

    refused()
    postgres.restart()
    bench.deposit("hồ sơ", b"one", filename="x")
    refused()
    bench.settle()
    bench.assert_sound(others=False)


def test_it_writes_nothing_where_another_was_quicker_after_a_restart_of_the_server(bench, empty_database, postgres):
    quicker = Catalogue.open(empty_database)
    with contextlib.closing(quicker):
        with bench.running.catalogue._hold._guard:  # whatever would write here waits, so that the other is quicker
            postgres.restart()
            quicker.hold()
        before = bench.last_event()
        for call in (bench.running.ask_catalogue, lambda: bench.deposit("hồ sơ", b"one", filename="x")):
            with pytest.raises(Unreachable) as failed:
                call()
            assert failed.value.code == "catalogue-in-use"
        assert bench.last_event() == before
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
