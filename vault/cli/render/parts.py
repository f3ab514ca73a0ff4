"""Pieces that several screens are made of."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from vault.cli.text import NONE, Speech, colour, plain, word
from vault.model import CopyState

TROUBLE = (CopyState.DAMAGED, CopyState.MISSING, CopyState.SUSPECT)
"""States in which a copy needs someone's eye, the worst first."""


def table(*columns: str, right: Iterable[int] = (), title: str = "") -> Table:
    """An empty table with these headings; the columns ``right`` (from 0) hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    numbers = set(right)
    for index, heading in enumerate(columns):
        made.add_column(heading, justify="right" if index in numbers else "left", overflow="fold")
    return made


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and values below one another; those without a value are left out."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value:
            made.add_row(name, plain(value) if isinstance(value, str) else value)
    return made


def state(value: enum.Enum) -> Text:
    """A state, in its colour."""
    return Text(word(value), style=colour(value))


def copies(counts: Mapping[CopyState, int], say: Speech) -> Text:
    """How many copies are in which state: good ones first, then trouble, then the rest."""
    order = [CopyState.GOOD, *TROUBLE, *(one for one in CopyState if one not in (CopyState.GOOD, *TROUBLE))]
    found = Text()
    for one in order:
        count = counts.get(one, 0)
        if count:
            if found:
                found.append(", ")
            found.append(f"{say.number(count)} {word(one)}", style=colour(one))
    return found or Text(NONE)
