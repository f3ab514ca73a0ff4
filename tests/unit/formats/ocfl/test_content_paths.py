"""Content paths can be kept by any NAS, never collide, and stay readable."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.formats.ocfl import ContentPaths
from vault.formats.ocfl.content_paths import MAX_COMPONENT_BYTES, MAX_PATH_BYTES

REPEATED = [("x", 300), ("ệ", 100), ("é", 121)]
SHORT = [
    "CON",
    "con.txt",
    "a.",
    "a ",
    "A",
    "a",
    "é",
    "e\u0301",
    "É",
    "ſ",
    "s",
    "ß",
    "ss",
    "ı",
    "i",
    "İ",
    "a?b",
    "a%3Fb",
]
ODD = ["a:b", "\u202eexe", "\x01", "~", ".nfs01", "@eaDir", "\uff21", "\U0001f600"]
AWKWARD = st.sampled_from([*SHORT, *ODD, *(text * count for text, count in REPEATED)])
component = st.one_of(AWKWARD, st.text(min_size=1, max_size=12)).map(lambda text: text.replace("/", "_"))
logical_path = st.lists(component, min_size=1, max_size=6).map("/".join)


def assign_all(paths):
    names = ContentPaths()
    given_out = {}
    for path in paths:
        try:
            given_out[path] = names.assign(path)
        except Invalid:
            continue
    return given_out


@pytest.mark.parametrize(
    "path",
    ["a.pdf", "hồ sơ/tài liệu số 1.pdf", "data/Đề án (bản 2).docx", "100%.txt", "a%20b", "bag-info.txt", ".keep"],
)
def test_portable_paths_stay_as_they_are(path):
    assert ContentPaths("v3", "content").assign(path) == f"v3/content/{path}"


@pytest.mark.parametrize(
    ("logical", "content"),
    [
        ("a?b.txt", "a%3Fb.txt"),
        ("a:b/c*d", "a%3Ab/c%2Ad"),
        ("tab\there", "tab%09here"),
        ("ends.", "ends%2E"),
        ("ends ", "ends%20"),
        ("back\\slash", "back%5Cslash"),
        ("CON", "%43ON"),
        ("aux.pdf", "%61ux.pdf"),
        ("com1", "%63om1"),
        ("COM\u00b9.txt", "%43OM\u00b9.txt"),
        ("console", "console"),
        ("@eaDir/x", "%40eaDir/x"),
        ("e\u0301", "é"),
        ("a\u202efdp.exe", "a%E2%80%AEfdp.exe"),
    ],
)
def test_what_is_not_portable_is_encoded(logical, content):
    assert ContentPaths().assign(logical) == f"v1/content/{content}"


def test_names_alike_get_a_mark_that_depends_on_the_logical_path_only():
    names = ContentPaths()
    assert names.assign("Bìa.pdf") == "v1/content/Bìa.pdf"
    marked = names.assign("bìa.PDF")
    assert re.fullmatch(r"v1/content/bìa~[0-9a-f]{16}\.PDF", marked)
    assert re.fullmatch(r"v1/content/Bìa~[0-9a-f]{16}\.pdf", names.assign(unicodedata.normalize("NFD", "Bìa.pdf")))
    again = ContentPaths()
    again.assign("BÌA.pdf")
    assert again.assign("bìa.PDF") == marked


def test_folders_alike_are_kept_apart():
    names = ContentPaths()
    names.assign("Data/a")
    other = names.assign("data/b")
    assert re.fullmatch(r"v1/content/data~[0-9a-f]{16}/b", other)
    assert names.assign("data/c").rpartition("/")[0] == other.rpartition("/")[0]
    assert names.assign("Data/d") == "v1/content/Data/d"


def test_long_names_keep_their_beginning_and_their_extension():
    path = ContentPaths().assign("Báo cáo " + "rất dài " * 60 + ".pdf")
    name = path.rpartition("/")[2]
    assert name.startswith("Báo cáo rất dài")
    assert name.endswith(".pdf")
    assert len(name.encode()) <= MAX_COMPONENT_BYTES


def test_deep_paths_are_put_at_the_top_by_their_last_name():
    names = ContentPaths()
    deep = "/".join(["thư mục"] * 200) + "/bìa.pdf"
    assert re.fullmatch(r"v1/content/bìa~[0-9a-f]{16}\.pdf", names.assign(deep))
    with pytest.raises(Invalid):
        names.assign(deep)


def test_a_name_made_to_look_like_a_mark_is_not_given_twice():
    first = ContentPaths()
    first.assign("A")
    forged = first.assign("a").removeprefix("v1/content/")
    names = ContentPaths()
    given_out = [names.assign(path) for path in ("A", forged, "a")]
    assert len({path.casefold() for path in given_out}) == 3


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "\ud800", "a\0b"])
def test_paths_that_are_none_are_refused(path):
    with pytest.raises(Invalid):
        ContentPaths().assign(path)


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
def test_conflicting_paths_are_refused(first, second):
    names = ContentPaths()
    names.assign(first)
    with pytest.raises(Invalid) as refused:
        names.assign(second)
    assert [fault.code for fault in refused.value.faults] == ["E095"]


@given(st.lists(logical_path, max_size=30))
@example(["D\u0323/x", "8\u200d\u0323"])
def test_any_names_can_be_kept_by_any_file_system(paths):
    given_out = assign_all(paths)
    assert assign_all(paths) == given_out
    keys = set()
    folders = {}
    for content in given_out.values():
        assert content.startswith("v1/content/")
        assert len(content.encode()) <= MAX_PATH_BYTES
        assert unicodedata.is_normalized("NFC", content)
        parts = content.split("/")
        for index, part in enumerate(parts, 1):
            assert part not in ("", ".", "..")
            assert part[-1] not in ". "
            assert len(part.encode()) <= MAX_COMPONENT_BYTES
            assert not re.search(r'[<>:"|?*\\\x00-\x1f\x7f]', part)
            assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part)
            # one spelling for each folder, whatever the file system takes for the same
            prefix = "/".join(parts[:index])
            assert folders.setdefault(unicodedata.normalize("NFC", prefix).casefold(), prefix) == prefix
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", content).casefold())
        assert key not in keys
        keys.add(key)
    for key in keys:  # no file is another's folder
        parts = key.split("/")
        assert not any("/".join(parts[:i]) in keys for i in range(1, len(parts)))
