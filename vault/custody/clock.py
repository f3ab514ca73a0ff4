"""The clock: APScheduler calls what the configuration schedules; when each last succeeded is kept in the catalogue.

It is a clock and nothing more. What a call finds to do follows from the catalogue, so a missed or doubled call does no
harm: after downtime there is one catch-up run (``coalesce``), and never two at once (``max_instances``).

APScheduler keeps when each call is next by the time of day, which may be wrong: a server boots with a dead battery, and
then hears of the true time. Set forward by years, it would count every call that was missed, one by one; so the next is
counted from now. Set back, the next would lie ahead by as much; so it is looked now and then that none lies further
ahead than its interval.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from vault.catalog import schedules
from vault.catalog.engine import Catalogue
from vault.errors import VaultError

log = structlog.get_logger(__name__)

SOON = timedelta(seconds=30)
"""After the start, before what is overdue is called: the doors open first."""

_SHORTEST = timedelta(seconds=0.05)

LOOK_SECONDS = 5.0
"""So often it is looked whether the time was set back."""

_SLACK = timedelta(minutes=1)
"""A busy machine is no wrong time."""


class _Every(BaseTrigger):
    """Due an interval after it was last looked, however many there were since it was last due."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + self._interval


class Clock:
    """Calls functions at intervals, in threads of its own."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._intervals: dict[str, timedelta] = {}
        self._stopping = threading.Event()
        self._guard = threading.Thread(target=self._keep_near, name="clock-guard", daemon=True)

    def every(self, interval: timedelta, kind: str, call: Callable[[], object], *, recorded: bool = True) -> None:
        """Call this at every interval, counted from its last success, also where that lies before this process.

        What is overdue, or never succeeded, is called soon: a node that is restarted every day must not for that reason
        never do what is done once a day. With ``recorded`` the catalogue is told when it began, succeeded or failed,
        under ``kind``.
        """
        with self._catalogue.read() as tx:
            last = next((s.last_success for s in schedules.all(tx) if s.kind == kind), None)
        interval = max(_SHORTEST, interval)
        self._intervals[kind] = interval
        now = datetime.now(UTC)
        soon = now + min(interval, SOON)
        self._scheduler.add_job(
            self._run if recorded else self._bare,
            _Every(interval),
            args=[kind, call],
            id=kind,
            next_run_time=soon if last is None else min(max(soon, last + interval), now + interval),
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()
        self._guard.start()

    def stop(self) -> None:
        """End; a call that is under way is not waited for."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _keep_near(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            now = datetime.now(UTC)
            for job in self._scheduler.get_jobs():
                latest = now + self._intervals[job.id]
                if job.next_run_time > latest + _SLACK:
                    log.warning("time-set-back", kind=job.id, was=str(job.next_run_time), now=str(latest))
                    with contextlib.suppress(JobLookupError):  # it is being stopped
                        self._scheduler.modify_job(job.id, next_run_time=latest)

    def _bare(self, _kind: str, call: Callable[[], object]) -> None:
        call()

    def _run(self, kind: str, call: Callable[[], object]) -> None:
        try:
            with self._catalogue.write(durably=False) as tx:
                schedules.started(tx, kind)
            call()
            with self._catalogue.write(durably=False) as tx:
                schedules.succeeded(tx, kind)
        except VaultError as error:
            log.error("schedule-failed", kind=kind, code=error.code, reason=str(error))
            self._failed(kind, str(error))
        except Exception as error:
            # A fault of ours must be seen in the metrics, and not end the clock's thread.
            log.exception("schedule-crashed", kind=kind)
            self._failed(kind, f"{type(error).__name__}: {error}")

    def _failed(self, kind: str, message: str) -> None:
        try:
            with self._catalogue.write(durably=False) as tx:
                schedules.failed(tx, kind, message)
        except VaultError as error:
            log.error("schedule-not-recorded", kind=kind, code=error.code, reason=str(error))
