"""What stands on a volume beside what the catalogue says: scanned, and adopted."""

from __future__ import annotations

from fastapi import APIRouter, Response

from vault import wire
from vault.api import threads
from vault.api.auth import MayLook, MayOperate
from vault.api.openapi import PROBLEM
from vault.api.parts import Node
from vault.api.problems import bad_request, document_of
from vault.errors import NotFound
from vault.intake.describe import FIELDS, read_descriptive
from vault.shelf.desk import AdoptionOrder
from vault.shelf.strangers import Scan

router = APIRouter(tags=["operations"], responses=PROBLEM)


@router.post("/volumes/{name}/scan", status_code=202, summary="Compare a volume with the catalogue")
async def order_scan(node: Node, who: MayOperate, name: str, order: wire.ScanOrder, response: Response) -> wire.Scan:
    """Find what is on the volume and not in the catalogue, and the reverse. It only looks; packages of which something
    is missing are verified. One scan of a volume at a time."""
    scan = await threads.run(f"order-scan-{name}", node.shelf.scan, name, check=order.check, agent=who.agent)
    response.headers["Location"] = f"/v1/volumes/{name}/scan"
    return _scan(scan)


@router.get("/volumes/{name}/scan", summary="The last scan of a volume")
async def get_scan(node: Node, _who: MayLook, name: str) -> wire.Scan:
    """The scan that goes on, or else the last one."""
    return _scan(await threads.run("scan", node.shelf.last_scan, name))


@router.post("/volumes/{name}/adoptions", status_code=202, summary="Make an object on a volume a package")
async def order_adoption(
    node: Node, who: MayOperate, name: str, order: wire.AdoptionOrder, response: Response
) -> wire.Adoption:
    """Validate the object, every byte, and enter it. One that this program made is entered as it stands; one of others
    goes through the intake, version by version, with its first copy on this volume. It may be ordered again."""
    said, free = read_descriptive(order.describe)
    if free:
        # Beside a version of an adopted object stands where it came from, and nothing else.
        name_of_one = next(iter(free))
        raise bad_request(
            "bad-metadata",
            f"{name_of_one!r} is no field that can be said of an adopted object.",
            f"Use {', '.join(FIELDS)}.",
            name_of_one,
        )
    made = await threads.run(
        f"order-adoption-{name}",
        lambda: node.shelf.adopt(name, order.path, identifier=order.identifier, said=said, agent=who.agent),
    )
    response.headers["Location"] = f"/v1/volumes/{name}/adoptions/{made.id}"
    return _adoption(made)


@router.get("/volumes/{name}/adoptions/{adoption_id}", summary="How far an adoption is")
def get_adoption(node: Node, _who: MayOperate, name: str, adoption_id: str) -> wire.Adoption:
    """An adoption that was ordered since the daemon was started."""
    found = node.shelf.adoption(adoption_id)
    if found.volume != name:
        raise NotFound(f"There is no adoption {adoption_id[:100]!r} on {name[:100]!r}.", code="no-such-adoption")
    return _adoption(found)


def _scan(scan: Scan) -> wire.Scan:
    return wire.Scan.model_validate(
        {
            **{name: getattr(scan, name) for name in ("volume", "check", "agent", "began_at", "ended_at", "objects",
                                                      "copies", "read", "ordered", "problem")},
            "state": str(scan.state),
            "counts": {kind: number for kind, number in scan.counts.items() if number},
            "strangers": [each.as_json() for each in list(scan.strangers)],
        }
    )  # fmt: skip


def _adoption(order: AdoptionOrder) -> wire.Adoption:
    done, adopted = order.done.is_set(), order.adopted
    problem = None
    if done and order.error is not None:
        problem = wire.Problem.model_validate(document_of(order.error))
    return wire.Adoption(
        id=order.id,
        volume=order.volume,
        path=order.path,
        agent=order.agent,
        state="running" if not done else "failed" if adopted is None else "done",
        began_at=order.began_at,
        ended_at=order.ended_at,
        read=order.read,
        identifier=adopted.identifier if adopted else "",
        object_id=adopted.object_id if adopted else "",
        in_place=adopted.in_place if adopted else False,
        versions={f"v{was}": f"v{became}" for was, became in adopted.versions.items()} if adopted else {},
        problem=problem,
    )
