"""A kill, or a power cut, before any step of an act: what is stored is whole, or is not there."""

from __future__ import annotations

import filecmp
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.volumes.conftest import Place, no_exchange
from tests.support import faults, ocflpy
from tests.support.parts import Built, folder, staged, store, usual
from vault.volumes.base import Verdict
from vault.volumes.tree import Tree


@pytest.fixture(params=["swap", "no-swap"])
def scratch(request, tmp_path) -> Iterator[Place]:
    """A volume where nothing waits for a disk, with and without RENAME_EXCHANGE."""
    root = faults.in_memory(tmp_path) / "volume"
    root.mkdir()
    if request.param == "no-swap":
        request.getfixturevalue("monkeypatch").setattr(Tree, "exchange", no_exchange)
    yield Place(root, {"sync": "files"}).initialised()
    shutil.rmtree(root.parent)


def clear_staging(place: Place) -> None:
    """What a node does when a volume comes on-line."""
    volume = place.open()
    for token in volume.staged():
        volume.reopen(token, 1).discard()
    assert place.left_in_staging() == []


def assert_whole(place: Place, versions: list[Built]) -> None:
    """The object is exactly these versions, for us and for others."""
    if not versions:
        assert [p for p in place.objects() if "/" in p.removeprefix("ocfl/") and p.count("/") > 3] == []
        return
    volume = place.open()
    for built in versions:
        assert volume.check(built.part).findings == ()
        assert volume.check(built.part).verdict is Verdict.INTACT
    assert volume.check_root(versions[-1].part).findings == ()
    assert ocflpy.complaints(folder(place.root, versions[0].part)) == ""


class Starting:
    """A volume that is brought back to the same beginning before each try."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.saved = place.root.with_name("saved")
        shutil.copytree(place.root, self.saved, symlinks=True)

    def again(self) -> None:
        shutil.rmtree(self.place.root)
        shutil.copytree(self.saved, self.place.root, symlinks=True)


def test_initialising_can_be_done_again_after_a_kill(tmp_path):
    place = Place(faults.in_memory(tmp_path))

    def prepare() -> Callable[[], object]:
        shutil.rmtree(place.root)
        place.root.mkdir()
        return lambda: place.open().initialise(place.identity())

    def look(_step: int) -> None:
        if not (place.root / "vault-volume.json").exists():
            place.open().initialise(place.identity())
        store(place.open(), usual().versions[0])
        assert_whole(place, usual().versions[:1])

    assert faults.killed_at_every_step(prepare, look) > 10
    shutil.rmtree(place.root)


@pytest.mark.parametrize("number", [1, 2])
def test_a_put_that_was_killed_is_finished_or_undone(scratch, number):
    """At every step: after settling, the object is the one before or the one after, valid, and nothing besides."""
    package = usual()
    built, before = package.versions[number - 1], package.versions[: number - 1]
    store(scratch.open(), *before)
    start = Starting(scratch)
    in_place: list[bool] = []

    def prepare() -> Callable[[], object]:
        start.again()
        if number == 1:
            return lambda: scratch.open().put(staged(scratch.open(), built), built.part, head=True)
        sealed = staged(scratch.open(), built)
        return lambda: scratch.open().put(sealed, built.part, head=True)

    def look(_step: int) -> None:
        settled = scratch.open().settle(built.part)
        in_place.append(settled)
        clear_staging(scratch)
        assert_whole(scratch, [*before, built] if settled else before)
        assert scratch.open().settle(built.part) is settled
        if not settled:
            store(scratch.open(), built)
            assert_whole(scratch, [*before, built])

    assert faults.killed_at_every_step(prepare, look) > 5
    assert in_place == sorted(in_place)
    assert {True, False} == set(in_place)


def test_a_put_after_a_kill_needs_no_settling(scratch):
    package = usual()
    one, two = package.versions
    store(scratch.open(), one)
    start = Starting(scratch)

    def prepare() -> Callable[[], object]:
        start.again()
        sealed = staged(scratch.open(), two)
        return lambda: scratch.open().put(sealed, two.part, head=True)

    def look(_step: int) -> None:
        clear_staging(scratch)
        store(scratch.open(), two)
        assert_whole(scratch, package.versions)

    assert faults.killed_at_every_step(prepare, look) > 5


def test_a_settling_that_is_killed_is_settled(scratch):
    package = usual()
    one, two = package.versions
    store(scratch.open(), one, two)
    place = folder(scratch.root, one.part)
    for path in ("inventory.json", "inventory.json.sha512"):
        faults.rewrite(place / path, (place / "v1" / path).read_bytes())
    start = Starting(scratch)

    def prepare() -> Callable[[], object]:
        start.again()
        return lambda: scratch.open().settle(two.part)

    def look(_step: int) -> None:
        assert not scratch.open().settle(two.part)
        clear_staging(scratch)
        assert_whole(scratch, [one])

    assert faults.killed_at_every_step(prepare, look) > 5


def bytes_kept(place: Place) -> set[bytes]:
    """Every file's content under the object and the evidence: what is in staging will be thrown away."""
    below = [*(place.root / "ocfl").rglob("*"), *(place.root / "evidence").rglob("*")]
    return {path.read_bytes() for path in below if path.is_file() and not path.is_symlink()}


