"""The clock: APScheduler calls what the configuration schedules; when each last succeeded is kept in the catalogue.

It is a clock and nothing more. What a call finds to do follows from the catalogue, so a missed or doubled call does no
harm: after downtime there is one catch-up run (``coalesce``), and never two at once (``max_instances``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from vault.catalog import schedules
from vault.catalog.engine import Catalogue
from vault.errors import VaultError

log = structlog.get_logger(__name__)

SOON = timedelta(seconds=30)
"""After the start, before what is overdue is called: the doors open first."""


class Clock:
    """Calls functions at intervals, in threads of its own."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )

    def every(self, interval: timedelta, kind: str, call: Callable[[], object], *, recorded: bool = True) -> None:
        """Call this at every interval, counted from its last success, also where that lies before this process.

        What is overdue, or never succeeded, is called soon: a node that is restarted every day must not for that reason
        never do what is done once a day. With ``recorded`` the catalogue is told when it began, succeeded or failed,
        under ``kind``.
        """
        with self._catalogue.read() as tx:
            last = next((s.last_success for s in schedules.all(tx) if s.kind == kind), None)
        now = datetime.now(UTC)
        soon = now + min(interval, SOON)
        self._scheduler.add_job(
            self._run if recorded else self._bare,
            IntervalTrigger(seconds=max(0.05, interval.total_seconds()), timezone="UTC"),
            args=[kind, call],
            id=kind,
            next_run_time=soon if last is None else min(max(soon, last + interval), now + interval),
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """End; a call that is under way is not waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _bare(self, _kind: str, call: Callable[[], object]) -> None:
        call()

    def _run(self, kind: str, call: Callable[[], object]) -> None:
        try:
            with self._catalogue.write() as tx:
                schedules.started(tx, kind)
            call()
            with self._catalogue.write() as tx:
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
            with self._catalogue.write() as tx:
                schedules.failed(tx, kind, message)
        except VaultError as error:
            log.error("schedule-not-recorded", kind=kind, code=error.code, reason=str(error))
