"""The only place where a copy changes its state.

Each function makes, in the transaction that it is given, the change, the event that tells of it, and the version's new
standing under its policy. So state, event and standing are never at odds, whatever is killed when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from vault import policy as policies
from vault.catalog import copies, packages, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import minutes
from vault.custody.context import Custodian
from vault.custody.minutes import Took
from vault.errors import Unreachable
from vault.ledger import append
from vault.model import Copy, CopyState, EventType, Json, NewEvent, Outcome, Version, Volume
from vault.volumes.base import CheckReport, Verdict

LISTED_FINDINGS = 100
"""So many findings stand in an event; the rest are counted. The catalogue must not swell with a dying disk."""

DOUBT_LIMIT = 8
"""After so many checks in a row that could not read a copy, or read it once so and once so, it counts as damaged.

The waits between them double, from ``custody.reread_after``: with one minute they span two hours, so that a server
which is overloaded for a while is not taken for a bad disk, and a copy is not doubted for ever either.
"""


def refresh_standing(custodian: Custodian, tx: Tx, version: Version) -> policies.Standing:
    """Decide anew what the version's copies amount to, under the policy that matches it now, and write it down."""
    return judge(
        custodian, tx, version, {volume.id: volume for volume in catalog_volumes.all(tx)}, custodian.wording(tx)
    )


def judge(
    custodian: Custodian,
    tx: Tx,
    version: Version,
    volumes: Mapping[int, Volume],
    wording: str,
    held: list[Copy] | None = None,
    unbroken: policies.Unbroken | None = None,
) -> policies.Standing:
    """As :func:`refresh_standing`, for whoever does it for many: given all volumes, and the wording of the policies.
    ``held`` and ``unbroken`` are the version's copies, and how far the package is held, where both are known."""
    package = packages.get(tx, version.identifier)
    policy = custodian.settings.policy_for(package.descriptive) if package else custodian.policy(version.policy)
    if policy.name != version.policy:
        append(
            tx,
            NewEvent(
                EventType.POLICY_CHANGED,
                Outcome.SUCCESS,
                custodian.agent,
                version.identifier,
                version.number,
                detail={"was": version.policy, "is": policy.name},
            ),
        )
    of_package = copies.of_package(tx, version.package_id) if held is None else held
    mine = [copy for copy in of_package if copy.version_id == version.id]
    standing = policies.standing(policy, policies.holdings(mine, volumes, unbroken or of_package))
    packages.set_standing(
        tx,
        version.id,
        below_policy=not standing.satisfied or bool(standing.leaving),
        policy=policy.name,
        priority=policy.priority,
        policy_fingerprint=wording,
    )
    return standing


def refresh_from(custodian: Custodian, tx: Tx, version: Version) -> None:
    """As :func:`refresh_standing`, for this version and the later ones, which share files with it."""
    several = [each for each in packages.versions_of(tx, version.package_id) if each.number >= version.number]
    refresh_several(custodian, tx, several)


def refresh_several(custodian: Custodian, tx: Tx, several: Collection[Version]) -> None:
    """As :func:`refresh_standing`, for those of one package. Its copies are read once: there may be thousands, and
    whoever else writes waits."""
    if not several:
        return
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    wording = custodian.wording(tx)
    of_package = copies.of_package(tx, next(iter(several)).package_id)
    unbroken = policies.Unbroken(of_package, volumes)
    by_version: dict[int, list[Copy]] = {}
    for copy in of_package:
        by_version.setdefault(copy.version_id, []).append(copy)
    for each in several:
        judge(custodian, tx, each, volumes, wording, by_version.get(each.id, []), unbroken)


def planned(tx: Tx, version: Version, volume_id: int) -> Copy:
    """A copy shall be made there. Nothing happened yet, so no event tells of it."""
    return copies.plan(tx, version.id, volume_id)


def writing(tx: Tx, copy: Copy) -> Copy:
    """Its bytes are about to be written. No event: if it comes to nothing, nothing happened.

    Raises Unreachable where the catalogue has another copy under that number: plans are not made durably, and a server
    of PostgreSQL that broke down since may have lost this one, and given its number away again.
    """
    changed = copies.change(tx, copy.id, CopyState.WRITING)
    if (changed.version_id, changed.volume_id) != (copy.version_id, copy.volume_id):
        raise Unreachable(
            f"That a copy was planned on {copy.volume} is no longer in the catalogue; it is derived anew.",
            remedy="Look why the database server broke down.",
            code="catalogue-unreachable",
        )
    return changed


