"""Recalls: bringing content back from tape, and how far that is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from vault import wire, wire_tapes
from vault.api import ownership, threads
from vault.api.auth import MayRead, Principal
from vault.api.openapi import PROBLEM
from vault.api.parts import Node
from vault.catalog import copies, packages, recalls, volumes
from vault.catalog.engine import Tx
from vault.custody.recalls import Recall
from vault.errors import Conflict, NotFound
from vault.identifiers import parse_identifier
from vault.model import MediumClass, Scope
from vault.tape_model import Recall as Row
from vault.tapes.recaller import shown
from vault.tapes.singles import OF_A_CARTRIDGE

router = APIRouter(tags=["content"], responses=PROBLEM)


@router.post("/recalls", status_code=202, summary="Bring a version back from tape")
async def order_recall(node: Node, who: MayRead, order: wire_tapes.RecallOrder, response: Response) -> wire.Recall:
    """All of it, or some of its files, to the recall cache, from where ``GET /content`` serves it. The same order
    again, while it is open, is the same recall; see ``Location``."""
    identifier = parse_identifier(order.identifier)

    def work() -> Recall:
        with node.catalogue.read() as tx:
            version = ownership.seen_version(tx, who, identifier, order.version)
            tapes = {volume.id for volume in volumes.all(tx) if volume.medium is MediumClass.TAPE}
            if not any(copy.volume_id in tapes for copy in copies.of_version(tx, version.id)):
                raise Conflict(
                    f"No tape ever had {version.identifier} v{version.number}: there is nothing to bring back.",
                    remedy="Fetch it as it is: GET /v1/content, or `vaultctl get`.",
                    code="nothing-to-recall",
                )
        return node.recaller.request(version, order.files, who.agent)

    made = await threads.run("recall", work)
    response.headers["Location"] = f"/v1/recalls/{made.id}"
    return wire.Recall.model_validate(made)


@router.get("/recalls", summary="The recalls")
def list_recalls(node: Node, who: MayRead, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> wire_tapes.RecallList:
    """Recalls, the newest first."""
    with node.catalogue.read() as tx:
        found = [row for row in recalls.listing(tx, limit=limit) if _may_see(tx, who, row)]
    return wire_tapes.RecallList(
        items=[wire.Recall.model_validate(shown(row, node.settings.recall.keep)) for row in found]
    )


@router.get("/recalls/{recall_id}", summary="How far a recall is")
def get_recall(node: Node, who: MayRead, recall_id: str) -> wire.Recall:
    """A recall, with what it waits for or how far it is."""
    with node.catalogue.read() as tx:
        found = recalls.get(tx, recall_id)
        if found is None or not _may_see(tx, who, found):
            raise NotFound(
                f"There is no recall {recall_id[:100]!r}.",
                remedy="Look at the address that the order answered.",
                code="no-such-recall",
            )
    return wire.Recall.model_validate(shown(found, node.settings.recall.keep))


def _may_see(tx: Tx, who: Principal, recall: Row) -> bool:
    if recall.version == OF_A_CARTRIDGE:
        return Scope.OPERATE in who.scopes
    package = packages.get(tx, recall.identifier)
    return package is not None and ownership.may_see(who, package.descriptive.agency)
