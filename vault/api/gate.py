"""What every request passes: its name, who asks, the limits, the log, and the answer when something goes wrong.

Pure ASGI, so that nothing of a body is read before it is known who sends it, and nothing is buffered.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.api import threads
from vault.api.auth import PRINCIPAL, Principal, admit, local_operator, not_valid, secret_of
from vault.api.known_tokens import Guesses, KnownTokens
from vault.api.limits import Limits
from vault.api.peer import PEER_UID
from vault.api.problems import bad_request, unforeseen
from vault.api.proxies import come_from
from vault.api.under_way import UnderWay
from vault.api.visit import Visit, is_upload
from vault.catalog.engine import Catalogue
from vault.config.settings import ApiSettings
from vault.errors import Forbidden, Interrupted, Invalid, VaultError
from vault.model import Token

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024
"""Of every request that is no deposit."""

LARGER_BODIES: Final = {("POST", "/v1/batches"): 8 * 1024 * 1024}
"""And of those whose bodies are lists: 5,000 packages with a sha-512 each are under 2 MB."""

MOST_LOOKUPS: Final = 16
"""So many tokens are looked up at once."""

_OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})


_OVERRIDES: Final = frozenset({b"PATCH", b"DELETE"})
"""The methods that tus has this for. Never HEAD: who has sent a POST waits for the body that the answer announces."""


class Gate:
    """The outermost layer of the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        catalogue: Catalogue,
        api: ApiSettings,
        limits: Limits,
        under_way: UnderWay,
        places: Mapping[str, str],
    ) -> None:
        self._app = app
        self._known = KnownTokens(catalogue)
        self._guesses = Guesses()
        self._idle_seconds = api.idle_timeout.total_seconds()
        self._min_rate = api.min_rate
        self._operators = api.operators
        self._proxies = [ipaddress.ip_network(one) for one in api.trusted_proxies]
        self._places = places
        self._limits = limits
        self._under_way = under_way
        self._lookups = asyncio.Semaphore(MOST_LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(
            scope,
            receive,
            send,
            idle_seconds=self._idle_seconds,
            min_rate=self._min_rate,
            places=self._places,
        )
        try:
            # Routes are matched on what came over the wire: an identifier is decoded once, by us, and strictly.
            scope["path"] = scope["raw_path"].decode("ascii") if scope.get("raw_path") else scope["path"]
            come_from(scope, self._proxies)
            _check_query(scope)
            _override_method(scope)
            scope[PRINCIPAL] = principal = await self._who(scope)
            token = principal.token if principal is not None else None
            if token is None:
                await self._serve(scope, visit)
            else:
                await self._serve_token(scope, visit, token)
        except ClientDisconnect:
            visit.note = "client-gone"
        except VaultError as error:
            await visit.fail(error)
        except Exception:  # the last place where a fault of ours can be answered
            log.exception("request-crashed", instance=visit.instance, method=scope["method"], path=scope["path"])
            await visit.fail(unforeseen())
        finally:
            visit.log()

    async def _serve(self, scope: Scope, visit: Visit) -> None:
        streaming = scope["method"] == "PUT" or is_upload(scope)
        await self._app(scope, visit.receive if streaming else self._bounded(scope, visit.receive), visit.send)

    async def _serve_token(self, scope: Scope, visit: Visit, token: Token) -> None:
        """Within what the token may ask for, and for as long as it is valid."""
        self._limits.ask(token)
        if visit.unread:
            length = next((v for n, v in scope["headers"] if n == b"content-length"), b"")
            self._limits.send(token, 0, int(length) if length.isdigit() and len(length) < 19 else -1)
            visit.on_received = functools.partial(self._limits.send, token)
        task = asyncio.current_task()
        try:
            with self._under_way.entered(token) as entry:
                try:
                    await self._serve(scope, visit)
                except asyncio.CancelledError:
                    if not entry.ended or task is None or task.uncancel() > 0:
                        raise
                    raise not_valid() from None
        finally:
            if self._limits.is_to_be_noted(token):
                threads.begin("token-used", self._limits.note, token)

    async def _who(self, scope: Scope) -> Principal | None:
        uid = scope.get(PEER_UID)
        if uid is not None:
            return local_operator(uid, self._operators)
        authorization = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        if scope["path"] in _OPEN and not authorization and _is_loopback(scope):
            return None
        secret, address = secret_of(authorization), client_of(scope)
        known = self._known.get(secret) if secret is not None else None
        if known is not None and self._limits.is_loaded(known):
            return admit(known, address)
        if secret is None or not self._known.was_valid(secret):
            self._guesses.check(address)
        async with self._lookups:
            token = await threads.run("authenticate", self._find, secret) if secret is not None else None
        try:
            return admit(token, address)
        except Forbidden:
            self._guesses.failed(address)
            raise

    def _find(self, secret: str) -> Token | None:
        token = self._known.find(secret)
        if token is not None:
            self._limits.load(token)
        return token

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The body of anything that is no deposit is small, and comes soon."""
        seen = 0
        most = LARGER_BODIES.get((scope["method"], scope["path"]), MAX_BODY_BYTES)
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > most:
                raise _too_large(most)

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
            if seen > most:
                raise _too_large(most)
            return message

        return bounded


def _too_large(most: int) -> Invalid:
    return bad_request("request-too-large", f"The request's body is larger than {most} bytes.", "Send less.")


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


def _override_method(scope: Scope) -> None:
    """tus, for clients behind what lets no PATCH pass: POST with ``X-HTTP-Method-Override`` is that method."""
    if scope["method"] != "POST" or not is_upload(scope):
        return
    for name, value in scope["headers"]:
        if name == b"x-http-method-override" and value in _OVERRIDES:
            scope["method"] = value.decode()


def client_of(scope: Scope) -> str:
    """The IP address at the other end; "" for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_loopback(scope: Scope) -> bool:
    try:
        return ipaddress.ip_address(client_of(scope)).is_loopback
    except ValueError:
        return False
