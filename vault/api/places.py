"""Places for bodies on their way in: how many at once, and how many of them one sender may hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from vault.api.problems import RETRY_AFTER_SECONDS
from vault.errors import Unreachable


class Places:
    """How many deposits may be on their way at once. One that ends in the midst of a request keeps its place until
    its thread has ended, so that threads are bounded too.

    No sender holds more than ``share`` of them: however slow or many its deposits are, others find a place.
    """

    def __init__(self, number: int, share: int | None = None) -> None:
        self._free = number
        # A quarter is always left for others, where there is more than one place.
        self._share = max(1, number - max(1, number // 4)) if share is None else share
        self._held: Counter[str] = Counter()

    def take(self, agent: str) -> Callable[[object], None]:
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

        return give_back
