"""Entering a deposit that is in place on its first volume into the catalogue, and settling those a crash cut off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

import structlog

from vault.catalog import batches, copies, ingests, packages, uploads
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import Custodian
from vault.depositing import UploadState
from vault.errors import Interrupted, Invalid, NotFound, Refused, Secret, Unreachable, VaultError
from vault.intake.request import DepositRequest, request_as_json, request_of
from vault.ledger import append
from vault.model import (
    CopyState,
    Descriptive,
    DigestAlgorithm,
    EventType,
    Ingest,
    IngestState,
    Json,
    NewEvent,
    Outcome,
    PackageKind,
    Version,
)
from vault.volumes.base import Part, Volume

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that the catalogue must learn of a deposit; kept with the ingest before the rename, so that a crash after
    it loses nothing."""

    part: Part
    identifier: str
    kind: PackageKind
    content_digest: str
    files: int
    bytes: int
    part_bytes: int
    deposit_digests: Mapping[str, str]
    descriptive: Descriptive
    metadata: Mapping[str, Json]
    agent: str
    validation: Mapping[str, Json]

    def as_json(self) -> dict[str, Json]:
        """For the ingest's row."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Prepared:
        """The reverse of :meth:`as_json`; KeyError or TypeError for what it did not make."""
        part, said = document["part"], document["descriptive"]
        if not isinstance(part, dict) or not isinstance(said, dict):
            raise TypeError("not a prepared deposit")
        plain = {f.name: document[f.name] for f in fields(cls)}
        plain["part"] = Part(
            str(part["object_id"]),
            int(str(part["number"])),
            DigestAlgorithm(str(part["algorithm"])),
            str(part["inventory_digest"]),
        )  # type: ignore[assignment]
        plain["descriptive"] = Descriptive(**{key: str(value) for key, value in said.items()})  # type: ignore[assignment]
        plain["kind"] = PackageKind(str(document["kind"]))
        return cls(**plain)  # type: ignore[arg-type]


def enter(custodian: Custodian, ingest_id: str, prepared: Prepared, volume_name: str) -> Version:
    """One transaction: package, version, copy (written), the ingest's new state, and the events of it all."""
    with custodian.catalogue.write() as tx:
        volume = catalog_volumes.get(tx, volume_name)
        if volume is None:
            raise NotFound(f"The volume {volume_name!r} is not in the catalogue.", code="no-such-volume")
        package = packages.get(tx, prepared.identifier)
        if package is None:
            said = prepared.descriptive
            package = packages.create(tx, prepared.identifier, said)
        else:
            # What this deposit does not say again still holds, also for the choice of the policy.
            said = merged(package.descriptive, prepared.descriptive)
            packages.describe(tx, package.id, said)
        earlier = packages.versions_of(tx, package.id)
        policy = custodian.settings.policy_for(said)
        version = packages.add_version(
            tx,
            package_id=package.id,
            number=prepared.part.number,
            kind=prepared.kind,
            algorithm=prepared.part.algorithm,
            content_digest=prepared.content_digest,
            inventory_digest=prepared.part.inventory_digest,
            files=prepared.files,
            bytes=prepared.bytes,
            part_bytes=prepared.part_bytes,
            deposit_digests=prepared.deposit_digests,
            policy=policy.name,
            priority=policy.priority,
            policy_fingerprint=custodian.wording(tx),
            priority_class=said.priority_class,
            ingest_id=ingest_id,
            metadata=prepared.metadata,
        )
        who = (prepared.agent, prepared.identifier, prepared.part.number)
        detail: dict[str, Json] = {
            "ingest": ingest_id,
            "content_digest": prepared.content_digest,
            "inventory_digest": prepared.part.inventory_digest,
            "deposit_digests": dict(prepared.deposit_digests),
            "files": prepared.files,
            "bytes": prepared.bytes,
        }
        if prepared.descriptive.batch:
            detail["batch"] = prepared.descriptive.batch
            batches.entered(tx, prepared.descriptive.batch, prepared.identifier, ingest_id, version.number)
        append(tx, NewEvent(EventType.INGESTION, Outcome.SUCCESS, *who, detail=detail))
        if prepared.validation:
            outcome = Outcome.WARNING if prepared.validation.get("warnings_count") else Outcome.SUCCESS
            append(tx, NewEvent(EventType.VALIDATION, outcome, *who, detail=prepared.validation))
        copy = copies.plan(tx, version.id, volume.id, CopyState.WRITING)
        ingests.store(tx, ingest_id)
        record.written(custodian, tx, version, copy, "", {"bytes": prepared.part_bytes})
        # What is said of the package now may put its older versions under another policy too.
        record.refresh_several(custodian, tx, [before for before in earlier if before.policy != policy.name])
    return version


