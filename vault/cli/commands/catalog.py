"""``vaultctl catalog``."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated

import typer

from vault.cli.exits import ExitCode
from vault.cli.keys import own_key, read_keys
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.session import Session, session_of
from vault.cli.waiting import media_read, silence_told, stoppable
from vault.clock import utcnow
from vault.errors import Conflict
from vault.i18n import _

app = typer.Typer(help=_("The catalogue: what is where."), no_args_is_help=True, rich_markup_mode=None)


@app.command("backup", help=_("Back the catalogue up while work goes on: to every volume, or to a file."))
def backup(
    context: typer.Context,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]",
            help=_("A file to write, or a folder to write it into; without it, every volume gets a sealed backup."),
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help=_("Replace a file that is there."))] = False,
    json: JsonOption = False,
) -> None:
    """Back the catalogue up."""
    session = session_of(context)
    if path:
        _to_file(session, path, force=force, json=json)
        return
    with session.client() as client:
        seal = client.backup_catalogue()
    if json:
        print_json(seal)
        return
    where = seal.get("volumes")
    text = _("The backup {file} ({size}) is on {volumes}, and in the state folder.")
    names = ", ".join(map(str, where)) if isinstance(where, list) else ""
    size = session.speech.size(int(str(seal["bytes"])))
    session.out.print(text.format(file=seal["file"], size=size, volumes=names), soft_wrap=True)


def _to_file(session: Session, path: str, *, force: bool, json: bool) -> None:
    from vault.cli.offline import open_catalogue
    from vault.custody.backups import DATA_END, export_to

    with open_catalogue(session.settings) as catalogue:
        if os.path.isdir(path):
            end = ".db" if catalogue.is_sqlite else DATA_END
            path = os.path.join(path, utcnow().strftime("catalog-%Y%m%d-%H%M%S") + end)
        if not force and os.path.lexists(path):
            raise Conflict(
                _("{path} is there already.").format(path=path),
                remedy=_("Name another file, or add --force to replace it."),
                code="occupied",
            )
        if catalogue.is_sqlite and not path.endswith(DATA_END):
            catalogue.backup(path)
        else:
            export_to(catalogue, Path(path), session.settings.node.name)
    size = os.path.getsize(path)
    if json:
        print_json({"file": path, "bytes": size})
    else:
        text = _("The catalogue is in {path} ({size}).")
        session.out.print(text.format(path=path, size=session.speech.size(size)), soft_wrap=True)


class _From(enum.StrEnum):
    """What a rebuild begins with; see :class:`vault.recovery.rebuild.Base`."""

    BEST = "best"
    CURRENT = "current"
    BACKUP = "backup"
    NOTHING = "nothing"


@app.command(
    "rebuild", help=_("Make the catalogue anew from the volumes and the backups on them. Only while vaultd is stopped.")
)
def rebuild_catalogue(
    context: typer.Context,
    base: Annotated[
        _From, typer.Option("--from", help=_("What to begin with: best, current, backup or nothing."))
    ] = _From.BEST,
    key: Annotated[
        list[str],
        typer.Option(
            "--key",
            metavar="KEY",
            help=_("A former public key of the node whose backups are believed: base64, or a file."),
        ),
    ] = [],  # noqa: B006 - typer copies it
    from_tapes: Annotated[
        bool, typer.Option("--from-tapes", help=_("Read the cartridges in the tape libraries too."))
    ] = False,
    json: JsonOption = False,
) -> None:
    """Rebuild the catalogue."""
    from vault.cli.offline import rebuild_sources, tapes_of
    from vault.cli.render.recovery import rebuilt
    from vault.recovery.patience import patient
    from vault.recovery.rebuild import Base, rebuild

    session = session_of(context)
    settings = session.settings
    stopped = _("The rebuild was stopped before its end: what it had made is not used, and no volume was changed.")
    with (
        stoppable(stopped, _("Begin it anew: vaultctl catalog rebuild")),
        media_read(session.err) as progress,
        patient(rebuild_sources(settings), settings.custody.stalled_after, silence_told(session.err)) as media,
        tapes_of(settings, wanted=from_tapes) as tapes,
    ):
        report = rebuild(
            settings,
            [*media.sources, *tapes],
            own_key(settings),
            base=Base(base),
            trusted=read_keys(key),
            progress=progress,
        )
    if json:
        print_json(report.as_json())
    else:
        session.show(rebuilt(report, session.speech))
    if report.counts:
        raise typer.Exit(ExitCode.UNSOUND)
