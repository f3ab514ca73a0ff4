"""Waiting for the node, and showing how far something is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vault.cli.exits import StillGoingOn
from vault.errors import Interrupted, Unreachable
from vault.wire_tapes import TapeReading

_T = TypeVar("_T")

INTERVAL_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""So long a daemon may be away (for a restart, say) while something waits for it."""


def wait_for(
    look: Callable[[], _T],
    ended: Callable[[_T], bool],
    *,
    what: str,
    limit: timedelta | None = None,
    show: Callable[[_T], None] = lambda _seen: None,
    interval: float = INTERVAL_SECONDS,
) -> _T:
    """Look again and again until it has ended, and return what was last seen.

    Raises StillGoingOn (with ``what``, a sentence) after ``limit``, and whatever ``look`` raises; a daemon that is away
    for less than five minutes is waited for.
    """
    began = answered = time.monotonic()
    while True:
        try:
            seen = look()
        except (Unreachable, Interrupted):
            if time.monotonic() - answered > PATIENCE_SECONDS or (limit is not None and _over(began, limit)):
                raise
        else:
            answered = time.monotonic()
            show(seen)
            if ended(seen):
                return seen
            if limit is not None and _over(began, limit):
                raise StillGoingOn(what)
        time.sleep(interval)


def _over(began: float, limit: timedelta) -> bool:
    return time.monotonic() - began >= limit.total_seconds()


@contextmanager
def transfer(console: Console, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar for bytes that move, ``done`` of them before; gives the function that counts them. Nothing is drawn where
    nobody looks."""
    if not console.is_terminal:
        yield lambda _count: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total, completed=done)
        yield lambda count: progress.advance(task, count)


@contextmanager
def counting(console: Console, label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for things that are done one by one; gives the function that is told how many of how many."""
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def tape_read(console: Console, label: str) -> Iterator[Callable[[TapeReading | None], None]]:
    """A bar for a cartridge that is read, in files and bytes; gives the function that is told how far it is."""
    if not console.is_terminal:
        yield lambda _seen: None
        return
    columns = (
        TextColumn("{task.description} {task.fields[files]}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, files="")

        def tell(seen: TapeReading | None) -> None:
            if seen is not None:
                files = f"{seen.files}/{seen.total_files}" if seen.total_files else ""
                progress.update(task, completed=seen.bytes, total=seen.total_bytes or None, files=files)

        yield tell


@contextmanager
def media_read(console: Console) -> Iterator[Callable[[str, int], None]]:
    """A line that counts what was seen of each medium; gives the function that is told its name and how many."""
    if not console.is_terminal:
        yield lambda _name, _count: None
        return
    columns = (TextColumn("{task.description}", markup=False), TextColumn("{task.completed}"))
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(name: str, count: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=count)

        yield tell