def settle(custodian: Custodian, ingest: Ingest, error: VaultError | None = None) -> None:
    """A PREPARED deposit that nobody is working on: look whether its rename happened, and enter or end it.

    ``error`` is what cut it off, where that is known. Called under the package's lock. Raises Unreachable while its
    volume is away; it stays PREPARED then.
    """
    prepared = Prepared.from_json(ingest.prepared or {})
    if custodian.volume(ingest.volume).settle(prepared.part):
        enter(custodian, ingest.id, prepared, ingest.volume)
        log.info("deposit-settled", ingest=ingest.id, identifier=ingest.identifier, outcome="stored")
        custodian.wake()
    elif not isinstance(error, Refused) and _put_back(custodian, ingest.id):
        log.info("deposit-settled", ingest=ingest.id, identifier=ingest.identifier, outcome="to be done again")
    else:
        end(custodian, ingest.id, ingest.identifier, custodian.agent, error or _cut_off())
        log.info("deposit-settled", ingest=ingest.id, identifier=ingest.identifier, outcome="nothing kept")


@contextlib.contextmanager
def settled_if_refused(custodian: Custodian, ingest: Ingest) -> Iterator[None]:
    """For the block, in which a PREPARED deposit is put in place: what refuses it is written down before the package's
    lock is let go. Whoever settles it after that (:func:`settle_all`) would know no reason."""
    try:
        yield
    except Refused as error:
        with contextlib.suppress(VaultError):
            settle(custodian, ingest, error)
        raise


def _put_back(custodian: Custodian, ingest_id: str) -> bool:
    """An ingest whose bytes are all in an upload is done again from there; tells whether this is one."""
    with custodian.catalogue.write() as tx:
        upload = uploads.get(tx, ingest_id)
        if upload is None or upload.state is not UploadState.COMPLETE:
            return False
        ingests.put_back(tx, ingest_id)
    return True


def settle_all(custodian: Custodian, volume: Volume) -> None:
    """Every PREPARED deposit that was going to this volume and that nobody is working on any more.

    Whoever is in the midst of one holds its package's lock. Raises Unreachable.
    """
    with custodian.catalogue.read() as tx:
        waiting = [i for i in ingests.unfinished(tx) if i.state is IngestState.PREPARED and i.volume == volume.name]
    for ingest in waiting:
        with custodian.locks.hold(ingest.identifier):
            with custodian.catalogue.read() as tx:
                current = ingests.get(tx, ingest.id)
            if current is None or current.state is not IngestState.PREPARED:
                continue
            try:
                settle(custodian, current)
            except Unreachable:
                raise
            except (VaultError, KeyError, TypeError, ValueError) as error:
                # One deposit that nobody can make sense of must not keep a whole volume from being used.
                log.error("deposit-not-settled", ingest=ingest.id, identifier=ingest.identifier, reason=str(error))


