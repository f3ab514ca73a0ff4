import threading
from collections import Counter
from datetime import timedelta

import pytest

from vault.catalog import tasks
from vault.model import NewTask, TaskKind, TaskState

LEASE = timedelta(minutes=5)


def wanted(key, *volumes, priority=10, kind=TaskKind.VERIFY, **facts):
    return NewTask(key, kind, priority, 1, "H49/Đ", 1, volumes, **facts)


def claim(tx, owner="me", limit=1, **lanes):
    return tasks.claim(tx, owner=owner, lease=LEASE, free_lanes=lanes, limit=limit)


def test_a_task_comes_back_as_it_was_derived(catalogue, clock):
    with catalogue.write() as tx:
        assert tasks.derive(tx, wanted("verify:1", "nas-a", "Đ", total_bytes=2**52, params={"copy": 1}))
        (task,) = tasks.open_tasks(tx)
    assert (task.key, task.kind, task.state, task.volumes) == (
        "verify:1", TaskKind.VERIFY, TaskState.READY, ("nas-a", "Đ"),
    )  # fmt: skip
    assert (task.params, task.total_bytes, task.attempts) == ({"copy": 1}, 2**52, 0)
    assert (task.created_at, task.not_before) == (clock.time, clock.time)


def test_deriving_twice_makes_one_until_it_has_ended(catalogue):
    with catalogue.write() as tx:
        assert tasks.derive(tx, wanted("k"))
        assert not tasks.derive(tx, wanted("k"))
        (task,) = claim(tx)
        assert not tasks.derive(tx, wanted("k"))
        assert tasks.finish(tx, task.id, TaskState.DONE)
        assert tasks.derive(tx, wanted("k"))
        assert tasks.counts(tx) == {(TaskKind.VERIFY, TaskState.DONE): 1, (TaskKind.VERIFY, TaskState.READY): 1}


def test_the_most_urgent_comes_first_and_then_the_oldest(catalogue, clock):
    with catalogue.write() as tx:
        for key, priority, volume in (("c", 5, "a"), ("d", 9, "b"), ("a", 1, "b"), ("b", 5, "b")):
            tasks.derive(tx, wanted(key, volume, priority=priority))
        assert [t.key for t in claim(tx, limit=3, a=9, b=9)] == ["a", "c", "b"]
        (last,) = claim(tx, limit=3, a=9, b=9)
    assert (last.key, last.state, last.attempts, last.lease_owner) == ("d", TaskState.RUNNING, 1, "me")
    assert (last.lease_until, last.started_at) == (clock.time + LEASE, clock.time)


def test_every_volume_of_a_task_needs_a_free_lane(catalogue):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("both", "a", "b", priority=1))
        tasks.derive(tx, wanted("a1", "a"))
        tasks.derive(tx, wanted("a2", "a"))
        tasks.derive(tx, wanted("nowhere", priority=20))
        tasks.derive(tx, wanted("unknown", "z"))
        assert [t.key for t in claim(tx, limit=9, a=1, b=0)] == ["a1", "nowhere"]
        assert [t.key for t in claim(tx, limit=9, a=2, b=1)] == ["both", "a2"]
        assert claim(tx, limit=9, a=9, b=9) == []


def test_a_task_that_needs_two_lanes_of_one_volume_gets_two(catalogue):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("twice", "a", "a"))
        assert claim(tx, a=1) == []
        assert len(claim(tx, a=2)) == 1


def test_nothing_begins_before_its_time(catalogue, clock):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("later", "a", priority=1), not_before=clock.time + timedelta(minutes=1))
        tasks.derive(tx, wanted("now", "a"))
        assert [t.key for t in claim(tx, limit=9, a=9)] == ["now"]
    clock.move(minutes=1)
    with catalogue.write() as tx:
        (task,) = claim(tx, limit=9, a=9)
        assert task.key == "later"
        assert tasks.postpone(tx, task.id, clock.time + timedelta(hours=1), "volume offline")
        assert claim(tx, a=9) == []
    clock.move(hours=1)
    with catalogue.write() as tx:
        (task,) = claim(tx, a=9)
        assert (task.attempts, task.message) == (2, "volume offline")


def test_a_lease_is_renewed_by_its_owner_only(catalogue, clock):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("k"))
        (task,) = claim(tx)
    clock.move(minutes=4)
    with catalogue.write() as tx:
        assert tasks.renew(tx, task.id, "me", LEASE, 77)
        assert not tasks.renew(tx, task.id, "someone else", LEASE, 99)
        (running,) = tasks.open_tasks(tx)
        assert (running.done_bytes, running.lease_until) == (77, clock.time + LEASE)
        assert tasks.expired(tx) == []
        assert not tasks.finish(tx, task.id, TaskState.DONE, owner="someone else")
        assert not tasks.postpone(tx, task.id, clock.time, "", owner="someone else")


def test_a_lost_lease_puts_the_task_back_and_its_owner_learns_of_it(catalogue, clock):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("k"))
        (task,) = claim(tx)
    clock.move(minutes=6)
    with catalogue.write() as tx:
        assert [t.id for t in tasks.release_expired(tx)] == [task.id]
        assert not tasks.renew(tx, task.id, "me", LEASE, 1)
        (again,) = claim(tx, owner="other")
        assert (again.id, again.attempts) == (task.id, 2)
        assert tasks.release_owner(tx, "me") == 0
        assert tasks.release_owner(tx, "other") == 1
        assert [t.state for t in tasks.open_tasks(tx)] == [TaskState.READY]


