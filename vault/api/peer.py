"""The HTTP protocol of uvicorn, with what it lacks: who is at the other end of a Unix socket, and limits to a head.

What it adds to the ASGI scope: ``khoso.peer_uid`` (int, only for Unix sockets; the kernel vouches for it, unix(7),
SO_PEERCRED), ``khoso.abort`` (ends the connection at once, so that a client cannot take what it has for the whole) and
``khoso.untaken`` (how many bytes were written that the client has not taken yet).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import grp
import json
import os
import pwd
import socket
import struct
import termios
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vault.api.problems import MEDIA_TYPE, document_of
from vault.errors import Interrupted, Invalid, Unreachable, VaultError

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

PEER_UID: Final = "khoso.peer_uid"
ABORT: Final = "khoso.abort"
UNTAKEN: Final = "khoso.untaken"

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. An identifier of 1,024 bytes takes 3 KiB at most."""

MAX_HEADERS: Final = 100
MAX_TRAILER_BYTES: Final = 8 * 1024
"""Fields after a chunked body. Nothing here reads them; they are bounded and thrown away (RFC 9110, section 6.5.1)."""

MAX_FRAMING_BYTES: Final = 64 * 1024
"""So much may come within a chunked body without a byte of it: chunk extensions, or a trailer without an end."""

HEAD_SECONDS: Final = 20.0
"""So long a client may take to send a head, from its first byte or, on a new connection, from the start."""

LINGER_SECONDS: Final = 1.0

MOST_PIPELINED: Final = 16
"""So many requests may wait on one connection for the answer to another one (RFC 9112, section 9.3.2)."""

