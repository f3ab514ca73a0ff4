"""Batches, and the receipt of a delivery (phiếu tiếp nhận)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.parts import facts, table
from vault.cli.text import Speech, plain
from vault.clock import from_text
from vault.i18n import _
from vault.model import Json

_MOST_SHOWN = 100


def listing(found: Iterable[wire.Batch], say: Speech) -> RenderableType:
    """Batches, a line each."""
    made = table(
        _("Batch"), _("state"), _("registration code"), _("number"), _("agency"), _("listed"), _("entered"),
        _("missing"), _("extra"), _("different"), _("opened"), _("closed"), right=range(5, 10),
    )  # fmt: skip
    for batch in found:
        counts = batch.packages
        numbers = (counts.listed, counts.entered, counts.missing, counts.extra, counts.different)
        made.add_row(
            batch.id,
            _state(batch),
            plain(batch.registration_code),
            plain(batch.delivery_number),
            plain(batch.agency),
            *(say.number(number) for number in numbers),
            say.moment(batch.opened_at),
            say.moment(batch.closed_at),
        )
    return made if made.row_count else Text(_("There is no such batch."))


def _state(batch: wire.Batch) -> str:
    return _("open") if batch.state == "open" else _("closed")


def batch(found: wire.Batch, say: Speech, items: Collection[wire.BatchItem] = ()) -> RenderableType:
    """One batch, with those of its packages that need somebody's eye."""
    counts = found.packages
    rows: list[tuple[str, str | Text]] = [
        (_("Batch"), found.id),
        (_("state"), _state(found)),
        (_("registration code"), found.registration_code),
        (_("number"), found.delivery_number),
        (_("agency"), " ".join(part for part in (found.agency, found.agency_name) if part)),
        (_("opened by"), found.agent),
        (_("opened"), say.moment(found.opened_at)),
        (_("closed"), say.moment(found.closed_at) if found.closed_at else ""),
        (_("listed"), f"{say.number(counts.listed)} ({say.size(found.listed_bytes)})"),
        (_("entered"), f"{say.number(counts.entered)} ({say.size(found.entered_bytes)})"),
        (_("with a receipt"), say.number(counts.receipted)),
        (_("waiting for a receipt"), say.number(counts.not_ready)),
        (_("missing"), say.number(counts.missing)),
        (_("extra"), say.number(counts.extra)),
        (_("different"), say.number(counts.different)),
    ]
    made = table(_("Package"), _("what"), _("in what"))
    for item in list(items)[:_MOST_SHOWN]:
        made.add_row(plain(item.identifier), _what(item), ", ".join(_differences()[name] for name in item.differences))
    more = len(items) - _MOST_SHOWN
    parts: list[RenderableType] = [facts(rows)]
    if made.row_count:
        parts.append(made)
    if more > 0:
        parts.append(Text(_("and {n} more; see --show").format(n=say.number(more))))
    return Group(*parts)


def _what(item: wire.BatchItem) -> str:
    if item.state == "missing":
        return _("missing")
    if item.state in ("entering", "stored"):
        return _("waiting for a receipt")
    return _("different") if item.listed else _("extra")


def _differences() -> Mapping[str, str]:
    return {"digest": _("digest"), "files": _("files"), "bytes": _("bytes")}


def receipt(document: Mapping[str, Json], say: Speech) -> RenderableType:
    """The receipt of a delivery, with the fields of TT 05/2025/TT-BNV, article 23. It may be made up: every member may
    be anything."""
    agency = document.get("agency")
    named = agency if isinstance(agency, Mapping) else {}
    lists = document.get("list")
    digests = lists if isinstance(lists, Mapping) else {}
    rows: list[tuple[str, str | Text]] = [
        (_("registration code"), _text(document, "registration_code")),
        (_("number"), _text(document, "delivery_number")),
        (_("agency code"), _text(named, "code")),
        (_("agency name"), _text(named, "name")),
        (_("node"), _text(document, "node")),
        (_("batch"), _text(document, "batch")),
        (_("opened"), _moment(document, "opened_at", say)),
        (_("closed"), _moment(document, "closed_at", say)),
        (_("closed by"), _text(document, "closed_by")),
        (_("differences accepted"), _("yes") if document.get("differences_accepted") is True else ""),
        (_("reason"), _text(document, "reason")),
        (_("entered, SHA-256"), _text(digests, "entered_sha256")),
    ]
    made = table("", _("registered"), _("approved"), _("entered"), right=range(1, 4))
    for name, member in ((_("packages"), "packages"), (_("files"), "files"), (_("bytes"), "bytes")):
        numbers = document.get(member)
        if isinstance(numbers, Mapping):
            made.add_row(name, *(_number(numbers, which, say) for which in ("registered", "approved", "entered")))
    packages = document.get("packages")
    if isinstance(packages, Mapping):
        rows += [
            (said, _number(packages, which, say))
            for which, said in (("missing", _("missing")), ("extra", _("extra")), ("different", _("different")))
            if packages.get(which)
        ]
    title = Text(_("Receipt of a delivery"), style="bold")
    return Group(title, facts(rows), made) if made.row_count else Group(title, facts(rows))


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    return "" if value is None else plain(str(value), 500)


def _number(document: Mapping[str, Json], name: str, say: Speech) -> str:
    found = document.get(name)
    return say.number(found) if isinstance(found, int) and not isinstance(found, bool) else _text(document, name)


def _moment(document: Mapping[str, Json], name: str, say: Speech) -> str:
    text = _text(document, name)
    try:
        return say.moment(from_text(text))
    except ValueError:
        return text
