"""Copying one version's part: from any source that has it right, to all targets at once, whichever of them fail."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.faults import rewrite
from tests.support.parts import WHEN, Built, Package, folder, store
from tests.support.sickness import Sickness
from vault.custody.transfer import Target, Transfer, transfer
from vault.errors import Interrupted, Unreachable
from vault.volumes import ahead
from vault.volumes.base import Verdict, VolumeIdentity
from vault.volumes.directory import DirectoryVolume
from vault.volumes.medium import no_progress


@pytest.fixture
def built() -> Built:
    """Many small files in several folders, a few larger ones among them."""
    content = {f"data/{number % 7}/f{number:04}": f"{number}".encode() * (number % 300) for number in range(400)}
    return Package().add(content | {"data/3/large": bytes(range(256)) * 12_000, "data/z": b""})


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, DirectoryVolume]:
    made = {}
    for name in "abxy":
        (tmp_path / name).mkdir()
        made[name] = DirectoryVolume(name=name, path=str(tmp_path / name), domain=name, site="s", mount=False)
        made[name].initialise(VolumeIdentity(uuid4(), name, name, "s", "node-1", WHEN))
    return made


def staged(volumes: dict[str, DirectoryVolume], names: str) -> list[Target]:
    return [Target(volumes[name], volumes[name].stage("t", 1)) for name in names]


def copied(built: Built, sources: list[DirectoryVolume], targets: list[Target], stop=lambda: False) -> Transfer:
    return transfer(built.part, sources, targets, no_progress, stop)


def test_every_file_reaches_both_targets_and_is_right_there(volumes, built):
    store(volumes["a"], built)
    targets = staged(volumes, "xy")
    result = copied(built, [volumes["a"]], targets)
    assert (result.files, result.bytes) == (len(built.content), sum(map(len, built.content.values())))
    assert (result.wrong, result.lost, result.used) == ({}, (), ("a",))
    assert {path: seen.size for path, seen in result.read["a"].items()} == {p: len(d) for p, d in built.content.items()}
    for target in targets:
        assert target.failure is None
        assert target.staging.check(built.part).verdict is Verdict.INTACT


def test_each_file_comes_from_the_first_source_that_has_it_right(volumes, built, tmp_path):
    store(volumes["a"], built)
    store(volumes["b"], built)
    paths = sorted(built.content)
    changed, gone = folder(tmp_path / "a", built.part) / paths[10], folder(tmp_path / "a", built.part) / paths[200]
    rewrite(changed, b"other")
    gone.unlink()
    (folder(tmp_path / "b", built.part) / paths[300]).unlink()
    targets = staged(volumes, "x")
    result = copied(built, [volumes["a"], volumes["b"]], targets)
    assert (result.lost, result.used) == ((), ("a", "b"))
    assert set(result.read["b"]) == {paths[10], paths[200]}
    assert not {paths[10], paths[200]} & set(result.read["a"])
    assert targets[0].staging.check(built.part).verdict is Verdict.INTACT


def test_what_no_source_has_right_is_lost_and_nothing_is_sealed(volumes, built, tmp_path):
    store(volumes["a"], built)
    path = sorted(built.content)[37]
    rewrite(folder(tmp_path / "a", built.part) / path, b"other")
    targets = staged(volumes, "x")
    result = copied(built, [volumes["a"]], targets)
    assert (result.lost, result.files) == ((path,), len(built.content) - 1)
    assert targets[0].staging.check(built.part).verdict is not Verdict.INTACT


def test_a_target_that_fails_is_left_out_and_the_other_is_whole(volumes, built, tmp_path):
    store(volumes["a"], built)
    targets = staged(volumes, "xy")
    with Sickness(tmp_path / "x") as sick:
        sick.fails("write", errno.EIO)
        copied(built, [volumes["a"]], targets)
    assert isinstance(targets[0].failure, Unreachable)
    assert targets[1].failure is None
    assert targets[1].staging.check(built.part).verdict is Verdict.INTACT


def test_when_no_target_is_left_nothing_more_is_read(volumes, built, tmp_path):
    store(volumes["a"], built)
    targets = staged(volumes, "xy")
    with Sickness(tmp_path / "x") as x, Sickness(tmp_path / "y") as y:
        x.fails("write", errno.EIO)
        y.fails("write", errno.ENOSPC)
        result = copied(built, [volumes["a"]], targets)
    assert all(target.failure for target in targets)
    assert result.files < 20


def test_after_a_failure_it_is_asked_again_which_volume_stands_there(volumes, built, tmp_path, monkeypatch):
    store(volumes["a"], built)
    store(volumes["b"], built)
    real, calls = os.preadv, []

    def failing(fd, buffers, offset, flags=0):
        if "/content/" in os.readlink(f"/proc/self/fd/{fd}"):
            calls.append(fd)
            if len(calls) == 100:
                (tmp_path / "a").rename(tmp_path / "away")
                (tmp_path / "y").rename(tmp_path / "a")
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", failing)
    # One thread, and the longest runs: it happens in the middle of one.
    monkeypatch.setattr(ahead, "SMALL_FILES_AT_ONCE", 1)
    monkeypatch.setattr(ahead, "_RUN_SECONDS", 1000)
    targets = staged(volumes, "x")
    result = copied(built, [volumes["a"], volumes["b"]], targets)
    # The empty ones are not read at all.
    assert 99 <= len(result.read["a"]) <= 101
    assert len(result.read["a"]) + len(result.read["b"]) == len(built.content)
    assert result.lost == ()
    assert targets[0].staging.check(built.part).verdict is Verdict.INTACT


def test_a_stop_is_heard_between_two_files(volumes, built):
    store(volumes["a"], built)
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 50

    with pytest.raises(Interrupted):
        copied(built, [volumes["a"]], staged(volumes, "xy"), stop)
    assert len(asked) < 60


def test_the_targets_are_made_durable_at_the_same_time(volumes, built, monkeypatch):
    store(volumes["a"], built)
    targets = staged(volumes, "xy")
    both = threading.Barrier(2, timeout=30)
    for target in targets:
        real = target.staging.seal

        def seal(part, inventory, real=real):
            both.wait()
            real(part, inventory)

        monkeypatch.setattr(target.staging, "seal", seal)
    copied(built, [volumes["a"]], targets)
    assert [target.failure for target in targets] == [None, None]
    assert all(target.staging.check(built.part).verdict is Verdict.INTACT for target in targets)
