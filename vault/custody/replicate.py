"""Making the copies of one version that are missing, all at once, from one reading of the best source."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from vault.catalog import copies, packages, verifications
from vault.catalog import volumes as catalog_volumes
from vault.custody import record, verify
from vault.custody.context import SOURCE_STATES, Custodian, part_of
from vault.custody.evidence import keep_evidence
from vault.custody.journal import AlreadyRead
from vault.custody.recalls import RecallCacheSource
from vault.custody.transfer import Target, Transfer, transfer
from vault.custody.work import Result, Work, done, later
from vault.errors import Conflict, Full, Unreachable, VaultError
from vault.model import READABLE, Condition, Copy, CopyState, Json, Version
from vault.volumes.ahead import all_at_once
from vault.volumes.base import KeptEvidence, Part, Source, Volume


@dataclass(frozen=True)
class _Placing:
    """One copy that is being made."""

    copy: Copy
    volume: Volume


def run(work: Work) -> Result:
    """Make every planned copy of the task's version whose volume answers, and prove each by reading it back."""
    custodian, task = work.custodian, work.task
    with custodian.catalogue.read() as tx:
        version = packages.version(tx, task.identifier, task.version or 0)
        if version is None:
            return done("the version is not in the catalogue")
        of_version = copies.of_version(tx, version.id)
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
    placings = [
        _Placing(copy, custodian.volume(copy.volume))
        for copy in of_version
        if copy.state in (CopyState.PLANNED, CopyState.WRITING)
        and copy.volume in task.volumes
        and condition[copy.volume] is Condition.ONLINE
    ]
    if not placings:
        return done("no copy is planned any more")
    sources = _sources(custodian, version, of_version, condition)
    if not sources:
        return order_recall(custodian, version, of_version) or later("no volume that holds a copy answers")
    standing, fresh = _begin(custodian, version, placings)
    placings = [*standing, *fresh]
    if not placings:
        return done("the policy holds without it")
    failures, result = _copy(work, version, fresh, sources) if fresh else ([], None)
    failed = {name for name, _ in failures}
    made = [placing for placing in placings if placing.volume.name not in failed]
    _prove(work, version, made, of_version, sources, result)
    for name, error in failures:
        if isinstance(error, Unreachable):
            custodian.look(name)
        elif isinstance(error, Full | Conflict):
            _give_up(custodian, version, next(p for p in placings if p.volume.name == name), error)
    if failures:
        told = "; ".join(f"{name}: {error}" for name, error in failures)
        given_up = all(isinstance(error, Full | Conflict) for _, error in failures)
        return done(told) if given_up else later(told)
    return done(", ".join(f"copied to {placing.volume.name}" for placing in placings))


def _begin(custodian: Custodian, version: Version, placings: list[_Placing]) -> tuple[list[_Placing], list[_Placing]]:
    """Which of these copies stand in their places already, and which are to be written now."""
    standing, fresh = [], []
    for placing in placings:
        if placing.copy.state is CopyState.WRITING:
            # It was begun before: perhaps it was put in place, and only the catalogue did not hear of it.
            with custodian.locks.hold(version.identifier):
                if settle_copy(custodian, version, placing.copy):
                    standing.append(placing)
                    continue
        with custodian.catalogue.write() as tx:
            if version.below_policy:
                fresh.append(_Placing(record.writing(tx, placing.copy), placing.volume))
            else:
                # Another volume took its place while this one was away. Nothing of it stands there, and nothing shall.
                record.not_wanted(custodian, tx, version, copies.need(tx, placing.copy.id))
    return standing, fresh


def best_sources(custodian: Custodian, of_version: list[Copy], condition: dict[str, Condition]) -> list[Volume]:
    """The volumes to read a version from, the most trusted first. Even a damaged copy may have the file that counts."""
    usable = [c for c in of_version if c.state in SOURCE_STATES and condition.get(c.volume) in READABLE]
    usable.sort(key=lambda c: (SOURCE_STATES.index(c.state), c.volume))
    return [custodian.volume(c.volume) for c in usable if c.volume in custodian.volumes]


