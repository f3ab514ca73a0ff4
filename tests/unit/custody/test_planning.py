"""What the planner derives, and what the dispatcher does with it, where only a patient user would see it fail."""

import dataclasses
import os
import shutil
import subprocess
import threading
from datetime import timedelta

import pytest

from tests.support.nodes import Bench, bag, eventually, mount_tmpfs, tar_of
from vault.catalog import copies, packages, tasks
from vault.custody import record
from vault.custody.dispatcher import handlers
from vault.custody.planner import Planner, backoff
from vault.custody.verify import conclude
from vault.custody.work import Progress, Work
from vault.errors import VaultError
from vault.model import (
    Condition,
    CopyState,
    Descriptive,
    EventType,
    Outcome,
    TaskKind,
    TaskState,
    VolumeMode,
)
from vault.node import Node
from vault.policy import Policy
from vault.tapes.librarian import TAPE_KINDS
from vault.volumes.base import CheckReport, Finding, FindingKind
from vault.volumes.reading_back import WINDOW_BYTES


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


@pytest.fixture
def idle(bench):
    """A node whose dispatcher has stopped, so that a test can plan and look for itself."""
    bench.deposit("một", b"one", filename="x")
    bench.settle()
    assert bench.running.dispatcher.stop(timedelta(seconds=10))
    return bench


def version_of(bench, identifier, number=1):
    with bench.running.catalogue.read() as tx:
        found = packages.version(tx, identifier, number)
    assert found is not None
    return found


def force(bench, identifier, volume, report):
    """Record an outcome as a check would."""
    custodian = bench.running.custodian
    with bench.running.catalogue.write() as tx:
        copy = next(c for c in copies.of_version(tx, version_of(bench, identifier).id) if c.volume == volume)
        return record.checked(custodian, tx, version_of(bench, identifier), copies.need(tx, copy.id), report)


UNREADABLE = CheckReport((Finding(FindingKind.UNREADABLE, "v1/content/x", error="EIO"),), 1, 0)
DAMAGED = CheckReport((Finding(FindingKind.MISMATCH, "v1/content/x"),), 1, 3)
INTERMITTENT = CheckReport((Finding(FindingKind.INTERMITTENT, "v1/content/x"),), 1, 3)
INTACT = CheckReport((), 1, 3)


def test_deriving_twice_makes_the_work_once(idle):
    force(idle, "một", "a", DAMAGED)
    planner = Planner(idle.running.custodian)
    assert planner.tick().repairs == 1
    assert planner.tick().repairs == 0
    assert [t.split()[0].split(":")[0] for t in idle.open_tasks()] == ["repair"]


@pytest.mark.parametrize("report", [UNREADABLE, INTERMITTENT])
def test_a_doubt_counts_at_once_and_is_damage_only_when_it_lasts(idle, report):
    before = force(idle, "một", "a", report)
    assert (before.state, before.failures) == (CopyState.SUSPECT, 1)
    assert idle.below_policy(), "what is in doubt does not count"
    for failures in range(2, record.DOUBT_LIMIT):
        again = force(idle, "một", "a", report)
        assert (again.state, again.failures) == (CopyState.SUSPECT, failures)
        assert again.due_at - again.checked_at > before.due_at - before.checked_at
        before = again
    assert force(idle, "một", "a", report).state is CopyState.DAMAGED
    assert Planner(idle.running.custodian).tick().repairs == 1


def test_one_good_reading_ends_a_doubt(idle):
    for _ in range(5):
        assert force(idle, "một", "a", INTERMITTENT).state is CopyState.SUSPECT
    good = force(idle, "một", "a", INTACT)
    assert (good.state, good.failures, good.reason) == (CopyState.GOOD, 0, "")


def test_doubt_does_not_acquit_what_was_found_damaged(idle):
    assert force(idle, "một", "a", DAMAGED).state is CopyState.DAMAGED
    assert force(idle, "một", "a", INTERMITTENT).state is CopyState.DAMAGED
    assert force(idle, "một", "a", UNREADABLE).state is CopyState.DAMAGED


