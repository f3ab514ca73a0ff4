"""``vaultctl status``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault import wire
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.session import session_of
from vault.i18n import _


def sound(found: wire.Status) -> bool:
    """Whether nothing needs a person now: every policy held, and no alert that is critical."""
    return (
        found.policy_held and node.can_store(found) and not any(alert.severity == "critical" for alert in found.alerts)
    )


def status(
    context: typer.Context,
    json: JsonOption = False,
    check: Annotated[
        bool, typer.Option("--check", help=_("End with 5 unless every policy is held and no alert is critical."))
    ] = False,
) -> None:
    """Show the node on one screen."""
    session = session_of(context)
    with session.client() as client:
        found = client.status()
    if json:
        print_json(found)
    else:
        session.show(node.status(found, session.speech))
    if check and not sound(found):
        raise typer.Exit(ExitCode.UNSOUND)
