"""What only root is told of arrays: outputs of dmsetup, zpool and btrfs, and the report that carries them."""

import dataclasses
import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware import array_report
from hardware.array_tools import Problem, Told, ask, btrfs_scrub, parse_dmsetup, parse_zpool
from hardware.arrays import Array, ArrayState, arrays, combined
from hardware.errors import Malformed, NotFound, Refused
from hardware.mounts import mount_of
from hardware.smart.report import put
from hardware.stack import stack_of
from tests.support.tools import require
from tests.unit.devices.sysfs import Sysfs
from vault.health.array_history import Past, seen
from vault.health.arrays import Listener

UUID = "17d2534c-d2b4-44b0-b0ed-93f187e93c2e"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

# As kernel (dm-raid.rst, dm-raid1) and OpenZFS (zpool_main.c, print_scan_status) print them.
DMSETUP = """\
vg-lv: 0 2097152 raid raid1 2 {health} {ratio} {action} {mismatches} 0 -
vg-lv_rimage_0: 0 2097152 linear
vg-swap: 0 8388608 linear
vg-old: 0 1024 mirror 2 253:1 253:2 {mirrored} 1 {legs} 3 disk 253:0 A
"""
WELL = {"health": "AA", "ratio": "2097152/2097152", "action": "idle", "mismatches": 0, "mirrored": "1024/1024",
        "legs": "AA"}  # fmt: skip
POOL = """\
  pool: tank
 state: {state}
status: One or more devices are faulted in response to persistent errors.
\tSufficient replicas exist for the pool to continue functioning in a
\tdegraded state.
action: Replace the faulted device, or use 'zpool clear' to mark the device
\trepaired.
{scan}config:

\tNAME           STATE     READ WRITE CKSUM
\ttank           {state}       0     0     0
\t  mirror-0     ONLINE       0     0     0
\t    /dev/sda1  {first}
\t    /dev/sdb1  ONLINE       0     0     0
\tspares
\t  /dev/sdc1    AVAIL

errors: {errors}
"""
ONE = {"state": "ONLINE", "scan": "", "first": "ONLINE 0 0 0", "errors": "No known data errors"}
SCRUBBED = "  scan: scrub repaired 0B in 02:11:37 with 0 errors on Sun Nov  8 02:35:38 2026\n"
GOES_ON = (
    "  scan: scrub in progress since Sun Nov 22 00:24:01 2026\n"
    "\t1.88T scanned at 1.16G/s, 1.12T issued at 708M/s, 10.9T total\n\t0B repaired, 10.25% done, 04:01:01 to go\n"
)
RESILVERS = GOES_ON.replace("scrub in", "resilver in").replace("repaired", "resilvered")
# Of btrfs-progs 6.2, after a scrub that mended a mirror.
NOTE = """\
scrub status:1
17d2534c-d2b4-44b0-b0ed-93f187e93c2e:1|data_extents_scrubbed:2561|csum_errors:0|corrected_errors:0|\
last_physical:209715200|t_start:1795381994|t_resumed:0|duration:1|canceled:0|finished:1
17d2534c-d2b4-44b0-b0ed-93f187e93c2e:2|data_extents_scrubbed:2561|csum_errors:5120|corrected_errors:5120|\
last_physical:209715200|t_start:1795381994|t_resumed:0|duration:61|canceled:0|finished:1
"""


@pytest.mark.parametrize(
    ("changes", "state", "missing"),
    [
        ({}, "well", 0),
        ({"action": "check", "ratio": "1048576/2097152"}, "checking", 0),
        ({"health": "Aa", "action": "recover", "ratio": "524288/2097152"}, "rebuilding", 1),
        ({"health": "AD"}, "degraded", 1),
        ({"health": "A-"}, "degraded", 1),
        ({"health": "DD"}, "failed", 2),
        ({"health": "A?"}, "unknown", None),
    ],
)
def test_the_state_of_a_logical_volume(changes, state, missing):
    first, _ = parse_dmsetup(DMSETUP.format(**(WELL | changes)))
    assert (first.name, first.kind, first.level, first.state, first.missing) == (
        "vg-lv",
        "lvm",
        "raid1",
        state,
        missing,
    )


