"""Watches the volumes: probes each in a thread of its own and writes down what changed.

A probe that hangs (a dead NFS server) hangs alone: the watch notices that it does not come back and records the volume
as off-line, so that no work is sent there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from vault.catalog import volumes as catalog_volumes
from vault.custody.context import Custodian
from vault.errors import VaultError
from vault.ledger import append
from vault.model import Condition, EventType, NewEvent, Outcome
from vault.volumes.base import Probe, Volume

log = structlog.get_logger(__name__)

Arrival = Callable[[Volume], None]
"""Called when a volume comes on-line, before any work is sent to it. What it raises keeps the volume off-line."""

READABLE = (Condition.ONLINE, Condition.READ_ONLY)


class Watch:
    """Probes every volume at the configured interval."""

    def __init__(self, custodian: Custodian, arrival: Arrival) -> None:
        self._custodian = custodian
        self._arrival = arrival
        self._interval = custodian.settings.custody.probe_interval.total_seconds()
        self._stopping = threading.Event()
        self._hurry = {name: threading.Event() for name in custodian.volumes}
        self._began: dict[str, float] = {}
        self._arrived: set[str] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Probe everything once, waiting for the answers a moment, and then go on in the background."""
        for volume in self._custodian.volumes.values():
            thread = threading.Thread(target=self._watch, args=(volume,), name=f"watch-{volume.name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        guard = threading.Thread(target=self._guard, name="watch-guard", daemon=True)
        self._threads.append(guard)
        guard.start()

    def stop(self) -> None:
        """End the threads; those that hang are left behind."""
        self._stopping.set()
        for event in self._hurry.values():
            event.set()

    def look(self, name: str) -> None:
        """Probe this volume soon: something that was done on it failed."""
        if name in self._hurry:
            self._hurry[name].set()

    def look_now(self, volume: Volume) -> Probe:
        """Probe in the caller's thread and record what was seen."""
        with self._lock:
            self._began[volume.name] = time.monotonic()
        probe = volume.probe()
        try:
            self._record(volume, probe)
        except VaultError as error:
            log.error("probe-not-recorded", volume=volume.name, code=error.code, reason=str(error))
        finally:
            with self._lock:
                self._began.pop(volume.name, None)
        return probe

    def _watch(self, volume: Volume) -> None:
        hurry = self._hurry[volume.name]
        while not self._stopping.is_set():
            self.look_now(volume)
            hurry.wait(self._interval)
            hurry.clear()

    def _guard(self) -> None:
        """Record as off-line what has not answered for long. The probe itself cannot: it is what hangs."""
        patience = 2 * self._interval + 5
        while not self._stopping.wait(min(self._interval, 5)):
            with self._lock:
                silent = [n for n, began in self._began.items() if time.monotonic() - began > patience]
            for name in silent:
                reason = f"It has not answered for more than {patience:.0f} seconds."
                try:
                    self._record(self._custodian.volumes[name], Probe(Condition.OFFLINE, reason))
                except VaultError as error:
                    log.error("probe-not-recorded", volume=name, code=error.code, reason=str(error))

    def _record(self, volume: Volume, probe: Probe) -> None:
        custodian = self._custodian
        with custodian.catalogue.read() as tx:
            row = catalog_volumes.get(tx, volume.name)
        if row is None:
            if probe.identity is None:
                log.warning("volume-not-usable", volume=volume.name, reason=probe.reason)
                return
            if probe.identity.name != volume.name:
                log.error(
                    "volume-not-usable",
                    volume=volume.name,
                    reason=f"the volume there is called {probe.identity.name!r}",
                )
                return
            self._register(volume, probe)
        if probe.condition in READABLE and volume.name not in self._arrived:
            self._arrival(volume)
            self._arrived.add(volume.name)
        elif probe.condition not in READABLE:
            self._arrived.discard(volume.name)
        with custodian.catalogue.write() as tx:
            row = catalog_volumes.get(tx, volume.name)
            assert row is not None, "it was registered above"  # noqa: S101
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
