"""Headers as their specifications have them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.api.headers import (
    content_disposition,
    entity_tag_matches,
    if_match_holds,
    if_range_holds,
    parse_filename,
    parse_forwarded,
    parse_if_match,
    parse_must_be_new,
    parse_repr_digest,
    parse_wait,
    repr_digest,
    wanted_digests,
)
from vault.errors import Invalid

SHA256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
EMPTY = {"sha-256": hashlib.sha256(b"").hexdigest()}
READERS = (
    parse_repr_digest,
    wanted_digests,
    parse_if_match,
    parse_must_be_new,
    lambda value: entity_tag_matches(value, "v1"),
    lambda value: if_match_holds(value, "v1"),
    lambda value: if_range_holds(value, "v1"),
    parse_wait,
    parse_forwarded,
    parse_filename,
)


@pytest.mark.parametrize(
    "value",
    [
        f"sha-256=:{SHA256}:",
        f"  sha-256=:{SHA256}:  ",
        f"sha-256=:{SHA256.rstrip('=')}:",
        f'sha-256=:{SHA256}:;q=1;why="a \\" b";ok',
        f"md5=:AAAA:,\tsha-256=:{SHA256}:",
        f"sha-256=:AAAA:, sha-256=:{SHA256}:",  # RFC 8941, section 4.2.2: the last one counts
    ],
)
def test_a_digest_is_read(value: str) -> None:
    assert parse_repr_digest(value) == EMPTY


@pytest.mark.parametrize(
    "value",
    [
        "", "sha-256", "sha-256=abc", f"sha-256={SHA256}", f"SHA-256=:{SHA256}:", f"sha-256=:{SHA256}", "sha-256=:?:",
        f"sha-256=:{SHA256}:,", f",sha-256=:{SHA256}:", f"sha-256=:{SHA256}: sha-512=:AAAA:", "sha-256=:AAAA:",
        f"sha-256 =:{SHA256}:", "sha-256=:A:", f"sha-256=:{SHA256}:;", f"sha-256=:{SHA256}\n:",
    ],
)  # fmt: skip
def test_what_is_no_digest_is_refused(value: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_repr_digest(value)
    assert caught.value.code == "bad-repr-digest"


def test_unknown_digests_alone_are_refused_by_name() -> None:
    with pytest.raises(Invalid, match="md5") as caught:
        parse_repr_digest("md5=:AAAA:, unixsum=:AAAA:")
    assert caught.value.code == "unsupported-digest"
    assert parse_repr_digest(None) == {}


@given(st.binary(max_size=100))
def test_what_is_written_is_read_again(data: bytes) -> None:
    long, short = hashlib.sha512(data).hexdigest(), hashlib.sha256(data).hexdigest()
    value = f"{repr_digest({'sha512': long, 'sha256': short})}"
    assert parse_repr_digest(value) == {"sha-512": long, "sha-256": short}


@given(st.text(max_size=200))
def test_no_digest_header_does_more_than_be_refused(value: str) -> None:
    try:
        found = parse_repr_digest(value)
    except Invalid:
        return
    assert found


@pytest.mark.parametrize(("value", "expected"), [('"v3"', 3), (' "v12" ', 12), ("*", "*"), (None, None)])
def test_if_match(value, expected) -> None:
    assert parse_if_match(value) == expected


@pytest.mark.parametrize("value", ["v3", '"3"', 'W/"v3"', '"v0"', '"v3", "v4"', "", '"v03"', '"v3', '"v9999999999"'])
def test_bad_if_match(value: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_if_match(value)
    assert caught.value.code == "bad-if-match"


def test_only_a_star_says_that_a_package_must_be_new() -> None:
    assert parse_must_be_new("*") is True
    assert parse_must_be_new(None) is False
    with pytest.raises(Invalid):
        parse_must_be_new('"v1"')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("wait=10", 10), ("respond-async, wait=10", 10), ("Wait = 0", 0), ('wait="7"', 7), ("foo; wait=3", 3),
        ("wait", None), ("wait=-1", None), ("wait=1.5", None), ("wait=9999999999", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_prefer(value, expected) -> None:
    assert parse_wait(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a.pdf", "a.pdf"),
        (r'attachment; filename="a\"b.pdf"', 'a"b.pdf'),
        ("attachment; filename=\"x\"; filename*=UTF-8''b%C3%A1o%20c%C3%A1o.pdf", "báo cáo.pdf"),
        ("attachment; filename*=utf-8'vi'b%C3%A1o", "báo"),
        ('attachment; filename="b\u00c3\u00a1o"', "báo"),  # UTF-8 as Latin-1, as servers hand it on
        ("attachment", ""),
        (None, ""),
    ],
)
def test_the_file_name_of_a_content_disposition(value, expected) -> None:
    assert parse_filename(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "attachment; filename", "attachment; filename=a b", "attachment; filename*=x",
     "attachment; filename*=UTF-8''%FF", 'attachment; filename="a', 'attachment; filename="\xff"'],
)  # fmt: skip
def test_a_content_disposition_that_cannot_be_read(value: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filename(value)
    assert caught.value.code == "bad-content-disposition"


@given(st.text(min_size=1, max_size=80))
def test_a_name_for_saving_is_safe_and_comes_back(name: str) -> None:
    value = content_disposition(name)
    assert value.isascii()
    assert value.isprintable()
    found = parse_filename(value)
    assert "/" not in found
    assert found
    if "filename*=" in value:
        assert found == unquote(value.partition("UTF-8''")[2])


def test_a_vietnamese_name_has_an_ascii_one_beside_it() -> None:
    assert content_disposition("data/Đề án.pdf") == (
        "attachment; filename=\"De an.pdf\"; filename*=UTF-8''%C4%90%E1%BB%81%20%C3%A1n.pdf"
    )


def test_entity_tags() -> None:
    assert entity_tag_matches('"a", W/"b"', "b")
    assert entity_tag_matches("*", "b")
    assert not entity_tag_matches('"a"', "b")
    assert if_range_holds(None, "b")
    assert if_range_holds('"b"', "b")
    assert not if_range_holds('W/"b"', "b")
    assert not if_range_holds("Sun, 22 Nov 2026 10:40:42 GMT", "b")


def test_if_match_compares_strongly() -> None:
    assert if_match_holds('"a", "b"', "b")
    assert if_match_holds("*", "b")
    assert not if_match_holds('W/"b"', "b")
    assert not if_match_holds("b", "b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("sha-256=1, sha-512=10", ["sha512", "sha256"]),
        ("sha-512=3,sha-256=9;q=1", ["sha256", "sha512"]),
        ("sha-512=0, sha-256=1", ["sha256"]),
        ("md5=10, unixsum=3", []),
        ("sha-256=1, sha-256=0", []),
        # RFC 8941, section 4.2: what cannot be read is as if it were not there.
        ("sha-256", None),
        ("sha-256=11", None),
        ("sha-256=-1", None),
        ("sha-256=:AAAA:", None),
        ("sha-256=1,,", None),
        ("", None),
    ],
)
def test_the_digests_that_a_client_wants(value: str | None, expected: list[str] | None) -> None:
    assert wanted_digests(value) == expected


@given(st.text(max_size=200))
def test_no_wish_for_digests_does_harm(value: str) -> None:
    assert set(wanted_digests(value) or ()) <= {"sha256", "sha512"}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("space", [" ", "\t", ",", ";", '"', "a", "=", "\\", "; ", ', "', "a=1;", 'a="', "W/"])
def test_no_header_costs_more_than_its_length(read: Callable[[str], object], space: str) -> None:
    """A head may have 64 KiB; what takes the square of that stops the node for everybody."""
    for form in ("a{}b", "a=1{}b", 'a="{}', "a;b{}=c", "sha-256=:AAAA:{}b", "{}"):
        began = time.process_time()
        with suppress(Invalid):
            read(form.format(space * (20_000 // len(space))))
        assert time.process_time() - began < 0.5, form


def test_base64_is_standard() -> None:
    assert repr_digest({"sha256": "00" * 32}) == f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"