def test_ended_tasks_stay_until_they_are_purged(catalogue, clock):
    with catalogue.write() as tx:
        for key in ("a", "b", "c"):
            tasks.derive(tx, wanted(key))
        first, second = claim(tx, limit=2)
        assert tasks.finish(tx, first.id, TaskState.FAILED, "no \udc80 luck")
        assert not tasks.finish(tx, first.id, TaskState.DONE)
        assert not tasks.postpone(tx, first.id, clock.time, "")
    clock.move(days=1)
    with catalogue.write() as tx:
        assert tasks.finish(tx, second.id, TaskState.CANCELLED)
        assert [t.key for t in tasks.listing(tx, limit=9)] == ["c", "b", "a"]
        (failed,) = tasks.listing(tx, [TaskState.FAILED], limit=9)
        assert (failed.message, failed.finished_at) == ("no \\udc80 luck", clock.time - timedelta(days=1))
        assert tasks.purge(tx, clock.time) == 1
        assert [t.key for t in tasks.listing(tx, limit=9)] == ["c", "b"]
        with pytest.raises(ValueError, match="does not end"):
            tasks.finish(tx, second.id, TaskState.READY)


def test_of_many_ended_tasks_the_newest_stay_and_the_last_success_of_each_kind(catalogue, clock):
    def run(key, kind, state=TaskState.DONE):
        with catalogue.write() as tx:
            tasks.derive(tx, wanted(key, kind=kind))
            (task,) = claim(tx)
            tasks.finish(tx, task.id, state)
        clock.move(seconds=1)

    run("r1", TaskKind.REPAIR)
    run("r2", TaskKind.REPAIR)
    run("r3", TaskKind.REPAIR, TaskState.FAILED)
    for number in range(5):
        run(f"v{number}", TaskKind.VERIFY)
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("open"))
        long_ago = clock.time - timedelta(days=7)
        assert tasks.purge(tx, long_ago, keep=8) == 0
        assert tasks.purge(tx, long_ago, keep=3) == 4
        assert tasks.purge(tx, long_ago, keep=3) == 0
        assert [t.key for t in tasks.listing(tx, limit=9)] == ["open", "v4", "v3", "v2", "r2"]


def test_tasks_that_need_a_volume_are_cancelled_also_while_they_wait(catalogue, clock):
    later = clock.time + timedelta(hours=1)
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("now", "a", "b", kind=TaskKind.REPLICATE))
        tasks.derive(tx, wanted("later", "b", kind=TaskKind.REPLICATE), not_before=later)
        tasks.derive(tx, wanted("later, both", "b", "c", kind=TaskKind.REPLICATE), not_before=later)
        tasks.derive(tx, wanted("elsewhere", "a", kind=TaskKind.REPLICATE), not_before=later)
        tasks.derive(tx, wanted("of another kind", "b"), not_before=later)
        assert tasks.cancel_ready(tx, "b", TaskKind.REPLICATE, "b is away") == 3
        assert {t.key for t in tasks.open_tasks(tx)} == {"elsewhere", "of another kind"}
        assert {(t.state, t.message) for t in tasks.listing(tx, [TaskState.CANCELLED], limit=9)} == {
            (TaskState.CANCELLED, "b is away")
        }
    clock.move(hours=2)
    with catalogue.write() as tx:
        assert [t.key for t in claim(tx, limit=9, a=9, b=9, c=9)] == ["elsewhere", "of another kind"]


def test_what_is_open_can_be_counted_and_found_by_its_key(catalogue, clock):
    with catalogue.write() as tx:
        tasks.derive(tx, wanted("1", "a"))
        tasks.derive(tx, wanted("2", "a"))
        tasks.derive(tx, wanted("3", "a", "b", kind=TaskKind.REPAIR), not_before=clock.time + timedelta(hours=1))
        (running,) = claim(tx, a=1)
        assert set(tasks.backlog(tx)) == {
            tasks.Backlog(TaskKind.VERIFY, ("a",), 10, waiting=False, number=2),
            tasks.Backlog(TaskKind.REPAIR, ("a", "b"), 10, waiting=True, number=1),
        }
        assert {t.key for t in tasks.open_by_keys(tx, ["1", "3", "4"])} == {"1", "3"}
        tasks.finish(tx, running.id, TaskState.DONE)
        assert [t.key for t in tasks.open_by_keys(tx, ["1", "3", "4"])] == ["3"]
        assert tasks.open_by_keys(tx, []) == []


def test_no_task_is_given_to_two(catalogue):
    with catalogue.write() as tx:
        for number in range(60):
            tasks.derive(tx, wanted(f"k{number}", "ab"[number % 2], priority=number % 3))
    given, failed = [], []

    def work(owner):
        try:
            while True:
                with catalogue.write() as tx:
                    taken = claim(tx, owner=owner, limit=2, a=2, b=2)
                if not taken:
                    return
                given.extend(task.id for task in taken)
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(Counter(given).values()) == {1}
    assert len(given) == 60
