"""The body of a deposit on its way from the network's event loop to the thread that stores it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable

from vault.errors import Fault, Invalid, VaultError
from vault.formats.archive import ReadableStream
from vault.intake.hashing import StreamHash

BUFFERED_BYTES = 4 * 1024 * 1024
"""How much may wait between network and disk. With it, memory does not depend on the size of a deposit."""


class BodyPipe:
    """A bounded pipe: the event loop feeds it, one thread reads it.

    ``read`` blocks until something came; ``feed`` waits without blocking the loop while the reader is behind. A reader
    that goes away (:meth:`abandon`) lets the feeder run dry at once.
    """

    def __init__(self, limit: int = BUFFERED_BYTES) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._error: VaultError | None = None
        self._abandoned = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def reader(self) -> ReadableStream:
        """What the receiving thread reads."""
        return self

    @property
    def abandoned(self) -> bool:
        """Whether the reader has gone: what is fed now is thrown away."""
        return self._abandoned

    async def feed(self, chunk: bytes) -> None:
        """Hand over the next piece; returns when there is room for more. In the loop's thread."""
        if not chunk:
            return
        with self._changed:
            if self._abandoned:
                return
            self._chunks.append(chunk)
            self._waiting_bytes += len(chunk)
            if self._waiting_bytes >= self._limit:
                self._room.clear()
            self._changed.notify()
        await self._room.wait()

    def finish(self) -> None:
        """The body is complete."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def fail(self, error: VaultError) -> None:
        """The body will not be complete: the reader gets this error after what came before it."""
        with self._changed:
            self._error = self._error or error
            self._ended = True
            self._changed.notify()

    def abandon(self) -> None:
        """The reader needs no more. In the reader's thread."""
        with self._changed:
            self._abandoned = True
            self._chunks.clear()
            self._waiting_bytes = 0
        self._make_room()

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the end. Raises the error that the body failed with."""
        with self._changed:
            while not self._chunks and not self._ended:
                self._changed.wait()
            if not self._chunks:
                if self._error is not None:
                    raise self._error
                return b""
            # All that waits at once: each piece by itself would be a turn of its own for everything behind this.
            taken, count = [], 0
            while self._chunks and count < size:
                chunk = self._chunks.popleft()
                if len(chunk) > size - count:
                    self._chunks.appendleft(chunk[size - count :])
                    chunk = chunk[: size - count]
                taken.append(chunk)
                count += len(chunk)
            was_full = self._waiting_bytes >= self._limit
            self._waiting_bytes -= count
            room = was_full and self._waiting_bytes < self._limit
        if room:
            self._make_room()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _make_room(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._room.set)
        except RuntimeError:
            # The loop is closed: the daemon is stopping, and nobody feeds any more.
            return


class CountedStream:
    """A stream that knows how many bytes were read from it."""

    def __init__(self, source: ReadableStream) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """As the source does."""
        chunk = self._source.read(size)
        self.count += len(chunk)
        return chunk


class HashedBody:
    """A stream that is hashed and counted as it is read, and bounded. ``close`` it when done."""

    def __init__(self, source: ReadableStream, algorithms: Iterable[str], max_bytes: int) -> None:
        self._source = source
        self._asked = set(algorithms)
        self._hash = StreamHash(self._asked)
        self._max_bytes = max_bytes
        self._head = b""
        self.count = 0

    def peek(self, size: int) -> bytes:
        """The first bytes, which stay to be read. Only before the first ``read``."""
        while len(self._head) < size and (chunk := self._source.read(size - len(self._head))):
            self._head += chunk
        return self._head

    def hash_at_least(self, algorithm: str) -> None:
        """Hash with this one where no other was asked for. Only before the first ``read``."""
        if not self._asked:
            self._asked.add(algorithm)
            self._hash.add(algorithm)

    def hash_also(self, algorithm: str) -> None:
        """Hash with this one too, for :meth:`digest`: the body is what is stored. Only before the first ``read``."""
        self._hash.add(algorithm)

    def digest(self, algorithm: str) -> str:
        """One digest of what was read, whether it was asked for or is for the node's own use."""
        return self._hash.digests()[algorithm]

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes. Raises Invalid (``package-too-large``) beyond the limit."""
        if self._head:
            chunk, self._head = self._head[:size], self._head[size:]
        else:
            chunk = self._source.read(size)
        self.count += len(chunk)
        if self.count > self._max_bytes:
            message = f"it is larger than {self._max_bytes} bytes, the limit of this node"
            raise Invalid(
                f"The deposit was refused: {message}.",
                faults=[Fault("package-too-large", message)],
                remedy="Deposit it in several packages, or ask the operator to raise intake.max_package_bytes.",
                code="package-too-large",
            )
        self._hash.update(chunk)
        return chunk

    def drain(self) -> None:
        """Read what is left, so that digest and length are those of the whole body."""
        while self.read(1024 * 1024):
            pass

    def digests(self) -> dict[str, str]:
        """The digests of what was read that were asked for, by algorithm name, lower-case hexadecimal."""
        return {name: value for name, value in self._hash.digests().items() if name in self._asked}

    def close(self) -> None:
        """No digest is wanted any more."""
        self._hash.close()
