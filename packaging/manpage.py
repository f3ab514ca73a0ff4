"""Our Markdown as a manual page, man(7). It knows the Markdown that stands in docs/reference, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_ROW = re.compile(r"(?<!\\)\|")


def manual(name: str, section: int, title: str, markdown: str, *, version: str, see_also: str) -> str:
    """The page ``name(section)``: ``title`` is its NAME line, the rest is what ``markdown`` says below its heading."""
    lines = markdown.splitlines()
    if lines and lines[0].startswith("# "):
        del lines[0]
    head = [
        f'.TH "{name.upper()}" "{section}" "" "khoso {version}" "khoso"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(title)}",
        ".SH DESCRIPTION",
    ]
    return "\n".join([*head, *_body(lines), ".SH SEE ALSO", _escaped(see_also)]) + "\n"


def _body(lines: Iterable[str]) -> Iterator[str]:
    code, table, paragraph = False, False, False
    for line in lines:
        if line.startswith("```"):
            code = not code
            yield from (".PP", ".nf", ".RS 4") if code else (".RE", ".fi")
            paragraph = False
            continue
        if code:
            yield _literal(line)
            continue
        if table and not line.startswith("|"):
            table = False
        heading = re.match(r"(#{2,4}) (.*)", line)
        if heading:
            yield f'{".SH" if len(heading[1]) == 2 else ".SS"} "{_plain(heading[2])}"'
            paragraph = False
        elif line.startswith("|"):
            yield from _row(line, first=not table)
            table, paragraph = True, False
        elif re.match(r"[*-] ", line):
            yield ".IP \\(bu 2"
            yield _inline(line[2:])
            paragraph = True
        elif not line.strip():
            paragraph = False
        else:
            if not paragraph:
                yield ".PP"
            yield _inline(line.strip())
            paragraph = True


def _row(line: str, *, first: bool) -> Iterator[str]:
    """A row of a table as a tagged paragraph: the first cell is the tag. Its head and rule are left out."""
    cells = [cell.strip().replace("\\|", "|") for cell in _ROW.split(line.strip().strip("|"))]
    if first or all(set(cell) <= set("-: ") for cell in cells):
        return
    yield ".TP"
    yield _inline(cells[0]) if cells[0] else "\\&"
    rest = cells[1:]
    if len(rest) == 2 and rest[0]:
        rest = [f"[{rest[0]}]", rest[1]]
    yield _inline(" ".join(rest))


def _inline(text: str) -> str:
    text = _LINK.sub(r"\1", text)
    parts = _CODE.split(text)
    made = "".join(
        f"\\fB{_escaped(part)}\\fR" if number % 2 else _BOLD.sub(r"\\fB\1\\fR", _escaped(part))
        for number, part in enumerate(parts)
    )
    return f"\\&{made}" if made.startswith((".", "'")) else made


def _plain(text: str) -> str:
    return _escaped(text.replace("`", "")).replace('"', "\\(dq")


def _literal(line: str) -> str:
    made = _escaped(line)
    return f"\\&{made}" if made.startswith((".", "'")) or not made else made


def _escaped(text: str) -> str:
    made = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return made.replace("^", "\\(ha").replace("~", "\\(ti")
