"""``vaultctl evidence``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.session import session_of
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
        session.out.print(node.evidence(found.items, session.speech))


@app.command("release", help=_("Let evidence be removed, once its cause is known. This cannot be undone."))
def release(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help=_("Its number in the list."))],
    json: JsonOption = False,
) -> None:
    """Release one piece of evidence."""
    session = session_of(context)
    with session.client() as client:
        found = client.release_evidence(number)
    if json:
        print_json(found)
    else:
        session.out.print(node.evidence([found], session.speech))
