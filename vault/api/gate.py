"""What every request passes: its name, who asks, the limits, the log, and the answer when something goes wrong.

Pure ASGI, so that nothing of a body is read before it is known who sends it, and nothing is buffered.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.api import threads
from vault.api.auth import PRINCIPAL, Principal, identify, local_operator
from vault.api.peer import ABORT, PEER_UID
from vault.api.problems import bad_request, problem_response, unforeseen
from vault.catalog.engine import Catalogue
from vault.errors import Interrupted, Invalid, VaultError

log = structlog.get_logger(__name__)

INSTANCE: Final = "khoso.instance"
"""Where the scope of a request carries its name, which stands in the log and in problem documents."""

MAX_BODY_BYTES: Final = 256 * 1024
"""Of every request that is no deposit."""

MOST_LOOKUPS: Final = 16
"""So many tokens are looked up at once."""

LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 8 * 1024 * 1024

_OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CSP: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Gate:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, *, catalogue: Catalogue, idle_seconds: float) -> None:
        self._app = app
        self._catalogue = catalogue
        self._idle_seconds = idle_seconds
        self._lookups = asyncio.Semaphore(MOST_LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._idle_seconds)
        try:
            # Routes are matched on what came over the wire: an identifier is decoded once, by us, and strictly.
            scope["path"] = scope["raw_path"].decode("ascii") if scope.get("raw_path") else scope["path"]
            _check_query(scope)
            scope[PRINCIPAL] = await self._who(scope)
            streaming = scope["method"] == "PUT"
            await self._app(scope, visit.receive if streaming else self._bounded(scope, visit.receive), visit.send)
        except ClientDisconnect:
            visit.note = "client-gone"
        except VaultError as error:
            await visit.fail(error)
        except Exception:  # the last place where a fault of ours can be answered
            log.exception("request-crashed", instance=visit.instance, method=scope["method"], path=scope["path"])
            await visit.fail(unforeseen())
        finally:
            visit.log()

    async def _who(self, scope: Scope) -> Principal | None:
        uid = scope.get(PEER_UID)
        if uid is not None:
            return local_operator(uid)
        authorization = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        if scope["path"] in _OPEN and not authorization and _is_loopback(scope):
            return None
        async with self._lookups:
            return await threads.run("authenticate", identify, self._catalogue, authorization, client_of(scope))

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The body of anything that is no deposit is small, and comes soon."""
        seen = 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY_BYTES:
                raise _too_large()

        complete = False

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(self._idle_seconds):
                    message = await receive()
            except TimeoutError:
                raise Interrupted(
                    f"Nothing of the request's body came for {self._idle_seconds:.0f} seconds.",
                    remedy="Send it again.",
                    code="request-timeout",
                ) from None
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > MAX_BODY_BYTES:
                raise _too_large()
            return message

        return bounded


def _too_large() -> Invalid:
    return bad_request("request-too-large", f"The request's body is larger than {MAX_BODY_BYTES} bytes.", "Send less.")


def _check_query(scope: Scope) -> None:
    """Starlette puts U+FFFD where a query is not UTF-8; what a depositor says of a package must not be altered."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise bad_request(
            "bad-query",
            "The query is not percent-encoded UTF-8, or has too many parts.",
            "Encode it as RFC 3986 has it.",
        ) from None
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1 and scope["method"] != "GET"), None)
    if twice is not None:
        raise bad_request("bad-query", f"The query says {twice[:40]!r} more than once.", "Say it once.", twice[:40])


def client_of(scope: Scope) -> str:
    """The IP address at the other end; "" for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_loopback(scope: Scope) -> bool:
    try:
        return ipaddress.ip_address(client_of(scope)).is_loopback
    except ValueError:
        return False


class _Visit:
    """One request on its way through: what was answered, for the log and for what must not be answered twice."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, idle_seconds: float) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._idle_seconds = idle_seconds
        self._began = time.monotonic()
        self._status = 0
        self._bytes = 0
        self._complete = False
        self._unread = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        self.note = ""
        self.instance = secrets.token_hex(8)
        scope[INSTANCE] = self.instance

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer; hang up when the client takes nothing for too long."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            names = {name.lower() for name, _ in message["headers"]}
            extra = [pair for pair in (*_SECURITY, _CSP) if pair[0] not in names]
            if b"cache-control" not in names:
                extra.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *extra, (b"x-request-id", self.instance.encode())]}
        else:
            self._bytes += len(message.get("body", b""))
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._send(message)
        except TimeoutError:
            self.note = "client-stalled"
            self._hang_up()
            raise ClientDisconnect from None
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def fail(self, error: VaultError) -> None:
        """Answer with a problem document, or break off the answer that has begun."""
        if self._status:
            self.note = error.code
            if not self._complete:
                self._hang_up()
            return
        lingering = self._unread
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
                while self._unread and rest > 0:
                    rest -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        """Pass on a message of the request."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    def _hang_up(self) -> None:
        abort: Callable[[], None] | None = self._scope.get(ABORT)
        if abort is not None:
            abort()

    def log(self) -> None:
        """One line for each request. Never a token, nor a query: it may hold what is nobody's business."""
        principal = self._scope.get(PRINCIPAL)
        log.info(
            "request",
            instance=self.instance,
            who=principal.agent if isinstance(principal, Principal) else "",
            method=self._scope["method"],
            path=self._scope["path"],
            status=self._status,
            bytes=self._bytes,
            seconds=round(time.monotonic() - self._began, 4),
            **({"note": self.note} if self.note else {}),
        )
