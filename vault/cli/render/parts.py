"""Pieces that several screens are made of."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vault.cli.text import NONE, Speech, colour, plain, word
from vault.model import CopyState

TROUBLE = (CopyState.DAMAGED, CopyState.MISSING, CopyState.SUSPECT)
"""States in which a copy needs someone's eye, the worst first."""

_UNBOUNDED = 100_000
_INDENT = "    "
_BETWEEN = "  "
_WORD = re.compile(r"\S+\s*")


def table(*columns: str, right: Iterable[int] = (), title: str = "") -> Listing:
    """An empty list with these headings; the columns ``right`` (from 0) hold numbers."""
    return Listing(columns, frozenset(right), title)


class Listing:
    """Things with the same properties: a table where that fits, else a block for each of them.

    Properties that none of them has are left out. A cell is never broken, whatever it holds: what was cut in two
    (an identifier, a path, a UUID) cannot be searched for or copied. In a block a Text may go on in the next line,
    between two words.
    """

    def __init__(self, columns: Sequence[str], right: frozenset[int], title: str) -> None:
        self._columns = columns
        self._right = right
        self._title = title
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add one thing: as many cells as there are columns."""
        self._rows.append([whole(cell) if isinstance(cell, str) else cell for cell in cells])

    @property
    def row_count(self) -> int:
        """How many things there are."""
        return len(self._rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        used = [n for n in range(len(self._columns)) if any(row[n].plain not in ("", NONE) for row in self._rows)]
        made = Table(box=box.SIMPLE_HEAD, title=self._title or None, pad_edge=False)
        made.title_justify, made.title_style = "left", "bold"
        for n in used:
            made.add_column(whole(self._columns[n]), justify="right" if n in self._right else "left", no_wrap=True)
        for row in self._rows:
            made.add_row(*(row[n] for n in used))
        unbounded = options.update(max_width=_UNBOUNDED)
        if Measurement.get(console, unbounded, made).maximum <= options.max_width:
            yield made
            return
        if self._title:
            yield Text(self._title, style="bold")
        for row in self._rows:
            yield from self._block(row, used, options.max_width)

    def _block(self, row: list[Text], used: list[int], width: int) -> Iterator[RenderableType]:
        """The first cell on a line of its own, then the others, as many to a line as there is room for."""
        yield whole(f"{self._columns[0]} {row[0].plain}" if 0 in self._right else row[0].plain, style="bold")
        line = whole(_INDENT)
        for n in used:
            if n == 0 or row[n].plain in ("", NONE):
                continue
            cell = whole("").append(f"{self._columns[n]}: ", style="dim").append_text(row[n])
            if line.plain.strip() and line.cell_len + len(_BETWEEN) + cell.cell_len > width:
                yield line
                line = whole(_INDENT)
            if line.plain.strip():
                line.append(_BETWEEN)
            elif cell.cell_len > width - len(_INDENT) and not row[n].no_wrap:
                yield from (whole(_INDENT).append_text(part) for part in between_words(cell, width - len(_INDENT)))
                continue
            line.append_text(cell)
        if line.plain.strip():
            yield line


def whole(text: str, style: str = "") -> Text:
    """A text that stays on one line, even where the line is shorter."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def between_words(text: Text, width: int) -> list[Text]:
    """A text in lines of at most ``width`` cells where its words allow it. (Rich's own wrapping cuts a long word.)"""
    lines: list[Text] = []
    for paragraph in text.split(allow_blank=True):
        starts: list[int] = []
        used = 0
        for found in _WORD.finditer(paragraph.plain):
            if used and used + cell_len(found[0].rstrip()) > width:
                starts.append(found.start())
                used = 0
            used += cell_len(found[0])
        for line in paragraph.divide(starts):
            line.rstrip()
            lines.append(line)
    return lines


class Facts:
    """Names and values below one another. A value that is a Text may go on in the next line, between two words."""

    def __init__(self, rows: Sequence[tuple[str, Text]]) -> None:
        self._rows = rows

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        indent = max((cell_len(name) for name, _value in self._rows), default=0) + 2
        for name, value in self._rows:
            lines = [value] if value.no_wrap else between_words(value, options.max_width - indent)
            for number, part in enumerate(lines):
                heading = name if number == 0 else ""
                heading += " " * (indent - cell_len(heading))
                yield whole("").append(heading, style="dim").append_text(part)


def facts(rows: Iterable[tuple[str, str | Text]]) -> Facts:
    """Names and values below one another; those without a value are left out."""
    return Facts([(n, whole(plain(v)) if isinstance(v, str) else v) for n, v in rows if v])


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
