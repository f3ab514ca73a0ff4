"""Where it all goes: results to standard output, what is said beside them to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import IO

from pydantic import BaseModel
from rich.console import Console

from vault.cli.text import plain
from vault.errors import Invalid, VaultError
from vault.i18n import _, n_
from vault.model import Json

PIPE_WIDTH = 200
_MOST_FAULTS = 30


def make_console(stream: IO[str]) -> Console:
    """A console without markup, so that nothing that came from outside can act as such. A pipe is wide, and never
    coloured."""
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or PIPE_WIDTH)
    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False, width=width)


def print_json(document: BaseModel | Mapping[str, Json], *, indent: int | None = 2) -> None:
    """Write JSON for programs: the API's own shape, in one go."""
    if isinstance(document, BaseModel):
        text = document.model_dump_json(by_alias=True, indent=indent)
    else:
        text = json.dumps(document, ensure_ascii=False, indent=indent)
    # Unpaired surrogates, as a file's name may have them, cannot be written in UTF-8.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


def print_error(error: VaultError, console: Console) -> None:
    """A sentence that says what is wrong, everything that is wrong, and what to do about it."""
    # No folding: a path that is cut by a line break cannot be copied.
    console.print(f"vaultctl: {plain(error.message)}", style="bold red", soft_wrap=True)
    faults = error.faults if isinstance(error, Invalid) else ()
    listed = [fault for fault in faults if fault.message not in error.message]
    for fault in listed[:_MOST_FAULTS]:
        where = f"{plain(fault.path)}: " if fault.path else ""
        console.print(f"  - {where}{plain(fault.message)}", soft_wrap=True)
    more = len(listed) - _MOST_FAULTS
    if more > 0:
        console.print("  - " + n_("and {n} more", "and {n} more", more).format(n=more))
    if error.remedy:
        console.print(_("What to do: {remedy}").format(remedy=plain(error.remedy)), soft_wrap=True)
