"""What every command has at hand: the global options, and what follows from them."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import typer
from rich.console import Console, RenderableType

from vault.cli.options import TOKEN_VARIABLE
from vault.cli.output import make_console
from vault.cli.remedies import for_the_command_line
from vault.cli.text import DEFAULT_ZONE, Speech
from vault.client import Client, Endpoint
from vault.config import Settings, find_config, load_settings
from vault.config.load import VARIABLE
from vault.config.settings import ApiSettings
from vault.durable import describe_os_error
from vault.errors import ConfigError, Unreachable
from vault.i18n import _

_LARGEST_TOKEN = 4096


@dataclass
class Session:
    """One run of ``vaultctl``. Nothing is read or opened before it is needed."""

    config: Path | None = None
    socket: Path | None = None
    url: str = ""
    token_file: Path | None = None
    out: Console = field(default_factory=lambda: make_console(sys.stdout))
    err: Console = field(default_factory=lambda: make_console(sys.stderr))

    @cached_property
    def settings(self) -> Settings:
        """The configuration. Raises ConfigError."""
        return load_settings(find_config(self.config))

    @property
    def config_file(self) -> Path:
        """The file that is the configuration, whether it is there or not."""
        return find_config(self.config)

    def settings_if_any(self) -> Settings | None:
        """The configuration, or None on a machine that has none. One that was asked for must work."""
        if self.config is None and not os.environ.get(VARIABLE) and not os.access(self.config_file, os.R_OK):
            return None
        return self.settings

    def endpoint(self) -> Endpoint:
        """Where the daemon is: ``--url``, else ``--socket``, else the configuration's socket, else the usual one."""
        if self.url:
            return Endpoint(url=self.url, token=self._token())
        if self.socket is not None:
            return Endpoint(socket=self.socket)
        settings = self.settings_if_any()
        return Endpoint(socket=(settings.api if settings else ApiSettings()).socket)

    def client(self) -> Client:
        """A connection to the daemon, to be closed by the caller."""
        try:
            return Client(self.endpoint(), explain=for_the_command_line)
        except Unreachable as error:
            if self.url or self.socket is not None or os.path.lexists(self.config_file):
                raise
            raise Unreachable(
                str(error),
                remedy=_("There is no configuration {path}: on a new machine, begin with vaultctl init.").format(
                    path=self.config_file
                ),
            ) from error

    @cached_property
    def speech(self) -> Speech:
        """How times and numbers are said: in the zone of the configuration where there is one."""
        try:
            settings = self.settings_if_any()
        except ConfigError:
            settings = None
        return Speech(settings.node.zone if settings else ZoneInfo(DEFAULT_ZONE))

    def show(self, result: RenderableType) -> None:
        """Print a result. A name that is wider than the terminal is left whole: it must be possible to copy it."""
        self.out.print(result, crop=False)

    def _token(self) -> str:
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "").strip()
        try:
            with open(self.token_file, encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_LARGEST_TOKEN).strip()
        except OSError as error:
            raise describe_os_error(error, f"reading the token in {self.token_file}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self.token_file} holds no token.", remedy=_("Write the token alone into it.")
            ) from error
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(
                f"The token in {self.token_file} can be read by others.", remedy=f"chmod 600 {self.token_file}"
            )
        return text


def session_of(context: typer.Context) -> Session:
    """The session of a command."""
    session = context.find_object(Session)
    assert session is not None, "the application's callback made it"  # noqa: S101
    return session
