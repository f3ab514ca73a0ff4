"""Outages: a volume that is gone, foreign, dead, full or read-only is said to be so, and no copy is called damaged."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.volumes.conftest import Place
from tests.support import faults
from tests.support.parts import Package, folder, staged, store, usual
from vault.errors import Full, Refused, Unreachable, VaultError, WrongVolume
from vault.model import Condition
from vault.volumes.base import FindingKind, Verdict
from vault.volumes.directory import DirectoryVolume

PACKAGE = usual()
ONE, TWO = PACKAGE.versions


@pytest.fixture
def device(tmp_path) -> Iterator[tuple[faults.Loop, Place]]:
    """A volume with the package on a device of its own."""
    with faults.loop_ext4(tmp_path / "device") as loop:
        place = Place(loop.point, {"mount": True}).initialised()
        store(place.open(), ONE, TWO)
        yield loop, place


def assert_outage(volume: DirectoryVolume, kind: type[VaultError] = Unreachable) -> None:
    """Every method says that the volume is not there; none says anything of what it holds."""
    acts = {
        "check": lambda: volume.check(ONE.part),
        "check_root": lambda: volume.check_root(TWO.part),
        "check of what is not there": lambda: volume.check(Package("none").add({}).part),
        "inventory": lambda: volume.inventory(ONE.part),
        "read": lambda: list(volume.read(ONE.part.object_id, next(iter(ONE.content)))),
        "open": lambda: volume.open(ONE.part.object_id, next(iter(ONE.content))),
        "stage": lambda: volume.stage("t", 1),
        "staged": volume.staged,
        "reopen": lambda: volume.reopen("t", 1),
        "settle": lambda: volume.settle(ONE.part),
        "evidence": volume.evidence,
        "release": lambda: volume.release_evidence("evidence/x"),
        "note": lambda: volume.write_note("x", b""),
    }
    for name, act in acts.items():
        with pytest.raises(kind) as caught:
            act()
        assert caught.value.remedy, name
    assert volume.probe().condition in (Condition.OFFLINE, Condition.FOREIGN)


def nothing_below(point: Path) -> bool:
    return list(point.iterdir()) == []


def test_an_unmounted_volume_is_off_line_and_its_mount_point_stays_empty(device):
    loop, place = device
    volume = place.open()
    loop.unmount()
    assert_outage(volume, WrongVolume)
    assert volume.probe().condition is Condition.OFFLINE
    with pytest.raises(WrongVolume):
        place.open().initialise(place.identity())
    assert nothing_below(loop.point)
    assert_outage(place.open(mount=False), WrongVolume)
    assert nothing_below(loop.point)
    loop.mount()
    assert volume.check(ONE.part).verdict is Verdict.INTACT


def test_a_path_that_is_missing_is_an_outage(folder):
    volume = folder.open()
    folder.root.rename(folder.root.with_name("away"))
    assert_outage(volume)
    assert volume.probe().condition is Condition.OFFLINE
    folder.root.touch()
    assert_outage(volume)


def test_another_volume_mounted_over_it_is_not_taken_for_it(device, tmp_path):
    loop, place = device
    volume = place.open()
    with faults.tmpfs(loop.point):
        other = Place(loop.point, {"mount": True}).initialised()
        assert_outage(volume, WrongVolume)
        assert volume.probe().condition is Condition.FOREIGN
        assert other.objects() == []
    assert volume.check(ONE.part).verdict is Verdict.INTACT


def test_work_that_is_under_way_goes_to_the_volume_it_began_on(device):
    """The volume is pulled from its mount point, and another put there, between two writes and two reads."""
    loop, place = device
    volume, third = place.open(), usual("third").versions[0]
    staging = volume.stage("t", 1)
    path, data = next(iter(third.content.items()))
    sink = staging.create(path)
    sink.write(data[:2000])
    reading = volume.read(ONE.part.object_id, "v1/content/bagit.txt")
    piece = bytes(next(reading))
    loop.unmount("-l")
    with faults.tmpfs(loop.point):
        other = Place(loop.point, {"mount": True}).initialised()
        sink.write(data[2000:])
        sink.close()
        assert piece + b"".join(map(bytes, reading)) == ONE.content["v1/content/bagit.txt"]
        with pytest.raises(WrongVolume):
            volume.put(staging, third.part, head=True)
        assert (other.objects(), other.left_in_staging()) == ([], [])
    staging.discard()
    loop.mount()
    assert place.left_in_staging() == []


def test_a_finding_on_a_volume_that_was_pulled_does_not_count(device):
    loop, place = device
    faults.flip(folder(place.root, ONE.part) / "v1/content/bagit.txt")
    (folder(place.root, ONE.part) / "v1/content/data/empty").unlink()
    pulled = []

    def pull(_count: int) -> None:
        if not pulled:
            pulled.append(loop.unmount("-l"))

    with pytest.raises(WrongVolume):
        place.open().check(ONE.part, pull)
    loop.mount()
    assert place.open().check(ONE.part).verdict is Verdict.DAMAGED


def test_a_device_that_died_is_an_outage_whatever_the_cache_still_knows(device):
    loop, place = device
    volume = place.open()
    assert volume.check(ONE.part).verdict is Verdict.INTACT
    for path in place.root.rglob("*"):
        if path.is_file():
            path.read_bytes()  # all of it is in the cache now
    loop.die()
    for part in (ONE.part, TWO.part):
        with pytest.raises(Unreachable):
            volume.check(part)
    with pytest.raises(Unreachable):
        volume.check_root(TWO.part)
    with pytest.raises(Unreachable):
        list(volume.read(ONE.part.object_id, "v1/content/bagit.txt"))


FILE_SYSTEMS_TRIED = 20


def test_a_bad_place_on_the_medium_is_an_unreadable_file(tmp_path):
    """Only the end of the device is gone, and with it one file: that is this copy's fault, and no outage."""
    for number in range(FILE_SYSTEMS_TRIED):
        with faults.loop_ext4(tmp_path / f"device-{number}", 32 * faults.MIB) as loop:
            place = Place(loop.point, {"mount": True}).initialised()
            volume, package = place.open(), Package()
            package.add({"small": b"x"})
            built = package.add({"large": os.urandom(12 * faults.MIB), "small": b"x"})
            store(volume, *package.versions)
            loop.drop_caches()
            image, large = loop.image.read_bytes(), built.content["v2/content/large"]
            start = max(image.find(large[at : at + 4096]) for at in range(0, len(large), faults.MIB))
            assert start > 0
            if start < max(image.rfind(built.inventory[-64:]), image.rfind(built.part.inventory_digest.encode())):
                # Here the file system has put the inventory behind it; it chooses by chance.
                continue
            loop.die(from_byte=start)
            report = volume.check(built.part)
            assert [(f.kind, f.path, f.error) for f in report.findings] == [
                (FindingKind.UNREADABLE, "v2/content/large", "EIO")
            ]
            assert 0 <= report.findings[0].offset < 12 * faults.MIB
            assert report.verdict is Verdict.UNREADABLE
            with pytest.raises(Unreachable):
                list(volume.read(built.part.object_id, "v2/content/large"))
            return
    pytest.fail(f"{FILE_SYSTEMS_TRIED} file systems all put something behind the large file")


