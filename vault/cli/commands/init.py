"""``vaultctl init``."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from vault import wire
from vault.cli.commands.doctor import report
from vault.cli.exits import ExitCode
from vault.cli.session import Session, session_of
from vault.cli.setup.answers import Answers, VolumeAnswer
from vault.cli.text import plain
from vault.durable import write_durably
from vault.errors import VaultError
from vault.i18n import _, current_language
from vault.model import Scope


def init(
    context: typer.Context,
    volume: Annotated[
        list[str],
        typer.Option(
            "--volume",
            metavar="VOLUME",
            help=_("NAME=PATH[,domain=D][,site=S][,mount=no]; can be given several times. Then nothing is asked."),
        ),
    ] = [],  # noqa: B006 - typer copies it
    name: Annotated[str, typer.Option("--name", metavar="NAME", help=_("The node's name; else this machine's."))] = "",
    site: Annotated[
        str, typer.Option("--site", metavar="S", help=_("Where the volumes stand that are given no site of their own."))
    ] = "",
    disk_copies: Annotated[
        int | None,
        typer.Option("--disk-copies", metavar="N", min=1, help=_("Good copies on disk; else two where they can be.")),
    ] = None,
    tape_copies: Annotated[
        int | None,
        typer.Option("--tape-copies", metavar="N", min=0, help=_("Copies on tape; else one where there is a drive.")),
    ] = None,
    no_tape: Annotated[
        bool, typer.Option("--no-tape", help=_("Leave tape drives and libraries that are found alone."))
    ] = False,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help=_("Where the API listens; else 127.0.0.1:8420."))
    ] = "",
    token: Annotated[
        str, typer.Option("--token", metavar="NAME", help=_("What the first token is called (deposit and read)."))
    ] = "repository",  # noqa: S107 - its name, not the token
    token_out: Annotated[
        Path | None,
        typer.Option("--token-out", metavar="FILE", help=_("Where the token is written; else it is printed, once.")),
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help=_("The node's own folder; else /var/lib/vault."))
    ] = None,
    user: Annotated[
        str,
        typer.Option("--user", metavar="NAME", help=_("As whom vaultd runs; else the owner of that folder, or vault.")),
    ] = "",
    accept_shared_devices: Annotated[
        bool,
        typer.Option("--accept-shared-devices", help=_("For a trial: let several volumes stand on one device.")),
    ] = False,
    no_start: Annotated[bool, typer.Option("--no-start", help=_("Do not start vaultd."))] = False,
) -> None:
    """Set a node up."""
    from vault.cli.setup import compose, making, service

    session = session_of(context)
    path = session.config_file
    _check_token(token, token_out)
    text = ""
    if compose.is_configured(path):
        told = _("{path} is there already and stays as it is; what is missing beside it is made.")
        _say(session, told.format(path=path))
        settings = session.settings
    else:
        answers, token = _answers(
            _Wanted(volume, name, site, disk_copies, tape_copies, token, not no_tape, accept_shared_devices)
        )
        answers = dataclasses.replace(answers, listen=listen, state=_absolute(state), socket=_absolute(session.socket))
        text, settings = compose.compose(answers, path)
        if not volume and not _confirmed(text):
            raise typer.Exit(ExitCode.REFUSED)
    who = making.ServiceUser.find(user, settings.node.state)
    running = _daemon_answers(session)
    making.folders(settings, who, lambda said: _say(session, said))
    if text:
        with who.acting():
            if making.is_new(settings):
                making.refuse_former_node(settings)
        compose.place(text, path, who.gid if who.uid else None)
        _say(session, _("{path} was written.").format(path=path))
    installed = service.is_installed()
    allowed = installed and any((service.tell(settings), service.allow_tapes(settings.libraries)))
    if allowed and running:
        service.restart()
        _say(session, _("vaultd was restarted: it may use more folders and devices now."))
    if running:
        with session.client() as client:
            secret = making.ask_daemon(client, settings, token)
    else:
        with who.acting(), making.quiet():
            secret = making.make(settings, who, token, lambda said: _say(session, said))
    _hand_over(session, token, secret, token_out)
    if installed:
        _say(session, _("The disks are being asked how they are."))
        service.ask_the_disks()
    if not running and not no_start and installed:
        service.start()
        running = True
        _say(session, _("vaultd runs, and starts with the machine."))
    report(session, daemon=running)
    if not running:
        _say(session, _("The node is ready. Start it: systemctl enable --now vaultd"))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options that make up a configuration, as they were typed."""

    volumes: list[str]
    name: str
    site: str
    disk: int | None
    tape: int | None
    token: str
    tapes: bool
    shared: bool


