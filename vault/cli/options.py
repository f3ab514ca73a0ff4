"""Options and arguments that several commands have, and how their texts are read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from vault.errors import Invalid
from vault.i18n import _
from vault.identifiers import parse_identifier
from vault.units import parse_duration

JsonOption = Annotated[bool, typer.Option("--json", help=_("Print JSON, as the API gives it."))]
IdentifierArgument = Annotated[str, typer.Argument(metavar="ID", help=_("The package's identifier."))]
VersionOption = Annotated[
    str, typer.Option("--version", metavar="vN", help=_("Which version; the newest where nothing is said."))
]
WaitLimitOption = Annotated[
    str,
    typer.Option(
        "--timeout", metavar="DURATION", help=_("How long to wait at most (30s, 15m, 24h); for ever if not given.")
    ),
]


def read_identifier(text: str) -> str:
    """An identifier in its one form. Raises typer.BadParameter."""
    try:
        return parse_identifier(text)
    except Invalid as error:
        raise typer.BadParameter(str(error)) from error


def read_version(text: str) -> int | None:
    """``v3`` or ``3``; None where nothing was said. Raises typer.BadParameter."""
    if not text:
        return None
    match = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if match is None:
        raise typer.BadParameter(_("{text} is no version; write v3 or 3.").format(text=repr(text)))
    return int(match[1])


def read_duration(text: str) -> timedelta | None:
    """``90d``; None where nothing was said. Raises typer.BadParameter."""
    if not text:
        return None
    try:
        return parse_duration(text)
    except Invalid as error:
        raise typer.BadParameter(f"{text!r}: {error}") from error