OUTAGES = [
    "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET",
    "EMFILE", "ENFILE", "ENOMEM",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTAGES)
@pytest.mark.parametrize(("call", "good"), [("preadv", 3), ("scandir", 1), ("fstat", 3)])
def test_errors_of_servers_and_of_this_machine_are_outages(folder, monkeypatch, name, call, good):
    """They come from the system call itself, in the middle of a check, once the volume was recognised."""
    store(folder.open(), ONE, TWO)
    function, calls = getattr(os, call), []

    def failing(*args, **facts):
        calls.append(args)
        if len(calls) > good:
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
        return function(*args, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(Unreachable):
            folder.open().check(ONE.part)
    assert len(calls) > good


def test_without_file_descriptors_nothing_is_called_damaged(folder):
    import resource

    volume = folder.open()
    store(volume, ONE, TWO)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_PATH)
    os.close(free)
    try:
        for room in range(4):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
            try:
                assert volume.check(ONE.part).verdict is Verdict.INTACT
            except Unreachable:
                continue
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_volume_whose_storage_root_is_gone_tells_nothing_of_its_copies(folder):
    volume = folder.open()
    store(volume, ONE)
    (folder.root / "ocfl").rename(folder.root / "node" / "away")
    with pytest.raises(Unreachable) as caught:
        volume.check(ONE.part)
    assert caught.value.code == "storage-root-unreadable"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "khoso-volume/9"}', b"\xff", b"[" * 60_000, None])
