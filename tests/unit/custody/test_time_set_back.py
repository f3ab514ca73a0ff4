"""The machine's time was ahead, and is set back: what is done at intervals goes on, and nothing waits for years."""

import datetime as dt
from datetime import timedelta

import apscheduler.schedulers.base
import pytest

from tests.support.nodes import Bench, eventually
from vault.catalog import copies, tasks
from vault.catalog.engine import Catalogue
from vault.clock import utcnow
from vault.custody import clock
from vault.custody.clock import Clock
from vault.custody.planner import Planner
from vault.model import CopyState, NewTask, TaskKind

YEARS = timedelta(days=3650)


class Shifted(dt.datetime):
    """The time of day of a machine that has another one."""

    by = timedelta()

    @classmethod
    def now(cls, tz=None):
        return dt.datetime.now(tz) + cls.by


@pytest.fixture
def shifted(monkeypatch):
    monkeypatch.setattr(Shifted, "by", timedelta())
    monkeypatch.setattr(clock, "datetime", Shifted)
    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Shifted)
    return Shifted


@pytest.mark.parametrize("by", [YEARS, -YEARS])
def test_what_is_called_at_intervals_goes_on(tmp_path, monkeypatch, shifted, by):
    monkeypatch.setattr(clock, "LOOK_SECONDS", 0.05)
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db")
    catalogue.migrate()
    called = []
    made = Clock(catalogue)
    made.every(timedelta(seconds=0.1), "plan", lambda: called.append(1), recorded=False)
    made.start()
    try:
        for shift in (timedelta(), by, timedelta()):
            shifted.by = shift
            before = len(called)
            eventually(lambda before=before: len(called) > before + 2, 10)
    finally:
        made.stop()
        catalogue.close()


def test_what_was_put_off_or_proved_in_a_time_that_was_not_comes_near(tmp_path):
    with Bench(tmp_path) as bench:
        bench.deposit("một", b"one")
        bench.settle()
        assert bench.running.dispatcher.stop(timedelta(seconds=10))
        copy, far = bench.copies("một")["a", 1], utcnow() + YEARS
        with bench.running.catalogue.write() as tx:
            assert tasks.derive(tx, NewTask("x", TaskKind.VERIFY, 1, copy.package_id, "một", None, ("a",)), far)
            copies.change(tx, copy.id, CopyState.GOOD, due_at=far)
        Planner(bench.running.custodian).tick()
        with bench.running.catalogue.read() as tx:
            (waiting,) = (task for task in tasks.open_tasks(tx) if task.key == "x")
        assert waiting.not_before <= utcnow() + timedelta(hours=1)
        assert copy.due_at <= bench.copies("một")["a", 1].due_at <= utcnow() + timedelta(days=90)
