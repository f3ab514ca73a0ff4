"""Taking in the uploads that are complete, in the background: the depositor's last request does not wait for it.

Which they are stands in the catalogue, so a kill loses none: the next process takes them in. What fails for a reason of
ours (a volume away, no room) is tried again with growing waits until the upload's time is over; its bytes stay.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import BinaryIO, Final

import structlog

from vault.catalog import ingests, uploads
from vault.custody.context import Custodian
from vault.depositing import Upload
from vault.errors import Corrupted, Interrupted, NotFound, Refused, VaultError
from vault.intake import accession
from vault.intake.deposit import Intake
from vault.intake.request import request_of
from vault.intake.uploads import Uploads
from vault.model import IngestState

log = structlog.get_logger(__name__)

MOST_WORKERS: Final = 4
LOOK_EVERY: Final = timedelta(seconds=30)
_FIRST_WAIT: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(minutes=10)


class _Stoppable:
    """A file that is read until the daemon stops."""

    def __init__(self, file: BinaryIO, stopping: threading.Event) -> None:
        self._file = file
        self._stopping = stopping

    def read(self, size: int, /) -> bytes:
        """As the file does. Raises Interrupted."""
        if self._stopping.is_set():
            raise Interrupted("The daemon is stopping; the upload is taken in when it is back.")
        return self._file.read(size)


class Finishing:
    """Threads that take in complete uploads. ``start`` once, ``stop`` once."""

    def __init__(self, custodian: Custodian, intake: Intake, uploads_: Uploads, changed: Callable[[str], None]) -> None:
        self._custodian = custodian
        self._intake = intake
        self._uploads = uploads_
        self._changed = changed
        self._wanted = threading.Condition()
        self._busy: set[str] = set()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        uploads_.on_complete = self.wake

    def start(self) -> None:
        """Begin."""
        number = min(MOST_WORKERS, self._custodian.settings.intake.max_concurrent)
        for index in range(number):
            thread = threading.Thread(target=self._work, name=f"finishing-{index}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """Something may be complete."""
        with self._wanted:
            self._wanted.notify()

    def stop(self, patience: timedelta) -> bool:
        """End at the next read; returns whether all did in time."""
        self._stopping.set()
        with self._wanted:
            self._wanted.notify_all()
        until = time.monotonic() + patience.total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while not self._stopping.is_set():
            upload = self._next()
            if upload is None:
                continue
            try:
                self._finish(upload)
            except VaultError as error:
                log.warning("upload-not-finished", upload=upload.id, code=error.code, reason=str(error))
                self._postpone(upload)
            except Exception:
                # A fault of ours must not end the thread; it is tried again, and seen in the log.
                log.exception("upload-not-finished", upload=upload.id)
                self._postpone(upload)
            finally:
                with self._wanted:
                    self._busy.discard(upload.id)

    def _next(self) -> Upload | None:
        """The next one that nobody works on; None after a while without one."""
        with self._wanted:
            wait = LOOK_EVERY
            try:
                with self._custodian.catalogue.read() as tx:
                    waiting, now = uploads.complete(tx), tx.now
            except VaultError as error:
                log.error("uploads-not-read", code=error.code, reason=str(error))
                waiting, now = [], self._custodian.catalogue.clock()
            for upload in waiting:
                if upload.id in self._busy:
                    continue
                if upload.not_before is None or upload.not_before <= now:
                    self._busy.add(upload.id)
                    return upload
                wait = min(wait, upload.not_before - now)
            if not self._stopping.is_set():
                self._wanted.wait(max(0.01, wait.total_seconds()))
            return None

    def _finish(self, upload: Upload) -> None:
        custodian = self._custodian
        request = request_of(upload)
        if self._state(upload) is IngestState.PREPARED:
            # Cut off about the rename: whether that happened is seen by looking.
            with custodian.locks.hold(request.identifier):
                with custodian.catalogue.read() as tx:
                    ingest = ingests.get(tx, upload.id)
                if ingest is not None and ingest.state is IngestState.PREPARED:
                    accession.settle(custodian, ingest)
        if self._state(upload) is IngestState.RECEIVING:
            self._changed(upload.id)
            with contextlib.ExitStack() as opened:
                try:
                    file = opened.enter_context(self._uploads.spool(upload.volume).read(upload.id))
                except NotFound:
                    gone = Corrupted(
                        "The bytes of the upload are no longer on the volume; nothing was stored.",
                        remedy="Begin a new upload, and look who removes files there.",
                        code="upload-lost",
                    )
                    self._uploads.give_up(upload, gone)
                    return
                try:
                    self._intake.take_in(request, _Stoppable(file, self._stopping))
                except Refused as error:
                    log.info("upload-refused", upload=upload.id, code=error.code)
        with custodian.catalogue.write() as tx:
            uploads.end(tx, upload.id, tx.now + custodian.settings.intake.upload_expires)
        self._changed(upload.id)
        self._uploads.free(upload)

    def _state(self, upload: Upload) -> IngestState | None:
        with self._custodian.catalogue.read() as tx:
            ingest = ingests.get(tx, upload.id)
        return ingest.state if ingest else None

    def _postpone(self, upload: Upload) -> None:
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(upload.attempts, 12))
        try:
            with self._custodian.catalogue.write() as tx:
                uploads.postpone(tx, upload.id, _later(tx.now, wait))
        except VaultError as error:
            log.error("upload-not-postponed", upload=upload.id, code=error.code, reason=str(error))
            self._stopping.wait(wait.total_seconds())


def _later(now: datetime, wait: timedelta) -> datetime:
    return now + wait
