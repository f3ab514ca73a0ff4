"""Adding to the chain, reading it, and finding the first place where it does not hold.

The hash of an event is the SHA-256 of the RFC 8785 canonical JSON of all its members but ``hash``: ``seq``,
``type``, ``time``, ``outcome``, ``agent``, ``identifier``, ``version``, ``volume``, ``detail`` and ``previous``, which
is the hash of the event before, or 64 zeros. Anyone can compute it from what the API or the table shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, cast

from vault.catalog import events as rows
from vault.catalog.engine import Catalogue, Tx
from vault.clock import from_text, to_text
from vault.errors import Corrupted, Invalid
from vault.ledger.checkpoint import FIRST_PREVIOUS, Checkpoint
from vault.model import Event, EventType, Json, NewEvent, Outcome
from vault.signing import canonical_json

_PAGE: Final = 1000
_HASHED: Final = ("seq", "type", "time", "outcome", "agent", "identifier", "version", "volume", "detail", "previous")

Progress = Callable[[int, int], None]
"""Called with how many events have been checked, and how many there are."""


def event_hash(document: Mapping[str, Json]) -> str:
    """Return the hash of an event from its members as JSON; a member ``hash``, and any unknown one, is left out.

    Raises :class:`KeyError` when a member is missing, :class:`Invalid` when one cannot be canonical JSON.
    """
    return hashlib.sha256(canonical_json({name: document[name] for name in _HASHED})).hexdigest()


def event_document(event: Event) -> dict[str, Json]:
    """Return an event as JSON, the form that is hashed and that the API shows (``hash`` included)."""
    return {
        "seq": event.seq,
        "type": event.type,
        "time": to_text(event.time),
        "outcome": event.outcome.value,
        "agent": event.agent,
        "identifier": event.identifier,
        "version": event.version,
        "volume": event.volume,
        "detail": dict(event.detail),
        "previous": event.previous,
        "hash": event.hash,
    }


def append(tx: Tx, new: NewEvent) -> Event:
    """Add an event to the chain, in the transaction of the change that it tells of, and return it with its place.

    Unpaired surrogates in ``detail``, as file names on a medium may have them, are written as escapes. Raises
    :class:`Invalid` (``not-canonical``) for a number that JSON cannot carry exactly, :class:`Corrupted` when the
    ledger has lost its end.
    """
    if not tx.writable:
        raise RuntimeError("an event in a transaction that only reads")
    head = rows.head(tx)
    if head is None:
        raise Corrupted(
            "The catalogue has lost the row that says where the ledger ends.",
            remedy="Keep this catalogue as it is, and restore the newest backup of it.",
            code="ledger-damaged",
        )
    detail = _canonical_detail(new.detail)
    stored: dict[str, object] = {
        "seq": head.seq + 1,
        "type": EventType(new.type).value,
        "outcome": Outcome(new.outcome).value,
        "agent": new.agent,
        "identifier": new.identifier,
        "version": new.version,
        "volume": new.volume,
        "previous": head.hash,
    }
    document = cast("dict[str, Json]", {**stored, "time": to_text(tx.now), "detail": json.loads(detail)})
    found = event_hash(document)
    rows.add(tx, {**stored, "time": tx.now, "detail": detail, "hash": found}, rows.Head(head.seq + 1, found))
    tx.paid()
    return _event({**document, "hash": found})


def _canonical_detail(detail: Mapping[str, Json]) -> str:
    try:
        text = canonical_json(detail)
    except Invalid:
        try:
            text = canonical_json(_well_formed(dict(detail)))
        except RecursionError as error:
            raise Invalid("An event's detail is nested too deeply.", code="not-canonical") from error
    # Some numbers (1e20) are written as integers that may not be read again.
    canonical_json(json.loads(text))
    return text.decode()


def _well_formed(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return [_well_formed(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_well_formed(name)): _well_formed(item) for name, item in value.items()}
    return value


def events(
    tx: Tx,
    after: int = 0,
    limit: int = 100,
    identifier: str | None = None,
    type: str | None = None,  # noqa: A002 - the fact's name in the model
) -> list[Event]:
    """Return events in their order, beginning after number ``after``: all, or those of a package or a type.

    Raises :class:`Corrupted` for an event that cannot be read; :func:`verify` says more.
    """
    return [_read(row) for row in rows.raw(tx, after=after, limit=limit, identifier=identifier, type=type)]


def _read(row: Mapping[str, object]) -> Event:
    try:
        return _event({**row, "detail": json.loads(str(row["detail"]))})
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupted(
            f"Event {row['seq']} of the ledger cannot be read: {error}.",
            remedy="Run `vaultctl ledger verify`, and compare with a backup of the catalogue.",
            code="ledger-damaged",
        ) from error


def _event(document: Mapping[str, object]) -> Event:
    detail = document["detail"]
    if not isinstance(detail, dict):
        raise ValueError("its detail is not a JSON object")  # noqa: TRY004 - as all else that is wrong in a row
    return Event(
        seq=cast("int", document["seq"]),
        type=str(document["type"]),
        time=from_text(str(document["time"])),
        outcome=Outcome(str(document["outcome"])),
        agent=str(document["agent"]),
        identifier=str(document["identifier"]),
        version=cast("int | None", document["version"]),
        volume=str(document["volume"]),
        detail=detail,
        previous=str(document["previous"]),
        hash=str(document["hash"]),
    )


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What :func:`verify` found.

    ``count`` events hold from the first on. When not ``ok``, ``first_bad_seq`` is the number where the chain ceases
    to hold and ``reason`` a sentence about it. ``head_hash`` is the hash of the last event that holds. ``proved`` is
    how many of the given checkpoints were met.
    """

    ok: bool
    count: int
    first_bad_seq: int | None
    reason: str
    head_hash: str
    proved: int


