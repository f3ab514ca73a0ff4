"""From the facts of the model to the JSON of the API."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from vault import ledger, wire
from vault import policy as policies
from vault.api.parts import NodeParts
from vault.api.paths import encode_identifier
from vault.catalog import copies, events, packages, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.catalog.readings import ReadingDay
from vault.custody import convergence
from vault.errors import NotFound
from vault.model import (
    Condition,
    Copy,
    CopyState,
    Evidence,
    Json,
    MediumClass,
    Package,
    Task,
    Token,
    Verification,
    Version,
    Volume,
    VolumeMode,
)


def package(node: NodeParts, tx: Tx, found: Package) -> wire.Package:
    """Everything that is known of a package."""
    by_version: dict[int, list[Copy]] = {}
    of_package = copies.of_package(tx, found.id)
    for copy in of_package:
        by_version.setdefault(copy.version_id, []).append(copy)
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    unbroken = policies.Unbroken(of_package, volumes)
    rows = packages.versions_of(tx, found.id)
    told = packages.told(tx, found.id)
    versions = [
        _version(node, version, by_version.get(version.id, []), volumes, unbroken, told[version.id]) for version in rows
    ]
    accepted = packages.receipts_issued(tx, [row.id for row in rows[-1:]])
    return wire.Package(
        identifier=found.identifier,
        head=found.head,
        descriptive=wire.Descriptive.model_validate(found.descriptive),
        policy_held=all(version.policy_held for version in versions),
        versions=versions,
        events=f"/v1/events?identifier={encode_identifier(found.identifier).replace('/', '%2F')}",
        events_count=events.count(tx, found.identifier),
        created_at=found.created_at,
        **_kept(node, found, rows, of_package, volumes, accepted),
    )


def _version(
    node: NodeParts,
    version: Version,
    held: Collection[Copy],
    volumes: Mapping[int, Volume],
    unbroken: policies.Unbroken,
    told: tuple[Mapping[str, Json], bool],
) -> wire.Version:
    holdings = policies.holdings(held, volumes, unbroken)
    standing = policies.standing(node.custodian.policy(version.policy), holdings)
    metadata, has_receipt = told
    address = f"/v1/receipts/{encode_identifier(version.identifier)}?version={version.number}"
    return wire.Version(
        version=version.number,
        name=f"v{version.number}",
        kind=version.kind,
        algorithm=version.algorithm,
        content_digest=version.content_digest,
        inventory_digest=version.inventory_digest,
        files=version.files,
        bytes=version.bytes,
        part_bytes=version.part_bytes,
        deposit_digests=version.deposit_digests,
        policy=version.policy,
        priority_class=version.priority_class,
        policy_held=not version.below_policy,
        good=wire.Count(disk=standing.good.disk, tape=standing.good.tape),
        missing=wire.Count(disk=standing.missing.disk, tape=standing.missing.tape),
        copies=[wire.Copy.model_validate(copy) for copy in held],
        metadata=metadata,
        ingest_id=version.ingest_id,
        receipt=address if has_receipt else None,
        created_at=version.created_at,
    )


def summaries(node: NodeParts, tx: Tx, found: Sequence[Package]) -> list[wire.PackageSummary]:
    """Packages in a listing: as many questions to the catalogue for a page as for one package."""
    ids = [package.id for package in found]
    versions = packages.versions_of_packages(tx, ids)
    held = copies.of_packages(tx, ids)
    volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
    heads = [versions[package.id][-1].id for package in found if package.id in versions]
    accepted = packages.receipts_issued(tx, heads)
    return [
        wire.PackageSummary(
            identifier=package.identifier,
            head=package.head,
            descriptive=wire.Descriptive.model_validate(package.descriptive),
            policy_held=not any(version.below_policy for version in versions.get(package.id, ())),
            created_at=package.created_at,
            **_kept(node, package, versions.get(package.id, []), held.get(package.id, []), volumes, accepted),
        )
        for package in found
    ]


def _kept(
    node: NodeParts,
    package: Package,
    versions: Sequence[Version],
    held: Collection[Copy],
    volumes: Mapping[int, Volume],
    accepted: Mapping[int, datetime],
) -> dict[str, Any]:
    """The members of :class:`wire.Kept`. ``accepted`` is when receipts were signed, by the versions' numbers."""
    head = versions[-1] if versions else None
    domains: set[str] | None = None
    unbroken = policies.Unbroken(held, volumes)
    by_version: dict[int, list[Copy]] = {}
    for copy in held:
        by_version.setdefault(copy.version_id, []).append(copy)
    for version in versions:
        good = policies.good_domains(policies.holdings(by_version.get(version.id, []), volumes, unbroken))
        domains = good if domains is None else domains & good
    policy = node.custodian.policy(head.policy) if head else None
    address = f"/v1/receipts/{encode_identifier(package.identifier)}?version={package.head}"
    return {
        "accepted_at": accepted.get(head.id) if head else None,
        "receipt": address if head and head.id in accepted else None,
        "policy_holds": bool(versions) and not any(version.below_policy for version in versions),
        "sets": wire.Sets(
            complete=len(domains or ()),
            wanted=policy.disk + policy.tape if policy else 0,
            domains=sorted(domains or ()),
        ),
        "last_proved_at": package.last_proved_at,
    }


