"""Object ids are URNs that a person can read, and that lead back to exactly one identifier."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.formats.ocfl import identifier_of, object_id

identifiers = (
    st.text(min_size=1, max_size=200)
    .map(lambda text: unicodedata.normalize("NFC", text))
    .filter(lambda text: 0 < len(text.encode()) <= 1024)
)
# RFC 8141: "urn:" NID ":" NSS, NSS = pchar *(pchar / "/"); RFC 3986: pchar
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})"
URN = re.compile(rf"urn:khoso:{_PCHAR}(?:{_PCHAR}|/)*")


@pytest.mark.parametrize(
    ("identifier", "urn"),
    [
        ("H49.61.8/2025/HS-012", "urn:khoso:H49.61.8/2025/HS-012"),
        ("hồ sơ Đ", "urn:khoso:h%E1%BB%93%20s%C6%A1%20%C4%90"),
        ("/a", "urn:khoso:%2Fa"),
        ("..", "urn:khoso:.."),
        ("100%", "urn:khoso:100%25"),
        ("a?b#c", "urn:khoso:a%3Fb%23c"),
    ],
)
def test_examples(identifier, urn):
    assert object_id(identifier) == urn
    assert identifier_of(urn) == identifier


@given(identifiers)
def test_the_id_is_a_urn_and_leads_back(identifier):
    urn = object_id(identifier)
    assert URN.fullmatch(urn)
    assert identifier_of(urn) == identifier


@given(identifiers, identifiers)
def test_two_identifiers_never_share_an_id(one, other):
    assert (object_id(one) == object_id(other)) == (one == other)


@pytest.mark.parametrize("identifier", ["", "a" * 1025, "e\u0301", "\ud800", "Đ" * 513])
def test_what_is_no_identifier_is_refused(identifier):
    with pytest.raises(Invalid):
        object_id(identifier)


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "urn:khoso:",
        "urn:other:a",
        "URN:khoso:a",
        "urn:khoso:%41",  # we would write "A"
        "urn:khoso:%c4%90",  # we write capitals
        "urn:khoso:/a",
        "urn:khoso:a b",
        "urn:khoso:%ff",
        "urn:khoso:%",
        "urn:khoso:e%CC%81",  # not NFC
        "urn:khoso:Đ",
        "info:a",
    ],
)
def test_foreign_ids_are_refused(foreign):
    with pytest.raises(Invalid):
        identifier_of(foreign)


@given(st.text(max_size=50))
def test_whatever_is_accepted_is_what_we_would_write(text):
    try:
        identifier = identifier_of("urn:khoso:" + text)
    except Invalid:
        return
    assert object_id(identifier) == "urn:khoso:" + text
