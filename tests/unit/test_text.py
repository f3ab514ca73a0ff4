"""Normalisation is Unicode's own, and a hostile text does not hold the interpreter."""

from __future__ import annotations

import sys
import unicodedata
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.marks import MARKS, at_once
from vault.errors import Invalid
from vault.identifiers import parse_identifier
from vault.text import Form, fits, normalised

LETTERS = st.sampled_from(
    [*"aơđK=", "\u0301", "\u0323", "\u0344", "\u0345", "\u031b", "ậ", "ｶ", "ﾞ", "각", "ᆨ", "ﷺ", "𑄱", "𑄧"]
)


@given(
    st.text(LETTERS | st.characters(codec="utf-8"), max_size=60), st.integers(0, 40), st.sampled_from(get_args(Form))
)
def test_a_long_text_is_normalised_as_a_short_one(piece: str, at: int, form: Form) -> None:
    # Beyond the length from which it is done piece by piece.
    text = piece * (1100 // len(piece) + 1) + piece[at:] if piece else ""
    assert normalised(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", get_args(Form))
def test_a_letter_with_very_many_marks_takes_no_time(form: Form) -> None:
    with at_once():
        done = normalised(form, "a" + MARKS)
    assert len(done) >= len(MARKS)
    assert done.endswith("\u0301" * 1000)


def test_what_does_not_fit_could_never_be_composed_to_fit() -> None:
    for letter in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.decomposition(letter):
            size = len(unicodedata.normalize("NFC", letter).encode())
            assert fits(unicodedata.normalize("NFD", letter), size), hex(ord(letter))
    assert not fits("a" * 11, 5)


def test_an_identifier_is_judged_before_it_is_composed() -> None:
    with at_once(), pytest.raises(Invalid, match="400001 bytes long"):
        parse_identifier("a" + MARKS)


def test_an_identifier_of_decomposed_letters_may_be_longer_than_what_it_becomes() -> None:
    name = "ậ" * 341  # 1,023 bytes
    assert parse_identifier(unicodedata.normalize("NFD", name)) == name
