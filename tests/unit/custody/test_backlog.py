"""Far more to do than can be done soon: what is urgent comes first, and nothing is hidden or held up by the rest."""

import threading
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.support.holdings import add_copy, add_version, tell
from tests.support.nodes import Bench, eventually
from vault.catalog import copies, packages, schema, tasks
from vault.catalog import volumes as catalog_volumes
from vault.custody import record
from vault.custody.orders import order_repair
from vault.custody.planner import Planner
from vault.custody.room import BATCH
from vault.custody.work import done
from vault.model import CopyState, EventType, TaskKind, VerificationState
from vault.volumes.base import CheckReport, Finding, FindingKind

THREE = '[[policy]]\nname = "default"\ndisk = 3\nreceipt_after = 2'
INTACT = CheckReport((), 1, 3)
DAMAGED = CheckReport((Finding(FindingKind.MISMATCH, "v1/content/x"),), 1, 3)


@pytest.fixture
def bench(tmp_path):
    """Three volumes, three copies asked for, and a dispatcher that has stopped."""
    with Bench(tmp_path, "abc", policies=THREE) as made:
        assert made.running.dispatcher.stop(timedelta(seconds=10))
        yield made


def pretend(bench, number, held, state=CopyState.GOOD, *, below=True, due=None, name="cũ"):
    """So many versions, older than any other, of which the catalogue believes that they are on the volumes ``held``."""
    custodian = bench.running.custodian
    with bench.running.catalogue.write() as tx:
        first = add_version(
            tx, f"{name}/0", ingest_id="", bytes=3, part_bytes=3, policy_fingerprint=custodian.wording(tx)
        )
        for volume in held:
            add_copy(tx, first, catalog_volumes.get(tx, volume), state, due_at=due)
        packages.set_standing(tx, first.id, below_policy=below, policy="default", priority=100)
        for table, own in (
            (schema.packages, {"id": "id + i", "identifier": f"'{name}/' || i"}),
            (schema.versions, {"id": "id + i", "package_id": "package_id + i"}),
            (schema.copies, {"id": "NULL", "version_id": "version_id + i"}),
        ):
            chosen = {"versions": "id", "copies": "version_id", "packages": "id"}[table.name]
            key = first.package_id if table is schema.packages else first.id
            columns = [column.name for column in table.columns]
            tx.connection.execute(
                sa.text(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
                    f" INSERT INTO {table.name} ({', '.join(columns)})"
                    f" SELECT {', '.join(own.get(column, column) for column in columns)}"
                    f" FROM n, {table.name} AS old WHERE old.{chosen} = :key AND i <= :last"
                ),
                {"last": number - 1, "key": key},
            )
    return first


def open_tasks(bench, kind):
    with bench.running.catalogue.read() as tx:
        return [task for task in tasks.open_tasks(tx) if task.kind is kind]


def test_of_five_thousand_no_more_are_taken_up_than_keep_the_lanes_busy(bench):
    pretend(bench, 5000, "ab")
    planner = Planner(bench.running.custodian)
    for _ in range(3):
        planner.tick()
    made = open_tasks(bench, TaskKind.REPLICATE)
    assert {task.volumes for task in made} == {("c",)}
    assert len(made) == 64, "two lanes"
    assert len([c for c in bench.all_copies() if c.state is CopyState.PLANNED]) == 64
    with bench.running.catalogue.write() as tx:
        for task in tasks.claim(tx, owner="me", lease=timedelta(1), free_lanes={"c": 20}, limit=20):
            tasks.finish(tx, task.id, tasks.TaskState.CANCELLED)
    planner.tick()
    assert len(open_tasks(bench, TaskKind.REPLICATE)) == 64


def test_what_has_one_good_copy_is_copied_before_what_has_two(bench):
    pretend(bench, 1000, "ab")
    planner = Planner(bench.running.custodian)
    planner.tick()
    pretend(bench, 1, "a", name="một")
    planner.tick()
    first = open_tasks(bench, TaskKind.REPLICATE)[0]
    assert (first.identifier, first.volumes) == ("một/0", ("b", "c"))


