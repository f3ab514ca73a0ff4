"""What lists look like where the terminal is narrow: nothing that is copied from them is ever cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from vault.cli.render.parts import facts, table

LONG = "H49.61.8/2025/" + "Đ" * 90
PATH = "data/Hồ sơ số 12/" + "x" * 90 + ".pdf"


def text_of(shown: object, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(shown, crop=False)
    return out.getvalue()


def made(name: str = LONG):
    shown = table("Package", "state", "note", "path", "empty")
    shown.add_row(name, "good", Text("word " * 40), PATH, "")
    shown.add_row("H49/2", "damaged", Text(""), "a", "–")
    return shown


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_a_name_that_is_wider_than_the_terminal_stays_whole(width):
    text = text_of(made(), width)
    lines = text.splitlines()
    assert any(LONG in line for line in lines)
    assert any(PATH in line for line in lines)
    assert "wo rd" not in text
    assert {word for word in text.split() if word.startswith("wo")} == {"word"}


def test_prose_goes_on_in_the_next_line_and_stays_within_the_terminal():
    prose = [line for line in text_of(made(), 80).splitlines() if "word" in line]
    assert len(prose) > 1
    assert max(map(len, prose)) <= 80


def test_what_fits_is_a_table_without_its_empty_columns():
    shown = table("Package", "state", "empty")
    shown.add_row("H49/1", "good", "")
    lines = text_of(shown).splitlines()
    assert next(line.split() for line in lines if line.strip()) == ["Package", "state"]
    assert "empty" not in text_of(shown)


def test_what_does_not_fit_is_a_block_for_each_thing():
    lines = text_of(made("H49/1")).splitlines()
    assert lines[0] == "H49/1"
    assert lines[1].startswith("    state: good")
    assert "H49/2" in lines
    assert not any("empty" in line for line in lines)


def test_facts_keep_a_value_whole_and_wrap_prose():
    text = text_of(facts([("path", PATH), ("reason", Text("word " * 40)), ("none", "")]))
    assert PATH in text
    assert max(len(line) for line in text.splitlines() if "word" in line) <= 80
    assert "none" not in text
