"""What stands on a volume beside what the catalogue says."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.parts import table
from vault.cli.text import NONE, Speech, plain
from vault.i18n import N_, _, n_

UNSOUND: Final = ("missing-object", "different-object", "broken-object")
"""Finds that mean that a copy is not as it should be."""

_SHOWN = 100
_KINDS: Final = {
    "foreign-object": N_("object of others"),
    "unknown-object": N_("not in the catalogue"),
    "different-object": N_("differs from the catalogue"),
    "broken-object": N_("cannot be read"),
    "missing-object": N_("missing"),
    "retired-copy": N_("no longer wanted"),
    "stray": N_("no object"),
    "leftover": N_("left over"),
}
_STATES: Final = {
    "running": N_("The scan goes on."),
    "failed": N_("The scan failed."),
    "interrupted": N_("The scan was interrupted; order it again."),
}


def scan(found: wire.Scan, say: Speech) -> RenderableType:
    """What was compared, and what is on one side only."""
    seen = n_("{n} object on the volume", "{n} objects on the volume", found.objects)
    held = n_("{n} copy of the catalogue", "{n} copies of the catalogue", found.copies)
    head = ", ".join((seen.format(n=say.number(found.objects)), held.format(n=say.number(found.copies))))
    lines: list[RenderableType] = [Text(f"{plain(found.volume)}: {head}.", style="bold")]
    state = _STATES.get(found.state)
    if state is not None:
        lines.append(Text(" ".join((_(state), plain(found.problem))).strip(), style="yellow"))
    if not found.strangers:
        if found.state == "done":
            lines.append(Text(_("Volume and catalogue agree."), style="green"))
        return Group(*lines)
    rows = table(_("What"), _("where"), _("package"), _("versions"), _("sound"), _("remark"))
    for each in found.strangers[:_SHOWN]:
        rows.add_row(
            Text(_kind(each.kind), style="bold red" if each.kind in UNSOUND or each.sound is False else ""),
            plain(each.path),
            plain(each.identifier or each.object_id) or NONE,
            " ".join(f"v{number}" for number in each.versions) or NONE,
            NONE if each.sound is None else _("yes") if each.sound else _("no"),
            plain("; ".join(each.faults) or each.message),
        )
    lines.append(rows)
    more = sum(found.counts.values()) - min(len(found.strangers), _SHOWN)
    if more > 0:
        lines.append(Text(n_("and {n} more", "and {n} more", more).format(n=say.number(more))))
    if found.ordered:
        text = n_("{n} package is verified now.", "{n} packages are verified now.", found.ordered)
        lines.append(Text(text.format(n=say.number(found.ordered))))
    if any(each.kind in ("foreign-object", "unknown-object") and each.sound is not False for each in found.strangers):
        command = f"vaultctl volumes adopt {found.volume} PATH"
        lines.append(Text(_("Make such an object a package with: {command}").format(command=command)))
    return Group(*lines)


def _kind(kind: str) -> str:
    known = _KINDS.get(kind)
    return _(known) if known is not None else plain(kind)


def adoption(found: wire.Adoption) -> RenderableType:
    """What an object became."""
    which = ", ".join(f"{was} → {became}" for was, became in found.versions.items())
    how = _("entered as it stands") if found.in_place else _("taken in; what lay there stays")
    return Text(
        _("{path} is now the package {identifier} ({versions}; {how}).").format(
            path=plain(found.path), identifier=plain(found.identifier), versions=which, how=how
        )
    )
