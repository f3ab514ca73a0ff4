"""What is done when a volume comes on-line, before any work is sent to it: clearing up after whatever cut us off."""

from __future__ import annotations

import structlog

from vault.catalog import copies, evidence, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import replicate
from vault.custody.context import Custodian, part_of
from vault.custody.evidence import keep_evidence
from vault.model import CopyState
from vault.volumes.base import Verdict, Volume

log = structlog.get_logger(__name__)

_BATCH = 200


def settle_copies(custodian: Custodian, volume: Volume) -> int:
    """Enter the copies that were put in place here when something kept the catalogue from hearing of it."""
    settled, after = 0, 0
    with custodian.catalogue.read() as tx:
        row = catalog_volumes.get(tx, volume.name)
    while row is not None:
        with custodian.catalogue.read() as tx:
            batch = copies.in_states(tx, (CopyState.WRITING,), _BATCH, row.id, after=after)
            versions = {copy.id: packages.need_version(tx, copy.version_id) for copy in batch}
        for copy in batch:
            version = versions[copy.id]
            with custodian.locks.hold(version.identifier):
                with custodian.catalogue.read() as tx:
                    current = copies.need(tx, copy.id)
                if current.state is CopyState.WRITING:
                    settled += replicate.settle_copy(custodian, version, current)
        if len(batch) < _BATCH:
            break
        after = batch[-1].id
    return settled


def clear_staging(custodian: Custodian, volume: Volume) -> int:
    """Throw away what lies in staging and is not being worked on: of a former process, or cut off by an outage.

    Raises Unreachable, WrongVolume. What will not go is noted, to be tried again.
    """
    cleared = 0
    for token in volume.staged():
        if token in custodian.stagings:
            continue
        if volume.reopen(token, 1).discard():
            cleared += 1
        else:
            custodian.stagings.litter(volume.name)
    if cleared:
        log.info("staging-cleared", volume=volume.name, count=cleared)
    return cleared


def adopt_evidence(custodian: Custodian, volume: Volume) -> int:
    """Enter evidence that lies on the volume and is not in the catalogue: a kill came between the two."""
    adopted = 0
    with custodian.catalogue.read() as tx:
        known = {item.path for item in evidence.all(tx) if item.volume == volume.name}
    for kept in volume.evidence():
        if kept.path in known:
            continue
        identifier, number = kept.about.get("identifier"), kept.about.get("version")
        if not isinstance(identifier, str) or not isinstance(number, int):
            log.warning("evidence-of-nobody", volume=volume.name, path=kept.path)
            continue
        # Under the lock, for a repair that is just now between setting aside and writing that down.
        with custodian.locks.hold(identifier):
            with custodian.catalogue.read() as tx:
                if any(item.path == kept.path and item.volume == volume.name for item in evidence.all(tx)):
                    continue
                version = packages.version(tx, identifier, number)
                of_version = [] if version is None else copies.of_version(tx, version.id)
            mine = [copy for copy in of_version if copy.volume == volume.name]
            if version is None or not mine:
                continue
            if volume.check_evidence(kept.path, part_of(version)).verdict is Verdict.INTACT:
                # The repair's own new part, on its way when it was cut off. It proves nothing, and is not kept.
                volume.release_evidence(kept.path)
                continue
            with custodian.catalogue.write() as tx:
                keep_evidence(custodian, tx, version, mine[0].id, volume.name, kept)
            adopted += 1
    return adopted