def given_up(custodian: Custodian, tx: Tx, version: Version, copy: Copy, reason: str) -> Copy:
    """A copy that was planned will not be made there after all, so that the planner may choose another volume."""
    return _forgone(custodian, tx, version, copy, Outcome.FAILURE, reason, reason)


def not_wanted(custodian: Custodian, tx: Tx, version: Version, copy: Copy) -> Copy:
    """A copy that was planned is not made there, for the policy holds without it. It may be planned again at once."""
    return _forgone(custodian, tx, version, copy, Outcome.SUCCESS, "", "the policy holds without it")


def _forgone(
    custodian: Custodian, tx: Tx, version: Version, copy: Copy, outcome: Outcome, reason: str, told: str
) -> Copy:
    if copy.state is CopyState.WRITING:
        copy = copies.change(tx, copy.id, CopyState.PLANNED)
    if copy.state is not CopyState.PLANNED:
        return copy
    changed = copies.change(tx, copy.id, CopyState.RETIRED, reason=reason)
    append(
        tx,
        NewEvent(
            EventType.REPLICATION,
            outcome,
            custodian.agent,
            version.identifier,
            version.number,
            copy.volume,
            {"is": str(changed.state), "reason": told},
        ),
    )
    refresh_standing(custodian, tx, version)
    return changed


def written(
    custodian: Custodian, tx: Tx, version: Version, copy: Copy, source: str, detail: Mapping[str, Json]
) -> Copy:
    """It was put in place, durably. It counts for nothing before it was read back, which is due at once."""
    changed = copies.change(tx, copy.id, CopyState.WRITTEN, written=True, due_at=tx.now)
    append(
        tx,
        NewEvent(
            EventType.REPLICATION if source else EventType.COPY_WRITTEN,
            Outcome.SUCCESS,
            custodian.agent,
            version.identifier,
            version.number,
            copy.volume,
            {"source": source, **detail} if source else dict(detail),
        ),
    )
    refresh_standing(custodian, tx, version)
    return changed


def checked(
    custodian: Custodian,
    tx: Tx,
    version: Version,
    copy: Copy,
    report: CheckReport,
    *,
    event_type: EventType = EventType.FIXITY_CHECK,
    detail: Mapping[str, Json] | None = None,
    took: Took | None = None,
) -> Copy:
    """A check came to a conclusion. Only INTACT makes a copy good, and only a check makes it anything else. ``took`` is
    what it read, where that is another thing than what the report says."""
    verdict = report.verdict
    now = tx.now
    failures = 0
    due_at: datetime | None = None
    if verdict is Verdict.INTACT:
        state = CopyState.GOOD
        due_at = now + _interval(custodian, tx, version, copy)
    elif verdict is Verdict.MISSING:
        state = CopyState.MISSING
    elif verdict is Verdict.DAMAGED:
        state = CopyState.DAMAGED
    else:
        failures = copy.failures + 1
        state = CopyState.SUSPECT
        due_at = now + custodian.settings.custody.reread_after * 2 ** min(failures - 1, 10)
        if failures >= DOUBT_LIMIT:
            state, due_at = CopyState.DAMAGED, None
        elif copy.state in (CopyState.DAMAGED, CopyState.MISSING):
            # What was found damaged stays so until it reads well: doubt does not acquit it.
            state, due_at = copy.state, None
    verifications.note(tx, copy, version.identifier, good=verdict is Verdict.INTACT)
    changed = copies.change(
        tx,
        copy.id,
        state,
        proved=verdict is Verdict.INTACT,
        checked=True,
        due_at=due_at,
        reason="" if verdict is Verdict.INTACT else _reason(report),
        failures=failures,
    )
    event = append(
        tx,
        NewEvent(
            event_type,
            Outcome.SUCCESS if verdict is Verdict.INTACT else Outcome.FAILURE,
            custodian.agent,
            version.identifier,
            version.number,
            copy.volume,
            {
                "verdict": str(verdict),
                "was": str(copy.state),
                "is": str(changed.state),
                "files": report.files,
                "bytes": report.bytes,
                **findings_detail(report),
                **(detail or {}),
            },
        ),
    )
    minutes.note(custodian, tx, copy.volume, verdict, report.files, took or Took(report.bytes, 0, False), event.seq)
    if changed.state is copy.state:
        refresh_standing(custodian, tx, version)
    else:
        refresh_from(custodian, tx, version)
    custodian.telemetry.fixity(copy.volume, verdict, files=report.files, read=report.bytes)
    return changed


