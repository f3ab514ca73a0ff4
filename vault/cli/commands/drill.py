"""``vaultctl drill``: rehearsing the day on which the server is gone."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from vault.cli.exits import ExitCode
from vault.cli.keys import node_key_of, read_keys
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.session import session_of
from vault.cli.waiting import silence_told, stoppable
from vault.i18n import _

app = typer.Typer(help=_("Rehearsals of a loss."), no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def drills() -> None:
    """Rehearsals."""


@app.command(
    "restore", help=_("Restore the catalogue and random packages to scratch from the volumes alone; print the minutes.")
)
def restore(
    context: typer.Context,
    packages: Annotated[
        int, typer.Option("--packages", metavar="N", min=1, max=10_000, help=_("How many packages, chosen at random."))
    ] = 5,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", metavar="DIR", help=_("Where to restore to; it is emptied again."))
    ] = None,
    key: Annotated[
        list[str],
        typer.Option("--key", metavar="KEY", help=_("A public key whose backups are believed; else the node's own.")),
    ] = [],  # noqa: B006 - typer copies it
    json: JsonOption = False,
) -> None:
    """Hold a drill."""
    from vault.cli.offline import find_version, open_catalogue, open_volume, rebuild_sources
    from vault.cli.render.recovery import minutes_of
    from vault.ledger import append
    from vault.recovery.drill import drill
    from vault.recovery.patience import patient

    session = session_of(context)
    settings = session.settings
    with open_catalogue(settings):
        # Where the minutes could not be kept, that is better told before an hour's reading than after it.
        pass
    stopped = _("The drill was stopped before its end: the scratch is emptied, and there are no minutes of it.")
    with (
        stoppable(stopped),
        patient(rebuild_sources(settings), settings.custody.stalled_after, silence_told(session.err)) as media,
    ):
        minutes = drill(
            settings,
            media,
            lambda volume, identifier, version: find_version(open_volume(settings, volume), identifier, version),
            agent=f"user:{getpass.getuser()}",
            trusted=read_keys(key) or node_key_of(settings),
            number=packages,
            scratch=scratch or Path(tempfile.gettempdir()),
        )
    if json:
        print_json(minutes.as_json())
    else:
        session.show(minutes_of(minutes, session.speech))
    with open_catalogue(settings) as catalogue, catalogue.write() as tx:
        append(tx, minutes.event())
    if not minutes.ok:
        raise typer.Exit(ExitCode.UNSOUND)
