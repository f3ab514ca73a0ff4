"""Entering into the catalogue what a volume set aside."""

from __future__ import annotations

from vault.catalog import evidence
from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Version
from vault.volumes.base import KeptEvidence


def keep_evidence(
    custodian: Custodian, tx: Tx, version: Version, copy_id: int, volume: str, kept: KeptEvidence
) -> None:
    """Enter what was set aside, so that an operator can look at it and release it."""
    event = append(
        tx,
        NewEvent(
            EventType.EVIDENCE_KEPT,
            Outcome.SUCCESS,
            custodian.agent,
            version.identifier,
            version.number,
            volume,
            {"path": kept.path, "found": kept.about.get("found", "")},
        ),
    )
    evidence.keep(tx, copy_id=copy_id, path=kept.path, event_seq=event.seq)
