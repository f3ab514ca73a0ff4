"""Entering what was found on a medium into the catalogue: copies of versions that it knows, and versions that are new.

What is found counts as written and never read: only the daemon's own reading makes a copy good.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vault.catalog import batches, copies, ingests, packages, uploads
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import STORED_STATES, Custodian
from vault.errors import Invalid
from vault.formats.ocfl import identifier_of
from vault.intake.accession import merged
from vault.ledger import append
from vault.model import Copy, CopyState, EventType, Json, NewEvent, Outcome, Version, Volume
from vault.recovery.described import Described
from vault.recovery.sources import FoundPart


class Standing(enum.Enum):
    """What a found part is to the catalogue."""

    KNOWN = "known"
    """A copy of it is entered there."""
    NEW_COPY = "new-copy"
    """The version is known, this copy of it is not."""
    NEW_VERSION = "new-version"
    """The version is the one after the newest that is known."""
    TOO_EARLY = "too-early"
    """A version before it is not known yet."""
    DIFFERENT = "different"
    """The catalogue knows that version with another inventory."""
    FOREIGN = "foreign"
    """It was not made by this program."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A found part, and what the catalogue has of it."""

    standing: Standing
    version: Version | None = None
    copy: Copy | None = None


def look_up(tx: Tx, found: FoundPart, volume: Volume) -> Seen:
    """What the part is to the catalogue."""
    try:
        identifier = identifier_of(found.part.object_id)
    except Invalid:
        return Seen(Standing.FOREIGN)
    version = packages.version(tx, identifier, found.part.number)
    if version is None:
        package = packages.get(tx, identifier)
        head = 0 if package is None else package.head
        return Seen(Standing.NEW_VERSION if found.part.number == head + 1 else Standing.TOO_EARLY)
    copy = next((c for c in copies.of_version(tx, version.id) if c.volume_id == volume.id), None)
    if (version.algorithm, version.inventory_digest) != (found.part.algorithm, found.part.inventory_digest):
        return Seen(Standing.DIFFERENT, version, copy)
    if copy is not None and copy.state in STORED_STATES:
        return Seen(Standing.KNOWN, version, copy)
    return Seen(Standing.NEW_COPY, version, copy)


def enter_version(custodian: Custodian, tx: Tx, described: Described, volume: Volume) -> Version:
    """Enter the next version of a package with its copy on ``volume``, as its deposit would have been.

    Its receipt is due again, under the same number, once enough copies were read.
    """
    package = packages.get(tx, described.identifier)
    said = described.descriptive
    if package is None:
        package = packages.create(tx, described.identifier, said, created_at=described.deposited)
    else:
        said = merged(package.descriptive, said)
        packages.describe(tx, package.id, said)
    policy = custodian.settings.policy_for(said)
    part = described.part
    version = packages.add_version(
        tx,
        package_id=package.id,
        number=part.number,
        kind=described.kind,
        algorithm=part.algorithm,
        content_digest=described.content_digest,
        inventory_digest=part.inventory_digest,
        files=described.files,
        bytes=described.bytes,
        part_bytes=described.part_bytes,
        deposit_digests=described.deposit_digests,
        policy=policy.name,
        priority=policy.priority,
        priority_class=said.priority_class,
        ingest_id=described.ingest_id,
        metadata=described.metadata,
        created_at=described.deposited,
    )
    if described.ingest_id:
        restored = ingests.restore(
            tx, described.ingest_id, described.identifier, described.agent,
            volume=volume.name, version=part.number, created_at=described.deposited,
        )  # fmt: skip
        if restored and uploads.get(tx, described.ingest_id) is not None:
            # All of it came, whatever was there of it when the backup was made: nothing more is waited for.
            uploads.end(tx, described.ingest_id, tx.now + custodian.settings.intake.upload_expires)
        _into_batch(tx, described)
    detail: dict[str, Json] = {
        "found_on": volume.name,
        "ingest": described.ingest_id,
        "depositor": described.agent,
        "content_digest": described.content_digest,
        "inventory_digest": part.inventory_digest,
        "deposit_digests": dict(described.deposit_digests),
        "files": described.files,
        "bytes": described.bytes,
    }
    who = (custodian.agent, described.identifier, part.number, volume.name)
    append(tx, NewEvent(EventType.VERSION_CREATED, Outcome.SUCCESS, *who, detail=detail))
    enter_copy(custodian, tx, version, volume)
    return version


def _into_batch(tx: Tx, described: Described) -> None:
    """Where the delivery that it was deposited into is open, it is one of its packages again. What cannot be compared
    with the depositor's list any more is left to them: sent again, it is found to be there."""
    batch = batches.get(tx, described.descriptive.batch) if described.descriptive.batch else None
    if batch is None or batch.closed_at is not None or batch.agent != described.agent:
        return
    listed = batches.listed(tx, batch.id, described.identifier)
    counted, came = described.payload, described.deposit_digests
    if listed is not None:
        as_listed = (
            all(came.get(name) == digest for name, digest in listed.digests.items())
            and listed.files in (described.files, described.payload[0])
            and listed.bytes in (described.bytes, described.payload[1])
        )
        if not as_listed:
            return
        counted = (listed.files, listed.bytes)
    batches.place(
        tx, batch.id, described.identifier, ingest_id=described.ingest_id, files=counted[0], bytes=counted[1],
        differences=(), version=described.part.number,
    )  # fmt: skip


def enter_copy(custodian: Custodian, tx: Tx, version: Version, volume: Volume) -> Copy:
    """Enter a copy that lies on ``volume``, where the catalogue has none in place. It is to be read at once."""
    present = next((c for c in copies.of_version(tx, version.id) if c.volume_id == volume.id), None)
    if present is None or present.state is CopyState.RETIRED:
        copy = copies.plan(tx, version.id, volume.id, CopyState.WRITING)
    elif present.state is CopyState.PLANNED:
        copy = record.writing(tx, present)
    else:
        copy = present
    return record.written(custodian, tx, version, copy, "", {"found_on": volume.name})
