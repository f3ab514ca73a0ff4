"""Commands whose module is loaded when one of them is typed: what they need takes longer to load than --help may."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import typer
from typer.core import TyperGroup

from vault.i18n import _

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, what it is for, and the module of ``vault.cli.commands`` that has it.

    The module has either a function of that name or, where it is a group, a Typer application called ``app``.
    """

    name: str
    help: str
    module: str

    def load(self) -> AnyCommand:
        """The command itself."""
        module = importlib.import_module(f"vault.cli.commands.{self.module}")
        group = getattr(module, "app", None)
        made: AnyCommand
        if group is None:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(self.name, help=self.help)(getattr(module, self.name))
            made = typer.main.get_command(single)
        else:
            made = typer.main.get_group(group)
        made.name = self.name
        return made


class LazyGroup(TyperGroup):
    """A group that knows of its commands only what :attr:`table` says, until one is asked for."""

    table: ClassVar[Sequence[Command]] = ()

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - its base has it
        """Their names, in the order of the table."""
        return [command.name for command in self.table]

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:  # noqa: ARG002 - its base has it
        """The command of that name, loaded."""
        return next((command.load() for command in self.table if command.name == cmd_name), None)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - its base has it
        """Their names and what they are for, without loading any."""
        with formatter.section(_("Commands")):
            formatter.write_dl([(command.name, command.help) for command in self.table])