def doubted(custodian: Custodian, tx: Tx, version: Version, copy: Copy, reason: str) -> Copy:
    """Something read from it in passing was wrong. It no longer counts, and a full check is due at once."""
    if copy.state not in (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT):
        return copy
    changed = copies.change(tx, copy.id, CopyState.SUSPECT, due_at=tx.now, reason=reason, failures=copy.failures)
    append(
        tx,
        NewEvent(
            EventType.FIXITY_CHECK,
            Outcome.WARNING,
            custodian.agent,
            version.identifier,
            version.number,
            copy.volume,
            {"verdict": str(Verdict.DOUBTFUL), "was": str(copy.state), "is": str(changed.state), "reason": reason},
        ),
    )
    refresh_from(custodian, tx, version)
    return changed


def replaced(custodian: Custodian, tx: Tx, version: Version, copy: Copy, by: str) -> Copy:
    """A damaged or missing copy on a tape is no longer one, as a new one (on the tape ``by``) took its place. Its bytes
    stay where they are."""
    changed = copies.change(tx, copy.id, CopyState.RETIRED, reason=f"replaced by the copy on {by}")
    append(
        tx,
        NewEvent(
            EventType.RECOVERY,
            Outcome.SUCCESS,
            custodian.agent,
            version.identifier,
            version.number,
            copy.volume,
            {"was": str(copy.state), "is": str(changed.state), "found": copy.reason, "replaced_by": by},
        ),
    )
    refresh_standing(custodian, tx, version)
    return changed


def discarded(custodian: Custodian, tx: Tx, version: Version, copy: Copy, agent: str, reason: str) -> Copy:
    """It is not wanted any more, and its medium is about to be used for something else."""
    if copy.state in (CopyState.PLANNED, CopyState.WRITING):
        return given_up(custodian, tx, version, copy, reason)
    if copy.state is CopyState.WRITTEN:
        # Never read: of what was written nobody knows whether it is there.
        copy = copies.change(tx, copy.id, CopyState.MISSING)
    changed = copies.change(tx, copy.id, CopyState.RETIRED, due_at=None, reason=reason)
    detail: dict[str, Json] = {"was": str(copy.state), "is": str(changed.state), "reason": reason}
    who = (agent, version.identifier, version.number, copy.volume)
    append(tx, NewEvent(EventType.VOLUME_CHANGED, Outcome.SUCCESS, *who, detail=detail))
    refresh_from(custodian, tx, version)
    return changed


def lost(
    custodian: Custodian,
    tx: Tx,
    version: Version,
    copy: Copy,
    agent: str,
    reason: str,
    to: CopyState = CopyState.MISSING,
) -> Copy:
    """It is known to be gone without a look: its medium is. What is missing is repaired, where something can be; what
    is RETIRED is not wanted there any more."""
    changed = copies.change(tx, copy.id, to, due_at=None, reason=reason)
    append(
        tx,
        NewEvent(
            EventType.VOLUME_CHANGED,
            Outcome.FAILURE,
            agent,
            version.identifier,
            version.number,
            copy.volume,
            {"was": str(copy.state), "is": str(changed.state), "reason": reason},
        ),
    )
    refresh_from(custodian, tx, version)
    return changed


def findings_detail(report: CheckReport) -> dict[str, Json]:
    """What was wrong, for an event: the first findings, and how many there were."""
    if not report.findings:
        return {}
    return {
        "findings": [finding.as_json() for finding in report.findings[:LISTED_FINDINGS]],
        "findings_count": len(report.findings),
    }


def _reason(report: CheckReport) -> str:
    if report.absent:
        return "nothing of it is there"
    first = report.findings[0]
    more = f" and {len(report.findings) - 1} more" if len(report.findings) > 1 else ""
    return f"{first.kind}: {first.path}{f' ({first.error})' if first.error else ''}{more}"


def _interval(custodian: Custodian, tx: Tx, version: Version, copy: Copy) -> timedelta:
    holding = custodian.holdings(tx, [copy])[0]
    return custodian.policy(version.policy).fixity.interval(holding.volume.medium)
