"""From a path down to the disks that it stands on."""

import os

import pytest

from hardware.blocks import is_gone, whole_disks
from hardware.mounts import Mount
from hardware.stack import Kind, stack_of
from tests.unit.devices.sysfs import Sysfs


@pytest.fixture
def sysfs(tmp_path):
    found = Sysfs(tmp_path)
    found.disk("sda", "ZL20AAAA", "5000c50000000001")
    found.disk("sdb", "ZL20BBBB", "5000c50000000002")
    found.partition("sda1", "sda")
    found.partition("sdb1", "sdb")
    return found


def stack(sysfs, device, kind="xfs", source="/dev/x", **more):
    table = {"/srv/a": Mount("/srv/a", kind, source, sysfs.numbers.get(device, device))}
    return stack_of("/srv/a/vault", table=table, sysfs=sysfs.root, **more)


def kinds(found):
    return [(layer.kind, layer.name) for layer in found.layers]


def keys(found):
    return sorted(disk.key for disk in found.disks)


def test_a_partition_stands_on_its_disk(sysfs):
    found = stack(sysfs, "sda1")
    assert kinds(found) == [("filesystem", "/srv/a"), ("partition", "sda1"), ("disk", "sda")]
    assert keys(found) == ["ZL20AAAA"]
    assert found.disks[0].wwn == "5000c50000000001"


def test_a_logical_volume_in_a_cipher_on_an_array_stands_on_both_disks(sysfs):
    sysfs.array("md0", ["sda1", "sdb1"])
    sysfs.mapped("dm-0", ["md0"], "CRYPT", "safe")
    sysfs.mapped("dm-1", ["dm-0"], "LVM", "vg-archive")
    found = stack(sysfs, "dm-1")
    assert [layer.kind for layer in found.layers] == [
        Kind.FILE_SYSTEM, Kind.LVM, Kind.CRYPT, Kind.MD, Kind.PARTITION, Kind.DISK, Kind.PARTITION, Kind.DISK,
    ]  # fmt: skip
    assert keys(found) == ["ZL20AAAA", "ZL20BBBB"]
    assert found.arrays == {"vg-archive", "md0"}


def test_one_disk_by_two_paths_is_one(sysfs):
    sysfs.disk("sdc", "ZL20AAAA", "5000c50000000001", host="1:0:0:0")
    sysfs.mapped("dm-0", ["sda", "sdc"], "mpath", "mpatha")
    found = stack(sysfs, "dm-0")
    assert [layer.kind for layer in found.layers].count(Kind.DISK) == 2
    assert keys(found) == ["ZL20AAAA"]


def test_a_btrfs_of_two_disks_has_a_number_of_its_own(sysfs):
    sysfs.btrfs("0123-uuid", ["sda1", "sdb1"])
    found = stack(sysfs, "0:45", kind="btrfs", source="/dev/sda1")
    assert keys(found) == ["ZL20AAAA", "ZL20BBBB"]
    assert found.arrays == {"0123-uuid"}


def test_of_a_zfs_somebody_must_say_what_its_pool_is_made_of(sysfs):
    members = {"tank": ["/dev/sda1", "/dev/sdb1"]}
    found = stack(sysfs, "0:46", kind="zfs", source="tank/archive", pool_members=members.__getitem__)
    assert (keys(found), found.arrays) == (["ZL20AAAA", "ZL20BBBB"], {"tank"})
    assert stack(sysfs, "0:46", kind="zfs", source="tank/archive").disks == ()


def test_a_file_that_is_mounted_stands_on_what_its_file_is_on(sysfs):
    sysfs.device("loop0", loop__backing_file="/srv/b/image")
    table = {
        "/srv/a": Mount("/srv/a", "ext4", "/dev/loop0", sysfs.numbers["loop0"]),
        "/srv/b": Mount("/srv/b", "xfs", "/dev/sdb1", sysfs.numbers["sdb1"]),
    }
    assert keys(stack_of("/srv/a", table=table, sysfs=sysfs.root)) == ["ZL20BBBB"]


def test_a_share_has_no_disks_here(sysfs):
    found = stack(sysfs, "0:50", kind="nfs4", source="nas:/vol1")
    assert (kinds(found), found.disks) == ([("remote", "nas:/vol1")], ())


def test_disks_without_a_serial_number_are_told_apart_by_name_for_the_moment(sysfs):
    sysfs.disk("vda")
    assert stack(sysfs, "vda").marks == {"device vda"}
    assert stack(sysfs, "sda1").marks == {"ZL20AAAA"}


def test_the_name_moves_and_the_disk_is_the_same(sysfs, tmp_path_factory):
    moved = Sysfs(tmp_path_factory.mktemp("after-reboot"))
    moved.disk("sda", "ZL20BBBB", "5000c50000000002")
    moved.disk("sdb", "ZL20AAAA", "5000c50000000001")
    moved.partition("sdb1", "sdb")
    assert stack(sysfs, "sda1").marks == stack(moved, "sdb1").marks


def test_a_ring_of_devices_ends(sysfs):
    sysfs.device("dm-0")
    sysfs.mapped("dm-1", ["dm-0"], "LVM", "one")
    (sysfs.root / "devices/virtual/block/dm-0/slaves/dm-1").symlink_to(sysfs.root / "class/block/dm-1")
    assert stack(sysfs, "dm-1").disks == ()


@pytest.mark.parametrize("device", ["", "../..", "8:999", "0:0", "x" * 300])
def test_what_is_no_device_has_no_disks(sysfs, device):
    assert stack(sysfs, device).disks == ()


def test_where_nothing_is_mounted_nothing_is_known(sysfs):
    assert stack_of("/srv/a", table={}, sysfs=sysfs.root).layers == ()


def test_only_whole_disks_are_listed(sysfs):
    sysfs.array("md0", ["sda1", "sdb1"])
    sysfs.device("loop0")
    assert [disk.name for disk in whole_disks(sysfs.root)] == ["sda", "sdb"]


def test_a_disk_that_was_taken_out_is_told_from_one_that_nobody_shows(sysfs, tmp_path):
    there, gone, share = os.makedev(8, 1), os.makedev(259, 0), os.makedev(0, 61)
    assert [is_gone(number, sysfs.root) for number in (there, gone, share)] == [False, True, False]
    (tmp_path / "container/dev/block").mkdir(parents=True)
    assert not is_gone(gone, tmp_path / "container")
    assert not is_gone(gone, tmp_path / "nothing")
