"""Where the daemon is, and what it means when it does not answer there."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from vault.errors import ConfigError, Interrupted, Refused, Unreachable
from vault.i18n import N_, _

_LOOK = N_("Look whether it runs (systemctl status vaultd) and what it says (journalctl -u vaultd).")
_NAME_BEHIND_A_SOCKET: Final = "http://vault"
_KNOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The daemon's Unix socket, or its address with a token. Exactly one of ``socket`` and ``url`` is set."""

    socket: Path | None = None
    url: str = ""
    token: str = ""

    def __str__(self) -> str:
        return str(self.socket) if self.socket is not None else self.url


def connect(endpoint: Endpoint, timeout: float) -> httpx.Client:
    """An HTTP client for ``endpoint``. Nothing is sent yet; ``timeout`` is in seconds and for each step.

    Raises ConfigError for an address that is none, Refused for one at which a token would travel in the clear, and
    Unreachable for a socket at which nobody answers.
    """
    if endpoint.socket is not None:
        _knock(endpoint.socket)
        transport = httpx.HTTPTransport(uds=str(endpoint.socket), retries=0)
        return httpx.Client(transport=transport, base_url=_NAME_BEHIND_A_SOCKET, timeout=timeout, trust_env=False)
    with _usable(endpoint) as (base, headers, local, verify):
        # Proxies of the environment are for other machines.
        return httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=not local, verify=verify)


def connect_async(endpoint: Endpoint, timeout: float) -> httpx.AsyncClient:
    """As :func:`connect`, for an event loop."""
    if endpoint.socket is not None:
        _knock(endpoint.socket)
        transport = httpx.AsyncHTTPTransport(uds=str(endpoint.socket), retries=0)
        return httpx.AsyncClient(transport=transport, base_url=_NAME_BEHIND_A_SOCKET, timeout=timeout, trust_env=False)
    with _usable(endpoint) as (base, headers, local, verify):
        return httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout, trust_env=not local, verify=verify)


@contextlib.contextmanager
def _usable(endpoint: Endpoint) -> Iterator[tuple[str, dict[str, str], bool, ssl.SSLContext | bool]]:
    """What a connection over TCP is made with: base address, headers, whether it stays here, and TLS."""
    parts = urlsplit(endpoint.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(
            f"{endpoint.url!r} is no address of a node.", remedy=_("Write one such as https://kho.example.vn:8443")
        )
    local = _is_loopback(parts.hostname)
    if parts.scheme == "http" and not local:
        raise Refused(
            f"The token would travel to {parts.hostname} in the clear.",
            remedy=_("Use https, with a TLS proxy before the node."),
            code="clear-text",
        )
    headers = {"Authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
    try:
        verify = ssl.create_default_context() if parts.scheme == "https" else False
        yield endpoint.url.rstrip("/"), headers, local, verify
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"{endpoint.url!r} or its token cannot be used: {error}.",
            remedy=_("Write both without special characters."),
        ) from error


def _knock(path: Path) -> None:
    """Connect once and hang up: the kernel says better than any library why nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_KNOCK_SECONDS)
        try:
            probe.connect(str(path))
        except FileNotFoundError as error:
            raise Unreachable(f"vaultd is not running: there is no socket {path}.", remedy=_(_LOOK)) from error
        except PermissionError as error:
            raise Unreachable(
                f"You may not speak to vaultd at {path}.",
                remedy=_("Type it with sudo, or be added to the group of the socket (ls -l shows which)."),
                code="permission-denied",
            ) from error
        except OSError as error:
            what = "vaultd is not running: nobody answers" if error.errno == errno.ECONNREFUSED else f"{error}"
            raise Unreachable(f"{what} at {path}.", remedy=_(_LOOK)) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def explained(endpoint: Endpoint) -> Iterator[None]:
    """Turn what httpx raises into Unreachable or Interrupted, with the likeliest remedy."""
    try:
        yield
    except httpx.ConnectError as error:
        raise Unreachable(f"vaultd at {endpoint} does not answer: {error}.", remedy=_(_LOOK)) from error
    except httpx.ConnectTimeout as error:
        raise Unreachable(f"vaultd at {endpoint} does not take the connection.", remedy=_(_LOOK)) from error
    except httpx.TimeoutException as error:
        raise Unreachable(
            f"vaultd at {endpoint} took the request and does not answer.",
            remedy=_("It may be busy. {look} What was asked may still happen.").format(look=_(_LOOK)),
            code="timed-out",
        ) from error
    except httpx.TransportError as error:
        raise Interrupted(
            f"The connection to vaultd at {endpoint} broke off: {str(error) or type(error).__name__}.",
            remedy=_("{look} Then try again.").format(look=_(_LOOK)),
        ) from error
