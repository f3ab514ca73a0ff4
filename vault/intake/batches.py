"""Batches (đợt giao nộp): a delivery as one unit, from the depositor's list to the signed batch receipt.

The depositor opens a batch with a list of what they mean to deliver, deposits into it, and closes it. A package that is
not on the list, or not as listed, is stored all the same: it is noted, told at the close, and whoever may approve
decides. The receipt has the fields of TT 05/2025/TT-BNV, article 23, and a digest over (identifier, version, content
digest) of all that was entered, so that it pins every byte of the delivery.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from vault.catalog import batches
from vault.catalog.batches import Batch, Counts, ListedPackage, Show
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.custody.context import Custodian
from vault.errors import Conflict, Fault, Invalid
from vault.intake.unpack import Unpacked
from vault.ledger import append
from vault.model import Descriptive, EventType, Json, NewEvent, Outcome
from vault.signing import NodeKey, canonical_json

log = structlog.get_logger(__name__)

FORMAT: Final = "khoso-batch-receipt/1"
MOST_FAULTS: Final = 1000
"""So many packages are named when a batch cannot be closed; the rest are counted. ``GET …/items`` has them all."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a depositor says of a delivery: registration code, delivery number, agency, and the list."""

    registration_code: str
    delivery_number: str
    agency: str
    agency_name: str
    items: Sequence[ListedPackage]

    def digest(self) -> str:
        """Names all of it: the same opening again is the same batch."""
        listed: list[Json] = [
            [item.identifier, dict(item.digests), item.files, item.bytes]
            for item in sorted(self.items, key=lambda item: item.identifier)
        ]
        return hashlib.sha256(canonical_json([self.agency, self.agency_name, listed])).hexdigest()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A package of a batch that has come: what it holds, and in what it is not as listed."""

    batch: str
    files: int
    bytes: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """A deposit that may go into a batch. ``listed`` is its line of the list, None for what comes beside it."""

    batch: Batch
    listed: ListedPackage | None

    def describe(self, said: Descriptive) -> Descriptive:
        """The delivery's agency where the deposit says none. Raises Invalid (``bad-metadata``) if it says another."""
        if said.agency and self.batch.agency and said.agency != self.batch.agency:
            why = f"the batch is a delivery of {self.batch.agency}"
            raise Invalid(
                f"The deposit names the agency {said.agency}, and {why}.",
                faults=[Fault("bad-metadata", why, "agency")],
                remedy="Leave agency out, or name the right batch.",
                code="bad-metadata",
            )
        name = said.agency_name or self.batch.agency_name
        return replace(said, agency=said.agency or self.batch.agency, agency_name=name)

    @property
    def algorithms(self) -> frozenset[str]:
        """Digests of the body that are needed to compare it with the list, by hashlib's names."""
        return frozenset(self.listed.digests) if self.listed else frozenset()

    def compare(self, digests: Mapping[str, str], received: int, unpacked: Unpacked) -> Arrival:
        """Compare what came with the list. ``digests`` and ``received`` are those of the body as it was sent.

        A depositor counts a bag's payload (as Payload-Oxum does) or all its files, and bytes so or as the body has
        them: each way is right.
        """
        whole = (len(unpacked.files), unpacked.bytes)
        payload = (unpacked.bag.payload_files, unpacked.bag.payload_bytes) if unpacked.bag else whole
        listed = self.listed
        if listed is None:
            return Arrival(self.batch.id, *payload, ())
        differences = []
        if any(digests.get(name) != digest for name, digest in listed.digests.items()):
            differences.append("digest")
        if listed.files not in (whole[0], payload[0]):
            differences.append("files")
        if listed.bytes not in (whole[1], payload[1], received):
            differences.append("bytes")
        counted = payload if differences else (listed.files, listed.bytes)
        return Arrival(self.batch.id, *counted, tuple(differences))


def admit(tx: Tx, batch_id: str, identifier: str, agent: str, only_agency: str = "") -> Admission:
    """Look whether a deposit may go into a batch.

    ``only_agency``: the depositor is bound to this agency, and to them the batch of another is as if it were not there.

    Raises NotFound (``no-such-batch``) for one that is not there or was opened by somebody else, in the same words;
    Conflict (``batch-closed``).
    """
    batch = batches.get(tx, batch_id)
    if batch is None or batch.agent != agent or (only_agency and batch.agency != only_agency):
        raise batches.no_such_batch(batch_id)
    _require_open(batch)
    return Admission(batch, batches.listed(tx, batch_id, identifier))