MOST_TURNED_AWAY: Final = 64
"""So many connections beyond ``most_connections`` are told why they cannot be let in; more of them are cut off."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_CREDENTIALS: Final = struct.Struct("3i")
_NUMBER: Final = struct.Struct("i")


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


def groups_of(uid: int) -> set[str]:
    """Return the names of the groups that a user is in; none where the user has no entry."""
    try:
        entry = pwd.getpwuid(uid)
        numbers = os.getgrouplist(entry.pw_name, entry.pw_gid)
    except (KeyError, OSError):
        return set()
    found = set()
    for number in numbers:
        with contextlib.suppress(KeyError):
            found.add(grp.getgrgid(number).gr_name)
    return found


class PeerProtocol(HttpToolsProtocol):
    """One connection."""

    most_connections: int = 512
    """From the network, in all. The local socket is not counted: the operator always gets in."""

    min_rate: int = 1000
    """Bytes per second; who takes less of an answer that was said in full is cut off."""

    _uid: int | None = None
    _is_lost: bool = False
    idle_since: float = 0.0
    """Since when no request is under way, in the time of the event loop."""
    _head_open: bool = True
    _head_bytes: int = 0
    _fault: tuple[VaultError, bytes] | None = None
    """What is wrong with the head that is being read, and the status line that says so."""
    _refused: bool = False
    is_turned_away: bool = False
    _deaf: bool = False
    """It sent more requests than may wait: what came before is answered, and no more is read."""
    _left_at: float | None = None
    _cut_timer: asyncio.TimerHandle | None = None
    _fields: int = 0
    _trailer_bytes: int = 0
    _framing_bytes: int = 0
    _head_timer: asyncio.TimerHandle | None = None
    _under_way: RequestResponseCycle | None = None
    """The request that is being answered; ``cycle`` is the one that came last, and may wait for this one's end."""

    def _keep_quiet(self) -> None:
        """uvicorn's own access log would have whole queries in it; the gate writes ours."""
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._keep_quiet()
        self._uid = peer_uid(transport)
        self.idle_since = self.loop.time()
        if self._uid is None and not self._has_room():
            self._turn_away()
            return
        self._await_head()

    def _has_room(self) -> bool:
        """Whether one more connection from the network is within bounds; those idle for longest go for it."""
        others = [one for one in self._network() if not one.is_turned_away]
        surplus = len(others) - self.most_connections
        if surplus <= 0:
            return True
        # All that are too many, not one of them: one that was closed is still there until its client took its answer.
        idle = sorted((one for one in others if one is not self and one.is_idle), key=_idle_since)[:surplus]
        for one in idle:
            one.let_go()
        return len(idle) == surplus

    def _network(self) -> list[PeerProtocol]:
        return [one for one in self.connections if isinstance(one, PeerProtocol) and one.is_remote]

    def _turn_away(self) -> None:
        self.is_turned_away = True
        if sum(one.is_turned_away for one in self._network()) > MOST_TURNED_AWAY:
            self._refused = True
            self._abort()
        else:
            self._refuse(_crowded(), b"503 Service Unavailable")

    def let_go(self) -> None:
        """Close it for another one; cut it off where its client had time to take its answer, and does not."""
        now = self.loop.time()
        untaken = self.transport.get_write_buffer_size() and now - self.idle_since > LINGER_SECONDS
        if untaken or (self._left_at is not None and now - self._left_at > LINGER_SECONDS):
            self._abort()
        else:
            self._leave()

    def _leave(self) -> None:
        """Close it, and cut it off when its client takes nothing of what was said for as long as it may be idle: a
        transport that is closed sends what it has, and waits for that without end."""
        if self._is_lost:
            return
        if self._left_at is None:
            self._left_at = self.loop.time()
            self._cut_later()
        self.transport.close()

    def _cut_later(self) -> None:
        self._cut_timer = self.loop.call_later(self.timeout_keep_alive, self._cut, self._untaken())

    def _cut(self, before: int) -> None:
        if before - self._untaken() >= self.timeout_keep_alive * self.min_rate:
            self._cut_later()
        else:
            self._abort()

    def _untaken(self) -> int:
        """How many bytes were written that the client's machine has not acknowledged."""
        connection = self.transport.get_extra_info("socket")
        if self._is_lost or connection is None or connection.fileno() < 0:
            return 0
        # tcp(7), unix(7): SIOCOUTQ, which is TIOCOUTQ. What the kernel holds may be megabytes, and goes in large steps
        # as seen from here: without it, a slow client would seem to take nothing for minutes.
        raw = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_NUMBER.size))
        return self.transport.get_write_buffer_size() + int(_NUMBER.unpack(raw)[0])

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn."""
        self._leave()

    def shutdown(self) -> None:
        """See uvicorn."""
        super().shutdown()
        if self.transport.is_closing():
            self._leave()

    @property
    def is_remote(self) -> bool:
        """Whether it came over the network."""
        return self._uid is None

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way: it waits for another, for the end of a head, or for its own end; or what
        comes of a body is thrown away, as the answer was said already."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete or self.transport.is_closing() or _is_said(cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._is_lost = True
        self._head_came()
        if self._cut_timer is not None:
            self._cut_timer.cancel()
        if self._under_way is not None and not self._under_way.response_complete:
            # uvicorn tells only the request that came last.
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. An endless header never reaches a callback of the parser, hence the count here."""
        if self._refused or self._deaf:
            return
        self._head_bytes = self._head_bytes + len(data) if self._head_open else 0
        self._framing_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if self._is_deaf():
                self._head_came()
                return
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")
        if self._is_refused():
            return
        if self._head_open and self._head_bytes > MAX_HEAD_BYTES:
            self._fault = _too_large()
            self.send_400_response("")
        elif not self._head_open and self._framing_bytes > MAX_FRAMING_BYTES + len(data):
            # Less what came with the last bytes of the body: those count as they come, in blocks.
            self.send_400_response("")

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It takes whatever follows a head with ``Upgrade`` for another protocol, its body too, which
        would then be read as the next request. No other protocol is spoken here, and whoever asks for one (Java's
        client does with each first request) goes on in this one (RFC 9110, section 7.8): the head is read again
        without that field."""
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stopped:
                rest = memoryview(rest)[stopped.args[0] :]
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                # As uvicorn has its own: a request that was sent before the answer that closes is answered nothing.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([line, *fields, b"", b""])

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. What comes after a body is no part of the head: it is counted and forgotten."""
        if not self._head_open:
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise ValueError("trailer too large")
            return
        self._fields += 1
        if self._fields > MAX_HEADERS:
            self._fault = _too_large()
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        """See httptools. Only what begins another request ends the time in which one is waited for: an empty line or
        the rest of a body whose request was answered does not."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._head_open = True
        self._fields = self._trailer_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        """See httptools. What is raised here ends in :meth:`send_400_response`."""
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("no proxy")
        if self.parser.should_upgrade():
            return  # this head comes again, from _parse
        self._head_open = False
        self._head_came()
        self._unset_keepalive_if_required()  # set again, where the one before was answered meanwhile
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._fault = _too_large()
            raise ValueError("head too large")
        # RFC 9112, section 6.1. The parser takes any list that ends in chunked, and leaves the other codings in place.
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked"):
            self._fault = _not_understood(codings)
            raise ValueError("unknown transfer coding")
        if len(self.pipeline) >= MOST_PIPELINED:
            self._deaf = True
            self.cycle.keep_alive = False
            raise ValueError("too many requests at once")
        self._framing_bytes = 0
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # ASGI lets servers add members of their own
        scope[ABORT] = self._abort
        scope[UNTAKEN] = self._untaken
        if self._uid is not None:
            scope[PEER_UID] = self._uid
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """See uvicorn."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._leave()

    def on_message_complete(self) -> None:
        """See httptools."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._head_open = True
        self._head_bytes = 0

    def _abort(self) -> None:
        """End the connection with a reset: nothing that waits to be sent is sent, nor held for who does not take it."""
        if self._is_lost:
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _is_refused(self) -> bool:
        return self._refused

    def _is_deaf(self) -> bool:
        return self._deaf

    def _answering(self) -> bool:
        cycle = self._under_way
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, with a problem document, and hang up."""
        del msg
        self._refuse(*(self._fault or _not_http()))

    def _refuse(self, error: VaultError, reason: bytes) -> None:
        body = json.dumps(document_of(error)).encode()
        if self._answering():
            # In the midst of an answer: another one cannot begin.
            self._abort()
            return
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (reason, MEDIA_TYPE.encode(), len(body), body)
        )
        if self._under_way is not None:
            # To the request that this was sent with, it is as if its client had gone: nothing more can be written.
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        # Closed a moment later: a client that still sends would get a reset, and lose the answer that came before it.
        self._refused = True
        self.pipeline.clear()
        self._head_came()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._leave)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.pipeline:
            # Nothing is read while requests wait for their turn: the rest of this head may be here.
            self._await_head()
        elif self._head_bytes:
            self._refuse(_late(), b"408 Request Timeout")
        else:
            self._leave()


