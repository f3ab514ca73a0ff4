"""Reading ahead: what comes next is fetched while what came before is used."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final, Self

from hardware.errors import Refused

AHEAD_BYTES: Final = 2 * 1024 * 1024
"""How far the reading may be ahead of the use, beside the piece that is being read."""


class ReadAhead:
    """The pieces of ``source``, in their order, taken from it by a thread of its own.

    hashlib and read(2) let go of the interpreter, so that a drive turns while a processor hashes. At most ``most``
    bytes, and one piece, are held. An error of the source is raised behind the pieces that came before it. The thread
    is the only one that uses the source until :meth:`close` has returned; the end of the pieces closes, too.
    """

    def __init__(self, source: Iterator[bytes], most: int = AHEAD_BYTES) -> None:
        self._source = source
        self._most = most
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._over = False
        self._left = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            while not self._pieces and not self._over and not self._left:
                self._changed.wait()
            if self._left:
                # An end here would look like that of the file.
                raise Refused("This reading was given up for another one.", remedy="Read it anew.")
            if self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                self._changed.notify_all()
                return piece
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def close(self) -> None:
        """Read no further, and return when the source is at rest: after the read that is under way, if there is one."""
        with self._changed:
            self._left = self._left or not self._over or bool(self._pieces)
            self._pieces.clear()
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        try:
            for piece in self._source:
                if not self._take(piece):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are used
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, piece: bytes) -> bool:
        """Hold a piece, and wait until there is room for the next; False where none is wanted any more."""
        with self._changed:
            self._pieces.append(piece)
            self._held += len(piece)
            self._changed.notify_all()
            while self._held >= self._most and not self._left:
                self._changed.wait()
            return not self._left
