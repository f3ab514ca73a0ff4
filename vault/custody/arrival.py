"""What is done when a volume comes on-line, before any work is sent to it: clearing up after whatever cut us off."""

from __future__ import annotations

import structlog

from vault.catalog import copies, evidence, packages
from vault.custody.context import Custodian
from vault.custody.repair import keep_evidence
from vault.volumes.base import Volume

log = structlog.get_logger(__name__)


def clear_staging(volume: Volume, keep_prefix: str) -> int:
    """Throw away what lies in staging from before this process; what carries its prefix is in use."""
    cleared = 0
    for token in volume.staged():
        if not token.startswith(keep_prefix):
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
        with custodian.catalogue.write() as tx:
            version = packages.version(tx, identifier, number)
            mine = [] if version is None else [c for c in copies.of_version(tx, version.id) if c.volume == volume.name]
            if version is not None and mine:
                keep_evidence(custodian, tx, version, mine[0].id, volume.name, kept)
                adopted += 1
    return adopted
