"""Telling a depositor's program how its deposit ended: an HTTP POST, signed, tried again for a day.

The form is that of Standard Webhooks (https://www.standardwebhooks.com), for which receivers have libraries:
``webhook-id`` (the ingest), ``webhook-timestamp`` (seconds) and ``webhook-signature`` (``v1,`` and the base64 of the
HMAC-SHA256 over ``id.timestamp.body``). What is to be told stands in the catalogue, so a restart forgets nothing.

A depositor chooses the address, so it must not become a way into the province's network: only hosts of the
configuration are told, over https; the name is looked up once and the connection goes to the address that was judged;
redirects are not followed, and of the answer only its status counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from vault.catalog import callbacks, ingests
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.config import CallbackSettings
from vault.custody.context import Custodian
from vault.depositing import Callback
from vault.errors import ConfigError, Fault, Invalid, VaultError
from vault.model import Ingest, Json
from vault.telemetry import CallbackOutcome

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = timedelta(seconds=2)
TIMEOUT_SECONDS: Final = 10.0
GIVE_UP_AFTER: Final = timedelta(days=1)
KEPT_FOR: Final = timedelta(days=30)

_FIRST_WAIT: Final = timedelta(seconds=10)
_LONGEST_WAIT: Final = timedelta(hours=2)
_MOST_AT_ONCE: Final = 50
SHARE_OF_HOST: Final = timedelta(seconds=30)
_LATER: Final = frozenset({429, 502, 503, 504})
"""Answers by which a host says of itself that it cannot be asked now (RFC 9110, 15.6; RFC 6585, 4)."""

_MOST_ANSWER_BYTES: Final = 64 * 1024
_LONGEST_URL: Final = 2000
_SECRET_PREFIX: Final = "whsec_"
_SHORTEST_SECRET: Final = 24

Resolve = Callable[[str, int], list[str]]
"""Looks up a host's name; returns its IP addresses."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address to call, taken apart."""

    scheme: str
    host: str
    port: int
    path: str