def _sources(
    custodian: Custodian, version: Version, of_version: list[Copy], condition: dict[str, Condition]
) -> list[Source]:
    """The volumes that have it, else what was recalled from tape."""
    volumes = best_sources(custodian, of_version, condition)
    if not volumes and recalled_whole(custodian, version):
        return [RecallCacheSource(custodian.recaller())]
    return list(volumes)


def on_tape(custodian: Custodian, of_version: list[Copy]) -> list[Copy]:
    """The copies that are on tapes, which no task reads directly."""
    believed = (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT)
    return [c for c in of_version if c.volume not in custodian.volumes and c.state in believed]


def recalled_whole(custodian: Custodian, version: Version) -> bool:
    """Whether the part's inventory lies in the recall cache, and with it what was asked for of its content."""
    return custodian.recaller().inventory(part_of(version)) is not None


def order_recall(custodian: Custodian, version: Version, of_version: list[Copy]) -> Result | None:
    """Have a tape's copy brought to disk, if there is one: then the work can go on. None where there is none."""
    if not on_tape(custodian, of_version):
        return None
    try:
        recall = custodian.recaller().request(version, (), custodian.agent)
    except (Unreachable, Full) as error:
        return later(str(error))
    return later(f"it waits for a tape: recall {recall.id} {recall.message}".strip(), recall.retry_after)


def good_sources(custodian: Custodian, of_version: list[Copy], condition: dict[str, Condition]) -> list[Volume]:
    """Of these only the ones whose copy was proved: nothing else is written to a tape."""
    good = [copy for copy in of_version if copy.state is CopyState.GOOD]
    return best_sources(custodian, good, condition)


def _copy(
    work: Work, version: Version, placings: list[_Placing], sources: list[Source]
) -> tuple[list[tuple[str, VaultError]], Transfer | None]:
    """Stage, transfer, put in place; returns the volumes on which it failed, with the reason, and what was read."""
    custodian, part = work.custodian, part_of(version)
    failures: list[tuple[str, VaultError]] = []
    result: Transfer | None = None
    targets: list[tuple[_Placing, Target]] = []
    with contextlib.ExitStack() as stagings:
        for placing in placings:
            try:
                made = custodian.staging(placing.volume, "copy", placing.copy.id, version.number)
                staging = stagings.enter_context(made)
                targets.append((placing, Target(placing.volume, staging)))
            except (Full, Unreachable) as error:
                failures.append((placing.volume.name, error))
        if targets:
            result = transfer(part, sources, [target for _, target in targets], work.progress.add, work.cancelled)
            doubt_sources(custodian, version, result)
            for placing, target in targets:
                if target.failure is None and not result.lost:
                    _put(work, version, part, placing, target, result)
                if target.failure is not None:
                    failures.append((placing.volume.name, target.failure))
            if result.lost:
                failures += [(p.volume.name, no_source_has(version, result)) for p, t in targets if t.failure is None]
    return failures, result


def _give_up(custodian: Custodian, version: Version, placing: _Placing, error: VaultError) -> None:
    """There is no room: the planner may choose another volume, and comes back to this one when it has room again."""
    with custodian.catalogue.write() as tx:
        record.given_up(custodian, tx, version, copies.need(tx, placing.copy.id), str(error))
    custodian.look(placing.volume.name)


def _put(work: Work, version: Version, part: Part, placing: _Placing, target: Target, result: Transfer) -> None:
    custodian = work.custodian
    with custodian.locks.hold(version.identifier):
        with custodian.catalogue.read() as tx:
            newest = verify.newest_here(copies.of_package(tx, version.package_id), placing.copy)
        head = newest < version.number
        kept: KeptEvidence | None = None
        try:
            try:
                placing.volume.put(target.staging, part, head=head)
            except Conflict as error:
                if error.code != "occupied" or placing.volume.standing_head(part.object_id) >= part.number:
                    # Another whole version of this very package: acknowledged once, and unknown to this catalogue.
                    raise
                # A stranger stands there. It is no copy of ours, but nobody's bytes are thrown away: it is evidence.
                label = f"{custodian.catalogue.clock():%Y%m%dT%H%M%SZ}-stranger-{placing.copy.id}"
                about: dict[str, Json] = {
                    "identifier": version.identifier,
                    "version": version.number,
                    "why": "stood where a copy was put",
                }
                kept = placing.volume.replace(target.staging, part, head=head, label=label, about=about)
        except (Conflict, Full, Unreachable) as error:
            target.failure = error
            return
        _record_written(custodian, version, placing, ", ".join(result.used), result, kept)


