"""Taking in one deposit: receive, validate, put in place, enter into the catalogue.

The steps, and what a kill after each leaves behind::

    receiving   bytes in staging                           cleared when the volume next comes on-line
    prepared    a sealed, durable part in staging, and     settled: if the rename had happened, it is entered as below;
                the catalogue knows where it shall go      else nothing of it remains
    stored      in place and in the catalogue, with        the planner sees a copy to prove and copies to make
                its events, in one transaction

Nothing was promised to the depositor before "stored", and nothing after it can be lost.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace

import structlog

from vault.catalog import callbacks, ingests, packages
from vault.clock import to_text
from vault.custody.context import Custodian
from vault.errors import (
    Conflict,
    Corrupted,
    Fault,
    Interrupted,
    Invalid,
    NotFound,
    Refused,
    Secret,
    Unreachable,
    VaultError,
)
from vault.formats.archive import ArchiveLimits, ReadableStream
from vault.formats.ocfl.building import first_version, next_version
from vault.formats.ocfl.inventory import Inventory, User
from vault.formats.ocfl.object_ids import object_id
from vault.intake import accession, batches, heal, secrecy
from vault.intake.accession import Prepared
from vault.intake.body import CountedStream, HashedBody
from vault.intake.choice import choose_any, choose_volume
from vault.intake.describe import metadata_of, with_bag_info
from vault.intake.note import content_digest_of, deposit_note, validation_of
from vault.intake.request import Accepted, DepositRequest
from vault.intake.unpack import RESERVED, StoredFile, Unpacked, Unpacker
from vault.model import (
    CopyState,
    DigestAlgorithm,
    IngestState,
    Json,
    Package,
    Version,
    Volume,
)
from vault.telemetry import DepositOutcome
from vault.volumes import directory_check
from vault.volumes.base import Part, Staging

__all__ = ["HASHLIB_NAMES", "Accepted", "DepositRequest", "Intake", "content_digest_of"]

log = structlog.get_logger(__name__)

HASHLIB_NAMES = {"sha-256": "sha256", "sha-512": "sha512"}
"""Digest names of RFC 9530 that are checked, and what hashlib calls them."""

_STANDING = (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT)


class Intake:
    """Receives deposits; any number of threads at once."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian

    def receive(self, request: DepositRequest, body: ReadableStream) -> Accepted:
        """Take in one deposit, in the caller's thread, reading the body to its end.

        Raises Invalid (with every fault), Conflict, Full, Unreachable, Interrupted; then nothing of it is stored, its
        staging is empty, and the ingest says why.
        """
        with self._custodian.deposits.hold(request.ingest_id):
            # Nobody knows of it before it is stored, which makes this durable too.
            with self._custodian.catalogue.write(durably=False) as tx:
                agency = request.descriptive.agency
                ingests.begin(tx, request.ingest_id, request.identifier, request.agent, agency)
                if request.callback:
                    callbacks.add(tx, request.ingest_id, request.callback)
            return self._attempt(request, body)

    def take_in(self, request: DepositRequest, body: ReadableStream) -> Accepted:
        """As :meth:`receive`, for a body that is all here (an upload's) and an ingest that is RECEIVING.

        Where it fails for a reason of ours (no volume, no room, a stop) the ingest stays RECEIVING, or is settled as
        stored: it can be tried again with the same bytes.
        """
        return self._attempt(request, body, again=True)

    def check(self, request: DepositRequest) -> Version | None:
        """Refuse before the body what cannot become a version whatever the body holds; return the newest version.

        Raises Invalid (a state secret), Conflict (``identifier-taken``, ``precondition-failed``), and what the batch
        that it names refuses.
        """
        try:
            return self._examine(request)[2]
        except Secret as error:
            accession.tell_spill(self._custodian, error, request.identifier, request.agent)
            raise

    def _examine(self, request: DepositRequest) -> tuple[DepositRequest, batches.Admission | None, Version | None]:
        secrecy.check(request.descriptive, request.metadata)
        request, admission = self._admit(request)
        with self._custodian.catalogue.read() as tx:
            _check_owner(request, packages.get(tx, request.identifier))
            head = packages.head(tx, request.identifier)
        _check_precondition(request, head)
        return request, admission, head

    def _attempt(self, request: DepositRequest, body: ReadableStream, *, again: bool = False) -> Accepted:
        custodian = self._custodian
        counted = CountedStream(body)
        outcome = DepositOutcome.FAILED
        try:
            accepted = self._receive(request, counted)
            outcome = DepositOutcome.STORED if accepted.created else DepositOutcome.UNCHANGED
            return accepted
        except VaultError as error:
            if isinstance(error, Refused):
                outcome = DepositOutcome.REFUSED
            elif isinstance(error, Interrupted):
                outcome = DepositOutcome.INTERRUPTED
            self._end(request, error, again=again)
            raise
        except Exception as error:
            told = VaultError(f"An unforeseen fault ended the deposit ({type(error).__name__}).")
            self._end(request, told, again=again)
            raise
        finally:
            custodian.telemetry.deposit(outcome, counted.count)

    def _receive(self, request: DepositRequest, body: ReadableStream) -> Accepted:
        request, admission, head = self._examine(request)
        number = 1 if head is None else head.number + 1
        custodian = self._custodian
        try:
            volume, previous = choose_volume(
                custodian, request.descriptive, head, request.content_length or 0, request.volume
            )
            nowhere = None
        except (Unreachable, Corrupted) as error:
            if head is None or not heal.any_broken(custodian, head):
                raise
            # It is damaged everywhere. Should the very same have been sent again, that mends it.
            previous, nowhere = None, error
            volume = choose_any(custodian, request.descriptive, request.content_length or 0)
        algorithm = head.algorithm if head else custodian.settings.intake.digest
        wanted = {HASHLIB_NAMES[name] for name in request.digests} | (admission.algorithms if admission else set())
        with (
            custodian.staging(custodian.volume(volume.name), "ingest", request.ingest_id, number) as staging,
            contextlib.closing(HashedBody(body, sorted(wanted), custodian.settings.intake.max_package_bytes)) as hashed,
        ):
            try:
                unpacked = Unpacker(staging, str(algorithm), self._limits()).unpack(
                    hashed, request.kind, request.filename
                )
            except Secret as error:
                error.volume, error.received = volume.name, hashed.count
                raise
            hashed.drain()
            digests = _check_body(request, hashed)
            if not digests:
                digests = {str(algorithm): next(iter(unpacked.files.values())).digest}
            content_digest = content_digest_of(unpacked.files, algorithm)
            arrival = admission.compare(hashed.digests() or digests, hashed.count, unpacked) if admission else None
            known = self._known(request, content_digest, arrival, (unpacked.files, staging))
            if known is not None:
                return known
            _check_follows(request, head)
            if nowhere is not None:
                raise nowhere
            prepared, inventory = self._build(request, unpacked, staging, previous, algorithm, content_digest, digests)
            staging.seal(prepared.part, inventory)
            return self._commit(request, prepared, staging, volume, hashed.count, arrival)

    def _admit(self, request: DepositRequest) -> tuple[DepositRequest, batches.Admission | None]:
        """The batch that it is to go into, if one is named; and the request with what that says of it."""
        said = request.descriptive
        if not said.batch:
            return request, None
        with self._custodian.catalogue.read() as tx:
            only = said.agency if request.bound else ""
            admission = batches.admit(tx, said.batch, request.identifier, request.agent, only)
        return replace(request, descriptive=admission.describe(said)), admission

    def _limits(self) -> ArchiveLimits:
        intake = self._custodian.settings.intake
        return ArchiveLimits(
            max_members=intake.max_members,
            max_total_bytes=intake.max_inflated_bytes,
            max_member_bytes=intake.max_inflated_bytes,
            max_ratio=intake.max_ratio,
        )

    # --- what it is

    def _known(
        self,
        request: DepositRequest,
        content_digest: str,
        arrival: batches.Arrival | None,
        sent: tuple[Mapping[str, StoredFile], Staging] | None = None,
    ) -> Accepted | None:
        """The same content under the same identifier, stored before: nothing new is made of a blind retry.

        Where no good copy of it is left, what was ``sent`` mends the copies first.
        """
        with self._custodian.catalogue.read() as tx:
            package = packages.get(tx, request.identifier)
            _check_owner(request, package)
            if package is None or request.must_be_new:
                return None
            versions = packages.versions_of(tx, package.id)
            if request.if_match is not None:
                # With If-Match a retry is the version after the one named, and what equals the head adds nothing.
                follows = versions[-1].number if request.if_match == "*" else request.if_match + 1
                versions = [v for v in versions if v.number in (follows, package.head)]
            same = [v for v in versions if v.content_digest == content_digest]
            if not same:
                return None
            receipt = packages.receipt(tx, same[-1].id)
        if sent is not None and heal.any_broken(self._custodian, same[-1]):
            heal.heal(self._custodian, same[-1], *sent)
        with self._custodian.catalogue.write() as tx:
            ingests.repeat(tx, request.ingest_id, version=same[-1].number, receipt=receipt, of=same[-1].ingest_id)
            if arrival is not None:
                batches.place_again(tx, request.identifier, request.ingest_id, arrival, same[-1].number, request.agent)
        return Accepted(same[-1].ingest_id, request.identifier, same[-1].number, created=False, receipt=receipt)

    def _build(
        self,
        request: DepositRequest,
        unpacked: Unpacked,
        staging: Staging,
        previous: Inventory | None,
        algorithm: DigestAlgorithm,
        content_digest: str,
        digests: Mapping[str, str],
    ) -> tuple[Prepared, bytes]:
        """The version's inventory, with the node's note beside the depositor's files. What is stored already goes."""
        now = self._custodian.catalogue.clock()
        bag = unpacked.bag
        said = with_bag_info(request.descriptive, bag.bag_info if bag else ())
        note_path = f"v{staging.number}/content/{RESERVED}"
        facts: dict[str, Json] = {
            "identifier": request.identifier,
            "version": staging.number,
            "kind": str(unpacked.kind),
            "deposited": to_text(now),
            "agent": request.agent,
            "node": self._custodian.settings.node.name,
            "ingest": request.ingest_id,
            "filename": request.filename,
            "digests": dict(digests),
        }
        note = deposit_note(facts, said.descriptive, request.metadata)
        sink = staging.create(note_path)
        try:
            sink.write(note)
        finally:
            sink.close()
        files = {
            **unpacked.files,
            RESERVED: StoredFile(note_path, len(note), directory_check.digest_of(note, algorithm)),
        }
        known = previous.content_by_digest() if previous else {}
        part_object = object_id(request.identifier)
        content: dict[str, str] = {}
        for file in files.values():
            if file.digest in known:
                self._prove_earlier(staging, part_object, known[file.digest], file.digest, algorithm)
                staging.drop(file.content_path)
            elif file.digest in content:
                staging.drop(file.content_path)
            else:
                content[file.digest] = file.content_path
        state = {logical: file.digest for logical, file in files.items()}
        message = f"Deposit {request.ingest_id}"
        user = User(request.agent, f"urn:khoso-node:{self._custodian.settings.node.name}")
        if previous is None:
            inventory = first_version(
                object_id=object_id(request.identifier),
                state=state,
                content=content,
                created=now,
                message=message,
                user=user,
                digest_algorithm=str(algorithm),
            )
        else:
            inventory = next_version(previous, state=state, content=content, created=now, message=message, user=user)
        data = inventory.to_bytes()
        inventory_digest = directory_check.digest_of(data, algorithm)
        sizes = {file.digest: file.size for file in files.values()}
        prepared = Prepared(
            part=Part(inventory.id, staging.number, algorithm, inventory_digest),
            identifier=request.identifier,
            kind=unpacked.kind,
            content_digest=content_digest,
            files=len(unpacked.files),
            bytes=unpacked.bytes,
            part_bytes=sum(sizes[digest] for digest in content) + 2 * len(data),
            deposit_digests=dict(digests),
            descriptive=said.descriptive,
            metadata={**request.metadata, **metadata_of(bag.bag_info if bag else None)},
            agent=request.agent,
            validation={} if bag is None else validation_of(bag, said.warnings),
        )
        return prepared, data

    def _prove_earlier(
        self, staging: Staging, object_: str, content_path: str, expected: str, algorithm: DigestAlgorithm
    ) -> None:
        """What is not stored again must be there and right: it is read back before the bytes just sent are let go.

        Raises Unreachable (``earlier-version-damaged``); the damage is then found and repaired by a check.
        """
        digest = hashlib.new(str(algorithm), usedforsecurity=False)
        try:
            for chunk in self._custodian.volume(staging.volume).read(object_, content_path):
                digest.update(chunk)
        except NotFound:
            digest = hashlib.new(str(algorithm), b"absent", usedforsecurity=False)
        if digest.hexdigest() != expected:
            raise Unreachable(
                f"A file that this version shares with an earlier one ({content_path}) is damaged on the volume"
                f" {staging.volume!r}.",
                remedy="Have the package verified (vaultctl verify --identifier); once it is repaired, send it again.",
                code="earlier-version-damaged",
            )

    # --- making it so

    def _commit(
        self,
        request: DepositRequest,
        prepared: Prepared,
        staging: Staging,
        volume: Volume,
        received: int,
        arrival: batches.Arrival | None,
    ) -> Accepted:
        custodian = self._custodian
        with custodian.locks.hold(request.identifier):
            self._settle_others(request)
            with custodian.catalogue.read() as tx:
                head = packages.head(tx, request.identifier)
            if (head.number if head else 0) != prepared.part.number - 1:
                # Another deposit of the same identifier was quicker. If it brought the same, all is well.
                known = self._known(request, prepared.content_digest, arrival)
                if known is not None:
                    return known
                _check_follows(request, head)
                raise Conflict(
                    f"{request.identifier} got another version at the same moment.",
                    remedy="Look at the newest version, and deposit again on top of it if that is still right.",
                    code="different-content",
                )
            with custodian.catalogue.write() as tx:
                ingests.progress(tx, request.ingest_id, received)
                ingest = ingests.prepare(
                    tx,
                    request.ingest_id,
                    volume=volume.name,
                    version=prepared.part.number,
                    prepared=prepared.as_json(),
                )
                if arrival is not None:
                    batches.place(tx, request.identifier, request.ingest_id, arrival)
            with accession.settled_if_refused(custodian, ingest):
                custodian.volume(volume.name).put(staging, prepared.part, head=True)
            version = accession.enter(custodian, request.ingest_id, prepared, volume.name)
        custodian.wake()
        return Accepted(request.ingest_id, request.identifier, version.number, created=True, receipt=None)

    def _settle_others(self, request: DepositRequest) -> None:
        """An earlier deposit of this identifier whose entry failed between the rename and the catalogue."""
        with self._custodian.catalogue.read() as tx:
            others = [
                ingest
                for ingest in ingests.unfinished(tx)
                if ingest.identifier == request.identifier
                and ingest.id != request.ingest_id
                and ingest.state is IngestState.PREPARED
            ]
        for ingest in others:
            accession.settle(self._custodian, ingest)

    def _end(self, request: DepositRequest, error: VaultError, *, again: bool) -> None:
        """Write down why; if even that fails, it is settled later on (:func:`accession.end_interrupted`).

        ``again``: what failed for a reason of ours is tried again, so it has not ended.
        """
        custodian = self._custodian
        last = not again or isinstance(error, Refused)
        with contextlib.suppress(VaultError), custodian.locks.hold(request.identifier):
            with custodian.catalogue.read() as tx:
                ingest = ingests.get(tx, request.ingest_id)
            if ingest is not None and ingest.state is IngestState.RECEIVING and last:
                accession.end(custodian, ingest.id, request.identifier, request.agent, error)
            elif ingest is not None and ingest.state is IngestState.PREPARED:
                # The rename may have happened. That is settled by looking, not by guessing; now if the volume
                # answers, else when it is back.
                custodian.look(ingest.volume)
                accession.settle(custodian, ingest, error)
        log.warning(
            "deposit-refused" if isinstance(error, Refused) else "deposit-failed",
            ingest=request.ingest_id,
            identifier=request.identifier,
            code=error.code,
            reason=error.message,
        )