def read_url(url: str, settings: CallbackSettings) -> Target:
    """Take a callback's address apart.

    Raises Invalid: ``bad-callback`` for what is none, ``callback-not-allowed`` for a host that the configuration does
    not name.
    """
    why = ""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        raise _bad("bad-callback", "it is no address") from None
    if len(url) > _LONGEST_URL or not url.isprintable() or not url.isascii() or " " in url:
        why = f"it is longer than {_LONGEST_URL} characters, or has others than printable ASCII"
    elif parts.scheme not in ("https", "http") or not host:
        why = "it does not begin with https:// and a host"
    elif parts.username is not None or parts.password is not None or parts.fragment:
        why = "it has credentials or a fragment"
    elif parts.scheme == "http" and not (settings.loopback and _is_loopback_name(host)):
        why = "it is not https"
    if why:
        raise _bad("bad-callback", why)
    port = port or (443 if parts.scheme == "https" else 80)
    if not {host, f"{host}:{port}"} & {allowed.lower() for allowed in settings.hosts}:
        raise _bad("callback-not-allowed", f"the configuration does not name the host {host[:200]}:{port}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def _bad(code: str, why: str) -> Invalid:
    return Invalid(
        f"The callback cannot be used: {why}.",
        faults=[Fault(code, why, "callback")],
        remedy="Send an https address of a host that the operator allows ([callbacks] hosts), or leave it out.",
        code=code,
    )


def _is_loopback_name(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_allowed(address: str, *, loopback: bool) -> bool:
    """Whether a host of the configuration may be at this IP address: private networks are where archives live, but
    nothing of this machine, of this link (where clouds keep their credentials), and no group of machines."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return loopback
    return not (found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved)


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def load_secret(path: Path) -> bytes:
    """Read the secret: ``whsec_`` and base64 of at least 24 bytes. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1000).decode("ascii").strip()
        secret = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except OSError as error:
        raise ConfigError(
            f"The secret of the callbacks cannot be read: {path}: {error.strerror}.",
            remedy="Make it: (umask 077; echo whsec_$(openssl rand -base64 32) > FILE), readable by the service.",
        ) from error
    except (binascii.Error, UnicodeError):
        secret, mode = b"", 0
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigError(
            f"{path} holds no secret for callbacks: it must be whsec_ and {_SHORTEST_SECRET} bytes or more in base64.",
            remedy="Make it: (umask 077; echo whsec_$(openssl rand -base64 32) > FILE)",
        )
    if stat.S_IMODE(mode) & 0o007:
        raise ConfigError(f"The secret in {path} can be read by everybody.", remedy=f"chmod 640 {path}")
    return secret


def trusted(authority: Path | None) -> ssl.SSLContext:
    """Whose certificates receivers may show: the system's authorities, and this one. Raises ConfigError."""
    context = ssl.create_default_context()
    if authority is not None:
        try:
            context.load_verify_locations(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The authority of the callbacks' receivers cannot be read: {authority}: {error.strerror or error}.",
                remedy="Put its certificate there as PEM, readable by the service, or take [callbacks] authority out.",
            ) from error
    return context


def signature(secret: bytes, ingest_id: str, timestamp: int, body: bytes) -> str:
    """What goes into ``webhook-signature``."""
    signed = hmac.new(secret, f"{ingest_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def body_of(ingest: Ingest) -> bytes:
    """What is told."""
    data: dict[str, Json] = {
        "id": ingest.id,
        "identifier": ingest.identifier,
        "version": ingest.version,
        "state": str(ingest.state),
        "problem": None if ingest.problem is None else dict(ingest.problem),
        "receipt": None if ingest.receipt is None else dict(ingest.receipt),
    }
    told = {"type": f"ingest.{ingest.state}", "timestamp": to_text(ingest.updated_at), "data": data}
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace")


class Callbacks:
    """A thread that tells. ``start`` once, ``stop`` once. It does nothing where the configuration names no host."""

    def __init__(self, custodian: Custodian, settings: CallbackSettings, resolve_: Resolve = resolve) -> None:
        """Raises ConfigError where hosts are named and the secret cannot be used."""
        self._custodian = custodian
        self._settings = settings
        self._resolve = resolve_
        self._secret = load_secret(settings.secret) if settings.hosts and settings.secret is not None else b""
        self._tls = trusted(settings.authority) if settings.hosts else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._settings.hosts:
            self._thread.start()

    def stop(self, patience: timedelta) -> bool:
        """End after the call that is under way; returns whether it ended in time."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(patience.total_seconds())
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_EVERY.total_seconds()):
            try:
                self.tell_all()
            except VaultError as error:
                log.error("callbacks-not-read", code=error.code, reason=str(error))
            except Exception:
                # A fault of ours must not end the thread; it is seen in the log.
                log.exception("callbacks-failed")

    def tell_all(self) -> int:
        """Tell all whose time has come, once each; returns how many were told.

        What else is to be told to a host that does not answer is postponed with what was tried, so that it keeps
        nobody else's from being told; and a host that is slow takes :data:`SHARE_OF_HOST` of a round.
        """
        silent: dict[str, str] = {}
        taken: dict[str, float] = {}
        told, began_at = 0, self._custodian.catalogue.clock()
        while not self._stopping.is_set():
            with self._custodian.catalogue.read() as tx:
                waiting = [
                    (found, ingests.get(tx, found.ingest_id)) for found in callbacks.due(tx, began_at, _MOST_AT_ONCE)
                ]
            postponed: list[tuple[Callback, str]] = []
            for callback, ingest in waiting:
                host = urlsplit(callback.url).netloc
                if ingest is None or self._stopping.is_set():
                    continue
                if host in silent:
                    postponed.append((callback, silent[host]))
                    continue
                began = time.monotonic()
                message, outcome, answered = self._tell(callback, ingest)
                taken[host] = taken.get(host, 0) + time.monotonic() - began
                told += outcome == "delivered"
                if not answered:
                    silent[host] = message
                elif taken[host] > SHARE_OF_HOST.total_seconds():
                    silent[host] = "its host is slow: later"
                self._note(callback, outcome, message)
            self._postpone(postponed)
            if len(waiting) < _MOST_AT_ONCE:
                break
        with self._custodian.catalogue.write() as tx:
            callbacks.forget(tx, KEPT_FOR)
        return told

    def _tell(self, callback: Callback, ingest: Ingest) -> tuple[str, str, bool]:
        """One attempt: what it came to, for people, the outcome ("" where it is to be tried again), and whether its
        host answers at all and wants to be asked."""
        try:
            target = read_url(callback.url, self._settings)
            addresses = self._resolve(target.host, target.port)
            good = [a for a in addresses if is_allowed(a, loopback=self._settings.loopback)]
            if not good:
                return (
                    f"{target.host} is at {', '.join(addresses)[:200] or 'no address'}, which is not allowed",
                    "",
                    False,
                )
            status = self._post(target, good[0], ingest)
        except Invalid as error:
            return error.message, "given-up", True
        except (OSError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return f"{type(error).__name__}: {error}"[:500], "", False
        if 200 <= status < 300:
            return f"answered {status}", "delivered", True
        return f"answered {status}", "given-up" if status == 410 else "", status not in _LATER

    def _post(self, target: Target, address: str, ingest: Ingest) -> int:
        body, timestamp = body_of(ingest), int(self._custodian.catalogue.clock().timestamp())
        there = f"[{address}]" if ":" in address else address
        usual = target.port == (443 if target.scheme == "https" else 80)
        headers: Mapping[str, str] = {
            "Host": target.host if usual else f"{target.host}:{target.port}",
            "Content-Type": "application/json",
            "User-Agent": "khoso",
            "webhook-id": ingest.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, ingest.id, timestamp, body),
        }
        until = time.monotonic() + 2 * TIMEOUT_SECONDS
        # Neither proxies nor certificates of the environment: only what the configuration says.
        with (
            httpx.Client(verify=self._tls or True, trust_env=False, timeout=TIMEOUT_SECONDS) as client,
            client.stream(
                "POST",
                f"{target.scheme}://{there}:{target.port}{target.path}",
                content=body,
                headers=headers,
                extensions={"sni_hostname": target.host},
            ) as response,
        ):
            read = 0
            for chunk in response.iter_raw(4096):
                read += len(chunk)
                if read > _MOST_ANSWER_BYTES or time.monotonic() > until:
                    break
            return response.status_code

    def _postpone(self, waiting: Sequence[tuple[Callback, str]]) -> None:
        """Note of these that they could not be told, all at once."""
        if not waiting:
            return
        with self._custodian.catalogue.write() as tx:
            outcomes = [self._tried(tx, callback, "", why) for callback, why in waiting]
        given_up = sum(outcome == "given-up" for outcome in outcomes)
        for _ in range(given_up):
            self._custodian.telemetry.callback(CallbackOutcome.GIVEN_UP)
        hosts = sorted({urlsplit(callback.url).netloc[:200] for callback, _ in waiting})
        log.warning("callbacks-postponed", hosts=hosts, number=len(waiting), given_up=given_up)

    def _tried(self, tx: Tx, callback: Callback, outcome: str, message: str) -> str:
        first = callback.first_at or tx.now
        if not outcome and tx.now - first > GIVE_UP_AFTER:
            outcome = "given-up"
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(callback.attempts, 12))
        later = tx.now if outcome else tx.now + wait
        callbacks.tried(tx, callback, outcome=outcome, message=message, not_before=later)
        return outcome

    def _note(self, callback: Callback, outcome: str, message: str) -> None:
        with self._custodian.catalogue.write() as tx:
            outcome = self._tried(tx, callback, outcome, message)
        self._custodian.telemetry.callback(CallbackOutcome(outcome or "failed"))
        tell = log.info if outcome == "delivered" else log.warning
        tell(
            "callback",
            ingest=callback.ingest_id,
            host=urlsplit(callback.url).netloc[:200],
            outcome=outcome or "to be tried again",
            reason=message,
        )
