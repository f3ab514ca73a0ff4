"""The HTTP protocol of uvicorn, with what it lacks: who is at the other end of a Unix socket, and limits to a head.

What it adds to the ASGI scope: ``khoso.peer_uid`` (int, only for Unix sockets; the kernel vouches for it, unix(7),
SO_PEERCRED) and ``khoso.abort`` (ends the connection at once, so that a client cannot take what it has for the whole).
"""

from __future__ import annotations

import asyncio
import json
import pwd
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vault.api.problems import MEDIA_TYPE, document_of
from vault.errors import Invalid

PEER_UID: Final = "khoso.peer_uid"
ABORT: Final = "khoso.abort"

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. An identifier of 1,024 bytes takes 3 KiB at most."""

HEAD_SECONDS: Final = 20.0
"""So long a client may take to send a head, from its first byte or, on a new connection, from the start."""

LINGER_SECONDS: Final = 1.0

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_CREDENTIALS: Final = struct.Struct("3i")


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """Return the user id at the other end of a Unix socket; None for any other connection."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)


def login_of(uid: int) -> str:
    """Return the login name of a user id, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)


class PeerProtocol(HttpToolsProtocol):
    """One connection."""

    _uid: int | None = None
    _head_open: bool = True
    _head_bytes: int = 0
    _head_too_large: bool = False
    _refused: bool = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._uid = peer_uid(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. An endless header never reaches a callback of the parser, hence the count here."""
        if self._refused:
            return
        self._head_bytes = self._head_bytes + len(data) if self._head_open else 0
        super().data_received(data)
        if self._head_open and self._head_bytes > MAX_HEAD_BYTES and not self._refused:
            self._head_too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._head_open = True
        self._await_head()

    def on_headers_complete(self) -> None:
        """See httptools. What is raised here ends in :meth:`send_400_response`."""
        self._head_open = False
        self._head_came()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._head_too_large = True
            raise ValueError("head too large")
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # ASGI lets servers add members of their own
        scope[ABORT] = self._abort
        if self._uid is not None:
            scope[PEER_UID] = self._uid
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        super().on_message_complete()
        self._head_open = True
        self._head_bytes = 0

    def _abort(self) -> None:
        """End the connection with a reset: nothing that waits to be sent is sent, nor held for who does not take it."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, with a problem document, and hang up."""
        del msg
        if self._head_too_large:
            message, code = f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.", "headers-too-large"
        else:
            message, code = "What was sent is not HTTP/1.1.", "bad-request"
        error = Invalid(message, remedy="Look at the client.", code=code)
        document = document_of(error)
        body = json.dumps(document).encode()
        if self._answering():
            # In the midst of an answer: another one cannot begin.
            self._abort()
            return
        reason = b"431 Request Header Fields Too Large" if self._head_too_large else b"400 Bad Request"
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (reason, MEDIA_TYPE.encode(), len(body), body)
        )
        # Closed a moment later: a client that still sends would get a reset, and lose the answer that came before it.
        self._refused = True
        self._head_came()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
