"""What the catalogue and the librarians know of tapes, as samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from monitoring import metrics
from vault.catalog import cartridges, recalls
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.model import RecallState
from vault.tape_model import CartridgeState, Whereabouts

if TYPE_CHECKING:
    from monitoring.collector import Samples
    from vault.tapes.librarian import LibraryView


def add_tapes(samples: Samples, tx: Tx) -> None:
    """Cartridges, requests to mount, recalls. Nothing where no cartridge was ever seen."""
    known = cartridges.all(tx)
    if not known:
        return
    for state in CartridgeState:
        samples.add(metrics.TAPE_CARTRIDGES, sum(c.state is state for c in known), state.value)
    for where in (Whereabouts.OFFLINE, Whereabouts.VAULTED):
        samples.add(metrics.TAPE_AWAY, sum(c.whereabouts is where for c in known), where.value)
    free = {volume.id: volume.free_bytes for volume in catalog_volumes.all(tx)}
    for cartridge in known:
        samples.add(metrics.TAPE_LOADS, cartridge.loads, cartridge.barcode)
        samples.add(metrics.TAPE_ERRORS, cartridge.errors, cartridge.barcode)
        if cartridge.volume_id is not None:
            samples.add(metrics.TAPE_FREE, free.get(cartridge.volume_id), cartridge.barcode)
    asked = cartridges.requests(tx)
    samples.add(metrics.TAPE_REQUESTS, len(asked))
    samples.add(metrics.TAPE_REQUEST_OLDEST, asked[0].requested_at if asked else None)
    waiting = recalls.waiting(tx)
    for recall_state in (RecallState.WAITING, RecallState.READING):
        samples.add(metrics.RECALLS, sum(r.state is recall_state for r in waiting), recall_state.value)


def add_libraries(samples: Samples, libraries: Iterable[LibraryView]) -> None:
    """How the libraries stand, by their librarians' own word."""
    for view in libraries:
        samples.add(metrics.TAPE_LIBRARY_UP, not view.problem, view.name)
        samples.add(metrics.TAPE_LACKING, len(view.lacking), view.name)
        for pool, waiting in view.waiting_bytes.items():
            samples.add(metrics.TAPE_WAITING, waiting, pool)
