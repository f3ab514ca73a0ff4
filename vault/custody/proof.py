"""Whether the ledger still holds, end to end: looked at once a day, and not only when somebody asks.

What came out is kept as a fact of the node, for metrics and status. What was proved in this process's life must be
found again: a chain that was wholly rewritten since then is in order in itself, and yet not the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from vault.catalog import facts
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.custody.context import Custodian
from vault.ledger import Checkpoint, verify
from vault.model import Json

log = structlog.get_logger(__name__)

SCHEDULE: Final = "ledger-proof"
EVERY: Final = timedelta(hours=24)
_FACT: Final = "ledger-proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """How the ledger was found at ``time``: ``count`` events hold from the first on; ``reason`` is "" or says what does
    not."""

    time: datetime
    count: int
    intact: bool
    reason: str


class LedgerProof:
    """Proves the ledger. One at a time."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._met: Checkpoint | None = None

    def look(self) -> Proof:
        """Prove the whole chain and keep what was found. Reads page by page, so that work goes on meanwhile."""
        catalogue = self._custodian.catalogue
        began = catalogue.clock()
        report = verify(catalogue, [self._met] if self._met is not None else [])
        if report.ok:
            node = self._custodian.settings.node.name
            self._met = Checkpoint(node, report.count, report.head_hash, began, public_key=b"")
        else:
            log.error("ledger-broken", seq=report.first_bad_seq, reason=report.reason)
        proof = Proof(began, report.count, report.ok, report.reason)
        with catalogue.write() as tx:
            kept: dict[str, Json] = {
                "time": to_text(began),
                "count": proof.count,
                "intact": proof.intact,
                "reason": proof.reason[:500],
            }
            facts.put(tx, _FACT, kept)
        return proof


def read(tx: Tx) -> Proof | None:
    """The last proof; None before the first."""
    kept = facts.get(tx, _FACT)
    if not isinstance(kept, dict):
        return None
    time, count, intact, reason = (kept.get(name) for name in ("time", "count", "intact", "reason"))
    if not (isinstance(time, str) and isinstance(count, int) and isinstance(intact, bool) and isinstance(reason, str)):
        return None
    return Proof(from_text(time), count, intact, reason)
