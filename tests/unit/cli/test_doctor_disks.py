"""Disks, as the doctor tells of them with the daemon dead."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from hardware.smart import report
from hardware.smart.facts import Reading
from hardware.smart.parse import identity
from hardware.smart.second import Second
from tests.support.drives import ata, attribute
from vault.cli.doctor import Level, devices
from vault.clock import utcnow
from vault.config.settings import HealthSettings
from vault.i18n import speaking


def last_tested(days, document=None):
    entry = {"type": {"value": 2}, "status": {"value": 0}, "lifetime_hours": 13_114 - days * 24}
    return dict(document or ata()) | {"ata_smart_self_test_log": {"extended": {"table": [entry]}}}


@pytest.fixture
def examined(tmp_path):
    def look(document, **settings):
        known = identity(document["serial_number"], "", "M")
        entry = report.Entry("/dev/sda", "sat", known, Reading.READ, document, Second())
        report.write(tmp_path, [entry], utcnow() - timedelta(minutes=1))
        return devices.disks(HealthSettings(report=f"{tmp_path}/disks.json", **settings))

    return look


def test_a_helper_in_its_first_round_is_not_called_missing(tmp_path):
    class Health(HealthSettings):
        report: Path = tmp_path / "disks.json"

    (first,) = devices.disks(Health())
    assert (first.level, first.what) == (Level.NOTE, "The disks are being asked for the first time.")
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path, (an_hour_ago, an_hour_ago))
    (missing,) = devices.disks(Health())
    assert (missing.level, missing.what) == (Level.BAD, "Nobody asks the disks how they are.")


def test_a_disk_that_did_not_test_itself_is_named_with_what_to_do(examined):
    long, short = examined(last_tested(200))
    assert (long.level, long.area, short.level) == (Level.NOTE, "ZL20ABCD", Level.NOTE)
    assert long.what == "ST16000NM001G-2KK103 (/dev/sda): it has run for 200 days without a long self-test."
    assert "smartctl -t long /dev/sda" in long.remedy
    assert "smartctl -t short /dev/sda" in short.remedy
    with speaking("vi"):
        assert examined(last_tested(200))[0].what.endswith("chưa tự kiểm tra toàn bộ (bài kiểm tra dài).")


def test_one_that_did_and_one_that_need_not_are_well(examined):
    assert [one.level for one in examined(last_tested(13))] == [Level.OK]
    assert [one.level for one in examined(last_tested(200), short_test="0s", long_test="0s")] == [Level.OK]


def told_by(tmp_path, *readings):
    entries = [
        report.Entry(f"/dev/sd{n}", "sat", identity(f"S{n}", "", "M"), reading,
                     ata() | {"serial_number": f"S{n}"} if reading is Reading.READ else {}, Second())
        for n, reading in enumerate(readings)
    ]  # fmt: skip
    report.write(tmp_path, entries, utcnow())
    settings = HealthSettings(report=f"{tmp_path}/disks.json", short_test="0s", long_test="0s")
    return [(one.level, one.what) for one in devices.disks(settings)]


def test_where_no_disk_was_asked_none_is_said_to_be_well(tmp_path):
    assert told_by(tmp_path) == [(Level.NOTE, "The helper found no disk that it could ask.")]
    assert told_by(tmp_path, Reading.ASLEEP) == [(Level.NOTE, "1 disk sleeps and was not asked.")]
    assert told_by(tmp_path, Reading.ASLEEP, Reading.READ) == [
        (Level.OK, "1 disk was asked; nothing is amiss."), (Level.OK, "1 disk sleeps and was not asked."),
    ]  # fmt: skip


def test_a_report_that_never_came_is_bad_only_where_there_should_be_one(tmp_path):
    assert [one.level for one in devices.disks(HealthSettings(report=f"{tmp_path}/no/disks.json"))] == [Level.BAD]


def test_a_failing_one_has_one_finding(examined):
    failing = attribute(5, last_tested(200), value=5, worst=5, when_failed="now", raw=2000)
    assert [one.level for one in examined(failing)] == [Level.BAD]


def test_of_a_disk_behind_a_controller_is_said_how_it_is_asked(tmp_path):
    entry = report.Entry("/dev/bus/0", "megaraid,8", identity("", "", ""), Reading.HUNG, {}, Second())
    report.write(tmp_path, [entry], utcnow())
    (hung,) = devices.disks(HealthSettings(report=f"{tmp_path}/disks.json"))
    assert (hung.level, hung.remedy) == (Level.BAD, "Ask it yourself: smartctl -x -d megaraid,8 /dev/bus/0")
