"""The door to the network: a listening socket with TLS or without, whose certificate is renewed while it stands open.

A new certificate is taken by putting another server on the same listening socket: nobody who knocks meanwhile is sent
away, and connections that are open stay so with the certificate that they began with.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from vault.errors import VaultError
from vault.tls import Certificate, TlsFiles

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
LOOK_EVERY_SECONDS: Final = 60.0
"""So often it is looked whether the files have changed; SIGHUP has it looked at once."""


class Door:
    """One listening socket. ``bind`` it first; ``open`` and ``renew`` are called in the event loop."""

    def __init__(self, files: TlsFiles | None) -> None:
        self._files = files
        self._context = files.context() if files is not None else None
        self._marks = files.marks() if files is not None else ()
        self._certificate = Certificate.read(files.certificate) if files is not None else None
        self._listener: socket.socket | None = None
        self._server: asyncio.base_events.Server | None = None
        self._factory: Callable[[], asyncio.Protocol] | None = None
        self._backlog = 0
        self.problem = ""
        """Why the files that are there now are not used; "" while they are."""

    @property
    def expires(self) -> datetime | None:
        """When the certificate in use ends; None without TLS."""
        return self._certificate.not_after if self._certificate is not None else None

    async def open(self, listener: socket.socket, factory: Callable[[], asyncio.Protocol], backlog: int) -> None:
        """Serve what comes to ``listener``, which stays the caller's."""
        self._listener, self._factory, self._backlog = listener, factory, backlog
        self._server = await self._serve()

    async def _serve(self) -> asyncio.base_events.Server:
        assert self._listener is not None  # noqa: S101 - `open` set both
        assert self._factory is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            self._factory,
            sock=self._listener.dup(),
            ssl=self._context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._context is not None else None,
        )

    async def renew(self, *, always: bool = False) -> bool:
        """Take the files anew if they have changed, or in any case. What cannot be used changes nothing; it is logged,
        and ``problem`` says it. Returns whether they were taken."""
        files = self._files
        if files is None or self._server is None:
            return False
        marks = files.marks()
        if marks == self._marks and not always:
            return False
        self._marks = marks
        try:
            context, certificate = files.context(), Certificate.read(files.certificate)
        except VaultError as error:
            self.problem = str(error)
            log.error("certificate-not-renewed", problem=self.problem)
            return False
        before, self._context = self._server, context
        self._server = await self._serve()
        before.close()
        self._certificate, self.problem = certificate, ""
        log.info("certificate-renewed", subject=certificate.subject, expires=certificate.not_after.isoformat())
        return True

    async def watch(self) -> None:
        """Look again and again whether the files have changed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.renew()

    def close(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            with contextlib.suppress(RuntimeError):
                self._server.close()