@pytest.mark.parametrize(
    ("level", "health", "state"),
    [("raid5_ls", "DAA", "degraded"), ("raid5_ls", "DDA", "failed"), ("raid6_zr", "DDAAA", "degraded"),
     ("raid6_zr", "DDDAA", "failed"), ("raid10", "DADA", "degraded"), ("raid0", "DA", "failed")],
)  # fmt: skip
def test_a_logical_volume_that_lost_more_than_its_level_allows_has_failed(level, health, state):
    (found,) = parse_dmsetup(f"vg-lv: 0 100 raid {level} {len(health)} {health} 100/100 idle 0 0 -\n")
    assert found.state == state


@pytest.mark.parametrize(
    ("changes", "state"),
    [({}, "well"), ({"mirrored": "512/1024"}, "rebuilding"), ({"legs": "AD"}, "degraded"), ({"legs": "DD"}, "failed")],
)
def test_the_state_of_an_older_mirror(changes, state):
    _, mirror = parse_dmsetup(DMSETUP.format(**(WELL | changes)))
    assert (mirror.name, mirror.level, mirror.state) == ("vg-old", "mirror", state)


def test_what_a_check_of_a_logical_volume_found_and_how_far_it_is():
    first, _ = parse_dmsetup(DMSETUP.format(**(WELL | {"action": "check", "ratio": "1/4", "mismatches": 128})))
    assert (first.mismatches, first.done) == (128, 0.25)


def pool(**changes):
    (found,) = parse_zpool(POOL.format(**(ONE | changes)))
    return found


@pytest.mark.parametrize(
    ("changes", "state", "missing"),
    [
        ({"scan": SCRUBBED}, "well", 0),
        ({"scan": GOES_ON}, "checking", 0),
        ({"scan": RESILVERS, "state": "DEGRADED"}, "rebuilding", 0),
        ({"state": "DEGRADED", "first": "UNAVAIL 0 0 0  was /dev/disk/by-id/ata-X-part1"}, "degraded", 1),
        # Seen in the wild: the pool calls itself well.
        ({"first": "FAULTED 4 372 0  too many errors"}, "degraded", 1),
        ({"state": "SUSPENDED"}, "failed", 0),
        ({"state": "UNAVAIL"}, "failed", 0),
        ({"state": "SOMETHING"}, "unknown", 0),
    ],
)
def test_the_state_of_a_pool(changes, state, missing):
    found = pool(**changes)
    assert (found.name, found.kind, found.state, found.missing) == ("tank", "zfs", state, missing)
    assert found.members == ("/dev/sda1", "/dev/sdb1")


@pytest.mark.parametrize(
    ("changes", "errors"),
    [({}, 0), ({"first": "ONLINE 1 2 3"}, 6), ({"errors": "4 data errors, use '-v' for a list"}, 4),
     ({"errors": "Permanent errors have been detected in the following files:\n\n        tank/x:<0x0>"}, 1)],
)  # fmt: skip
def test_what_a_pool_counted(changes, errors):
    assert pool(**changes).errors == errors


def test_when_a_pool_was_scrubbed():
    scrubbed = pool(scan=SCRUBBED)
    assert (scrubbed.checked_at, scrubbed.checks_known) == (datetime(2026, 11, 8, 2, 35, 38, tzinfo=UTC), True)
    assert (pool(scan=GOES_ON).checked_at, pool(scan=GOES_ON).done) == (None, 0.1025)
    assert pool(scan=SCRUBBED.replace("scrub repaired", "resilvered")).checked_at is None
    never = pool(scan="  scan: none requested\n")
    assert (never.checked_at, never.checks_known) == (None, True)


def test_a_pool_that_was_never_scrubbed_is_late_counted_from_when_it_was_first_seen():
    """Then zpool prints no line of a scan at all."""
    never = pool(scan="")
    assert (never.checked_at, never.checks_known) == (None, True)
    past = seen({}, [never], NOW)
    assert seen(past, [never], NOW + timedelta(days=50))["tank"] == Past(NOW, None)


def test_several_pools_are_told_apart():
    text = POOL.format(**ONE) + "\n" + POOL.format(**(ONE | {"state": "DEGRADED"})).replace("tank", "bể-2")
    assert [(found.name, str(found.state)) for found in parse_zpool(text)] == [("tank", "well"), ("bể-2", "degraded")]


def test_when_a_btrfs_was_scrubbed():
    found = btrfs_scrub(UUID, NOTE)
    assert found.checked_at == datetime.fromtimestamp(1795381994 + 61, UTC)
    going_on = btrfs_scrub(UUID, NOTE.replace("finished:1", "finished:0", 1))
    assert (going_on.state, going_on.checked_at) == (ArrayState.CHECKING, None)
    cut = btrfs_scrub(UUID, NOTE.replace("canceled:0|finished:1", "canceled:1|finished:0"))
    assert (cut.state, cut.checked_at, cut.checks_known) == (ArrayState.UNKNOWN, None, True)


