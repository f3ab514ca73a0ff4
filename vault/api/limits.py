"""How much each token may ask of the node: requests per second, and bytes and deposits in a day (UTC).

What was used of a day is kept in the catalogue, so that a restart gives nobody a second helping; what requests under
way have used is lost with a killed process. All of it may be called from any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as day_time
from typing import Final

import structlog

from vault.catalog import tokens
from vault.catalog.engine import Catalogue
from vault.clock import Clock, utcnow
from vault.errors import Throttled, VaultError
from vault.model import Token

log = structlog.get_logger(__name__)

_DAY_SECONDS: Final = 86_400


@dataclass(slots=True)
class Bucket:
    """A token bucket: it fills at ``rate`` per second to ``most`` (0: one second's worth, at least one), and a request
    takes one."""

    rate: float
    most: float = 0
    level: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.level = self.capacity

    @property
    def capacity(self) -> float:
        """How many requests may come at once."""
        return self.most or max(1.0, self.rate)

    def take(self, now: float) -> float:
        """Take one and return 0, or return how many seconds to wait for one. ``now`` is monotonic time in seconds."""
        wait = self.wait(now)
        if wait == 0:
            self.level -= 1
        return wait

    def wait(self, now: float) -> float:
        """How many seconds it is until one can be taken; 0 where one can."""
        if self.at is not None:
            self.level = min(self.capacity, self.level + max(0.0, now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.level >= 1 else (1 - self.level) / self.rate


@dataclass(slots=True)
class _Used:
    """What one token has used of a day, and how much of that the catalogue has not heard of."""

    day: date
    bytes: int
    packages: int
    new_bytes: int = 0
    new_packages: int = 0


class Limits:
    """The limits of all tokens. One for each application."""

    def __init__(
        self, catalogue: Catalogue, clock: Clock = utcnow, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: dict[int, Bucket] = {}
        self._used: dict[int, _Used] = {}
        self._noted: dict[int, datetime] = {}

    # --- requests

    def ask(self, token: Token) -> None:
        """Count a request. Raises Throttled (``too-many-requests``)."""
        rate = token.limits.rate
        if rate is None:
            return
        with self._lock:
            bucket = self._buckets.setdefault(token.id, Bucket(rate))
            wait = bucket.take(self._monotonic())
        if wait > 0:
            raise Throttled(
                f"The token {token.name} may make {rate:g} requests per second, and has made more.",
                remedy="Wait as long as Retry-After says; keep to that rate.",
                retry_after=math.ceil(wait),
            )

    # --- the quota of the day

    def is_loaded(self, token: Token) -> bool:
        """Whether :meth:`load` has nothing to learn. Never blocks."""
        if token.limits.bytes_per_day is None and token.limits.packages_per_day is None:
            return True
        known = self._used.get(token.id)
        return known is not None and known.day == self._today()

    def _today(self) -> date:
        return self._clock().astimezone(UTC).date()

    def load(self, token: Token) -> None:
        """Learn what the token has used today, if that is not known yet. Blocking. Raises what the catalogue does."""
        if self.is_loaded(token):
            return
        today = self._today()
        with self._catalogue.read() as tx:
            used = tokens.usage(tx, token.id, today)
        with self._lock:
            known = self._used.get(token.id)
            if known is None or known.day != today:
                self._used[token.id] = _Used(today, used.bytes, used.packages)

    def send(self, token: Token, count: int, announced: int = 0) -> None:
        """Count bytes of a body; ``announced`` more are said to follow. Raises Throttled (``quota-exhausted``)."""
        limit = token.limits.bytes_per_day
        used = self._used.get(token.id)
        if limit is None or used is None:
            return
        with self._lock:
            used.bytes += count
            used.new_bytes += count
            over = used.bytes + announced > limit or (announced < 0 and used.bytes >= limit)
        if over:
            raise self._exhausted(f"The token {token.name} may send {limit} bytes in a day.")

    def deposit(self, token: Token | None) -> None:
        """Count a deposit that begins. Raises Throttled (``quota-exhausted``)."""
        limit = token.limits.packages_per_day if token is not None else None
        if token is None or limit is None or (used := self._used.get(token.id)) is None:
            return
        with self._lock:
            if used.packages < limit:
                used.packages += 1
                used.new_packages += 1
                return
        raise self._exhausted(f"The token {token.name} may begin {limit} deposits in a day.")

    def _exhausted(self, message: str) -> Throttled:
        now = self._clock().astimezone(UTC)
        midnight = datetime.combine(now.date(), day_time(), UTC)
        return Throttled(
            message,
            remedy="Go on after midnight UTC, or ask the operator for a larger quota.",
            code="quota-exhausted",
            retry_after=_DAY_SECONDS - int((now - midnight).total_seconds()),
        )

    # --- what the catalogue keeps

    def is_to_be_noted(self, token: Token) -> bool:
        """Whether :meth:`note` has something to write down."""
        used = self._used.get(token.id)
        unsaved = used is not None and (used.new_bytes or used.new_packages)
        return bool(unsaved) or self._noted.get(token.id) != self._hour()

    def note(self, token: Token) -> None:
        """Write down what the token has used, and that it was used in this hour. Blocking; what cannot be written now
        is written with the next request."""
        with self._lock:
            used = self._used.get(token.id)
            fresh = tokens.Usage(used.new_bytes, used.new_packages) if used is not None else tokens.Usage(0, 0)
            if used is not None:
                used.new_bytes = used.new_packages = 0
            hour = self._hour()
            touched = self._noted.get(token.id) != hour
            self._noted[token.id] = hour
        try:
            with self._catalogue.write(durably=False) as tx:
                if touched:
                    tokens.touch(tx, token.id)
                if used is not None and (fresh.bytes or fresh.packages):
                    tokens.add_usage(tx, token.id, used.day, fresh)
        except VaultError as error:
            log.warning("usage-not-noted", who=f"token:{token.name}", code=error.code, reason=error.message)
            with self._lock:
                self._noted.pop(token.id, None)
                if used is not None:
                    used.new_bytes += fresh.bytes
                    used.new_packages += fresh.packages

    def _hour(self) -> datetime:
        return self._clock().replace(minute=0, second=0, microsecond=0)
