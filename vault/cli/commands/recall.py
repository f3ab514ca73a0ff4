"""``vaultctl recall``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault import wire_tapes
from vault.cli.options import JsonOption, read_identifier, read_version
from vault.cli.output import print_json
from vault.cli.render import tapes as render
from vault.cli.session import session_of
from vault.cli.waiting import wait_for
from vault.client import tapes as client_tapes
from vault.errors import Unreachable
from vault.i18n import _
from vault.model import RecallState


def recall(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help=_("The package's identifier."))],
    version: Annotated[
        str, typer.Option("--version", metavar="vN", help=_("Which version; the newest where nothing is said."))
    ] = "",
    file: Annotated[
        list[str] | None, typer.Option("--file", metavar="PATH", help=_("Only this file; may be given several times."))
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help=_("Wait until it is on disk."))] = False,
    json: JsonOption = False,
) -> None:
    """Bring a version back from tape."""
    session = session_of(context)
    order = wire_tapes.RecallOrder(
        identifier=read_identifier(identifier), version=read_version(version), files=list(file or [])
    )
    with session.client() as client:
        found = client_tapes.recall(client, order)
        if wait:
            found = wait_for(
                lambda: client_tapes.recall_state(client, found.id),
                lambda seen: seen.state not in (RecallState.WAITING, RecallState.READING),
                what=_("The recall goes on."),
            )
    if json:
        print_json(found)
    else:
        session.show(render.recall(found, session.speech))
    if found.state is RecallState.FAILED:
        raise Unreachable(found.message, remedy=_("Look at `vaultctl tapes`."), code="recall-impossible")