def test_what_has_one_good_copy_is_copied_before_a_third_is_repaired(bench):
    pretend(bench, 200, "ab")
    pretend(bench, 200, "c", CopyState.DAMAGED, name="hỏng")
    with bench.running.catalogue.write() as tx:
        tx.connection.execute(sa.text("DELETE FROM copies WHERE state = 'damaged'"))
        tx.connection.execute(
            sa.text(
                "INSERT INTO copies (version_id, volume_id, state, changed_at, reason, failures) SELECT version_id, "
                "(SELECT id FROM volumes WHERE name = 'c'), 'damaged', changed_at, '', 0 FROM copies"
                " WHERE volume_id = (SELECT id FROM volumes WHERE name = 'a')"
            )
        )
    planner = Planner(bench.running.custodian)
    planner.tick()
    assert len(open_tasks(bench, TaskKind.REPAIR)) == 64
    pretend(bench, 1, "a", name="một")
    planner.tick()
    with bench.running.catalogue.read() as tx:
        assert tasks.open_tasks(tx)[0].identifier == "một/0"


def test_those_that_cannot_be_helped_do_not_hide_the_one_that_can(bench):
    pretend(bench, 1200, "")
    pretend(bench, 1, "a", name="sau")
    planner = Planner(bench.running.custodian)
    for _ in range(4):
        planner.tick()
    assert [task.identifier for task in open_tasks(bench, TaskKind.REPLICATE)] == ["sau/0"]
    for _ in range(3):
        planner.tick()
    pretend(bench, 1, "b", name="mới hơn")
    for _ in range(4):
        planner.tick()
    assert len(open_tasks(bench, TaskKind.REPLICATE)) == 2


def test_those_that_cannot_be_repaired_do_not_keep_the_one_that_can_back(bench):
    pretend(bench, 300, "c", CopyState.DAMAGED)
    planner = Planner(bench.running.custodian)
    for _ in range(10):
        planner.tick()
        with bench.running.catalogue.write() as tx:
            for task in tasks.claim(tx, owner="me", lease=timedelta(1), free_lanes={"c": 99}, limit=99):
                tasks.postpone(tx, task.id, tx.now + timedelta(hours=1), "no source")
    assert len(open_tasks(bench, TaskKind.REPAIR)) == 300
    with bench.running.catalogue.write() as tx:
        version = add_version(tx, "sau", bytes=3, part_bytes=3)
        for volume, state in (("a", CopyState.GOOD), ("b", CopyState.GOOD), ("c", CopyState.MISSING)):
            add_copy(tx, version, catalog_volumes.get(tx, volume), state)
        packages.set_standing(tx, version.id, below_policy=True, policy="default", priority=100)
    planner.tick()
    assert "sau" in {task.identifier for task in open_tasks(bench, TaskKind.REPAIR)}


def test_a_planner_lets_others_write_in_between(bench):
    pretend(bench, 500, "ab", name="sao")
    pretend(bench, 500, "c", CopyState.DAMAGED, name="sửa")
    made_at_once, volumes_asked = [0], []

    def seen(_connection, _cursor, statement, _parameters, _context, _many):
        if statement.startswith("INSERT INTO tasks"):
            made_at_once[-1] += 1
        if "FROM volumes" in statement and "copies" not in statement:
            volumes_asked.append(statement)

    engine = bench.running.catalogue._engine
    sa.event.listen(engine, "before_cursor_execute", seen)
    sa.event.listen(engine, "commit", lambda _connection: made_at_once.append(0))
    try:
        tick = Planner(bench.running.custodian).tick()
    finally:
        sa.event.remove(engine, "before_cursor_execute", seen)
    assert tick.repairs == 64
    assert tick.replications >= 64
    assert max(made_at_once) <= 2 * BATCH
    assert len(volumes_asked) < 100, "the watch asks too, but nobody asks for every version"


def test_checks_that_wait_for_another_attempt_do_not_hide_the_next(bench):
    now = bench.running.catalogue.clock()
    pretend(bench, 100, "abc", below=False, due=now - timedelta(days=1))
    planner = Planner(bench.running.custodian)
    met = set()
    for _ in range(5):
        planner.tick()
        with bench.running.catalogue.write() as tx:
            for task in tasks.claim(tx, owner="me", lease=timedelta(1), free_lanes={"a": 99}, limit=99):
                met.add(task.identifier)
                tasks.postpone(tx, task.id, tx.now + timedelta(hours=1), "it failed")
    assert len(met) == 100


