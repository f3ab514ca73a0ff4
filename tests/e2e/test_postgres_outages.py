"""The PostgreSQL that has a node's catalogue is restarted, stopped, crowded or full while the node works."""

import contextlib
import io
import random
import secrets
import threading
from datetime import timedelta

import psycopg
import pytest

from tests.support.holdings import add_version, add_volume
from tests.support.nodes import Bench, catalogue_at, eventually
from tests.support.serving import served
from vault.catalog import Catalogue, copies, overview
from vault.custody import record
from vault.errors import Full, Unreachable, VaultError
from vault.model import EventType, IngestState, Outcome

# What a restart cut off between a claim and its thread waits for the end of its lease.
LEASE = {"lease": timedelta(seconds=3)}


@pytest.fixture
def bench(tmp_path, empty_database):
    with Bench(tmp_path, custody=LEASE, extra=catalogue_at(empty_database)) as made:
        yield made


class Traffic:
    """Deposits and orders to verify, from threads, for the block. Whoever is refused sends the same again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._deposit, args=(name,)) for name in "xy"]
        self._threads.append(threading.Thread(target=self._verify))
        self.bodies: dict[str, bytes] = {}
        self.refused: list[VaultError] = []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        for identifier, body in self.bodies.items():
            self._bench.remember(identifier, 1, {"f": body})

    def more(self, number: int = 2) -> None:
        """Wait for so many deposits more."""
        wanted = len(self.bodies) + number
        eventually(lambda: len(self.bodies) >= wanted, what=lambda: self.refused[-1:])

    def _deposit(self, name: str) -> None:
        while not self._over.is_set():
            identifier, body = f"{name}-{len(self.bodies)}", random.randbytes(3000)
            while identifier not in self.bodies and not self._over.is_set():
                try:
                    self._bench.receive(identifier, io.BytesIO(body), content_length=len(body), filename="f")
                    self.bodies[identifier] = body
                except VaultError as error:
                    self.refused.append(error)
                self._over.wait(0.05)

    def _verify(self) -> None:
        while not self._over.wait(0.5):
            with contextlib.suppress(VaultError):
                self._bench.order(volume="a")


def assert_no_false_alarm(bench):
    """Nothing is said of volumes and copies that was the database's."""
    wrong = [e for e in bench.events() if e.outcome is not Outcome.SUCCESS and e.type != EventType.INGESTION]
    assert wrong == []
    with bench.running.catalogue.read() as tx:
        assert set(overview.deposits_open(tx).values()) == {0}


# --- restarts


def test_it_goes_on_by_itself_after_restarts_and_nothing_acknowledged_is_lost(bench, postgres):
    with Traffic(bench) as traffic:
        for mode in ("fast", "immediate"):
            traffic.more()
            postgres.restart(mode)
        traffic.more()
    assert {error.code for error in traffic.refused} <= {"catalogue-unreachable"}
    bench.settle()
    assert_no_false_alarm(bench)
    bench.assert_sound(others=False)


def test_transactions_that_are_cut_off_one_by_one_and_commits_nobody_heard_of(bench, postgres, empty_database):
    """As :func:`test_it_goes_on…`, with many more cuts: sessions are ended at random, and of some transactions it was
    never heard that they were committed."""
    dialect, chance = bench.running.catalogue._engine.dialect, random.Random(7)
    commit, cuts = dialect.do_commit, 0

    def unheard(connection):
        commit(connection)
        if chance.random() < 0.05:
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    name = empty_database.partition("?")[0].rpartition("/")[2]
    with postgres.connect() as admin, Traffic(bench) as traffic:
        dialect.do_commit = unheard
        try:
            for _ in range(4):
                traffic.more(1)
                ended = admin.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", [name]
                )
                cuts += ended.fetchone()[0]
        finally:
            dialect.do_commit = commit
        traffic.more(1)
    assert cuts > 4
    bench.settle()
    assert_no_false_alarm(bench)
    bench.assert_sound(others=False)


def test_a_volume_is_not_off_line_because_the_catalogue_did_not_hear_that_it_came(bench, postgres, monkeypatch):
    watch = bench.running.watch
    arrive, cut, arrived = watch._arrival, threading.Event(), threading.Event()

    def arriving(volume):
        if volume.name == "a" and not cut.is_set():
            cut.set()
            with postgres.stopped("immediate"):
                arrive(volume)
        arrive(volume)
        arrived.set()

    monkeypatch.setattr(watch, "_arrival", arriving)
    bench.running.custodian.look("a")
    eventually(arrived.is_set)
    assert cut.is_set()
    assert_no_false_alarm(bench)


class Cutting:
    """A body; what is to happen happens when it is first read."""

    def __init__(self, happens) -> None:
        self._happens = happens
        self._bytes = io.BytesIO(b"body")

    def read(self, size):
        happens, self._happens = self._happens, lambda: None
        happens()
        return self._bytes.read(size)


def test_a_deposit_of_whose_end_the_catalogue_did_not_hear_is_ended_when_it_is_back(bench, postgres):
    with contextlib.ExitStack() as meanwhile:
        stops = Cutting(lambda: meanwhile.enter_context(postgres.stopped()))
        with pytest.raises(Unreachable):
            bench.receive("hồ sơ", stops, ingest_id="one", filename="x")
    eventually(lambda: bench.ingest("one").state is IngestState.FAILED, what=lambda: bench.ingest("one"))
    assert bench.ingest("one").problem["code"] == "interrupted"
    assert_no_false_alarm(bench)


