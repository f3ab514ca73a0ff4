"""A value that takes time to make, for those who cannot wait: made in a thread of its own, one making at a time.

Whoever asks has it made anew and gets that, where it is quick; where it is not, what was made before, while that is
young; and where there is nothing young, waits, but not for ever. What failed is told at once, and nothing from before
the failure is shown again. So an answer is never late, and never older than it may be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Made(Generic[_T]):
    value: _T
    began: float


class Latest(Generic[_T]):
    """Keeps what ``make`` made last. Times are in seconds: ``prompt`` is how long somebody waits who could have what
    was made before, ``valid`` how long that may be had by ``clock``, ``patience`` how long somebody waits who has
    nothing else."""

    def __init__(
        self,
        make: Callable[[], _T],
        *,
        prompt: float,
        valid: float,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._prompt = prompt
        self._valid = valid
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: Future[_T] | None = None
        self._last: _Made[_T] | None = None

    def begin(self) -> Future[_T]:
        """Have it made anew, unless that is under way; wait for nothing."""
        with self._lock:
            future = self._under_way
            if future is None:
                future = self._under_way = Future()
                threading.Thread(target=self._run, args=(future,), name="scrape", daemon=True).start()
            return future

    def get(self) -> _T:
        """Return it; raise what making it raised, or :class:`TimeoutError` where it takes too long."""
        future = self.begin()
        last = self._last
        young = last is not None and self._clock() - last.began <= self._valid
        try:
            return future.result(self._prompt if young else self._patience)
        except TimeoutError:
            if future.done():
                return future.result()
        if last is not None and young:
            return last.value
        raise TimeoutError(f"no answer in {self._patience:g} s")

    def _run(self, future: Future[_T]) -> None:
        began = self._clock()
        try:
            value = self._make()
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            self._ended(None)
            future.set_exception(error)
        else:
            self._ended(_Made(value, began))
            future.set_result(value)

    def _ended(self, made: _Made[_T] | None) -> None:
        with self._lock:
            self._under_way = None
            self._last = made
