"""The storage root validator."""

from __future__ import annotations

import warnings

import pytest

from tests.unit.formats.ocfl.support import MemoryTree, build_object, reseal, write
from vault.formats.ocfl import find_objects, object_id, object_path, storage_root_files, validate_root


def stored(*identifiers):
    files = dict(storage_root_files())
    for identifier in identifiers:
        place = object_path(object_id(identifier))
        files |= {f"{place}/{path}": data for path, data in build_object([{"a": b"1"}], identifier=identifier).items()}
    return files


def codes(faults):
    return sorted({fault.code for fault in faults})


SOUND = stored("A", "B/2", "Đ")


def test_a_sound_root(tmp_path):
    reports = []
    report = validate_root(MemoryTree(SOUND), on_object=reports.append)
    assert report.sound
    assert not report.warnings
    assert (report.objects, report.unsound, report.spec) == (3, 0, "1.1")
    assert report.layout == "0003-hash-and-id-n-tuple-storage-layout"
    assert {one.id for one in reports} == {object_id(identifier) for identifier in ("A", "B/2", "Đ")}
    write(SOUND, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocfl.storage_root import StorageRoot

        root = StorageRoot(root=str(tmp_path))
        assert root.validate(log_warnings=True)
    assert (root.num_objects, root.good_objects, root.errors) == (3, 3, [])


def test_objects_are_found_below_a_path():
    tree = MemoryTree({f"ocfl/{path}": data for path, data in SOUND.items()})
    found = list(find_objects(tree, "ocfl"))
    assert found == sorted(f"ocfl/{object_path(object_id(identifier))}" for identifier in ("A", "B/2", "Đ"))
    assert validate_root(tree, "ocfl").sound


def test_an_unsound_object_makes_the_root_unsound():
    place = object_path(object_id("A"))
    report = validate_root(MemoryTree({**SOUND, f"{place}/v1/content/a": b"2"}))
    assert not report.errors
    assert (report.objects, report.unsound, report.sound) == (3, 1, False)


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("0=ocfl_1.1", None, ["E069"]),
        ("0=ocfl_1.1", b"ocfl_1.1", ["E080"]),
        ("0=ocfl_1.0", b"ocfl_1.0\n", ["E076"]),
        ("0=ocfl_2.0", b"", ["E076", "E079"]),
        ("1=ocfl_1.1", b"", ["E076", "E078"]),
        ("ocfl_layout.json", b"{", ["E070"]),
        ("ocfl_layout.json", b"[]", ["E070"]),
        ("ocfl_layout.json", b'{"extension": "0004-hashed-n-tuple-storage-layout"}', ["E070"]),
        ("ocfl_layout.json", b'{"extension": "mine", "description": ""}', ["E071"]),
        ("extensions/0003-hash-and-id-n-tuple-storage-layout/config.json", b"{", ["E071"]),
        ("extensions/0003-hash-and-id-n-tuple-storage-layout/config.json", None, []),
        ("extensions/stray", b"", ["E112"]),
        ("README.md", b"", []),
        ("abc/stray", b"", ["E072"]),
        ("abc/def/0=ocfl_1.1", b"ocfl_1.1\n", ["E088"]),
    ],
)
def test_the_root_and_its_hierarchy(path, data, expected):
    files = {**SOUND, path: data}
    if data is None:
        del files[path]
    assert codes(validate_root(MemoryTree(files)).errors) == expected


def test_folders_and_links():
    assert codes(validate_root(MemoryTree(SOUND, folders=["abc/def"])).errors) == ["E073"]
    assert codes(validate_root(MemoryTree(SOUND, folders=["extensions/mine"])).warnings) == ["W016"]
    for place in ("link", "abc/link", "extensions/link"):
        report = validate_root(MemoryTree(SOUND, links=[place]))
        assert [(fault.code, fault.path) for fault in report.errors] == [("E090", place)]


def test_an_object_at_the_wrong_place():
    place = object_path(object_id("A"))
    files = {path.replace(place, "abc/def/123/A"): data for path, data in SOUND.items()}
    report = validate_root(MemoryTree(files))
    assert [(fault.code, fault.path) for fault in report.errors] == [("E083", "abc/def/123/A")]
    assert place in report.errors[0].message


def test_an_id_twice_and_objects_at_the_top():
    copy = {f"top/{path}": data for path, data in build_object([{"a": b"1"}], identifier="A").items()}
    files = {path: data for path, data in {**SOUND, **copy}.items() if path != "ocfl_layout.json"}
    report = validate_root(MemoryTree(files))
    assert codes(report.errors) == ["E037"]
    assert codes(report.warnings) == ["W015"]


def test_an_object_inside_an_object_is_a_fault_of_the_outer_one():
    place = object_path(object_id("A"))
    inner = {f"{place}/inner/{path}": data for path, data in build_object([{"a": b"1"}]).items()}
    reports = {}
    report = validate_root(MemoryTree({**SOUND, **inner}), on_object=lambda one: reports.update({one.path: one}))
    assert report.objects == 3
    assert [fault.code for fault in reports[place].errors] == ["E001"]


def test_an_object_without_declaration_is_still_seen_as_one():
    place = object_path(object_id("A"))
    files = {path: data for path, data in SOUND.items() if path != f"{place}/0=ocfl_object_1.1"}
    found = []
    report = validate_root(MemoryTree(files), on_object=found.append)
    assert not report.errors
    assert {code for one in found for code in codes(one.errors)} == {"E003"}


def older(files, place):
    made = {path.removeprefix(f"{place}/"): data for path, data in files.items() if path.startswith(place)}
    del made["0=ocfl_object_1.1"]
    made = {**reseal(made, "io/1.1/", "io/1.0/"), "0=ocfl_object_1.0": b"ocfl_object_1.0\n"}
    others = {path: data for path, data in files.items() if not path.startswith(place)}
    return {**others, **{f"{place}/{path}": data for path, data in made.items()}}


def test_objects_may_be_of_an_older_specification_than_the_root():
    assert validate_root(MemoryTree(older(SOUND, object_path(object_id("A"))))).sound


def test_objects_must_not_be_of_a_newer_specification_than_the_root():
    files = {path: data for path, data in SOUND.items() if path != "0=ocfl_1.1"}
    report = validate_root(MemoryTree({**files, "0=ocfl_1.0": b"ocfl_1.0\n"}))
    assert codes(report.errors) == ["E081"]


def test_there_is_no_root_where_there_is_nothing():
    assert codes(validate_root(MemoryTree({}), "none").errors) == ["E069"]
    assert codes(validate_root(MemoryTree({"abc/" + "d/" * 200 + "x": b"", **SOUND})).errors) == ["too-deep"]
