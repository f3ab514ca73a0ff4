"""``vaultctl verify`` and ``vaultctl repair``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault import wire
from vault.cli.exits import ExitCode
from vault.cli.options import IdentifierArgument, JsonOption, WaitLimitOption, read_duration, read_identifier
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.session import Session, session_of
from vault.cli.waiting import counting, wait_for
from vault.i18n import _, n_
from vault.model import VerificationState


def verdict(found: wire.Verification) -> ExitCode:
    """How a verification ended, as a number: damage weighs more than what could not be reached."""
    if found.bad:
        return ExitCode.UNSOUND
    return ExitCode.UNREACHABLE if found.skipped else ExitCode.OK


def verify(
    context: typer.Context,
    volume: Annotated[str, typer.Option("--volume", metavar="NAME", help=_("Every copy on this volume."))] = "",
    identifier: Annotated[str, typer.Option("--identifier", metavar="ID", help=_("Every copy of this package."))] = "",
    all_copies: Annotated[bool, typer.Option("--all", help=_("Every copy there is."))] = False,
    order: Annotated[
        str, typer.Option("--order", metavar="NUMBER", help=_("No new order: how far an earlier one is."))
    ] = "",
    every_order: Annotated[bool, typer.Option("--list", help=_("No new order: those that were given."))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=_("Wait for its end; 5 if damage was found."))] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Order a verification, or look at one."""
    session = session_of(context)
    limit = read_duration(timeout)
    if sum((bool(volume), bool(identifier), all_copies, bool(order), every_order)) != 1:
        raise typer.BadParameter(_("Give one of --volume, --identifier, --all, --order and --list."))
    if every_order:
        _list(session, json=json)
        return
    with session.client() as client:
        if order:
            found = client.verification(order)
        else:
            wanted = read_identifier(identifier) if identifier else ""
            found = client.verify(wire.VerificationOrder(volume=volume, identifier=wanted, all=all_copies))
        if wait:
            number = found.id
            with counting(session.err, _("Verifying")) as count:
                found = wait_for(
                    lambda: client.verification(number),
                    lambda seen: seen.state is VerificationState.DONE,
                    what=_("The verification goes on; look with `vaultctl verify --order {id}`.").format(id=number),
                    limit=limit,
                    show=lambda seen: count(seen.checked, seen.total),
                )
    if json:
        print_json(found)
    else:
        session.out.print(node.verification(found, session.speech))
    if found.state is VerificationState.DONE and (wait or order):
        raise typer.Exit(verdict(found))


def _list(session: Session, *, json: bool) -> None:
    with session.client() as client:
        found = client.verifications()
    if json:
        print_json(found)
    else:
        session.out.print(node.verifications(found.items, session.speech))


def repair(
    context: typer.Context,
    identifier: IdentifierArgument,
    wait: Annotated[bool, typer.Option("--wait", help=_("Wait until the policy of every version holds."))] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Order the repair of a package."""
    session = session_of(context)
    limit = read_duration(timeout)
    wanted = read_identifier(identifier)
    with session.client() as client:
        found = client.repair(wanted)
        if wait and found.ordered:
            wait_for(
                lambda: client.package(wanted),
                lambda seen: seen.policy_held,
                what=_("The repair goes on; look with `vaultctl tasks`."),
                limit=limit,
            )
    if json:
        print_json(found)
    elif found.ordered:
        text = n_("{n} copy will be repaired.", "{n} copies will be repaired.", found.ordered)
        session.out.print(text.format(n=found.ordered))
    else:
        session.out.print(_("Every copy is well; there is nothing to repair."))
