"""What was read back on which day, in either database."""

from datetime import date, timedelta

from vault.catalog import readings
from vault.catalog.readings import Count, Standing

DAY = date(2026, 11, 22)


def of_day(tx, **options):
    return readings.between(tx, DAY, DAY, limit=10, **options)


def test_checks_of_a_day_add_up_and_those_that_somebody_asked_for_are_apart(catalogue, clock):
    with catalogue.write() as tx:
        began = tx.now
        readings.add(tx, DAY, "nas-a", Count(bytes=50, seconds=0.5), routine=True)
        readings.add(tx, DAY, "nas-a", Count(intact=1, files=3, bytes=100, seconds=0.25), routine=True, event=7)
        readings.add(tx, DAY, "nas-a", Count(damaged=1, files=3, bytes=100), routine=True, event=9)
        readings.add(tx, DAY, "nas-a", Count(missing=1), routine=False, event=8)
        readings.add(tx, DAY, "nas-b", Count(doubtful=1), routine=True, event=12)
        readings.add(tx, DAY + timedelta(days=1), "nas-a", Count(intact=1), routine=True, event=13)
    with catalogue.read() as tx:
        a, b = of_day(tx)
        assert (a.volume, a.routine) == ("nas-a", Count(1, 1, 0, 0, 6, 250, 0.75))
        assert (a.routine.copies, a.other) == (2, Count(missing=1))
        assert (a.events, a.began_at, a.ended_at, a.standing) == ((7, 9), began, began, None)
        assert (b.volume, b.routine.copies, b.other) == ("nas-b", 1, Count())
        assert [one.volume for one in of_day(tx, volume="nas-b")] == ["nas-b"]
        assert len(readings.between(tx, DAY, DAY + timedelta(days=9), limit=10)) == 3
        assert len(readings.between(tx, DAY, DAY + timedelta(days=9), limit=2)) == 2


def test_a_day_on_which_nothing_was_read_has_a_line_and_the_last_look_stands(catalogue, clock):
    with catalogue.write() as tx:
        first = Standing(10, 3, 7, timedelta(days=90), None, tx.now)
        readings.stands(tx, DAY, "nas-a", first)
        last = Standing(10, 4, 6, timedelta(days=90), tx.now - timedelta(days=99), tx.now)
        readings.stands(tx, DAY, "nas-a", last)
    with catalogue.read() as tx:
        (day,) = of_day(tx)
    assert (day.routine, day.began_at, day.events, day.standing) == (Count(), None, None, last)
    with catalogue.write() as tx:
        readings.add(tx, DAY, "nas-a", Count(intact=1), routine=True, event=5)
        now = tx.now
    with catalogue.read() as tx:
        (day,) = of_day(tx)
    assert (day.routine.intact, day.began_at, day.events, day.standing) == (1, now, (5, 5), last)
