"""Telling those who follow a deposit that something of it changed; what it is stands in the catalogue.

Whoever listens costs an entry in a table and an event of the loop: no thread, no lane, no transaction.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Listener:
    """One who waits for news of one deposit. In the event loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Return True as soon as something changed since the last call, False when nothing did for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    def wake(self) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._rung.set)
        except RuntimeError:
            # The loop is closed: the daemon is stopping, and what changed waits in the catalogue.
            return


class Bell:
    """Rings for deposits, by the ids of their ingests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, list[Listener]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the daemon is stopping: whoever listens should come to an end."""
        return self._closed

    def ring(self, ingest_id: str) -> None:
        """Something of this deposit changed. From any thread."""
        with self._lock:
            listeners = list(self._listeners.get(ingest_id, ()))
        for listener in listeners:
            listener.wake()

    def close(self) -> None:
        """Wake everybody, for good. From any thread."""
        with self._lock:
            self._closed = True
            listeners = [listener for several in self._listeners.values() for listener in several]
        for listener in listeners:
            listener.wake()

    @contextmanager
    def listening(self, ingest_id: str) -> Iterator[Listener]:
        """Listen for this deposit, for the block. Look at it after this began, so that nothing is missed."""
        listener = Listener()
        with self._lock:
            self._listeners.setdefault(ingest_id, []).append(listener)
        try:
            yield listener
        finally:
            with self._lock:
                several = self._listeners[ingest_id]
                several.remove(listener)
                if not several:
                    del self._listeners[ingest_id]
