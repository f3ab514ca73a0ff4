"""Inventories: read strictly, built by rule, written so that the same inventory is the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.ocfl.support import FIXTURES, NO_FIXTURES, USER, WHEN, sha512
from vault.errors import Invalid, NotFound, VaultError
from vault.formats.ocfl import (
    User,
    first_version,
    next_version,
    parse_inventory,
    parse_sidecar,
    read_inventory,
    sidecar_bytes,
)

A, B, C = sha512(b"a"), sha512(b"b"), sha512(b"c")
COMMON = {"created": WHEN, "message": "thu nộp", "user": USER}


def first(**changes):
    arguments = {
        "object_id": "urn:khoso:H49",
        "state": {"a": A, "b": B},
        "content": {A: "v1/content/a", B: "v1/content/b"},
        **COMMON,
        **changes,
    }
    return first_version(**arguments)


def document(**changes):
    made = json.loads(first().to_bytes())
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def codes_of(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    reading = read_inventory(data)
    if reading.errors:
        with pytest.raises(Invalid) as refused:
            parse_inventory(data)
        assert refused.value.faults == reading.errors
    return {fault.code for fault in reading.errors}


def test_what_is_written_is_read_back():
    inventory = first(fixity={"md5": {"0" * 32: ["v1/content/a"]}})
    assert parse_inventory(inventory.to_bytes()) == inventory
    assert parse_inventory(inventory.to_bytes()).to_bytes() == inventory.to_bytes()


def test_the_order_in_which_files_came_leaves_no_trace():
    other = first(state={"b": B, "a": A}, content={B: "v1/content/b", A: "v1/content/a"})
    assert other.to_bytes() == first().to_bytes()


def test_it_is_readable_text():
    text = first(state={"Đề án.pdf": A}, content={A: "v1/content/Đề án.pdf"}).to_bytes().decode()
    assert f'"{A}": ["v1/content/Đề án.pdf"]' in text
    assert '"created": "2025-07-01T10:00:00Z"' in text


def test_content_known_from_before_is_not_stored_again():
    second = next_version(
        first(),
        state={"a": A, "renamed": B, "new": C},
        content={B.upper(): "v2/content/renamed", C: "v2/content/new"},
        **COMMON,
    )
    assert second.head == "v2"
    assert second.content_of_version_part(1) == {"v1/content/a": A, "v1/content/b": B}
    assert second.content_of_version_part(2) == {"v2/content/new": C}
    assert second.files_of_version(1) == {"a": (A, "v1/content/a"), "b": (B, "v1/content/b")}
    assert second.files_of_version(2) == {
        "a": (A, "v1/content/a"),
        "renamed": (B, "v1/content/b"),
        "new": (C, "v2/content/new"),
    }
    assert second.content_by_digest() == {A: "v1/content/a", B: "v1/content/b", C: "v2/content/new"}


def test_the_nearest_of_equal_files_is_named():
    inventory = first()
    manifest = {**inventory.manifest, A: ("v1/content/a", "v2/content/a", "v3/content/a")}
    third = next_version(inventory, state={"a": A}, content={}, **COMMON)
    third = replace(next_version(third, state={"a": A}, content={}, **COMMON), manifest=manifest)
    named = [third.files_of_version(number)["a"][1] for number in (1, 2, 3)]
    assert named == ["v1/content/a", "v2/content/a", "v3/content/a"]


def test_there_is_no_version_that_is_not_there():
    for ask in (first().files_of_version, first().content_of_version_part):
        with pytest.raises(NotFound):
            ask(2)


def test_digests_stay_as_the_manifest_writes_them():
    upper = parse_inventory(first().to_bytes().replace(A.encode(), A.upper().encode()))
    second = next_version(upper, state={"again": A}, content={}, **COMMON)
    assert A.upper() in second.versions["v2"].state
    assert second.files_of_version(2) == {"again": (A, "v1/content/a")}
    assert parse_inventory(second.to_bytes()) == second


def test_padded_version_numbers_go_on_padded_until_they_end():
    text = first().to_bytes().decode().replace('"v1', '"v01')
    inventory = parse_inventory(text.encode())
    for _ in range(8):
        inventory = next_version(inventory, state={"a": A}, content={}, **COMMON)
    assert inventory.head == "v09"
    assert inventory.head_number == 9
    with pytest.raises(Invalid, match="v09"):
        next_version(inventory, state={"a": A}, content={}, **COMMON)


def test_fixity_follows_the_files_that_are_stored():
    inventory = first(fixity={"sha256": {"1" * 64: ["v1/content/a"]}})
    second = next_version(
        inventory,
        state={"a": A, "c": C},
        content={A: "v2/content/a", C: "v2/content/c"},
        fixity={"sha256": {"1" * 64: ["v2/content/a"], "2" * 64: ["v2/content/c"]}},
        **COMMON,
    )
    assert second.fixity == {"sha256": {"1" * 64: ("v1/content/a",), "2" * 64: ("v2/content/c",)}}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"object_id": "H49"}, "E037"),
        ({"digest_algorithm": "md5"}, "E025"),
        ({"user": User("", "mailto:a@b")}, "E054"),
        ({"user": User("A")}, "E054"),
        ({"user": User("A", "a@b")}, "E054"),
        ({"message": "\ud800"}, "E094"),
        ({"created": datetime(2025, 1, 1)}, "E049"),  # noqa: DTZ001 - that is the point
        ({"state": {"a": A, "b": B, "c": C}}, "E050"),
        ({"state": {"a": A, "b": "b"}}, "E050"),
        ({"state": {"a": A}}, "E107"),
        ({"state": {"../a": A, "b": B}}, "E052"),
        ({"state": {"/a": A, "b": B}}, "E053"),
        ({"state": {"a": A, "a/b": B}}, "E095"),
        ({"content": {A: "v1/content/a", B: "v1/content/a/b"}}, "E101"),
        ({"content": {A: "v1/content/a", B: "v1/content/a"}}, "E101"),
        ({"content": {A: "v1/content/a", B: "v2/content/b"}}, "E042"),
        ({"content": {A: "v1/content/a", B: "v1/content/../b"}}, "E042"),
        ({"content": {A: "v1/content/a", B: "v1/content/\ud800"}}, "E042"),
        ({"fixity": {"crc": {}}}, "E056"),
        ({"fixity": {"md5": {"x": ["v1/content/a"]}}}, "E057"),
        ({"fixity": {"md5": {"0" * 32: ["v1/content/z"]}}}, "E057"),
    ],
)
def test_what_ocfl_forbids_is_not_built(changes, code):
    with pytest.raises(Invalid) as refused:
        first(**changes)
    assert code in {fault.code for fault in refused.value.faults}


VERSION = {"created": "2025-01-01T00:00:00Z", "state": {A: ["a"], B: ["b"]}, "message": "", "user": {"name": "A"}}


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"id": None}, {"E036"}),
        ({"id": ""}, {"E037"}),
        ({"id": 3}, {"E037"}),
        ({"type": None}, {"E036"}),
        ({"type": "https://ocfl.io/9.9/spec/#inventory"}, {"E038"}),
        ({"type": ["x"]}, {"E038"}),
        ({"digestAlgorithm": "md5"}, {"E025", "E050"}),
        ({"digestAlgorithm": "sha256"}, {"E025", "E050"}),
        ({"head": "v2"}, {"E040"}),
        ({"head": {}}, {"E040"}),
        ({"contentDirectory": "a/b"}, {"E017"}),
        ({"contentDirectory": ".."}, {"E018"}),
        ({"contentDirectory": ""}, {"E108"}),
        ({"contentDirectory": "other"}, {"E042"}),
        ({"manifest": []}, {"E106"}),
        ({"manifest": None}, {"E041"}),
        ({"versions": None}, {"E041"}),
        ({"versions": []}, {"E045"}),
        ({"versions": {}}, {"E008"}),
        ({"versions": {"v2": VERSION}, "head": "v2"}, {"E009", "E042"}),
        ({"versions": {"v1": VERSION, "v3": VERSION}, "head": "v3"}, {"E010"}),
        ({"versions": {"v1": VERSION, "v02": VERSION}, "head": "v02"}, {"E012"}),
        ({"versions": {"v1": VERSION, "x": VERSION}}, {"E046"}),
        ({"versions": {"v1": 3}}, {"E047", "E107"}),
        ({"versions": {"v1": {**VERSION, "created": "2025-02-30T00:00:00Z"}}}, {"E049"}),
        ({"versions": {"v1": {**VERSION, "created": 5}}}, {"E049"}),
        ({"versions": {"v1": {**VERSION, "extra": 5}}}, {"E102"}),
        ({"versions": {"v1": {**VERSION, "user": {}}}}, {"E054"}),
        ({"versions": {"v1": {**VERSION, "message": 1}}}, {"E094"}),
        ({"versions": {"v1": {**VERSION, "state": {A: ["a"], B: ["a/b"]}}}}, {"E095"}),
        ({"versions": {"v1": {**VERSION, "state": {A: ["a"], B: [5]}}}}, {"E051", "E107"}),
        ({"versions": {"v1": {**VERSION, "state": {A: ["a"], B: ["\ud800"]}}}}, {"E051"}),
        ({"manifest": {A: ["v1/content/a"], B: ["v1/content/../../../etc/passwd"]}}, {"E099"}),
        ({"manifest": {A: ["v1/content/a"], B: ["/etc/passwd"]}}, {"E100"}),
        ({"manifest": {A: ["v1/content/a"], B: ["etc/passwd"]}}, {"E042"}),
        ({"manifest": {A: ["v1/content/a"], B: ["v1/content/b\0"]}}, {"E098"}),
        ({"manifest": {A: ["v1/content/a"], B: "v1/content/b"}}, {"E092"}),
        ({"manifest": {A: ["v1/content/a"], B: []}}, {"E092"}),
        ({"manifest": {A: ["v1/content/a"], B: ["v1/content/b"], B.upper(): ["v1/content/c"]}}, {"E096"}),
        ({"manifest": {A: ["v1/content/a"], B: ["v1/content/b"], C: ["v1/content/c"]}}, {"E107"}),
        ({"manifest": {A: ["v1/content/a"], B: ["v1/content/a/b"]}}, {"E101"}),
        ({"fixity": []}, {"E111"}),
        ({"fixity": [], "type": "https://ocfl.io/1.0/spec/#inventory"}, {"E056"}),
        ({"fixity": {"md5": []}}, {"E057"}),
        ({"fixity": {"none": {}}}, {"E056"}),
        ({"fixity": {"md5": {"0" * 32: ["v1/content/z"]}}}, {"E057"}),
        ({"further": 1}, {"E102"}),
    ],
)
def test_faults_carry_the_codes_of_the_specification(changes, codes):
    assert codes_of(document(**changes)) == codes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"id": NaN}',
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"id": "a", "id": "b"}',
    ],
)
def test_what_is_not_strict_json_is_refused(data):
    assert "E033" in codes_of(data)


def test_digests_given_twice_are_refused():
    entry = f'"{A}": ["v1/content/a"]'
    data = first().to_bytes().replace(entry.encode(), f"{entry}, {entry}".encode())
    assert codes_of(data) == {"E096"}
    assert codes_of(first().to_bytes().replace(b'"message"', b'"message": "", "message"')) == {"E033"}


def test_an_inventory_above_the_limit_is_refused_unread():
    data = first().to_bytes()
    assert parse_inventory(data, limit=len(data))
    with pytest.raises(Invalid) as refused:
        parse_inventory(data, limit=len(data) - 1)
    assert [fault.code for fault in refused.value.faults] == ["too-large"]


def test_many_small_values_do_not_fill_the_memory():
    reading = read_inventory(b'{"manifest": [' + b"{}," * 2_000_000 + b"{}]}")
    assert [fault.code for fault in reading.errors] == ["too-large"]
    many = {f"{number}": A for number in range(200_000)}
    assert (
        len(parse_inventory(first(state=many, content={A: "v1/content/a"}).to_bytes()).versions["v1"].state[A])
        == 200_000
    )


def test_faults_are_bounded_in_number_and_length():
    states = {A: ["/" + "a" * 10_000 + str(number) for number in range(5000)], B: ["b"]}
    reading = read_inventory(json.dumps(document(versions={"v1": {**VERSION, "state": states}})).encode())
    assert len(reading.errors) == 1000
    assert reading.suppressed >= 4000
    assert all(len(fault.path) < 1000 for fault in reading.errors)


@pytest.mark.parametrize("data", [b"", b"abc", b"ab  inventory.js", b"xy inventory.json", b"ab inventory.json x"])
def test_bad_sidecars_are_refused(data):
    with pytest.raises(Invalid) as refused:
        parse_sidecar(data)
    assert refused.value.faults[0].code == "E061"


def test_sidecars():
    assert sidecar_bytes(b"a", "sha512") == f"{A}  inventory.json\n".encode()
    assert parse_sidecar(sidecar_bytes(b"a", "sha512")) == A
    assert parse_sidecar(f"{A.upper()}\tinventory.json".encode()) == A
    with pytest.raises(Invalid):
        sidecar_bytes(b"a", "md5")


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_inventories_of_others_survive_being_written():
    for path in sorted(FIXTURES.glob("good-objects/*/inventory.json")):
        inventory = parse_inventory(path.read_bytes())
        again = json.loads(inventory.to_bytes())
        theirs = json.loads(path.read_bytes())
        assert _sorted(again) == _sorted(theirs), path


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items() if (key, item) != ("fixity", {})}
    return sorted(value) if isinstance(value, list) else value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([A, "v1/content/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([A, B, "v1", "v2", "md5", "created", "state", "user", "name", ""]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*document(), "fixity", "contentDirectory"]), JSON))
def test_no_document_makes_the_reader_stumble(changes):
    data = json.dumps({**document(), **changes}).encode()
    try:
        inventory = parse_inventory(data)
    except VaultError:
        return
    assert parse_inventory(inventory.to_bytes()) == inventory


@given(st.data())
def test_no_bytes_make_the_reader_stumble(data):
    text = bytearray(first().to_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    reading = read_inventory(bytes(text))
    assert reading.inventory is not None or reading.errors
