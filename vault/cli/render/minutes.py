"""Minutes (*biên bản*) of a verification: what was read, what was found, to be printed, signed and kept."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.node import bad_copies, verification_scope
from vault.cli.text import Speech, plain
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
