"""Places for bodies on their way in: how many at once, how many of them one sender may hold, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from vault.api.problems import RETRY_AFTER_SECONDS
from vault.errors import Unreachable

MOST_WAITING: Final = 256
"""So many requests may wait for a place, three quarters of them of one sender. Each is a connection and no more: what
it wants to send stays with the sender until it has a place."""

GiveBack = Callable[[object], None]


class Places:
    """How many deposits may be on their way at once. One that ends in the midst of a request keeps its place until
    its thread has ended, so that threads are bounded too.

    No sender holds more than ``share`` of them: however slow or many its deposits are, others find a place. Whoever
    finds none waits in a queue, for ``patience`` at most. All of it happens in the event loop's thread.
    """

    def __init__(self, number: int, share: int | None = None, patience: timedelta = timedelta(0)) -> None:
        self._free = number
        # A quarter is always left for others, where there is more than one place.
        self._share = max(1, number - max(1, number // 4)) if share is None else share
        self._patience = patience.total_seconds()
        self._held: Counter[str] = Counter()
        self._queue: deque[tuple[str, asyncio.Future[GiveBack]]] = deque()

    async def wait(self, agent: str) -> GiveBack:
        """As :meth:`take`, when a place becomes free in time; who came first has it first."""
        try:
            return self.take(agent)
        except Unreachable as refusal:
            mine = sum(other == agent for other, _ in self._queue)
            if not self._patience or len(self._queue) >= MOST_WAITING or mine >= MOST_WAITING * 3 // 4:
                raise
            turn: asyncio.Future[GiveBack] = asyncio.get_running_loop().create_future()
            self._queue.append((agent, turn))
            try:
                async with asyncio.timeout(self._patience):
                    return await asyncio.shield(turn)
            except BaseException as error:
                if turn.done():
                    turn.result()(None)
                else:
                    self._queue.remove((agent, turn))
                if isinstance(error, TimeoutError):
                    raise refusal from None
                raise

    def take(self, agent: str) -> GiveBack:
        """Take a place, and return what gives it back. Raises Unreachable (``busy``) when there is none, or all that
        this sender may hold are taken: it should come again soon."""
        if self._free <= 0:
            raise Unreachable(
                "As many deposits as this node accepts at once are on their way.",
                remedy=f"Send it again after {RETRY_AFTER_SECONDS} s; the operator can raise intake.max_concurrent.",
                code="busy",
            )
        if self._held[agent] >= self._share:
            raise Unreachable(
                f"As many deposits as {agent} may have on their way at once are.",
                remedy=f"Send it again after {RETRY_AFTER_SECONDS} s, when one of the others has ended.",
                code="busy",
            )
        self._free -= 1
        self._held[agent] += 1

        def give_back(_done: object = None) -> None:
            self._free += 1
            self._held[agent] -= 1
            if not self._held[agent]:
                del self._held[agent]
            self._hand_over()

        return give_back

    def _hand_over(self) -> None:
        """Give what is free to those who wait, in their order; who holds all that is allowed is passed over."""
        for agent, turn in list(self._queue):
            if self._free <= 0:
                return
            if self._held[agent] < self._share:
                self._queue.remove((agent, turn))
                turn.set_result(self.take(agent))
