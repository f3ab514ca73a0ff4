"""Keeping signed checkpoints of the ledger on every volume, where whoever rewrites the catalogue does not reach."""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from vault.catalog import volumes as catalog_volumes
from vault.custody.context import Custodian
from vault.durable import write_durably
from vault.errors import VaultError
from vault.ledger import append, make_checkpoint
from vault.model import Condition, EventType, Json, NewEvent, Outcome
from vault.signing import NodeKey

log = structlog.get_logger(__name__)

FOLDER = "ledger"


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
    kept: list[Json] = []
    for volume_name in writable:
        if volume_name in custodian.volumes:
            try:
                custodian.volumes[volume_name].write_note(name, data)
                kept.append(volume_name)
            except VaultError as error:
                log.warning("checkpoint-not-kept", volume=volume_name, code=error.code, reason=str(error))
    with custodian.catalogue.write() as tx:
        append(
            tx,
            NewEvent(
                EventType.CHECKPOINT,
                Outcome.SUCCESS,
                custodian.agent,
                detail={"seq": document["seq"], "hash": document["hash"], "volumes": kept},
            ),
        )
    return document
