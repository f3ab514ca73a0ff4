"""Who asks, when a proxy stands between: its word counts only if it is one of ours.

``X-Forwarded-For`` (what nginx, Apache and HAProxy send) or ``Forwarded`` (RFC 7239) is read from its end: each proxy
adds whom it spoke with. The first address from there that is no trusted proxy is who asks; what stands before it was
said by them, and may be a lie.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

from vault.api.headers import parse_forwarded
from vault.api.problems import bad_request
from vault.errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_HOPS: Final = 20

_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")


def come_from(scope: Scope, proxies: Sequence[Network]) -> None:
    """Put the address of whom a trusted proxy speaks for into ``scope["client"]``.

    Raises Invalid (``bad-forwarded``) when a trusted proxy's headers name no address: then nobody knows who asks.
    """
    client = scope.get("client")
    if not proxies or not client or not _is_trusted(_address(str(client[0])), proxies):
        return
    hops = _hops(scope)
    if not hops:
        return
    asked = None
    for hop in reversed(hops[-MOST_HOPS:]):
        asked = _address(hop)
        if asked is None:
            raise _unreadable()
        if not _is_trusted(asked, proxies):
            break
    scope["client"] = (str(asked), 0)


def _hops(scope: Scope) -> list[str]:
    old, new = _lines(scope, b"x-forwarded-for"), _lines(scope, b"forwarded")
    if old and new:
        # A proxy sends one of them; the other one came from whom it speaks for.
        raise _unreadable()
    if old:
        return [part.strip() for part in ",".join(old).split(",")]
    found: list[str] = []
    # Each line by itself: what one of them leaves open must not swallow the next, which is the proxy's own.
    for line in new:
        hops = parse_forwarded(line)
        if hops is None or not all("for" in hop for hop in hops):
            raise _unreadable()
        found += [hop["for"] for hop in hops]
    return found


def _lines(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _address(text: str) -> IPAddress | None:
    match = _PORT.fullmatch(text)
    try:
        found = ipaddress.ip_address(match[1] or match[2] if match is not None else text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_trusted(address: IPAddress | None, proxies: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in proxies)


def _unreadable() -> Invalid:
    return bad_request(
        "bad-forwarded",
        "The headers with which the proxy says who asks cannot be read.",
        "Have the proxy send one of X-Forwarded-For and Forwarded, and take away the other.",
    )
