"""What the dispatcher does with lanes and threads when a volume hangs: the others must not notice."""

import itertools
import threading
import time
from datetime import timedelta

import pytest

from tests.support.holdings import tell
from tests.support.nodes import Bench, eventually
from tests.unit.custody.test_backlog import pretend
from vault.catalog import copies, tasks
from vault.custody.work import done
from vault.model import Condition, CopyState, TaskKind, TaskState, VerificationState

RHYTHM = {"lease": timedelta(milliseconds=300), "stalled_after": timedelta(milliseconds=500)}
THREE = '[[policy]]\nname = "default"\ndisk = 3\nreceipt_after = 2'
PROBED = 40
"""Seconds within which the watch says that a volume does not answer."""


class Hang:
    """Makes calls on a volume hang, as in the read of a dead NFS server, until it is let go."""

    def __init__(self, volume, *names):
        self.hanging = threading.Event()
        self._gone_on = threading.Event()
        for name in names:
            setattr(volume, name, self._hung(getattr(volume, name)))

    def _hung(self, real):
        def call(*args, **kwargs):
            if not self._gone_on.is_set():
                self.hanging.set()
                self._gone_on.wait(120)
            return real(*args, **kwargs)

        return call

    def let_go(self):
        self._gone_on.set()


@pytest.fixture
def hangs():
    made = []

    def hang(volume, *names):
        made.append(Hang(volume, *names))
        return made[-1]

    yield hang
    for each in made:
        each.let_go()


def good(bench, identifier):
    return {v for (v, _), c in bench.copies(identifier).items() if c.state is CopyState.GOOD}


def running(bench):
    with bench.running.catalogue.read() as tx:
        return tasks.listing(tx, [TaskState.RUNNING], limit=99)


def given_up(bench):
    return bench.running.dispatcher._given_up


def deposit_without(bench, volume, count):
    """Deposits that are good everywhere but on ``volume``, which was away."""
    bench.path(volume).rename(bench.folder / "away")
    bench.wait_for(volume, Condition.OFFLINE)
    names = [f"gói/{number}" for number in range(count)]
    for name in names:
        bench.deposit(name, b"content of " + name.encode(), filename="x")
    others = {v.name for v in bench.settings.volumes} - {volume}
    eventually(lambda: all(good(bench, name) >= others for name in names), what=bench.open_tasks)
    return names


def test_a_source_that_hangs_does_not_keep_the_targets_lanes(tmp_path, hangs):
    with Bench(tmp_path, "abc", policies=THREE, custody=RHYTHM) as bench:
        names = deposit_without(bench, "c", 4)
        source = bench.running.volumes["a"]
        hang = hangs(source, "read", "holding", "inventory", "check", "probe", "stage")
        (bench.folder / "away").rename(bench.path("c"))
        assert hang.hanging.wait(30)
        bench.wait_for("c", Condition.ONLINE)
        eventually(lambda: bench.condition("a") is Condition.OFFLINE, PROBED)
        eventually(lambda: all("c" in good(bench, name) for name in names), 30, bench.open_tasks)
        # Others go on: what comes now is stored, proved and copied, on the volumes that answer.
        bench.deposit("mới", b"new", filename="x")
        eventually(lambda: good(bench, "mới") == {"b", "c"}, 30, bench.open_tasks)
        assert bench.verify(volume="c").checked == 5
        assert running(bench) == []
        hang.let_go()
        eventually(lambda: not given_up(bench))
        bench.settle()
        bench.assert_sound()


@pytest.mark.parametrize("where", ["stage", "put"])
def test_one_target_that_hangs_does_not_keep_the_others_lanes(tmp_path, hangs, where):
    with Bench(tmp_path, "ab", custody=RHYTHM) as bench:
        names = [f"gói/{number}" for number in range(4)]
        for name in names:
            bench.deposit(name, name.encode(), filename="x")
        bench.settle()
        bench.restart(bench.configured("abcd", policies=THREE.replace("3", "4")))
        hang = hangs(bench.running.volumes["c"], where, "probe")
        assert hang.hanging.wait(30)
        eventually(lambda: bench.condition("c") is Condition.OFFLINE, PROBED)
        eventually(lambda: sum("d" in good(bench, name) for name in names) >= 2, 40, bench.open_tasks)
        bench.deposit("mới", b"new", filename="x")
        eventually(lambda: good(bench, "mới") == {"a", "b", "d"}, 30, bench.open_tasks)
        hang.let_go()
        bench.settle()
        assert all(good(bench, name) == {"a", "b", "c", "d"} for name in [*names, "mới"])
        bench.assert_sound()


