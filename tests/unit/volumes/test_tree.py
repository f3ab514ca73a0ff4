"""Paths below a directory that is held open: nothing leads out of it, and no link is followed."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

import pytest

from tests.support import faults
from vault.volumes import tree as tree_module
from vault.volumes.tree import Entry, Nearby, Tree, open_beneath


@pytest.fixture(params=["openat2", "by steps"])
def tree(request, tmp_path, monkeypatch) -> Iterator[Tree]:
    """With the system call, and as where a container's filter does not know it."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (root / "link").symlink_to("../secret")
    (root / "a" / "out").symlink_to("..")
    if request.param == "by steps":

        class Refusing:
            def __getattr__(self, name):
                return getattr(real, name)

            def syscall(self, *_arguments):
                ctypes.set_errno(errno.EPERM)
                return -1

        real = tree_module._libc
        monkeypatch.setattr(tree_module, "_libc", Refusing())
    with Tree(root) as opened:
        yield opened


def test_what_is_inside_is_reached(tree):
    assert tree.read_small("a/file", 6) == b"inside"
    assert [entry.name for entry in tree.entries()] == ["a", "link"]
    assert tree.entries("a") == [Entry("b", "folder"), Entry("file", "file"), Entry("out", "other")]
    assert [tree.kind(path) for path in ("a", "a/file", "link", "none", "a/file/none")] == [
        "folder", "file", "other", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../secret", "a/..", "..", "link", "a/out/a/file", "a/out/../secret"]
)
def test_nothing_leads_outside(tree, path):
    with pytest.raises(OSError):
        os.close(tree.open_read(path))
    with pytest.raises(OSError):
        tree.create(f"{path}/new")
    with pytest.raises(OSError):
        tree.make_folders(f"{path}/new")
    with pytest.raises(OSError):
        tree.rename("a/file", f"{path}/new")
    with pytest.raises(OSError):
        tree.remove(f"{path}/a")
    assert tree.read_small("a/file", 6) == b"inside"


@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "a/../../secret", "a/..", "..", "link", "a/out/a/file", "a/out/../secret", "/a"],
)
def test_nothing_leads_outside_from_a_folder_that_is_held(tree, path):
    with Nearby(tree) as nearby:
        nearby.at("a/file")
        with pytest.raises(OSError):
            Tree.open_read(*nearby.at(path))
        folder, name = nearby.at("a/file")
        assert folder.read_small(name, 6) == b"inside"


def test_folders_are_held_one_at_a_time(tree, tmp_path):
    (tmp_path / "root" / "a" / "b" / "deep").write_bytes(b"deep")
    (tmp_path / "root" / "top").write_bytes(b"top")
    before = len(os.listdir("/proc/self/fd"))
    with Nearby(tree) as nearby:
        for path, data in [("a/file", b"inside"), ("a/b/deep", b"deep"), ("top", b"top"), ("a/file", b"inside")]:
            folder, name = nearby.at(path)
            assert folder.read_small(name, 6) == data
        with pytest.raises(FileNotFoundError):
            nearby.at("none/file")
        with pytest.raises(NotADirectoryError):
            nearby.at("a/file/x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_that_takes_a_folders_place_is_not_followed(tree, tmp_path):
    """Whoever holds the folder goes on in the very one that was opened."""
    (tmp_path / "root" / "c").mkdir()
    with Nearby(tree) as nearby:
        folder, _ = nearby.at("c/one")
        (tmp_path / "root" / "c").rename(tmp_path / "root" / "moved")
        (tmp_path / "root" / "c").symlink_to(tmp_path)
        os.close(folder.create("two"))
        assert [path.name for path in (tmp_path / "root" / "moved").iterdir()] == ["two"]
        nearby.close()
        with pytest.raises(OSError):
            nearby.at("c/three")


@pytest.mark.parametrize("path", ["a\0b", "a/\0", "\0"])
def test_a_nul_ends_no_path(tree, path):
    for act in (tree.open_read, tree.kind, tree.create, tree.remove, tree.make_folders, tree.entries):
        with pytest.raises(OSError, match="Invalid argument"):
            act(path)


def test_a_limit_is_kept(tree):
    with pytest.raises(OSError) as caught:
        tree.read_small("a/file", 5)
    assert caught.value.errno == errno.EFBIG


def test_a_link_is_removed_and_not_what_it_points_to(tree, tmp_path):
    tree.remove("link")
    assert (tmp_path / "secret").read_bytes() == b"outside"
    tree.remove("a")
    assert tree.entries() == []
    tree.remove("a")


def test_a_folder_deeper_than_calls_may_nest_is_removed(tmp_path):
    """Whoever plants it must not stop the clearing up."""
    top = faults.in_memory(tmp_path)
    fd = os.open(top, os.O_PATH)
    for _ in range(1200):
        os.mkdir("a", dir_fd=fd)
        below = os.open("a", os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with Tree(top) as tree:
        tree.sync_below("a")
        tree.remove("a")
        assert not tree.exists("a")
    top.rmdir()


def test_folders_are_made_as_far_as_they_are_missing(tree):
    assert tree.make_folders("a/x/y") == ["a/x", "a/x/y"]
    assert tree.make_folders("a/x/y") == []
    with pytest.raises(NotADirectoryError):
        tree.make_folders("a/file/x")


def test_a_busy_path_is_not_asked_for_ever(tmp_path, monkeypatch):
    """openat2 says EAGAIN when something is renamed while it looks; it might do so always."""
    calls = []

    class Busy:
        def syscall(self, *arguments):
            calls.append(arguments)
            ctypes.set_errno(errno.EAGAIN)
            return -1

    monkeypatch.setattr(tree_module, "_libc", Busy())
    fd = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(BlockingIOError):
            open_beneath(fd, "x/y", os.O_RDONLY)
    finally:
        os.close(fd)
    assert 1 < len(calls) < 10_000
