"""Arrays as the kernel tells of them."""

from datetime import UTC, datetime, timedelta

import pytest

from hardware.arrays import Array, ArrayState, arrays
from hardware.mounts import Mount
from hardware.stack import Kind, Layer, Stack
from tests.unit.devices.sysfs import Sysfs
from vault.device_model import Health
from vault.health.array_history import Past, seen
from vault.health.arrays import findings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
UUID = "0f3d5cbd-2b0c-4a1c-9a63-0c4bb9b3a111"
WELL = {"array_state": "clean", "degraded": 0, "raid_disks": 2, "sync_action": "idle", "sync_completed": "none",
        "mismatch_cnt": 0}  # fmt: skip


@pytest.fixture
def machine(tmp_path):
    sysfs = Sysfs(tmp_path / "sys")
    (tmp_path / "proc").mkdir()
    sysfs.disk("sda", "A")
    sysfs.disk("sdb", "B")
    sysfs.proc = tmp_path / "proc"
    sysfs.seen = lambda: arrays(sysfs.root, sysfs.proc)
    return sysfs


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "well"),
        ({"array_state": "active"}, "well"),
        ({"sync_action": "check", "sync_completed": "50 / 100"}, "checking"),
        ({"degraded": 1}, "degraded"),
        ({"degraded": 1, "sync_action": "recover", "sync_completed": "50 / 200"}, "rebuilding"),
        ({"degraded": 2}, "failed"),
        ({"array_state": "broken"}, "failed"),
        ({"array_state": "inactive"}, "failed"),
        ({"array_state": ""}, "unknown"),
        ({"array_state": "clear"}, "unknown"),
    ],
)
def test_the_state_of_an_md_array(machine, changes, state):
    machine.array("md0", ["sda", "sdb"], **(WELL | changes))
    (array,) = machine.seen()
    assert (array.name, array.kind, array.level, array.state) == ("md0", "md", "raid1", state)


@pytest.mark.parametrize(
    ("level", "missing", "state"),
    [("raid5", 1, "degraded"), ("raid5", 2, "failed"), ("raid6", 2, "degraded"), ("raid6", 3, "failed"),
     ("raid10", 2, "degraded"), ("raid1", 5, "degraded"), ("raid1", 6, "failed")],
)  # fmt: skip
def test_an_array_that_lost_more_than_its_level_allows_has_failed(machine, level, missing, state):
    """md goes on calling itself clean, and gives errors for whatever is asked of it."""
    machine.array("md0", ["sda"], level=level, **(WELL | {"raid_disks": 6, "degraded": missing}))
    assert machine.seen()[0].state == state


def test_a_container_of_metadata_is_no_array_and_what_stands_in_it_is(machine):
    """As mdadm assembles Intel's and DDF's arrays: the container is inactive for as long as it is there."""
    container = {"array_state": "inactive", "raid_disks": 0}
    machine.array("md127", ["sda", "sdb"], level="container", metadata_version="external:imsm", **container)
    machine.array("md128", ["sda", "sdb"], level="", metadata_version="external:ddf", **container)
    machine.array("md126", ["sda", "sdb"], metadata_version="external:/md127/0", **WELL)
    machine.array("md125", ["sda", "sdb"], metadata_version="external:-md127/1", **(WELL | {"degraded": 1}))
    machine.array("md124", ["sda"], metadata_version="1.2", **container)
    assert [(array.name, array.state) for array in machine.seen()] == [
        ("md124", "failed"), ("md125", "degraded"), ("md126", "well"),
    ]  # fmt: skip


# --- checks of md: what sysfs shows when one goes on, ends, or is broken off (md_do_sync of Linux 6.1)

CHECK = {"sync_action": "check", "sync_completed": "3000 / 10000", "last_sync_action": "check", "sync_min": 0}
ENDED = {"sync_action": "idle", "sync_completed": "none", "last_sync_action": "check", "sync_min": 0}


@pytest.fixture
def history(machine):
    """When the last check of ``md0`` ended that counts, after it showed each of these, an hour apart."""

    def after(*shown):
        machine.array("md0", ["sda", "sdb"], **WELL)
        past, moment = seen({}, machine.seen(), NOW), NOW
        for files in shown:
            moment += timedelta(hours=1)
            machine.write("md0", **{f"md__{name}": value for name, value in files.items()})
            past = seen(past, machine.seen(), moment)
        return past["md0"].checked_at

    return after


def test_a_check_that_reached_its_end_counts(history):
    assert history(CHECK, ENDED) == NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    "after",
    [
        {"sync_min": 3000},  # idle was written to sync_action
        {"last_sync_action": "none"},  # the machine was started anew in the midst of it
        {"last_sync_action": "recover"},
        {"degraded": 1, "sync_min": 3000},  # it lost a disk
    ],
)
def test_a_check_that_did_not_reach_its_end_is_none(history, after):
    assert history(CHECK, ENDED | after) is None


