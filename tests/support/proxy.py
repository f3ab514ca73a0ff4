"""A link that drops: a TCP proxy that cuts connections after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable


class DroppingProxy:
    """Listens on a port of its own and carries what comes to ``target()``, wherever that is just then.

    ``budget`` is asked for each connection how many bytes it may carry towards the node before both ends are reset.
    """

    def __init__(self, target: Callable[[], tuple[str, int]], budget: Callable[[], int]) -> None:
        self._target = target
        self._budget = budget
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.carried = 0
        self.cut = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        # What shutdown(2) ends is the accept(2) of the other thread; close(2) alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            left = list(self._open)
        for one in left:
            _reset(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                node = socket.create_connection(self._target(), 10)
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._open |= {client, node}
            for one, other, budget in ((client, node, self._budget()), (node, client, None)):
                threading.Thread(target=self._carry, args=(one, other, budget), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, budget: int | None) -> None:
        try:
            while data := one.recv(65536):
                if budget is not None:
                    self.carried += len(data)
                    budget -= len(data)
                    if budget < 0:
                        self.cut += 1
                        break
                other.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._open -= {one, other}
        for end in (one, other):
            _reset(end)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    one.close()
