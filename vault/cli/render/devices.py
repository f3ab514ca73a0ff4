"""Disks, and what volumes stand on."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.parts import facts, state, table
from vault.cli.render.reasons import sentence
from vault.cli.text import NONE, Speech, plain
from vault.device_model import Health
from vault.i18n import _


def why(disk: wire.Disk) -> str:
    """Why a disk is judged as it is; remarks only where there is nothing worse."""
    grave = [reason for reason in disk.reasons if reason.verdict is not Health.HEALTHY]
    return " ".join(sentence(reason) for reason in grave or disk.reasons)


def disks(found: wire.DiskList, say: Speech) -> RenderableType:
    """All disks, a line each, the worst first; before them, what keeps the node from knowing better."""
    parts: list[RenderableType] = []
    if found.problem:
        parts.append(Text(plain(f"{found.problem} {found.remedy}".strip()), style="yellow"))
    made = table(_("Disk"), _("verdict"), _("model"), _("device"), _("volumes"), _("°C"), _("last read"), _("why"))
    for disk in found.items:
        shown = state(disk.health)
        if not disk.present:
            shown.append(" " + _("(not there)"), style="yellow")
        temperature = disk.readings.get("temperature_celsius")
        made.add_row(
            plain(disk.key),
            shown,
            plain(disk.model),
            plain(disk.device),
            plain(", ".join(disk.volumes)),
            NONE if temperature is None else say.number(temperature),
            say.moment(disk.read_at),
            Text(plain(why(disk))),
        )
    parts.append(made if made.row_count else Text(_("No disk is known.")))
    return Group(*parts)


def disk(found: wire.Disk, say: Speech) -> RenderableType:
    """All that is known of one disk."""
    rows: list[tuple[str, str | Text]] = [
        (_("Disk"), found.key),
        (_("verdict"), state(found.health)),
        (_("why"), Text("\n".join(plain(sentence(reason)) for reason in found.reasons) or NONE)),
        (_("model"), found.model or NONE),
        (_("serial number"), found.serial or NONE),
        (_("WWN"), found.wwn or NONE),
        (_("device"), found.device if found.present else _("(not there)")),
        (_("volumes"), ", ".join(found.volumes) or NONE),
        (_("last read"), say.moment(found.read_at)),
        (_("first seen"), say.moment(found.first_seen_at)),
    ]
    rows += [(plain(name), say.number(value)) for name, value in sorted(found.readings.items())]
    return facts(rows)


def stack(layers: Iterable[wire.StackLayer]) -> RenderableType:
    """What a volume stands on, from the file system down to the disks."""
    lines = Text()
    for layer in layers:
        detail = f"  {plain(layer.detail)}" if layer.detail else ""
        lines.append(f"{'  ' * layer.depth}{plain(layer.kind)} {plain(layer.name)}{detail}\n")
    return Text(_("It is not known what it stands on.")) if not lines.plain else lines