def test_the_lease_of_a_process_that_died_runs_out_and_the_work_is_taken_over(idle):
    force(idle, "một", "a", DAMAGED)
    planner = Planner(idle.running.custodian)
    planner.tick()
    lease = timedelta(milliseconds=200)
    with idle.running.catalogue.write() as tx:
        (task,) = tasks.claim(tx, owner="dead", lease=lease, free_lanes={"a": 1, "b": 1})
    planner.tick()
    with idle.running.catalogue.write() as tx:
        assert tasks.claim(tx, owner="alive", lease=lease, free_lanes={"a": 1, "b": 1}) == []

    def taken_over():
        planner.tick()
        with idle.running.catalogue.write() as tx:
            return tasks.claim(tx, owner="alive", lease=lease, free_lanes={"a": 1, "b": 1})

    (again,) = eventually(taken_over, 10)
    assert (again.id, again.lease_owner, again.attempts) == (task.id, "alive", 2)
    with idle.running.catalogue.write() as tx:
        assert not tasks.finish(tx, task.id, TaskState.DONE, "late", owner="dead")


def test_a_handler_that_crashes_is_tried_again_and_its_crash_is_no_outcome(bench, monkeypatch):
    bench.deposit("một", b"one", filename="x")
    bench.settle()
    real, tried = bench.running.dispatcher._handlers, []

    def crash(work):
        tried.append(work.task.attempts)
        if len(tried) < 3:
            raise ZeroDivisionError("a fault of ours")
        return real[TaskKind.VERIFY](work)

    monkeypatch.setattr(bench.running.dispatcher, "_handlers", {**real, TaskKind.VERIFY: crash})
    seq = bench.last_event()
    order = bench.order(volume="a")
    eventually(lambda: len(tried) == 1 and "not foreseen" in str(bench.open_tasks()), what=bench.open_tasks)
    assert bench.events(EventType.FIXITY_CHECK, after=seq) == []
    assert {c.state for c in bench.all_copies()} == {CopyState.GOOD}
    eventually(lambda: bench.verification(order.id).finished_at)
    assert tried == [1, 2, 3]
    assert bench.verification(order.id).bad == 0


def test_a_planner_that_crashes_does_not_end_the_work(bench, monkeypatch):
    real, crashed = bench.running.dispatcher._planner.tick, threading.Event()

    def crash():
        if not crashed.is_set():
            crashed.set()
            raise KeyError("a fault of ours")
        return real()

    monkeypatch.setattr(bench.running.dispatcher._planner, "tick", crash)
    bench.running.custodian.wake()
    assert crashed.wait(10)
    bench.deposit("một", b"one", filename="x")
    bench.settle()


def test_waits_between_attempts_grow_within_their_bounds():
    least, most = timedelta(seconds=5), timedelta(hours=1)
    waits = [backoff(attempt, least, most) for attempt in (1, 2, 3, 100, 10_000)]
    assert waits == [least, 2 * least, 4 * least, most, most]


def test_a_check_that_was_overtaken_by_a_repair_blames_nobody(idle):
    """Two pieces of work read one copy; the slower one read what the quicker one has replaced since."""
    before = idle.copies("một")["a", 1]
    force(idle, "một", "a", DAMAGED)
    force(idle, "một", "a", INTACT)
    seq = idle.last_event()
    after = conclude(idle.running.custodian, version_of(idle, "một"), before, DAMAGED)
    assert after.state is CopyState.GOOD
    assert idle.events(EventType.FIXITY_CHECK, after=seq) == []


# --- policies and what volumes are for


def test_a_policy_that_asks_for_more_is_followed_after_the_restart(tmp_path):
    with Bench(tmp_path, "abc") as bench:
        bench.deposit("một", b"one", filename="x")
        bench.settle()
        three = dataclasses.replace(bench.settings, policies=(Policy("ba", disk=3, receipt_after=2),))
        bench.restart(three)
        eventually(lambda: len(bench.copies("một")) == 3)
        bench.settle()
        assert {c.state for c in bench.copies("một").values()} == {CopyState.GOOD}
        (changed,) = bench.events(EventType.POLICY_CHANGED)
        assert changed.detail == {"was": "default", "is": "ba"}
        bench.assert_sound()