def test_a_check_that_was_broken_off_at_once_is_none(history):
    """The kernel notes how far it is now and then only; before that, it is set back to the beginning."""
    assert history(CHECK | {"sync_completed": "0 / 10000"}, ENDED) is None


def test_a_check_in_parts_counts_when_the_last_one_is_through(history):
    """As mdcheck does it: some hours each night, each part from where the one before was broken off."""
    first, second = CHECK, CHECK | {"sync_min": 4000, "sync_completed": "5000 / 10000"}
    assert history(first, ENDED | {"sync_min": 4000}, second, ENDED) == NOW + timedelta(hours=4)


def test_the_last_part_of_a_check_alone_is_none(history):
    assert history(CHECK | {"sync_min": 6000, "sync_completed": "7000 / 10000"}, ENDED) is None


@pytest.mark.parametrize(("kilobytes", "is_looked_at"), [(976_832, False), (15_625_744_384, True), ("", True)])
def test_an_array_that_is_checked_between_two_looks_is_never_late(machine, kilobytes, is_looked_at):
    machine.array("md0", ["sda", "sdb"], component_size=kilobytes, **WELL)
    assert bool(seen({}, machine.seen(), NOW)) is is_looked_at


@pytest.mark.parametrize("level", ["raid0", "linear"])
def test_what_cannot_be_checked_has_no_checks_to_be_late_with(machine, level):
    machine.array("md0", ["sda", "sdb"], level=level, array_state="clean", raid_disks=2)
    assert seen({"md0": Past(NOW)}, machine.seen(), NOW) == {}


def test_how_far_a_rebuild_is(machine):
    machine.array("md0", ["sda"], **(WELL | {"degraded": 1, "sync_action": "recover", "sync_completed": "50 / 200"}))
    (array,) = machine.seen()
    assert (array.missing, array.done) == (1, 0.25)


def test_a_striped_array_fails_with_any_disk(machine):
    machine.array("md0", ["sda", "sdb"], level="raid0", array_state="clean")
    machine.write("md0", **{"md__dev-sda__state": "faulty"})
    assert machine.seen()[0].state is ArrayState.FAILED


@pytest.mark.parametrize("junk", ["-1", "9" * 30, "x", "1e3", "٣"])
def test_what_is_no_number_is_not_known(machine, junk):
    machine.array("md0", ["sda", "sdb"], **(WELL | {"mismatch_cnt": junk, "sync_completed": f"{junk} / 0"}))
    (array,) = machine.seen()
    assert (array.mismatches, array.done) == (None, None)


def test_a_btrfs_that_lacks_a_device_or_counts_errors(machine):
    folder = machine.root / "fs/btrfs" / UUID / "devinfo"
    for number, errors in ((1, 0), (2, 3)):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "missing").write_text("0\n")
        (folder / str(number) / "error_stats").write_text(f"write_errs 0\nread_errs {errors}\nflush_errs 0\n")
    assert machine.seen() == [Array(UUID, "btrfs", "", ArrayState.WELL, 0, None, 3)]
    (folder / "2/missing").write_text("1\n")
    assert machine.seen()[0].state is ArrayState.DEGRADED
    (folder / "2/missing").unlink()
    assert machine.seen()[0].state is ArrayState.UNKNOWN


@pytest.mark.parametrize(
    ("said", "state"),
    [("ONLINE", "well"), ("DEGRADED", "degraded"), ("SUSPENDED", "failed"), ("FAULTED", "failed"), ("", "unknown")],
)
def test_the_state_of_a_pool(machine, said, state):
    (machine.proc / "spl/kstat/zfs/tank").mkdir(parents=True)
    (machine.proc / "spl/kstat/zfs/tank/state").write_text(f"{said}\n")
    assert [(array.name, array.kind, str(array.state)) for array in machine.seen()] == [("tank", "zfs", state)]


def test_a_machine_without_arrays(tmp_path):
    assert arrays(tmp_path, tmp_path) == []


@pytest.mark.parametrize(
    ("state", "health"),
    [("well", None), ("checking", None), ("rebuilding", Health.WATCH), ("degraded", Health.FAILING),
     ("failed", Health.FAILED), ("unknown", Health.UNKNOWN)],
)  # fmt: skip
def test_an_array_bears_on_what_stands_on_it_and_on_nothing_else(state, health):
    stack = Stack("/srv/a", Mount("/srv/a", "xfs", "/dev/md0"), (Layer(Kind.MD, "md0", "", 1),), ())
    known = [Array("md0", "md", "raid1", ArrayState(state), 1), Array("md1", "md", "raid1", ArrayState.FAILED)]
    assert [finding.health for finding in findings(stack, known)] == ([health] if health else [])
