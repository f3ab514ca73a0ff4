"""``vaultctl disks``."""

from __future__ import annotations

from typing import Annotated

import typer

from vault import wire
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import devices
from vault.cli.session import session_of
from vault.client import Client
from vault.errors import NotFound
from vault.i18n import _

app = typer.Typer(help=_("Disks: what they say of themselves, and what to think of it."), rich_markup_mode=None)

KeyArgument = Annotated[str, typer.Argument(metavar="DISK", help=_("The disk's serial number, as in the list."))]


@app.callback(invoke_without_command=True)
def disks(context: typer.Context, json: JsonOption = False) -> None:
    """List the disks."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    with session.client() as client:
        found = client.disks()
    if json:
        print_json(found)
    else:
        session.show(devices.disks(found, session.speech))


@app.command("show", help=_("All that is known of one disk."))
def show(context: typer.Context, disk: KeyArgument, json: JsonOption = False) -> None:
    """Show one disk."""
    session = session_of(context)
    with session.client() as client:
        found = _find(client, disk)
    if json:
        print_json(found)
    else:
        session.show(devices.disk(found, session.speech))


@app.command("forget", help=_("Forget a disk that was taken out for good: it is not told to be gone any more."))
def forget(context: typer.Context, disk: KeyArgument, json: JsonOption = False) -> None:
    """Forget a disk."""
    session = session_of(context)
    with session.client() as client:
        gone = client.forget_disk(_find(client, disk).key)
    if json:
        print_json(gone)
    else:
        session.err.print(_("The disk {name} is forgotten.").format(name=gone.key))


def _find(client: Client, name: str) -> wire.Disk:
    known = client.disks().items
    # Of disks that share a serial number one may be known by it alone, and is meant before those that only have it.
    called = [one for one in known if name == one.key] or [one for one in known if name in (one.serial, one.wwn)]
    if len(called) > 1:
        raise NotFound(
            _("Several disks are called {name}.").format(name=repr(name)),
            remedy=_("Say which, as in the list: {keys}").format(keys=", ".join(repr(one.key) for one in called)),
            code="no-such-disk",
        )
    if not called:
        raise NotFound(
            _("There is no disk {name}.").format(name=repr(name)),
            remedy=_("`vaultctl disks` lists them."),
            code="no-such-disk",
        )
    return called[0]