@given(st.text(), st.sampled_from([DMSETUP.format(**WELL), POOL.format(**ONE), NOTE]), st.integers(0, 900))
def test_no_text_is_an_error(junk, text, place):
    broken = text[:place] + junk + text[place:]
    for found in (*parse_dmsetup(broken), *parse_zpool(broken), btrfs_scrub(UUID, broken)):
        assert isinstance(found, Array)


# --- asked of programs


@pytest.fixture
def machine(tmp_path):
    sysfs = Sysfs(tmp_path / "sys")
    sysfs.programs, sysfs.proc, sysfs.notes = tmp_path / "bin", tmp_path / "proc", tmp_path / "btrfs"
    for folder in (sysfs.programs, sysfs.notes):
        folder.mkdir()

    def program(name, script):
        (sysfs.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (sysfs.programs / name).chmod(0o755)

    sysfs.program = program
    sysfs.ask = lambda patience=20.0: ask(
        sysfs.root, sysfs.proc, sysfs.notes, patience=patience, searched=str(sysfs.programs)
    )
    return sysfs


def test_a_machine_without_arrays_is_asked_nothing(machine):
    machine.program("zpool", "exit 1")
    machine.program("dmsetup", "exit 1")
    assert machine.ask() == Told()


def test_every_kind_of_array_is_asked_for(machine):
    machine.disk("sda")
    machine.mapped("dm-0", ["sda"], "LVM", "vg-lv")
    machine.btrfs(UUID, ["sda"])
    (machine.notes / f"scrub.status.{UUID}").write_text(NOTE)
    (machine.proc / "spl/kstat/zfs/tank").mkdir(parents=True)
    (machine.proc / "spl/kstat/zfs/tank/state").write_text("ONLINE\n")
    machine.program("zpool", f"cat <<'END'\n{POOL.format(**ONE)}END")
    machine.program("dmsetup", f"cat <<'END'\n{DMSETUP.format(**WELL)}END")
    told = machine.ask()
    assert [(array.kind, array.name) for array in told.arrays] == [
        ("btrfs", UUID), ("zfs", "tank"), ("lvm", "vg-lv"), ("lvm", "vg-old"),
    ]  # fmt: skip
    assert not told.problems


@pytest.mark.parametrize(
    ("script", "problem"),
    [(None, Problem.ABSENT), ("exit 1", Problem.FAILED), ("exec sleep 600", Problem.HUNG)],
)
def test_a_program_that_tells_nothing_is_told_of(machine, script, problem):
    machine.disk("sda")
    machine.mapped("dm-0", ["sda"], "LVM", "vg-lv")
    if script is not None:
        machine.program("dmsetup", script)
    began = time.monotonic()
    assert machine.ask(0.5) == Told((), {"dmsetup": problem})
    assert time.monotonic() - began < 10


# --- the report, and what becomes of it


def test_what_is_written_is_what_is_read(tmp_path):
    told = Told((pool(scan=SCRUBBED), btrfs_scrub(UUID, NOTE), *parse_dmsetup(DMSETUP.format(**WELL))),
                {"zpool": Problem.HUNG})  # fmt: skip
    path = array_report.write(tmp_path, told, NOW)
    assert array_report.read(path) == array_report.ArrayReport(NOW, told)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("text", "error"),
    [(None, NotFound), ("", Malformed), ("{}", Malformed), ('{"format": 1, "taken_at": "2026-11-22"}', Malformed)],
)
def test_a_report_that_is_none(tmp_path, text, error):
    path = tmp_path / array_report.NAME
    if text is not None:
        path.write_text(text)
        path.chmod(0o640)
    with pytest.raises(error):
        array_report.read(path)


def test_a_report_that_anybody_can_write_is_not_believed(tmp_path):
    path = array_report.write(tmp_path, Told(), NOW)
    path.chmod(0o666)
    with pytest.raises(Refused):
        array_report.read(path)


def test_rows_that_are_none_are_left_out(tmp_path):
    path = array_report.write(tmp_path, Told((pool(),)), NOW)
    document = json.loads(path.read_text())
    document["arrays"] += [{}, {"name": "x"}, {"name": "x", "kind": "ceph"}, 7]
    document["arrays"][0] |= {"state": "splendid", "members": [{"device": "../x"}, 3], "done_ppm": 10**9}
    path.write_text(json.dumps(document))
    (found,) = array_report.read(path).told.arrays
    assert (found.state, found.members, found.done) == (ArrayState.UNKNOWN, (), None)


