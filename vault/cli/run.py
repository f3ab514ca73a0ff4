"""Running the application: errors become sentences and exit codes here, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from vault.cli.app import app
from vault.cli.exits import ExitCode, exit_code_of
from vault.cli.output import make_console, print_error
from vault.cli.waiting import StillGoingOn
from vault.errors import VaultError


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``vaultctl`` with these arguments (those of the process where None) and return its exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="vaultctl")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.OK if ended.code is None else ExitCode.REFUSED
    except StillGoingOn as error:
        print_error(error, make_console(sys.stderr))
        return ExitCode.PENDING
    except VaultError as error:
        print_error(error, make_console(sys.stderr))
        return exit_code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has gone (head, less); there is nobody left to tell, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return ExitCode.OK
