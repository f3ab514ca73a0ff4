"""What is: packages and their listings, events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from vault import wire
from vault.api import ownership, views
from vault.api.auth import MayAudit, MayFollow, MayList
from vault.api.openapi import PROBLEM
from vault.api.parts import Node
from vault.api.paths import decode_identifier, make_cursor, read_cursor
from vault.catalog import packages
from vault.identifiers import parse_identifier
from vault.ledger import event_document
from vault.ledger import events as ledger_events

router = APIRouter(responses=PROBLEM)


@router.get("/packages", tags=["packages"], summary="List packages")
def list_packages(
    node: Node,
    who: MayList,
    fonds: Annotated[str | None, Query(description="Only of this fonds.")] = None,
    agency: Annotated[str | None, Query(description="Only of this agency.")] = None,
    batch: Annotated[str | None, Query(description="Only of this delivery.")] = None,
    below_policy: Annotated[
        bool | None, Query(description="Only those with (or without) a version below policy.")
    ] = None,
    prefix: Annotated[str | None, Query(description="Only identifiers that begin so.")] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.PackageList:
    """Packages in the order of their identifiers' code points, a page at a time."""
    after = read_cursor(cursor)
    own = ownership.only_agency(who)
    if own is not None and agency not in (None, own):
        return wire.PackageList(items=[], next_cursor=None)
    with node.catalogue.read() as tx:
        found = packages.listing(
            tx,
            fonds=fonds,
            agency=agency if own is None else own,
            batch=batch,
            below_policy=below_policy,
            prefix=prefix,
            after=after,
            limit=limit + 1,
        )
        page = [views.summary(tx, package) for package in found[:limit]]
    more = len(found) > limit
    return wire.PackageList(items=page, next_cursor=make_cursor(page[-1].identifier) if more else None)


@router.get("/packages/{identifier:path}", tags=["packages"], summary="A package, its versions and their copies")
def get_package(
    node: Node, who: MayFollow, identifier: Annotated[str, Path(description="The identifier, percent-encoded once.")]
) -> wire.Package:
    """Everything that is known: versions, copies, whether the policy holds, when each copy was last proved."""
    wanted = decode_identifier(identifier)
    with node.catalogue.read() as tx:
        return views.package(node, tx, ownership.seen_package(tx, who, wanted))


@router.get("/events", tags=["events"], summary="What happened")
def list_events(
    node: Node,
    _who: MayAudit,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only those that follow this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    identifier: Annotated[str | None, Query(description="Only of this package.")] = None,
    type: Annotated[str | None, Query(description="Only of this type.")] = None,  # noqa: A002
) -> wire.EventList:
    """Events of the ledger in the order of the chain."""
    wanted = parse_identifier(identifier) if identifier is not None else None
    with node.catalogue.read() as tx:
        found = ledger_events(tx, after, limit + 1, wanted, type)
    page = found[:limit]
    return wire.EventList(
        items=[wire.Event.model_validate(event_document(event)) for event in page],
        last=page[-1].seq if page else after,
        more=len(found) > limit,
    )
