"""For how long a disk ran without testing itself, as far as this node can know."""

from datetime import UTC, datetime, timedelta

import pytest

from hardware.smart.facts import TestKind
from hardware.smart.parse import from_document
from hardware.smart.schedule import Schedule
from tests.support.drives import ata, attribute
from vault.health.disks import hours_since_test, judge_all, overdue_tests

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CAN = {"ata_smart_data": {"capabilities": {"self_tests_supported": True}}}
SHORT, LONG = TestKind.SHORT, TestKind.LONG


def seen(document, before=None, *, days=0):
    known = {before.key: before} if before else {}
    (found,) = judge_all([from_document(document)], known, {}, taken_at=BEGIN + timedelta(days=days))
    return found.disk


def with_test(*, kind, at, document=None):
    entry = {"type": {"value": kind}, "status": {"value": 0}, "lifetime_hours": at}
    return dict(document or ata()) | {"ata_smart_self_test_log": {"standard": {"table": [entry]}}}


def late(disk):
    return [(str(kind), running.days) for kind, running in overdue_tests(disk, Schedule())]


def test_what_the_log_says_counts_from_the_first_look_on():
    assert late(seen(with_test(kind=2, at=13_114 - 181 * 24))) == [("long", 181), ("short", 181)]
    assert late(seen(with_test(kind=2, at=13_114 - 13 * 24))) == []


def test_one_that_can_and_never_did_is_late_when_this_node_knows_it_for_that_long():
    document = ata(**CAN)
    first = seen(document)
    assert (hours_since_test(first, SHORT), late(first)) == (0, [])
    assert late(seen(document, first, days=14)) == []
    assert late(seen(document, first, days=15)) == [("short", 15)]
    assert late(seen(document, first, days=200)) == [("long", 200), ("short", 200)]
    short = with_test(kind=1, at=13_114, document=document)
    assert late(seen(short, first, days=200)) == [("long", 200)]


def test_what_lay_in_a_cupboard_has_not_run():
    young = ata(**CAN, power_on_time={"hours": 30})
    assert hours_since_test(seen(young, seen(young), days=400), LONG) == 30


@pytest.mark.parametrize("can", [{}, {"ata_smart_data": {"capabilities": {"self_tests_supported": False}}}])
def test_one_that_does_not_say_that_it_can_is_not_known(can):
    disk = seen(ata(**can), seen(ata(**can)), days=400)
    assert hours_since_test(disk, SHORT) is None
    assert late(disk) == []


def test_a_failing_disk_is_spared():
    failing = attribute(5, ata(**CAN), value=5, worst=5, when_failed="now", raw=2000)
    assert late(seen(failing, seen(failing), days=400)) == []
