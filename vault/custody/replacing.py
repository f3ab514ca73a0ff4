"""A new medium takes over the name of one that is dead: what stood on the old one is owed again.

First every copy is recorded as missing, then the new medium gets its identity and the catalogue its number. Cut off in
between, nothing is lost and nothing is claimed: it is ordered again, and goes on. The repairs follow by themselves, the
most endangered versions first.
"""

from __future__ import annotations

import structlog

from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import record
from vault.custody.beginning import new_identity
from vault.custody.context import Custodian
from vault.errors import NotFound, Refused
from vault.ledger import append
from vault.model import CopyState, EventType, NewEvent, Outcome, Volume
from vault.volumes.directory import DirectoryVolume

log = structlog.get_logger(__name__)

_BATCH = 200
_THERE = (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT, CopyState.DAMAGED)


def replace(custodian: Custodian, name: str, agent: str, *, give_up: int = 0) -> int:
    """Make the empty place of a volume into its successor; returns how many copies are owed again.

    ``give_up``: so many versions at most may have no other copy than the one on the old medium. The order names the
    number, so that nobody gives up more than was looked at.

    Raises NotFound, Refused (``volume-alive`` while the old one stands there, ``not-empty``, ``only-copies``),
    Unreachable.
    """
    volume = custodian.volume(name)
    if not isinstance(volume, DirectoryVolume):
        raise Refused(f"{name!r} is no disk volume.", remedy="A cartridge is never replaced.", code="not-a-disk-volume")
    with custodian.catalogue.read() as tx:
        row = catalog_volumes.get(tx, name)
    if row is None:
        raise NotFound(
            f"The volume {name!r} was never seen; there is nothing to replace.",
            remedy=f"Make it: vaultctl volumes init {name}",
            code="no-such-volume",
        )
    there = volume.standing_uuid()
    if there == row.uuid:
        raise Refused(
            f"The volume {name!r} itself is mounted at {volume.path}; nothing was changed.",
            remedy="Mount its empty successor there. To empty a volume that works: vaultctl volumes evacuate.",
            code="volume-alive",
        )
    if there is not None:
        raise Refused(
            f"Another volume ({there}) is mounted at {volume.path}; nothing was changed.",
            remedy="Give the new medium an empty file system, and mount that.",
            code="not-empty",
        )
    volume.refuse_unless_empty()
    with custodian.catalogue.read() as tx:
        alone = copies.number_alone(tx, row.id)
    if alone > give_up:
        raise Refused(
            f"The old medium of {name!r} has the only copy of {alone} stored versions; nothing was changed.",
            remedy="Can that medium still be read, if only in part? Mount it, and type: vaultctl volumes evacuate"
            f" {name}. Only if it is lost for good: vaultctl volumes replace {name} --give-up {alone}",
            code="only-copies",
        )
    owed = _owe(custodian, row, agent)
    identity = new_identity(volume, custodian.settings.node.name, custodian.catalogue.clock())
    with custodian.catalogue.write() as tx:
        # The number first: a medium that carries it and is not known would be a stranger for ever.
        catalog_volumes.succeed(tx, row.id, identity.uuid)
        append(
            tx,
            NewEvent(
                EventType.VOLUME_CHANGED,
                Outcome.WARNING,
                agent,
                volume=name,
                detail={"was": str(row.uuid), "is": str(identity.uuid), "reason": "replaced", "copies_owed": owed},
            ),
        )
    volume.initialise(identity)
    log.info("volume-replaced", volume=name, was=str(row.uuid), now=str(identity.uuid), copies=owed)
    custodian.look(name)
    custodian.wake()
    return owed


def _owe(custodian: Custodian, row: Volume, agent: str) -> int:
    owed = 0
    while True:
        with custodian.catalogue.write() as tx:
            page = copies.in_states(tx, _THERE, _BATCH, row.id)
            for copy in page:
                version = packages.need_version(tx, copy.version_id)
                record.lost(custodian, tx, version, copy, agent, "the medium that it was on was replaced")
        owed += len(page)
        if len(page) < _BATCH:
            return owed
