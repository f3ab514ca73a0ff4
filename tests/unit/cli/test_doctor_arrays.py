"""Arrays, as the doctor tells of them with the daemon dead."""

from datetime import timedelta

import pytest

from hardware import array_report
from hardware.array_tools import Problem, Told
from hardware.arrays import Array, ArrayState
from vault.cli.doctor import Level, devices
from vault.clock import utcnow
from vault.config.settings import HealthSettings
from vault.i18n import speaking

MD = Array("md0", "md", "raid1", ArrayState.WELL, 0, 0)


@pytest.fixture
def examined(tmp_path, monkeypatch):
    def look(*seen, told=None, age=timedelta(minutes=1)):
        monkeypatch.setattr(devices, "all_arrays", lambda: list(seen))
        if told is not None:
            array_report.write(tmp_path, told, utcnow() - age)
        return devices.arrays(HealthSettings(report=f"{tmp_path}/disks.json"))

    return look


def test_a_machine_without_arrays_has_nothing_to_say_of_them(examined):
    assert examined() == []


@pytest.mark.parametrize(
    ("array", "level", "words"),
    [
        (MD, Level.OK, "it is well"),
        (Array("md0", "md", "raid1", ArrayState.DEGRADED, 1), Level.BAD, "lacks members (1)"),
        (Array("md0", "md", "raid5", ArrayState.FAILED, 2), Level.BAD, "md raid5: it has failed"),
        (Array("md0", "md", "raid1", ArrayState.REBUILDING, 1), Level.NOTE, "being rebuilt"),
        (Array("vg-lv", "lvm", "", ArrayState.UNKNOWN), Level.NOTE, "not known"),
        (Array("md0", "md", "raid1", ArrayState.WELL, 0, 128), Level.BAD, "counted 128"),
    ],
)
def test_every_array_is_named_with_what_to_do(examined, array, level, words):
    (found,) = examined(array)
    assert (found.level, found.area) == (level, f"array {array.name}")
    assert words in found.what
    assert bool(found.remedy) == (level is not Level.OK)


def test_what_the_helper_was_told_counts_while_it_is_fresh(examined):
    lv = Array("vg-lv", "lvm", "", ArrayState.UNKNOWN)
    told = Told((Array("vg-lv", "lvm", "raid1", ArrayState.DEGRADED, 1),), {"zpool": Problem.HUNG})
    one, program = examined(lv, told=told)
    assert (one.level, program.level) == (Level.BAD, Level.NOTE)
    assert "zpool" in program.what
    (old,) = examined(lv, told=told, age=timedelta(hours=3))
    assert "not known" in old.what


def test_it_is_said_in_vietnamese(examined):
    with speaking("vi"):
        (found,) = examined(Array("md0", "md", "raid1", ArrayState.DEGRADED, 1))
    assert found.what == "md raid1: mảng thiếu thành viên (1); thêm một ổ đĩa hỏng nữa là mất tất cả."
