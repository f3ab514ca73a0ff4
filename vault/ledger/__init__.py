"""The ledger: everything that happened, as a chain of events, each holding the hash of the one before.

Here lives what an event's hash is, how one is added, and how the whole chain is checked, on its own and against
signed checkpoints that are kept elsewhere. The rows are in the catalogue (:mod:`vault.catalog.events`); what is worth
an event is for those to decide who make the change. Nothing here ever changes or removes an event.
"""

from vault.ledger.chain import ChainReport, append, event_document, event_hash, events, verify
from vault.ledger.checkpoint import Checkpoint, CheckpointReport, make_checkpoint, verify_checkpoint

__all__ = [
    "ChainReport",
    "Checkpoint",
    "CheckpointReport",
    "append",
    "event_document",
    "event_hash",
    "events",
    "make_checkpoint",
    "verify",
    "verify_checkpoint",
]