def _is_said(cycle: RequestResponseCycle) -> bool:
    return cycle.response_started and cycle.chunked_encoding is False and cycle.expected_content_length == 0


def _idle_since(one: PeerProtocol) -> float:
    return one.idle_since


def _not_http() -> tuple[VaultError, bytes]:
    message = "What was sent is not HTTP/1.1."
    return Invalid(message, remedy="Look at the client.", code="bad-request"), b"400 Bad Request"


def _too_large() -> tuple[VaultError, bytes]:
    message = f"The head of the request has over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields."
    error = Invalid(message, remedy="Look at the client.", code="headers-too-large")
    return error, b"431 Request Header Fields Too Large"


def _not_understood(codings: list[bytes]) -> tuple[VaultError, bytes]:
    said = b", ".join(codings).decode("latin-1")[:60]
    error = Invalid(
        f"The body is sent with Transfer-Encoding: {said}.",
        remedy="Send it chunked and no more, or with Content-Length.",
        code="unsupported-transfer-encoding",
    )
    return error, b"501 Not Implemented"


def _late() -> VaultError:
    return Interrupted(
        f"The head of the request was not complete after {HEAD_SECONDS:.0f} seconds.",
        remedy="Send it again, over a better connection.",
        code="request-timeout",
    )


def _crowded() -> VaultError:
    return Unreachable(
        "As many connections as this node takes are open.",
        remedy="Come again in a while, with fewer connections; the operator can raise api.max_connections.",
        code="too-many-connections",
    )
