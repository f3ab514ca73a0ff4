"""Reading a large file back from its medium while it is still being written, a little behind the writer."""

from __future__ import annotations

import hashlib
import threading
from typing import Final

from vault.volumes.medium import Reading, read_range
from vault.volumes.tree import Tree

WINDOW_BYTES: Final = 32 * 1024 * 1024
"""So much is made durable, dropped from the page cache and read at a time. A whole number of pages."""


class ReadBack:
    """The digest of a file as its medium has it; a thread of its own computes it.

    What it comes to is never an accusation: where anything went otherwise than well there is no reading, and the file
    is read again in its place.
    """

    def __init__(self, tree: Tree, path: str, algorithm: str) -> None:
        self._tree = tree
        self._path = path
        self._algorithm = algorithm
        self._written = 0
        self._ended = False
        self._given_up = False
        self._reading: Reading | None = None
        self.inode = 0
        """Of the file that was read; known when it ended."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reading-back", daemon=True)
        self._thread.start()

    def written(self, size: int) -> None:
        """So many bytes of the file were written by now."""
        with self._changed:
            self._written = size
            self._changed.notify_all()

    def end(self) -> Reading | None:
        """The file is written and closed: what was read of it, or None where it must be read again."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        return self._reading

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        digest, done = hashlib.new(self._algorithm, usedforsecurity=False), 0
        try:
            while count := self._next(done):
                for chunk in read_range(self._tree, self._path, done, count):
                    digest.update(chunk)
                    done += len(chunk)
                    if self._given_up:
                        return
            size, self.inode = self._tree.size_and_inode(self._path)
        except OSError:
            return
        with self._changed:
            if self._ended and done == self._written == size:
                self._reading = Reading(done, {self._algorithm: digest.hexdigest()})

    def _next(self, done: int) -> int:
        """How much is to be read now; 0 when it is over."""
        with self._changed:
            while not self._given_up and not self._ended and self._written - done < WINDOW_BYTES:
                self._changed.wait()
            if self._given_up:
                return 0
            return min(WINDOW_BYTES, self._written - done)