def damage_both(object_folder: Path) -> None:
    faults.flip(object_folder / "v2/content/data/công văn.pdf")
    faults.rewrite(object_folder / "inventory.json", b"{}")
    (object_folder / "about.json").write_bytes(b"stranger")


def version_lost(object_folder: Path) -> None:
    shutil.rmtree(object_folder / "v2")


def object_lost(object_folder: Path) -> None:
    shutil.rmtree(object_folder)


@pytest.mark.parametrize("hurt", [damage_both, version_lost, object_lost])
def test_a_repair_that_was_killed_loses_no_damaged_byte_and_ends_well(scratch, hurt):
    package = usual()
    one, two = package.versions
    store(scratch.open(), one, two)
    hurt(folder(scratch.root, one.part))
    damaged = bytes_kept(scratch)
    start = Starting(scratch)

    def repair(label: str) -> Callable[[], object]:
        volume = scratch.open()
        sealed = staged(volume, two)
        return lambda: volume.replace(sealed, two.part, head=True, label=label, about={"label": label})

    def prepare() -> Callable[[], object]:
        start.again()
        return repair("first")

    def look(_step: int) -> None:
        assert damaged <= bytes_kept(scratch)
        clear_staging(scratch)
        repair("second")()
        assert damaged <= bytes_kept(scratch)
        if hurt is object_lost:
            volume = scratch.open()
            volume.put(staged(volume, one), one.part, head=False)
        assert_whole(scratch, [one, two])
        for kept in scratch.open().evidence():
            assert kept.about == {"label": Path(kept.path).name}
            scratch.open().release_evidence(kept.path)
        assert scratch.open().evidence() == []

    assert faults.killed_at_every_step(prepare, look) > (5 if hurt is object_lost else 15)


def test_a_power_cut_loses_nothing_that_was_put(tmp_path):
    """What is on the device at any instant, mounted after a power cut: before the put is done, the object is whole or
    can be undone; once it is done, it is there.
    """
    one, two = usual().versions
    shots: list[tuple[faults.Loop, list[Built]]] = []
    done: list[Built] = []
    numbers = itertools.count()
    with faults.loop_ext4(tmp_path / "device", 8 * faults.MIB) as loop:

        def shoot() -> None:
            shot = loop.snapshot(tmp_path / f"{next(numbers)}.image")
            if shots and filecmp.cmp(shot.image, shots[-1][0].image, shallow=False):
                shots.pop()
            shots.append((shot, list(done)))

        place = Place(loop.point, {"mount": True}).initialised()
        with faults.watched_steps(shoot):
            for built, sync in ((one, "filesystem"), (two, "files")):
                volume = place.open(sync=sync)
                volume.put(staged(volume, built), built.part, head=True)
                done.append(built)
        shoot()
    for shot, acknowledged in shots:
        shot.mount()
        try:
            there = Place(shot.point, {"mount": True}, place.uuid)
            settled = [built for built in (one, two) if there.open().settle(built.part)]
            assert settled[: len(acknowledged)] == acknowledged
            assert_whole(there, settled)
            clear_staging(there)
        finally:
            shot.unmount()
    assert len(shots) > 10
