"""A medium that hangs, as a file server does that is gone, holds up nobody for ever.

Whoever waits in a system call for such a server hears nothing, no Ctrl-C either. So each volume is read in a thread of
its own, and who asked it waits outside: what the call may take is limited, and can be told while it lasts. A volume
that was given up is not asked again; its thread is left where it hangs, and ends with the process.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, Protocol, TypeVar, cast

from vault.errors import Unreachable
from vault.model import MediumClass
from vault.recovery.sources import FoundPart, RebuildSource, Trouble
from vault.volumes.base import VolumeIdentity

T = TypeVar("T")

TOLD_AFTER: Final = timedelta(seconds=10)
"""So long a volume may be silent before that is told."""

_LOOK_SECONDS: Final = 1.0

Silence = Callable[[str, timedelta], None]
"""Told the name of a volume that does not answer, once for each silence, and after how long it is given up."""


class Asking(Protocol):
    """Has work done that reads a volume."""

    def __call__(self, volume: str, work: Callable[[], T], moved: Callable[[], int] = ...) -> T:
        """The result of ``work``, or what it raises. ``moved`` tells how far it is: work that goes on is waited for.

        Raises Unreachable (``volume-hangs``).
        """


def directly(_volume: str, work: Callable[[], T], _moved: Callable[[], int] = lambda: 0) -> T:
    """For callers that can wait for ever."""
    return work()


class _Answer(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._result: T | None = None
        self.here = threading.Event()

    def work(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
            self._error = error
        finally:
            self.here.set()

    def taken(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class _Asked:
    """One volume, and the thread that reads it."""

    def __init__(self, name: str, patience: timedelta, silence: Silence, told_after: timedelta) -> None:
        self._name = name
        self._patience = patience
        self._silence = silence
        self._told_after = told_after
        self._asked: queue.SimpleQueue[_Answer[object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hangs = False

    def __call__(self, work: Callable[[], T], moved: Callable[[], int] = lambda: 0) -> T:
        if self._hangs:
            raise self._given_up()
        if self._thread is None:
            # A daemon: the end of the process does not wait for it.
            self._thread = threading.Thread(target=self._read, name=f"reads-{self._name}", daemon=True)
            self._thread.start()
        answer = _Answer(work)
        self._asked.put(cast("_Answer[object]", answer))
        self._wait(answer.here, moved)
        return answer.taken()

    def _read(self) -> None:
        while (answer := self._asked.get()) is not None:
            answer.work()

    def _wait(self, here: threading.Event, moved: Callable[[], int]) -> None:
        seen, since, told = moved(), time.monotonic(), False
        look = min(_LOOK_SECONDS, self._told_after.total_seconds(), self._patience.total_seconds())
        while not here.wait(look):
            if moved() != seen:
                seen, since, told = moved(), time.monotonic(), False
            silent = timedelta(seconds=time.monotonic() - since)
            if silent >= self._patience:
                self._hangs = True
                raise self._given_up()
            if silent >= self._told_after and not told:
                told = True
                self._silence(self._name, self._patience)

    def _given_up(self) -> Unreachable:
        return Unreachable(
            f"The volume {self._name!r} hangs: it did not answer for {int(self._patience.total_seconds())} s, and was"
            " given up.",
            remedy="Look at its server, the network and dmesg; unmount it, and mount it again when it is well.",
            code="volume-hangs",
        )

    def end(self) -> None:
        self._asked.put(None)


class _Patient:
    """A source that is asked from outside. See :class:`vault.recovery.sources.RebuildSource`."""

    def __init__(self, source: RebuildSource, asked: _Asked) -> None:
        self._source = source
        self._asked = asked
        self.name = source.name
        self.kind = source.kind
        self.medium: MediumClass = source.medium
        self.domain = source.domain
        self.site = source.site

    def identity(self) -> VolumeIdentity:
        return self._asked(self._source.identity)

    def notes(self, folder: str) -> list[str]:
        return self._asked(lambda: self._source.notes(folder))

    def read_note(self, path: str) -> Iterator[bytes]:
        return self._one_by_one(lambda: self._source.read_note(path))

    def parts(self) -> Iterator[FoundPart | Trouble]:
        return self._one_by_one(self._source.parts)

    def size(self, object_id: str, content_path: str) -> int | None:
        return self._asked(lambda: self._source.size(object_id, content_path))

    def small_file(self, object_id: str, content_path: str, limit: int) -> bytes | None:
        try:
            return self._asked(lambda: self._source.small_file(object_id, content_path, limit))
        except Unreachable:
            return None

    def _one_by_one(self, begin: Callable[[], Iterator[T]]) -> Iterator[T]:
        items = self._asked(begin)
        while True:
            item = self._asked(lambda: next(items, None))
            if item is None:
                return
            yield item


@dataclass(frozen=True, slots=True)
class Media:
    """The volumes as sources that answer in time or not at all, and the way to ask one of them for anything else."""

    sources: list[RebuildSource]
    ask: Asking


@contextlib.contextmanager
def patient(
    sources: Collection[RebuildSource], patience: timedelta, silence: Silence, told_after: timedelta = TOLD_AFTER
) -> Iterator[Media]:
    """Have these volumes read with so much patience, for the block."""
    asked = {source.name: _Asked(source.name, patience, silence, told_after) for source in sources}

    def ask(volume: str, work: Callable[[], T], moved: Callable[[], int] = lambda: 0) -> T:
        return asked[volume](work, moved)

    try:
        yield Media([_Patient(source, asked[source.name]) for source in sources], ask)
    finally:
        for one in asked.values():
            one.end()
