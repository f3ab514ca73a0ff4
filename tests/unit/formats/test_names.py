"""What a member's name may be, and which names cannot live beside one another."""

import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.formats.names import NameRegister, check_member_name, comparison_key, shown


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("a/b.txt", "a/b.txt"),
        ("./a/b.txt", "a/b.txt"),
        ("././a", "a"),
        ("folder/", "folder"),
        ("hồ sơ/Quyết định số 1.pdf", "hồ sơ/Quyết định số 1.pdf"),
        ("...", "..."),
        ("a..b/.hidden", "a..b/.hidden"),
        ("~root", "~root"),
        ("data/C: plan", "data/C: plan"),
    ],
)
def test_lawful_names_are_kept(raw, name):
    assert check_member_name(raw) == name


def test_a_decomposed_name_is_not_normalised():
    decomposed = unicodedata.normalize("NFD", "Đề án/tệp.txt")
    assert check_member_name(decomposed) == decomposed


def test_the_longest_name_that_windows_allows_is_accepted():
    assert check_member_name("ế" * 255)  # 765 bytes


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "name-empty"),
        (".", "name-empty"),
        ("./", "name-empty"),
        ("/", "name-absolute"),
        ("/etc/passwd", "name-absolute"),
        ("//host/share", "name-absolute"),
        (".//etc/passwd", "name-empty-component"),
        ("a//b", "name-empty-component"),
        ("a//", "name-empty-component"),
        ("..", "name-parent"),
        ("../x", "name-parent"),
        ("./../x", "name-parent"),
        ("a/../b", "name-parent"),
        ("a/..", "name-parent"),
        ("a/../", "name-parent"),
        ("a/./b", "name-dot"),
        ("a/.", "name-dot"),
        ("a\0b", "name-control-character"),
        ("a\nb", "name-control-character"),
        ("a\x7f", "name-control-character"),
        ("a\x85", "name-control-character"),
        ("a\u2028b", "name-control-character"),
        ("a\u202etxt.exe", "name-control-character"),
        ("a\u2066b", "name-control-character"),
        ("a\udcffb", "name-not-utf8"),
        ("a\\b", "name-backslash"),
        ("..\\..\\x", "name-backslash"),
        ("C:/x", "name-drive-letter"),
        ("c:x", "name-drive-letter"),
        ("a/" * 3000 + "b", "name-too-long"),
        ("ế" * 400, "name-component-too-long"),
        ("/".join(["ế" * 300] * 5), "name-too-long"),
        ("/".join(["d"] * 65), "name-too-deep"),
    ],
)
def test_unlawful_names_are_refused_with_their_reason(raw, code):
    with pytest.raises(Invalid) as caught:
        check_member_name(raw)
    assert [fault.code for fault in caught.value.faults] == [code]
    assert caught.value.code == code
    # What is shown to people must neither break a line nor fail to encode.
    str(caught.value).encode()
    assert caught.value.faults[0].path.isprintable()


@given(st.text(st.characters(exclude_categories=())))
def test_what_passes_stays_below_its_folder_and_passes_again(raw):
    try:
        name = check_member_name(raw)
    except Invalid:
        return
    assert name
    assert all(part not in {"", ".", ".."} for part in name.split("/"))
    assert "\0" not in name
    name.encode()
    assert check_member_name(name) == name
    assert raw.removesuffix("/").endswith(name)


@given(st.text(st.characters(exclude_categories=())))
def test_shown_is_always_safe(text):
    safe = shown(text)
    safe.encode()
    assert not set(safe) & {"\n", "\r", "\x1b", "\0", "\u202e"}


def _codes(*names):
    register = NameRegister()
    for name in names:
        try:
            register.add(name.removesuffix("/"), directory=name.endswith("/"))
        except Invalid as error:
            return error.code
    return None


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("a", "b", "d/a", "d/b"), None),
        (("d/", "d/x", "d/", "e/"), None),
        (("d/x", "d/", "d/y"), None),
        (("a", "a"), "duplicate-name"),
        (("d/a", "e/b", "d/a"), "duplicate-name"),
        (("a.TXT", "A.txt"), "names-alike"),
        (("A/x", "a/y"), "names-alike"),
        (("p/A/x", "q/z", "p/a/y"), "names-alike"),
        (("A/", "a/"), "names-alike"),
        (("đơn.pdf", "ĐƠN.PDF"), "names-alike"),
        (("straße", "STRASSE"), "names-alike"),
        (("tệp", unicodedata.normalize("NFD", "tệp")), "names-alike"),
        ((unicodedata.normalize("NFD", "tệp") + "/a", "TỆP/b"), "names-alike"),
        (("a", "a/b"), "file-as-directory"),
        (("a/b", "a"), "file-as-directory"),
        (("a/b/c", "A/B"), "names-alike"),
        (("a", "a/"), "file-as-directory"),
        (("a/", "a"), "file-as-directory"),
        (("a/b", "a/b/c/d"), "file-as-directory"),
    ],
)
def test_names_that_cannot_live_together(names, code):
    assert _codes(*names) == code


@given(st.lists(st.text("aAbBđĐ/\u0302ê", min_size=1, max_size=5), max_size=8))
def test_accepted_names_stay_apart_on_a_system_without_case(names):
    register = NameRegister()
    kept = []
    for raw in names:
        try:
            name = check_member_name(raw)
            register.add(name)
        except Invalid:
            # an archive is refused at the first of them
            break
        kept.append(name)
    keys = [comparison_key(name) for name in kept]
    assert len(set(keys)) == len(kept)
    spelled: dict[str, str] = {}
    for name in kept:
        parts = name.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            assert spelled.setdefault(comparison_key(folder), folder) == folder
            assert comparison_key(folder) not in keys


def test_the_register_spends_no_more_than_it_was_given():
    register = NameRegister(max_names=1000, max_bytes=200_000)

    def fill():
        for number in range(100_000):
            register.add("/".join(f"{number}-{level}" for level in range(60)))

    tracemalloc.start()
    with pytest.raises(Invalid) as caught:
        fill()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "too-many-names"
    assert peak < 2_000_000
