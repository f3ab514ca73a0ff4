"""Digests of a stream, computed beside the work that is done with it.

hashlib lets go of the interpreter while it hashes, so a second core hashes while the first writes. A short stream is
hashed where it is read: a thread would cost more than it saves.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

INLINE_BYTES: Final = 1024 * 1024
"""So much is hashed by the reader itself before a thread takes over."""

BEHIND_BYTES: Final = 2 * 1024 * 1024
"""How far the thread may be behind the reader. The bytes are those that the reader has in its hands anyway."""


class StreamHash:
    """The digests of what it is fed, by hashlib's names. One thread feeds it; ``close`` it when done.

    ``add`` names one more, as long as nothing was fed.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._fed = 0
        self._thread: threading.Thread | None = None
        self._chunks: deque[bytes] = deque()
        self._behind = 0
        self._busy = False
        self._ended = False
        self._cut = False
        self._changed = threading.Condition()

    @property
    def algorithms(self) -> frozenset[str]:
        """Those that are computed."""
        return frozenset(self._hashes)

    def add(self, algorithm: str) -> None:
        """Compute this one too. Only before the first ``update``."""
        if self._fed:
            raise RuntimeError("a digest was asked for after its stream had begun")
        if algorithm not in self._hashes:
            self._hashes[algorithm] = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """The next bytes of the stream."""
        if not self._hashes or not chunk:
            return
        self._fed += len(chunk)
        if self._thread is None:
            self._digest(chunk)
            if self._fed >= INLINE_BYTES:
                self._thread = threading.Thread(target=self._work, name="hashing", daemon=True)
                self._thread.start()
            return
        with self._changed:
            while self._behind >= BEHIND_BYTES:
                self._changed.wait()
            self._chunks.append(chunk)
            self._behind += len(chunk)
            self._changed.notify_all()

    def digests(self) -> dict[str, str]:
        """The digests of all that was fed, lower-case hexadecimal. RuntimeError where ``close`` came before that."""
        with self._changed:
            if self._cut:
                raise RuntimeError("the digests of a stream were asked for after it was given up")
            while self._chunks or self._busy:
                self._changed.wait()
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    def close(self) -> None:
        """End the thread. What it has not come to is not hashed."""
        with self._changed:
            self._ended = True
            self._cut = self._cut or bool(self._chunks)
            self._chunks.clear()
            self._changed.notify_all()

    def _digest(self, chunk: bytes) -> None:
        for digest in self._hashes.values():
            digest.update(chunk)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._chunks and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                chunks = list(self._chunks)
                self._chunks.clear()
                self._busy = True
            for chunk in chunks:
                self._digest(chunk)
            with self._changed:
                self._behind -= sum(map(len, chunks))
                self._busy = False
                self._changed.notify_all()
