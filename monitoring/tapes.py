"""What the catalogue and the librarians know of tapes, as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hardware.tape.tapealert import Flag
from monitoring import metrics
from monitoring.samples import Samples
from vault.catalog import cartridges, recalls, tape_drives
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.catalog.schema import cartridges as CARTRIDGES  # noqa: N812 - the table
from vault.catalog.schema import volumes as VOLUMES  # noqa: N812 - the table
from vault.catalog.steady import Steady
from vault.clock import from_text
from vault.model import RecallState, Volume
from vault.tape_model import Cartridge, CartridgeState, CleaningNeed, TapeDrive, Whereabouts
from vault.tapes.drives import name_of, uses_left

if TYPE_CHECKING:
    from vault.tapes.librarian import LibraryView


class Tapes:
    """What is known of tapes. ``life`` is how long what is written to a cartridge of each pool may stay there."""

    def __init__(self, life: Mapping[str, timedelta]) -> None:
        self._life = life
        self._cartridges: Steady[list[Cartridge]] = Steady(tuple(CARTRIDGES.c), cartridges.all)
        of_tapes = VOLUMES.c.id.in_(sa.select(CARTRIDGES.c.volume_id))
        self._volumes: Steady[dict[int, Volume]] = Steady(tuple(VOLUMES.c), _volumes, of_tapes)
        self._seen: list[Cartridge] | None = None
        self._on: dict[int, Volume] = {}
        self._due: dict[int, datetime] = {}
        self._samples = Samples()

    def samples(self, tx: Tx) -> Samples:
        """What is known of each cartridge; the same object as before while nothing changed."""
        known, volumes, due = self._cartridges.get(tx), self._volumes.get(tx), cartridges.next_due(tx)
        if known is not self._seen or volumes is not self._on or due != self._due:
            self._seen, self._on, self._due = known, volumes, due
            self._samples = samples = Samples()
            for cartridge in known:
                volume = volumes.get(cartridge.volume_id) if cartridge.volume_id is not None else None
                _add_cartridge(samples, cartridge, volume, self._life.get(cartridge.pool))
                if volume is not None:
                    samples.add(metrics.TAPE_DUE, due.get(volume.id), cartridge.barcode)
        return self._samples

    def add(self, samples: Samples, tx: Tx) -> None:
        """Add cartridges by state, drives, requests to mount, recalls. Nothing where no cartridge was ever seen."""
        known = self._cartridges.get(tx)
        if not known:
            return
        states, places = Counter(c.state for c in known), Counter(c.whereabouts for c in known)
        for state in CartridgeState:
            samples.add(metrics.TAPE_CARTRIDGES, states[state], state.value)
        for where in (Whereabouts.OFFLINE, Whereabouts.VAULTED):
            samples.add(metrics.TAPE_AWAY, places[where], where.value)
        for drive in tape_drives.all(tx):
            in_it = any((c.library, c.element) == (drive.library, f"drive {drive.number}") for c in known)
            _add_drive(samples, drive, loaded=in_it)
        asked = cartridges.requests(tx)
        samples.add(metrics.TAPE_REQUESTS, len(asked))
        samples.add(metrics.TAPE_REQUEST_OLDEST, asked[0].requested_at if asked else None)
        waiting = recalls.waiting(tx)
        for recall_state in (RecallState.WAITING, RecallState.READING):
            samples.add(metrics.RECALLS, sum(r.state is recall_state for r in waiting), recall_state.value)


def _volumes(tx: Tx) -> dict[int, Volume]:
    return {volume.id: volume for volume in catalog_volumes.all(tx)}


def _add_cartridge(samples: Samples, cartridge: Cartridge, volume: Volume | None, life: timedelta | None) -> None:
    barcode = cartridge.barcode
    samples.add(metrics.TAPE_LOADS, cartridge.loads, barcode)
    samples.add(metrics.TAPE_ERRORS, cartridge.errors, barcode)
    samples.add(metrics.TAPE_LIFE_LOADS, cartridge.life.get("loads"), barcode)
    if cartridge.state is CartridgeState.CLEANING:
        samples.add(metrics.TAPE_USES_LEFT, uses_left(cartridge), barcode)
    if volume is None:
        return
    samples.add(metrics.TAPE_FREE, volume.free_bytes, barcode)
    samples.add(metrics.TAPE_SIZE, volume.size_bytes, barcode)
    samples.add(metrics.TAPE_READ, cartridge.bytes_read, barcode)
    samples.add(metrics.TAPE_WRITTEN, cartridge.bytes_written, barcode)
    samples.add(metrics.TAPE_WRITTEN_AT, cartridge.written_at, barcode)
    if life is not None and cartridge.formatted_at is not None and cartridge.state is not CartridgeState.RETIRED:
        samples.add(metrics.TAPE_CONVERT, cartridge.formatted_at + life, barcode)


def _add_drive(samples: Samples, drive: TapeDrive, *, loaded: bool) -> None:
    serial = drive.serial
    model = f"{drive.vendor} {drive.product}".strip()
    samples.add(metrics.TAPE_DRIVE_INFO, 1, serial, drive.library, model, drive.revision)
    state = "unusable" if drive.problem else "held" if drive.held else "loaded" if loaded else "empty"
    for each in ("empty", "loaded", "held", "unusable"):
        samples.add(metrics.TAPE_DRIVE_STATE, each == state, serial, each)
    samples.add(metrics.TAPE_DRIVE_SEEN, drive.seen_at, serial)
    for flag in Flag:
        raised = drive.alerts.get(name_of(flag))
        if raised is not None:
            severity = flag.alert.severity.value
            samples.add(metrics.TAPE_DRIVE_ALERT, from_text(raised), serial, name_of(flag), severity)
    # A drive without TapeAlert cannot ask: that it needs none is not known.
    known = drive.heard_at is not None or drive.cleaning is not CleaningNeed.NO
    for need in CleaningNeed if known else ():
        samples.add(metrics.TAPE_DRIVE_CLEANING, drive.cleaning is need, serial, need.value or "none")
    samples.add(metrics.TAPE_DRIVE_ASKED, drive.asked_at, serial)
    samples.add(metrics.TAPE_DRIVE_CLEANED, drive.cleaned_at, serial)
    samples.add(metrics.TAPE_DRIVE_CLEANINGS, drive.cleanings, serial)
    samples.add(metrics.TAPE_DRIVE_LOADS, drive.loads, serial)
    samples.add(metrics.TAPE_DRIVE_ERRORS, drive.errors, serial)
    samples.add(metrics.TAPE_DRIVE_READ, drive.bytes_read, serial)
    samples.add(metrics.TAPE_DRIVE_READ_SECONDS, drive.read_ms / 1000, serial)
    samples.add(metrics.TAPE_DRIVE_WRITTEN, drive.bytes_written, serial)
    samples.add(metrics.TAPE_DRIVE_WRITE_SECONDS, drive.write_ms / 1000, serial)
    for metric, name in ((metrics.TAPE_DRIVE_POWER_ON, "power_on_hours"), (metrics.TAPE_DRIVE_MOTION, "motion_hours")):
        if name in drive.life:
            samples.add(metric, 3600 * drive.life[name], serial)
    for counter in ("hard_read_errors", "hard_write_errors"):
        samples.add(metrics.TAPE_DRIVE_HARD_ERRORS, drive.life.get(counter), serial, counter)


def add_libraries(samples: Samples, libraries: Iterable[LibraryView]) -> None:
    """How the libraries stand, by their librarians' own word."""
    for view in libraries:
        samples.add(metrics.TAPE_LIBRARY_UP, not view.problem, view.name)
        samples.add(metrics.TAPE_LACKING, len(view.lacking), view.name)
        samples.add(metrics.TAPE_CLEANING_REQUESTS, len(view.unclean), view.name)
        for pool, waiting in view.waiting_bytes.items():
            samples.add(metrics.TAPE_WAITING, waiting, pool)
