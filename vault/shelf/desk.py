"""Scans and adoptions that were ordered: each in a thread of its own, one scan of a volume at a time.

A scan's result is kept in the state folder, as ``scans/VOLUME.json``, until the next one. What a stop cuts off is
ordered again: neither leaves anything half done.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from vault.custody.context import Custodian
from vault.custody.orders import order_verification
from vault.durable import write_durably
from vault.errors import Conflict, NotFound, Refused, VaultError
from vault.intake.deposit import Intake
from vault.ledger import append
from vault.model import Descriptive, EventType, NewEvent, Outcome
from vault.shelf.adoption import Adopted, Adoption
from vault.shelf.objects import clean_path
from vault.shelf.scan import Scanner, row_of
from vault.shelf.strangers import Scan, ScanState, StrangerKind, scan_of
from vault.volumes.directory import DirectoryVolume

log = structlog.get_logger(__name__)

FOLDER = "scans"
MOST_ORDERED = 100
"""So many packages of which something is missing are verified at once; the others when they are due."""

_MOST_ADOPTIONS = 200


@dataclass
class AdoptionOrder:
    """An ordered adoption, and how far it is. ``error`` says why it failed."""

    id: str
    volume: str
    path: str
    agent: str
    began_at: datetime
    ended_at: datetime | None = None
    read: int = 0
    adopted: Adopted | None = None
    error: VaultError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class ShelfDesk:
    """Where scans and adoptions are ordered, and looked at."""

    def __init__(self, custodian: Custodian, intake: Intake) -> None:
        self._custodian = custodian
        self._intake = intake
        self._folder = custodian.settings.node.state / FOLDER
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._scans: dict[str, Scan] = {}
        self._adoptions: dict[str, AdoptionOrder] = {}
        self._threads: list[threading.Thread] = []

    # --- scans

    def scan(self, name: str, *, check: bool, agent: str) -> Scan:
        """Begin a scan. Raises NotFound, Refused (``not-a-disk-volume``), Conflict (``scan-running``)."""
        volume, row = self._volume(name), row_of(self._custodian, name)
        with self._lock:
            running = self._scans.get(name)
            if running is not None and running.state is ScanState.RUNNING:
                raise Conflict(
                    f"The volume {name!r} is being scanned.",
                    remedy="Look how far it is: vaultctl volumes scan NAME --last.",
                    code="scan-running",
                )
            scan = Scan(name, check, agent, self._custodian.catalogue.clock())
            self._scans[name] = scan
        scanner = Scanner(self._custodian, volume, row, scan, self._stopping.is_set)
        self._begin(f"scan-{name}", lambda: self._run_scan(scan, scanner))
        return scan

    def last_scan(self, name: str) -> Scan:
        """The scan that goes on, or the last one. Raises NotFound (``no-such-scan``)."""
        self._custodian.volume(name)
        with self._lock:
            found = self._scans.get(name)
        if found is None:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found = scan_of(json.loads((self._folder / f"{name}.json").read_bytes()))
        if found is None:
            raise NotFound(
                f"The volume {name!r} was never scanned.",
                remedy=f"Order it: vaultctl volumes scan {name}",
                code="no-such-scan",
            )
        return found

    def _run_scan(self, scan: Scan, scanner: Scanner) -> None:
        missing: dict[str, None] = {}
        try:
            for stranger in scanner.run():
                scan.add(stranger)
                if stranger.kind is StrangerKind.MISSING and len(missing) < MOST_ORDERED:
                    missing[stranger.identifier] = None
            for identifier in missing:
                # A check has the last word on what is missing: it reads again, and a repair follows.
                order_verification(self._custodian, volume=scan.volume, identifier=identifier, agent=scan.agent)
                scan.ordered += 1
            state = ScanState.DONE
        except VaultError as error:
            scan.problem = str(error)
            state = ScanState.INTERRUPTED if self._stopping.is_set() else ScanState.FAILED
        except Exception as error:
            log.exception("scan-crashed", volume=scan.volume)
            scan.problem = f"An unforeseen fault ended the scan ({type(error).__name__})."
            state = ScanState.FAILED
        scan.ended_at = self._custodian.catalogue.clock()
        try:
            self._tell(scan, state)
        except VaultError as error:
            log.error("scan-not-recorded", volume=scan.volume, code=error.code, reason=str(error))
        finally:
            scan.state = state

    def _tell(self, scan: Scan, state: ScanState) -> None:
        document = {**scan.as_json(), "state": str(state)}
        self._folder.mkdir(mode=0o750, exist_ok=True)
        write_durably(self._folder / f"{scan.volume}.json", json.dumps(document, ensure_ascii=False).encode())
        concerns = sum(scan.counts[kind] for kind in (StrangerKind.MISSING, StrangerKind.DIFFERENT,
                                                      StrangerKind.BROKEN))  # fmt: skip
        outcome = Outcome.SUCCESS if state is ScanState.DONE else Outcome.FAILURE
        with self._custodian.catalogue.write() as tx:
            append(
                tx,
                NewEvent(
                    EventType.VOLUME_SCANNED,
                    Outcome.WARNING if concerns and outcome is Outcome.SUCCESS else outcome,
                    scan.agent,
                    volume=scan.volume,
                    detail={
                        "state": str(state), "content_read": scan.check, "objects": scan.objects,
                        "copies": scan.copies, "found": dict(scan.counts), "reason": scan.problem[:1000],
                    },
                ),
            )  # fmt: skip

    # --- adoptions

    def adopt(
        self, name: str, path: str, *, identifier: str = "", said: Descriptive | None = None, agent: str
    ) -> AdoptionOrder:
        """Begin to adopt the object at ``path`` on a volume. Raises NotFound, Refused, Invalid (``bad-path``)."""
        volume = self._volume(name)
        order = AdoptionOrder(str(uuid.uuid4()), name, clean_path(path), agent, self._custodian.catalogue.clock())

        def read(count: int) -> None:
            order.read += count

        adoption = Adoption(self._custodian, self._intake, volume, agent, read, self._stopping.is_set)
        with self._lock:
            if any(o.volume == name and o.path == order.path and not o.done.is_set() for o in self._adoptions.values()):
                raise Conflict(
                    f"The object at {order.path} is being adopted.",
                    remedy="Wait for its end; the ledger tells of it (vaultctl events).",
                    code="adoption-running",
                )
            self._adoptions[order.id] = order
            for old in list(self._adoptions)[:-_MOST_ADOPTIONS]:
                if self._adoptions[old].done.is_set():
                    del self._adoptions[old]
        self._begin(f"adopt-{order.id[:8]}", lambda: self._run_adoption(order, adoption, identifier, said))
        return order

    def adoption(self, order_id: str) -> AdoptionOrder:
        """An ordered adoption. Raises NotFound (``no-such-adoption``)."""
        with self._lock:
            found = self._adoptions.get(order_id)
        if found is None:
            raise NotFound(
                f"There is no adoption {order_id[:100]!r} since the daemon was started.",
                remedy="The ledger has those that came to their end; one that was cut off can be ordered again.",
                code="no-such-adoption",
            )
        return found

    def _run_adoption(
        self, order: AdoptionOrder, adoption: Adoption, identifier: str, said: Descriptive | None
    ) -> None:
        try:
            order.adopted = adoption.run(order.path, identifier, said)
        except VaultError as error:
            order.error = error
        except Exception as error:
            log.exception("adoption-crashed", volume=order.volume, path=order.path)
            order.error = VaultError(f"An unforeseen fault ended the adoption ({type(error).__name__}).")
        finally:
            order.ended_at = self._custodian.catalogue.clock()
            order.done.set()

    # --- how

    def _volume(self, name: str) -> DirectoryVolume:
        volume = self._custodian.volume(name)
        if not isinstance(volume, DirectoryVolume):
            raise Refused(
                f"{name!r} is no disk volume.",
                remedy="A cartridge is compared with the catalogue each time that it is mounted.",
                code="not-a-disk-volume",
            )
        return volume

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def stop(self, patience: timedelta) -> bool:
        """Stop everything at its next read; whether it ended in time."""
        self._stopping.set()
        until = time.monotonic() + patience.total_seconds()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)
