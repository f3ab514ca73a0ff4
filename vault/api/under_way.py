"""Requests under way, by their token: it may have half of the connections, and when it is revoked or expires, they end
with it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta

from vault.clock import Clock
from vault.errors import Throttled
from vault.model import Token

_FAR = timedelta(days=7)
"""No request lasts so long; a timer for later than that is not worth setting."""


class Entry:
    """One request under way. ``ended``: its token was revoked or has expired, and its task was cancelled for that."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.ended = False

    def end(self) -> None:
        """Cancel it. In the event loop."""
        if not self.ended:
            self.ended = True
            self._task.cancel()


class UnderWay:
    """All requests under way that came with a token. ``most``: so many may be with the same one."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entries: dict[int, set[Entry]] = {}

    @contextlib.contextmanager
    def entered(self, token: Token) -> Iterator[Entry]:
        """The request of the running task, while it is answered. Raises Throttled (``too-many-requests``)."""
        if len(self._entries.get(token.id, ())) >= self._most:
            raise Throttled(
                f"{self._most} requests with the token {token.name} are under way, half of what this node takes.",
                remedy="Wait for some of them; the operator can raise api.max_connections.",
                code="too-many-requests",
                retry_after=1,
            )
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "it runs in one"  # noqa: S101
        entry = Entry(task)
        left = None if token.expires_at is None else token.expires_at - self._clock()
        timer = self._loop.call_later(left.total_seconds(), entry.end) if left is not None and left < _FAR else None
        with self._lock:
            self._entries.setdefault(token.id, set()).add(entry)
        try:
            yield entry
        finally:
            if timer is not None:
                timer.cancel()
            with self._lock:
                entries = self._entries[token.id]
                entries.discard(entry)
                if not entries:
                    del self._entries[token.id]

    def end(self, token_id: int) -> None:
        """End whatever is under way with that token. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end, token_id)

    def _end(self, token_id: int) -> None:
        with self._lock:
            entries = list(self._entries.get(token_id, ()))
        for entry in entries:
            entry.end()
