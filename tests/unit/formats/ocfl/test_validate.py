"""The object validator, against the fixtures of the OCFL project, against ocfl-py, and against hostile objects."""

from __future__ import annotations

import io
import os
import re
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.formats.ocfl.support import (
    FIXTURES,
    NO_FIXTURES,
    MemoryTree,
    build_object,
    oracle,
    reseal,
    write,
)
from vault.errors import Interrupted, Invalid, NotFound, Unreachable
from vault.formats.ocfl import ContentPaths, FolderTree, Kind, validate_object
from vault.formats.ocfl.content_check import MAX_DEPTH

TWO_VERSIONS = build_object([{"a.txt": b"one", "d/b.txt": b"two"}, {"a.txt": b"other", "d/b.txt": b"two"}])
KINDS = ("good-objects", "warn-objects", "bad-objects")
OTHERS = [path for kind in KINDS for path in sorted(FIXTURES.glob(f"{kind}/*"))]


def check(files, **more):
    return validate_object(MemoryTree(files, **more))


def codes(faults):
    return {fault.code for fault in faults}


def stated(name, letter):
    return set(re.findall(rf"(?:^|_)({letter}\d{{3}})(?=_)", name))


@pytest.mark.skipif(not OTHERS, reason=NO_FIXTURES)
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_fixtures_of_the_ocfl_project(path):
    """Each gets the verdict of its folder, the codes of its name, and the verdict of ocfl-py."""
    with FolderTree(path.parent) as tree:
        report = validate_object(tree, path.name)
    assert report.sound == (path.parent.name != "bad-objects"), report.errors
    assert stated(path.name, "E") <= codes(report.errors)
    assert stated(path.name, "W") <= codes(report.warnings)
    if path.parent.name == "good-objects":
        assert not report.warnings
    assert report.sound == oracle(path)[0]


@pytest.mark.skipif(not OTHERS, reason=NO_FIXTURES)
@pytest.mark.parametrize("path", [p for p in OTHERS if p.parent.name == "good-objects"], ids=lambda path: path.name)
def test_sound_objects_of_ocfl_1_0(path, tmp_path):
    files = {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    files = {name: data for name, data in files.items() if not name.startswith("0=")}
    files = reseal(files, "ocfl.io/1.1/", "ocfl.io/1.0/")
    files["0=ocfl_object_1.0"] = b"ocfl_object_1.0\n"
    report = check(files)
    assert not report.errors
    assert report.spec == "1.0"
    write(files, tmp_path)
    assert oracle(tmp_path)[0]


def test_a_sound_object_is_described():
    seen = []
    report = validate_object(MemoryTree(TWO_VERSIONS), on_progress=lambda path, size: seen.append((path, size)))
    assert report.sound
    assert not report.warnings
    assert (report.id, report.spec, report.head) == ("urn:khoso:H49/2025", "1.1", "v2")
    assert (report.files, report.bytes_read) == (3, 11)
    assert sorted(seen) == [("v1/content/a.txt", 3), ("v1/content/d/b.txt", 3), ("v2/content/a.txt", 5)]
    assert report.inventory is not None
    assert report.inventory.files_of_version(2)["d/b.txt"][1] == "v1/content/d/b.txt"


def test_damage_and_absence_are_told_apart():
    files = {**TWO_VERSIONS, "v1/content/a.txt": b"0ne"}
    del files["v2/content/a.txt"]
    report = check(files)
    assert report.damaged == ("v1/content/a.txt",)
    assert report.missing == ("v2/content/a.txt",)
    assert {fault.path for fault in report.errors if fault.code == "E092"} == {*report.damaged, *report.missing}


def test_without_digests_only_names_are_compared():
    files = {**TWO_VERSIONS, "v1/content/a.txt": b"0ne"}
    report = validate_object(MemoryTree(files), check_digests=False)
    assert report.sound
    assert report.bytes_read == 0


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("inventory.json.sha256", b"", "E059"),
        ("1=ocfl_object_1.1", b"", "E005"),
        ("0=ocfl_object_1.2", b"", "E006"),
        ("0=ocfl_object_1.0", b"ocfl_object_1.0\n", "E003"),
        ("v3", b"", "E001"),
        ("v3/x", b"", "E046"),
        ("v1/x", b"", "E015"),
        ("v1/content/x", b"", "E023"),
        ("extensions/x", b"", "E067"),
        ("0=ocfl_object_1.1", b"ocfl_object_1.1", "E007"),
        ("inventory.json.sha512", b"0" * 128 + b"  inventory.json\n", "E060"),
        ("inventory.json", b"{", "E033"),
        ("v1/inventory.json", b"{", "E033"),
    ],
)
def test_one_file_too_many_or_changed(path, data, code):
    report = check({**TWO_VERSIONS, path: data})
    assert code in codes(report.errors)