def end_interrupted(custodian: Custodian) -> list[str]:
    """Deposits that were being received when the process died, or whose end the catalogue would not hear of. Nothing of
    them was promised or kept, but for uploads, which go on. Returns which were ended."""
    with custodian.catalogue.read() as tx:
        receiving = [ingest for ingest in ingests.unfinished(tx) if ingest.state is IngestState.RECEIVING]
        kept = [upload.id for i in receiving if (upload := uploads.get(tx, i.id)) and upload.volume]
    # Looked up after they were read: what is worked on no longer may have come to its end since.
    left = [ingest for ingest in receiving if ingest.id not in kept and ingest.id not in custodian.deposits]
    with custodian.catalogue.read() as tx:
        cut = [i for i in left if (now := ingests.get(tx, i.id)) and now.state is IngestState.RECEIVING]
    for ingest in cut:
        end(custodian, ingest.id, ingest.identifier, custodian.agent, _cut_off())
        log.info("deposit-settled", ingest=ingest.id, identifier=ingest.identifier, outcome="interrupted")
    return [ingest.id for ingest in cut]


def end(custodian: Custodian, ingest_id: str, identifier: str, agent: str, error: VaultError) -> None:
    """Write down why a deposit came to nothing, and tell the ledger: refused if it was against a rule, else failed."""
    with custodian.catalogue.write() as tx:
        (ingests.refuse if isinstance(error, Refused) else ingests.fail)(tx, ingest_id, problem_of(error))
        append(tx, _failure(error, identifier, agent, ingest_id))
        if isinstance(error, Secret):
            append(tx, _spill(error, identifier, agent, ingest_id))
            _forget_what_was_said(tx, ingest_id)


def _forget_what_was_said(tx: Tx, upload_id: str) -> None:
    """Of a state secret that came as an upload only what its ingest keeps too stays: no title, and no file's name."""
    upload = uploads.get(tx, upload_id)
    if upload is not None:
        whole = request_of(upload)
        left = DepositRequest(
            whole.identifier, whole.ingest_id, whole.agent, descriptive=Descriptive(agency=whole.descriptive.agency),
            bound=whole.bound,
        )  # fmt: skip
        uploads.replace_request(tx, upload_id, request_as_json(left))


def tell_refused(custodian: Custodian, error: Refused, identifier: str, agent: str) -> None:
    """Tell the ledger of an upload that was refused before anything of it came; there is no ingest of it."""
    with custodian.catalogue.write() as tx:
        append(tx, _failure(error, identifier, agent, ""))


def _failure(error: VaultError, identifier: str, agent: str, ingest_id: str) -> NewEvent:
    faults = error.faults if isinstance(error, Invalid) else ()
    detail: dict[str, Json] = {
        "ingest": ingest_id,
        "code": error.code,
        "reason": error.message[:1000],
        "faults_count": len(faults),
    }
    return NewEvent(EventType.INGESTION, Outcome.FAILURE, agent, identifier, detail=detail)


def tell_spill(custodian: Custodian, error: Secret, identifier: str, agent: str) -> None:
    """Tell the ledger of a state secret that was refused before there was a deposit of it."""
    with custodian.catalogue.write() as tx:
        append(tx, _spill(error, identifier, agent, ""))


def _spill(error: Secret, identifier: str, agent: str, ingest_id: str) -> NewEvent:
    """Who tried to deposit a state secret, and where something of it lay; neither content nor title."""
    detail: dict[str, Json] = {
        "ingest": ingest_id,
        "field": error.field,
        "level": error.level,
        "bytes_received": error.received,
    }
    who = (agent, identifier, None, error.volume)
    return NewEvent(EventType.SPILL_ATTEMPTED, Outcome.FAILURE, *who, detail=detail)


def problem_of(error: VaultError) -> dict[str, Json]:
    """What an ingest remembers of the error that ended it."""
    faults = error.faults if isinstance(error, Invalid) else ()
    return {
        "code": error.code,
        "detail": error.message,
        "remedy": error.remedy,
        "faults": [{"code": f.code, "message": f.message, "path": f.path} for f in faults],
    }


def _cut_off() -> VaultError:
    return Interrupted("The deposit was cut off before it was stored; nothing of it was kept.", remedy="Send it again.")


def merged(before: Descriptive, said: Descriptive) -> Descriptive:
    """What a later deposit does not say stays as it was."""
    told = {key: value for key, value in asdict(said).items() if value and value != getattr(Descriptive(), key)}
    return Descriptive(**{**asdict(before), **told})
