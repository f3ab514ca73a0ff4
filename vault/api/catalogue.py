"""What is: packages and their listings, events."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from vault import wire
from vault.api import ownership, views
from vault.api.auth import MayAudit, MayFollow, MayList
from vault.api.conditional import answer, described
from vault.api.kept_answers import KeptAnswers
from vault.api.openapi import PROBLEM
from vault.api.parts import Node
from vault.api.paths import decode_identifier, make_cursor, read_cursor
from vault.api.problems import bad_request
from vault.catalog import listing
from vault.catalog.listing import Place, Wanted
from vault.identifiers import parse_identifier
from vault.ledger import event_document
from vault.ledger import events as ledger_events
from vault.model import Package
from vault.text import normalised

router = APIRouter(responses=PROBLEM)


@router.get(
    "/packages",
    tags=["packages"],
    summary="List packages",
    responses=described(wire.PackageList, "A page of packages."),
)
def list_packages(
    request: Request,
    node: Node,
    who: MayList,
    fonds: Annotated[str | None, Query(description="Only of this fonds.")] = None,
    agency: Annotated[str | None, Query(description="Only of this agency, by its code.")] = None,
    batch: Annotated[str | None, Query(description="Only of this batch (delivery), by its id.")] = None,
    class_: Annotated[str | None, Query(alias="class", description="Only of this class.")] = None,
    file_code: Annotated[str | None, Query(description="Only with this file code (mã hồ sơ).")] = None,
    retention: Annotated[str | None, Query(description="Only with this retention period.")] = None,
    access: Annotated[str | None, Query(description="Only with this access level.")] = None,
    below_policy: Annotated[
        bool | None, Query(description="Only those with (or without) a version below policy.")
    ] = None,
    proved_before: Annotated[
        wire.SaidMoment | None, Query(description="Only those last proved before then, or never; see last_proved_at.")
    ] = None,
    created_since: Annotated[
        wire.SaidMoment | None, Query(description="Only those whose first version was taken in then or later.")
    ] = None,
    prefix: Annotated[str | None, Query(description="Only identifiers that begin so.")] = None,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before, with the same conditions.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Packages in the order of their identifiers' code points, a page at a time.

    With ``proved_before`` those that were proved longest ago come first, with ``created_since`` those that came first.
    No package is skipped or listed twice because others come or are proved meanwhile.
    """
    own = ownership.only_agency(who)
    if own is not None and agency not in (None, own):
        return answer(request, wire.PackageList(items=[], next_cursor=None))
    wanted = Wanted(
        fonds=_composed(fonds),
        agency=_composed(agency) if own is None else own,
        batch=_composed(batch),
        priority_class=_composed(class_),
        file_code=_composed(file_code),
        retention=_composed(retention),
        access=_composed(access),
        below_policy=below_policy,
        proved_before=proved_before,
        created_since=created_since,
        prefix=_composed(prefix),
    )
    after = _read_place(cursor, wanted)
    with node.catalogue.read() as tx:
        found = listing.page(tx, wanted, after=after, limit=limit + 1)
        page = views.summaries(node, tx, found[:limit])
    following = _make_cursor(found[limit - 1], wanted) if len(found) > limit else None
    return answer(request, wire.PackageList(items=page, next_cursor=following))


def _composed(text: str | None) -> str | None:
    return None if text is None else normalised("NFC", text)


def _make_cursor(last: Package, wanted: Wanted) -> str:
    place = listing.place_of(last, wanted.order)
    return make_cursor(json.dumps([_fingerprint(wanted), place.value, place.identifier]))


def _read_place(cursor: str | None, wanted: Wanted) -> Place | None:
    """Where the page before ended. A cursor of other conditions would lead astray, and is refused (``bad-cursor``)."""
    text = read_cursor(cursor)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    match found:
        case [str(fingerprint), str(value), str(identifier)] if fingerprint == _fingerprint(wanted):
            return Place(value, identifier)
    raise bad_request(
        "bad-cursor",
        "The cursor cannot be read, or is of a listing with other conditions.",
        "Send next_cursor of the page before as it came, with the same conditions.",
        "cursor",
    )


def _fingerprint(wanted: Wanted) -> str:
    return hashlib.sha256(repr(dataclasses.astuple(wanted)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@router.get(
    "/packages/{identifier:path}",
    tags=["packages"],
    summary="A package, its versions and their copies",
    responses=described(wire.Package, "The package."),
)
async def get_package(
    request: Request,
    who: MayFollow,
    identifier: Annotated[str, Path(description="The identifier, percent-encoded once.")],
) -> Response:
    """Everything that is known: what was said of it, versions, copies, whether it is accepted and the policy holds,
    which sets are complete, when each copy was last proved."""
    wanted = decode_identifier(identifier)
    kept: KeptAnswers = request.app.state.kept_answers
    document = kept.find(who, wanted)
    if document is None:
        document = await run_in_threadpool(kept.make, who, wanted)
    return answer(request, document)


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
