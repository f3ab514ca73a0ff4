"""The parts of a node, built and joined: everything but the network and the process around it.

:mod:`vault.daemon` runs one of these in a process; tests run it in theirs.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import structlog

from vault import __version__
from vault.catalog import facts
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Catalogue
from vault.clock import Clock as TimeSource
from vault.clock import utcnow
from vault.config import Settings, VolumeSettings
from vault.custody import checkpoints, forecast, minutes, proof
from vault.custody.arrival import adopt_evidence, clear_staging, settle_copies
from vault.custody.backups import SCHEDULE as BACKUP_SCHEDULE
from vault.custody.backups import Backups
from vault.custody.clock import Clock
from vault.custody.context import Custodian
from vault.custody.dispatcher import Dispatcher, handlers
from vault.custody.planner import Planner
from vault.custody.recalls import NoRecalls, Recaller
from vault.custody.state import lock_state
from vault.custody.watch import Watch
from vault.errors import ConfigError, VaultError
from vault.health import filling
from vault.health.devices import DeviceWatch
from vault.health.watch import HealthWatch
from vault.intake import accession
from vault.intake.batches import Batches
from vault.intake.bell import Bell
from vault.intake.callbacks import Callbacks
from vault.intake.deposit import Intake
from vault.intake.finishing import Finishing
from vault.intake.receipts import Receipts
from vault.intake.uploads import Uploads
from vault.ledger import append
from vault.model import Condition, EventType, Json, NewEvent, Outcome, Version
from vault.recovery.adopting import TapeImport
from vault.recovery.place import UNFINISHED, is_cut_off
from vault.shelf.desk import ShelfDesk
from vault.signing import NodeKey
from vault.tapes.cache import RecallCache
from vault.tapes.context import Tapes
from vault.tapes.desk import TapeDesk
from vault.tapes.librarian import Librarian
from vault.tapes.recaller import TapeRecaller
from vault.telemetry import Telemetry
from vault.volumes.base import Volume
from vault.volumes.directory import DirectoryVolume

log = structlog.get_logger(__name__)

STOP_PATIENCE = timedelta(seconds=20)
UPLOADS_EVERY = timedelta(minutes=10)
"""So often it is looked for uploads whose time is over."""

RECALLS_EVERY = timedelta(minutes=10)
"""And for recalled content whose time is over."""


class Node:
    """A storage node without its doors. ``start`` once, ``stop`` once."""

    def __init__(self, settings: Settings, clock: TimeSource = utcnow, *, new_catalogue: bool = False) -> None:
        """Open what must be open before anything can run. Raises ConfigError, Unreachable, Full, Corrupted.

        ``new_catalogue`` says that a node which was used before may begin with an empty catalogue.
        """
        self._new_catalogue = new_catalogue
        self.settings = settings
        self._lock = lock_state(settings.node.state)
        try:
            self.key = NodeKey.load_or_create(settings.node.key_file)
            self.catalogue = Catalogue.open(settings.catalog.url, clock)
            try:
                self._build(settings)
            except BaseException:
                self.catalogue.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def _build(self, settings: Settings) -> None:
        self.catalogue.hold()
        if not self._new_catalogue:
            refuse_lost_catalogue(self.catalogue, settings)
        self.catalogue.migrate()
        _refuse_unfinished_catalogue(self.catalogue)
        self.volumes: dict[str, Volume] = {v.name: build_volume(v) for v in settings.volumes}
        self.telemetry = Telemetry(self.volumes)
        self.custodian = Custodian(
            catalogue=self.catalogue,
            settings=settings,
            volumes=self.volumes,
            telemetry=self.telemetry,
            agent=f"node:{settings.node.name}",
            wake=self._wake,
            on_proved=self._on_proved,
            look=self._look,
            recaller=lambda: self.recaller,
        )
        self.bell = Bell()
        self.receipts = Receipts(self.custodian, self.key, self.bell)
        self.backups = Backups(self.custodian, self.key)
        self.intake = Intake(self.custodian)
        self.batches = Batches(self.custodian, self.key)
        self.shelf = ShelfDesk(self.custodian, self.intake)
        self.uploads = Uploads(self.custodian, self.intake, self.bell.ring)
        self.callbacks = Callbacks(self.custodian, settings.callbacks)
        self.finishing = Finishing(self.custodian, self.intake, self.uploads, self.bell.ring)
        self.dispatcher = Dispatcher(self.custodian, Planner(self.custodian), handlers(), self.custodian.process)
        self.proof = proof.LedgerProof(self.custodian)
        self.watch = Watch(self.custodian, self._arrive, self.key.public_key)
        self.tapes = Tapes(self.custodian, self.key)
        self.health = HealthWatch(self.custodian)
        recall = settings.recall
        cache = RecallCache(recall.path or settings.node.state / "recall", recall.max_bytes, recall.keep)
        self.recall_cache = cache
        self.librarians = {library.name: Librarian(self.tapes, library, cache) for library in settings.libraries}
        self.tape_desk = TapeDesk(self.tapes, self.librarians, cache)
        self.tape_import = TapeImport(self.tapes, self.tape_desk)
        self.recaller: Recaller = TapeRecaller(self.tapes, cache) if self.librarians else NoRecalls()
        self.devices = DeviceWatch(self.custodian, self.health.look_soon)
        self.clock = Clock(self.catalogue)

    def start(self) -> None:
        """Settle what a former process left, then begin to work."""
        with self.catalogue.read() as tx:
            for row in catalog_volumes.all(tx):
                if row.name in self.volumes:
                    self.volumes[row.name].expect(row.uuid)
        self._describe_volumes()
        with self.catalogue.write() as tx:
            for row in catalog_volumes.all(tx):
                # What was seen by the process before says nothing of now, and no work goes to a volume unseen.
                catalog_volumes.set_condition(
                    tx, row.id, Condition.UNKNOWN, "The daemon has just started.", row.size_bytes, row.free_bytes
                )
            append(
                tx,
                NewEvent(
                    EventType.NODE_STARTED,
                    Outcome.SUCCESS,
                    self.custodian.agent,
                    detail={"program": __version__, "process": self.custodian.process},
                ),
            )
        accession.end_interrupted(self.custodian)
        custody = self.settings.custody
        self.clock.every(custody.planner_interval, "plan", self.dispatcher.wake, recorded=False)
        self.clock.every(custody.planner_interval, "receipts", self.receipts.issue_all)
        self.clock.every(custody.planner_interval, "settle", self._settle)
        self.clock.every(self.settings.health.interval, "health", self.health.look)
        self.clock.every(custody.checkpoint_interval, "checkpoint", self.keep_checkpoint)
        self.clock.every(filling.EVERY, filling.SCHEDULE, lambda: filling.look(self.custodian))
        self.clock.every(proof.EVERY, proof.SCHEDULE, self.proof.look)
        self.clock.every(minutes.EVERY, minutes.SCHEDULE, lambda: minutes.look(self.custodian))
        self.clock.every(forecast.EVERY, forecast.SCHEDULE, lambda: forecast.look(self.custodian))
        self.clock.every(custody.backup_interval, BACKUP_SCHEDULE, self.backups.make)
        self.clock.every(min(UPLOADS_EVERY, self.settings.intake.upload_expires), "uploads", self.uploads.expire)
        if self.librarians:
            self.clock.every(min(RECALLS_EVERY, self.settings.recall.keep), "recalled", self.recall_cache.expire)
        self.watch.start()
        self.devices.start()
        self.dispatcher.start()
        for librarian in self.librarians.values():
            librarian.start()
        self.clock.start()
        self.finishing.start()
        self.callbacks.start()
        self.receipts.issue_all()

    def _describe_volumes(self) -> None:
        """What the configuration says of a known volume's failure domain and site holds from now on."""
        with self.catalogue.write() as tx:
            for row in catalog_volumes.all(tx):
                volume = self.volumes.get(row.name)
                if volume is None or (row.domain, row.site) == (volume.domain, volume.site):
                    continue
                catalog_volumes.describe(tx, row.id, domain=volume.domain, site=volume.site)
                append(
                    tx,
                    NewEvent(
                        EventType.VOLUME_CHANGED,
                        Outcome.SUCCESS,
                        self.custodian.agent,
                        volume=row.name,
                        detail={
                            "domain": {"was": row.domain, "is": volume.domain},
                            "site": {"was": row.site, "is": volume.site},
                        },
                    ),
                )

    def _settle(self) -> None:
        """Deposits that ended, in place or not, while the catalogue did not answer and could not hear of it."""
        for ingest_id in accession.end_interrupted(self.custodian):
            self.bell.ring(ingest_id)
        with self.catalogue.read() as tx:
            online = [v.name for v in catalog_volumes.all(tx) if v.condition is Condition.ONLINE]
        for name in online:
            if name in self.volumes:
                accession.settle_all(self.custodian, self.volumes[name])

    def stop(self, patience: timedelta = STOP_PATIENCE) -> bool:
        """Stop all work at its next read. Returns whether everything ended; what did not hangs in a dead volume."""
        self.clock.stop()
        self.devices.stop()
        self.watch.stop()
        self.uploads.stop()
        ended = self.shelf.stop(patience)
        ended = self.finishing.stop(patience) and ended
        ended = self.callbacks.stop(patience) and ended
        for librarian in self.librarians.values():
            librarian.ask_to_stop()
        ended = self.dispatcher.stop(patience) and ended
        for librarian in self.librarians.values():
            ended = librarian.stop(max(patience, librarian.end_takes)) and ended
        outcome = Outcome.SUCCESS if ended else Outcome.WARNING
        detail: dict[str, Json] = {"process": self.custodian.process}
        try:
            with self.catalogue.write() as tx:
                append(tx, NewEvent(EventType.NODE_STOPPED, outcome, self.custodian.agent, detail=detail))
        except VaultError as error:
            # All work has ended, and the next start settles what the catalogue did not hear of.
            log.error("stop-not-recorded", code=error.code, reason=str(error))
        self.close()
        return ended

    def close_doors(self) -> None:
        """Let whoever waits at the doors come to an end: they are closing. What is being sent can be gone on with."""
        self.bell.close()
        self.uploads.stop()

    def abandon(self) -> None:
        """Leave after a failure: work is asked to stop, nothing more is written down, and the next start settles."""
        self.clock.stop()
        self.devices.stop()
        self.watch.stop()
        self.uploads.stop()
        self.shelf.stop(timedelta(seconds=1))
        self.finishing.stop(timedelta(seconds=1))
        self.callbacks.stop(timedelta(seconds=1))
        self.dispatcher.stop(timedelta(seconds=1))
        for librarian in self.librarians.values():
            librarian.stop(timedelta(seconds=1))

    def close(self) -> None:
        """Let go of catalogue and lock, without a word in the ledger."""
        self.catalogue.close()
        os.close(self._lock)

    def keep_checkpoint(self) -> None:
        """Sign where the ledger stands and keep that on every volume."""
        checkpoints.keep_checkpoint(self.custodian, self.key)

    def ask_catalogue(self) -> None:
        """Make one round trip to the catalogue. Raises Unreachable and its like when it does not answer."""
        self.catalogue.check()
        with self.catalogue.read() as tx:
            catalog_volumes.all(tx)

    def _wake(self) -> None:
        self.dispatcher.wake()

    def _look(self, volume: str) -> None:
        self.watch.look(volume)

    def _on_proved(self, version: Version) -> None:
        self.receipts.issue_ready(version)
        self.bell.ring(version.ingest_id)

    def _arrive(self, volume: Volume) -> None:
        """A volume came on-line: what was cut off on it is settled before any work is sent there."""
        accession.settle_all(self.custodian, volume)
        settle_copies(self.custodian, volume)
        clear_staging(self.custodian, volume)
        self.uploads.sweep(volume.name)
        self.finishing.wake()
        adopt_evidence(self.custodian, volume)


