"""Verification that follows an event rather than the calendar: a volume was away for long, or damage was found on it.

Of the volume a sample is read back, chosen at random; should that find damage, it is not the last: each damage leads to
another sample, once a day at most. What the disks themselves complain of has the whole volume read
(:mod:`vault.health.watch`).
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from vault.catalog import facts, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.custody.context import Custodian
from vault.custody.orders import order_verification
from vault.errors import VaultError
from vault.model import Verification, VolumeMode

log = structlog.get_logger(__name__)

REST = timedelta(days=1)
"""So long after one sample of a volume no other is taken for an event."""

DOUBTED_FOR = timedelta(days=30)
"""So long a volume that once read wrong and then right is looked at with other eyes."""


def verify_sample(custodian: Custodian, volume: str, why: str) -> Verification | None:
    """Have ``fixity.sample`` packages of a volume read back now, and say why; None where that is not called for: it is
    switched off, the volume is retired, or is being or was just verified. Never raises for a catalogue that does not
    answer: the event itself was recorded, and this comes beside it."""
    sample = custodian.settings.fixity.sample
    try:
        with custodian.catalogue.read() as tx:
            row = catalog_volumes.get(tx, volume)
            if not sample or row is None or row.mode is VolumeMode.RETIRED or _is_enough(tx, volume):
                return None
        order = order_verification(custodian, volume=volume, sample=sample, agent=custodian.agent, why=why)
    except VaultError as error:
        log.warning("sample-not-ordered", volume=volume, why=why, code=error.code, reason=str(error))
        return None
    log.info("sample-ordered", volume=volume, why=why, verification=order.id, copies=order.total)
    return order


def _is_enough(tx: Tx, volume: str) -> bool:
    whole = (o for o in verifications.running(tx) if not o.identifier and not o.fonds)
    if any(order.volume in ("", volume) for order in whole):
        return True
    newest = verifications.newest_of_volume(tx, volume)
    return newest is not None and tx.now - newest < REST


def doubt(tx: Tx, volume: str, what: str) -> None:
    """Remember that a volume read something wrong and then right: it, or the way to it, cannot be trusted."""
    facts.put(tx, _key(volume), {"at": to_text(tx.now), "what": what[:500]})


def doubted(tx: Tx, volume: str) -> str:
    """What makes a volume doubtful by its own readings; "" where nothing does."""
    found = facts.get(tx, _key(volume))
    if not isinstance(found, dict) or tx.now - from_text(str(found.get("at"))) > DOUBTED_FOR:
        return ""
    return str(found.get("what"))


def _key(volume: str) -> str:
    return f"doubt/{volume}"