def test_an_identity_that_cannot_be_read_is_no_volume(folder, content):
    path = folder.root / "vault-volume.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert_outage(folder.open(), WrongVolume)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/hostname", path)])
def test_an_identity_that_is_no_file_is_no_volume(folder, make):
    path = folder.root / "vault-volume.json"
    path.unlink()
    make(path)
    assert_outage(folder.open())


# --- Read-only


def test_a_read_only_volume_is_read_and_not_written(device):
    loop, place = device
    faults.run("mount", "-o", "remount,ro", str(loop.point))
    volume = place.open()
    assert volume.probe().condition is Condition.READ_ONLY
    assert volume.check(ONE.part).verdict is Verdict.INTACT
    assert volume.check_root(TWO.part).verdict is Verdict.INTACT
    assert volume.settle(TWO.part)
    for act in (lambda: volume.stage("t", 1), lambda: volume.write_note("x", b"")):
        with pytest.raises(Unreachable) as caught:
            act()
        assert caught.value.code == "read-only"


def test_a_volume_that_turns_read_only_while_it_is_written_is_an_outage(device):
    """As ext4 does after an error (errors=remount-ro)."""
    loop, place = device
    volume, third = place.open(), usual("third").versions[0]
    staging = staged(volume, third)
    faults.run("mount", "-o", "remount,ro", str(loop.point))
    for act in (
        lambda: volume.put(staging, third.part, head=True),
        lambda: volume.replace(staging, third.part, head=True, label="l", about={}),
        lambda: staging.create("v1/content/more"),
    ):
        with pytest.raises(Unreachable) as caught:
            act()
        assert caught.value.code == "read-only"
    staging.discard()
    faults.run("mount", "-o", "remount,rw", str(loop.point))
    assert volume.check(third.part).verdict is Verdict.MISSING


# --- Full


def free(place: Place) -> int:
    space = os.statvfs(place.root)
    return space.f_bavail * space.f_frsize


def fill_up(volume: DirectoryVolume, piece: int) -> int:
    """Write until it is full; how many bytes went in."""
    staging, written = volume.stage("filling", 1), 0
    sink = staging.create("v1/content/large")
    with contextlib.suppress(Full):
        while written < 2**30:
            sink.write(bytes(piece))
            written += piece
    staging.discard()
    return written


@pytest.fixture
def small(tmp_path) -> Iterator[Place]:
    with faults.tmpfs(tmp_path / "small", 4 * faults.MIB) as point:
        yield Place(point, {"mount": True}).initialised()


def test_a_full_volume_says_so_and_gets_its_room_back(small):
    store(small.open(), ONE)
    before = free(small)
    written = fill_up(small.open(), 100_000)
    assert before - 200_000 < written <= before
    assert free(small) == before
    assert small.left_in_staging() == []
    assert small.open().check(ONE.part).verdict is Verdict.INTACT