def build_volume(settings: VolumeSettings) -> Volume:
    """The volume that the configuration describes."""
    return DirectoryVolume(
        name=settings.name,
        path=str(settings.path),
        domain=settings.domain,
        site=settings.site,
        mount=settings.mount,
        reserve_bytes=settings.reserve,
        sync=settings.sync,
    )


def refuse_lost_catalogue(catalogue: Catalogue, settings: Settings) -> None:
    """A node that signed checkpoints and has no catalogue has lost it; an empty one would look like a sound archive,
    and so would one beside that of a rebuild that was cut off at its very end. Raises ConfigError
    (``catalogue-missing``, ``rebuild-unfinished``)."""
    if is_cut_off(settings.catalog.url):
        raise ConfigError(
            f"The rebuild of the catalogue {catalogue.place} was cut off before that stood in its place.",
            remedy="Mount the volumes, and run it again: vaultctl catalog rebuild. Only if this node is new, and never"
            f" had a catalogue: remove what a rebuild left ({catalogue.place.removeprefix('sqlite:///')}.rebuil*).",
            code="rebuild-unfinished",
        )
    state = Path(settings.node.state)
    if catalogue.schema_revision() is None and any((state / checkpoints.FOLDER).glob("*.json")):
        raise ConfigError(
            f"This node was used before ({state / checkpoints.FOLDER} has its checkpoints), and its catalogue"
            f" {catalogue.place} is gone.",
            remedy="Make it anew from the volumes and their backups: vaultctl catalog rebuild. Only if nothing that was"
            " ever stored matters any more, start once with: vaultd --new-catalogue",
            code="catalogue-missing",
        )


def _refuse_unfinished_catalogue(catalogue: Catalogue) -> None:
    with catalogue.read() as tx:
        since = facts.get(tx, UNFINISHED)
    if since is not None:
        raise ConfigError(
            f"The rebuild of the catalogue {catalogue.place} that was begun at {since} did not come to its end.",
            remedy="Run it again: vaultctl catalog rebuild",
            code="rebuild-unfinished",
        )
