"""Every damage of every kind at every place is found and named, is repaired, and its bytes are kept as evidence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.volumes.conftest import Place
from tests.support import faults, ocflpy
from tests.support.faults import Damage
from tests.support.parts import Package, folder, staged, store, usual
from vault.errors import VaultError
from vault.volumes.base import CheckReport, FindingKind, Part, Verdict

PACKAGE = usual()
NUMBERS = range(1, len(PACKAGE.versions) + 1)


def damages(number: int) -> dict[str, Damage]:
    built = PACKAGE.versions[number - 1]
    found = faults.damages(built.part, built.content, newest=built is PACKAGE.versions[-1])
    return {damage.name: damage for damage in found}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Iterator[Place]:
    """A volume with the package on it, whole, to be copied."""
    root = faults.in_memory(tmp_path_factory.mktemp("pristine")) / "volume"
    root.mkdir()
    place = Place(root).initialised()
    store(place.open(), *PACKAGE.versions)
    yield place
    shutil.rmtree(root.parent)


@pytest.fixture
def whole(pristine) -> Iterator[Place]:
    """A copy of it that a test may damage."""
    root = pristine.root.with_name("damaged")
    shutil.copytree(pristine.root, root, symlinks=True)
    yield Place(root, uuid=pristine.uuid)
    faults.remove_all(root)


def check(place: Place, part: Part, *, head: bool) -> CheckReport:
    """What a verification reads: the part, and for the newest version the object's root."""
    volume = place.open()
    report = volume.check(part)
    return report.joined(volume.check_root(part)) if head and not report.absent else report


def pairs(report: CheckReport) -> list[tuple[FindingKind, str]]:
    return sorted((finding.kind, finding.path) for finding in report.findings)


@pytest.mark.parametrize(("number", "name"), [(n, name) for n in NUMBERS for name in damages(n)])
def test_a_damage_is_found_repaired_and_kept(whole, number, name):
    damage, built = damages(number)[name], PACKAGE.versions[number - 1]
    place, part, head = folder(whole.root, built.part), built.part, number == len(NUMBERS)
    damage.inflict(place)
    before = snapshot(place)
    with faults.modes_count():
        in_part = whole.open().check(part)
        in_root = whole.open().check_root(part) if head and not in_part.absent else CheckReport((), 0, 0)
    where, elsewhere = (in_root, in_part) if damage.in_root else (in_part, in_root)
    assert (where.verdict, pairs(where)) == (damage.verdict, sorted(damage.found))
    assert damage.in_root is False or elsewhere.verdict is Verdict.INTACT
    assert all(finding.path.isprintable() for finding in where.findings)

    volume = whole.open()
    kept = volume.replace(staged(volume, built), part, head=head, label="kept", about={"damage": name})
    if head:
        restore_others(whole, number)
        assert check(whole, part, head=True).verdict is Verdict.INTACT
        assert ocflpy.complaints(place) == ""
    else:
        assert check(whole, part, head=False).verdict is Verdict.INTACT
    if damage.found:
        assert kept is not None
        assert disturbed(before, place) <= snapshot(whole.root / kept.path / "object").keys() | {"."}
        assert [(e.path, e.about) for e in volume.evidence()] == [(kept.path, {"damage": name})]
    assert whole.left_in_staging() == []


def restore_others(place: Place, number: int) -> None:
    """With the object itself the versions before this one may be gone: they are copies of their own."""
    volume = place.open()
    for built in PACKAGE.versions[: number - 1]:
        if volume.check(built.part).verdict is not Verdict.INTACT:
            volume.put(staged(volume, built), built.part, head=False)


