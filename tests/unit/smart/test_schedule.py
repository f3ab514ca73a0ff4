"""Which disk tests itself when: from the logs of the disks and the node's configuration."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import Malformed, NotFound
from hardware.smart import report, schedule
from hardware.smart.facts import DiskFacts, Identity, Reading, SelfTest, TestKind, TestOutcome
from hardware.smart.parse import from_document
from hardware.smart.run import Place
from hardware.smart.schedule import LONG, SHORT, Schedule, due, from_config, since
from hardware.smart.second import Second, complete
from tests.support.drives import ata, attribute
from vault.config import parse_settings
from vault.config.settings import HealthSettings

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOURS = 20_000
WEEK, QUARTER = 7 * 24, 90 * 24


def entry_of(kind, ago, outcome=TestOutcome.PASSED):
    return SelfTest(outcome, "", None if ago is None else HOURS - ago, kind)


def disk(serial, *tests, reading=Reading.READ, hours=HOURS):
    facts = from_document(ata(serial_number=serial, wwn={}), device=f"/dev/{serial}")
    kept = {name: getattr(facts, name) for name in DiskFacts.__slots__}
    kept |= {"reading": reading, "power_on_hours": hours, "self_tests": tests}
    return Place(f"/dev/{serial}"), DiskFacts(**kept)


def begun(*disks, wanted=None, tried=None):
    one = due(disks, wanted or Schedule(), tried or {}, NOW)
    return (one.key, str(one.kind)) if one else None


FRESH = entry_of(TestKind.LONG, 10)
NO_WEEK = (entry_of(TestKind.SHORT, WEEK), entry_of(TestKind.LONG, QUARTER - 1))


def test_nothing_is_due_where_everything_was_tested():
    assert begun(disk("A", FRESH), disk("B", FRESH)) is None


def test_a_week_after_the_last_short_test_another_is_due():
    assert begun(disk("A", *NO_WEEK)) == ("A", "short")
    assert begun(disk("A", entry_of(TestKind.SHORT, WEEK - 1), entry_of(TestKind.LONG, QUARTER - 1))) is None


def test_a_long_test_comes_first_and_is_a_short_one_too():
    assert begun(disk("A", entry_of(TestKind.SHORT, 1000))) == ("A", "long")
    assert begun(disk("A", entry_of(TestKind.LONG, WEEK - 1))) is None


def test_one_disk_at_a_time_the_longest_overdue_first():
    late = (entry_of(TestKind.SHORT, 3 * WEEK), entry_of(TestKind.LONG, 4 * WEEK))
    assert begun(disk("A", *NO_WEEK), disk("B", *late)) == ("B", "short")
    running = SelfTest(TestOutcome.RUNNING, "", None)
    assert begun(disk("A", *NO_WEEK), disk("B", running, FRESH)) is None


@pytest.mark.parametrize("reading", [one for one in Reading if one is not Reading.READ])
def test_a_disk_that_sleeps_or_does_not_speak_is_not_asked(reading):
    assert begun(disk("A", reading=reading)) is None


def test_a_failing_disk_is_spared():
    place, facts = disk("A")
    failing = from_document(attribute(5, value=5, worst=5, when_failed="now", raw=2000), device="/dev/A")
    assert begun((place, failing)) is None
    assert begun((place, facts)) == ("A", "long")


def test_what_was_tried_is_left_alone_for_a_day_and_keeps_nobody_waiting():
    """A disk that cannot test itself has an empty log for ever."""
    cannot, other = disk("A"), disk("B", *NO_WEEK)
    assert begun(cannot, other) == ("A", "long")
    assert begun(cannot, other, tried={"A": NOW - timedelta(hours=1)}) == ("B", "short")
    assert begun(cannot, other, tried={"A": NOW - timedelta(hours=25)}) == ("A", "long")
    assert begun(cannot, tried={"A": NOW + timedelta(hours=1)}) == ("A", "long"), "the clock was wrong"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"ata_smart_data": {"capabilities": {"self_tests_supported": False}}}, False),
        ({"ata_smart_data": {"capabilities": {"self_tests_supported": True}}}, True),
        ({"nvme_optional_admin_commands": {"value": 0, "self_test": False}}, False),
        ({}, True),
    ],
)
def test_a_disk_that_says_it_cannot_test_itself_is_not_asked(tmp_path, said, asked):
    """As the helper reads it back from its own report, which has not everything in it that smartctl says."""
    report.write(
        tmp_path,
        [report.Entry("/dev/sda", "", Identity("A", "A", "", "", ""), Reading.READ, ata() | said, Second())],
        NOW,
    )
    (facts,) = report.read(tmp_path / report.NAME).disks
    assert bool(begun((Place("/dev/sda"), facts))) is asked


@pytest.mark.parametrize("kind", [TestKind.SHORT, TestKind.LONG])
def test_a_test_is_late_after_twice_its_interval_and_never_where_none_is_asked_for(kind):
    wanted = Schedule()
    assert not wanted.is_late(kind, 2 * wanted.every(kind))
    assert wanted.is_late(kind, 2 * wanted.every(kind) + timedelta(hours=1))
    assert not Schedule(timedelta(0), timedelta(0)).is_late(kind, timedelta(days=9999))


def test_nothing_is_never():
    never = Schedule(timedelta(0), timedelta(0))
    assert begun(disk("A"), wanted=never) is None
    assert begun(disk("A"), wanted=Schedule(SHORT, timedelta(0))) == ("A", "short")


@pytest.mark.parametrize("outcome", [TestOutcome.ABORTED, TestOutcome.UNKNOWN])
def test_a_test_that_was_broken_off_is_none(outcome):
    assert begun(disk("A", entry_of(TestKind.LONG, 5, outcome))) == ("A", "long")
    assert begun(disk("A", entry_of(TestKind.LONG, 5, TestOutcome.ABORTED), FRESH)) is None


def test_hours_of_the_log_have_sixteen_bits():
    _, facts = disk("A", SelfTest(TestOutcome.PASSED, "", 100, TestKind.SHORT), hours=65_536 + 150)
    assert since(facts, TestKind.SHORT) == 50


def test_the_logs_of_the_three_command_sets_say_which_test_it_was():
    entry = {"status": {"value": 0, "string": "Completed without error"}, "lifetime_hours": 13_000}
    table = [entry | {"type": {"value": 2}}, entry | {"type": {"value": 129}}, entry]
    kinds = [
        test.kind for test in from_document(ata(ata_smart_self_test_log={"extended": {"table": table}})).self_tests
    ]
    assert kinds == ["long", "short", "other"]
    nvme = {"self_test_result": {"value": 0}, "self_test_code": {"value": 1}, "power_on_hours": 5}
    scsi = {"result": {"value": 0}, "code": {"value": 2}, "power_on_time": {"hours": 7}}
    document = {"nvme_self_test_log": {"table": [nvme]}, "scsi_self_test_0": scsi}
    assert {test.kind for test in from_document(ata() | document).self_tests} == {TestKind.SHORT, TestKind.LONG}
    words = Second(tests=(("Completed", "12", "Background short"), ("Completed", "9", "Extended offline")))
    assert [test.kind for test in complete(DiskFacts(Identity("A", "A", "", "", "")), words).self_tests] == [
        TestKind.SHORT, TestKind.LONG,
    ]  # fmt: skip


# --- from the configuration


def written(tmp_path, text):
    path = tmp_path / "vault.toml"
    path.write_text(text)
    return path


def test_the_helper_and_the_daemon_read_the_same(tmp_path):
    for text in ('short_test = "3d"\nlong_test = "0s"', 'short_test = "12h"', ""):
        table = f"[health]\n{text}\n"
        read = from_config(written(tmp_path, table))
        said = parse_settings(BASE + table, tmp_path / "vault.toml").health
        assert (read.short, read.long) == (said.short_test, said.long_test)
    default = HealthSettings()
    assert (default.short_test, default.long_test) == (SHORT, LONG)


BASE = """\
[node]
name = "n"
[[volume]]
name = "a"
kind = "directory"
path = "/srv/a"
domain = "a"
site = "s"
[[policy]]
name = "default"
disk = 1
tape = 0
receipt_after = 1
"""


@pytest.mark.parametrize("text", ["[health", '[health]\nshort_test = "soon"', "[health]\nlong_test = 7"])
def test_what_is_no_schedule_is_said(tmp_path, text):
    with pytest.raises(Malformed):
        from_config(written(tmp_path, text))


def test_without_a_configuration_there_is_none(tmp_path):
    with pytest.raises(NotFound):
        from_config(tmp_path / "vault.toml")


@given(st.text(max_size=200))
def test_no_text_breaks_the_helper(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "junk.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(Malformed):
        from_config(path)


def test_what_was_tried_is_remembered_and_nothing_else_believed(tmp_path):
    schedule.write_tried(tmp_path, {"A": NOW})
    assert schedule.read_tried(tmp_path) == {"A": NOW}
    path = tmp_path / schedule.NAME
    path.write_text(json.dumps({"tried": {"A": "yesterday", "B": 7, "C": "2026-11-22"}}))
    assert schedule.read_tried(tmp_path) == {}
    path.unlink()
    assert schedule.read_tried(tmp_path) == {}
