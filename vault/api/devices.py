"""What the volumes stand on: disks with their verdicts, and the way down from each volume to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from vault import wire
from vault.api import views
from vault.api.auth import MayLook, MayOperate
from vault.api.openapi import PROBLEM
from vault.api.parts import Node, NodeParts
from vault.api.paths import decode_key
from vault.catalog import disks
from vault.device_model import Disk
from vault.health.disks import from_json
from vault.ledger import append
from vault.model import EventType, Json, NewEvent, Outcome

router = APIRouter(tags=["devices"], responses=PROBLEM)


@router.get("/volumes/{name}", summary="One volume, with what it stands on")
def get_volume(node: Node, _who: MayLook, name: str) -> wire.VolumeDetail:
    """All that is known of a volume, down to the disks below it. A cartridge is a volume too, by its barcode."""
    with node.catalogue.read() as tx:
        found = views.volume(node, tx, name)
    footing = node.health.footings.get(name)
    layers = footing.stack.layers if footing else ()
    return wire.VolumeDetail(
        **dict(found),
        stack=[wire.StackLayer(kind=one.kind, name=one.name, detail=one.detail, depth=one.depth) for one in layers],
        disks=[disk.key for disk in footing.disks] if footing else [],
    )


@router.get("/disks", summary="Every disk, and what to think of it")
def list_disks(node: Node, _who: MayLook) -> wire.DiskList:
    """What the disks told of themselves, with verdicts and reasons, and which volumes stand on them."""
    with node.catalogue.read() as tx:
        found = disks.all(tx)
    hearing = node.health.hearing
    return wire.DiskList(
        items=[_disk(node, disk) for disk in sorted(found, key=lambda disk: (-disk.health.rank, disk.key))],
        heard_at=hearing.taken_at,
        problem=hearing.problem,
        remedy=hearing.remedy,
    )


@router.delete("/disks/{key:path}", summary="Forget a disk that is gone")
def forget_disk(
    node: Node, who: MayOperate, key: Annotated[str, Path(description="Its key in the list, percent-encoded once.")]
) -> wire.Disk:
    """The disk was taken out for good: nobody is told any more that it is gone."""
    with node.catalogue.write() as tx:
        gone = disks.let_go(tx, decode_key(key))
        detail: dict[str, Json] = {"device": "disk", "change": "forgotten", "key": gone.key, "model": gone.model}
        append(tx, NewEvent(EventType.DEVICE_CHANGED, Outcome.SUCCESS, who.agent, detail=detail))
    return _disk(node, gone)


def _disk(node: NodeParts, disk: Disk) -> wire.Disk:
    reasons = [reason for row in disk.reasons if (reason := from_json(row)) is not None]
    return wire.Disk(
        **{name: getattr(disk, name) for name in Disk.__slots__ if name != "reasons"},
        reasons=[
            wire.DiskReason.model_validate(
                {"code": one.code, "verdict": one.verdict.value, "text": one.text, "values": dict(one.values)}
            )
            for one in reasons
        ],
        volumes=views.volumes_on(node, disk.key),
    )
