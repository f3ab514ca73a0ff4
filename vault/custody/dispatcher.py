"""Runs the tasks: claims them with leases, keeps each volume's lanes busy and no busier, and renews what works.

A lane is a place for one piece of work on one volume; a volume has as many as its ``lanes`` says. A task occupies a
lane of every volume that it writes or verifies. Each runs in a thread of its own. One that is stuck in a dead server's
read is given up after a while (``[custody] stalled_after``): its task goes back, to be derived without that server, and
its thread holds lanes of the volume that hangs and of no other. When it wakes it finds itself cancelled. Nobody waits
for it, not even the shutdown.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from vault.catalog import copies, schedules, tasks
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import STORED_STATES, Custodian
from vault.custody.planner import Planner, backoff
from vault.custody.work import Ending, Handlers, Progress, Result, Work, later
from vault.errors import Full, Interrupted, Unreachable, VaultError
from vault.model import READABLE, Task, TaskKind, TaskState
from vault.units import duration_text

log = structlog.get_logger(__name__)

LEAST_PAUSE_SECONDS = 0.05
"""Between two ticks, so that a storm of deposits does not become a storm of planning."""

TURN_SECONDS = 1.0
"""The loop comes round at least so often, to claim work whose waiting time is over and to renew leases."""

IDLE_PLANNING_SECONDS = 0.25
"""So long after the last planning it is planned again for lanes that found nothing to do."""

PLANNING_SHARE = 0.1
LONGEST_BREATH_SECONDS = 0.25
"""Planning takes no more than this share of the time while things change all the time, but is never put off for longer:
the lanes have been given work for longer than that, and each look at everything would take the processor from it."""

NOTE_PLANNING_SECONDS = 10.0

FULL_PAUSE = timedelta(minutes=5)


@dataclass(eq=False)
class _Running:
    """A task at work. ``answered`` are the volumes that could be read at some time since it began; ``hung`` those that
    it hangs in, once it was given up."""

    task: Task
    answered: set[str]
    progress: Progress = field(default_factory=Progress)
    lost: threading.Event = field(default_factory=threading.Event)
    seen_bytes: int = 0
    moved_at: float = field(default_factory=time.monotonic)
    hung: frozenset[str] = frozenset()
    thread: threading.Thread = field(init=False)


class Dispatcher:
    """The one thread that plans and hands out work, and the threads that do it."""

    def __init__(self, custodian: Custodian, planner: Planner, handlers: Handlers, owner: str) -> None:
        self._custodian = custodian
        self._planner = planner
        self._handlers = handlers
        self._owner = owner
        self._condition = threading.Condition()
        self._woken = True
        self._freed = False
        self._ended_on: set[str] = set()
        self._idle: frozenset[str] = frozenset()
        self._planned_at = float("-inf")
        self._plan_after = float("-inf")
        self._stopping = False
        self._running: dict[int, _Running] = {}
        self._given_up: list[_Running] = []
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)
        self._noted_at = float("-inf")
        self.last_turn = time.monotonic()
        """When the loop last came round, by the monotonic clock; the watchdog looks at it."""

    def start(self) -> None:
        """Begin. Tasks that a former process of this node was running are free at once: it is dead, or we would not
        have got its lock."""
        with self._custodian.catalogue.write(durably=False) as tx:
            tasks.release_all(tx)
        self._thread.start()

    def wake(self) -> None:
        """Something changed: plan and claim soon."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def stop(self, patience: timedelta) -> bool:
        """Ask all work to stop at its next read, wait so long, and tell whether all of it did.

        What was given up is not waited for.
        """
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        until = time.monotonic() + patience.total_seconds()
        # First the one that hands out work: what it was handing out just now is among the running ones after that.
        if self._thread.is_alive():
            self._thread.join(max(0.0, until - time.monotonic()))
        with self._condition:
            workers = [running.thread for running in self._running.values()]
        for thread in workers:
            thread.join(max(0.0, until - time.monotonic()))
        with self._condition:
            return not self._running and not self._given_up and not self._thread.is_alive()

    def age(self) -> float:
        """How many seconds ago the loop last came round."""
        return time.monotonic() - self.last_turn

    def stalled(self, longer_than: timedelta) -> list[Task]:
        """Tasks that have read or written nothing for so long; those that were given up hang longer than that."""
        limit = time.monotonic() - longer_than.total_seconds()
        with self._condition:
            at_work = [*self._running.values(), *self._given_up]
            return [running.task for running in at_work if running.moved_at < limit]

    # --- the dispatcher's thread

    def _loop(self) -> None:
        renew_every = self._custodian.settings.custody.lease.total_seconds() / 3
        next_renew = 0.0
        while not self._stopping:
            self.last_turn = now = time.monotonic()
            try:
                if now >= next_renew:
                    # Before any planning: after a long sleep of the machine the leases are over, and the work goes on.
                    next_renew = now + renew_every
                    self._renew()
                    self._give_up_what_hangs()
                if self._should_plan(now):
                    if self._planner.tick().more:
                        self.wake()
                    took = time.monotonic() - now
                    self._plan_after = now + min(took / PLANNING_SHARE, took + LONGEST_BREATH_SECONDS)
                    self._note_planned(now)
                self._idle = self._claim()
            except VaultError as error:
                # The catalogue is locked, full or away. Nothing is lost: the next turn derives it all again.
                log.error("planning-failed", code=error.code, reason=str(error))
            except Exception:
                # A fault of ours. Planning goes on next turn; that none succeeds is seen in the metrics.
                log.exception("planning-crashed")
            with self._condition:
                if not self._stopping:
                    self._condition.wait(LEAST_PAUSE_SECONDS)
                if not self._woken and not self._freed and not self._stopping:
                    self._condition.wait(IDLE_PLANNING_SECONDS if self._ended_on & self._idle else TURN_SECONDS)
                self._freed = False

    def _should_plan(self, now: float) -> bool:
        """Whether something changed, or lanes that became free found nothing more to do.

        Not after every piece of work: a volume full of small packages is checked at the pace of its disk, and a look
        at everything in between would set the pace instead. Nor because of a volume on which nothing has ended since:
        it has nothing to do, and the last look found nothing.
        """
        with self._condition:
            dry = self._ended_on & self._idle and now - self._planned_at >= IDLE_PLANNING_SECONDS
            if (not self._woken and not dry) or now < self._plan_after:
                return False
            self._woken = False
            self._ended_on.clear()
            self._planned_at = now
            return True

    def _note_planned(self, now: float) -> None:
        """Once in a while, that planning works: silence must be seen from outside."""
        if now - self._noted_at >= NOTE_PLANNING_SECONDS:
            self._noted_at = now
            with self._custodian.catalogue.write(durably=False) as tx:
                schedules.succeeded(tx, "plan")

    def _renew(self) -> None:
        now = time.monotonic()
        with self._condition:
            running = list(self._running.values())
        if not running:
            return
        with self._custodian.catalogue.write(durably=False) as tx:
            readable = self._readable(tx)
            for work in running:
                work.answered |= readable
                if work.progress.done != work.seen_bytes:
                    work.seen_bytes, work.moved_at = work.progress.done, now
                lease = self._custodian.settings.custody.lease
                if not tasks.renew(tx, work.task.id, self._owner, lease, work.seen_bytes):
                    work.lost.set()

    def _give_up_what_hangs(self) -> None:
        """Put back what has not moved for long and touches a volume that no longer answers.

        What does not move while everything that it touches answers is left alone: it may be a long fsync.
        """
        patience = self._custodian.settings.custody.stalled_after
        limit = time.monotonic() - patience.total_seconds()
        with self._condition:
            slow = [running for running in self._running.values() if running.moved_at < limit]
        for running in slow:
            with self._custodian.catalogue.read() as tx:
                hung = self._hangs_in(tx, running)
            if hung:
                self._give_up(running, hung, f"Nothing moved for {duration_text(patience)}")

    def _hangs_in(self, tx: Tx, running: _Running) -> frozenset[str]:
        """The volumes that a task which does not move hangs in.

        It may be those that it writes, and those that it reads from. Or it waits for the package's lock, which one
        that was given up holds: then it is where that one hangs.
        """
        held = {c.volume for c in copies.of_package(tx, running.task.package_id) if c.state in STORED_STATES}
        silent = ({*running.task.volumes} | held) & running.answered - self._readable(tx)
        with self._condition:
            before = [other for other in self._given_up if other.task.package_id == running.task.package_id]
        return frozenset(silent).union(*(other.hung for other in before))

    def _give_up(self, running: _Running, hung: frozenset[str], why: str) -> None:
        task, custody = running.task, self._custodian.settings.custody
        with self._condition:
            if self._running.get(task.id) is not running:
                return
            del self._running[task.id]
            running.hung = hung
            running.lost.set()
            self._given_up.append(running)
            self._woken = True
        names = ", ".join(sorted(hung))
        log.error("task-given-up", task=task.id, kind=str(task.kind), identifier=task.identifier, hangs=sorted(hung))
        with self._custodian.catalogue.write(durably=False) as tx:
            wait = backoff(task.attempts, custody.retry_min, custody.retry_max)
            tasks.postpone(tx, task.id, tx.now + wait, f"{why}, and {names} does not answer.", self._owner)

    def _claim(self) -> frozenset[str]:
        """Start what there are lanes for; return the volumes of which some stayed free."""
        with self._custodian.catalogue.read() as tx:
            readable = self._readable(tx)
        free = self._free_lanes(readable)
        lanes = sum(max(0, count) for count in free.values())
        if lanes == 0:
            return frozenset()
        with self._custodian.catalogue.write(durably=False) as tx:
            claimed = tasks.claim(
                tx, owner=self._owner, lease=self._custodian.settings.custody.lease, free_lanes=free,
                limit=lanes,
            )  # fmt: skip
        for task in claimed:
            free.subtract(task.volumes)
            self._start(task, readable)
        return frozenset(name for name, count in free.items() if count > 0)

    def _start(self, task: Task, readable: Collection[str]) -> None:
        running = _Running(task, set(readable))
        name = f"{task.kind}-{task.id}"
        running.thread = threading.Thread(target=self._run, args=(running,), name=name, daemon=True)
        with self._condition:
            if task.id in self._running:
                # Its lease ran out while its thread was at work here; now it has a new one.
                return
            self._running[task.id] = running
            try:
                running.thread.start()
                return
            except RuntimeError as error:
                # The machine has no thread left to give (RLIMIT_NPROC, the unit's TasksMax).
                del self._running[task.id]
                reason = f"It could not be begun: {error}."
        log.error("task-not-begun", task=task.id, kind=str(task.kind), identifier=task.identifier, reason=reason)
        with self._custodian.catalogue.write(durably=False) as tx:
            tasks.postpone(tx, task.id, tx.now + self._custodian.settings.custody.retry_min, reason, self._owner)

    def _readable(self, tx: Tx) -> set[str]:
        return {volume.name for volume in catalog_volumes.all(tx) if volume.condition in READABLE}

    def _free_lanes(self, readable: Collection[str]) -> Counter[str]:
        """The lanes that are free, of the volumes that answer. One that was given up counts where it hangs: where that
        is one of several, not on those that answer again."""
        lanes = ((name, self._custodian.settings.volume(name).lanes) for name in self._custodian.volumes)
        free = Counter({name: count for name, count in lanes if name in readable})
        with self._condition:
            for running in self._running.values():
                free.subtract(name for name in running.task.volumes if name in free)
            for running in self._given_up:
                if running.hung <= free.keys():
                    free.subtract(running.hung)
        return free

    # --- the workers' threads

    def _run(self, running: _Running) -> None:
        task, progress = running.task, running.progress
        started = time.monotonic()
        work = Work(task, self._custodian, progress, lambda: self._stopping or running.lost.is_set())
        logger = log.bind(task=task.id, kind=str(task.kind), identifier=task.identifier, volumes=list(task.volumes))
        try:
            result = self._attempt(work, logger)
            if not running.hung:
                # Of one that was given up the task is no longer ours, though its number and our name may be on it.
                self._finish(task, result, progress)
            logger.info(
                "task-ended",
                ending=result.ending.value if result else "stopped",
                message=result.message if result else "",
                bytes=progress.done,
                seconds=round(time.monotonic() - started, 3),
            )
        except VaultError as error:
            # The catalogue would not take the ending: the lease runs out and the work is derived again.
            logger.error("task-ending-not-recorded", code=error.code, reason=str(error))
        finally:
            with self._condition:
                if running in self._given_up:
                    self._given_up.remove(running)
                elif self._running.get(task.id) is running:
                    del self._running[task.id]
                self._freed = True
                self._ended_on.update(task.volumes)
                self._condition.notify_all()

    def _attempt(self, work: Work, logger: structlog.stdlib.BoundLogger) -> Result | None:
        try:
            return self._handlers[work.task.kind](work)
        except Interrupted:
            return None
        except Full as error:
            return later(str(error), FULL_PAUSE)
        except Unreachable as error:
            logger.warning("task-postponed", code=error.code, reason=str(error))
            for name in work.task.volumes:
                self._custodian.look(name)
            return later(str(error))
        except VaultError as error:
            logger.error("task-failed", code=error.code, reason=str(error))
            return later(str(error))
        except Exception as error:
            # A fault of ours. It must not end the thread in silence, nor be taken for an outcome: the work is not
            # done, says so in `vaultctl tasks`, and is tried again.
            logger.exception("task-crashed")
            return later(f"It failed in a way that was not foreseen ({type(error).__name__}: {error}).")

    def _finish(self, task: Task, result: Result | None, progress: Progress) -> None:
        custody = self._custodian.settings.custody
        with self._custodian.catalogue.write(durably=False) as tx:
            owner = self._owner
            tasks.renew(tx, task.id, owner, custody.lease, progress.done)
            if result is None:
                tasks.postpone(tx, task.id, tx.now, "stopped; goes on when the daemon runs again", owner)
            elif result.ending is Ending.DONE:
                tasks.finish(tx, task.id, TaskState.DONE, result.message, owner)
            else:
                wait = result.after or backoff(task.attempts, custody.retry_min, custody.retry_max)
                tasks.postpone(tx, task.id, tx.now + wait, result.message, owner)


def handlers() -> Handlers:
    """Which function does which kind of work."""
    from vault.custody import repair, replicate, verify

    table: dict[TaskKind, Callable[[Work], Result]] = {
        TaskKind.VERIFY: verify.run,
        TaskKind.REPLICATE: replicate.run,
        TaskKind.REPAIR: repair.run,
    }
    return table
