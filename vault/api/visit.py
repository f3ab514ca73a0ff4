"""One request on its way through the gate: its name, what came in and what was answered, and the line in the log."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from vault.api.auth import PRINCIPAL, Principal
from vault.api.peer import ABORT, UNTAKEN
from vault.api.problems import problem_response, without_places
from vault.errors import Interrupted, VaultError

log = structlog.get_logger(__name__)

INSTANCE: Final = "khoso.instance"
"""Where the scope of a request carries its name, which stands in the log and in problem documents."""

LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 8 * 1024 * 1024

_PREFIX: Final = "/v1"
_LONGEST: Final = 3072
"""So much of a path stands in the log; an identifier of 1,024 bytes takes this when every one is escaped."""

_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CSP: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


_UPLOADS: Final = "/v1/uploads"
_TUS: Final = (b"tus-resumable", b"1.0.0")


class Visit:
    """One request on its way through: what was answered, for the log and for what must not be answered twice."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        idle_seconds: float,
        min_rate: int,
        places: Mapping[str, str],
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._idle_seconds = idle_seconds
        self._places = places
        self._min_rate = min_rate
        self._began = time.monotonic()
        self._status = 0
        self._sent = 0
        self._received = 0
        self._window_seconds = 0.0
        self._window_bytes = 0
        self._complete = False
        self.on_received: Callable[[int], None] = _nothing
        self.unread = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        self.note = ""
        self.instance = secrets.token_hex(8)
        scope[INSTANCE] = self.instance

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer; hang up when the client takes nothing for too long."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            names = {name.lower() for name, _ in message["headers"]}
            extra = [pair for pair in (*_SECURITY, _CSP) if pair[0] not in names]
            if is_upload(self._scope):
                extra.append(_TUS)
            if b"cache-control" not in names:
                extra.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *extra, (b"x-request-id", self.instance.encode())]}
        else:
            self._sent += len(message.get("body", b""))
        await self._deliver(message)
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def _deliver(self, message: Message) -> None:
        """Hand a message over, when the client has taken enough of what came before; however slowly, but no slower than
        a sender may be."""
        untaken = self._untaken()
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    await self._send(message)
                return
            except TimeoutError:
                # uvicorn waits before it writes: nothing of this message is on its way.
                before, untaken = untaken, self._untaken()
                if before - untaken >= self._idle_seconds * self._min_rate:
                    continue
                self.note = "client-stalled"
                self._hang_up()
                raise ClientDisconnect from None

    async def fail(self, error: VaultError) -> None:
        """Answer with a problem document, or break off the answer that has begun."""
        self.note = error.code
        if self._status:
            if not self._complete:
                self._hang_up()
            return
        lingering = self.unread
        who = self._scope.get(PRINCIPAL)
        if not isinstance(who, Principal) or who.token is not None:
            # Where things lie is for those who sit at this machine.
            error = without_places(error, self._places)
        response = problem_response(error, self.instance, {"Connection": "close"} if lingering else None)
        await self.send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self.send({"type": "http.response.body", "body": bytes(response.body), "more_body": lingering})
        if lingering:
            await self._linger()

    async def _linger(self) -> None:
        """Read on for a moment before the connection is closed: a client that still sends when the other end is gone
        gets a reset, and many then throw the answer away that came before it (RFC 9112, section 9.6)."""
        rest = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self.unread and rest > 0:
                    message = await self._receive()
                    self._look_at(message)
                    rest -= len(message.get("body", b""))
        except TimeoutError:
            pass
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        """Pass on a message of the request. Raises Interrupted (``too-slow``), and what counts the bytes raises."""
        expected, began = self.unread, time.monotonic()
        message = await self._receive()
        self._look_at(message)
        if expected:
            count = len(message.get("body", b""))
            self._received += count
            self.on_received(count)
            if self.unread:
                self._judge_pace(time.monotonic() - began, count)
        return message

    def _look_at(self, message: Message) -> None:
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.unread = False

    def _judge_pace(self, waited: float, count: int) -> None:
        """Only the time in which we waited for the sender counts, not that in which we read nothing."""
        self._window_seconds += waited
        self._window_bytes += count
        if self._window_seconds < self._idle_seconds:
            return
        rate = self._window_bytes / self._window_seconds
        self._window_seconds, self._window_bytes = 0.0, 0
        if rate < self._min_rate:
            raise Interrupted(
                f"The body came with {rate:.0f} bytes per second, and {self._min_rate} are the least.",
                remedy="Send it again over a better connection, or as a resumable upload.",
                code="too-slow",
            )

    def _untaken(self) -> int:
        untaken: Callable[[], int] | None = self._scope.get(UNTAKEN)
        return 0 if untaken is None else untaken()

    def _hang_up(self) -> None:
        abort: Callable[[], None] | None = self._scope.get(ABORT)
        if abort is not None:
            abort()

    def log(self) -> None:
        """One line for each request. Never a token, nor a query: it may hold what is nobody's business.

        What came from outside (path, identifier) is data within one field of the line; :mod:`vault.logs` escapes it.
        """
        scope = self._scope
        principal = scope.get(PRINCIPAL)
        client = scope.get("client")
        route = getattr(scope.get("route"), "path", "")
        if scope["path"].startswith(_PREFIX) and not route.startswith(_PREFIX):
            route = _PREFIX + route if route else ""
        params: dict[str, str] = scope.get("path_params") or {}
        log.info(
            "request",
            instance=self.instance,
            who=principal.agent if isinstance(principal, Principal) else "",
            address=str(client[0]) if client else "",
            method=scope["method"],
            route=route,
            **({"subject": next(iter(params.values()))[:_LONGEST]} if params else {}),
            **({} if route else {"path": scope["path"][:_LONGEST]}),
            status=self._status,
            received=self._received,
            sent=self._sent,
            seconds=round(time.monotonic() - self._began, 4),
            **({"note": self.note} if self.note else {}),
        )


def _nothing(_count: int) -> None:
    """Count nothing."""


def is_upload(scope: Scope) -> bool:
    """Whether this speaks tus: bodies of any size, and its version on every answer."""
    path = str(scope["path"])
    return path == _UPLOADS or path.startswith(f"{_UPLOADS}/")
