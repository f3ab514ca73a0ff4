"""Devices that come and go, on buses that umockdev plays."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hardware.inventory import Change, Device, Event, Role, differences
from tests.support.tools import require

REPO = Path(__file__).parents[3]
PYTHON = "/usr/bin/python3"
NOTHING = frozenset()


def played(scenario, *folder):
    """What the inventory told in a scenario of ``tests/support/hotplug.py``."""
    wrapper = require("umockdev-wrapper", "umockdev")
    probe = "import gi; gi.require_version('UMockdev', '1.0')"
    if subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False, timeout=60).returncode:
        require("gir1.2-umockdev-1.0 for " + PYTHON, "python3-gi and gir1.2-umockdev-1.0")
    import pyudev

    packages = Path(pyudev.__file__).parents[1]
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": f"{REPO}:{packages}",
               "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    ended = subprocess.run(
        [wrapper, PYTHON, str(REPO / "tests/support/hotplug.py"), scenario, *map(str, folder)],
        env=environ, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_disks_tapes_and_changers_come_and_go():
    came, medium, gone, library = played("hotplug")
    assert sorted(came) == [
        ["added", "changer", "CH0001", "/dev/sch0"],
        ["added", "disk", "S-B", "/dev/sdb"],
        ["added", "tape-drive", "10WT012345", "/dev/nst0"],
    ]
    assert medium == [["medium", "disk", "S-B", "/dev/sdb"]]
    assert gone == [["removed", "tape-drive", "10WT012345", "/dev/nst0"]]
    # One changer, whichever of its two nodes came first.
    assert {(role, key) for _, role, key, _ in library} == {("changer", "CH0002")}
    assert library[-1][3] == "/dev/sg7"


def test_disks_that_change_their_names_stay_themselves():
    (told,) = played("moved")
    assert sorted(told) == [["moved", "disk", "S-A", "/dev/sdb"], ["moved", "disk", "S-B", "/dev/sda"]]


def test_a_storm_leaves_the_right_picture():
    added, removed, there = played("storm")
    everything = sorted([*(f"S-{number}" for number in range(30)), "T-0", "C-0"])
    assert added == everything
    assert len(removed) == 10
    assert sorted([*there, *removed]) == everything


def test_lost_events_lead_to_a_fresh_enumeration():
    told, overflows = played("overflow")
    assert told == [["added", "disk", "S-B", "/dev/sdb"]]
    assert overflows == 1


def test_a_storm_is_in_the_ledger_the_metrics_and_the_log_whatever_the_monitor_lost(tmp_path):
    truth, ledger, log, metrics, there, overflows, added = played("kept", tmp_path)
    assert ["tape-drive", "removed", 4] in truth
    assert ledger == truth
    assert log == truth
    assert metrics == truth
    assert there == {"disk": 8, "changer": 2}
    assert overflows == [1]
    assert {"S-99", "C-9", "T-0"} <= set(added)


def test_without_udevd_the_kernels_own_events_do():
    (told,) = played("no_udevd")
    assert told == [["added", "disk", "S-A", "/dev/sda"]]


def device(key, node, **changes):
    facts = {"role": Role.DISK, "model": "M", "serial": key, "wwn": ""} | changes
    return Device(key=key, node=node, **facts)


def snapshot(*devices):
    return {(one.role, one.key): one for one in devices}


@pytest.mark.parametrize(
    ("before", "now", "touched", "expected"),
    [
        ((), ("A", "/dev/sda"), NOTHING, Change.ADDED),
        (("A", "/dev/sda"), (), NOTHING, Change.REMOVED),
        (("A", "/dev/sda"), ("A", "/dev/sdb"), NOTHING, Change.MOVED),
        (("A", "/dev/sda"), ("A", "/dev/sda"), frozenset({"/dev/sda"}), Change.RETURNED),
        (("A", "/dev/sda"), ("A", "/dev/sda"), NOTHING, None),
    ],
)
def test_what_happened_follows_from_what_was_and_is(before, now, touched, expected):
    was, is_ = (snapshot(*([device(*one)] if one else [])) for one in (before, now))
    events = differences(was, is_, touched=touched, media=NOTHING)
    assert [event.change for event in events] == ([expected] if expected else [])


def test_an_array_that_changes_is_told():
    was, is_ = device("uuid", "/dev/md0", role=Role.ARRAY, model="raid1"), device("uuid", "/dev/md0", role=Role.ARRAY)
    assert differences(snapshot(was), snapshot(is_), touched=NOTHING, media=NOTHING) == [Event(Change.CHANGED, is_)]