def _check_owner(request: DepositRequest, package: Package | None) -> None:
    """Refuse a bound depositor another agency's package, in words that tell nothing of it, whatever they send.

    That it cannot be used is all that they learn; who deposits under a prefix of their own does not even learn that.
    """
    if not request.bound or package is None or package.descriptive.agency == request.descriptive.agency:
        return
    _check_precondition(request, None)
    raise Conflict(
        f"The identifier {request.identifier} cannot be used.",
        remedy="Deposit under another identifier.",
        code="identifier-taken",
    )


def _check_precondition(request: DepositRequest, head: Version | None) -> None:
    """Refuse before the body what cannot become a version whatever the body holds."""
    if request.must_be_new and head is not None:
        raise Conflict(
            f"{request.identifier} is stored already, and If-None-Match says that it must not be.",
            remedy="Fetch its receipt, or deposit without If-None-Match.",
            code="precondition-failed",
        )
    if request.if_match is not None and head is None:
        raise Conflict(
            f"{request.identifier} is not stored yet, so there is no version that this deposit could follow.",
            remedy="Deposit it without If-Match.",
            code="precondition-failed",
        )


def _check_follows(request: DepositRequest, head: Version | None) -> None:
    """Content that is not stored yet must say that it follows the newest version, or be the first."""
    _check_precondition(request, head)
    if head is None or request.if_match == "*":
        return
    if request.if_match is None:
        raise Conflict(
            f"{request.identifier} is stored already (v{head.number}), with other content.",
            remedy=f'If this is a new version of it, deposit it again with If-Match: "v{head.number}"; if it is another'
            " package, give it an identifier of its own.",
            code="different-content",
        )
    if request.if_match != head.number:
        raise Conflict(
            f"The newest version of {request.identifier} is v{head.number}, and If-Match names v{request.if_match}.",
            remedy="Look at the newest version, and deposit again on top of it if that is still right.",
            code="precondition-failed",
        )


def _check_body(request: DepositRequest, body: HashedBody) -> dict[str, str]:
    """Compare length and declared digests with what came; return the digests by hashlib's names."""
    if request.content_length is not None and body.count != request.content_length:
        raise Invalid(
            f"The body has {body.count} bytes, and {request.content_length} were announced.",
            faults=[Fault("incomplete-body", "the body's length is not Content-Length")],
            remedy="Send it again.",
            code="incomplete-body",
        )
    found = body.digests()
    for name, expected in request.digests.items():
        if found[HASHLIB_NAMES[name]] != expected:
            raise Invalid(
                f"The body's {name} is {found[HASHLIB_NAMES[name]]}, and Repr-Digest says {expected}.",
                faults=[Fault("digest-mismatch", f"{name} of the body is not what Repr-Digest says")],
                remedy="It was altered on its way, or the digest is of something else. Compute it anew and send again.",
                code="digest-mismatch",
            )
    return found
