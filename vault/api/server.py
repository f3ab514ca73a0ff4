"""The server: uvicorn on the TCP address and the Unix socket of the configuration, in one event loop.

It installs no signal handlers and writes no log of its own: the daemon does both.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from vault.api.door import Door
from vault.api.peer import PeerProtocol
from vault.config import Address, ApiSettings, Settings
from vault.durable import describe_os_error
from vault.errors import ConfigError

BACKLOG: Final = 512
SOCKET_MODE: Final = 0o660

GRACE: Final = timedelta(seconds=20)
"""So long requests under way may take after the server was told to stop."""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, that says when it is ready."""

    def __init__(
        self,
        config: uvicorn.Config,
        door: Door,
        api: ApiSettings,
        on_started: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._door = door
        self._api = api
        self._on_started = on_started
        self._on_stopping = on_stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """The first socket is the door to the network; the other is the local one, which needs no TLS."""
        assert sockets is not None  # noqa: S101 - Server gives both
        await super().startup(sockets[1:])
        await self._door.open(sockets[0], self._connection, self.config.backlog)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stopping()
        self._door.close()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        made = PeerProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        made.most_connections = self._api.max_connections
        made.min_rate = self._api.min_rate
        return made


class Server:
    """Serves one application until it is told to stop.

    ``on_stopping`` is called before requests under way are waited for, so that those which only wait can end.
    ``serve`` runs until ``stop``; it raises ConfigError at once where the address or the socket cannot be had (or call
    ``bind`` before, to learn it earlier).
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        door: Door | None = None,
        grace: timedelta = GRACE,
        on_started: Callable[[], None] = lambda: None,
        on_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = settings.api
        self.door = Door(settings.api.tls.files) if door is None else door
        self._sockets: list[socket.socket] = []
        self._socket_inode: tuple[int, int] | None = None
        self._on_started = on_started
        self._started = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=int(max(5.0, settings.api.idle_timeout.total_seconds())),
            timeout_graceful_shutdown=int(grace.total_seconds()),
        )
        self._server = _Uvicorn(config, self.door, settings.api, self._begun, on_stopping)

    def bind(self) -> None:
        """Take the address and the socket's path. Raises ConfigError."""
        listener = _bind_tcp(self._api.listen)
        try:
            local = _bind_unix(self._api.socket)
        except BaseException:
            listener.close()
            raise
        facts = os.stat(self._api.socket)
        self._socket_inode = (facts.st_dev, facts.st_ino)
        self._sockets = [listener, local]
        host, port = listener.getsockname()[:2]
        self._address = Address(host, port)

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the kernel chose where 0 was asked for. After ``bind``."""
        return self._address

    async def serve(self) -> None:
        """Serve in the running event loop until :meth:`stop`; then finish what is under way, within the grace."""
        if not self._sockets:
            self.bind()
        watching = asyncio.create_task(self.door.watch())
        try:
            await self._server.serve(sockets=list(self._sockets))
        finally:
            watching.cancel()
            for one in self._sockets:
                one.close()
            self._sockets = []
            self._remove_socket()

    async def started(self) -> None:
        """Return when both doors are open."""
        await self._started.wait()

    async def stop(self) -> None:
        """Take no more requests, finish those under way, and return from ``serve``, which is not waited for here."""
        self.ask_to_stop()

    def ask_to_renew(self) -> None:
        """Read the certificate's files anew; in the event loop. The answer to SIGHUP."""
        self._renewing = asyncio.ensure_future(self.door.renew(always=True))

    def ask_to_stop(self) -> None:
        """As :meth:`stop`, from any thread."""
        self._server.should_exit = True

    def _begun(self) -> None:
        self._started.set()
        self._on_started()

    def _remove_socket(self) -> None:
        """Remove our socket, unless another process has put its own there meanwhile."""
        with contextlib.suppress(OSError):
            facts = os.stat(self._api.socket, follow_symlinks=False)
            if (facts.st_dev, facts.st_ino) == self._socket_inode:
                os.unlink(self._api.socket)


def _bind_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"The API cannot listen on {address}: {error.strerror}.",
            remedy="See what has the port (ss -ltnp), or write another one as [api] listen.",
        ) from error
    listener.setblocking(False)
    return listener


def _bind_unix(path: Path) -> socket.socket:
    """The socket appears with its mode, and a stale one of a killed process is replaced."""
    try:
        present = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise describe_os_error(error, f"looking at the socket {path}") from error
    else:
        if not stat.S_ISSOCK(present.st_mode):
            raise ConfigError(f"{path} is not a socket.", remedy="Remove it, or write another path as [api] socket.")
        if _answers(path):
            raise ConfigError(f"Another daemon answers on {path}.", remedy="Stop it first: one node has one daemon.")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the path the rights of the socket, less the umask: at no time are they wider than these.
        os.fchmod(listener.fileno(), SOCKET_MODE)
        listener.bind(bytes(path))
        os.chmod(path, SOCKET_MODE)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"The socket {path} cannot be made: {error.strerror or error}.",
            remedy=f"See that the folder {path.parent} is there and the service's user may write in it.",
        ) from error
    listener.setblocking(False)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(bytes(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
        return True
