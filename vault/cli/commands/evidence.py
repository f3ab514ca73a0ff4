"""``vaultctl evidence``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault import wire
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.session import Session, session_of
from vault.client import Client
from vault.errors import NotFound, Refused
from vault.i18n import _

app = typer.Typer(help=_("Damaged bytes that were set aside before a repair."), rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def evidence(
    context: typer.Context,
    released: Annotated[bool, typer.Option("--released", help=_("Those that were released, instead."))] = False,
    json: JsonOption = False,
) -> None:
    """List the evidence that is being kept."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    with session.client() as client:
        found = client.evidence(released=released)
    if json:
        print_json(found)
    else:
        session.show(node.evidence(found.items, session.speech))


@app.command("release", help=_("Let evidence be removed, once its cause is known. This cannot be undone."))
def release(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help=_("Its number in the list."))],
    yes: Annotated[bool, typer.Option("--yes", help=_("Do not ask; needed where nobody can answer."))] = False,
    json: JsonOption = False,
) -> None:
    """Release one piece of evidence, after it was shown and confirmed."""
    session = session_of(context)
    if not yes and not sys.stdin.isatty():
        raise Refused(
            _("Evidence {number} was not released: nobody can be asked here.").format(number=number),
            remedy=_("Look at `vaultctl evidence`, and add --yes to release it."),
            code="not-confirmed",
        )
    with session.client() as client:
        if not yes:
            _confirm(session, _kept(client, number))
        found = client.release_evidence(number)
    if json:
        print_json(found)
    else:
        session.show(node.evidence([found], session.speech))


def _kept(client: Client, number: int) -> wire.Evidence:
    """The evidence of that number, so that whoever is asked sees what it is. Raises NotFound, Refused."""
    found = next((one for one in client.evidence().items if one.id == number), None)
    if found is not None:
        return found
    if any(one.id == number for one in client.evidence(released=True).items):
        raise Refused(_("Evidence {number} was released already.").format(number=number), code="already-released")
    raise NotFound(
        _("There is no evidence {number}.").format(number=number),
        remedy=_("`vaultctl evidence` lists what is being kept."),
        code="no-such-evidence",
    )


def _confirm(session: Session, found: wire.Evidence) -> None:
    session.err.print(node.one_evidence(found, session.speech), crop=False)
    question = _("Remove these bytes from the volume {volume}? This cannot be undone.").format(volume=found.volume)
    if not typer.confirm(question, err=True):
        session.err.print(_("Nothing was removed."))
        raise typer.Exit(ExitCode.REFUSED)
