"""Scheduled checks keep to their hours, come in even shares, and go on after a cut where they were."""

from datetime import timedelta

from tests.support.checks import bring_forward, hours
from tests.support.nodes import Bench, eventually
from vault.catalog import facts, readings, schedules, tasks
from vault.clock import utcnow
from vault.custody import minutes
from vault.model import EventType, TaskKind, TaskState


def checks(bench: Bench, after: int) -> int:
    return len(bench.events(EventType.FIXITY_CHECK, after=after))


def read_on(bench: Bench) -> list[readings.ReadingDay]:
    """The minutes of today, and of the night before."""
    today = utcnow().astimezone(bench.settings.node.zone).date()
    with bench.running.catalogue.read() as tx:
        return readings.between(tx, today - timedelta(days=1), today, limit=9)


def planned_again(bench: Bench) -> None:
    """Wait until the planner has looked at everything once more."""

    def last() -> object:
        with bench.running.catalogue.read() as tx:
            return next((s.last_success for s in schedules.all(tx) if s.kind == "plan"), None)

    bench.running.dispatcher._noted_at = float("-inf")
    before = last()
    bench.running.dispatcher.wake()
    eventually(lambda: last() != before)


def test_outside_their_hours_good_copies_are_left_alone_and_orders_are_not(tmp_path):
    bench = Bench(tmp_path)
    with bench:
        bench.deposit("A-1", b"content")
        bench.settle()
        bring_forward(bench.running.catalogue, timedelta(days=100))
        seen = bench.last_event()
    hours(bench, timedelta(hours=12))
    with bench:
        planned_again(bench)
        bench.settle()
        assert checks(bench, seen) == 0
        assert bench.verify().checked == 2
        bring_forward(bench.running.catalogue, timedelta(days=100))
        seen = bench.last_event()
    hours(bench, timedelta(minutes=-30))
    with bench:
        before = read_on(bench)
        assert [(count.intact, day.routine.copies) for day in before for count in (day.other,)] == [(2, 0), (2, 0)]
        eventually(lambda: checks(bench, seen) == 2)
        first, second = read_on(bench)
        assert (first.volume, first.other, first.routine.intact) == ("a", before[0].other, 1)
        assert 1 < second.routine.files == before[1].other.files // 2
        assert 7 < second.routine.bytes < 10_000
        assert first.events[0] < seen < first.events[1]
        # How far each volume is in its interval: one copy, proved just now.
        minutes.look(bench.running.custodian)
        standing = read_on(bench)[0].standing
        assert (standing.held, standing.proved, standing.overdue, standing.interval.days) == (1, 1, 0, 90)
        bring_forward(bench.running.catalogue, timedelta(days=100))
        minutes.look(bench.running.custodian)
        assert {(day.standing.proved, day.standing.overdue) for day in read_on(bench)} <= {(0, 1), (1, 0)}


def test_what_came_in_on_one_day_is_not_checked_on_one_day(tmp_path):
    """Twenty packages of one day whose checks are due in two days: a day's share of them comes first, and no more."""
    policy = '[[policy]]\nname = "default"\ndisk = 2\nreceipt_after = 1\nfixity = { disk = "10d" }'
    bench = Bench(tmp_path, policies=policy)
    with bench:
        for number in range(20):
            bench.deposit(f"B-{number}", b"content")
        bench.settle()
        bring_forward(bench.running.catalogue, timedelta(days=8))
        seen = bench.last_event()
    with bench:
        share = 3  # 20 copies on each volume, in 10 days, and a tenth more
        eventually(lambda: checks(bench, seen) >= 2 * share)
        planned_again(bench)
        bench.settle()
        assert checks(bench, seen) == 2 * share


def test_a_check_that_was_stopped_goes_on_in_the_next_process(tmp_path):
    bench = Bench(tmp_path)
    with bench:
        bench.deposit("C-1", bytes(24_000_000))
        bench.settle()
        bring_forward(bench.running.catalogue, timedelta(days=100))
        number = bench.copies("C-1")["a", 1].id
    # So slow that it is cut in the middle, and so that it keeps its place at every chance.
    hours(bench, timedelta(minutes=-30), rate="4 MB", checkpoint=timedelta(milliseconds=1))

    def kept() -> dict:
        with bench.running.catalogue.read() as tx:
            return facts.get(tx, f"check-progress:{number}") or {}

    with bench:
        eventually(lambda: kept().get("offset", 0) > 0)
    bench.settings = bench.configured()
    with bench:
        offset = kept()["offset"]
        assert 0 < offset < 24_000_000
        eventually(lambda: not kept())
        bench.settle()
        assert utcnow() - bench.copies("C-1")["a", 1].proved_at < timedelta(minutes=5)
        with bench.running.catalogue.read() as tx:
            ended = next(task for task in tasks.listing(tx, [TaskState.DONE], limit=9) if task.volumes == ("a",))
        # The second process read what the first had not: the file from its last mark on, and no more.
        assert ended.kind is TaskKind.VERIFY
        assert ended.done_bytes < 24_000_000 - offset + 1_000_000
        # In the minutes is what both of them read.
        (day,) = (day for day in read_on(bench) if day.volume == "a")
        assert (day.routine.copies, day.routine.intact) == (1, 1)
        # What the first read behind its last mark was read again: at most what it read in all.
        assert 24_000_000 <= day.routine.bytes < 29_000_000
        assert day.routine.seconds > 0
