"""One thing done for many small files, a few at a time: each costs a wait for its medium, and the waits can overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

SMALL_FILES_AT_ONCE: Final = 4
"""So many files that one buffer holds are read or copied at a time; of larger ones never more than one."""


@contextmanager
def ahead(
    call: Callable[[Item], Outcome], items: Iterable[Item], name: str
) -> Iterator[Iterator[tuple[Item, Future[Outcome]]]]:
    """For the block: each item, in its order, with what ``call`` comes to for it in a thread of its own.

    Few are begun before they are asked for. At the end of the block what was not begun is not done, and what was is
    waited for.
    """
    pool = ThreadPoolExecutor(SMALL_FILES_AT_ONCE, name)
    try:
        yield _in_order(pool, call, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, call: Callable[[Item], Outcome], items: Iterable[Item]
) -> Iterator[tuple[Item, Future[Outcome]]]:
    coming: deque[tuple[Item, Future[Outcome]]] = deque()
    for item in items:
        coming.append((item, pool.submit(call, item)))
        if len(coming) > 2 * SMALL_FILES_AT_ONCE:
            yield coming.popleft()
    yield from coming