def verification(tx: Tx, found: Verification) -> wire.Verification:
    """An order to check copies, with what it cannot reach now."""
    return wire.Verification.model_validate(dataclasses.replace(found, skipped=verifications.unreached(tx, found)))


def reading(found: ReadingDay) -> wire.ReadingDay:
    """What was read back from a volume on a day."""
    first, last = found.events or (None, None)
    standing = found.standing
    return wire.ReadingDay(
        day=found.day,
        volume=found.volume,
        routine=wire.ReadingCount.model_validate(found.routine),
        other=wire.ReadingCount.model_validate(found.other),
        began_at=found.began_at,
        ended_at=found.ended_at,
        first_event=first,
        last_event=last,
        standing=None
        if standing is None
        else wire.ReadingStanding(
            held=standing.held,
            proved=standing.proved,
            overdue=standing.overdue,
            interval_seconds=standing.interval.total_seconds(),
            oldest_proof=standing.oldest_proof,
            looked_at=standing.looked_at,
        ),
    )


def evidence(tx: Tx, kept: Evidence) -> wire.Evidence:
    """What was set aside, with what the ledger says was wrong with it."""
    told = ledger.events(tx, after=kept.event_seq - 1, limit=1)
    found = str(told[0].detail.get("found", "")) if told else ""
    return wire.Evidence.model_validate(kept).model_copy(update={"found": found})


def all_volumes(node: NodeParts, tx: Tx) -> list[wire.Volume]:
    """Every disk volume that is known or configured, by name; tapes have a list of their own (``/tapes``)."""
    counts = copies.counts(tx)
    oldest = copies.oldest_proof(tx)
    known = {row.name: row for row in catalog_volumes.all(tx) if row.medium is not MediumClass.TAPE}
    return [
        _volume(node, tx, known[name], counts, oldest.get(name)) if name in known else _unseen(node, name)
        for name in sorted({*known, *node.custodian.volumes})
    ]


def volume(node: NodeParts, tx: Tx, name: str) -> wire.Volume:
    """One volume that is known or configured; a cartridge is one as well, by its barcode. Raises NotFound
    (``no-such-volume``)."""
    row = catalog_volumes.get(tx, name)
    if row is not None:
        return _volume(node, tx, row, copies.counts(tx), copies.oldest_proof(tx).get(name))
    if name in node.custodian.volumes:
        return _unseen(node, name)
    raise NotFound(
        f"There is no volume {name[:100]!r}.",
        remedy="Look at its spelling: vaultctl volumes lists them, and vaultctl tapes the cartridges.",
        code="no-such-volume",
    )


def _volume(
    node: NodeParts, tx: Tx, row: Volume, counts: Mapping[tuple[str, CopyState], int], oldest: datetime | None
) -> wire.Volume:
    leaving = row.mode is VolumeMode.EVACUATING
    return wire.Volume(
        name=row.name,
        uuid=row.uuid,
        kind=row.kind,
        medium=row.medium,
        domain=row.domain,
        site=row.site,
        mode=row.mode,
        condition=row.condition,
        condition_reason=row.condition_reason,
        configured=row.name in node.custodian.volumes,
        size_bytes=row.size_bytes,
        free_bytes=row.free_bytes,
        probed_at=row.probed_at,
        added_at=row.added_at,
        copies={state: number for (name, state), number in sorted(counts.items()) if name == row.name},
        oldest_proof_at=oldest,
        health=row.health,
        health_reason=row.health_reason,
        evacuation=backlog(convergence.of_evacuation(tx, row.id)) if leaving else None,
    )


def backlog(found: convergence.Backlog) -> wire.Backlog:
    """What is still to be copied, and about how long that takes."""
    seconds = None if found.left is None else round(found.left.total_seconds(), 1)
    return wire.Backlog(versions=found.versions, bytes=found.bytes, seconds=seconds)


def volumes_on(node: NodeParts, disk: str) -> list[str]:
    """The names of the volumes that stand on the disk of that key."""
    return sorted(name for name, footing in node.health.footings.items() if any(d.key == disk for d in footing.disks))


def _unseen(node: NodeParts, name: str) -> wire.Volume:
    volume = node.custodian.volumes[name]
    return wire.Volume(
        name=name,
        uuid=None,
        kind=volume.kind,
        medium=MediumClass(volume.medium),
        domain=volume.domain,
        site=volume.site,
        mode=VolumeMode.ACTIVE,
        condition=Condition.UNKNOWN,
        condition_reason="It was never seen: it is not mounted, or was never initialised.",
        configured=True,
        size_bytes=None,
        free_bytes=None,
        probed_at=None,
        added_at=None,
        copies={},
        oldest_proof_at=None,
    )


def task(found: Task, stalled: Collection[int] = ()) -> wire.Task:
    """A task; ``stalled`` are the numbers of those that do not move."""
    return wire.Task.model_validate(found).model_copy(update={"stalled": found.id in stalled})


def token(found: Token) -> wire.Token:
    """A token without its secret."""
    return wire.Token(
        id=found.id,
        name=found.name,
        scopes=sorted(found.scopes),
        created_at=found.created_at,
        expires_at=found.expires_at,
        revoked_at=found.revoked_at,
        agency=found.agency,
        prefix=found.prefix,
        networks=list(found.networks),
        limits=wire.TokenLimits.model_validate(found.limits),
        last_used_at=found.last_used_at,
    )
