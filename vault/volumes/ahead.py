"""One thing done for many small files: a few at a time where each takes long, mostly waiting for its medium, for those
waits can overlap; else one after the other in the caller's own thread, for threads that never wait hinder each other.

Files are handed over in runs that take about as long as one large read: to hand over a single one costs more than to
read it where it lies in a fast medium.
"""

from __future__ import annotations

import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

SMALL_FILES_AT_ONCE: Final = 4
"""So many files that one buffer holds are read or copied at a time; of larger ones never more than one."""

_MANY_A_RUN: Final = 8
"""Of files so small that a run has so many, opening them is most of the work, and processors do it: where several lanes
are busy with such, each has two runs under way."""

_lanes = 0
_counting = threading.Lock()

_RUN_SECONDS: Final = 0.01
_LONGEST_RUN: Final = 64
_LONG_SECONDS: Final = 0.0005
"""A file that keeps its thread waiting for longer has others read meanwhile. What is computed all the time gains
nothing by it: the lanes have the processors, and with more threads than those none finds its buffer in their caches."""


@contextmanager
def ahead(
    call: Callable[[Sequence[Item]], Sequence[Outcome]], items: Iterable[Item], name: str
) -> Iterator[Iterator[tuple[Item, Outcome]]]:
    """For the block: each item, in its order, with what ``call`` comes to for it; it is given a run of items, in
    whichever thread.

    Few are begun before they are asked for. At the end of the block what was not begun is not done, and what was is
    waited for.
    """
    pool = ThreadPoolExecutor(SMALL_FILES_AT_ONCE, name)
    _count(1)
    try:
        yield _in_order(pool, _Runs(call), iter(items))
    finally:
        _count(-1)
        pool.shutdown(cancel_futures=True)


def all_at_once(call: Callable[[Item], object], items: Sequence[Item], name: str) -> None:
    """Do it for each item, all at the same time, and wait for all of them; for media that do not wait for each other.
    Raises what the first of them raises."""
    if len(items) <= 1:
        # A thread that is only waited for costs as much as a few small files.
        for item in items:
            call(item)
        return
    with ThreadPoolExecutor(len(items), name) as pool:
        outcomes = [pool.submit(call, item) for item in items]
    for outcome in outcomes:
        outcome.result()


def _count(more: int) -> None:
    global _lanes  # noqa: PLW0603 - how many there are in the whole process is the point
    with _counting:
        _lanes += more


def _behind(length: int) -> int:
    """How many runs of so many files may be under way when another one begins."""
    return SMALL_FILES_AT_ONCE if length < _MANY_A_RUN or _lanes == 1 else 1


def _in_order(
    pool: ThreadPoolExecutor, runs: _Runs[Item, Outcome], items: Iterator[Item]
) -> Iterator[tuple[Item, Outcome]]:
    coming: deque[tuple[list[Item], Future[Sequence[Outcome]]]] = deque()
    while run := list(islice(items, runs.length)):
        # Asked once: while others look at outcomes, the threads may come to think otherwise.
        handed_over = runs.long
        while len(coming) > (_behind(len(run)) if handed_over else 0):
            yield from _outcomes(coming)
        if handed_over:
            coming.append((run, pool.submit(runs.do, run)))
        else:
            yield from zip(run, runs.do(run), strict=True)
    while coming:
        yield from _outcomes(coming)


def _outcomes(coming: deque[tuple[list[Item], Future[Sequence[Outcome]]]]) -> Iterator[tuple[Item, Outcome]]:
    run, outcomes = coming.popleft()
    return zip(run, outcomes.result(), strict=True)


class _Runs(Generic[Item, Outcome]):
    """Does runs, in any number of threads, and learns from each how many files the next shall have (``length``), and
    whether they keep a thread ``long``."""

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Outcome]]) -> None:
        self._call = call
        self.length = 1
        self.long = False

    def do(self, run: Sequence[Item]) -> Sequence[Outcome]:
        began, busy_before = time.perf_counter(), time.thread_time()
        read_before = resource.getrusage(resource.RUSAGE_THREAD).ru_inblock
        outcomes = self._call(run)
        took = time.perf_counter() - began
        waited = took - (time.thread_time() - busy_before)
        # Of a disk, however quick, the kernel tells that it was read.
        from_disk = resource.getrusage(resource.RUSAGE_THREAD).ru_inblock > read_before
        if from_disk or took > _RUN_SECONDS / 4:
            # What took less tells nothing: the first file also opens the folders, and a moment lost looks like a wait.
            self.long = from_disk or waited > len(run) * _LONG_SECONDS
        if took > _RUN_SECONDS:
            self.length = max(1, len(run) // 2)
        elif took < _RUN_SECONDS / 2:
            self.length = min(_LONGEST_RUN, 2 * len(run))
        return outcomes