def test_an_ordered_verification_comes_to_everything_whatever_fails(bench):
    pretend(bench, 100, "abc", below=False)
    order = bench.order(volume="b")
    planner = Planner(bench.running.custodian)
    met = set()
    for _ in range(5):
        planner.tick()
        with bench.running.catalogue.write() as tx:
            for task in tasks.claim(tx, owner="me", lease=timedelta(1), free_lanes={"b": 99}, limit=99):
                met.add(task.identifier)
                tasks.postpone(tx, task.id, tx.now + timedelta(hours=1), "it failed")
    assert len(met) == 100
    assert bench.verification(order.id).state is VerificationState.RUNNING


def held(bench, identifier):
    with bench.running.catalogue.read() as tx:
        version = packages.version(tx, identifier, 1)
        return version, {copy.volume: copy for copy in copies.of_version(tx, version.id)}


def conclude(bench, identifier, volume, report, event_type=EventType.FIXITY_CHECK):
    version, copies_now = held(bench, identifier)
    with bench.running.catalogue.write() as tx:
        record.checked(
            bench.running.custodian, tx, version, copies.need(tx, copies_now[volume].id), report, event_type=event_type
        )


def test_what_was_repaired_between_order_and_check_is_counted(bench):
    pretend(bench, 1, "abc", name="gói")
    conclude(bench, "gói/0", "a", DAMAGED)
    order = bench.order(identifier="gói/0")
    assert order.total == 3
    conclude(bench, "gói/0", "a", INTACT, EventType.RECOVERY)
    conclude(bench, "gói/0", "b", INTACT)
    conclude(bench, "gói/0", "c", DAMAGED)
    conclude(bench, "gói/0", "c", INTACT, EventType.RECOVERY)
    Planner(bench.running.custodian).tick()
    ended = bench.verification(order.id)
    assert ended.state is VerificationState.DONE
    assert (ended.total, ended.checked, ended.good, ended.bad, ended.skipped) == (3, 3, 2, 1, 0)


def test_what_is_gone_or_came_after_an_order_is_accounted_for(bench):
    pretend(bench, 1, "abc", name="gói")
    order = bench.order()
    pretend(bench, 1, "a", CopyState.WRITTEN, name="sau")
    conclude(bench, "sau/0", "a", INTACT)
    conclude(bench, "gói/0", "a", INTACT)
    conclude(bench, "gói/0", "b", INTACT)
    with bench.running.catalogue.write() as tx:
        copies.change(tx, held(bench, "gói/0")[1]["c"].id, CopyState.RETIRED)
        tell(tx)
    Planner(bench.running.custodian).tick()
    ended = bench.verification(order.id)
    assert ended.state is VerificationState.DONE
    assert (ended.total, ended.checked, ended.good, ended.skipped) == (3, 2, 2, 1)


def test_an_ordered_repair_ends_the_wait_and_looks_at_nothing_else(bench, monkeypatch):
    pretend(bench, 50, "c", CopyState.DAMAGED)
    Planner(bench.running.custodian).tick()
    later = bench.running.catalogue.clock() + timedelta(hours=1)
    with bench.running.catalogue.write() as tx:
        for task in tasks.open_tasks(tx):
            tasks.postpone(tx, task.id, later, "no source")
    read = []
    real = tasks._task
    monkeypatch.setattr(tasks, "_task", lambda row: read.append(row) or real(row))
    assert order_repair(bench.running.custodian, "cũ/7", "user:an") == 1
    assert len(read) == 1
    ready = [task for task in open_tasks(bench, TaskKind.REPAIR) if task.not_before < later]
    assert [(task.identifier, task.message) for task in ready] == [("cũ/7", "ordered by user:an")]


def test_a_deposit_gets_its_receipt_while_thousands_wait_for_a_third_copy(tmp_path):
    """Each of those takes its time, and none ever ends the backlog."""
    with Bench(tmp_path, "abc", policies=THREE) as bench:
        real = bench.running.dispatcher._handlers
        ending = threading.Event()

        def replicate(work):
            if work.task.identifier.startswith("cũ/"):
                ending.wait(0.02)
                return done("not really")
            return real[TaskKind.REPLICATE](work)

        bench.running.dispatcher._handlers = {**real, TaskKind.REPLICATE: replicate}
        pretend(bench, 5000, "ab")
        bench.running.custodian.wake()
        eventually(lambda: len(open_tasks(bench, TaskKind.REPLICATE)) >= 32)
        began = time.monotonic()
        for number in range(3):
            accepted = bench.deposit(f"mới/{number}", b"new", filename="x")
            bench.receipt(accepted.ingest_id)
        # The backlog takes minutes; a busy machine a few seconds.
        assert time.monotonic() - began < 30
        ending.set()
