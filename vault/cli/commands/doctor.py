"""``vaultctl doctor``."""

from __future__ import annotations

import typer
from rich.text import Text

from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.session import Session, session_of
from vault.cli.text import plain
from vault.i18n import _, n_
from vault.model import Json


def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Look at everything, and say what is wrong."""
    report(session_of(context), json=json)


def report(session: Session, *, json: bool = False, daemon: bool = True) -> None:
    """Print what :func:`vault.cli.doctor.examine` finds. Raises typer.Exit where something is wrong."""
    from vault.cli.doctor import Finding, Level, examine

    marks = {Level.OK: ("✓", "green"), Level.NOTE: ("!", "yellow"), Level.BAD: ("✗", "bold red")}
    found: list[Finding] = []
    for one in examine(session.config_file, session.endpoint, daemon=daemon):
        found.append(one)
        if not json:
            mark, style = marks[one.level]
            line = Text(f"{mark} ", style=style)
            line.append(f"{one.area}: {plain(one.what)}", style="default")
            if one.remedy and one.level is not Level.OK:
                line.append(f"\n    → {plain(one.remedy)}", style="default")
            session.out.print(line, soft_wrap=True)
    wrong = sum(one.level is Level.BAD for one in found)
    if json:
        listed: list[Json] = [
            {"level": str(one.level), "area": one.area, "what": one.what, "remedy": one.remedy} for one in found
        ]
        print_json({"ok": not wrong, "findings": listed})
    elif wrong:
        session.out.print(n_("{n} thing is wrong.", "{n} things are wrong.", wrong).format(n=wrong), style="bold red")
    else:
        session.out.print(_("Nothing is wrong."), style="green")
    if wrong:
        raise typer.Exit(ExitCode.UNSOUND)
