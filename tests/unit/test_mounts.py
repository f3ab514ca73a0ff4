"""Reading the kernel's table of mounts, and finding one's place in it without asking a file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware import mounts
from hardware.mounts import Mount, is_mount_point, mount_of, mount_table, parse_mountinfo, resolve
from tests.support import faults

LINES = b"""\
22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw
27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 27 0:40 / /srv/nas-a rw,relatime shared:9 master:3 - nfs4 nas:/vol1 rw,vers=4.2
31 27 8:17 / /srv/\xc4\x90\xe1\xba\xa7u\\040t\\134\\011u rw - xfs /dev/sdb1 rw
32 27 8:33 / /srv/disk rw - xfs /dev/sdc1 rw
33 27 0:50 / /srv/disk rw - tmpfs none rw
34 27 0:51 / /srv/bytes\xff rw - fuse.sshfs a\\040b:/ rw
this is no line

1 2 3
"""


@pytest.fixture
def table() -> dict[str, Mount]:
    return parse_mountinfo(LINES)


def test_points_are_decoded_and_the_one_on_top_counts(table):
    assert table["/srv/Đầu t\\\tu"] == Mount("/srv/Đầu t\\\tu", "xfs", "/dev/sdb1", "8:17")
    assert table["/srv/disk"].kind == "tmpfs"
    assert table[os.fsdecode(b"/srv/bytes\xff")].source == "a b:/"
    assert len(table) == 6


def test_servers_are_remote(table):
    assert sorted(mount.kind for mount in table.values() if mount.remote) == ["fuse.sshfs", "nfs4"]


def test_hostile_lines_are_left_out():
    assert parse_mountinfo(b"\n - \n a - b\n" + b"x" * 10_000 + b"\n\\777 \\777 \\777 \\777 \\777 - \\777 \\777") != {}
    assert parse_mountinfo(b"") == {}


def test_links_are_followed_but_not_into_a_server(tmp_path, monkeypatch):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "share").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    here = os.path.realpath(tmp_path)
    share = f"{here}/real/share"
    table = {"/": Mount("/", "ext4", "x"), share: Mount(share, "nfs4", "nas:/")}
    asked: list[str] = []
    real = os.readlink

    def readlink(path):
        asked.append(path)
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    assert resolve(f"{tmp_path}/link/deep/../deep//", table) == f"{here}/real/deep"
    assert resolve(f"{tmp_path}/link/share/a/link", table) == f"{share}/a/link"
    assert not [path for path in asked if path.startswith(share)]
    assert resolve(f"{tmp_path}/loop/x", table) == f"{here}/loop/x"


def test_this_machine():
    assert is_mount_point("/proc")
    assert mount_of("/proc/self/status") == mount_table()["/proc"]
    assert not is_mount_point("/proc/self")
    assert mount_of("/proc").kind == "proc"


def test_without_proc_the_file_system_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "none")
    assert mount_table() == {}
    assert is_mount_point("/proc")
    assert not is_mount_point(str(tmp_path))
    assert mount_of("/proc") is None


@pytest.mark.parametrize("name", ["plain", "with space", "tab\tand\\back", "Đà Nẵng", "hash#", "new\nline"])
def test_a_mount_point_is_recognised_by_any_name(tmp_path, name):
    with faults.tmpfs(tmp_path / name) as point:
        assert is_mount_point(str(point))
        (tmp_path / "link").symlink_to(point)
        assert is_mount_point(str(tmp_path / "link"))
        assert mount_of(str(point / "below")).kind == "tmpfs"
        assert not is_mount_point(str(point / "below"))
    assert not is_mount_point(str(point))
    assert mount_of(str(point)) == mount_of(str(Path(tmp_path)))