def test_a_volume_that_is_evacuated_is_emptied_by_copying_first(tmp_path):
    with Bench(tmp_path, "abc") as bench:
        for number in range(3):
            bench.deposit(f"gói/{number}", os.urandom(5000), filename="x")
        bench.settle()
        bench.set_mode("a", VolumeMode.EVACUATING)

        def elsewhere(identifier):
            held = bench.copies(identifier)
            return {v for (v, _), c in held.items() if c.state is CopyState.GOOD and v != "a"} == {"b", "c"}

        eventually(lambda: all(elsewhere(f"gói/{n}") for n in range(3)), what=bench.below_policy)
        bench.settle()
        # What was on it is still there and still good: only an operator lets it go.
        assert all(c.state is CopyState.GOOD for c in bench.all_copies())
        bench.set_mode("a", VolumeMode.RETIRED)
        bench.settle()
        bench.deposit("sau", b"x", filename="x")
        bench.settle()
        assert {v for v, _ in bench.copies("sau")} == {"b", "c"}


def test_retiring_a_volume_at_once_makes_what_it_held_be_copied_again(tmp_path):
    with Bench(tmp_path, "abc") as bench:
        bench.deposit("một", b"one", filename="x")
        bench.settle()
        lost = min(v for v, _ in bench.copies("một"))
        bench.set_mode(lost, VolumeMode.RETIRED)
        others = {"a", "b", "c"} - {lost}
        eventually(lambda: others <= {v for (v, _), c in bench.copies("một").items() if c.state is CopyState.GOOD})
        bench.settle()


def test_more_urgent_versions_come_first(tmp_path):
    policies = (
        '[[policy]]\nname = "urgent"\nmatch = { class = "urgent" }\ndisk = 2\npriority = 1\n'
        + '[[policy]]\nname = "default"\ndisk = 2'
    )
    with Bench(tmp_path, policies=policies) as bench:
        bench.path("b").rename(tmp_path / "away")
        bench.wait_for("b", Condition.OFFLINE)
        for number in range(4):
            bench.deposit(f"thường/{number}", b"x", filename="x")
        bench.deposit("gấp", b"x", filename="x", descriptive=Descriptive(priority_class="urgent"))
        eventually(lambda: all(c.state is CopyState.GOOD for c in bench.all_copies() if c.volume == "a"))
        assert bench.running.dispatcher.stop(timedelta(seconds=10))
        (tmp_path / "away").rename(bench.path("b"))
        bench.wait_for("b", Condition.ONLINE)
        Planner(bench.running.custodian).tick()
        with bench.running.catalogue.read() as tx:
            waiting = [t.identifier for t in tasks.open_tasks(tx) if t.kind is TaskKind.REPLICATE]
        assert waiting[0] == "gấp"
        assert len(waiting) == 5


def test_what_was_just_written_is_proved_before_what_is_due_again(idle):
    """A backlog of overdue checks, as after a long outage, must not keep a depositor from the receipt."""
    now = idle.running.catalogue.clock()
    with idle.running.catalogue.write() as tx:
        for copy in copies.in_states(tx, (CopyState.GOOD,), 10):
            copies.change(tx, copy.id, copy.state, due_at=now - timedelta(days=400))
    idle.deposit("mới", b"new", filename="x")
    Planner(idle.running.custodian).tick()
    with idle.running.catalogue.read() as tx:
        order = [t.identifier for t in tasks.open_tasks(tx)]
    assert order[0] == "mới"
    assert "một" in order


def waiting_for(bench, identifier):
    with bench.running.catalogue.read() as tx:
        return sorted((str(t.kind), t.volumes) for t in tasks.open_tasks(tx) if t.identifier == identifier)


