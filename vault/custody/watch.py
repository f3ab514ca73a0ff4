"""Watches the volumes: probes each in a thread of its own and writes down what changed.

A probe that hangs (a dead NFS server) hangs alone: the watch notices that it does not come back and records the volume
as off-line, so that no work is sent there.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable

import structlog

from hardware.mounts import mount_of, server_of
from hardware.stack import stack_of
from vault.catalog import volumes as catalog_volumes
from vault.catalog.faults import OUTAGES
from vault.custody.arrival import clear_staging
from vault.custody.checkpoints import FOLDER as CHECKPOINTS
from vault.custody.context import Custodian
from vault.custody.earlier import verify_sample
from vault.errors import VaultError
from vault.ledger import append
from vault.model import READABLE, Condition, EventType, NewEvent, Outcome
from vault.signing import key_id_of, verify_document
from vault.volumes.base import Probe, Volume

log = structlog.get_logger(__name__)

Arrival = Callable[[Volume], None]
"""Called when a volume comes on-line, before any work is sent to it. What it raises keeps the volume off-line."""

FIRST_ANSWER_SECONDS = 5.0
"""So long the start waits for the volumes' first answers: a deposit that comes at once should find them."""

STOP_SECONDS = 2.0

SILENCE_SECONDS = 5.0
"""So much longer than two intervals a probe may take before its volume is said to be off-line."""


