"""``vaultctl catalog``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vault.cli.session import session_of
from vault.clock import utcnow
from vault.errors import Conflict
from vault.i18n import _

app = typer.Typer(help=_("The catalogue: what is where."), no_args_is_help=True, rich_markup_mode=None)


@app.command("backup", help=_("Write a consistent copy of the catalogue while work goes on."))
def backup(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help=_("The file to write, or a folder to write it into."))],
    force: Annotated[bool, typer.Option("--force", help=_("Replace a file that is there."))] = False,
) -> None:
    """Back the catalogue up."""
    from vault.cli.offline import open_catalogue

    session = session_of(context)
    if os.path.isdir(path):
        path = os.path.join(path, utcnow().strftime("catalog-%Y%m%d-%H%M%S.db"))
    if not force and os.path.lexists(path):
        raise Conflict(
            _("{path} is there already.").format(path=path),
            remedy=_("Name another file, or add --force to replace it."),
            code="occupied",
        )
    with open_catalogue(session.settings) as catalogue:
        catalogue.backup(path)
    text = _("The catalogue is in {path} ({size}).")
    session.out.print(text.format(path=path, size=session.speech.size(os.path.getsize(path))), soft_wrap=True)
