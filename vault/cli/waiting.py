"""Waiting for the node, and showing how far something is."""

from __future__ import annotations

import signal
import threading
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

from vault.cli.exits import StillGoingOn, Stopped
from vault.errors import Interrupted, Unreachable
from vault.i18n import _
from vault.units import duration_text
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


def silence_told(console: Console) -> Callable[[str, timedelta], None]:
    """What says on ``console`` that a volume does not answer, and what can be done."""

    def tell(name: str, patience: timedelta) -> None:
        text = _(
            "The volume {name} does not answer. After {patience} of silence it is left out; Ctrl-C stops everything."
            " Look at its server, its cable and the network."
        )
        console.print(text.format(name=name, patience=duration_text(patience)), soft_wrap=True, highlight=False)

    return tell


@contextmanager
def stoppable(message: str, remedy: str = "") -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and the end of the terminal leave the block as one error, so that all that it has begun is
    put away. Raises Stopped with these sentences."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # Others than the main thread cannot be told of a signal.
    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    # What nohup had ignored stays so.
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    except KeyboardInterrupt as error:
        raise Stopped(message, remedy=remedy) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
