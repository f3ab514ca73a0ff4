"""The application: its global options, and the commands that it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault import __version__
from vault.cli.commands import (
    catalog,
    deposit,
    doctor,
    evidence,
    get,
    ledger,
    packages,
    receipt,
    status,
    tasks,
    token,
    verify,
    volumes,
)
from vault.cli.session import TOKEN_VARIABLE, Session
from vault.i18n import _

app = typer.Typer(
    name="vaultctl",
    help=_("The sysadmin's hand on a storage node of the archive."),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"vaultctl {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help=_("The configuration; else VAULT_CONFIG, or /etc/vault/vault.toml.")
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option("--socket", metavar="PATH", help=_("The daemon's socket, where it is not the configured one.")),
    ] = None,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help=_("A node on another machine, reached over TCP with a token."))
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help=_("A file with the token for --url; else the variable {variable}.").format(variable=TOKEN_VARIABLE),
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help=_("Print the version and end."))
    ] = False,
) -> None:
    """Take note of the global options; nothing is opened before a command needs it."""
    del version
    if url and socket is not None:
        raise typer.BadParameter(_("Give --url or --socket, not both."))
    context.obj = Session(config=config, socket=socket, url=url, token_file=token_file)


app.command("status", help=_("The node on one screen: policy, alerts, volumes, work."))(status.status)
app.command("deposit", help=_("Deposit a file, a bag, or a folder, which is bagged on the way."))(deposit.deposit)
app.command("get", help=_("Fetch a package, or one file of it, verified."))(get.get)
app.add_typer(packages.app, name="packages")
app.add_typer(volumes.app, name="volumes")
app.command("verify", help=_("Read copies back from their media now."))(verify.verify)
app.command("repair", help=_("Make damaged and missing copies of a package anew."))(verify.repair)
app.command("tasks", help=_("The work that is waiting or running."))(tasks.tasks)
app.command("events", help=_("What happened: the ledger, newest last."))(tasks.events)
app.add_typer(evidence.app, name="evidence")
app.add_typer(token.app, name="token")
app.add_typer(receipt.app, name="receipt")
app.add_typer(ledger.app, name="ledger")
app.add_typer(catalog.app, name="catalog")
app.command("doctor", help=_("What is wrong with this machine or its configuration, and the fix."))(doctor.doctor)
