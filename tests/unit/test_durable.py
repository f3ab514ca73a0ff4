import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vault import durable
from vault.durable import TEMP_PREFIX, describe_os_error, fsync_directory, rename_durably, write_durably
from vault.errors import Conflict, Full, NotFound, Unreachable


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the operating system, in order; everything is really done too."""
    asked = []

    def watched(name):
        real = getattr(os, name)

        def call(*args, **kwargs):
            shown = [os.readlink(f"/proc/self/fd/{a}") if isinstance(a, int) and name == "fsync" else a for a in args]
            asked.append((name, *[Path(a).name if isinstance(a, str) else a for a in shown]))
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "rename", "link"):
        monkeypatch.setattr(durable.os, name, watched(name))
    return asked


def failing(error):
    def call(*args, **kwargs):
        raise OSError(error, os.strerror(error))

    return call


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_durably(tmp_path / "a", b"one")
        write_durably(tmp_path / "b", b"two", 0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_the_file_is_durable_before_it_has_its_name_and_the_folder_after(tmp_path, calls):
    write_durably(tmp_path / "a", b"x")
    (first, renamed, last) = calls
    assert first[0] == "fsync"
    assert first[1].startswith(TEMP_PREFIX)
    assert (renamed[0], renamed[2]) == ("rename", "a")
    assert last == ("fsync", tmp_path.name)


def test_an_existing_file_is_replaced_whole_or_left_alone(tmp_path):
    path = tmp_path / "a"
    write_durably(path, b"a long old text")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(Conflict):
        write_durably(path, b"newer", replace=False)
    assert path.read_bytes() == b"new"
    write_durably(tmp_path / "b", b"fresh", replace=False)
    assert (tmp_path / "b").read_bytes() == b"fresh"
    assert (tmp_path / "b").stat().st_nlink == 1
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP])
def test_where_there_are_no_hard_links_nothing_is_replaced_either(tmp_path, monkeypatch, error):
    monkeypatch.setattr(durable.os, "link", failing(error))
    path = tmp_path / "a"
    write_durably(path, b"first", replace=False)
    with pytest.raises(Conflict):
        write_durably(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_is_replaced_and_never_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "a").symlink_to("elsewhere")
    write_durably(tmp_path / "a", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("step", ["write", "fsync", "fchmod", "rename"])
@pytest.mark.parametrize(("error", "expected"), [(errno.ENOSPC, Full), (errno.EIO, Unreachable)])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error, expected):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(durable.os, step, failing(error))
    with pytest.raises(expected) as failed:
        write_durably(path, b"new")
    assert str(path) in failed.value.message
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_write_that_is_taken_in_pieces_is_whole(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(durable.os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    data = bytes(range(256)) * 10
    write_durably(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == data


def test_the_longest_name_can_be_written(tmp_path):
    write_durably(tmp_path / ("x" * 255), b"")
    assert os.listdir(tmp_path) == ["x" * 255]


def test_all_of_it_works_within_an_open_folder(tmp_path, calls):
    (tmp_path / "sub").mkdir()
    (tmp_path / "other").mkdir()
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    other = os.open(tmp_path / "other", os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_durably("a", b"one", dir_fd=folder)
        write_durably("sub/b", b"two", 0o600, dir_fd=folder, replace=False)
        calls.clear()
        rename_durably("sub/b", "c", source_dir_fd=folder, target_dir_fd=other)
        assert calls == [("rename", "b", "c"), ("fsync", "other"), ("fsync", "sub")]
        calls.clear()
        rename_durably("a", "d", source_dir_fd=folder, target_dir_fd=folder)
        assert calls == [("rename", "a", "d"), ("fsync", tmp_path.name)]
        fsync_directory(folder)
        fsync_directory("sub", dir_fd=folder)
    finally:
        os.close(folder)
        os.close(other)
    assert (tmp_path / "other" / "c").read_bytes() == b"two"
    assert (tmp_path / "d").read_bytes() == b"one"


def test_a_folder_can_be_renamed_and_both_its_parents_are_made_durable(tmp_path, calls):
    (tmp_path / "staging" / "v1").mkdir(parents=True)
    (tmp_path / "object").mkdir()
    rename_durably(f"{tmp_path}/staging/v1/", f"{tmp_path}/object/v1/")
    assert (tmp_path / "object" / "v1").is_dir()
    assert [call for call in calls if call[0] == "fsync"] == [("fsync", "object"), ("fsync", "staging")]


def test_renaming_what_is_not_there_or_onto_something_is_named(tmp_path):
    with pytest.raises(NotFound):
        rename_durably(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "full").mkdir(parents=True)
    with pytest.raises(Conflict):
        rename_durably(tmp_path / "a", tmp_path / "b")
    with pytest.raises(NotFound):
        write_durably(tmp_path / "nowhere" / "a", b"")
    with pytest.raises(NotFound):
        fsync_directory(tmp_path / "nowhere")


def test_a_file_system_without_fsync_of_folders_is_no_error_and_any_other_is(tmp_path, monkeypatch):
    monkeypatch.setattr(durable.os, "fsync", failing(errno.EINVAL))
    fsync_directory(tmp_path)
    with pytest.raises(Unreachable):
        write_durably(tmp_path / "a", b"")
    monkeypatch.setattr(durable.os, "fsync", failing(errno.EIO))
    with pytest.raises(Unreachable):
        fsync_directory(tmp_path)


@pytest.mark.parametrize(
    ("number", "expected", "code"),
    [
        (errno.ENOSPC, Full, "no-space"),
        (errno.EDQUOT, Full, "no-space"),
        (errno.EFBIG, Full, "no-space"),
        (errno.ENODEV, Unreachable, "device-gone"),
        (errno.EIO, Unreachable, "io-error"),
        (errno.ESTALE, Unreachable, "stale-handle"),
        (errno.ENOTCONN, Unreachable, "not-connected"),
        (errno.ETIMEDOUT, Unreachable, "timed-out"),
        (errno.EHOSTDOWN, Unreachable, "host-down"),
        (errno.EROFS, Unreachable, "read-only"),
        (errno.EACCES, Unreachable, "permission-denied"),
        (errno.EUCLEAN, Unreachable, "file-system-damaged"),
        (errno.EXDEV, Unreachable, "io-error"),
        (errno.ENOENT, NotFound, "not-found"),
        (errno.ENOTDIR, NotFound, "not-found"),
        (errno.EEXIST, Conflict, "conflict"),
    ],
)
def test_what_the_system_reports_keeps_its_meaning(number, expected, code):
    found = describe_os_error(OSError(number, os.strerror(number)), "writing /srv/nas-a/x")
    assert (type(found), found.code) == (expected, code)
    assert "While writing /srv/nas-a/x" in found.message
    assert errno.errorcode[number] in found.message
    assert found.remedy


def test_an_error_without_a_number_is_an_outage():
    assert isinstance(describe_os_error(OSError("odd"), "reading"), Unreachable)


KILLED = """
import os, sys
from vault import durable
step, path = sys.argv[1:]
real = getattr(os, step)
def dies(*args, **kwargs):
    if sys.argv[1] != "write":
        real(*args, **kwargs)
    os.kill(os.getpid(), 9)
setattr(durable.os, step, dies)
durable.write_durably(path, b"new")
"""


@pytest.mark.parametrize(("step", "left"), [("write", b"old"), ("fsync", b"old"), ("rename", b"new")])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, step, left):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    repo = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, step, str(path)], cwd=repo, timeout=60, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == left
    assert all(name == "a" or name.startswith(TEMP_PREFIX) for name in os.listdir(tmp_path))
