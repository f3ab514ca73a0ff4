"""What volumes set aside in repairs: entered into the catalogue, and let go by an operator's decision."""

from __future__ import annotations

from vault.catalog import copies, evidence, packages
from vault.catalog.engine import Tx
from vault.custody.context import Custodian, part_of
from vault.errors import NotFound, Refused, Unreachable
from vault.ledger import append
from vault.model import Copy, CopyState, EventType, Evidence, NewEvent, Outcome, Version
from vault.volumes.base import KeptEvidence, Verdict


def keep_evidence(
    custodian: Custodian, tx: Tx, version: Version, copy_id: int, volume: str, kept: KeptEvidence
) -> None:
    """Enter what was set aside, so that an operator can look at it and release it."""
    event = append(
        tx,
        NewEvent(
            EventType.EVIDENCE_KEPT,
            Outcome.SUCCESS,
            custodian.agent,
            version.identifier,
            version.number,
            volume,
            {"path": kept.path, "found": kept.about.get("found", "")},
        ),
    )
    evidence.keep(tx, copy_id=copy_id, path=kept.path, event_seq=event.seq)


def release_evidence(custodian: Custodian, evidence_id: int, agent: str) -> Evidence:
    """Delete damaged bytes that were set aside; they cannot be had again.

    Refused while no copy of their version is good, read back from its medium now: what was set aside may hold the last
    right byte of some file.
    Raises NotFound, Refused, Unreachable.
    """
    with custodian.catalogue.read() as tx:
        kept = evidence.get(tx, evidence_id)
        if kept is None:
            raise NotFound(
                f"There is no evidence number {evidence_id}.", remedy="Look at the list.", code="no-such-evidence"
            )
        version = packages.version(tx, kept.identifier, kept.version)
        of_version = [] if version is None else copies.of_version(tx, version.id)
    if kept.released_at is not None:
        raise Refused(f"The evidence number {evidence_id} was released already.", code="already-released")
    if not any(copy.state is CopyState.GOOD for copy in of_version):
        raise Refused(
            f"No copy of {kept.identifier} v{kept.version} is good now, so the evidence number {evidence_id} stays:"
            " it may hold bytes that nothing else has.",
            remedy="Release it when the package has a good copy again.",
            code="evidence-needed",
        )
    if version is None or not any(_reads_well(custodian, version, copy) for copy in of_version):
        raise Refused(
            f"No good copy of {kept.identifier} v{kept.version} could be read back just now, so the evidence stays.",
            remedy="Bring a volume that holds a good copy on-line, and try again.",
            code="evidence-needed",
        )
    # The bytes first: a kill in between leaves a row without bytes, and releasing that again does no harm.
    custodian.volume(kept.volume).release_evidence(kept.path)
    with custodian.catalogue.write() as tx:
        gone = evidence.release(tx, evidence_id)
        append(
            tx,
            NewEvent(
                EventType.EVIDENCE_RELEASED,
                Outcome.SUCCESS,
                agent,
                gone.identifier,
                gone.version,
                gone.volume,
                {"evidence": gone.id, "path": gone.path, "kept_by_event": gone.event_seq},
            ),
        )
    return gone


def _reads_well(custodian: Custodian, version: Version, copy: Copy) -> bool:
    if copy.state is not CopyState.GOOD or copy.volume not in custodian.volumes:
        return False
    try:
        return custodian.volume(copy.volume).check(part_of(version)).verdict is Verdict.INTACT
    except Unreachable:
        return False
