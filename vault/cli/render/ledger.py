"""Events, receipts, and what a check of the ledger found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.parts import facts, table
from vault.cli.text import Speech, colour, plain, word
from vault.clock import from_text
from vault.i18n import _, n_
from vault.model import Json

_LONGEST_DETAIL = 160


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found wrong with one file of a copy."""

    path: str
    what: str


def findings_of(detail: Mapping[str, Json]) -> list[Finding]:
    """The findings in the detail of an event; they may have any shape."""
    listed = detail.get("findings")
    found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return [Finding(_text(one, "path"), _what(one)) for one in found]


def _what(one: Mapping[str, Json]) -> str:
    offset = one.get("offset")
    where = f"@{offset}" if isinstance(offset, int) else ""
    return " ".join(part for part in (_text(one, "kind"), _text(one, "error"), where) if part)


def event_line(event: wire.Event, say: Speech) -> Text:
    """One event on one line, for a list that grows."""
    version = f" v{event.version}" if event.version else ""
    what = " ".join(part for part in (plain(event.identifier) + version, plain(event.volume)) if part)
    line = Text(f"{event.seq:>8}  {say.moment(event.time, seconds=True)}  ")
    line.append(f"{event.type:<24}", style="bold")
    line.append(f"{word(event.outcome):<10}", style=colour(event.outcome))
    line.append(f"{what}  ")
    line.append(f"{plain(event.agent)}  ", style="dim")
    line.append(_detail(event.detail), style="dim")
    return line


def _detail(detail: Mapping[str, Json]) -> str:
    found = findings_of(detail)
    if found:
        # The path is what whoever reads it goes on with, so it is never cut.
        more = detail.get("findings_count")
        total = more if isinstance(more, int) else len(found)
        first = f"{found[0].what}: {found[0].path}"
        return first if total < 2 else f"{first} " + n_("and {n} more", "and {n} more", total - 1).format(n=total - 1)
    text = ", ".join(f"{name}={_short(value)}" for name, value in detail.items() if value not in ("", None, [], {}))
    return plain(" ".join(text.split()), _LONGEST_DETAIL)


def _short(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def receipt(document: Mapping[str, Json], say: Speech) -> RenderableType:
    """What a receipt says. It may be made up: every member may be anything."""
    rows: list[tuple[str, str | Text]] = [
        (_("Package"), f"{_text(document, 'identifier')} {_text(document, 'version')}"),
        (_("node"), _text(document, "node")),
        (_("fonds"), _text(document, "fonds")),
        (_("agency"), _text(document, "agency")),
        (_("batch"), _text(document, "batch")),
        (_("files"), _text(document, "files")),
        (_("bytes"), _size(document, say)),
        (_("deposited"), _moment(document, "deposited_at", say)),
        (_("issued"), _moment(document, "issued_at", say)),
        (_("policy"), _text(document, "policy")),
    ]
    digests = document.get("digests")
    if isinstance(digests, Mapping):
        for kind, found in digests.items():
            if isinstance(found, Mapping):
                rows += [(str(kind), f"{name}:{digest}") for name, digest in found.items()]
    made = table(_("copy on"), _("domain"), _("site"), _("last proved"))
    copies = document.get("copies")
    for copy in copies if isinstance(copies, list) else []:
        if isinstance(copy, Mapping):
            named = [plain(_text(copy, name)) for name in ("volume", "domain", "site")]
            made.add_row(*named, _moment(copy, "proved_at", say))
    return Group(facts(rows), made) if made.row_count else facts(rows)


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    return "" if value is None else plain(str(value), 500)


def _size(document: Mapping[str, Json], say: Speech) -> str:
    found = document.get("bytes")
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        return _text(document, "bytes")
    return f"{say.number(found)} ({say.size(found)})" if found >= 1000 else say.number(found)


def _moment(document: Mapping[str, Json], name: str, say: Speech) -> str:
    text = _text(document, name)
    try:
        return say.moment(from_text(text))
    except ValueError:
        return text


def findings(rows: Iterable[tuple[bool, str]]) -> RenderableType:
    """Things that were looked at, each with whether it is in order."""
    lines = []
    for good, text in rows:
        line = Text("✓ " if good else "✗ ", style="green" if good else "bold red")
        line.append(plain(text), style="default")
        lines.append(line)
    return Group(*lines)
