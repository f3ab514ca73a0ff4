"""What stands on a volume and is not in the catalogue, and the reverse: found by a scan, verified, adopted."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.support.nodes import VIETNAMESE, Bench, bag, eventually, tar_of
from tests.unit.formats.ocfl.support import FIXTURES, NO_FIXTURES, build_object, reseal
from vault.catalog import packages
from vault.errors import Conflict, Invalid, NotFound
from vault.formats.ocfl import object_id, object_path
from vault.model import Condition, CopyState, EventType, Outcome
from vault.shelf.strangers import ScanState, StrangerKind


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def scanned(bench, volume="a", *, check=False):
    scan = bench.running.shelf.scan(volume, check=check, agent="user:test")
    eventually(lambda: scan.state is not ScanState.RUNNING)
    assert scan.state is ScanState.DONE, scan.problem
    return scan


def found(scan, kind):
    return sorted(each.path for each in scan.strangers if each.kind is kind)


def adopted(bench, path, volume="a", **more):
    order = bench.running.shelf.adopt(volume, path, agent="user:test", **more)
    assert order.done.wait(30)
    if order.error is not None:
        raise order.error
    return order.adopted


def lay(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def sha512(files):
    return {name: hashlib.sha512(data).hexdigest() for name, data in files.items()}


def foreign(versions, name="info:fedora/hồ-sơ-9"):
    """An object as another program would have made it."""
    files = build_object(versions)
    ours = json.loads(files["inventory.json"])["id"]
    return reseal(files, json.dumps(ours), json.dumps(name))


def test_volume_and_catalogue_agree_when_nothing_strange_happened(bench):
    bench.deposit("hồ sơ", tar_of(bag(VIETNAMESE)), bag(VIETNAMESE))
    bench.deposit("hồ sơ", tar_of(bag({"x": b"two"})), bag({"x": b"two"}), if_match=1)
    bench.settle()
    scan = scanned(bench)
    assert (scan.objects, scan.copies, scan.strangers) == (1, 2, [])
    told = bench.events(EventType.VOLUME_SCANNED)[-1]
    assert (told.outcome, told.volume, told.detail["found"]) == (Outcome.SUCCESS, "a", {})


def test_everything_that_is_on_one_side_only_is_found(bench):
    for name in ("gone", "kept"):
        bench.deposit(name, name.encode(), filename="x")
    bench.settle()
    shutil.rmtree(bench.object_path("a", "gone"))
    root = bench.path("a")
    lay(root / "ocfl" / "foreign" / "one", foreign([{"a.txt": b"one"}]))
    lay(root / "old archive" / "two", foreign([{"a.txt": b"one"}], "info:two"))
    lay(root / "ocfl" / object_path(object_id("lost")), build_object([{"a": b"1"}, {"a": b"2"}], identifier="lost"))
    lay(root, {"README.txt": b"by hand", "ocfl/foreign/stray.txt": b"?"})
    broken = root / "ocfl" / object_path(object_id("broken"))
    lay(broken, build_object([{"a": b"1"}], identifier="broken"))
    (broken / "inventory.json").write_bytes(b"{")
    (root / "staging" / "of.nobody").mkdir()
    scan = scanned(bench)
    assert found(scan, StrangerKind.FOREIGN) == ["ocfl/foreign/one", "old archive/two"]
    (unknown,) = [each for each in scan.strangers if each.kind is StrangerKind.UNKNOWN]
    assert (unknown.identifier, unknown.versions) == ("lost", (1, 2))
    assert found(scan, StrangerKind.BROKEN) == [f"ocfl/{object_path(object_id('broken'))}"]
    assert found(scan, StrangerKind.STRAY) == ["README.txt", "ocfl/foreign/stray.txt"]
    assert found(scan, StrangerKind.LEFTOVER) == ["staging/of.nobody"]
    (missing,) = [each for each in scan.strangers if each.kind is StrangerKind.MISSING]
    assert missing.identifier == "gone"
    # What is missing is not only told of: it is verified, and made anew.
    assert scan.ordered == 1
    eventually(lambda: bench.events(EventType.FIXITY_CHECK, identifier="gone", outcome=Outcome.FAILURE))
    eventually(lambda: bench.copies("gone")["a", 1].state is CopyState.GOOD and not bench.below_policy())
    # And the scan is known after a restart.
    bench.restart()
    again = bench.running.shelf.last_scan("a")
    assert (again.counts, again.strangers) == (scan.counts, scan.strangers)


def test_a_foreign_object_is_verified_where_it_lies(bench):
    bench.wait_for("a", Condition.ONLINE)
    place = bench.path("a") / "shelf"
    lay(place / "good", foreign([{"a.txt": b"one"}]))
    lay(place / "bad", foreign([{"a.txt": b"one"}], "info:bad"))
    next((place / "bad" / "v1" / "content").iterdir()).write_bytes(b"0ne")
    sound = {each.path: each.sound for each in scanned(bench).strangers}
    assert sound == {"shelf/good": None, "shelf/bad": None}, "their names alone prove nothing"
    checked = {each.path: each for each in scanned(bench, check=True).strangers}
    assert checked["shelf/good"].sound is True
    assert checked["shelf/bad"].sound is False
    assert "E092" in checked["shelf/bad"].faults[0]
    with pytest.raises(Invalid) as refused:
        adopted(bench, "shelf/bad")
    assert refused.value.code == "object-not-sound"
    assert not bench.copies("info:bad")


@pytest.mark.skipif(not FIXTURES.exists(), reason=NO_FIXTURES)
def test_the_fixtures_of_the_ocfl_project_are_judged_on_the_shelf(bench):
    for folder in ("good-objects", "warn-objects", "bad-objects"):
        shutil.copytree(FIXTURES / folder, bench.path("a") / folder, symlinks=True)
    judged = {each.path: each.sound for each in scanned(bench, check=True).strangers if each.object_id or each.faults}
    for folder, sound in (("good-objects", True), ("warn-objects", True), ("bad-objects", False)):
        names = {f"{folder}/{path.name}" for path in (FIXTURES / folder).iterdir() if path.is_dir()}
        verdicts = {path: verdict for path, verdict in judged.items() if path.startswith(folder)}
        seen = {path for path in names if any(one == path or one.startswith(f"{path}/") for one in verdicts)}
        # What has neither declaration nor inventory is no object to anybody: it is told of as a stray, if at all.
        assert len(names - seen) <= (1 if folder == "bad-objects" else 0), names - seen
        assert set(verdicts.values()) == {sound}, verdicts


def test_a_foreign_object_becomes_a_package_with_all_its_versions(bench):
    versions = [{"Đơn.txt": b"one", "sub/b": b"b"}, {"Đơn.txt": b"two", "sub/b": b"b"}]
    place = bench.path("a") / "old archive" / "nine"
    lay(place, foreign(versions))
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    became = adopted(bench, "old archive/nine")
    assert (became.identifier, dict(became.versions), became.in_place) == ("info:fedora/hồ-sơ-9", {1: 1, 2: 2}, False)
    bench.settle()
    for number, state in enumerate(versions, 1):
        held = bench.copies(became.identifier, number)
        assert {copy.volume: copy.state for copy in held.values()} == dict.fromkeys("ab", CopyState.GOOD)
        expected = {f"data/{name}": data for name, data in state.items()}
        got = bench.read_back("b", became.identifier, number)
        assert {n: d for n, d in got.items() if n.startswith("data/")} == sha512(expected)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    (told,) = bench.events(EventType.OBJECT_ADOPTED)
    assert (told.identifier, told.volume, told.detail["path"]) == (became.identifier, "a", "old archive/nine")
    with bench.running.catalogue.read() as tx:
        version = packages.head(tx, became.identifier)
        origin = packages.metadata(tx, version.id)["adopted"]
    assert (origin["object"], origin["version"], origin["user"]) == (became.identifier, 2, "Nguyễn Văn A")
    (known,) = [each for each in scanned(bench).strangers if each.kind is StrangerKind.FOREIGN]
    assert known.identifier == became.identifier, "it is known what became of it"
    again = adopted(bench, "old archive/nine")
    assert again == became, "twice is once"
    assert set(bench.copies(became.identifier)) == {(v, n) for v in "ab" for n in (1, 2)}
    bench.assert_sound()


def test_an_object_of_ours_that_the_catalogue_lost_is_entered_as_it_stands(bench):
    bench.deposit("hồ sơ", b"one", filename="x", ingest_id="11111111-1111-4111-8111-111111111111")
    bench.settle()
    bench.stop()
    shutil.copytree(bench.folder / "state", bench.folder / "older")
    bench.start()
    bench.deposit("hồ sơ", b"two", filename="x", if_match=1)
    bench.deposit("khác", b"three", filename="y")
    bench.settle()
    bench.stop()
    shutil.rmtree(bench.folder / "state")
    (bench.folder / "older").rename(bench.folder / "state")
    bench.start()
    bench.wait_for("a", Condition.ONLINE)
    assert not bench.copies("khác")
    scan = scanned(bench)
    unknown = {each.identifier: each.versions for each in scan.strangers if each.kind is StrangerKind.UNKNOWN}
    assert unknown == {"hồ sơ": (2,), "khác": (1,)}
    inodes = {p: p.stat().st_ino for p in bench.object_path("a", "khác").rglob("*")}
    for each in scan.strangers:
        assert adopted(bench, each.path).in_place
    bench.settle()
    assert {p: p.stat().st_ino for p in bench.object_path("a", "khác").rglob("*")} == inodes, "nothing was copied"
    assert scanned(bench).strangers == []
    bench.assert_sound()


def test_what_would_overwrite_or_lead_astray_is_refused(bench):
    bench.deposit("info:fedora/hồ-sơ-9", b"mine", filename="x")
    lay(bench.path("a") / "shelf" / "nine", foreign([{"a.txt": b"one"}]))
    (bench.path("a") / "link").symlink_to(bench.path("b"))
    with pytest.raises(Conflict) as refused:
        adopted(bench, "shelf/nine")
    assert refused.value.code == "different-content"
    assert adopted(bench, "shelf/nine", identifier="another name").identifier == "another name"
    for path in ("../b/ocfl", "staging/x", "node", "/", "evidence/../shelf/nine"):
        with pytest.raises(Invalid) as refused:
            adopted(bench, path)
        assert refused.value.code == "bad-path"
    for path in ("shelf", "nowhere", "link/ocfl"):
        with pytest.raises(NotFound) as nothing:
            adopted(bench, path)
        assert nothing.value.code == "no-such-object"
    bench.settle()
    bench.assert_kept()