def place(tx: Tx, identifier: str, ingest_id: str, arrival: Arrival, version: int | None = None) -> bool:
    """Note what came, in the transaction that puts it in place; ``version`` where it was stored before.

    Returns whether that is news. Raises Conflict (``batch-closed``): it may have been closed since it was asked.
    """
    _require_open(batches.need(tx, arrival.batch))
    return batches.place(
        tx,
        arrival.batch,
        identifier,
        ingest_id=ingest_id,
        files=arrival.files,
        bytes=arrival.bytes,
        differences=arrival.differences,
        version=version,
    )


def place_again(tx: Tx, identifier: str, ingest_id: str, arrival: Arrival, version: int, agent: str) -> None:
    """Note, with an event, that a package which is stored already is of this batch too."""
    if place(tx, identifier, ingest_id, arrival, version):
        detail: dict[str, Json] = {"batch": arrival.batch, "ingest": ingest_id}
        append(tx, NewEvent(EventType.BATCH_ENTERED, Outcome.SUCCESS, agent, identifier, version, detail=detail))


def _require_open(batch: Batch) -> None:
    if batch.closed_at is not None:
        raise Conflict(
            f"The batch {batch.id} was closed on {to_text(batch.closed_at)}.",
            remedy="Open another batch for what is still to be delivered.",
            code="batch-closed",
        )


class Batches:
    """Opens and closes batches."""

    def __init__(self, custodian: Custodian, key: NodeKey) -> None:
        self._custodian = custodian
        self._key = key

    def open(self, opening: Opening, agent: str) -> tuple[Batch, bool]:
        """Open a batch; the same opening again returns the batch that is there. The second value: it was made now.

        Raises Conflict (``batch-exists``) where code and number are those of another list.
        """
        digest = opening.digest()
        with self._custodian.catalogue.write() as tx:
            known = batches.find(tx, agent, opening.registration_code, opening.delivery_number)
            if known is not None:
                if known.list_digest == digest:
                    return known, False
                # Of another agency's it is not even said which: a token of the same name may have opened it.
                look = f"Look at /v1/batches/{known.id}; f" if known.agency == opening.agency else "F"
                raise Conflict(
                    f"The delivery {opening.registration_code} {opening.delivery_number}".rstrip()
                    + " was opened before, with another list or agency.",
                    remedy=f"{look}or another delivery give another delivery_number.",
                    code="batch-exists",
                )
            files, size = batches.sums(opening.items)
            batch = Batch(
                id=str(uuid.uuid4()),
                agent=agent,
                registration_code=opening.registration_code,
                delivery_number=opening.delivery_number,
                agency=opening.agency,
                agency_name=opening.agency_name,
                list_digest=digest,
                listed=len(opening.items),
                listed_files=files,
                listed_bytes=size,
                opened_at=tx.now,
                closed_at=None,
                receipt=None,
            )
            batches.create(tx, batch, opening.items)
            detail: dict[str, Json] = {
                "batch": batch.id,
                "registration_code": batch.registration_code,
                "delivery_number": batch.delivery_number,
                "agency": batch.agency,
                "list_sha256": digest,
                "packages": batch.listed,
                "files": files,
                "bytes": size,
            }
            append(tx, NewEvent(EventType.BATCH_OPENED, Outcome.SUCCESS, agent, detail=detail))
        log.info("batch-opened", batch=batch.id, packages=batch.listed, who=agent)
        return batch, True

    def close(self, batch_id: str, agent: str, *, accept_differences: bool = False, reason: str = "") -> Batch:
        """Close a batch and sign its receipt. The same call again returns the batch with the same receipt.

        Raises NotFound; Conflict (``batch-closed``) for one that was closed the other way, by accepting differences or
        without; Invalid with a fault for each package: ``batch-not-ready`` while some wait for their receipts,
        ``batch-differs`` where it is not as listed and that is not accepted. The batch stays open then.
        """
        with self._custodian.catalogue.write() as tx:
            batch = batches.need(tx, batch_id)
            if batch.receipt is not None:
                if batch.receipt.get("differences_accepted") != accept_differences:
                    _require_open(batch)
                return batch
            counts = batches.counts(tx, batch_id)
            _require_ready(tx, batch, counts, accept_differences=accept_differences)
            receipt = self._make(tx, batch, counts, agent, accept_differences, reason)
            batches.close(tx, batch_id, receipt)
            detail: dict[str, Json] = {
                "batch": batch_id,
                **{name: receipt[name] for name in ("packages", "files", "bytes", "list", "differences_accepted")},
                "reason": reason,
                "key_id": self._key.key_id,
            }
            clean = not (counts.missing or counts.extra or counts.different)
            outcome = Outcome.SUCCESS if clean else Outcome.WARNING
            append(tx, NewEvent(EventType.BATCH_CLOSED, outcome, agent, detail=detail))
            closed = batches.need(tx, batch_id)
        log.info("batch-closed", batch=batch_id, packages=counts.entered, who=agent)
        return closed

    def _make(self, tx: Tx, batch: Batch, counts: Counts, agent: str, accepted: bool, reason: str) -> dict[str, Json]:
        return self._key.sign_document(
            {
                "format": FORMAT,
                "node": self._custodian.settings.node.name,
                "batch": batch.id,
                "registration_code": batch.registration_code,
                "delivery_number": batch.delivery_number,
                "agency": {"code": batch.agency, "name": batch.agency_name},
                "packages": {
                    "registered": batch.listed,
                    "approved": counts.approved,
                    "entered": counts.entered,
                    "missing": counts.missing,
                    "extra": counts.extra,
                    "different": counts.different,
                },
                "files": {
                    "registered": batch.listed_files,
                    "approved": counts.approved_files,
                    "entered": counts.entered_files,
                },
                "bytes": {
                    "registered": batch.listed_bytes,
                    "approved": counts.approved_bytes,
                    "entered": counts.entered_bytes,
                },
                "list": {"registered_sha256": batch.list_digest, "entered_sha256": entered_digest(tx, batch.id)},
                "differences_accepted": accepted,
                "reason": reason,
                "depositor": batch.agent,
                "closed_by": agent,
                "opened_at": to_text(batch.opened_at),
                "closed_at": to_text(tx.now),
            }
        )