# What is derived again is not committed durably. A power cut ends the node too; but a server that breaks down alone may
# lose that much, and the node that goes on knows of it.


def test_a_deposit_that_a_broken_down_server_forgot_can_be_sent_again(tmp_path, postgres, empty_database):
    calm = dict.fromkeys(("planner_interval", "probe_interval"), timedelta(hours=1))
    with postgres.forgetful(), Bench(tmp_path, custody=calm, extra=catalogue_at(empty_database)) as bench:

        def forgotten():
            """Whatever else is committed durably just then saves it."""
            try:
                bench.receive("hồ sơ", Cutting(lambda: postgres.restart("immediate")), filename="x")
            except Unreachable as error:
                return "no longer" in error.message
            return False

        eventually(forgotten)


def test_a_planned_copy_is_not_taken_for_the_one_that_got_its_number(postgres, empty_database):
    with contextlib.closing(Catalogue.open(empty_database)) as catalogue, postgres.forgetful():
        catalogue.migrate()
        with catalogue.write() as tx:
            volume = add_volume(tx, "a")
        # Where it wrote down the copy, or the number alone, all the same, as it may at any time: once more.
        for attempt in range(20):
            with catalogue.write() as tx:
                one, two = add_version(tx, f"một/{attempt}"), add_version(tx, f"hai/{attempt}")
            with catalogue.write(durably=False) as tx:
                lost = record.planned(tx, one, volume.id)
            postgres.restart("immediate")
            with catalogue.write() as tx:
                other = record.planned(tx, two, volume.id)
            if other.id == lost.id:
                break
        assert other.id == lost.id, "so it is with PostgreSQL"
        with pytest.raises(Unreachable), catalogue.write() as tx:
            record.writing(tx, lost)
        with catalogue.read() as tx:
            assert copies.need(tx, other.id) == other


# --- stops


def test_while_it_is_stopped_the_node_says_so_and_goes_on_when_it_is_back(tmp_path, postgres, empty_database):
    with served(tmp_path, catalog=f'url = "{empty_database}"') as running, running.local() as client:
        first = client.put("/v1/packages/a", content=b"one", headers={"Prefer": "wait=20"})
        assert first.status_code == 201, first.text
        with postgres.stopped():
            for answer in (client.get("/v1/status"), client.put("/v1/packages/b", content=b"two")):
                assert answer.status_code == 503, answer.text
                assert answer.json()["code"] == "catalogue-unreachable"
                assert "khoso@" in answer.json()["detail"]
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert any("khoso@" in reason for reason in ready.json()["reasons"])
        again = client.put("/v1/packages/b", content=b"two", headers={"Prefer": "wait=20"})
        assert again.status_code == 201, again.text
        eventually(lambda: client.get("/readyz").status_code == 200)
        status = client.get("/v1/status").json()
        assert status["policy_held"]


def test_a_node_stops_in_order_while_it_is_away_and_settles_at_the_next_start(bench, postgres):
    with contextlib.ExitStack() as meanwhile:
        with Traffic(bench) as traffic:
            traffic.more()
            meanwhile.enter_context(postgres.stopped())
        bench.stop()
        with pytest.raises(Unreachable):
            bench.start()
    bench.start()
    bench.settle()
    assert_no_false_alarm(bench)
    bench.assert_sound(others=False)


# --- no room


def test_a_crowded_server_is_an_outage_that_ends(bench, postgres, empty_database):
    """Others have taken every connection that it gives."""
    bench.deposit("trước", b"before", filename="x")
    bench.settle()
    name = empty_database.partition("?")[0].rpartition("/")[2]
    with contextlib.ExitStack() as crowd:
        admin = crowd.enter_context(postgres.connect())

        def crowded():
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    crowd.enter_context(postgres.connect())
            ended = admin.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            return ended.fetchone()[0] == 0

        eventually(crowded)
        with pytest.raises(Unreachable) as failed:
            bench.running.ask_catalogue()
        assert failed.value.code == "catalogue-unreachable"
        assert "too many clients" in failed.value.message
        with pytest.raises(Unreachable):
            bench.receive("trong", io.BytesIO(b"meanwhile"), filename="x")
    bench.deposit("sau", b"after", filename="x")
    bench.settle()
    assert_no_false_alarm(bench)
    bench.assert_sound(others=False)


@pytest.mark.root
def test_a_full_server_takes_nothing_in_and_no_volume_is_called_full(tmp_path, postgres, monkeypatch):
    monkeypatch.setattr("vault.custody.dispatcher.FULL_PAUSE", timedelta(milliseconds=50))
    with postgres.small_database("40m") as small:
        if small is None:
            pytest.skip("mounting is not permitted here")
        url, place = small
        with Bench(tmp_path, custody=LEASE, extra=catalogue_at(url)) as bench:
            bench.deposit("trước", b"before", filename="x")
            bench.settle()
            filler = place / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

            def until_it_is_full():
                for number in range(1000):
                    said = {f"{key}": secrets.token_urlsafe(900) for key in range(10)}
                    bench.deposit(f"đầy-{number}", b"more", filename="x", metadata=said)

            with pytest.raises(Full) as failed:
                until_it_is_full()
            assert "database server" in failed.value.remedy
            filler.unlink()
            bench.deposit("sau", b"after", filename="x")
            bench.settle()
            assert_no_false_alarm(bench)
            bench.assert_sound(others=False)
