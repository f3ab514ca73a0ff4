"""How counters change over days."""

import json
from datetime import date, timedelta

import pytest

from hardware.smart.growth import Day, judge_growth, mended_links
from hardware.smart.parse import parse
from hardware.smart.reasons import Code, Verdict
from hardware.smart.verdict import judge
from tests.support.drives import attribute, nvme, sas

TODAY = date(2026, 11, 22)


def days(*values, name="reallocated_sectors"):
    """A day for each value, the last of them yesterday; None for a day on which it was not known."""
    first = TODAY - timedelta(days=len(values))
    return [
        Day(first + timedelta(days=n), {} if value is None else {name: value}) for n, value in enumerate(values)
    ]  # fmt: skip


def verdict(history, facts):
    growth = judge_growth(history, facts, TODAY)
    return judge(facts, growth).verdict, growth


def reallocated(value):
    return parse(json.dumps(attribute(5, raw=value)))


@pytest.mark.parametrize(
    ("history", "now", "expected"),
    [
        (days(4, 4, 4), 4, Verdict.WATCH),  # four for ever: watched for what they are
        (days(4, 4, 4), 5, Verdict.WATCH),
        (days(4, 5, 5), 6, Verdict.FAILING),  # on two days
        (days(4, 4, 4), 14, Verdict.FAILING),  # ten at once
        (days(None, 4, None), 5, Verdict.WATCH),
        ([], 4, Verdict.WATCH),
    ],
)
def test_reallocated_sectors_that_grow_are_worse_than_many_that_do_not(history, now, expected):
    assert verdict(history, reallocated(now))[0] is expected


def test_what_grew_is_said_with_its_numbers():
    (reason,) = judge_growth(days(4, 5, 5), reallocated(6), TODAY)
    assert reason.text == "The number of reallocated sectors grew by 2 in 3 days, to 6."


def test_a_counter_that_began_anew_did_not_grow():
    assert judge_growth(days(300, 300, 300), reallocated(0), TODAY) == []
    (reason,) = judge_growth(days(300, 0, 0), reallocated(1), TODAY)
    assert reason.values["growth"] == 1


def test_what_happened_long_ago_is_no_growth_now():
    old = Day(TODAY - timedelta(days=100), {"reallocated_sectors": 0})
    assert judge_growth([old], reallocated(500), TODAY) == []


def test_broken_transfers_that_grow_are_watched_and_endanger_no_data():
    facts = parse(json.dumps(attribute(199, raw=60)))
    assert judge(facts).verdict is Verdict.HEALTHY
    assert verdict(days(3, 20, 40, name="interface_crc_errors"), facts)[0] is Verdict.WATCH


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([108] * 14, Verdict.HEALTHY),
        ([None, *[108] * 8, None, None, 108], Verdict.HEALTHY),
        ([108] * 6, Verdict.WATCH),  # not known for as long yet
        ([None, None, *[108] * 6], Verdict.WATCH),
        ([107, *[108] * 13], Verdict.WATCH),
    ],
)
def test_broken_transfers_of_long_ago_are_not_watched_for_ever(counts, expected):
    """A drive never forgets its CRC errors, of which a cable was the cause that has long been replaced."""
    facts = parse(json.dumps(attribute(199, raw=108)))
    history = days(*counts, name="interface_crc_errors")
    judgement = judge(facts, judge_growth(history, facts, TODAY), mended_links(history, facts, TODAY))
    assert judgement.verdict is expected


def test_a_handful_of_link_errors_after_each_start_is_no_growth_to_watch():
    """Recorded SAS disks have 4 invalid words, 4 of running disparity and one loss of synchronisation for a start."""
    phy = {"invalid_dword_count": 12, "running_disparity_error_count": 12, "loss_of_dword_synchronization_count": 3}
    facts = parse(json.dumps(sas(scsi_sas_port_0={"phy_0": phy})))
    found, growth = verdict(days(0, 9, 18, name="link_errors"), facts)
    assert (found, [reason.code for reason in growth]) == (Verdict.HEALTHY, [Code.GREW])
    worse = parse(json.dumps(sas(scsi_sas_port_0={"phy_0": phy | {"invalid_dword_count": 99}})))
    assert verdict(days(0, 9, 18, name="link_errors"), worse)[0] is Verdict.WATCH


def test_spare_capacity_that_shrinks_is_watched():
    facts = parse(json.dumps(nvme(available_spare=80)))
    history = [Day(TODAY - timedelta(days=3), {}, 100), Day(TODAY - timedelta(days=1), {}, 90)]
    found, growth = verdict(history, facts)
    assert found is Verdict.WATCH
    assert growth[0].text == "Spare capacity fell from 100 % to 80 % in 3 days."