class Watch:
    """Probes every volume at the configured interval."""

    def __init__(self, custodian: Custodian, arrival: Arrival, public_key: bytes = b"") -> None:
        """``public_key`` is the node's own: a volume on which another key signed is another node's, whatever its
        name."""
        self._custodian = custodian
        self._public_key = public_key
        self._arrival = arrival
        self._interval = custodian.settings.custody.probe_interval.total_seconds()
        self._stopping = threading.Event()
        self._hurry = {name: threading.Event() for name in custodian.volumes}
        self._began: dict[str, float] = {}
        self._arrived: set[str] = set()
        self._answered: set[str] = set()
        self._first_answers = threading.Event()
        self._said: dict[str, str] = {}
        self._left: dict[str, float] = {}
        self._devices: dict[str, int | None] = {}
        self._disks: dict[str, frozenset[str]] = {}
        self._servers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, patience: float = FIRST_ANSWER_SECONDS) -> None:
        """Probe everything once, waiting for the answers so many seconds, and then go on in the background."""
        for volume in self._custodian.volumes.values():
            thread = threading.Thread(target=self._watch, args=(volume,), name=f"watch-{volume.name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        guard = threading.Thread(target=self._guard, name="watch-guard", daemon=True)
        self._threads.append(guard)
        guard.start()
        self._first_answers.wait(patience)

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """End the threads, waiting so many seconds for each; those that hang are left behind."""
        self._stopping.set()
        for event in self._hurry.values():
            event.set()
        for thread in self._threads:
            thread.join(patience)

    def look(self, name: str) -> None:
        """Probe this volume soon, and clear up on it: something that was done on it failed."""
        if name in self._hurry:
            with self._lock:
                self._arrived.discard(name)
            self._hurry[name].set()

    def look_now(self, volume: Volume) -> Probe:
        """Probe in the caller's thread and record what was seen."""
        with self._lock:
            self._began[volume.name] = time.monotonic()
        probe = self._independent(volume, volume.probe())
        try:
            settled = self._settled(volume, probe)
            # It has answered. Waiting for the catalogue is no silence of the volume's.
            self._answer(volume)
            self._record(volume, settled)
        except VaultError as error:
            log.error("probe-not-recorded", volume=volume.name, code=error.code, reason=str(error))
        except Exception:
            # A fault of ours. It must not end the thread that would see the volume leave and return.
            log.exception("probe-crashed", volume=volume.name)
        finally:
            self._answer(volume)
            with self._lock:
                self._answered.add(volume.name)
                if len(self._answered) == len(self._custodian.volumes):
                    self._first_answers.set()
        return probe

    def _answer(self, volume: Volume) -> None:
        with self._lock:
            self._began.pop(volume.name, None)

    def _independent(self, volume: Volume, probe: Probe) -> Probe:
        """Two volumes on one device fail together: the one that comes later in the configuration is not used."""
        settings = self._custodian.settings
        # The disks as the kernel knows them: neither they nor a file system are asked.
        disks = stack_of(str(settings.volume(volume.name).path)).marks if probe.device is not None else frozenset()
        mount = mount_of(str(settings.volume(volume.name).path)) if probe.device is not None else None
        server = server_of(mount) if mount is not None else ""
        with self._lock:
            self._devices[volume.name] = probe.device
            self._disks[volume.name] = disks
            self._servers[volume.name] = server
            if probe.device is None or settings.node.accept_shared_devices:
                return probe
            before = list(itertools.takewhile(lambda name: name != volume.name, self._custodian.volumes))
            same_server = [
                name
                for name in before
                # Two exports of one server in one failure domain are said to fail together, and count once.
                if server
                and self._servers.get(name) == server
                and self._custodian.volumes[name].domain != volume.domain
            ]
            shared = [
                (name, ", ".join(sorted(disks & self._disks.get(name, frozenset()))))
                for name in before
                if self._devices.get(name) == probe.device or disks & self._disks.get(name, frozenset())
            ]
        if same_server:
            return Probe(
                Condition.FOREIGN,
                f"It comes from the same server ({server}) as the volume {same_server[0]!r}, and the configuration says"
                " that they fail apart. Give both the same domain, or have this one on another server; for a trial set"
                " node.accept_shared_devices = true.",
            )
        if not shared:
            return probe
        other, common = shared[0]
        what = f"device as the volume {other!r}" + (f" (disk {common})" if common else "")
        return Probe(
            Condition.FOREIGN,
            f"It stands on the same {what}: they would fail together, and copies on both"
            " would be counted as two. Give it a device of its own; for a trial set node.accept_shared_devices = true.",
        )

    def _settled(self, volume: Volume, probe: Probe) -> Probe:
        """Before a volume that came on-line is said to be so, settle what was cut off on it."""
        with self._lock:
            arrived = volume.name in self._arrived
            if probe.condition not in READABLE:
                self._arrived.discard(volume.name)
            else:
                self._arrived.add(volume.name)
        if arrived and probe.condition is Condition.ONLINE:
            self._tidy(volume)
        if probe.condition not in READABLE or arrived or not self._known(volume, probe):
            return probe
        if probe.condition is Condition.READ_ONLY:
            # Settling writes. What can be read is served and checked meanwhile; it is settled when it can be written.
            with self._lock:
                self._arrived.discard(volume.name)
            return probe
        try:
            self._arrival(volume)
        except VaultError as error:
            log.warning("volume-not-settled", volume=volume.name, code=error.code, reason=str(error))
            with self._lock:
                self._arrived.discard(volume.name)
            if error.code in OUTAGES:
                # A fault of the catalogue's is none of the volume's, which is settled at the next probe.
                raise
            return Probe(Condition.OFFLINE, f"What was cut off on it could not be settled: {error}")
        except BaseException:
            with self._lock:
                self._arrived.discard(volume.name)
            raise
        return probe

    def _tidy(self, volume: Volume) -> None:
        """Throw away what a sick medium kept, on one that never left: its room would be missed until the next start."""
        stagings = self._custodian.stagings
        if not stagings.take_litter(volume.name):
            return
        try:
            clear_staging(self._custodian, volume)
        except VaultError as error:
            stagings.litter(volume.name)
            log.warning("staging-not-cleared", volume=volume.name, code=error.code, reason=str(error))

    def _known(self, volume: Volume, probe: Probe) -> bool:
        """Whether the catalogue knows the volume; a new one that was made for this node by this name is made known."""
        with self._custodian.catalogue.read() as tx:
            if catalog_volumes.get(tx, volume.name) is not None:
                return True
        if self._why_strange(volume, probe):
            return False
        self._register(volume, probe)
        return True

    def _why_strange(self, volume: Volume, probe: Probe) -> str:
        """Why a volume that the catalogue does not know is not taken; "" where it may be."""
        identity, own = probe.identity, self._custodian.settings.node.name
        if identity is None:
            return probe.reason or "it has no identity"
        if identity.name != volume.name:
            return f"the volume there is called {identity.name!r}"
        if identity.node != own:
            return (
                f"it was initialised by the node {identity.node!r}, and this one is {own!r}: two nodes on one volume"
                " would clear each other's work away. If that node is this one renamed, give it its name back"
            )
        return self._signed_by_another(volume)

    def _signed_by_another(self, volume: Volume) -> str:
        """Why a volume is that of another node of the same name: the newest checkpoint of a ledger on it was signed
        with another key. "" where that is not so, or nothing was signed."""
        if not self._public_key:
            return ""
        try:
            kept = volume.notes(CHECKPOINTS)
            document: object = json.loads(b"".join(volume.read_note(f"{CHECKPOINTS}/{kept[-1]}"))) if kept else None
        except (VaultError, ValueError, RecursionError):
            return ""
        signature = verify_document(document) if document is not None else None
        if signature is None or not signature.ok or signature.public_key == self._public_key:
            return ""
        return (
            f"another node of the name {self._custodian.settings.node.name!r} works with it: its ledger is signed with"
            f" the key {key_id_of(signature.public_key)}. Two nodes on one volume would clear each other's work away."
            " If that node is this one, and its state was lost, make the catalogue anew: vaultctl catalog rebuild"
        )

    def _watch(self, volume: Volume) -> None:
        hurry = self._hurry[volume.name]
        while not self._stopping.is_set():
            self.look_now(volume)
            hurry.wait(self._interval)
            hurry.clear()

    def _guard(self) -> None:
        """Record as off-line what has not answered for long. The probe itself cannot: it is what hangs."""
        patience = 2 * self._interval + SILENCE_SECONDS
        while not self._stopping.wait(min(self._interval, SILENCE_SECONDS)):
            with self._lock:
                silent = [n for n, began in self._began.items() if time.monotonic() - began > patience]
            for name in silent:
                reason = f"It has not answered for more than {patience:.0f} seconds."
                try:
                    self._record(self._custodian.volumes[name], Probe(Condition.OFFLINE, reason))
                except VaultError as error:
                    log.error("probe-not-recorded", volume=name, code=error.code, reason=str(error))
                except Exception:
                    # A fault of ours. The thread that makes silence visible must not fall silent itself.
                    log.exception("guard-crashed", volume=name)

    def _record(self, volume: Volume, probe: Probe) -> None:
        custodian = self._custodian
        with custodian.catalogue.write() as tx:
            row = catalog_volumes.get(tx, volume.name)
            if row is None:
                why = self._why_strange(volume, probe)
                if self._said.get(volume.name) != why:
                    self._said[volume.name] = why
                    log.warning("volume-not-usable", volume=volume.name, reason=why)
                return
            changed = catalog_volumes.set_condition(
                tx, row.id, probe.condition, probe.reason, probe.size_bytes, probe.free_bytes
            )
            if changed:
                append(
                    tx,
                    NewEvent(
                        EventType.VOLUME_CHANGED,
                        Outcome.SUCCESS if probe.condition is Condition.ONLINE else Outcome.WARNING,
                        custodian.agent,
                        volume=volume.name,
                        detail={"was": str(row.condition), "is": str(probe.condition), "reason": probe.reason},
                    ),
                )
        if changed:
            log.info("volume-changed", volume=volume.name, condition=str(probe.condition), reason=probe.reason)
            custodian.wake()
        self._note_return(volume.name, probe.condition)

    def _note_return(self, name: str, condition: Condition) -> None:
        """What was away for long may have been somewhere else, or have been restored: a sample of it is read back."""
        if condition not in READABLE:
            self._left.setdefault(name, time.monotonic())
            return
        left = self._left.pop(name, None)
        if left is None:
            return
        away = time.monotonic() - left
        if away >= self._custodian.settings.fixity.after_absence.total_seconds():
            verify_sample(self._custodian, name, f"it was away for {away:.0f} s")

    def _register(self, volume: Volume, probe: Probe) -> None:
        identity = probe.identity
        assert identity is not None, "the caller looked"  # noqa: S101
        with self._custodian.catalogue.write() as tx:
            catalog_volumes.register(
                tx, uuid=identity.uuid, name=volume.name, kind=volume.kind, medium=volume.medium,
                domain=volume.domain, site=volume.site,
            )  # fmt: skip
            append(
                tx,
                NewEvent(
                    EventType.VOLUME_ADDED,
                    Outcome.SUCCESS,
                    self._custodian.agent,
                    volume=volume.name,
                    detail={"uuid": str(identity.uuid), "domain": volume.domain, "site": volume.site},
                ),
            )
        volume.expect(identity.uuid)