def test_folders_and_links():
    assert codes(check(TWO_VERSIONS, folders=["v1/content/e/e"]).errors) == {"E024"}
    assert codes(check(TWO_VERSIONS, folders=["v2/other", "logs"]).warnings) == {"W002"}
    for place in ("x", "v1/x", "v1/content/x", "extensions/x"):
        report = check(TWO_VERSIONS, links=[place])
        assert [(fault.code, fault.path) for fault in report.errors] == [("E090", place)]
    empty = build_object([{}])
    assert codes(check(empty, folders=["v1/content"]).warnings) == {"W003"}


def test_the_inventory_must_be_of_the_declared_specification():
    assert "E038" in codes(check(reseal(TWO_VERSIONS, "io/1.1/", "io/1.0/")).errors)


def test_an_inventory_above_the_limit_is_not_read():
    tree = MemoryTree(TWO_VERSIONS)
    report = validate_object(tree, max_inventory_bytes=100)
    assert codes(report.errors) == {"too-large"}
    assert report.inventory is None


def test_too_many_folders_below_one_another():
    deep = "v1/content/" + "d/" * (MAX_DEPTH + 3) + "x"
    assert "too-deep" in codes(check({**TWO_VERSIONS, deep: b""}).errors)


def test_what_is_not_there_is_no_object(tmp_path):
    with FolderTree(tmp_path) as tree:
        assert codes(validate_object(tree, "none").errors) == {"E003"}
        assert codes(validate_object(tree, "../etc").errors) == {"E003"}


def test_a_silent_medium_is_no_verdict():
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    class BrokenTree(MemoryTree):
        def open(self, path):
            return Broken() if path.startswith("v1/content") else super().open(path)

    with pytest.raises(Unreachable):
        validate_object(BrokenTree(TWO_VERSIONS))


def test_it_can_be_stopped():
    def stop(path, size):
        raise Interrupted("enough")

    with pytest.raises(Interrupted):
        validate_object(MemoryTree(TWO_VERSIONS), on_progress=stop)


def test_folders_of_a_disk_are_read_without_following_links(tmp_path):
    outside = tmp_path / "outside"
    write(TWO_VERSIONS, outside)
    top = tmp_path / "top"
    write(TWO_VERSIONS, top / "sound")
    (top / "linked").symlink_to(outside)
    write(TWO_VERSIONS, top / "inside")
    (top / "inside/v1/content/a.txt").unlink()
    (top / "inside/v1/content/a.txt").symlink_to(outside / "v1/content/a.txt")
    os.mkfifo(top / "inside/v1/content/pipe")
    (top / "inside" / os.fsdecode(b"bad\xff")).write_bytes(b"")
    with FolderTree(top) as tree:
        assert validate_object(tree, "sound").sound
        assert not validate_object(tree, "linked").sound
        report = validate_object(tree, "inside")
        assert {(fault.code, fault.path) for fault in report.errors} == {
            ("E090", "v1/content/a.txt"),
            ("E090", "v1/content/pipe"),
            ("E092", "v1/content/a.txt"),
            ("E001", "bad\\udcff"),
        }
        for path in ("inside/v1/content/a.txt", "inside/v1/content/pipe", "linked/v1/content/a.txt", "../outside"):
            with pytest.raises(NotFound):
                tree.open(path)
        with pytest.raises(NotFound):
            tree.list_dir("linked")