@pytest.mark.parametrize(("first", "slow"), [("a", "b"), ("a", "c"), ("b", "c"), ("c", "a")])
def test_no_copy_of_a_deposit_is_proved_only_after_anothers_proof(tmp_path, hangs, first, slow):
    """One task makes two and proves all three; reading one of them back takes long, and nothing is wrong with it."""
    with Bench(tmp_path, "abc", policies=THREE) as bench:
        hang = hangs(bench.running.volumes[slow], "check")
        accepted = bench.deposit("một", b"one", filename="x", volume=first)
        assert hang.hanging.wait(30)
        eventually(lambda: good(bench, "một") == {"a", "b", "c"} - {slow}, 20, bench.open_tasks)
        bench.receipt(accepted.ingest_id)
        assert slow not in good(bench, "một")
        hang.let_go()
        bench.settle()
        assert good(bench, "một") == {"a", "b", "c"}


def test_the_shutdown_does_not_wait_for_what_was_given_up(tmp_path, hangs):
    bench = Bench(tmp_path, "ab", custody=RHYTHM)
    bench.start()
    bench.deposit("một", b"one", filename="x")
    bench.settle()
    hang = hangs(bench.running.volumes["a"], "check", "probe")
    order = bench.order(volume="a")
    eventually(lambda: given_up(bench), PROBED)
    eventually(lambda: "a does not answer" in str(bench.open_tasks()), what=bench.open_tasks)
    assert [t.kind for t in bench.running.dispatcher.stalled(timedelta(0))] == [TaskKind.VERIFY]
    began = time.monotonic()
    assert not bench.running.dispatcher.stop(timedelta(seconds=20))
    assert time.monotonic() - began < 5
    hang.let_go()
    eventually(lambda: not given_up(bench))
    bench.restart()
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE)
    assert bench.verification(order.id).good == 1
    bench.stop()


def test_what_does_not_move_on_volumes_that_answer_is_left_alone(tmp_path, hangs):
    # A lease that a busy machine keeps, too: here it is the task that does not move, not the dispatcher.
    with Bench(tmp_path, "ab", custody=RHYTHM | {"lease": timedelta(seconds=30)}) as bench:
        bench.deposit("một", b"one", filename="x")
        bench.settle()
        hang = hangs(bench.running.volumes["a"], "check")
        bench.order(volume="a")
        assert hang.hanging.wait(10)
        eventually(lambda: bench.running.dispatcher.stalled(timedelta(seconds=2)), 10)
        assert len(running(bench)) == 1
        hang.let_go()
        bench.settle()


def test_a_thread_that_cannot_be_started_leaves_the_task_to_be_tried_again(tmp_path, monkeypatch):
    with Bench(tmp_path, "ab") as bench:
        bench.deposit("một", b"one", filename="x")
        bench.settle()
        real, refused = threading.Thread.start, []

        def start(thread):
            if thread.name.startswith("verify-") and len(refused) < 3:
                refused.append(thread.name)
                raise RuntimeError("can't start new thread")
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        verified = bench.verify(volume="a")
        assert (verified.checked, verified.good) == (1, 1)
        assert len(refused) == 3


def test_a_volume_with_nothing_to_do_makes_nobody_plan(tmp_path):
    with Bench(tmp_path, "ab", custody={"planner_interval": timedelta(hours=1)}) as bench:
        real, ticks = bench.running.dispatcher._planner.tick, []

        def tick():
            ticks.append(time.monotonic())
            return real()

        ending = threading.Event()

        def verify(work):
            ending.wait(0.1)
            with bench.running.catalogue.write() as tx:
                for copy in copies.of_package(tx, work.task.package_id):
                    if copy.volume == "a":
                        copies.change(tx, copy.id, copy.state, checked=True)
                        tell(tx)
            return done("")

        bench.running.dispatcher._handlers = {**bench.running.dispatcher._handlers, TaskKind.VERIFY: verify}
        bench.running.dispatcher._planner.tick = tick
        pretend(bench, 60, "ab", below=False)
        seq = len(ticks)
        order = bench.order(volume="a")
        eventually(lambda: bench.verification(order.id).state is VerificationState.DONE, 30)
        assert len(ticks) - seq <= 6, "once for what was ordered, once for each time that lanes ran dry"


def test_a_storm_of_changes_is_no_storm_of_planning(tmp_path):
    """Between two looks at everything the processor belongs to the work that they derived."""
    with Bench(tmp_path) as bench:
        dispatcher, planner = bench.running.dispatcher, bench.running.dispatcher._planner
        tick, looks = planner.tick, []

        def slow_tick():
            began = time.monotonic()
            threading.Event().wait(0.1)
            outcome = tick()
            looks.append((began, time.monotonic()))
            dispatcher.wake()
            return outcome

        planner.tick = slow_tick
        dispatcher.wake()
        eventually(lambda: len(looks) >= 4)
        pauses = [later[0] - earlier[1] for earlier, later in itertools.pairwise(looks)]
        assert min(pauses) > 0.2
