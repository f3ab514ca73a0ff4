"""Minutes (*biên bản*) of a verification: what was read, what was found, to be printed, signed and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.node import bad_copies, verification_scope
from vault.cli.render.parts import table
from vault.cli.text import NONE, Speech, plain
from vault.i18n import _, n_
from vault.model import VerificationState


def verification(node: str, found: wire.Verification, bad: Sequence[wire.Event], say: Speech) -> RenderableType:
    """The minutes of one order; ``bad`` are its checks that found damage."""
    began, ended = say.moment(found.requested_at, seconds=True), say.moment(found.finished_at, seconds=True)
    held = _("Node {node}. Order {id}, given by {agent}. Begun {began}, ended {ended}.")
    lines: list[RenderableType] = [
        Text(_("MINUTES OF A VERIFICATION"), style="bold"),
        Text(held.format(node=plain(node), id=found.id, agent=plain(found.agent), began=began, ended=ended)),
        Text(_("Scope: {scope}.").format(scope=verification_scope(found, say))),
        Text(
            _("Copies: {total}. Read from their media: {checked}; intact {good}, not intact {bad}, not read {skipped}.")
            .format(
                total=say.number(found.total), checked=say.number(found.checked), good=say.number(found.good),
                bad=say.number(found.bad), skipped=say.number(found.skipped),
            )
        ),
    ]  # fmt: skip
    if bad:
        lines.append(bad_copies(bad, say))
    if found.state is not VerificationState.DONE:
        lines.append(Text(_("It has NOT come to its end."), style="bold"))
    elif found.bad or found.skipped:
        text = n_("Result: {n} copy was not intact or not read.", "Result: {n} copies were not intact or not read.",
                  found.bad + found.skipped)  # fmt: skip
        lines.append(Text(text.format(n=say.number(found.bad + found.skipped)), style="bold"))
    else:
        lines.append(Text(_("Result: every copy was intact."), style="bold"))
    lines.append(Text(_("Signatures: ______________________    ______________________")))
    return Group(*lines)


def scheduled(
    found: wire.ReadingList, days: tuple[date, date], bad: Sequence[wire.Event], say: Speech
) -> RenderableType:
    """The minutes of what was read on these days, whether the schedule or somebody asked for it; ``bad`` are the checks
    that found a copy not intact."""
    first, last = (f"{day:%d/%m/%Y}" for day in days)
    held = _("Node {node}. From {first} to {last}; hours after midnight belong to the day on which they began.")
    lines: list[RenderableType] = [
        Text(_("MINUTES OF SCHEDULED READING"), style="bold"),
        Text(held.format(node=plain(found.node), first=first, last=last)),
    ]
    if found.items:
        lines += [_read_table(found.items, say), *_standings(found.items, say)]
    if bad:
        lines.append(bad_copies(bad, say))
    copies = sum(day.routine.copies + day.other.copies for day in found.items)
    broken = copies - sum(day.routine.intact + day.other.intact for day in found.items)
    if not copies:
        result = _("Result: NOTHING was read back.")
    elif broken:
        result = n_("Result: {n} check found a copy not intact.", "Result: {n} checks found a copy not intact.", broken)
    else:
        result = _("Result: every copy that was read was intact.")
    lines.append(Text(result.format(n=say.number(broken)), style="bold"))
    lines.append(Text(_("Signatures: ______________________    ______________________")))
    return Group(*lines)


def _read_table(days: Iterable[wire.ReadingDay], say: Speech) -> RenderableType:
    made = table(
        _("day"), _("volume"), _("asked for by"), _("copies"), _("files"), _("read"), _("per second"), _("intact"),
        _("damaged"), _("missing"), _("in doubt"), right=(3, 4, 5, 6, 7, 8, 9, 10),
    )  # fmt: skip
    for day in days:
        for who, count in ((_("the schedule"), day.routine), (_("somebody"), day.other)):
            if who == _("somebody") and not (count.copies or count.bytes):
                continue
            numbers = (count.intact, count.damaged, count.missing, count.doubtful)
            made.add_row(
                f"{day.day:%d/%m/%Y}",
                plain(day.volume),
                who,
                say.number(count.copies),
                say.number(count.files),
                say.size(count.bytes),
                say.size(round(count.bytes / count.seconds)) if count.seconds else NONE,
                *(say.number(number) for number in numbers),
            )
    return made


def _standings(days: Iterable[wire.ReadingDay], say: Speech) -> Iterable[RenderableType]:
    """How far each volume was within its interval, at the last look of these days."""
    newest = {day.volume: day.standing for day in days if day.standing is not None}
    for volume, standing in sorted(newest.items()):
        text = _(
            "{volume}: on {moment}, {proved} of {held} copies had been read back within {days} days; the oldest proof"
            " was of {oldest}; {overdue} were overdue."
        )
        yield Text(
            text.format(
                volume=plain(volume), moment=say.moment(standing.looked_at), proved=say.number(standing.proved),
                held=say.number(standing.held), days=round(standing.interval_seconds / 86400),
                oldest=say.moment(standing.oldest_proof), overdue=say.number(standing.overdue),
            )
        )  # fmt: skip
