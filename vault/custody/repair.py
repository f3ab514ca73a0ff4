"""Replacing one damaged or missing copy: the new one is written and proved first, then the damaged set aside."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial

from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import record, verify
from vault.custody.context import SOURCE_STATES, Custodian, part_of
from vault.custody.evidence import keep_evidence
from vault.custody.recalls import RecallCacheSource
from vault.custody.replicate import (
    READABLE,
    best_sources,
    doubt_sources,
    no_source_has,
    on_tape,
    order_recall,
    recalled_whole,
    stop_if_given_up,
)
from vault.custody.transfer import Target, Transfer, transfer
from vault.custody.work import Result, Work, done, later
from vault.errors import Corrupted, VaultError
from vault.formats.ocfl.inventory import INVENTORY_FILE
from vault.ledger import append
from vault.model import Condition, Copy, CopyState, EventType, Json, NewEvent, Outcome, Version
from vault.volumes.base import CheckReport, Source, Staging, Verdict, Volume


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
        copy = verify.conclude(custodian, version, copy, report, event_type=EventType.RECOVERY, only_good=True)
        if copy.state is CopyState.GOOD:
            return done("it reads well again")
    others = [source for source in best_sources(custodian, here, condition) if source.name != copy.volume]
    sources: list[Source] = list(others)
    if on_tape(custodian, here):
        sources.append(RecallCacheSource(custodian.recaller()))
    if copy.state is CopyState.DAMAGED:
        # What is intact of the damaged copy itself comes last, and may be all that is left of a file.
        sources.append(volume)
    away = sorted(
        c.volume
        for c in here
        if c.id != copy.id
        and c.volume in custodian.volumes
        and c.state in SOURCE_STATES
        and condition.get(c.volume) not in READABLE
    )
    if not others and on_tape(custodian, here) and not recalled_whole(custodian, version):
        ordered = order_recall(custodian, version, here)
        if ordered is not None:
            return ordered
    if away and not others and not on_tape(custodian, here):
        return later(f"the other copies are on volumes that do not answer just now ({', '.join(away)})")
    # What the disks have may not suffice; then a tape may.
    recall = partial(order_recall, custodian, version, here)
    return _repair(
        work,
        version,
        copy,
        volume,
        sources,
        lambda lost, why: recall() or _unrepairable(custodian, version, copy, lost, why, away),
    )


_Lost = Callable[[Sequence[str], VaultError], Result]


def _repair(
    work: Work, version: Version, copy: Copy, volume: Volume, sources: list[Source], when_lost: _Lost
) -> Result:
    custodian, part = work.custodian, part_of(version)
    with custodian.staging(volume, "repair", copy.id, version.number) as staging:
        target = Target(volume, staging)
        try:
            result = transfer(part, sources, [target], work.progress.add, work.cancelled)
        except Corrupted as error:
            # Without the inventory nobody can say what the files should be.
            return when_lost([f"v{version.number}/{INVENTORY_FILE}"], error)
        doubt_sources(custodian, version, result)
        if result.lost:
            return when_lost(result.lost, no_source_has(version, result))
        if target.failure is not None:
            raise target.failure
        proof = staging.check(part, work.progress.add, work.cancelled)
        if proof.verdict is not Verdict.INTACT:
            raise Corrupted(
                f"What was just written to {volume.name} does not read back right.",
                remedy="Look at the health of that volume; the damaged copy was left as it is.",
                code="write-not-proved",
            )
        _put(work, version, copy, volume, staging, result, proof)
    return done(f"repaired from {', '.join(result.used)}")


def _put(
    work: Work,
    version: Version,
    copy: Copy,
    volume: Volume,
    staging: Staging,
    result: Transfer,
    proof: CheckReport,
) -> None:
    """Swap the proven part in, and record it with the evidence. Renames change no bytes: the proof holds."""
    custodian, part = work.custodian, part_of(version)
    with custodian.locks.hold(version.identifier):
        stop_if_given_up(work, version)
        with custodian.catalogue.read() as tx:
            head = verify.newest_here(copies.of_package(tx, version.package_id), copy) <= version.number
        head = head and not verify.ahead(custodian, version, copy)
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


def _unrepairable(
    custodian: Custodian, version: Version, copy: Copy, lost: Sequence[str], error: VaultError, away: list[str]
) -> Result:
    """What cannot be saved is stated exactly, once for each set of lost files, not at every attempt.

    While another volume that holds a copy does not answer, nothing is lost yet, and nothing of the kind is stated.
    """
    if away:
        return later(f"what is readable just now does not suffice; it waits for {', '.join(away)}")
    if copy.reason != error.message:
        _record_failure(custodian, version, copy, lost, error.message)
    return later(str(error))


def _record_failure(custodian: Custodian, version: Version, copy: Copy, lost: Sequence[str], message: str) -> None:
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
                    "lost": list(lost[: record.LISTED_FINDINGS]),
                    "lost_count": len(lost),
                    "reason": message,
                },
            ),
        )