def settle_copy(custodian: Custodian, version: Version, copy: Copy) -> bool:
    """A copy that was being written when something cut us off: enter it if it is in place; tell whether it is.

    Called under the package's lock. Raises Unreachable.
    """
    placing = _Placing(copy, custodian.volume(copy.volume))
    if not placing.volume.settle(part_of(version)):
        return False
    _record_written(custodian, version, placing, "before a restart", None)
    return True


def _record_written(
    custodian: Custodian,
    version: Version,
    placing: _Placing,
    source: str,
    result: Transfer | None,
    kept: KeptEvidence | None = None,
) -> None:
    with custodian.catalogue.write() as tx:
        copy = copies.need(tx, placing.copy.id)
        if copy.state is CopyState.PLANNED:
            copy = record.writing(tx, copy)
        detail = {} if result is None else {"files": result.files, "bytes": result.bytes}
        # In any other state it hung while it was put in place, and others have recorded since what they found there.
        if copy.state is CopyState.WRITING:
            record.written(custodian, tx, version, copy, source, detail)
        if kept is not None:
            keep_evidence(custodian, tx, version, copy.id, placing.volume.name, kept)


def _prove(
    work: Work,
    version: Version,
    made: list[_Placing],
    before: list[Copy],
    sources: list[Source],
    result: Transfer | None,
) -> None:
    """Read the new copies back, and prove a first copy that still is not, so that the receipt waits for one
    task only. All at once: each is on a volume of its own, and none waits for another's. Raises what the first raises,
    after all have ended.

    What was read from a source's medium to be copied, with every digest right, is not read a second time to prove it;
    the planner counts on it (:meth:`vault.custody.checks.Checks.due`). ``before``: the copies as they stood when the
    reading began.
    """
    custodian = work.custodian
    of_made, of_sources = {placing.copy.id for placing in made}, {source.name for source in sources}
    with custodian.catalogue.read() as tx:
        now = copies.of_version(tx, version.id)

    def prove(copy: Copy) -> None:
        read = _read(result, custodian.volume(copy.volume))
        if copy.id not in of_made and not (copy in before and _counts(work, version, copy, result)):
            read = None
        verify.prove(custodian, version, copy, work.progress.add, work.cancelled, read=read)

    written = [copy for copy in now if copy.state is CopyState.WRITTEN and copy.volume in of_sources]
    all_at_once(prove, [*(copy for copy in now if copy.id in of_made), *written], "proving")


def _counts(work: Work, version: Version, source: Copy, result: Transfer | None) -> bool:
    """Whether what the copying read of a source may stand for a check: it was right, and nobody ordered one since."""
    if result is None or source.volume in result.wrong:
        return False
    with work.custodian.catalogue.read() as tx:
        ordered = verifications.latest_order(tx, volume=source.volume, identifier=version.identifier)
    began = work.task.started_at
    return ordered is None or (began is not None and ordered < began)


def _read(result: Transfer | None, volume: Volume) -> AlreadyRead | None:
    """What the copying read from that volume's medium; None for nothing."""
    files = result.read.get(volume.name) if result is not None else None
    return AlreadyRead(files) if files else None


def doubt_sources(custodian: Custodian, version: Version, result: Transfer) -> None:
    """Whatever was wrong with a source is written down; a full check of it is due at once."""
    for volume_name, reason in result.wrong.items():
        with custodian.catalogue.write() as tx:
            for copy in copies.of_version(tx, version.id):
                if copy.volume == volume_name:
                    record.doubted(custodian, tx, version, copy, reason)


def no_source_has(version: Version, result: Transfer) -> VaultError:
    """The loudest message that there is."""
    listed = ", ".join(result.lost[:5]) + (" and more" if len(result.lost) > 5 else "")
    return VaultError(
        f"{len(result.lost)} file(s) of {version.identifier} v{version.number} are right in no copy that can be read:"
        f" {listed}.",
        remedy="Bring every volume and tape that holds a copy on-line; if none has them, ask the depositor.",
        code="unrepairable",
    )
