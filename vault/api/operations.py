"""What is done to the node: volumes, orders to verify and repair, evidence, checkpoints of the ledger."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from vault import wire
from vault.api import threads, views
from vault.api.auth import MayAudit, MayLook, MayOperate
from vault.api.openapi import PROBLEM
from vault.api.parts import Node, NodeParts
from vault.api.problems import bad_request
from vault.catalog import evidence as catalog_evidence
from vault.catalog import readings, tasks, verifications
from vault.custody import beginning, modes, replacing
from vault.custody import evidence as custody_evidence
from vault.custody.checkpoints import keep_checkpoint
from vault.custody.orders import order_repair, order_verification
from vault.errors import NotFound
from vault.identifiers import parse_identifier
from vault.model import TaskState
from vault.text import normalised

router = APIRouter(tags=["operations"], responses=PROBLEM)

_BATCH = 500


@router.get("/volumes", summary="Every volume")
def list_volumes(node: Node, _who: MayLook) -> wire.VolumeList:
    """What is known of every volume, and the numbers of its copies."""
    with node.catalogue.read() as tx:
        return wire.VolumeList(items=views.all_volumes(node, tx))


@router.post("/volumes/{name}/init", status_code=201, summary="Make an empty place into a volume")
async def initialise_volume(node: Node, _who: MayOperate, name: str) -> wire.Volume:
    """Write its identity to a volume of the configuration whose place is empty. It can be used at once. Refused for one
    that is known: should its medium be lost, another one takes its place by ``replace``."""
    volume = node.custodian.volume(name)

    def work() -> None:
        beginning.begin(node.catalogue, volume, node.settings.node.name)
        # The watch enters it into the catalogue, with its event, as one that was brought from elsewhere.
        node.watch.look_now(volume)
        # So that this volume too bears witness of the ledger from its first day.
        keep_checkpoint(node.custodian, node.key)

    await threads.run(f"init-{name}", work)
    return await threads.run("volume", _volume, node, name)


def _volume(node: NodeParts, name: str) -> wire.Volume:
    with node.catalogue.read() as tx:
        return views.volume(node, tx, name)


@router.post("/volumes/{name}/mode", summary="Say what a volume is to be used for")
def change_mode(node: Node, who: MayOperate, name: str, change: wire.ModeChange) -> wire.Volume:
    """``active``, ``read-only``, ``evacuating`` or ``retired``. Retired can only be what was evacuated: no version may
    need a copy that is on it."""
    modes.change_mode(node.custodian, name, change.mode, who.agent)
    return _volume(node, name)


@router.post("/volumes/{name}/replace", summary="Give a dead volume's name to a new medium")
async def replace_volume(node: Node, who: MayOperate, name: str, order: wire.ReplaceOrder | None = None) -> wire.Volume:
    """The empty place becomes the volume. Every copy that stood on the old medium is missing from then on, and is made
    anew. Refused while the old medium stands there, and while versions have no other copy than the one on it, unless
    the order says how many of these are given up."""
    given_up = order.give_up if order is not None else 0

    def work() -> None:
        replacing.replace(node.custodian, name, who.agent, give_up=given_up)
        node.watch.look_now(node.custodian.volume(name))
        keep_checkpoint(node.custodian, node.key)

    await threads.run(f"replace-{name}", work)
    return await threads.run("volume", _volume, node, name)


@router.get("/tasks", summary="Work that was derived")
def list_tasks(
    node: Node,
    _who: MayLook,
    state: Annotated[list[TaskState] | None, Query(description="Only in these states; open ones by default.")] = None,
    all: Annotated[bool, Query(description="In whatever state.")] = False,  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.TaskList:
    """Tasks, the newest first. Losing them all loses nothing: the planner derives them again."""
    states = None if all else state or [TaskState.READY, TaskState.RUNNING]
    with node.catalogue.read() as tx:
        found = tasks.listing(tx, states, limit=limit)
    stalled = stalled_tasks(node)
    return wire.TaskList(items=[views.task(task, stalled) for task in found])


def stalled_tasks(node: NodeParts) -> frozenset[int]:
    """The numbers of the running tasks that have read and written nothing for long."""
    patience = max(4 * node.settings.custody.lease, 10 * node.settings.custody.probe_interval)
    return frozenset(task.id for task in node.dispatcher.stalled(patience))


@router.post("/verifications", status_code=202, summary="Check copies now")
def order_verifications(
    node: Node, who: MayAudit, order: wire.VerificationOrder, response: Response
) -> wire.Verification:
    """Have every copy in the scope read back from its medium. The order survives restarts; see ``Location``."""
    scopes = [bool(order.volume), bool(order.identifier), bool(order.fonds), order.all].count(True)
    if scopes > 1 or (not scopes and not order.sample) or (order.identifier and order.sample):
        raise bad_request(
            "bad-order",
            "The order does not say what to verify.",
            'Send exactly one of "volume", "identifier", "fonds" or "all"; "sample" beside it (but for a package), or'
            " alone.",
        )
    made = order_verification(
        node.custodian,
        volume=order.volume,
        identifier=parse_identifier(order.identifier) if order.identifier else "",
        fonds=normalised("NFC", order.fonds),
        sample=order.sample,
        agent=who.agent,
    )
    response.headers["Location"] = f"/v1/verifications/{made.id}"
    return wire.Verification.model_validate(made)


@router.get("/verifications", summary="The orders to check copies")
def list_verifications(
    node: Node, _who: MayLook, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> wire.VerificationList:
    """Orders, the newest first."""
    with node.catalogue.read() as tx:
        found = verifications.listing(tx, limit=limit)
        return wire.VerificationList(items=[views.verification(tx, order) for order in found])


@router.get("/verifications/{verification_id}", summary="How far an order to check copies is")
def get_verification(node: Node, _who: MayLook, verification_id: str) -> wire.Verification:
    """An order, with what was found so far."""
    with node.catalogue.read() as tx:
        found = verifications.get(tx, verification_id)
    if found is None:
        raise NotFound(
            f"There is no verification {verification_id[:100]!r}.",
            remedy="Look at the address that the order answered.",
            code="no-such-verification",
        )
    with node.catalogue.read() as tx:
        return views.verification(tx, found)


@router.get("/readings", summary="What was read back on which day")
def list_readings(
    node: Node,
    _who: MayLook,
    first: Annotated[date, Query(alias="from", description="The first day.", examples=["2026-11-22"])],
    last: Annotated[date | None, Query(alias="to", description="The last day; else only the first.")] = None,
    volume: Annotated[str, Query(description="Only of this volume.")] = "",
    limit: Annotated[int, Query(ge=1, le=10000)] = 1000,
) -> wire.ReadingList:
    """Minutes of the reading that the schedule asked for, and of what was read beside it: by day and volume, what it
    came to, how fast it went, and how far the volume was within its interval."""
    with node.catalogue.read() as tx:
        found = readings.between(tx, first, last or first, volume, limit=limit)
    return wire.ReadingList(node=node.settings.node.name, items=[views.reading(one) for one in found])


@router.post("/repairs", status_code=202, summary="Repair a package now")
def order_repairs(node: Node, who: MayOperate, order: wire.RepairOrder) -> wire.Repair:
    """Have damaged and missing copies repaired at once. They are repaired without an order too; this ends the waiting
    after attempts that failed."""
    identifier = parse_identifier(order.identifier)
    return wire.Repair(identifier=identifier, ordered=order_repair(node.custodian, identifier, who.agent))


@router.get("/evidence", summary="Damaged bytes that are being kept")
def list_evidence(
    node: Node,
    _who: MayAudit,
    released: Annotated[
        bool | None, Query(description="Only what was (or was not) released; the latter by default.")
    ] = False,
) -> wire.EvidenceList:
    """What was set aside in repairs."""
    with node.catalogue.read() as tx:
        found = catalog_evidence.all(tx, released=released)
        return wire.EvidenceList(items=[views.evidence(tx, kept) for kept in found])


@router.post("/evidence/{evidence_id}/release", summary="Let evidence go")
async def release_evidence(
    node: Node, who: MayOperate, evidence_id: Annotated[int, Path(ge=0, le=wire.MOST)]
) -> wire.Evidence:
    """Delete damaged bytes that were set aside; they cannot be had again. Refused while no copy of them is good."""

    gone = await threads.run(
        f"release-{evidence_id}", custody_evidence.release_evidence, node.custodian, evidence_id, who.agent
    )
    return wire.Evidence.model_validate(gone)


@router.post(
    "/ledger/checkpoints",
    status_code=201,
    summary="Sign where the ledger stands",
    responses={201: {"description": "The checkpoint, as it was signed.", "content": {"application/json": {}}}},
)
async def make_checkpoint(node: Node, _who: MayOperate) -> wire.JsonObject:
    """Sign the end of the chain now, and keep that on every volume that can be written."""
    return await threads.run("checkpoint", keep_checkpoint, node.custodian, node.key)


@router.post(
    "/catalog/backups",
    status_code=201,
    summary="Back the catalogue up",
    responses={201: {"description": "The backup's seal, as it was signed.", "content": {"application/json": {}}}},
)
async def make_backup(node: Node, _who: MayOperate) -> wire.JsonObject:
    """Write a sealed backup of the catalogue to the state folder and to every volume that can be written, now."""
    return await threads.run("catalog-backup", node.backups.make)
