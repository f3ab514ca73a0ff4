"""Resumable deposits: their bytes, kept on the volume that shall hold the first copy until all are there.

An upload is a row in the catalogue and a file on that volume. The offset in the row is never more than what was made
durable; what a crash left behind it is cut off. When the last byte is durable the upload is COMPLETE, and
:mod:`vault.intake.finishing` gives its file to the same intake that a deposit in one request goes to. Upload and ingest
have one id, so whoever asks again finds the same one.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog

from vault.catalog import callbacks, ingests, uploads
from vault.custody.context import Custodian
from vault.depositing import Upload, UploadState
from vault.errors import (
    Conflict,
    Fault,
    Full,
    Interrupted,
    Invalid,
    NotFound,
    Refused,
    Secret,
    Throttled,
    VaultError,
)
from vault.formats.archive import ReadableStream
from vault.intake import accession, upload_errors, upload_room
from vault.intake.choice import choose_volume
from vault.intake.deposit import DepositRequest, Intake
from vault.intake.request import request_as_json
from vault.model import Ingest, IngestState, Json
from vault.volumes.directory import DirectoryVolume
from vault.volumes.spool import Spool, SpoolFile

log = structlog.get_logger(__name__)

CHECKSUMS: Final = ("sha1", "sha256", "sha512")
"""Algorithms of ``Upload-Checksum`` that are checked."""

NOTE_EVERY_BYTES: Final = 32 * 1024 * 1024
NOTE_EVERY_SECONDS: Final = 5.0
"""How much, or how long, of a running request a crash may cost: so often what came is made durable and noted."""

TAKEOVER_SECONDS: Final = 15.0
"""So long a request waits for the one before it on the same upload, which is told to end: its link is likely dead."""

_CHUNK: Final = 1024 * 1024

Interrupt = Callable[[VaultError], None]
"""Ends the request that is being received, with this error."""

Mine = Callable[[Upload], bool]
"""Whether an upload belongs to who asks for it."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must have: algorithm of :data:`CHECKSUMS` and digest."""

    algorithm: str
    digest: bytes


@dataclass(slots=True)
class _Turn:
    """Who may work on one upload, and how to ask the one who does to end."""

    lock: threading.Lock
    users: int = 0
    interrupt: Interrupt | None = None


