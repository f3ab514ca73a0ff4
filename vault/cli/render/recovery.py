"""What a rebuild of the catalogue found, and the minutes of a drill."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from vault.cli.render.parts import table
from vault.cli.text import Speech, plain
from vault.clock import from_text
from vault.i18n import _, n_
from vault.recovery.drill import Minutes
from vault.recovery.report import RebuildReport

_SHOWN = 50
_UNREAD = frozenset({"not-read", "volume-not-read", "foreign-volume"})


def rebuilt(report: RebuildReport, say: Speech) -> RenderableType:
    """What was begun with, what each medium gave, and what they disagree about."""
    rows = table(
        _("medium"), _("parts"), _("known"), _("new copies"), _("new versions"), _("doubted"), right=(1, 2, 3, 4, 5)
    )
    for read in report.sources:
        counts = (read.parts, read.known, read.copies_added, read.versions_added, read.doubted)
        rows.add_row(read.name, *map(str, counts))
    whole = n_("{n} version", "{n} versions", report.versions).format(n=report.versions)
    held = n_("{n} package", "{n} packages", report.packages).format(n=report.packages)
    lines: list[RenderableType] = [Text(_base(report, say)), rows]
    lines.append(Text(_("The catalogue has {packages}, {versions}.").format(packages=held, versions=whole)))
    if report.moved_aside:
        lines.append(Text(_("What stood there is kept: {path}").format(path=report.moved_aside)))
    for trouble in report.troubles[:_SHOWN]:
        line = Text("! ", style="yellow")
        what = " ".join(filter(None, (trouble.object_id, f"v{trouble.number}" if trouble.number else "")))
        line.append(plain(f"{trouble.code} {trouble.source} {what}: {trouble.message}"), style="default")
        lines.append(line)
    more = sum(report.counts.values()) - min(len(report.troubles), _SHOWN)
    if more > 0:
        lines.append(
            Text(n_("and {n} more (--json lists them)", "and {n} more (--json lists them)", more).format(n=more))
        )
    if _UNREAD & report.counts.keys():
        lines.append(
            Text(_("What could not be read may hold more. When it is well again: stop vaultd, and rebuild once more."))
        )
    lines.append(Text(_("Now start vaultd; copies that were not read yet are read first.")))
    return Group(*lines)


def _base(report: RebuildReport, say: Speech) -> str:
    base = report.base
    if base.get("kind") == "backup":
        when = say.moment(from_text(str(base["time"])), seconds=True)
        return _("Begun with the backup of {time} from {place}.").format(time=when, place=base["from"])
    if base.get("kind") == "current":
        return _("Begun with the catalogue that was there.")
    return _("Begun with nothing: no backup could be used.")


def minutes_of(minutes: Minutes, say: Speech) -> RenderableType:
    """The minutes of a drill, to be printed and signed by hand."""
    lines: list[RenderableType] = [Text(_("MINUTES OF A RESTORE DRILL"), style="bold")]
    held = _("Node {node}. Held by {agent}, from {began} to {ended}.")
    began, ended = say.moment(minutes.began, seconds=True), say.moment(minutes.ended, seconds=True)
    lines.append(Text(held.format(node=minutes.node, agent=minutes.agent, began=began, ended=ended)))
    if minutes.catalogue_reason:
        lines.append(Text(_("✗ The catalogue was not restored: {reason}").format(reason=minutes.catalogue_reason)))
    else:
        done = _("✓ The catalogue was restored from the backup of {time} on {place}: {events} events, chain verified.")
        when = say.moment(from_text(str(minutes.catalogue["time"])), seconds=True)
        events = minutes.catalogue["events"]
        lines.append(Text(done.format(time=when, place=minutes.catalogue["from"], events=events)))
    rows = table(_("package"), _("from"), _("files"), _("size"), _("time"), _("result"), right=(2, 3, 4))
    for one in minutes.packages:
        result = plain(one.reason) if one.reason else _("restored, every digest right")
        name = f"{one.identifier} v{one.version}"
        rows.add_row(name, one.volume, str(one.files), say.size(one.bytes), f"{one.seconds:.1f} s", result)
    lines.append(rows)
    if minutes.packages:
        tried = _("{tried} of {asked} packages were tried.")
        lines.append(Text(tried.format(tried=len(minutes.packages), asked=minutes.asked)))
    elif not minutes.catalogue_reason:
        lines.append(
            Text(_("✗ No package was tried: the backup knows none. Make a newer one first: vaultctl catalog backup"))
        )
    verdict = _("Result: everything that was tried was restored.") if minutes.ok else _("Result: NOT everything.")
    lines.append(Text(verdict, style="bold"))
    lines.append(Text(_("Signatures: ______________________    ______________________")))
    return Group(*lines)
