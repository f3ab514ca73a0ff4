"""What was learnt of tokens a moment ago, so that not every request asks the catalogue; and who guesses at them.

A token is believed for :data:`BELIEVED_SECONDS`, and not one request longer than it is revoked: whatever this process
changes of any token changes the catalogue's ``credentials`` number, and what was learnt under another one is forgotten.
Expiry and address are looked at each time.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vault.api.limits import Bucket
from vault.catalog import tokens
from vault.catalog.engine import Catalogue
from vault.errors import Throttled
from vault.model import Token

BELIEVED_SECONDS: Final = 5.0
"""For what another program may have done to the database."""

MOST_TOKENS: Final = 1024
MOST_ADDRESSES: Final = 4096

FAILURES: Final = 20
"""So many tokens that are not good an address may show at once; then as many as come back in :data:`PER_SECOND`."""

PER_SECOND: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    generation: int
    until: float


class KnownTokens:
    """Tokens that were found valid. From any thread; it holds hashes, and no secret."""

    def __init__(self, catalogue: Catalogue, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._catalogue = catalogue
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def get(self, secret: str) -> Token | None:
        """The token of that secret, where it is known to be valid now. Never blocks."""
        key = _key(secret)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                return None
            token, now = known.token, self._catalogue.clock()
            if token.expires_at is not None and token.expires_at <= now:
                del self._known[key]
                return None
            self._known.move_to_end(key)
            if known.generation != self._catalogue.credentials or known.until <= self._monotonic():
                return None  # to be looked up again
            return token

    def was_valid(self, secret: str) -> bool:
        """Whether it is no guess: it was found valid, and since then nobody has found that it is not."""
        with self._lock:
            return _key(secret) in self._known

    def find(self, secret: str) -> Token | None:
        """Ask the catalogue, and remember what is valid. Blocking."""
        # Read before the catalogue is: what changes meanwhile must not be remembered as it was.
        generation = self._catalogue.credentials
        with self._catalogue.read() as tx:
            token = tokens.find(tx, secret)
        if token is not None:
            self.remember(secret, token, generation)
        else:
            with self._lock:
                self._known.pop(_key(secret), None)
        return token

    def remember(self, secret: str, token: Token, generation: int) -> None:
        """Believe it for a while. ``generation`` is the catalogue's ``credentials`` from before the token was read."""
        with self._lock:
            self._known[_key(secret)] = _Known(token, generation, self._monotonic() + BELIEVED_SECONDS)
            while len(self._known) > MOST_TOKENS:
                self._known.popitem(last=False)


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Guesses:
    """How many tokens that are not good came from where. Who shows too many waits before another one is looked at.

    An IPv6 network of 64 bits counts as one address: whoever has one has all of them. This machine itself is not
    counted: a proxy on it that the configuration does not name speaks for everybody. In the event loop's thread.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._buckets)

    def check(self, address: str) -> None:
        """Raise Throttled (``too-many-guesses``) while no more of this address are looked at."""
        bucket = self._buckets.get(_place(address))
        if bucket is not None and (wait := bucket.wait(self._monotonic())) > 0:
            raise Throttled(
                "Too many tokens that are not valid were sent from this address.",
                remedy="Correct the token that your program sends; it is looked at again when Retry-After is over.",
                code="too-many-guesses",
                retry_after=math.ceil(wait),
            )

    def failed(self, address: str) -> None:
        """A token from there was not good."""
        place = _place(address)
        if not place:
            return
        bucket = self._buckets.setdefault(place, Bucket(PER_SECOND, FAILURES))
        bucket.take(self._monotonic())
        self._buckets.move_to_end(place)
        while len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)


def _place(address: str) -> str:
    """What counts as one address; "" for one that is not counted."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return ""
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))
