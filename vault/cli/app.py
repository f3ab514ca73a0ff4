"""The application: its global options, and the commands that it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault import __version__
from vault.cli.lazy import Command, LazyGroup
from vault.cli.options import TOKEN_VARIABLE
from vault.i18n import _

COMMANDS = (
    Command("status", _("The node on one screen: policy, alerts, volumes, work."), "status"),
    Command("deposit", _("Deposit a file, a bag, or a folder, which is bagged on the way."), "deposit"),
    Command("get", _("Fetch a package, or one file of it, verified."), "get"),
    Command("packages", _("Packages: which there are, and where their copies are."), "packages"),
    Command("batches", _("Deliveries: opened with a list, closed with a receipt."), "batches"),
    Command("volumes", _("Volumes: the places that hold copies."), "volumes"),
    Command("disks", _("Disks: what they say of themselves, and what to think of it."), "disks"),
    Command("tapes", _("Tapes: cartridges, where they are, and what is on them."), "tapes"),
    Command("recall", _("Bring a version back from tape."), "recall"),
    Command("verify", _("Read copies back from their media now."), "verify"),
    Command("repair", _("Make damaged and missing copies of a package anew."), "verify"),
    Command("tasks", _("The work that is waiting or running."), "tasks"),
    Command("events", _("What happened: the ledger, newest last."), "tasks"),
    Command("evidence", _("Damaged bytes that were set aside before a repair."), "evidence"),
    Command("token", _("Credentials of the programs that use the API."), "token"),
    Command("receipt", _("Receipts: what the node signed for."), "receipt"),
    Command("ledger", _("The ledger: everything that ever happened, as a chain."), "ledger"),
    Command("catalog", _("The catalogue: what is where."), "catalog"),
    Command("drill", _("Rehearsals of a loss."), "drill"),
    Command("init", _("Set a node up: configuration, volumes, key, first token."), "init"),
    Command("doctor", _("What is wrong with this machine or its configuration, and the fix."), "doctor"),
)


class _Group(LazyGroup):
    table = COMMANDS


app = typer.Typer(
    name="vaultctl",
    cls=_Group,
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
    from vault.cli.session import Session

    del version
    if url and socket is not None:
        raise typer.BadParameter(_("Give --url or --socket, not both."))
    context.obj = Session(config=config, socket=socket, url=url, token_file=token_file)
