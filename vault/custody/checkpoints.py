"""Keeping signed checkpoints of the ledger on every volume, where whoever rewrites the catalogue does not reach."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import structlog

from vault.catalog import schedules
from vault.catalog import volumes as catalog_volumes
from vault.custody.context import Custodian
from vault.durable import write_durably
from vault.errors import VaultError
from vault.ledger import append, make_checkpoint
from vault.model import Condition, EventType, Json, NewEvent, Outcome
from vault.signing import NodeKey
from vault.volumes.base import Volume

log = structlog.get_logger(__name__)

FOLDER = "ledger"

PATIENCE_SECONDS = 30.0
"""So long all volumes together have to take a checkpoint; later ones are not in the event."""


def keep_checkpoint(custodian: Custodian, key: NodeKey) -> dict[str, Json]:
    """Sign where the chain stands now, keep that in the state folder and on every volume that can be written."""
    with custodian.catalogue.read() as tx:
        document = make_checkpoint(tx, key, custodian.settings.node.name)
        writable = [v.name for v in catalog_volumes.all(tx) if v.condition is Condition.ONLINE]
    name = f"{FOLDER}/{document['seq']:012}.json"
    data = (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    own = Path(custodian.settings.node.state) / name
    own.parent.mkdir(mode=0o750, exist_ok=True)
    write_durably(own, data)
    kept = _keep_on_volumes([custodian.volumes[v] for v in writable if v in custodian.volumes], name, data)
    with custodian.catalogue.write() as tx:
        schedules.succeeded(tx, "checkpoint")
        append(
            tx,
            NewEvent(
                EventType.CHECKPOINT,
                Outcome.SUCCESS,
                custodian.agent,
                detail={"seq": document["seq"], "hash": document["hash"], "volumes": list(kept)},
            ),
        )
    return document


def _keep_on_volumes(volumes: list[Volume], name: str, data: bytes) -> list[str]:
    """Write the note everywhere at once; one volume that hangs does not keep the others from having theirs."""
    kept: list[str] = []

    def keep(volume: Volume) -> None:
        try:
            volume.write_note(name, data)
            kept.append(volume.name)
        except VaultError as error:
            log.warning("checkpoint-not-kept", volume=volume.name, code=error.code, reason=str(error))

    threads = [threading.Thread(target=keep, args=(v,), name=f"checkpoint-{v.name}", daemon=True) for v in volumes]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return sorted(kept)
