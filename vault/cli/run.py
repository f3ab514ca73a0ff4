"""Running the application: errors become sentences and exit codes here, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from vault.cli.app import app
from vault.cli.exits import ExitCode, exit_code_of
from vault.cli.usage import error_text, in_our_language
from vault.errors import VaultError
from vault.i18n import _


def _usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", lambda: str(error))()
    usage, command = (context.get_usage(), context.command_path) if context is not None else ("", "vaultctl")
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, err=True)
    else:
        typer.echo(error_text(usage, command, message), err=True)
    return ExitCode.USAGE


def _parsed(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with in_our_language():
            ended: object = app(args=given, prog_name="vaultctl", standalone_mode=False)
    except SystemExit as error:
        ended = ExitCode.REFUSED if isinstance(error.code, str) else error.code
    except TyperException as error:
        return _usage(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return ended if isinstance(ended, int) else ExitCode.OK


def _interrupted() -> int:
    typer.echo(_("vaultctl: interrupted; what vaultd is doing goes on (vaultctl tasks)."), err=True)
    return ExitCode.INTERRUPTED


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``vaultctl`` with these arguments (those of the process where None) and return its exit code."""
    try:
        code = _parsed(arguments)
        # The parser turns Ctrl-C into a code of its own accord.
        return _interrupted() if code == ExitCode.INTERRUPTED else code
    except VaultError as error:
        from vault.cli.output import make_console, print_error

        print_error(error, make_console(sys.stderr))
        return exit_code_of(error)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # Whoever read has gone (head, less); there is nobody left to tell, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