def entered_digest(tx: Tx, batch_id: str) -> str:
    """SHA-256 over the canonical JSON (RFC 8785) of [identifier, version, content digest] of all that was entered, in
    the order of the identifiers' code points."""
    listed: list[Json] = [
        [item.identifier, item.version, item.content_digest] for item in batches.all_items(tx, batch_id, Show.ENTERED)
    ]
    return hashlib.sha256(canonical_json(listed)).hexdigest()


def _require_ready(tx: Tx, batch: Batch, counts: Counts, *, accept_differences: bool) -> None:
    differs = counts.missing + counts.extra + counts.different
    if not counts.not_ready and (accept_differences or not differs):
        return
    faults: list[Fault] = []
    for show, number, message in (
        (Show.NOT_READY, counts.not_ready, "it has no receipt yet"),
        (Show.MISSING, counts.missing, "it is on the list and did not come"),
        (Show.EXTRA, counts.extra, "it came and is not on the list"),
        (Show.DIFFERENT, counts.different, "it is not as listed"),
    ):
        if number and len(faults) < MOST_FAULTS:
            for item in batches.items(tx, batch.id, show=show, limit=MOST_FAULTS - len(faults)):
                told = f"{message}: {', '.join(item.differences)}" if show is Show.DIFFERENT else message
                faults.append(Fault(show.value, told, item.identifier))
    summary = (
        f"{counts.not_ready} packages wait for their receipts, {counts.missing} are missing, {counts.extra} came beside"
        f" the list, {counts.different} are not as listed"
    )
    if counts.not_ready:
        raise Invalid(
            f"The batch cannot be closed yet: {summary}.",
            faults=faults,
            remedy="Wait until every package has its receipt, and close it then.",
            code="batch-not-ready",
        )
    raise Invalid(
        f"The batch is not as listed: {summary}.",
        faults=faults,
        remedy="Deposit what is missing, or have somebody who may approve close it with accept_differences.",
        code="batch-differs",
    )
