"""Options and arguments that several commands have, and how their texts are read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from vault.cli.remedies import IDENTIFIER_RULE
from vault.errors import Invalid
from vault.i18n import _
from vault.identifiers import parse_identifier
from vault.units import parse_duration, parse_size

TOKEN_VARIABLE = "VAULTCTL_TOKEN"

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


def read_identifier(text: str, hint: str = "ID") -> str:
    """An identifier in its one form. Raises typer.BadParameter, which names the argument ``hint``."""
    try:
        return parse_identifier(text)
    except Invalid as error:
        raise typer.BadParameter(f"{error.message} {_(IDENTIFIER_RULE)}", param_hint=hint) from error


def read_version(text: str, hint: str = "--version") -> int | None:
    """``v3`` or ``3``; None where nothing was said. Raises typer.BadParameter, which names the option ``hint``."""
    if not text:
        return None
    match = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if match is None:
        raise typer.BadParameter(_("{text} is no version; write v3 or 3.").format(text=repr(text)), param_hint=hint)
    return int(match[1])


def read_duration(text: str, hint: str = "--timeout") -> timedelta | None:
    """``90d``; None where nothing was said. Raises typer.BadParameter, which names the option ``hint``."""
    if not text:
        return None
    try:
        return parse_duration(text)
    except Invalid as error:
        message = _("{text} is no duration; write a number and a unit: 30s, 15m, 24h or 90d.").format(text=repr(text))
        raise typer.BadParameter(message, param_hint=hint) from error


def read_size(text: str, hint: str) -> int | None:
    """``50 GB`` as bytes; None where nothing was said. Raises typer.BadParameter, which names the option ``hint``."""
    if not text:
        return None
    try:
        return parse_size(text)
    except Invalid as error:
        message = _("{text} is no size; write a number and a unit: 500 MB, 50 GB or 2 TB.").format(text=repr(text))
        raise typer.BadParameter(message, param_hint=hint) from error
