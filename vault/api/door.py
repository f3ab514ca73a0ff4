"""The door to the network: a listening socket with TLS or without, whose certificate is renewed while it stands open.

Whoever knocks is accepted here, and not by asyncio's own server, which counts nobody who has not shaken hands. A new
certificate is shown to those who knock from then on; connections that are open stay so with the one that they began
with.
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
FAREWELL_SECONDS: Final = 86_400.0
"""So long a connection with TLS may take to end. Who takes nothing more is cut off much earlier, by its protocol; the
loop's own half minute would also cut those off who take the end of a long answer slowly."""

MOST_HANDSHAKES: Final = 128
"""So many connections may be accepted without being let in; each holds a file descriptor."""

ACCEPTED_AT_ONCE: Final = 32
"""Fewer than may shake hands: one that is sent away for others has begun, and is closed by the loop."""

REST_SECONDS: Final = 1.0
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
        self._loop: asyncio.AbstractEventLoop
        self._greeting: dict[asyncio.Task[None], None] = {}
        """Those who are shaking hands, in the order in which they knocked."""
        self._resting: asyncio.TimerHandle | None = None
        self._factory: Callable[[], asyncio.Protocol] | None = None
        self.problem = ""
        """Why the files that are there now are not used; "" while they are."""

    @property
    def expires(self) -> datetime | None:
        """When the certificate in use ends; None without TLS."""
        return self._certificate.not_after if self._certificate is not None else None

    async def open(self, listener: socket.socket, factory: Callable[[], asyncio.Protocol], backlog: int) -> None:
        """Serve what comes to ``listener``, which stays the caller's."""
        self._loop = asyncio.get_running_loop()
        self._listener, self._factory = listener.dup(), factory
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._listen()

    def _accept(self) -> None:
        """Take those who knock. A limited number at a time: others who are let in have their turn in between."""
        assert self._listener is not None  # noqa: S101 - `open` set it
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # accept(2): too many files are open, or no memory is left. Asked again at once, it says the same.
                log.error("connection-not-accepted", reason=error.strerror or repr(error))
                self._loop.remove_reader(self._listener)
                self._resting = self._loop.call_later(REST_SECONDS, self._listen)
                return
            connection.setblocking(False)
            self._greet(connection)

    def _listen(self) -> None:
        assert self._listener is not None  # noqa: S101 - `open` set it
        self._resting = None
        self._loop.add_reader(self._listener, self._accept)

    def _greet(self, connection: socket.socket) -> None:
        """Begin to shake hands; whoever is at it for longest, and has not come to its end, goes where too many are."""
        while len(self._greeting) >= MOST_HANDSHAKES:
            oldest = next(iter(self._greeting))
            del self._greeting[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._let_in(connection))
        self._greeting[task] = None
        task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[None]) -> None:
        self._greeting.pop(task, None)

    async def _let_in(self, connection: socket.socket) -> None:
        assert self._factory is not None  # noqa: S101 - `open` set it
        # No handshake, or none in time: the loop has closed the connection.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._context is not None else None,
                ssl_shutdown_timeout=FAREWELL_SECONDS if self._context is not None else None,
            )

    async def renew(self, *, always: bool = False) -> bool:
        """Take the files anew if they have changed, or in any case. What cannot be used changes nothing; it is logged,
        and ``problem`` says it. Returns whether they were taken."""
        files = self._files
        if files is None or self._listener is None:
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
        self._context, self._certificate, self.problem = context, certificate, ""
        log.info("certificate-renewed", subject=certificate.subject, expires=certificate.not_after.isoformat())
        return True

    async def watch(self) -> None:
        """Look again and again whether the files have changed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.renew()

    def close(self) -> None:
        """Take no new connections."""
        if self._listener is None:
            return
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for task in list(self._greeting):
            task.cancel()
