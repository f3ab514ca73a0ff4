"""Replacing one damaged or missing copy: the new one is written and proved first, then the damaged set aside."""

from __future__ import annotations

import secrets

from vault.catalog import copies, evidence, packages
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record, verify
from vault.custody.context import Custodian, part_of
from vault.custody.replicate import best_sources, doubt_sources, no_source_has
from vault.custody.transfer import Target, Transfer, transfer
from vault.custody.work import Result, Work, done, later
from vault.errors import Corrupted
from vault.ledger import append
from vault.model import Condition, Copy, CopyState, EventType, Json, NewEvent, Outcome, Version
from vault.volumes.base import CheckReport, KeptEvidence, Staging, Verdict, Volume


def run(work: Work) -> Result:
    """The task's copy, if it is still damaged or missing."""
    custodian, task = work.custodian, work.task
    with custodian.catalogue.read() as tx:
        version = packages.version(tx, task.identifier, task.version or 0)
        here = [] if version is None else copies.of_version(tx, version.id)
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
    broken = [c for c in here if c.volume == task.volumes[0] and c.state in (CopyState.DAMAGED, CopyState.MISSING)]
    if version is None or not broken:
        return done("the copy needs no repair any more")
    copy = broken[0]
    if condition[copy.volume] is not Condition.ONLINE:
        return later(f"{copy.volume} cannot be written just now")
    volume = custodian.volume(copy.volume)
    # It is read once more before it is touched: a kill after the last repair's rename, or a server that was put right,
    # leaves nothing to do. An outage raises here, before anything was written.
    report = volume.check(part_of(version), work.progress.add, work.cancelled)
    if report.verdict is Verdict.INTACT:
        copy = verify.conclude(custodian, version, copy, report, event_type=EventType.RECOVERY)
        if copy.state is CopyState.GOOD:
            return done("it reads well again")
    sources = [source for source in best_sources(custodian, here, condition) if source.name != copy.volume]
    if copy.state is CopyState.DAMAGED:
        # What is intact of the damaged copy itself comes last, and may be all that is left of a file.
        sources.append(volume)
    if not sources:
        return later("no volume that holds a copy answers")
    return _repair(work, version, copy, volume, sources)


def _repair(work: Work, version: Version, copy: Copy, volume: Volume, sources: list[Volume]) -> Result:
    custodian, part = work.custodian, part_of(version)
    staging = volume.stage(custodian.token("repair", copy.id), version.number)
    try:
        target = Target(volume, staging)
        result = transfer(part, sources, [target], work.progress.add, work.cancelled)
        doubt_sources(custodian, version, result)
        if result.lost:
            error = no_source_has(version, result)
            _record_failure(custodian, version, copy, result, error.message)
            return later(str(error))
        if target.failure is not None:
            raise target.failure
        proof = staging.check(part, work.progress.add, work.cancelled)
        if proof.verdict is not Verdict.INTACT:
            raise Corrupted(
                f"What was just written to {volume.name} does not read back right.",
                remedy="Look at the health of that volume; the damaged copy was left as it is.",
                code="write-not-proved",
            )
        _put(custodian, version, copy, volume, staging, result, proof)
    finally:
        staging.discard()
    return done(f"repaired from {', '.join(result.used)}")


def _put(
    custodian: Custodian,
    version: Version,
    copy: Copy,
    volume: Volume,
    staging: Staging,
    result: Transfer,
    proof: CheckReport,
) -> None:
    """Swap the proven part in, and record it with the evidence. Renames change no bytes: the proof holds."""
    part = part_of(version)
    with custodian.locks.hold(version.identifier):
        with custodian.catalogue.read() as tx:
            head = verify.newest_here(copies.of_package(tx, version.package_id), copy) <= version.number
        label = f"{custodian.catalogue.clock():%Y%m%dT%H%M%SZ}-{copy.id}-{secrets.token_hex(2)}"
        about: dict[str, Json] = {
            "identifier": version.identifier,
            "version": version.number,
            "volume": volume.name,
            "copy": copy.id,
            "found": copy.reason,
            "replaced_from": list(result.used),
        }
        kept = volume.replace(staging, part, head=head, label=label, about=about)
        report = proof.joined(volume.check_root(part)) if head else proof
        with custodian.catalogue.write() as tx:
            current = copies.need(tx, copy.id)
            if kept is not None:
                keep_evidence(custodian, tx, version, current.id, volume.name, kept)
            record.checked(
                custodian,
                tx,
                version,
                current,
                report,
                event_type=EventType.RECOVERY,
                detail={"sources": list(result.used), "evidence": kept.path if kept else "", "found": copy.reason},
            )
    if report.verdict is Verdict.INTACT:
        custodian.on_proved(version)
    custodian.wake()


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


def _record_failure(custodian: Custodian, version: Version, copy: Copy, result: Transfer, message: str) -> None:
    """What cannot be saved is stated exactly, once for each set of lost files, not at every attempt."""
    if copy.reason == message:
        return
    with custodian.catalogue.write() as tx:
        copies.change(tx, copy.id, copy.state, reason=message, failures=copy.failures)
        append(
            tx,
            NewEvent(
                EventType.RECOVERY,
                Outcome.FAILURE,
                custodian.agent,
                version.identifier,
                version.number,
                copy.volume,
                {
                    "lost": list(result.lost[: record.LISTED_FINDINGS]),
                    "lost_count": len(result.lost),
                    "reason": message,
                },
            ),
        )