def test_what_is_about_to_be_copied_is_not_read_once_more_to_prove_it(idle):
    """The copying reads the first copy back anyhow. Where it failed once, the proof no longer waits for it."""
    idle.deposit("mới", b"new", filename="x")
    planner = Planner(idle.running.custodian)
    planner.tick()
    (first,) = [copy.volume for copy in idle.all_copies() if copy.state is CopyState.WRITTEN]
    other = "b" if first == "a" else "a"
    assert waiting_for(idle, "mới") == [("replicate", (other,))]
    with idle.running.catalogue.write() as tx:
        (task,) = tasks.claim(tx, owner="test", lease=timedelta(minutes=1), free_lanes={"a": 1, "b": 1})
        tasks.postpone(tx, task.id, tx.now + timedelta(minutes=1), "it failed", "test")
    planner.tick()
    assert waiting_for(idle, "mới") == [("replicate", (other,)), ("verify", (first,))]


LARGE = b"new " * (WINDOW_BYTES // 4 + 1)
"""More than a window: such a file is read back while it is written."""


def replicate_by_hand(idle, prepare, content=b"new " * 100_000):
    """Deposit a package, have its one copying done in this thread, and return its task and its copies by volume."""
    idle.deposit("mới", content, filename="x")
    Planner(idle.running.custodian).tick()
    (first,) = [copy.volume for copy in idle.all_copies() if copy.state is CopyState.WRITTEN]
    prepare(idle.object_path(first, "mới"))
    with idle.running.catalogue.write() as tx:
        (task,) = tasks.claim(tx, owner="test", lease=timedelta(minutes=1), free_lanes={"a": 1, "b": 1})
    progress = Progress()
    handlers()[TaskKind.REPLICATE](Work(task, idle.running.custodian, progress, lambda: False))
    return first, progress, {volume: copy for (volume, _), copy in idle.copies("mới").items()}


@pytest.mark.parametrize("content", [b"new " * 100_000, LARGE], ids=["small", "large"])
def test_one_reading_of_the_first_copy_proves_it_and_makes_the_second(idle, content):
    first, progress, made = replicate_by_hand(idle, lambda _place: None, content)
    assert {copy.state for copy in made.values()} == {CopyState.GOOD}
    size = version_of(idle, "mới").part_bytes
    assert 1.9 * size < progress.done < 2.1 * size
    proofs = {e.volume: e.detail for e in idle.events(EventType.FIXITY_CHECK, identifier="mới")}
    # The event of the first copy tells of all its bytes, read for whichever purpose.
    other = "b" if first == "a" else "a"
    assert proofs[first] == proofs[other]


@pytest.mark.parametrize("what", ["v1/content/stranger", "v1/inventory.json.sha512", "inventory.json"])
def test_what_the_copying_does_not_read_is_looked_at_before_the_first_copy_counts(idle, what):
    def spoil(place):
        if (place / what).exists():
            (place / what).chmod(0o644)
        (place / what).write_bytes(b"not ours")

    first, _progress, made = replicate_by_hand(idle, spoil)
    assert made[first].state is CopyState.DAMAGED
    assert made["b" if first == "a" else "a"].state is CopyState.GOOD


@pytest.mark.root
def test_where_one_volume_is_full_another_takes_the_copy(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    (tmp_path / "b").mkdir()
    if not mount_tmpfs(tmp_path / "b", "1m"):
        pytest.skip("this machine lets nobody mount")
    try:
        with Bench(tmp_path, "ab") as bench:
            bench.deposit("lớn", os.urandom(3_000_000), filename="x")
            eventually(lambda: {(v, str(c.state)) for (v, _), c in bench.copies("lớn").items()} == {("a", "good")})
            assert bench.below_policy()
            wider = bench.configured("abc")
            bench.restart(wider)
            bench.settle()
            assert {v for (v, _), c in bench.copies("lớn").items() if c.state is CopyState.GOOD} == {"a", "c"}
            bench.assert_sound()
    finally:
        subprocess.run(["umount", "-l", tmp_path / "b"], check=False, capture_output=True)


def test_nothing_is_called_unrepairable_while_a_good_copy_is_only_away(bench):
    bench.deposit("một", b"one", filename="x")
    bench.settle()
    place = bench.object_path("a", "một") / "v1/content/x"
    place.chmod(0o644)
    place.write_bytes(b"bad")
    bench.path("b").rename(bench.folder / "away")
    bench.wait_for("b", Condition.OFFLINE)
    bench.order(volume="a")
    eventually(lambda: "do not answer just now" in str(bench.open_tasks()), what=bench.open_tasks)
    assert bench.events(EventType.RECOVERY, outcome=Outcome.FAILURE) == []
    (bench.folder / "away").rename(bench.path("b"))
    bench.settle()
    bench.assert_sound()


def test_what_can_be_read_does_not_suffice_but_a_volume_that_is_away_has_it(tmp_path):
    policy = '[[policy]]\nname = "default"\ndisk = 3\nreceipt_after = 2'
    with Bench(tmp_path, "abc", policies=policy) as bench:
        bench.deposit("một", b"one", filename="x")
        bench.settle()
        for volume in "ab":
            place = bench.object_path(volume, "một") / "v1/content/x"
            place.chmod(0o644)
            place.write_bytes(b"bad")
        bench.path("c").rename(tmp_path / "away")
        bench.wait_for("c", Condition.OFFLINE)
        bench.order(volume="a")
        bench.order(volume="b")
        eventually(lambda: str(bench.open_tasks()).count("it waits for c") == 2, what=bench.open_tasks)
        assert bench.events(EventType.RECOVERY, outcome=Outcome.FAILURE) == []
        (tmp_path / "away").rename(bench.path("c"))
        bench.settle()
        bench.assert_sound()


@pytest.mark.root
def test_a_volume_that_is_full_in_a_way_that_no_probe_sees_gives_its_copy_up(tmp_path):
    """As with a quota: there are bytes left, and yet nothing more goes in. Here it is the inodes that are used up."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    (tmp_path / "b").mkdir()
    if not mount_tmpfs(tmp_path / "b", "64m,nr_inodes=24"):
        pytest.skip("this machine lets nobody mount")
    files = bag({f"{n}": b"x" for n in range(30)})
    one, two = (f'[[policy]]\nname = "default"\ndisk = {n}\nreceipt_after = 1' for n in (1, 2))
    try:
        with Bench(tmp_path, "a", policies=one) as bench:
            bench.deposit("nhiều", tar_of(files), files)
            bench.settle()
            bench.restart(bench.configured("ab", policies=two))
            eventually(lambda: bench.events(EventType.REPLICATION, volume="b", outcome=Outcome.FAILURE))
            assert bench.copies("nhiều")["b", 1].state is CopyState.RETIRED
            bench.restart(bench.configured("abc", policies=two))
            bench.settle()
            assert {v for (v, _), c in bench.copies("nhiều").items() if c.state is CopyState.GOOD} == {"a", "c"}
            bench.assert_sound()
    finally:
        subprocess.run(["umount", "-l", tmp_path / "b"], check=False, capture_output=True)


def test_every_kind_of_task_has_a_handler():
    assert set(handlers()) | set(TAPE_KINDS) == set(TaskKind)
    assert not set(handlers()) & set(TAPE_KINDS)


def test_a_second_node_on_the_same_state_is_refused(bench):
    with pytest.raises(VaultError, match="Another process works on the state folder"):
        Node(bench.settings)


def test_what_stood_there_before_is_not_taken_for_what_was_just_written(idle):
    """The copy was put in place once, the catalogue was restored from before that, and a byte is wrong since."""

    def stands_damaged(place):
        other = idle.path("b" if place.is_relative_to(idle.path("a")) else "a")
        there = other / place.relative_to(idle.path("a" if other == idle.path("b") else "b"))
        shutil.copytree(place, there)
        file = there / "v1/content/x"
        file.chmod(0o644)
        with file.open("r+b") as out:
            out.seek(1_000_000)
            out.write(b"!")

    first, _progress, made = replicate_by_hand(idle, stands_damaged, LARGE)
    assert made[first].state is CopyState.GOOD
    assert made["b" if first == "a" else "a"].state is CopyState.DAMAGED
