"""Blocking work away from the event loop, in daemon threads.

A thread that is stuck in a dead file server's read holds up nobody: neither the loop nor, being a daemon, the end of
the process. Python's own pools wait for theirs.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, ParamSpec, TypeVar

from vault.errors import Interrupted

P = ParamSpec("P")
T = TypeVar("T")

BUFFERED_BYTES: Final = 512 * 1024
"""How much an :class:`Outflow` reads ahead of the network. Times the downloads that may go on, this is memory."""


def begin(name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Run ``function`` in a thread of its own and return a future of what it returns or raises."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where T is None

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits for the future
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            # The loop is closed: the daemon is stopping, and nobody waits any more.
            return

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


async def run(name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function`` in a thread of its own and wait for it."""
    return await begin(name, function, *args, **kwargs)


class Silent(Exception):
    """Nothing was heard of an :class:`Outflow`'s thread for longer than its patience: it may hang in a volume."""


class Outflow:
    """Bytes on their way from a thread that reads a volume to the network, a bounded number of them at a time.

    ``produce`` is called in a thread with a function that takes the next bytes; that blocks while the network is
    behind, and raises Interrupted when nobody wants more. The bytes are read with ``async for``; an error of
    ``produce`` is raised there after what came before it. ``patience`` is how many seconds may pass without a word from
    ``produce``; no bytes at all (``b""``) are a word too: it is still at work.
    """

    def __init__(self, name: str, produce: Callable[[Callable[[bytes], None]], None], patience: float) -> None:
        self._patience = patience
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._done = begin(name, produce, self._write)
        self._done.add_done_callback(self._end)

    def _end(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # it is raised again to the reader; here it only counts as seen
        self._ready.set()

    def _write(self, chunk: bytes) -> None:
        with self._changed:
            while self._waiting_bytes >= BUFFERED_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Interrupted("The client went away.")
            self._chunks.append(chunk)
            self._waiting_bytes += len(chunk)
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            raise Interrupted("The daemon is stopping.") from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises what ``produce`` raised, and :class:`Silent`."""
        while True:
            while self._chunks:
                with self._changed:
                    chunk = self._chunks.popleft()
                    self._waiting_bytes -= len(chunk)
                    self._changed.notify()
                yield chunk
            if self._done.done() and not self._chunks:
                self._done.result()
                return
            self._ready.clear()
            if self._chunks or self._done.done():
                continue
            try:
                async with asyncio.timeout(self._patience):
                    await self._ready.wait()
            except TimeoutError:
                raise Silent from None

    def close(self) -> None:
        """Let the thread end: no more is wanted."""
        with self._changed:
            self._closed = True
            self._chunks.clear()
            self._changed.notify()