def snapshot(place: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, by its inode: what is kept is moved, never copied."""
    found = {}
    for path in [place, *place.rglob("*")] if not place.is_symlink() else [place]:
        if os.path.lexists(path):
            info = path.lstat()
            found[path.relative_to(place).as_posix()] = (info.st_mode, info.st_ino)
    return found


def disturbed(before: dict[str, tuple[int, int]], place: Path) -> set[str]:
    """What stood in the object before the repair and no longer does, or is another file now."""
    after = snapshot(place)
    inodes = set(after.values())
    return {path for path, facts in before.items() if facts not in inodes}


def test_an_intact_object_gives_no_alarm(whole):
    for number, built in enumerate(PACKAGE.versions, 1):
        report = check(whole, built.part, head=number == len(NUMBERS))
        assert (report.verdict, report.findings) == (Verdict.INTACT, ())


def test_damage_in_many_places_is_told_in_one_check(whole):
    built = PACKAGE.versions[0]
    place = folder(whole.root, built.part)
    wanted = set()
    for index, path in enumerate(sorted(path for path, data in built.content.items() if data)):
        if index % 2:
            faults.flip(place / path)
            wanted.add((FindingKind.MISMATCH, path))
        else:
            (place / path).unlink()
            wanted.add((FindingKind.MISSING, path))
    (place / "v1/content/data/stranger").touch()
    wanted.add((FindingKind.EXTRA, "v1/content/data/stranger"))
    assert set(pairs(whole.open().check(built.part))) == wanted


def test_inventory_and_sidecar_that_agree_with_each_other_only_are_found(whole):
    """Somebody who rewrites both fools every reader but the one who remembers the digest."""
    built = PACKAGE.versions[-1]
    place = folder(whole.root, built.part)
    forged = built.inventory.replace("Nguyễn Văn A".encode(), "Nguyễn Văn B".encode())
    for path in ("", f"v{built.part.number}/"):
        faults.rewrite(place / f"{path}inventory.json", forged)
        faults.rewrite(place / f"{path}inventory.json.sha512", f"{PACKAGE.digest(forged)}  inventory.json\n".encode())
    assert ocflpy.complaints(place) == ""
    volume = whole.open()
    for report in (volume.check(built.part), volume.check_root(built.part)):
        assert {finding.kind for finding in report.findings} == {FindingKind.MISMATCH}
        assert report.verdict is Verdict.DAMAGED


def test_a_newest_inventory_of_before_is_found(whole):
    """The object rolled back: an older inventory, whole in itself, in the place of the newest."""
    one, two = PACKAGE.versions
    place = folder(whole.root, one.part)
    for name in ("inventory.json", "inventory.json.sha512"):
        faults.rewrite(place / name, (place / "v1" / name).read_bytes())
    assert check(whole, two.part, head=True).verdict is Verdict.DAMAGED


def test_very_many_strangers_are_not_all_listed(folder):
    built = Package().add({"x": b"1"})
    store(folder.open(), built)
    place = next((folder.root / "ocfl").rglob("v1"))
    for number in range(1100):
        (place / f"stranger-{number}").touch()
    report = folder.open().check(built.part)
    assert report.verdict is Verdict.DAMAGED
    assert len(report.findings) == 1000


def test_a_reading_that_is_wrong_once_is_doubtful(whole, monkeypatch):
    """A bit that flips between the medium and us: the second reading is right, so the bytes there are."""
    built, read, lied = PACKAGE.versions[0], os.preadv, set()

    def lying(fd, buffers, offset, flags=0):
        count = read(fd, buffers, offset, flags)
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith((".pdf", "inventory.json")) and path not in lied:
            buffers[0][count // 2] ^= 1
            lied.add(path)
        return count

    monkeypatch.setattr(os, "preadv", lying)
    report = whole.open().check(built.part)
    assert pairs(report) == [
        (FindingKind.INTERMITTENT, "v1/content/data/công văn.pdf"),
        (FindingKind.INTERMITTENT, "v1/inventory.json"),
    ]
    assert report.verdict is Verdict.DOUBTFUL


# --- Links planted inside a volume


PLANTED = {
    "the storage root": "ocfl",
    "a folder on the way": "ocfl/*",
    "the object": "ocfl/*/*/*/*",
    "the version": "ocfl/*/*/*/*/v1",
    "the content": "ocfl/*/*/*/*/v1/content",
    "a content file": "ocfl/*/*/*/*/v1/content/bagit.txt",
    "staging": "staging",
    "evidence": "evidence",
    "notes": "node",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_link_in_a_volume_is_never_followed(whole, what, tmp_path):
    """All methods, reading and writing: behind the link nothing is read, made, changed or removed."""
    place = next(iter(sorted(p for p in whole.root.glob(PLANTED[what]) if p.name not in ("extensions", "0=ocfl_1.1"))))
    outside = tmp_path / "outside"
    place.rename(outside) if place.stat().st_dev == tmp_path.stat().st_dev else shutil.move(place, outside)
    place.symlink_to(outside)
    before = all_of(outside)
    one, two = PACKAGE.versions
    volume = whole.open()
    behind = what not in ("staging", "evidence", "notes")
    reports = []
    attempts = {
        "check": lambda: reports.append(volume.check(one.part)),
        "check_root": lambda: reports.append(volume.check_root(two.part)),
        "read": lambda: list(volume.read(one.part.object_id, "v1/content/bagit.txt")),
        "open": lambda: os.close(volume.open(one.part.object_id, "v1/content/bagit.txt")),
        "settle": lambda: volume.settle(one.part),
        "stage": lambda: staged(volume, one, "t"),
        "staged": volume.staged,
        "put": lambda: volume.put(volume.reopen("t", 1), one.part, head=False),
        "replace": lambda: volume.replace(staged(volume, one, "u"), one.part, head=False, label="l", about={}),
        "evidence": volume.evidence,
        "release": lambda: volume.release_evidence("evidence/l"),
        "note": lambda: volume.write_note("n", b"x"),
        "discard": lambda: volume.reopen("t", 1).discard(),
    }
    refused = {name for name, attempt in attempts.items() if not done(attempt)}
    assert all_of(outside) == before
    assert not behind or {"read", "open"} <= refused
    assert {"staging": "stage", "evidence": "evidence", "notes": "note"}.get(what, "read") in refused
    if behind and what != "the storage root":
        assert reports[0].verdict is Verdict.DAMAGED


def done(attempt) -> bool:
    try:
        attempt()
    except VaultError:
        return False
    return True


def all_of(place: Path) -> dict[str, tuple[int, bytes]]:
    paths = [place, *place.rglob("*")]
    return {str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in paths}
