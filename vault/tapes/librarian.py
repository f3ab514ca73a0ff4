"""The owner of one library: a thread that does one thing at a time, and what people ask of it in between."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from hardware.errors import HardwareError
from hardware.tape.library import Library
from vault.catalog import schedules, tasks
from vault.config import LibrarySettings
from vault.custody.planner import backoff
from vault.errors import Interrupted, Unreachable, VaultError
from vault.model import NewTask, Task, TaskKind, TaskState
from vault.tape_model import TapeDrive
from vault.tapes import jobs, shelves
from vault.tapes.cache import RecallCache
from vault.tapes.clearing import clear_cartridge
from vault.tapes.context import Doing, Tapes, explained
from vault.tapes.drives import clean_drive, listen
from vault.tapes.jobs import Job, Outlook
from vault.tapes.one_pass import Asked, read_cartridge
from vault.tapes.opening import open_library
from vault.tapes.recalling import end_recalls
from vault.tapes.writing import write_pool

log = structlog.get_logger(__name__)

TAPE_KINDS: Final = (TaskKind.TAPE_WRITE, TaskKind.TAPE_CHECK, TaskKind.RECALL, TaskKind.DRIVE_CLEAN)
LONGEST_TURN_SECONDS: Final = 5.0
REOPEN_SECONDS: Final = 10.0
REAL_END: Final = timedelta(hours=3, minutes=50)
"""A little less than systemd waits for the service with systemd/vaultd-tape.conf."""
CALL_PATIENCE_SECONDS: Final = 20.0
"""So long a person waits for the library to begin with what is asked of it."""

_LEASE: Final = timedelta(minutes=10)
_RENEW_SECONDS: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LibraryView:
    """How a library stands, for people: ``problem`` is why it cannot be used, ``notes`` what should be looked at.
    ``unclean`` are drives that ask to be cleaned, for which a cleaning cartridge is to be brought. ``unwritable`` is
    why nothing can be written, while all else can be done."""

    name: str
    problem: str
    notes: tuple[str, ...]
    lacking: tuple[str, ...]
    doing: str
    waiting_bytes: dict[str, int] = field(default_factory=dict)
    unclean: tuple[TapeDrive, ...] = ()
    unwritable: str = ""


class Librarian:
    """Owns one library. ``start`` once, ``stop`` once; all else may be called from any thread."""

    def __init__(self, tapes: Tapes, settings: LibrarySettings, cache: RecallCache) -> None:
        self.settings = settings
        self._cache = cache
        self._failed: set[tuple[str, int]] = set()
        self._tapes = tapes
        self._catalogue = tapes.custodian.catalogue
        self._library: Library | None = None
        self._condition = threading.Condition()
        self._stopping = False
        self._woken = False
        self._calls: deque[tuple[Future[object], Callable[[Library], object], str]] = deque()
        self._sight = shelves.Sight(frozenset(), ())
        self._outlook = Outlook((), (), {})
        self._problem = "It was not opened yet."
        self._unwritable = ""
        self._doing = ""
        self._inventory_at = float("-inf")
        self._listened_at = float("-inf")
        self._retry_at = float("-inf")
        self._thread = threading.Thread(target=self._loop, name=f"library-{settings.name}", daemon=True)

    def start(self) -> None:
        """Begin. Tasks of a former process are cancelled: they are derived again."""
        with self._catalogue.write() as tx:
            for task in tasks.open_of_kinds(tx, TAPE_KINDS):
                if task.params.get("library") == self.settings.name:
                    tasks.finish(tx, task.id, TaskState.CANCELLED, "the daemon was started anew")
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the work stop at its next read."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def stop(self, patience: timedelta) -> bool:
        """Ask the work to stop at its next read, wait so long, and tell whether it did."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(patience.total_seconds())
        return not self._thread.is_alive()

    @property
    def end_takes(self) -> timedelta:
        """How long a stop must wait at least: a real drive may load, or write its index, for as long as that, and
        ending ``ltfs`` before would be a crash for the volume."""
        return REAL_END if self.settings.kind == "scsi" else timedelta()

    def wake(self) -> None:
        """Something changed: look soon."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def at_once(self) -> None:
        """A person did something about the library: what failed and waits is tried again now."""
        with self._catalogue.write() as tx:
            for task in tasks.open_of_kinds(tx, TAPE_KINDS):
                if task.params.get("library") == self.settings.name and task.state is TaskState.READY:
                    tasks.postpone(tx, task.id, tx.now, task.message)
        self.wake()

    def view(self) -> LibraryView:
        """How it stands."""
        waiting = {pool: found.bytes for pool, found in self._outlook.waiting.items()}
        return LibraryView(
            self.settings.name, self._problem, self._sight.notes, self._outlook.lacking, self._doing, waiting,
            self._outlook.unclean, self._unwritable,
        )  # fmt: skip

    def doing(self) -> Doing:
        """For long work that is done by :meth:`call`: it ends when the daemon stops."""
        return Doing(lambda _count: None, lambda: self._stopping)

    def call(self, act: Callable[[Library], T], patience: float = CALL_PATIENCE_SECONDS, *, what: str = "") -> T:
        """Have the library's own thread do something, between two jobs; return what it returns, raise what it raises.
        ``what`` is shown as what the library does meanwhile.

        Raises Unreachable (``library-busy``) where it does not come to it in time, and ``library-unreachable`` where
        the library cannot be used.
        """
        future: Future[object] = Future()
        with self._condition:
            self._calls.append((future, act, what))
            self._condition.notify_all()
        until = time.monotonic() + patience
        while not future.done() and not future.running():
            with self._condition:
                self._condition.wait(0.05)
            if time.monotonic() > until and future.cancel():
                raise Unreachable(
                    f"The library {self.settings.name} is busy: {self._doing or self._problem or 'it starts'}.",
                    remedy="Try again later; vaultctl tasks shows how far it is.",
                    code="library-busy",
                )
        result: T = future.result()  # type: ignore[assignment]  # what act returned
        return result

    # --- the library's thread

    def _loop(self) -> None:
        while not self._is_stopping():
            busy = False
            try:
                busy = self._turn()
            except HardwareError as error:
                self._lose(str(error))
            except VaultError as error:
                log.error("library-turn-failed", library=self.settings.name, code=error.code, reason=str(error))
            except Exception:
                # A fault of ours. The library is looked at again next turn.
                log.exception("library-turn-crashed", library=self.settings.name)
            turn = min(LONGEST_TURN_SECONDS, self._tapes.settings.custody.planner_interval.total_seconds())
            with self._condition:
                if not (busy or self._is_stopping() or self._calls or self._woken):
                    self._condition.wait(turn)
                self._woken = False
        if self._library is not None:
            with contextlib.suppress(HardwareError):
                self._library.close()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _turn(self) -> bool:
        """One look, and one thing done; whether something was done."""
        library = self._opened()
        self._serve_calls(library)
        if library is None:
            return False
        if time.monotonic() - self._inventory_at > self.settings.inventory_interval.total_seconds():
            self._take_inventory(library)
        self._unwritable = _why_unwritable(library)
        self._outlook = jobs.derive(
            self._tapes, self.settings, self._cache, self._sight.present, self._failed, writes=not self._unwritable
        )
        end_recalls(self._tapes, self._outlook.ended)
        with self._catalogue.write() as tx:
            schedules.succeeded(tx, f"library-{self.settings.name}")
        self._cancel_others(self._outlook)
        return any(self._attempt(library, job) for job in self._outlook.jobs)

    def _opened(self) -> Library | None:
        if self._library is None and time.monotonic() >= self._retry_at:
            try:
                self._library = open_library(self._tapes.state, self.settings)
                self._problem = ""
                self._inventory_at = float("-inf")
                log.info("library-opened", library=self.settings.name)
            except HardwareError as error:
                self._lose(str(error))
        return self._library

    def _lose(self, why: str) -> None:
        """The library does not answer: let go of it, and open it again after a while."""
        if why != self._problem:
            log.error("library-not-usable", library=self.settings.name, reason=why)
        self._problem = why
        self._retry_at = time.monotonic() + min(
            REOPEN_SECONDS, 2 * self._tapes.settings.custody.probe_interval.total_seconds()
        )
        library, self._library = self._library, None
        if library is not None:
            with contextlib.suppress(HardwareError):
                library.close()

    def _take_inventory(self, library: Library) -> None:
        inventory = library.inventory()
        self._sight = shelves.reconcile(self._tapes, self.settings, inventory)
        self._inventory_at = time.monotonic()
        if time.monotonic() - self._listened_at > self.settings.inventory_interval.total_seconds():
            self._listened_at = time.monotonic()
            listen(self._tapes, library, inventory.drives)

    def _serve_calls(self, library: Library | None) -> None:
        while True:
            with self._condition:
                if not self._calls:
                    return
                future, act, what = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._doing = what
            try:
                future.set_result(act(self._usable(library)))
            except HardwareError as error:
                future.set_exception(explained(error))
            except VaultError as error:
                future.set_exception(error)
            except Exception as error:
                log.exception("library-call-crashed", library=self.settings.name)
                future.set_exception(error)
            self._doing = ""
            # Whatever was done, cartridges may stand elsewhere now.
            self._inventory_at = float("-inf")

    def _usable(self, library: Library | None) -> Library:
        if library is None:
            raise Unreachable(
                f"The library {self.settings.name} cannot be used: {self._problem}",
                remedy="Cure that; it is tried again by itself.",
                code="library-unreachable",
            )
        return library

    def _cancel_others(self, outlook: Outlook) -> None:
        """What was derived once and is not any more is not left standing among the tasks."""
        keys = {job.key for job in outlook.jobs}
        with self._catalogue.read() as tx:
            over = [t for t in tasks.open_of_kinds(tx, TAPE_KINDS)
                    if t.params.get("library") == self.settings.name and t.key not in keys]  # fmt: skip
        if over:
            with self._catalogue.write() as tx:
                for task in over:
                    tasks.finish(tx, task.id, TaskState.CANCELLED, "it is no longer needed")

    def _attempt(self, library: Library, job: Job) -> bool:
        """Do a job, unless it waits after a failure; whether it was done or tried."""
        custody = self._tapes.settings.custody
        with self._catalogue.write() as tx:
            tasks.derive(tx, NewTask(job.key, job.kind, int(job.rank), 0, "", None, (job.barcode,), job.total_bytes,
                                     {"library": self.settings.name}))  # fmt: skip
            task = tasks.take(tx, job.key, self._owner, _LEASE)
        if task is None:
            return False
        self._doing = f"{job.kind} {job.barcode}"
        try:
            with self._watched(task) as doing:
                message = self._do(library, job, doing)
            with self._catalogue.write() as tx:
                tasks.finish(tx, task.id, TaskState.DONE, message)
            log.info("tape-job-ended", key=job.key, barcode=job.barcode, message=message)
        except Interrupted:
            with self._catalogue.write() as tx:
                tasks.postpone(tx, task.id, tx.now, "it was stopped")
        except VaultError as error:
            log.error("tape-job-failed", key=job.key, barcode=job.barcode, code=error.code, reason=str(error))
            with self._catalogue.write() as tx:
                wait = backoff(task.attempts, custody.retry_min, custody.retry_max)
                tasks.postpone(tx, task.id, tx.now + wait, str(error))
        finally:
            self._doing = ""
            self._inventory_at = float("-inf")
        return True

    def _do(self, library: Library, job: Job, doing: Doing) -> str:
        if job.kind is TaskKind.TAPE_WRITE and job.pool is not None:
            return write_pool(self._tapes, library, self.settings, job.pool, job.barcode, doing)
        if job.clear:
            return clear_cartridge(self._tapes, library, job.barcode, doing)
        if job.drive is not None:
            return clean_drive(self._tapes, library, job.drive, self._tapes.agent)
        asked = Asked(job.check, job.fetches, job.alone, self._cache, self._failed)
        return read_cartridge(self._tapes, library, job.barcode, asked, doing).message

    @property
    def _owner(self) -> str:
        return f"{self._tapes.custodian.process}-{self.settings.name}"

    @contextlib.contextmanager
    def _watched(self, task: Task) -> Iterator[Doing]:
        """What the job tells its progress to: the task's row, renewed every few seconds."""
        done, noted = 0, time.monotonic()

        def progress(count: int) -> None:
            nonlocal done, noted
            done += count
            if time.monotonic() - noted > _RENEW_SECONDS:
                noted = time.monotonic()
                with self._catalogue.write() as tx:
                    tasks.renew(tx, task.id, self._owner, _LEASE, done)

        yield Doing(progress, lambda: self._stopping)
        with self._catalogue.write() as tx:
            tasks.renew(tx, task.id, self._owner, _LEASE, done)


def _why_unwritable(library: Library) -> str:
    try:
        library.check_writes()
    except HardwareError as error:
        return str(error)
    return ""