def test_the_worse_of_two_states_holds_and_any_before_none():
    plain = Array("tank", "zfs", "", ArrayState.WELL)
    told = dataclasses.replace(plain, state=ArrayState.DEGRADED, missing=1, members=("/dev/sda1",))
    (found,) = combined([plain], [told])
    assert (found.state, found.missing, found.members) == (ArrayState.DEGRADED, 1, ("/dev/sda1",))
    failed = dataclasses.replace(plain, state=ArrayState.FAILED)
    assert combined([failed], [told])[0].state is ArrayState.FAILED
    unknown = Array("vg-lv", "lvm", "", ArrayState.UNKNOWN)
    assert combined([unknown], [dataclasses.replace(unknown, state=ArrayState.WELL)])[0].state is ArrayState.WELL
    assert combined([], [told]) == []


def test_a_logical_volume_of_which_nobody_told_lately_is_not_known(machine, tmp_path):
    """The kernel shows everybody that it is an array, and only root how it is."""
    for number, leg in enumerate(("vg-lv_rimage_0", "vg-lv_rimage_1"), 1):
        machine.disk(f"sd{'xab'[number]}")
        machine.mapped(f"dm-{number}", [f"sd{'xab'[number]}"], "LVM", leg)
    machine.mapped("dm-0", ["dm-1", "dm-2"], "LVM", "vg-lv")
    machine.mapped("dm-3", ["sda"], "LVM", "vg-plain")
    listener = Listener(tmp_path / "disks.json", timedelta(hours=1), lambda: arrays(machine.root, machine.proc))
    assert [(one.name, one.state) for one in listener.arrays(NOW)] == [("vg-lv", ArrayState.UNKNOWN)]
    array_report.write(tmp_path, Told(tuple(parse_dmsetup(DMSETUP.format(**WELL)))), NOW)
    assert [(one.name, one.state) for one in listener.arrays(NOW)] == [("vg-lv", ArrayState.WELL)]
    later = NOW + timedelta(hours=2)
    assert [one.state for one in listener.arrays(later)] == [ArrayState.UNKNOWN]
    before = NOW - timedelta(hours=2)
    assert [one.state for one in listener.arrays(before)] == [ArrayState.UNKNOWN], "a report from the future"


def test_an_array_that_is_assembled_under_another_name_keeps_its_own_past(machine):
    """md numbers arrays that nobody named as it meets them."""
    for name, uuid in (("md126", "aaaa"), ("md127", "bbbb")):
        machine.array(name, ["sda", "sdb"], uuid=f"{uuid}-1234", level="raid1", array_state="clean", degraded="0")
    old = {"md126": Past(NOW - timedelta(days=90), NOW - timedelta(days=60)), "md127": Past(NOW - timedelta(days=1))}
    past = seen(old, arrays(machine.root, machine.proc), NOW)
    assert (past["md126"].checked_at, past["md127"].checked_at) == (NOW - timedelta(days=60), None)
    for name, uuid in (("md126", "bbbb"), ("md127", "aaaa")):
        (machine.root / "class/block" / name / "md/uuid").write_text(f"{uuid}-1234\n")
    past = seen(past, arrays(machine.root, machine.proc), NOW)
    assert (past["md126"].checked_at, past["md127"].checked_at) == (None, NOW - timedelta(days=60))
    (machine.root / "class/block/md127/md/uuid").write_text("cccc-1234\n")
    assert seen(past, arrays(machine.root, machine.proc), NOW)["md127"].first_seen == NOW


def test_a_scrub_is_remembered_while_the_next_goes_on_and_while_nobody_tells():
    day = timedelta(days=1)
    tank = pool(scan=SCRUBBED)
    past = seen({}, [tank], NOW)
    assert past["tank"] == Past(NOW, tank.checked_at)
    past = seen(past, [pool(scan=GOES_ON)], NOW + day)
    assert past["tank"] == Past(NOW, tank.checked_at, checking=True)
    past = seen(past, [Array("tank", "zfs", "", ArrayState.WELL)], NOW + 2 * day)
    assert past["tank"] == Past(NOW, tank.checked_at)
    assert seen({}, [Array("tank", "zfs", "", ArrayState.WELL)], NOW) == {}, "of its checks nothing is known"


