"""Replacing one damaged or missing copy: the new one is written and proved first, then the damaged set aside.

It is mended file by file. What is intact where it stands is taken over as it is, under a second name, and only what is
damaged or missing is copied; the whole part is read back from the medium before it counts all the same.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import record, verify
from vault.custody.context import SOURCE_STATES, Custodian, part_of
from vault.custody.evidence import keep_evidence
from vault.custody.recalls import RecallCacheSource
from vault.custody.replicate import (
    best_sources,
    doubt_sources,
    no_source_has,
    on_tape,
    order_recall,
    recalled_whole,
)
from vault.custody.transfer import Target, Transfer, find_inventory, transfer
from vault.custody.work import Result, Work, done, later
from vault.errors import Corrupted, Interrupted, NotFound, Unreachable, VaultError
from vault.formats.ocfl.inventory import INVENTORY_FILE
from vault.formats.ocfl.reading import parse_inventory
from vault.ledger import append
from vault.model import READABLE, Condition, Copy, CopyState, EventType, Json, NewEvent, Outcome, Version
from vault.verdict import Verdict
from vault.volumes.base import CheckReport, Part, Source, Staging, Volume

BROKEN = (CopyState.DAMAGED, CopyState.MISSING)


@dataclass(frozen=True, slots=True)
class Hands:
    """What a repair is given while it runs."""

    custodian: Custodian
    progress: Callable[[int], None]
    cancelled: Callable[[], bool]


class Lost(VaultError):
    """What no source has right. ``files`` are content paths, or the version's inventory."""

    default_code = "unrepairable"

    def __init__(self, message: str, *, remedy: str = "", code: str = "", files: Sequence[str] = ()) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.files = tuple(files)


def run(work: Work) -> Result:
    """The task's copy, if it is still damaged or missing."""
    custodian, task = work.custodian, work.task
    hands = Hands(custodian, work.progress.add, work.cancelled)
    with custodian.catalogue.read() as tx:
        version = packages.version(tx, task.identifier, task.version or 0)
        here = [] if version is None else copies.of_version(tx, version.id)
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
    broken = [c for c in here if c.volume == task.volumes[0] and c.state in BROKEN]
    if version is None or not broken:
        return done("the copy needs no repair any more")
    copy = broken[0]
    if condition[copy.volume] is not Condition.ONLINE:
        return later(f"{copy.volume} cannot be written just now")
    # It is read once more before it is touched: a kill after the last repair's rename, or a server that was put right,
    # leaves nothing to do. An outage raises here, before anything was written.
    report = custodian.volume(copy.volume).check(part_of(version), hands.progress, hands.cancelled)
    if report.verdict is Verdict.INTACT:
        copy = verify.conclude(custodian, version, copy, report, event_type=EventType.RECOVERY, only_good=True)
        if copy.state is CopyState.GOOD:
            return done("it reads well again")
    return _from_others(hands, version, copy, report, here, condition)


def _from_others(
    hands: Hands,
    version: Version,
    copy: Copy,
    report: CheckReport,
    here: list[Copy],
    condition: dict[str, Condition],
) -> Result:
    custodian = hands.custodian
    others = [source for source in best_sources(custodian, here, condition) if source.name != copy.volume]
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
    try:
        used = _mend(hands, version, copy, report, _sources(custodian, here, copy, condition))
        return done(f"repaired from {used}")
    except Lost as error:
        # What the disks have did not suffice; then a tape may.
        recalled = order_recall(custodian, version, here)
        return recalled or _unrepairable(custodian, version, copy, error, away)


def heal(hands: Hands, version: Version, extra: Source) -> list[str]:
    """Repair every broken copy of a version of which none is good, with the help of what has just been sent again.

    Returns the volumes on which that was done. Raises Lost when files are still right nowhere; Unreachable, Full.
    """
    custodian = hands.custodian
    with custodian.catalogue.read() as tx:
        here = copies.of_version(tx, version.id)
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
    healed: list[str] = []
    for copy in here:
        if copy.state not in BROKEN or condition.get(copy.volume) is not Condition.ONLINE:
            continue
        if copy.volume not in custodian.volumes:
            continue
        report = custodian.volume(copy.volume).check(part_of(version), hands.progress, hands.cancelled)
        _mend(hands, version, copy, report, [*_sources(custodian, here, copy, condition), extra])
        healed.append(copy.volume)
    return healed


def _sources(custodian: Custodian, of_version: list[Copy], copy: Copy, condition: dict[str, Condition]) -> list[Source]:
    sources: list[Source] = [s for s in best_sources(custodian, of_version, condition) if s.name != copy.volume]
    if on_tape(custodian, of_version):
        sources.append(RecallCacheSource(custodian.recaller()))
    # What is intact of the damaged copy itself comes last, and may be all that is left of a file.
    return [*sources, custodian.volume(copy.volume)] if copy.state is CopyState.DAMAGED else sources


