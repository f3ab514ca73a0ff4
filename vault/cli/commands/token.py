"""``vaultctl token``."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from vault import wire
from vault.cli.options import JsonOption, read_duration, read_size
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.session import session_of
from vault.clock import utcnow
from vault.i18n import _
from vault.model import Scope

app = typer.Typer(help=_("Credentials of the programs that use the API."), no_args_is_help=True, rich_markup_mode=None)


@app.command("create", help=_("Make a token and print it: the only time that it is shown."))
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("What it is called; this stands in every event."))],
    scope: Annotated[list[Scope], typer.Option("--scope", help=_("What it may do; can be given several times."))],
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="DURATION", help=_("How long it is valid (90d); else until it is revoked.")),
    ] = "",
    agency: Annotated[
        str, typer.Option("--agency", metavar="A", help=_("It sees and touches only what is of this agency."))
    ] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help=_("Identifiers that it deposits must begin so."))
    ] = "",
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="CIDR", help=_("It is good only from there; can be given several times.")),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help=_("Requests per second that it may make."))
    ] = None,
    bytes_per_day: Annotated[
        str, typer.Option("--bytes-per-day", metavar="SIZE", help=_("How much it may send in a day (50 GB)."))
    ] = "",
    packages_per_day: Annotated[
        int | None, typer.Option("--packages-per-day", metavar="N", help=_("Deposits that it may begin in a day."))
    ] = None,
    open_uploads: Annotated[
        int | None, typer.Option("--open-uploads", metavar="N", help=_("Resumable uploads that it may have open."))
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token."""
    session = session_of(context)
    duration = read_duration(expires, "--expires")
    size = read_size(bytes_per_day, "--bytes-per-day")
    try:
        order = wire.TokenOrder(
            name=name,
            scopes=scope,
            expires_at=None if duration is None else utcnow() + duration,
            agency=agency,
            prefix=prefix,
            networks=network or [],
            limits=wire.TokenLimits(
                rate=rate, bytes_per_day=size, packages_per_day=packages_per_day, open_uploads=open_uploads
            ),
        )
    except ValidationError as error:
        if error.title == "TokenLimits":
            raise typer.BadParameter(_("A limit is a number greater than 0, and within reason.")) from error
        message = _("{name} is no name for a token; use at most 64 letters, digits, dots, dashes and underscores.")
        raise typer.BadParameter(message.format(name=repr(name))) from error
    with session.client() as client:
        made = client.create_token(order)
    if json:
        print_json(made)
        return
    session.err.print(node.tokens([made], session.speech))
    session.err.print(_("Keep it safe; it cannot be shown again:"))
    typer.echo(made.token)


@app.command("list", help=_("All tokens that were not revoked."))
def list_tokens(context: typer.Context, json: JsonOption = False) -> None:
    """List tokens."""
    session = session_of(context)
    with session.client() as client:
        found = client.tokens()
    if json:
        print_json(found)
    else:
        session.show(node.tokens(found.items, session.speech))


@app.command("revoke", help=_("End a token's validity at once."))
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("The token's name."))],
) -> None:
    """Revoke a token."""
    session = session_of(context)
    with session.client() as client:
        client.revoke_token(name)
    session.err.print(_("The token {name} is not valid any more.").format(name=name))