class Uploads:
    """Creates, fills and ends uploads; any number of threads at once, one of them for each upload."""

    def __init__(self, custodian: Custodian, intake: Intake, changed: Callable[[str], None]) -> None:
        """``changed`` is told the id of an upload of which something came, or that ended."""
        self._custodian = custodian
        self._intake = intake
        self._changed = changed
        self._guard = threading.Lock()
        self._turns: dict[str, _Turn] = {}
        self._stopping = False
        self.on_complete: Callable[[], None] = lambda: None

    # --- what is asked of it

    def create(
        self,
        request: DepositRequest,
        length: int | None,
        more: Mapping[str, Json] | None = None,
        most: int | None = None,
    ) -> Upload:
        """Begin an upload of ``length`` bytes, None where that is said later. Its ingest is RECEIVING from now on.

        ``more`` is kept beside the request, for whoever asks for the upload; ``most`` is how many the agent may have
        open, where that is less than anybody may.

        Raises Conflict (``precondition-failed``), Invalid (``package-too-large``, ``empty-body``), Refused
        (``too-many-uploads``), Unreachable (``uploads-full``, ``no-volume``), Full. What is against a rule is an event,
        as it is of a deposit in one request.
        """
        try:
            return self._create(request, length, more, most)
        except Refused as error:
            # That a token has too many open says nothing of the deposit; a state secret is an event of its own.
            if not isinstance(error, Secret) and error.code != "too-many-uploads":
                accession.tell_refused(self._custodian, error, request.identifier, request.agent)
            raise

    def _create(
        self, request: DepositRequest, length: int | None, more: Mapping[str, Json] | None, most: int | None
    ) -> Upload:
        self._check_length(length)
        head = self._intake.check(request)
        custodian, limits = self._custodian, self._custodian.settings.intake
        volume, _ = choose_volume(custodian, request.descriptive, head, length or 0)
        upload_id = str(uuid.uuid4())
        with custodian.catalogue.write() as tx:
            upload_room.check_begin(tx, limits, request.agent, length or 0, most)
            free = volume.free_bytes or 0
            reserve = custodian.settings.volume(volume.name).reserve
            if free - reserve - uploads.outstanding(tx, volume.name) < (length or 0):
                raise Full(
                    f"The volume {volume.name!r} has no room for this upload beside those that are on their way.",
                    remedy="Wait until they are taken in, or free or extend the volume; then send it again.",
                )
            ingests.begin(tx, upload_id, request.identifier, request.agent, request.descriptive.agency)
            if request.callback:
                callbacks.add(tx, upload_id, request.callback)
            return uploads.create(
                tx,
                upload_id,
                agent=request.agent,
                request={**request_as_json(replace(request, ingest_id=upload_id)), **(more or {})},
                volume=volume.name,
                length=length,
                expires_at=tx.now + limits.upload_expires,
            )

    def find(self, upload_id: str, mine: Mine) -> Upload:
        """Return an upload of the asker's; whoever is sending to it is asked to end, so that the offset holds still.

        Raises NotFound (``no-such-upload``) also for that of another, Refused (``upload-expired``,
        ``upload-terminated``) for one that ended so, Conflict (``upload-busy``).
        """
        self._find(upload_id, mine)
        with self._turn(upload_id, None):
            return self._find(upload_id, mine)

    def append(
        self,
        upload_id: str,
        mine: Mine,
        offset: int,
        source: ReadableStream,
        interrupt: Interrupt,
        *,
        length: int | None = None,
        content_length: int | None = None,
        checksum: Checksum | None = None,
    ) -> Upload:
        """Add what ``source`` gives, from ``offset`` on. What came before a break stays, unless it had a checksum.

        ``length`` announces the whole where that was deferred; ``content_length`` what the source will give, where
        that is known. Raises as :meth:`find`, and Conflict (``wrong-offset``), Invalid (``upload-too-long``,
        ``checksum-mismatch``, ``bad-upload-length``), Full, Unreachable, and what the source raises.
        """
        self._find(upload_id, mine)
        with self._turn(upload_id, interrupt):
            upload = self._find(upload_id, mine)
            if offset != upload.received:
                raise Conflict(
                    f"The upload stands at {upload.received} bytes, and Upload-Offset says {offset}.",
                    remedy="Ask for the offset (HEAD) and go on from there.",
                    code="wrong-offset",
                )
            announced = length if upload.length is None else upload.length
            limit = self._custodian.settings.intake.max_package_bytes if announced is None else announced
            self._check_late_length(upload, length)
            if content_length is not None and offset + content_length > limit:
                raise upload_errors.too_long(limit)
            upload = self._with_length(upload, length)
            if upload.state is not UploadState.OPEN:
                if source.read(1):
                    raise upload_errors.too_long(limit)
                return upload
            try:
                self._fill(upload, source, limit, checksum)
            finally:
                self._changed(upload_id)
            with self._custodian.catalogue.read() as tx:
                return uploads.get(tx, upload_id) or upload

    def terminate(self, upload_id: str, mine: Mine) -> None:
        """End an upload and free its space. Raises as :meth:`find`, and Conflict (``upload-complete``) once all of it
        is here."""
        self._find(upload_id, mine)
        with self._turn(upload_id, None):
            upload = self._find(upload_id, mine)
            if upload.state is not UploadState.OPEN:
                raise Conflict(
                    "The upload is complete: it is being taken in, or was.",
                    remedy=f"See /v1/ingests/{upload_id}. What is stored is not removed by this address.",
                    code="upload-complete",
                )
            self.give_up(
                upload,
                Interrupted("The depositor ended the upload.", remedy="Begin a new one.", code="upload-terminated"),
            )

    def stop(self) -> None:
        """Have every request that is being received end now; what came of it is made durable and noted."""
        self._stopping = True
        with self._guard:
            asked = [turn.interrupt for turn in self._turns.values() if turn.interrupt is not None]
        for interrupt in asked:
            interrupt(Interrupted("The daemon is stopping.", remedy="Go on when it is back."))

    # --- what the clock asks of it

    def expire(self) -> int:
        """End the uploads whose time is over, free what ended ones still hold, forget those long ended."""
        with self._custodian.catalogue.read() as tx:
            over, holding = uploads.expired(tx), uploads.to_free(tx)
        ended = sum(self._expire(upload.id) for upload in over)
        for upload in holding:
            self.free(upload)
        with self._custodian.catalogue.write() as tx:
            uploads.forget(tx)
        return ended

    def _expire(self, upload_id: str) -> bool:
        """End one whose time is over, and still is when nobody else works on it; tell whether it ended."""
        try:
            with self._turn(upload_id, None):
                with self._custodian.catalogue.read() as tx:
                    upload = next((one for one in uploads.expired(tx) if one.id == upload_id), None)
                if upload is None:
                    return False  # something came meanwhile
                span = self._custodian.settings.intake.upload_expires
                what = (
                    f"Nothing came of the upload for {span}."
                    if upload.state is UploadState.OPEN
                    else f"The upload could not be taken in for {span}."
                )
                self.give_up(upload, Interrupted(what, remedy="Begin a new one.", code="upload-expired"))
                return True
        except Conflict as error:
            log.warning("upload-not-expired", upload=upload_id, reason=str(error))
            return False

    def sweep(self, volume: str) -> int:
        """Remove the files on a volume of which the catalogue knows nothing: it was rebuilt, or they were to go."""
        if not isinstance(self._custodian.volume(volume), DirectoryVolume):
            return 0
        spool = self.spool(volume)
        names = spool.names()
        with self._custodian.catalogue.read() as tx:
            known = uploads.on_volume(tx, volume)
        strangers = [name for name in names if name not in known]
        for name in strangers:
            spool.remove(name)
        return len(strangers)

    def give_up_unheard(self, upload: Upload, error: VaultError) -> None:
        """End an upload whose depositor does not know of it; if all of it is here, it is taken in all the same."""
        with self._turn(upload.id, None):
            with self._custodian.catalogue.read() as tx:
                now = uploads.get(tx, upload.id)
            if now is not None and now.state is UploadState.OPEN:
                self.give_up(now, error)

    def give_up(self, upload: Upload, error: VaultError) -> None:
        """End an upload that did not become a version, and its ingest with it; its space returns."""
        with self._custodian.catalogue.write() as tx:
            uploads.end(tx, upload.id, tx.now + self._custodian.settings.intake.upload_expires)
            ingest = ingests.get(tx, upload.id)
        if ingest is not None and ingest.state is IngestState.RECEIVING:
            accession.end(self._custodian, ingest.id, ingest.identifier, upload.agent, error)
        log.info("upload-ended", upload=upload.id, code=error.code, bytes=upload.received)
        self.free(upload)
        self._changed(upload.id)

    def free(self, upload: Upload) -> None:
        """Remove the bytes of an ended upload; where the volume is away, that is done later."""
        try:
            self.spool(upload.volume).remove(upload.id)
        except VaultError as error:
            log.warning("upload-not-freed", upload=upload.id, volume=upload.volume, reason=str(error))
            return
        with self._custodian.catalogue.write() as tx:
            uploads.freed(tx, upload.id)

    def spool(self, volume: str) -> Spool:
        """Where that volume keeps uploads."""
        found = self._custodian.volume(volume)
        if not isinstance(found, DirectoryVolume):
            raise Refused(f"The volume {volume!r} cannot keep uploads: it is no directory.")
        return found.spool()

    # --- how

    def _find(self, upload_id: str, mine: Mine) -> Upload:
        with self._custodian.catalogue.read() as tx:
            upload = uploads.get(tx, upload_id)
            ingest = ingests.get(tx, upload_id) if upload and upload.state is UploadState.ENDED else None
        if upload is None or not mine(upload):
            raise NotFound(
                f"There is no upload {upload_id[:100]!r}.",
                remedy="Look at the address that the creation answered, or begin a new one.",
                code="no-such-upload",
            )
        gone = _code_of(ingest)
        if gone in ("upload-expired", "upload-terminated"):
            how = "expired" if gone == "upload-expired" else "was ended by its depositor"
            raise Refused(f"The upload {how}; nothing of it was kept.", remedy="Begin a new one.", code=gone)
        return upload

    @contextmanager
    def _turn(self, upload_id: str, interrupt: Interrupt | None) -> Iterator[None]:
        """Be the only one to work on this upload, for the block; the one before is asked to end."""
        with self._guard:
            turn = self._turns.setdefault(upload_id, _Turn(threading.Lock()))
            turn.users += 1
            asked = turn.interrupt
        try:
            if asked is not None:
                asked(Interrupted("Another request for this upload came.", remedy="Go on from the offset (HEAD)."))
            if not turn.lock.acquire(timeout=TAKEOVER_SECONDS):
                raise Conflict(
                    "Another request for this upload does not come to its end.",
                    remedy="Try again in a moment; if it stays so, its volume may hang.",
                    code="upload-busy",
                )
            try:
                turn.interrupt = interrupt
                if self._stopping and interrupt is not None:
                    raise Interrupted("The daemon is stopping.", remedy="Go on when it is back.")
                yield
            finally:
                turn.interrupt = None
                turn.lock.release()
        finally:
            with self._guard:
                turn.users -= 1
                if not turn.users:
                    self._turns.pop(upload_id, None)

    def _check_length(self, length: int | None) -> None:
        most = self._custodian.settings.intake.max_package_bytes
        if length is not None and length > most:
            message = f"it is {length} bytes, and this node takes {most} at most"
            raise Invalid(
                f"The deposit was refused: {message}.",
                faults=[Fault("package-too-large", message, "Upload-Length")],
                remedy="Deposit it in several packages, or ask the operator to raise intake.max_package_bytes.",
                code="package-too-large",
            )
        if length == 0:
            raise Invalid(
                "The deposit was refused: an upload of 0 bytes holds nothing to keep.",
                faults=[Fault("empty-body", "there is nothing to keep", "Upload-Length")],
                remedy="Upload a file that holds something.",
                code="empty-body",
            )

    def _check_late_length(self, upload: Upload, length: int | None) -> None:
        if length is None or length == upload.length:
            return
        if upload.length is not None:
            raise upload_errors.bad_length(f"the upload has {upload.length} bytes, and this request says {length}")
        if length < upload.received:
            raise upload_errors.bad_length(f"{upload.received} bytes have come already, and this request says {length}")
        self._check_length(length)

    def _with_length(self, upload: Upload, length: int | None) -> Upload:
        """Keep a length that was checked: from here on it holds of the upload."""
        if length is None or length == upload.length:
            return upload
        with self._custodian.catalogue.write() as tx:
            upload_room.check_more(tx, self._custodian.settings.intake, upload.agent, length - upload.received)
            expires = tx.now + self._custodian.settings.intake.upload_expires
            uploads.advance(tx, upload.id, received=upload.received, length=length, expires_at=expires)
        return replace(upload, length=length)

    def _fill(self, upload: Upload, source: ReadableStream, limit: int, checksum: Checksum | None) -> None:
        """Write what comes, and note how much of it is durable. With a checksum nothing is noted before it is right."""
        start = received = upload.received
        digest = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        try:
            with self.spool(upload.volume).append(upload.id, start) as file:
                noted_bytes, noted_at = start, time.monotonic()
                try:
                    while chunk := source.read(_CHUNK):
                        if received + len(chunk) > limit:
                            self._roll_back(upload, file)
                            raise upload_errors.too_long(limit)
                        file.write(chunk)
                        received += len(chunk)
                        if digest is not None:
                            digest.update(chunk)
                        elif received == upload.length:
                            # Not noted before the body has ended: once all is here, the file is the intake's.
                            continue
                        elif received - noted_bytes >= NOTE_EVERY_BYTES or (
                            time.monotonic() - noted_at >= NOTE_EVERY_SECONDS
                        ):
                            self._note(upload, file, received)
                            noted_bytes, noted_at = received, time.monotonic()
                except (Full, Interrupted, Throttled):
                    if digest is None:
                        self._note(upload, file, received)
                    raise
                if checksum is not None and digest is not None and digest.digest() != checksum.digest:
                    raise upload_errors.mismatch(checksum.algorithm)
                self._note(upload, file, received)
        except NotFound as error:
            # The file is gone, or shorter than was noted: somebody removed it. The depositor begins anew.
            self._forget_bytes(upload, error)

    def _note(self, upload: Upload, file: SpoolFile, received: int) -> None:
        file.sync()
        complete = received == upload.length
        came, over = received > upload.received, None
        with self._custodian.catalogue.write() as tx:
            # A request that brings nothing keeps nothing alive.
            expires = tx.now + self._custodian.settings.intake.upload_expires if came else upload.expires_at
            here = uploads.advance(
                tx, upload.id, received=received, length=upload.length, expires_at=expires, complete=complete
            )
            if upload.length is None and came:  # then it counts with what came of it
                try:
                    upload_room.check_more(tx, self._custodian.settings.intake, upload.agent, 0)
                except VaultError as error:
                    over = error
        if not here:
            raise Refused("The upload ended meanwhile.", remedy="Begin a new one.", code="upload-expired")
        self._changed(upload.id)
        if complete:
            self.on_complete()
        if over is not None:
            raise over

    def _roll_back(self, upload: Upload, file: SpoolFile) -> None:
        """More came than was announced, so none of this request can be right. Noted first: a file that is longer than
        what is noted is cut to it by whoever goes on, one that is shorter has lost bytes."""
        self._note(upload, file, upload.received)
        file.cut(upload.received)

    def _forget_bytes(self, upload: Upload, error: NotFound) -> None:
        log.error("upload-bytes-gone", upload=upload.id, volume=upload.volume, reason=str(error))
        with self._custodian.catalogue.write() as tx:
            expires = tx.now + self._custodian.settings.intake.upload_expires
            uploads.advance(tx, upload.id, received=0, length=upload.length, expires_at=expires)
        raise Conflict(
            "The bytes of this upload are no longer on the volume; it stands at 0.",
            remedy="Ask for the offset (HEAD) and send it from the beginning.",
            code="wrong-offset",
        ) from error


def _code_of(ingest: Ingest | None) -> str:
    return str(ingest.problem.get("code", "")) if ingest is not None and ingest.problem else ""
