"""What is done when a volume comes on-line, before any work is sent to it: clearing up after whatever cut us off."""

from __future__ import annotations

import structlog

from vault.catalog import copies, evidence, packages
from vault.custody.context import Custodian
from vault.custody.evidence import keep_evidence
from vault.volumes.base import Volume

log = structlog.get_logger(__name__)


def clear_staging(custodian: Custodian, volume: Volume) -> int:
    """Throw away what lies in staging and is not being worked on: of a former process, or cut off by an outage."""
    cleared = 0
    for token in volume.staged():
        if token not in custodian.stagings:
            volume.reopen(token, 1).discard()
            cleared += 1
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
        with custodian.locks.hold(identifier), custodian.catalogue.write() as tx:
            if any(item.path == kept.path and item.volume == volume.name for item in evidence.all(tx)):
                continue
            version = packages.version(tx, identifier, number)
            mine = [] if version is None else [c for c in copies.of_version(tx, version.id) if c.volume == volume.name]
            if version is not None and mine:
                keep_evidence(custodian, tx, version, mine[0].id, volume.name, kept)
                adopted += 1
    return adopted