def test_sockets_are_no_files(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, FolderTree(tmp_path) as tree:
        server.bind(str(tmp_path / "s"))
        assert [entry.kind for entry in tree.list_dir("")] == [Kind.OTHER]
        with pytest.raises(NotFound):
            tree.open("s")


# Names alike by Unicode form or by case, empty files, and few contents, so that versions share them
NAMES = ["é", "e\u0301", "É", "a", "A", "d/a", "D/a", "d/B", "d/b", "CON", "x?", "x%3F", "n" * 300, "e/f/g."]
states = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([b"", b"1", b"2", b"3"]), max_size=8)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(states, min_size=1, max_size=5))
def test_what_we_build_is_sound_to_us_and_to_ocfl_py(versions):
    files = build_object(versions)
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        with FolderTree(folder) as tree:
            report = validate_object(tree)
        assert (report.errors, report.warnings) == ((), ())
        assert oracle(Path(folder)) == (True, "")
    assert report.inventory is not None
    for number, state in enumerate(versions, 1):
        stored = report.inventory.files_of_version(number)
        assert {path: files[content] for path, (_, content) in stored.items()} == state
    stored = [
        path for number in range(1, len(versions) + 1) for path in report.inventory.content_of_version_part(number)
    ]
    assert len(stored) == len({files[path] for path in stored})  # each content once


mutation = st.tuples(
    st.sampled_from(["drop", "flip", "cut", "copy", "link", "seal"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 255),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(mutation, min_size=1, max_size=4))
def test_no_mutation_brings_more_than_a_report(mutations):
    files = dict(TWO_VERSIONS)
    links = set()
    for what, at, where, value in mutations:
        if not files:
            break
        path = sorted(files)[at % len(files)]
        data = files[path]
        if what == "drop":
            del files[path]
        elif what == "flip" and data:
            spot = where % len(data)
            files[path] = data[:spot] + bytes([data[spot] ^ value]) + data[spot + 1 :]
        elif what == "cut":
            files[path] = data[: where % (len(data) + 1)]
        elif what == "copy":
            other = sorted(files)[where % len(files)]
            files[path] = files[other]
        elif what == "link":
            del files[path]
            links.add(path)
        else:
            files = reseal(files, '"v1', '"v' + chr(48 + value % 10))
    report = check(files, links=sorted(links))
    changed = {path for path in TWO_VERSIONS if files.get(path) != TWO_VERSIONS[path]}
    if report.sound and not report.warnings and "seal" not in {what for what, *_ in mutations}:
        # A sidecar may be written in more ways than one; nothing else may change unseen.
        assert all(path.endswith("inventory.json.sha512") for path in changed)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([*b'"{}[],:/.v0129aE\\\x00\xff']))
def test_who_rewrites_the_newest_inventory_cannot_rewrite_history(at, value):
    """Root inventory, its twin in v2 and their sidecars: content and first version stay what they are."""
    data = TWO_VERSIONS["inventory.json"]
    at %= len(data)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    files = reseal({**TWO_VERSIONS, "inventory.json": changed, "v2/inventory.json": changed}, "\0", "\0")
    before, after = check(TWO_VERSIONS), check(files)
    if after.sound:
        assert after.inventory.files_of_version(1) == before.inventory.files_of_version(1)
        assert dict(after.inventory.content()) == dict(before.inventory.content())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.sampled_from([*b'"{}[],:/.v0129aE\\']), st.booleans())
def test_what_ocfl_py_finds_invalid_so_do_we(at, value, newest):
    path = "inventory.json" if newest else "v1/inventory.json"
    data = TWO_VERSIONS[path]
    at %= len(data)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    twin = {"v2/inventory.json": changed} if newest else {}
    files = reseal({**TWO_VERSIONS, path: changed, **twin}, "\0", "\0")
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        valid, said = oracle(Path(folder))
    report = check(files)
    assert valid or not report.sound, said


def test_content_paths_of_a_hostile_inventory_stay_inside(tmp_path):
    (tmp_path / "secret").write_bytes(b"one")
    for escape in ("v1/content/../../../secret", "/secret", "../secret"):
        files = reseal(TWO_VERSIONS, "v1/content/a.txt", escape)
        folder = tmp_path / "object"
        write(files, folder)
        opened = []
        with FolderTree(tmp_path) as tree:
            report = validate_object(tree, "object", on_progress=lambda path, _: opened.append(path))  # noqa: B023
        assert not report.sound
        assert not any("secret" in path for path in opened)


def test_names_given_out_and_refused_leave_no_trace():
    names = ContentPaths()
    with pytest.raises(Invalid):
        names.assign("a/../b")
    assert names.assign("a") == "v1/content/a"
