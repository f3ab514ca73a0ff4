"""Identifiers in addresses, and cursors."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.api.paths import decode_identifier, encode_identifier, make_cursor, parse_version, read_cursor
from vault.errors import Invalid
from vault.identifiers import parse_identifier

identifiers = st.text(min_size=1, max_size=60).map(lambda text: unicodedata.normalize("NFC", text))


@given(identifiers)
def test_what_is_encoded_is_decoded(text: str) -> None:
    try:
        identifier = parse_identifier(text)
    except Invalid:
        return
    encoded = encode_identifier(identifier)
    assert encoded.isascii()
    assert not {".", ".."} & set(encoded.split("/"))
    assert decode_identifier(encoded) == identifier


@pytest.mark.parametrize("encoded", ["%", "%4", "a%zz", "%FF", "%C0%AF", "%ED%A0%80", "", "%0D%0A", "a%7F"])
def test_what_cannot_be_decoded(encoded: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_identifier(encoded)
    assert caught.value.code == "bad-identifier"


@given(st.text(max_size=100).filter(lambda text: text.isprintable()))
def test_cursors(text: str) -> None:
    assert read_cursor(make_cursor(text)) == (text or None)


@given(st.text(max_size=40))
def test_a_cursor_of_somebody_else_is_refused_or_read(text: str) -> None:
    try:
        found = read_cursor(text)
    except Invalid:
        return
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("v3", 3), ("", None), (None, None)])
def test_versions(text: str | None, expected: int | None) -> None:
    assert parse_version(text) == expected


@pytest.mark.parametrize("text", ["0", "v0", "-1", "V3", "03", "three", "9" * 20])
def test_no_versions(text: str) -> None:
    with pytest.raises(Invalid):
        parse_version(text)
