"""``vaultctl volumes``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault import wire
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption, WaitLimitOption, read_duration, read_identifier
from vault.cli.output import print_json
from vault.cli.render import devices, node, shelf
from vault.cli.session import session_of
from vault.cli.waiting import wait_for
from vault.client.problems import error_from_problem
from vault.errors import NotFound, Refused
from vault.i18n import _
from vault.model import VolumeMode

app = typer.Typer(help=_("Volumes: the places that hold copies."), rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=_("The volume's name in the configuration."))]


@app.callback(invoke_without_command=True)
def volumes(context: typer.Context, json: JsonOption = False) -> None:
    """List the volumes."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    with session.client() as client:
        found = client.volumes()
    if json:
        print_json(found)
    else:
        session.show(node.volumes(found.items, session.speech))


@app.command("show", help=_("All that is known of one volume."))
def show(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Show one volume."""
    session = session_of(context)
    with session.client() as client:
        try:
            found = client.volume(name)
        except NotFound as error:
            raise NotFound(
                _("There is no volume {name}.").format(name=repr(name)),
                remedy=_("`vaultctl volumes` lists them; add a new one to the configuration first."),
                code="no-such-volume",
            ) from error
    _print(context, found, json=json)
    if not json:
        session.show(devices.stack(found.stack))


@app.command("init", help=_("Make the empty folder of a configured volume into that volume."))
def init(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Initialise a volume."""
    session = session_of(context)
    with session.client() as client:
        found = client.initialise_volume(name)
    _print(context, found, json=json)


@app.command("set-state", help=_("Say what is wanted of a volume: active, read-only, evacuating or retired."))
def set_state(
    context: typer.Context,
    name: NameArgument,
    state: Annotated[VolumeMode, typer.Argument(metavar="STATE", help=_("What is wanted of it from now on."))],
    json: JsonOption = False,
) -> None:
    """Change what is wanted of a volume."""
    _change(context, name, state, json=json)


@app.command("evacuate", help=_("The same as set-state NAME evacuating: make its copies anew elsewhere."))
def evacuate(context: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Begin to evacuate a volume."""
    _change(context, name, VolumeMode.EVACUATING, json=json)


@app.command("replace", help=_("Give the name of a dead volume to a new, empty medium; its copies are made anew."))
def replace(
    context: typer.Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help=_("Do not ask; needed where nobody can answer."))] = False,
    give_up: Annotated[
        int,
        typer.Option(
            "--give-up",
            metavar="N",
            min=0,
            help=_("So many versions at most may have no other copy than the one on the old medium."),
        ),
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Replace a volume's medium."""
    session = session_of(context)
    if not yes and not sys.stdin.isatty():
        raise Refused(
            _("The volume {name} was not replaced: nobody can be asked here.").format(name=name),
            remedy=_("Look at `vaultctl volumes show {name}`, and add --yes.").format(name=name),
            code="not-confirmed",
        )
    with session.client() as client:
        if not yes:
            session.err.print(node.volume(client.volume(name), session.speech), crop=False)
            question = _("Count every copy on the old medium of {name} as lost, and begin with the new one?")
            if not typer.confirm(question.format(name=name), err=True):
                raise typer.Exit(ExitCode.REFUSED)
        found = client.replace_volume(name, give_up)
    _print(context, found, json=json)


@app.command("scan", help=_("Compare a volume with the catalogue: what is there and not known, and the reverse."))
def scan(
    context: typer.Context,
    name: NameArgument,
    check: Annotated[
        bool, typer.Option("--check", help=_("Read every byte of foreign objects too, where they lie."))
    ] = False,
    last: Annotated[
        bool, typer.Option("--last", help=_("No new scan: the one that goes on, or the last one."))
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help=_("Only order it."))] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Scan a volume for what the catalogue does not know, and the reverse."""
    session = session_of(context)
    limit = read_duration(timeout)
    with session.client() as client:
        found = client.last_scan(name) if last else client.scan_volume(name, wire.ScanOrder(check=check))
        if not (last or no_wait):
            found = wait_for(
                lambda: client.last_scan(name),
                lambda seen: seen.state != "running",
                what=_("The scan goes on; look with `{command}`.").format(
                    command=f"vaultctl volumes scan {name} --last"
                ),
                limit=limit,
            )
    if json:
        print_json(found)
    else:
        session.show(shelf.scan(found, session.speech))
    if found.state != "running":
        raise typer.Exit(_ending(found))


def _ending(found: wire.Scan) -> ExitCode:
    if found.state != "done":
        return ExitCode.FAILED
    unsound = any(found.counts.get(kind) for kind in shelf.UNSOUND)
    return ExitCode.UNSOUND if unsound or any(each.sound is False for each in found.strangers) else ExitCode.OK


@app.command("adopt", help=_("Make an OCFL object that lies on the volume a package of the archive."))
def adopt(
    context: typer.Context,
    name: NameArgument,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help=_("The object's folder below the volume's root, as a scan names it."))
    ],
    identifier: Annotated[
        str,
        typer.Option("--identifier", metavar="ID", help=_("What the package shall be called; else the object's id.")),
    ] = "",
    fonds: Annotated[str, typer.Option("--fonds", help=_("Fonds that the package belongs to."))] = "",
    agency: Annotated[str, typer.Option("--agency", help=_("Code of the agency that it comes from."))] = "",
    title: Annotated[str, typer.Option("--title", help=_("Title, for people."))] = "",
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Adopt an object, and wait for its end."""
    session = session_of(context)
    limit = read_duration(timeout)
    said = {key: value for key, value in (("fonds", fonds), ("agency", agency), ("title", title)) if value}
    wanted = read_identifier(identifier, "--identifier") if identifier else ""
    with session.client() as client:
        begun = client.adopt(name, wire.AdoptionOrder(path=path, identifier=wanted, describe=said))
        found = wait_for(
            lambda: client.adoption(name, begun.id),
            lambda seen: seen.state != "running",
            what=_("The adoption goes on; the ledger tells of its end (`vaultctl events`)."),
            limit=limit,
        )
    if found.problem is not None:
        raise error_from_problem(found.problem)
    if json:
        print_json(found)
    else:
        session.show(shelf.adoption(found))


def _change(context: typer.Context, name: str, state: VolumeMode, *, json: bool) -> None:
    session = session_of(context)
    with session.client() as client:
        found = client.set_volume_mode(name, state)
    _print(context, found, json=json)
    session.err.print(node.mode_meaning(state))


def _print(context: typer.Context, found: wire.Volume, *, json: bool) -> None:
    session = session_of(context)
    if json:
        print_json(found)
    else:
        session.show(node.volume(found, session.speech))
