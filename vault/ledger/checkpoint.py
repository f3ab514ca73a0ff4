"""Checkpoints: "at this time the ledger ended with this event", signed, and kept where the ledger is not.

Whoever can write to the catalogue can cut the chain, or rewrite it whole from some event on. They cannot do so behind
a checkpoint that is on a tape in a safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vault.catalog import events as rows
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.errors import Corrupted
from vault.model import Json
from vault.signing import NodeKey, verify_document

FIRST_PREVIOUS: Final = "0" * 64
"""What the first event has as the hash of the one before it."""

KIND: Final = "khoso-ledger-checkpoint"
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: at ``time`` the ledger of ``node`` ended with event ``seq``, whose hash is ``hash``."""

    node: str
    seq: int
    hash: str
    time: datetime
    public_key: bytes


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """What :func:`verify_checkpoint` found: the checkpoint, or why it is none."""

    ok: bool
    reason: str
    checkpoint: Checkpoint | None


def make_checkpoint(tx: Tx, key: NodeKey, node: str) -> dict[str, Json]:
    """Return a signed checkpoint of the ledger as it is now.

    Raises :class:`Corrupted` when the end of the ledger disagrees with its newest event: that is not to be signed.
    """
    head = rows.head(tx)
    found = rows.raw(tx, after=head.seq - 1, limit=1) if head is not None else []
    whole = head is not None and (
        (found[0]["seq"], found[0]["hash"]) == (head.seq, head.hash)
        if found
        else (head.seq, head.hash) == (0, FIRST_PREVIOUS)
    )
    if head is None or not whole:
        raise Corrupted(
            "The ledger does not end where the catalogue says; no checkpoint was made.",
            remedy="Run `vaultctl ledger verify`, and compare with a backup of the catalogue.",
            code="ledger-damaged",
        )
    document: dict[str, Json] = {
        "type": KIND,
        "version": 1,
        "node": node,
        "seq": head.seq,
        "hash": head.hash,
        "time": to_text(tx.now),
    }
    return key.sign_document(document)


def verify_checkpoint(document: object, trusted: Iterable[bytes | str] | None = None) -> CheckpointReport:
    """Check a checkpoint that anyone may have made up. Never raises because of what it holds.

    ``trusted`` as for :func:`~vault.signing.verify_document`: without it, whoever rewrote a ledger can have signed a
    checkpoint to go with it.
    """
    signature = verify_document(document, trusted)
    if not signature.ok:
        return CheckpointReport(False, signature.reason, None)
    assert isinstance(document, Mapping)  # noqa: S101 - or its signature would not have been found
    if document.get("type") != KIND or document.get("version") != 1:
        return CheckpointReport(False, "It is signed, but it is not a ledger checkpoint that this program knows.", None)
    checkpoint = _parse(document, signature.public_key)
    if checkpoint is None:
        return CheckpointReport(False, "It is signed, but its node, seq, hash or time is not well formed.", None)
    return CheckpointReport(True, "", checkpoint)


def _parse(document: Mapping[object, object], public_key: bytes) -> Checkpoint | None:
    node, seq, found, time = (document.get(name) for name in ("node", "seq", "hash", "time"))
    if not (isinstance(node, str) and isinstance(found, str) and isinstance(time, str) and _HASH.fullmatch(found)):
        return None
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
        return None
    try:
        return Checkpoint(node, seq, found, from_text(time), public_key)
    except ValueError:
        return None
