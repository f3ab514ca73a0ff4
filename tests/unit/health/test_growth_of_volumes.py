"""The date on which a volume is full, from the free space of some days."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.arrays import Array, ArrayState
from tests.support.nodes import Bench, eventually
from vault.catalog import facts
from vault.health import filling
from vault.health.array_history import Past, seen

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_date_is_where_the_line_meets_the_reserve():
    days = {"2026-11-10": 1000, "2026-11-20": 800}
    assert filling.estimate(days) == datetime(2026, 12, 30, tzinfo=UTC)
    assert filling.estimate(days, reserve=400) == datetime(2026, 12, 10, tzinfo=UTC)
    assert filling.estimate(days, reserve=900) == datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "days",
    [{}, {"2026-11-20": 5}, {"2026-11-10": 5, "2026-11-20": 5}, {"2026-11-10": 5, "2026-11-20": 9},
     {"2026-11-10": 10**18, "2026-11-20": 10**18 - 1}],
)  # fmt: skip
def test_what_does_not_fill_up_in_sight_has_no_date(days):
    assert filling.estimate(days) is None


@given(st.dictionaries(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 10**16), max_size=31),
       st.integers(0, 10**16))  # fmt: skip
def test_a_date_is_never_before_the_last_day(days, reserve):
    found = filling.estimate({day.isoformat(): free for day, free in days.items()}, reserve)
    assert found is None or found >= datetime.combine(max(days), datetime.min.time(), UTC)


def test_a_node_remembers_a_month_of_days(tmp_path):
    with Bench(tmp_path) as bench:
        for name in ("a", "b"):
            eventually(lambda name=name: str(bench.condition(name)) == "online")
        long_ago = {"2020-01-01": 10**18}
        with bench.running.catalogue.write() as tx:
            facts.put(tx, "volume-growth", {"a": long_ago, "gone": long_ago})
        filling.look(bench.running.custodian)
        with bench.running.catalogue.read() as tx:
            kept = facts.get(tx, "volume-growth")
            today = tx.now.date().isoformat()
        assert {name: list(days) for name, days in kept.items()} == {"a": [today], "b": [today]}


def array(state, kind="md"):
    done = 0.4 if state is ArrayState.CHECKING else None
    return Array("md0", kind, "raid1", state, done=done, check_from=0, last_action="check")


def test_the_end_of_a_check_is_seen():
    past = seen({}, [array(ArrayState.WELL)], NOON)
    assert past == {"md0": Past(NOON)}
    past = seen(past, [array(ArrayState.CHECKING)], NOON + timedelta(hours=1))
    past = seen(past, [array(ArrayState.WELL)], NOON + timedelta(hours=9))
    assert past == {"md0": Past(NOON, NOON + timedelta(hours=9), moved=True)}
    assert seen(past, [array(ArrayState.WELL)], NOON + timedelta(hours=10)) == past


def test_a_check_that_ends_in_trouble_is_none_and_an_array_that_is_gone_is_forgotten():
    past = seen({}, [array(ArrayState.CHECKING)], NOON)
    past = seen(past, [array(ArrayState.DEGRADED)], NOON + timedelta(hours=1))
    assert past["md0"].checked_at is None
    assert seen(past, [], NOON) == {}
    assert seen({}, [array(ArrayState.WELL, "btrfs")], NOON) == {}