def test_a_full_ext4_does_so_too(tmp_path):
    with faults.loop_ext4(tmp_path / "device", 8 * faults.MIB) as loop:
        place = Place(loop.point, {"mount": True}).initialised()
        before = free(place)
        fill_up(place.open(), 100_000)
        os.sync()
        assert free(place) >= before - 4096
        store(place.open(), ONE)


def test_a_volume_without_room_for_one_folder_keeps_nothing(tmp_path):
    with faults.tmpfs(tmp_path / "small", faults.MIB, ",nr_inodes=20") as point:
        place = Place(point, {"mount": True}).initialised()
        before = os.statvfs(point).f_ffree
        for name in range(before - 1):
            (point / f"stranger-{name}").touch()
        with pytest.raises(Full):
            place.open().stage("t", 1)
        assert place.left_in_staging() == []
        (point / "stranger-0").unlink()
        (point / "stranger-1").unlink()
        staging = place.open().stage("t", 1)
        with pytest.raises(Full):
            staging.create("v1/content/a/b/c")
        staging.discard()
        assert os.statvfs(point).f_ffree == 3


def test_sealing_and_placing_without_room_leave_what_was_there(small):
    volume = small.open()
    store(volume, ONE)
    staging = volume.stage("t", 2)
    for path, data in TWO.content.items():
        sink = staging.create(path)
        sink.write(data)
        sink.close()
    (small.root / "stranger").write_bytes(bytes(free(small)))
    with pytest.raises(Full):
        staging.seal(TWO.part, TWO.inventory)
    staging.discard()
    assert free(small) > 0
    assert (volume.check(ONE.part).verdict, volume.check_root(ONE.part).verdict) == (Verdict.INTACT, Verdict.INTACT)


def test_the_reserve_is_left_alone(small):
    reserve = 2 * faults.MIB
    volume = small.open(reserve_bytes=reserve)
    staging = volume.stage("t", 1)
    sink = staging.create("v1/content/large")
    sink.write(bytes(free(small) - reserve + 4096))
    with pytest.raises(Full):
        volume.stage("u", 1)
    assert small.left_in_staging() == ["t"]
    staging.discard()
    volume.stage("u", 1).discard()


def test_the_reserve_is_looked_at_while_a_large_file_comes_in(tmp_path):
    """Not at each write, but often enough that a reserve of a gigabyte is one."""
    with faults.tmpfs(tmp_path / "small", 160 * faults.MIB) as point:
        place = Place(point, {"mount": True}).initialised()
        written = fill_up(place.open(reserve_bytes=100 * faults.MIB), faults.MIB)
        assert 50 * faults.MIB < written < 130 * faults.MIB


def test_a_full_disk_does_not_make_a_volume_half_initialised(tmp_path):
    with faults.tmpfs(tmp_path / "small", 4 * 4096) as point:
        place = Place(point, {"mount": True})
        (point / "lost+found").mkdir()
        (point / "lost+found" / "fill").write_bytes(bytes(free(place) - 4096))
        with pytest.raises(Full):
            place.open().initialise(place.identity())
        assert place.open().probe().condition is Condition.FOREIGN
        (point / "lost+found" / "fill").unlink()
        faults.run("mount", "-o", "remount,size=1m", str(point))
        place.initialised()
        store(place.open(), ONE)


def test_two_volumes_of_one_name_are_told_apart(folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other").initialised()
    volume = folder.open(uuid=None)
    volume.expect(other.uuid)
    assert_outage(volume, WrongVolume)
    volume.expect(folder.uuid)
    store(volume, ONE)
    with pytest.raises(Refused):
        other.open().initialise(folder.identity())


def test_a_part_on_a_volume_without_mount_point_is_refused_where_one_is_asked_for(folder):
    volume = folder.open(mount=True)
    assert_outage(volume, WrongVolume)
    assert folder.objects() == []
