import threading

import pytest

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault import ledger
from vault.catalog import Catalogue, copies, events, facts, packages, schedules, tokens, verifications, volumes
from vault.errors import ConfigError, Unreachable
from vault.model import Condition, CopyState, Descriptive, EventType, Scope, VolumeMode


@pytest.fixture
def held(catalogue):
    """A volume with one good copy."""
    with catalogue.write() as tx:
        volume, version = add_volume(tx, "nas-a"), add_version(tx, "p")
        return volume, version, add_copy(tx, version, volume)


CHANGES = {
    "a package": lambda tx, held: packages.create(tx, "new", Descriptive()),
    "a description": lambda tx, held: packages.describe(tx, held[1].package_id, Descriptive(title="x")),
    "a receipt": lambda tx, held: packages.set_receipt(tx, held[1].id, {}),
    "a state": lambda tx, held: copies.change(tx, held[2].id, CopyState.DAMAGED),
    "a proof": lambda tx, held: copies.change(tx, held[2].id, CopyState.GOOD, proved=True),
    "a check": lambda tx, held: copies.change(tx, held[2].id, CopyState.GOOD, checked=True),
    "a volume": lambda tx, held: add_volume(tx, "nas-b") and volumes.set_mode(tx, held[0].id, VolumeMode.READ_ONLY),
    "a mode": lambda tx, held: volumes.set_mode(tx, held[0].id, VolumeMode.RETIRED),
    "a place": lambda tx, held: volumes.describe(tx, held[0].id, domain="x", site="y"),
    "a condition": lambda tx, held: volumes.set_condition(tx, held[0].id, Condition.OFFLINE, "", None, None),
    "a token": lambda tx, held: tokens.create(tx, "t", [Scope.READ], None),
    "an order": lambda tx, held: verifications.order(tx, "v", "", "", agent="a", total=1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_change_of_state_is_committed_without_its_event(catalogue, held, change):
    with pytest.raises(RuntimeError, match="ledger was not told"), catalogue.write() as tx:
        change(tx, held)
    with catalogue.read() as tx:
        assert copies.get(tx, held[2].id) == held[2]
        assert packages.get(tx, "new") is None
        assert volumes.all(tx) == [held[0]]
        assert tokens.all(tx) == []
        assert verifications.running(tx) == []
        assert packages.receipt(tx, held[1].id) is None
        assert packages.get(tx, "p").descriptive == Descriptive()
    with catalogue.write() as tx:
        change(tx, held)
        tell(tx)


def test_a_change_after_the_event_owes_another_one(catalogue, held):
    def work():
        with catalogue.write() as tx:
            tell(tx)
            copies.change(tx, held[2].id, CopyState.SUSPECT)

    with pytest.raises(RuntimeError, match="ledger was not told"):
        work()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_who_only_reads_changes_nothing(catalogue, held, change):
    with pytest.raises(RuntimeError, match="only reads"), catalogue.read() as tx:
        change(tx, held)
    with pytest.raises(RuntimeError, match="only reads"), catalogue.read() as tx:
        tell(tx)


def test_even_what_owes_no_event_is_not_written_by_who_only_reads(catalogue):
    with pytest.raises(Exception, match=r"read-?only"), catalogue.read() as tx:
        facts.put(tx, "a", 1)
    with catalogue.write() as tx:
        assert facts.get(tx, "a") is None
        facts.put(tx, "a", 1)


def test_what_changes_nothing_of_the_holdings_owes_no_event(catalogue, held, clock):
    volume, version, copy = held
    with catalogue.write() as tx:
        volumes.set_condition(tx, volume.id, Condition.ONLINE, "", 10, 5)
        tell(tx)
    with catalogue.write() as tx:
        assert not volumes.set_condition(tx, volume.id, Condition.ONLINE, "still", 10, 4)
        copies.change(tx, copy.id, CopyState.GOOD, due_at=clock.time, failures=1, reason="locked")
        packages.set_standing(tx, version.id, below_policy=False, policy="default", priority=1)
    with catalogue.read() as tx:
        found = volumes.get(tx, "nas-a")
        assert (found.condition, found.condition_reason, found.size_bytes, found.free_bytes, found.probed_at) == (
            Condition.ONLINE, "still", 10, 4, clock.time,
        )  # fmt: skip


def test_an_error_undoes_the_whole_transaction(catalogue, held):
    def work():
        with catalogue.write() as tx:
            copies.change(tx, held[2].id, CopyState.DAMAGED)
            tell(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    with catalogue.read() as tx:
        assert copies.get(tx, held[2].id) == held[2]
        assert copies.counts(tx) == {("nas-a", CopyState.GOOD): 1}
    assert ledger.verify(catalogue).ok


def test_writing_inside_writing_is_a_mistake_and_no_deadlock(catalogue):
    with catalogue.write() as tx:
        add_volume(tx, "a")
        with pytest.raises(RuntimeError, match="inside another"), catalogue.write():
            pass
    with catalogue.write() as tx:
        assert [v.name for v in volumes.all(tx)] == ["a"]


def test_a_reader_sees_one_moment_while_others_write(catalogue, held):
    with catalogue.read() as reading:
        assert packages.count(reading) == 1
        with catalogue.write() as tx:
            add_version(tx, "q")
        assert packages.count(reading) == 1
        assert packages.get(reading, "q") is None
    with catalogue.read() as reading:
        assert packages.count(reading) == 2


def test_many_threads_write_and_the_chain_holds(catalogue, url, clock):
    other = Catalogue.open(url, clock)
    failed = []

    def work(number):
        try:
            for turn in range(10):
                with (catalogue, other)[number % 2].write() as tx:
                    add_version(tx, f"{number}", bytes=turn)
                with catalogue.read() as tx:
                    assert packages.get(tx, f"{number}").head == turn + 1
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert failed == []
    report = ledger.verify(catalogue)
    assert (report.ok, report.count) == (True, 60)
    with catalogue.read() as tx:
        assert [e.seq for e in ledger.events(tx, limit=100)] == list(range(1, 61))


def test_events_can_be_read_by_package_and_type(catalogue, held):
    with catalogue.write() as tx:
        tell(tx, EventType.NODE_STARTED)
        last = tell(tx, EventType.FIXITY_CHECK, identifier="p", version=1, volume="nas-a", detail={"files": 3})
    with catalogue.read() as tx:
        assert [e.type for e in ledger.events(tx, identifier="p")] == [
            "version-created", "copy-written", "fixity-check",
        ]  # fmt: skip
        assert ledger.events(tx, identifier="p", type="fixity-check") == [last]
        assert [e.seq for e in ledger.events(tx, type="node-started")] == [4]
        assert [e.type for e in ledger.events(tx, identifier="")] == ["volume-added", "node-started"]
        assert ledger.events(tx, after=last.seq) == []
        assert [e.seq for e in ledger.events(tx, after=1, limit=2)] == [2, 3]


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "postgresql+psycopg2://x/y", "nonsense", "sqlite:///a?b=c"],
)
def test_a_url_that_cannot_hold_a_catalogue_is_a_configuration_error(url):
    with pytest.raises(ConfigError) as refused:
        Catalogue.open(url)
    assert "postgresql+psycopg://" in refused.value.remedy


def test_no_password_is_shown():
    catalogue = Catalogue.open("postgresql://khoso:hunter2@127.0.0.1:1/khoso")
    assert "hunter2" not in catalogue.place
    with pytest.raises(Unreachable) as failed, catalogue.read():
        pass
    assert "hunter2" not in str(failed.value)
    assert failed.value.code == "catalogue-unreachable"


def test_what_a_power_cut_may_lose_is_seen_at_once_and_is_no_event(catalogue):
    with catalogue.write(durably=False) as tx:
        schedules.succeeded(tx, "plan")
    with catalogue.read() as tx:
        assert [one.kind for one in schedules.all(tx)] == ["plan"]
    with pytest.raises(RuntimeError, match="power cut"), catalogue.write(durably=False) as tx:
        tell(tx)
    with catalogue.read() as tx:
        assert events.last_seq(tx) == 0


def test_only_what_may_be_lost_does_not_wait_for_the_disk(catalogue):
    asked = "PRAGMA synchronous" if catalogue.is_sqlite else "SHOW synchronous_commit"
    found = []
    # Over one connection after the other, and so over the same.
    for durably in (True, False, True):
        with catalogue.write(durably=durably) as tx:
            found.append(str(tx.connection.exec_driver_sql(asked).scalar()))
    assert found == (["2", "1", "2"] if catalogue.is_sqlite else ["on", "off", "on"])


def test_closing_lets_what_others_do_come_to_its_end(catalogue: Catalogue):
    """A connection that is given back to a catalogue that was closed before would never be closed."""
    inside, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with catalogue.read() as tx:
            inside.set()
            go_on.wait(30)
            packages.get(tx, "p")
        ended.set()

    def close() -> None:
        catalogue.close()
        closed_after.append(ended.is_set())

    closed_after: list[bool] = []
    threads = [threading.Thread(target=work), threading.Thread(target=close)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    threads[1].join(0.2)
    assert closed_after == []
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert closed_after == [True]