class _Broken(Exception):
    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq, self.reason = seq, reason


def verify(
    source: Tx | Catalogue, checkpoints: Iterable[Checkpoint] = (), progress: Progress | None = None
) -> ChainReport:
    """Check the whole chain, in memory that does not grow with it, and name the first place where it fails.

    Found are: an event of which anything was changed, one that is missing or too many, one that does not follow the
    one before, an end that is not where the catalogue says, and, given ``checkpoints`` (each from
    :func:`~vault.ledger.checkpoint.verify_checkpoint`), a chain that was cut or wholly rewritten behind one.

    Given a :class:`Catalogue`, it reads page by page in transactions of their own, and work goes on meanwhile; what
    is added while it runs is not looked at.
    """
    walk = _Walk(sorted(checkpoints, key=lambda checkpoint: checkpoint.seq))
    try:
        walk.run(source, progress)
    except _Broken as broken:
        return ChainReport(False, walk.count, broken.seq, broken.reason, walk.hash, walk.proved)
    return ChainReport(True, walk.count, None, "", walk.hash, walk.proved)


class _Walk:
    def __init__(self, checkpoints: list[Checkpoint]) -> None:
        self.checkpoints = checkpoints
        self.count = 0
        self.hash = FIRST_PREVIOUS
        self.proved = 0

    def run(self, source: Tx | Catalogue, progress: Progress | None) -> None:
        with _reading(source) as tx:
            head, last = rows.head(tx), rows.last_seq(tx)
        if head is None:
            raise _Broken(1, "The row that says where the ledger ends is lost.")
        self._meet_checkpoints()
        end = max(head.seq, last)
        after: int | None = None
        page: list[dict[str, object]] | None = None
        while page is None or page:
            with _reading(source) as tx:
                page = rows.raw(tx, after=after, limit=_PAGE, up_to=end)
            for row in page:
                self._step(row)
                after = self.count
            if progress is not None:
                progress(self.count, end)
        self._finish(head)

    def _step(self, row: Mapping[str, object]) -> None:
        expected = self.count + 1
        if row["seq"] != expected:
            found = f"event {row['seq']} stands where event {expected} should"
            raise _Broken(expected, f"Event {expected} is missing: {found}.")
        found_hash = _hash_of_row(row)
        if found_hash is None or found_hash != row["hash"]:
            raise _Broken(expected, f"Event {expected} was changed: its hash is not that of its contents.")
        if row["previous"] != self.hash:
            raise _Broken(expected, f"Event {expected} does not follow event {self.count}: one of them was replaced.")
        self.count, self.hash = expected, found_hash
        self._meet_checkpoints()

    def _meet_checkpoints(self) -> None:
        while self.checkpoints and self.checkpoints[0].seq <= self.count:
            checkpoint = self.checkpoints.pop(0)
            if checkpoint.hash != self.hash:
                said = to_text(checkpoint.time)
                message = (
                    f"The ledger up to event {checkpoint.seq} is not the one that the checkpoint of {said} signed."
                )
                raise _Broken(checkpoint.seq, message)
            self.proved += 1

    def _finish(self, head: rows.Head) -> None:
        if self.count > head.seq:
            raise _Broken(head.seq + 1, f"There are events after {head.seq}, where the ledger is said to end.")
        if self.count < head.seq:
            raise _Broken(
                self.count + 1, f"Event {self.count + 1} is missing: the ledger is said to end at {head.seq}."
            )
        if head.hash != self.hash:
            raise _Broken(head.seq, f"Event {head.seq} is not the one with which the ledger is said to end.")
        if self.checkpoints:
            checkpoint = self.checkpoints[0]
            message = f"The ledger was cut: it ends at event {self.count}, and a checkpoint signed {checkpoint.seq}."
            raise _Broken(self.count + 1, message)


def _reading(source: Tx | Catalogue) -> AbstractContextManager[Tx]:
    return contextlib.nullcontext(source) if isinstance(source, Tx) else source.read()


def _hash_of_row(row: Mapping[str, object]) -> str | None:
    """Return the hash of a stored row; None where it is not even canonical JSON, which nothing of ours ever wrote."""
    try:
        text = str(row["detail"])
        detail: Json = json.loads(text)
        if canonical_json(detail).decode() != text:
            return None
        return event_hash(cast("dict[str, Json]", {**row, "detail": detail}))
    except (ValueError, RecursionError, Invalid):
        return None
