"""A "letter" with so many combining marks that what takes the square of their number takes a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

MARKS = "\u0301\u0323" * 100_000
"""Two classes in turn, which is the wrong order."""

_MOST = 6.0
"""Seconds of this thread's CPU; the square takes ten times as long, what is linear a tenth."""


@contextmanager
def at_once() -> Iterator[None]:
    """Fail when what is done within takes the square of the marks."""
    before = time.thread_time()
    yield
    assert time.thread_time() - before < _MOST