def _answers(wanted: _Wanted) -> tuple[Answers, str]:
    """What was typed, asked for where it was not, and filled in from what is found; and the token's name."""
    from vault.cli.setup import found
    from vault.cli.setup.answers import DEFAULT_SITE, distinct_names, machine_name, read_volume

    name, token, disk, tape = wanted.name or machine_name(), wanted.token, wanted.disk, wanted.tape
    if wanted.volumes:
        site = wanted.site or DEFAULT_SITE
        volumes = tuple(
            _filled_in(one, site, shared=wanted.shared)
            for one in distinct_names([read_volume(text) for text in wanted.volumes])
        )
        libraries = found.libraries(found.devices()) if wanted.tapes else ()
    else:
        from vault.cli.setup.questions import ask

        if not sys.stdin.isatty():
            raise typer.BadParameter(
                _("Nobody is there to be asked; name the volumes: --volume nas-a=/srv/nas-a"), param_hint="--volume"
            )
        asked = ask(name, wanted.site or DEFAULT_SITE, token, tapes=wanted.tapes)
        name, volumes, libraries, token = asked.name, asked.volumes, asked.libraries, asked.token
        disk, tape = disk or asked.disk, asked.tape if tape is None else tape
    return Answers(
        name=name,
        volumes=volumes,
        disk=disk or min(2, len({volume.domain for volume in volumes})),
        tape=tape if tape is not None else min(1, len(libraries)),
        libraries=libraries,
        language=current_language(),
        accept_shared_devices=wanted.shared,
    ), token


def _filled_in(volume: VolumeAnswer, site: str, *, shared: bool) -> VolumeAnswer:
    """A volume with the failure domain that the machine suggests; its own where devices may be shared."""
    from vault.cli.setup import found

    domain = volume.domain or ("" if shared else found.place(volume.path).domain) or volume.name
    return dataclasses.replace(volume, domain=domain, site=volume.site or site)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _confirmed(text: str) -> bool:
    from vault.cli.setup.questions import confirm

    return confirm(text)


def _check_token(name: str, out: Path | None) -> None:
    """Say before anything is made that the token could not be handed over."""
    if name:
        try:
            wire.TokenOrder(name=name, scopes=[Scope.READ])
        except ValidationError as error:
            message = _("{name} is no name for a token; use at most 64 letters, digits, dots, dashes and underscores.")
            raise typer.BadParameter(message.format(name=repr(name)), param_hint="--token") from error
    if out is not None and (os.path.lexists(out) or not os.access(out.absolute().parent, os.W_OK)):
        raise typer.BadParameter(
            _("{path} is there already, or cannot be written.").format(path=out), param_hint="--token-out"
        )


def _daemon_answers(session: Session) -> bool:
    """Whether a daemon serves this configuration; then it does what only one at a time may do."""
    if not session.config_file.exists():
        return False
    try:
        with session.client() as client:
            client.status()
    except VaultError:
        return False
    return True


def _hand_over(session: Session, name: str, secret: str, out: Path | None) -> None:
    if not secret:
        return
    if out is not None:
        write_durably(out.absolute(), f"{secret}\n".encode(), 0o600, replace=False)
        _say(session, _("The token {name} is in {path}.").format(name=name, path=out))
        return
    _say(session, _("The token {name}. Keep it safe; it cannot be shown again:").format(name=name))
    typer.echo(secret)


def _say(session: Session, text: str) -> None:
    session.err.print(plain(text), soft_wrap=True)
