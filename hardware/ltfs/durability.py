"""Making the records of a virtual cartridge durable while the next ones are being written."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

_WAITING: Final = 64
"""Records that may wait for their fsync; more would make the page cache swell."""
_AT_ONCE: Final = 4
"""Records that are made durable at once: a journal commits them together."""


class RecordSync:
    """Syncs and closes files beside the caller's work. ``lost`` is the first failure, and is never forgotten."""

    def __init__(self) -> None:
        self.lost: OSError | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    def begin(self, descriptor: int) -> None:
        """Take over a written file. Waits where too many others wait; raises ``OSError`` where one was lost."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tape-sync")
        self._waiting.append(self._workers.submit(_sync_and_close, descriptor))
        self._wait(_WAITING)

    def wait(self) -> None:
        """Return when all files taken over are durable. Raises ``OSError`` where one was lost, now or ever."""
        self._wait(0)

    def close(self) -> None:
        """Close all files, whether durable or not."""
        if self._workers is not None:
            self._workers.shutdown(wait=True)
            self._workers = None
        self._waiting.clear()

    def _wait(self, left: int) -> None:
        while len(self._waiting) > left:
            try:
                self._waiting.popleft().result()
            except OSError as error:
                # The kernel tells of lost pages once. No later success may hide that this record is gone.
                self.lost = self.lost or error
        if self.lost:
            raise self.lost


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
