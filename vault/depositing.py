"""Deposits on their way in pieces, as facts: what the catalogue keeps of them beside their ingest."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vault.model import Json


class IngestStep(enum.StrEnum):
    """What is being done for a deposit, as its depositor sees it.

    VALIDATING: all bytes are here and are looked at. STORED: in place on its first volume, which is not read back yet.
    COPYING: some copies are good, and not as many as the receipt needs.
    """

    RECEIVING = "receiving"
    VALIDATING = "validating"
    STORED = "stored"
    COPYING = "copying"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Callback:
    """Who wants to be told how a deposit ended. ``outcome`` is "delivered", "given-up", or "" while it is to be told;
    ``message`` what the last attempt came to."""

    ingest_id: str
    url: str
    outcome: str
    attempts: int
    first_at: datetime | None
    not_before: datetime
    message: str


class UploadState(enum.StrEnum):
    """OPEN takes bytes. COMPLETE has them all and waits to be taken in. ENDED holds none any more; its ingest says how
    it ended."""

    OPEN = "open"
    COMPLETE = "complete"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable deposit on its way (tus). Its id is that of its ingest.

    ``request`` is what is to be done with the bytes; ``volume`` has them ("" when they are gone); ``length`` is None
    while the client has not said it; ``received`` are bytes that are on stable storage. ``attempts`` counts how often
    taking it in failed for a reason of ours, and it is not tried again before ``not_before``.
    """

    id: str
    agent: str
    request: Mapping[str, Json]
    volume: str
    length: int | None
    received: int
    state: UploadState
    attempts: int
    not_before: datetime | None
    created_at: datetime
    expires_at: datetime
