"""A medium that took another one's place under its name after the catalogue was last backed up: a disk that was
replaced (``vaultctl volumes replace``), a cartridge that was formatted anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from vault.catalog import cartridges, copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.context import STORED_STATES, Custodian
from vault.ledger import append, events
from vault.model import Copy, CopyState, EventType, MediumClass, NewEvent, Outcome, Volume
from vault.recovery.sources import RebuildSource
from vault.tapes import record as tape_record
from vault.tapes.shelves import pool_and_state
from vault.volumes.base import VolumeIdentity

_PAGE: Final = 1000
_REPLACED: Final = "replaced"
_WHY: Final = "the medium that it was on was replaced after the backup of the catalogue"


def succeeded(custodian: Custodian, tx: Tx, source: RebuildSource, identity: VolumeIdentity) -> Volume | None:
    """Enter the medium as the successor of the one that the catalogue has under its name, and return its volume. None
    where the catalogue has none of that name, or one that is not older: somebody mounted the wrong one then.

    Whatever was proved was proved on the other medium: every copy is to be read.
    """
    before = catalog_volumes.get(tx, source.name)
    if before is None or before.medium is not source.medium or identity.created_at <= _known_since(tx, before):
        return None
    detail = {"was": str(before.uuid), "is": str(identity.uuid), "reason": _REPLACED}
    if before.medium is MediumClass.TAPE:
        _cartridge(custodian, tx, before, source, identity)
    else:
        catalog_volumes.succeed(tx, before.id, identity.uuid)
    append(
        tx, NewEvent(EventType.VOLUME_CHANGED, Outcome.WARNING, custodian.agent, volume=source.name, detail={**detail})
    )
    for copy in _stored(tx, before):
        version = packages.need_version(tx, copy.version_id)
        if copy.state in (CopyState.DAMAGED, CopyState.MISSING):
            # That too was the other medium's. If it is found on this one, it is a copy that is new.
            record.lost(custodian, tx, version, copy, custodian.agent, _WHY, CopyState.RETIRED)
        else:
            record.doubted(custodian, tx, version, copy, _WHY)
    return catalog_volumes.get(tx, source.name)


def not_on_successor(custodian: Custodian, tx: Tx, volume: Volume, confirmed: set[int]) -> int:
    """What the former medium had, and the successor has not, is gone with that. Returns how many copies those are."""
    # A disk is to have it again. What stood on a cartridge was not needed there any more, or this was not formatted.
    to = CopyState.RETIRED if volume.medium is MediumClass.TAPE else CopyState.MISSING
    gone = 0
    for copy in _stored(tx, volume):
        if copy.id not in confirmed:
            version = packages.need_version(tx, copy.version_id)
            record.lost(custodian, tx, version, copy, custodian.agent, _WHY, to)
            gone += 1
    return gone


def _stored(tx: Tx, volume: Volume) -> Iterator[Copy]:
    """The copies that the catalogue has on a volume, page by page; what becomes of them meanwhile does not matter."""
    after = 0
    while True:
        page = copies.in_states(tx, STORED_STATES, _PAGE, volume.id, after)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _known_since(tx: Tx, volume: Volume) -> datetime:
    """Since when the catalogue knows the medium that it has under this name."""
    cartridge = cartridges.get(tx, volume.name)
    since = [volume.added_at]
    if cartridge is not None and cartridge.formatted_at is not None:
        since.append(cartridge.formatted_at)
    after = 0
    while True:
        page = events(tx, after=after, limit=_PAGE, type=EventType.VOLUME_CHANGED)
        since += [e.time for e in page if e.volume == volume.name and e.detail.get("reason") == _REPLACED]
        if len(page) < _PAGE:
            return max(since)
        after = page[-1].seq


def _cartridge(custodian: Custodian, tx: Tx, before: Volume, source: RebuildSource, identity: VolumeIdentity) -> None:
    cartridges.rewritten(tx, before.id, identity.uuid)
    cartridges.forget_files(tx, before.id)
    catalog_volumes.describe(tx, before.id, domain=source.domain, site=source.site)
    now = catalog_volumes.get(tx, source.name)
    if now is not None and cartridges.get(tx, source.name) is not None:
        pool, state = pool_and_state(custodian.settings, now)
        tape_record.recognised(tx, custodian.agent, source.name, now, pool, state)