def _mend(hands: Hands, version: Version, copy: Copy, report: CheckReport, sources: Sequence[Source]) -> str:
    """Build the new part, prove it, put it in the damaged one's place; tells where its files came from."""
    custodian, part = hands.custodian, part_of(version)
    volume = custodian.volume(copy.volume)
    with custodian.staging(volume, "repair", copy.id, version.number) as staging:
        target = Target(volume, staging)
        try:
            inventory = parse_inventory(find_inventory(part, sources, {}))
        except Corrupted as error:
            # Without the inventory nobody can say what the files should be.
            missing = [f"v{version.number}/{INVENTORY_FILE}"]
            raise Lost(error.message, remedy=error.remedy, code=error.code, files=missing) from error
        content = inventory.content_of_version_part(version.number)
        intact = _intact(hands, volume, part, content, report)
        taken = {path for path in sorted(intact) if staging.take(part.object_id, path)}
        # Where nothing can be taken over, what is intact here is copied here, and not over the wire.
        near = [volume, *(source for source in sources if source is not volume)] if intact - taken else sources
        result = transfer(part, near, [target], hands.progress, hands.cancelled, taken=taken)
        doubt_sources(custodian, version, result)
        if result.lost:
            why = no_source_has(version, result)
            raise Lost(why.message, remedy=why.remedy, files=result.lost)
        if target.failure is not None:
            raise target.failure
        proof = staging.check(part, hands.progress, hands.cancelled)
        if proof.verdict is not Verdict.INTACT:
            raise Corrupted(
                f"What was just written to {volume.name} does not read back right.",
                remedy="Look at the health of that volume; the damaged copy was left as it is.",
                code="write-not-proved",
            )
        _put(hands, version, copy, volume, staging, result, proof, len(taken))
    return ", ".join(result.used) or f"{volume.name} itself"


def _intact(hands: Hands, volume: Volume, part: Part, content: dict[str, str], report: CheckReport) -> set[str]:
    """The content files that are right where they stand, by the check that has just been made."""
    if report.absent:
        return set()
    wrong = {finding.path for finding in report.findings}
    if not wrong & {f"v{part.number}", f"v{part.number}/{INVENTORY_FILE}"}:
        return set(content) - wrong
    # Without its inventory the check did not know what to read.
    return {path for path, digest in content.items() if _reads_right(hands, volume, part, path, digest)}


def _reads_right(hands: Hands, volume: Volume, part: Part, path: str, digest: str) -> bool:
    found = hashlib.new(str(part.algorithm), usedforsecurity=False)
    try:
        for chunk in volume.read(part.object_id, path):
            found.update(chunk)
            hands.progress(len(chunk))
            if hands.cancelled():
                raise Interrupted(f"Reading {path} was stopped.")
    except (NotFound, Unreachable):
        return False
    return found.hexdigest() == digest


def _put(
    hands: Hands,
    version: Version,
    copy: Copy,
    volume: Volume,
    staging: Staging,
    result: Transfer,
    proof: CheckReport,
    taken: int,
) -> None:
    """Swap the proven part in, and record it with the evidence. Renames change no bytes: the proof holds."""
    custodian, part = hands.custodian, part_of(version)
    with custodian.locks.hold(version.identifier):
        if hands.cancelled():
            raise Interrupted(f"Making a copy of {version.identifier} v{version.number} was stopped.")
        with custodian.catalogue.read() as tx:
            head = verify.newest_here(copies.of_package(tx, version.package_id), copy) <= version.number
            if copies.need(tx, copy.id).state not in BROKEN:
                # Others have mended it meanwhile.
                return
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
        detail: dict[str, Json] = {
            "sources": list(result.used), "evidence": kept.path if kept else "", "found": copy.reason,
            "files_copied": result.files, "files_kept": taken,
        }  # fmt: skip
        with custodian.catalogue.write() as tx:
            current = copies.need(tx, copy.id)
            if kept is not None:
                keep_evidence(custodian, tx, version, current.id, volume.name, kept)
            record.checked(custodian, tx, version, current, report, event_type=EventType.RECOVERY, detail=detail)
    if report.verdict is Verdict.INTACT:
        custodian.on_proved(version)
    custodian.wake()


def _unrepairable(custodian: Custodian, version: Version, copy: Copy, error: Lost, away: Iterable[str]) -> Result:
    """What cannot be saved is stated exactly, once for each set of lost files, not at every attempt.

    While another volume that holds a copy does not answer, nothing is lost yet, and nothing of the kind is stated.
    """
    if away:
        return later(f"what is readable just now does not suffice; it waits for {', '.join(away)}")
    if copy.reason != error.message:
        _record_failure(custodian, version, copy, error)
    return later(str(error))


def _record_failure(custodian: Custodian, version: Version, copy: Copy, error: Lost) -> None:
    with custodian.catalogue.write() as tx:
        copies.change(tx, copy.id, copy.state, reason=error.message, failures=copy.failures)
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
                    "lost": list(error.files[: record.LISTED_FINDINGS]),
                    "lost_count": len(error.files),
                    "reason": error.message,
                },
            ),
        )
