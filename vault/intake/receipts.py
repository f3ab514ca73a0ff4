"""Receipts: what the depositor is given once enough copies are good, signed with the node's key.

A receipt is short whatever the size of the package: it names the inventory's digest, and the inventory names every
file's. It is made once, kept with the version, and given again to whoever asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog

from vault import policy as policies
from vault.catalog import copies, ingests, packages
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.custody.context import Custodian, part_of
from vault.errors import VaultError
from vault.intake.bell import Bell
from vault.ledger import append
from vault.model import CopyState, EventType, Ingest, IngestState, Json, NewEvent, Outcome, Version
from vault.signing import NodeKey

log = structlog.get_logger(__name__)

FORMAT = "khoso-receipt/1"
_BATCH = 200


class Receipts:
    """Makes receipts as copies become good, and tells the requests that wait for them."""

    def __init__(self, custodian: Custodian, key: NodeKey, bell: Bell) -> None:
        self._custodian = custodian
        self._key = key
        self._bell = bell
        self._looked_at: Ingest | None = None

    def issue_ready(self, version: Version) -> None:
        """Make the version's receipt if its copies now suffice and it has none yet; give it to its repeats too."""
        with self._custodian.catalogue.read() as tx:
            waiting = ingests.awaiting_receipt_of(tx, version.identifier, version.number)
            first = any(ingest.id == version.ingest_id for ingest in waiting)
            if not waiting or (first and not self._ready(tx, version)):
                return
        if first:
            self._issue(version)
        for ingest in waiting:
            if ingest.id != version.ingest_id:
                self._give_again(version, ingest.id)

    def _issue(self, version: Version) -> None:
        with self._custodian.catalogue.write() as tx:
            ingest = ingests.get(tx, version.ingest_id)
            if ingest is None or ingest.state is not IngestState.STORED or not self._ready(tx, version):
                return
            receipt = self._make(tx, version)
            ingests.receipt(tx, version.ingest_id, receipt)
            packages.set_receipt(tx, version.id, receipt)
            self._record(tx, version, {"ingest": version.ingest_id, "copies": receipt["copies"]})
        log.info("receipt-issued", ingest=version.ingest_id, identifier=version.identifier, version=version.number)
        self._bell.ring(version.ingest_id)

    def _give_again(self, version: Version, ingest_id: str) -> None:
        """To a deposit that repeated one which had no receipt yet, give that one's, now that there is one."""
        with self._custodian.catalogue.write() as tx:
            receipt = packages.receipt(tx, version.id)
            ingest = ingests.get(tx, ingest_id)
            if receipt is None or ingest is None or ingest.state is not IngestState.STORED:
                return
            ingests.receipt(tx, ingest_id, receipt)
            self._record(tx, version, {"ingest": ingest_id, "repeats": version.ingest_id})
        self._bell.ring(ingest_id)

    def _record(self, tx: Tx, version: Version, detail: Mapping[str, Json]) -> None:
        told = {**detail, "key_id": self._key.key_id}
        who = (self._custodian.agent, version.identifier, version.number)
        append(tx, NewEvent(EventType.RECEIPT, Outcome.SUCCESS, *who, detail=told))

    def issue_all(self) -> None:
        """Make every receipt that is due: a kill may have come between the proof and the receipt.

        A page of those that wait at each call, going round: deposits whose second volume is away must not hide those
        that can be had.
        """
        with self._custodian.catalogue.read() as tx:
            waiting = ingests.awaiting_receipt(tx, _BATCH, after=self._looked_at)
            due = [packages.version(tx, i.identifier, i.version) for i in waiting if i.version is not None]
        self._looked_at = waiting[-1] if len(waiting) == _BATCH else None
        for version in due:
            if version is not None:
                try:
                    self.issue_ready(version)
                except VaultError as error:
                    log.error("receipt-not-issued", identifier=version.identifier, code=error.code, reason=str(error))

    async def wait(self, ingest_id: str, seconds: float) -> Mapping[str, Json] | None:
        """The ingest's receipt as soon as there is one; None when it takes longer. In the event loop's thread."""
        until = time.monotonic() + seconds
        with self._bell.listening(ingest_id) as listener:
            while True:
                # Looked up after it began to listen, so that one issued in between is not missed.
                receipt = await asyncio.to_thread(self._receipt, ingest_id)
                left = until - time.monotonic()
                if receipt is not None or left <= 0 or self._bell.closed:
                    return receipt
                await listener.wait(left)

    def _receipt(self, ingest_id: str) -> Mapping[str, Json] | None:
        with self._custodian.catalogue.read() as tx:
            ingest = ingests.get(tx, ingest_id)
        return ingest.receipt if ingest else None

    def _ready(self, tx: Tx, version: Version) -> bool:
        policy = self._custodian.policy(version.policy)
        return policies.receipt_ready(policy, self._custodian.holdings(tx, copies.of_version(tx, version.id)))

    def _make(self, tx: Tx, version: Version) -> dict[str, Json]:
        package = packages.get(tx, version.identifier)
        volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
        good: list[Json] = [
            {
                "volume": copy.volume,
                "uuid": str(volumes[copy.volume_id].uuid),
                "medium": str(volumes[copy.volume_id].medium),
                "domain": volumes[copy.volume_id].domain,
                "site": volumes[copy.volume_id].site,
                "state": str(copy.state),
                "proved_at": to_text(copy.proved_at) if copy.proved_at else None,
            }
            for copy in copies.of_version(tx, version.id)
            if copy.state is CopyState.GOOD
        ]
        said = package.descriptive if package else None
        return self._key.sign_document(
            {
                "format": FORMAT,
                "node": self._custodian.settings.node.name,
                "ingest": version.ingest_id,
                "identifier": version.identifier,
                "version": f"v{version.number}",
                "kind": str(version.kind),
                "object": part_of(version).object_id,
                "fonds": said.fonds if said else "",
                "agency": said.agency if said else "",
                "batch": said.batch if said else "",
                "files": version.files,
                "bytes": version.bytes,
                "digests": {
                    "deposit": dict(version.deposit_digests),
                    "content": {str(version.algorithm): version.content_digest},
                    "inventory": {str(version.algorithm): version.inventory_digest},
                },
                "policy": version.policy,
                "copies": good,
                "deposited_at": to_text(version.created_at),
                "issued_at": to_text(tx.now),
            }
        )
