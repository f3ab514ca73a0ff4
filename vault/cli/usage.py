"""What the parser of the command line says itself (usage, "no such option"), in the language in use."""

from __future__ import annotations

import contextlib
import gettext
import os
import re
from collections.abc import Iterator
from typing import Final

from vault.i18n import DOMAIN, LOCALE_FOLDER, N_, _, current_language

WORDS: Final = (N_("Options"), N_("Arguments"), N_("required"), N_("default: {default}"), N_("Missing command."))
"""What Typer asks gettext for; they stand here to be translated. (``Commands`` stands in :mod:`vault.cli.lazy`.)"""

_PATTERNS: Final = (
    (re.compile(r"Invalid value for (?P<name>[^:]+): (?:Value error, )?(?P<why>.+)", re.DOTALL),
     N_("Invalid value for {name}: {why}")),
    (re.compile(r"Invalid value: (?:Value error, )?(?P<why>.+)", re.DOTALL), N_("Invalid value: {why}")),
    (re.compile(r"Missing (?:option|argument|parameter):? (?P<name>.+?)\.(?P<why>.*)", re.DOTALL),
     N_("{name} is missing.{why}")),
    (re.compile(r"No such option:? (?P<name>\S+?)\.?(?P<why>(?:\s.*)?)", re.DOTALL),
     N_("There is no option {name}.{why}")),
    (re.compile(r"No such command (?P<name>\S+)\.(?P<why>.*)", re.DOTALL), N_("There is no command {name}.{why}")),
    (re.compile(r"Got unexpected extra arguments? \((?P<name>.+)\)", re.DOTALL), N_("This is too much: {name}")),
    (re.compile(r"Got unexpected extra argument\(s\) \((?P<name>.+)\)", re.DOTALL), N_("This is too much: {name}")),
)  # fmt: skip
_NOT_ONE_OF: Final = re.compile(r"(?P<value>.+) is not one of (?P<known>.+?)\.", re.DOTALL)


def said(message: str) -> str:
    """What the parser found wrong, without the words of its libraries."""
    for pattern, known in _PATTERNS:
        match = pattern.fullmatch(message)
        if match is not None:
            parts = match.groupdict()
            choice = _NOT_ONE_OF.fullmatch(parts.get("why") or "")
            if choice is not None:
                parts["why"] = _("{value} is not one of {known}.").format(**choice.groupdict())
            return _(known).format(**parts)
    return message


def error_text(usage: str, command: str, message: str) -> str:
    """The whole of a usage error: how the command is typed, where to read more, and what is wrong."""
    lines = []
    if usage:
        lines.append(_("Usage: {usage}").format(usage=usage.removeprefix("Usage: ")))
        lines.append(_("Try '{command} -h' for help.").format(command=command))
        lines.append("")
    return "\n".join([*lines, _("Error: {message}").format(message=said(message))])


@contextlib.contextmanager
def in_our_language() -> Iterator[None]:
    """Have the library that parses the command line find its words among our translations, within the block."""
    before, variable = gettext.textdomain(), os.environ.get("LANGUAGE")
    gettext.bindtextdomain(DOMAIN, str(LOCALE_FOLDER))
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = current_language()
    try:
        yield
    finally:
        gettext.textdomain(before)
        if variable is None:
            os.environ.pop("LANGUAGE", None)
        else:
            os.environ["LANGUAGE"] = variable
