"""``vaultctl volumes``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault import wire
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import devices, node
from vault.cli.session import session_of
from vault.errors import NotFound
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
