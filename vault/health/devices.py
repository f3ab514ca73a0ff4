"""What is plugged in and out, into the ledger and the log: as it happens, whoever stands before the machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from hardware.inventory import Change, Event, Inventory, Listener
from vault.custody.context import Custodian
from vault.errors import VaultError
from vault.ledger import append
from vault.model import EventType, Json, NewEvent, Outcome

log = structlog.get_logger(__name__)

MOST_EVENTS: Final = 100
"""So many devices of one burst have events of their own; of the rest, one event says how many."""


class DeviceWatch:
    """Follows the inventory of devices. ``changed`` is called after each burst, in a thread of its own."""

    def __init__(
        self,
        custodian: Custodian,
        changed: Callable[[], None],
        *,
        inventory: Callable[[Listener], Inventory] = Inventory,
    ) -> None:
        self._custodian = custodian
        self._changed = changed
        self._inventory = inventory(self.told)
        self._lock = threading.Lock()
        self._counted: Counter[tuple[str, str]] = Counter()
        self._running = False

    @property
    def present(self) -> Mapping[str, int]:
        """How many devices of each kind are there; empty where that is not known."""
        return Counter(str(device.role) for device in self._inventory.devices)

    @property
    def counted(self) -> Mapping[tuple[str, str], int]:
        """How often what happened to which kind of device, since the start: (role, change) to number."""
        with self._lock:
            return dict(self._counted)

    @property
    def overflows(self) -> int:
        """How often events were lost and everything was enumerated anew, since the start."""
        return self._inventory.overflows

    def start(self) -> None:
        """Begin to follow. Where that cannot be done, the node works without it, and says so."""
        try:
            self._inventory.start()
        except (OSError, ImportError) as error:
            log.warning("devices-not-followed", reason=f"{type(error).__name__}: {error}")
            return
        self._running = True
        log.info("devices", **{role.replace("-", "_"): number for role, number in self.present.items()})

    def stop(self) -> None:
        """End."""
        if self._running:
            self._inventory.stop()

    def told(self, events: Sequence[Event]) -> None:
        """Write down what happened in one burst."""
        with self._lock:
            self._counted.update((str(event.device.role), str(event.change)) for event in events)
        for event in events[:MOST_EVENTS]:
            device = event.device
            log.info("device", change=str(event.change), role=str(device.role), key=device.key, node=device.node)
        try:
            with self._custodian.catalogue.write() as tx:
                for event in events[:MOST_EVENTS]:
                    append(tx, self._event(event))
                if len(events) > MOST_EVENTS:
                    more: dict[str, Json] = {"device": "many", "change": "changed", "number": len(events) - MOST_EVENTS}
                    append(tx, NewEvent(EventType.DEVICE_CHANGED, Outcome.WARNING, self._custodian.agent, detail=more))
        except VaultError as error:
            log.error("devices-not-recorded", code=error.code, reason=str(error))
        self._changed()

    def _event(self, event: Event) -> NewEvent:
        device = event.device
        gone = event.change in (Change.REMOVED, Change.RETURNED)
        return NewEvent(
            EventType.DEVICE_CHANGED,
            Outcome.WARNING if gone else Outcome.SUCCESS,
            self._custodian.agent,
            detail={
                "device": str(device.role),
                "change": str(event.change),
                "key": device.key,
                "model": device.model,
                "node": device.node,
            },
        )