@pytest.mark.parametrize("level", ["raid0", "raid0_meta", "mirror"])
def test_logical_volumes_that_cannot_be_checked_have_no_checks_to_be_late_with(level):
    assert seen({}, [Array("vg-lv", "lvm", level, ArrayState.WELL)], NOW) == {}


def lvm_checked(*parts, after=timedelta(minutes=15)):
    """When the check counts as ended, of which the helper saw these parts, a quarter of an hour apart, and then no
    more; the daemon looks in between, too."""
    lv = Array("vg-lv", "lvm", "raid1", ArrayState.CHECKING)
    past, now = seen({}, [dataclasses.replace(lv, state=ArrayState.WELL)], NOW), NOW
    for part in parts:
        now += timedelta(minutes=15)
        past = seen(past, [dataclasses.replace(lv, done=part)], now)
        past = seen(past, [dataclasses.replace(lv, done=part)], now + timedelta(minutes=1))
        past = seen(past, [dataclasses.replace(lv, state=ArrayState.UNKNOWN)], now + timedelta(minutes=2))
    return seen(past, [dataclasses.replace(lv, state=ArrayState.WELL)], now + after)["vg-lv"].checked_at is not None


@pytest.mark.parametrize(
    ("parts", "counts"),
    [((0.1, 0.3, 0.5, 0.7, 0.9), True), ((0.1, 0.3, 0.5), False), ((0.6,), True), ((0.2,), False), ((), False)],
)
def test_a_check_of_lvm_counts_that_can_have_come_to_its_end(parts, counts):
    assert lvm_checked(*parts) is counts


def test_the_end_of_a_check_of_lvm_is_seen_though_nobody_told_in_between():
    assert lvm_checked(0.1, 0.3, after=timedelta(hours=5))


# --- the real thing


def test_a_real_btrfs_that_loses_bytes_and_is_scrubbed(tmp_path):
    """Two disks in files: made, spoilt, mended by a scrub, and all of it seen."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    make = require("mkfs.btrfs", "btrfs-progs", ["/usr/sbin", "/sbin"])
    btrfs = require("btrfs", "btrfs-progs", ["/usr/bin", "/bin", "/sbin"])

    def typed(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode and command[0] in ("losetup", "mount", make):
            pytest.skip(f"{command[0]}: {done.stderr.strip()[-200:]}")
        return done.stdout.strip()

    loops, point = [], tmp_path / "mnt"
    point.mkdir()
    try:
        for name in ("a", "b"):
            (tmp_path / name).touch()
            os.truncate(tmp_path / name, 130 << 20)
            loops.append(typed("losetup", "-f", "--show", str(tmp_path / name)))
        typed(make, "-q", "-f", "-d", "raid1", "-m", "raid1", *loops)
        typed("mount", loops[0], str(point))
        (point / "x").write_bytes(os.urandom(8 << 20))
        uuid = typed("findmnt", "-n", "-o", "UUID", str(point))

        def now():
            told = ask(searched="/nowhere").arrays
            return next(array for array in combined(arrays(), told) if array.name == uuid)

        before = now()
        assert (before.kind, before.level, before.state, before.missing, before.errors, before.checked_at) == (
            "btrfs", "raid1", "well", 0, 0, None,
        )  # fmt: skip
        stack = stack_of(str(point))
        assert uuid in stack.arrays
        assert mount_of(str(point)).kind == "btrfs"
        typed("sync")
        with (tmp_path / "b").open("r+b") as disk:
            disk.seek(24 << 20)
            disk.write(os.urandom(60 << 20))
        Path("/proc/sys/vm/drop_caches").write_text("3")
        typed(btrfs, "scrub", "start", "-B", str(point))
        after = now()
        assert after.checked_at is not None
        assert abs(after.checked_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert after.errors > 0
    finally:
        subprocess.run(["umount", str(point)], capture_output=True, timeout=60, check=False)
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-08", 7, None])
def test_a_check_at_a_time_that_cannot_be_is_not_known(tmp_path, at):
    row = {"name": "tank", "kind": "zfs", "state": "well", "checks_known": True, "checked_at": at}
    put(tmp_path, array_report.NAME, {"format": 1, "taken_at": "2026-11-22T10:00:00+00:00", "arrays": [row]})
    (array,) = array_report.read(tmp_path / array_report.NAME).told.arrays
    assert (array.state, array.checked_at) == (ArrayState.WELL, None)
