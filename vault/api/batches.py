"""Batches (đợt giao nộp): a delivery opened with the depositor's list, watched, and closed with a signed receipt."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from pydantic_core import from_json

from vault import wire
from vault.api import ownership, threads
from vault.api.auth import MayDeposit, MayFollow, Principal, needs_scope
from vault.api.openapi import PROBLEM
from vault.api.parts import Node, NodeParts
from vault.api.paths import make_cursor, read_cursor
from vault.api.problems import RETRY_AFTER_SECONDS, bad_request
from vault.catalog import batches
from vault.catalog.batches import Batch, Item, ListedPackage, Show
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.errors import Fault, Invalid, NotFound, Unreachable
from vault.identifiers import parse_identifier
from vault.intake.batches import Opening
from vault.model import Scope
from vault.text import normalised
from vault.wire.batches import MOST_BYTES, MOST_ITEMS

router = APIRouter(tags=["batches"], responses=PROBLEM)

MOST_LISTS: Final = 8
"""So many lists may be coming in at once, each of 8 MiB at most."""

MOST_LISTS_OF_ONE: Final = 2
"""And so many of them from one sender, however slowly they come."""

MOST_READ: Final = 2
"""So many that are here whole are read at once; each may take a few dozen MB while it is."""

_MOST_PARTS: Final = 8 * MOST_ITEMS
"""Objects and arrays in a list's JSON, counted as ``{`` and ``[``: a package has two, the rest is for
identifiers. Each takes 200 bytes or more."""

_MOST_VALUES: Final = 40 * MOST_ITEMS
"""Keys and values in it, counted as ``,`` and ``:``: a package has eleven, and identifiers may have some too."""

_MOST_UNKNOWN: Final = 20

_MOST_FAULTS: Final = 1000
_LIST_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The delivery with its list, 8 MiB at most.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchOrder"}}},
    }
}


@router.post(
    "/batches",
    status_code=201,
    summary="Open a batch",
    responses={200: {"description": "The same delivery was opened before: that one.", "model": wire.Batch}},
    openapi_extra=_LIST_BODY,
)
async def open_batch(request: Request, node: Node, who: MayDeposit, response: Response) -> wire.Batch:
    """Open a delivery with its list. The same again answers 200 with the batch that is there; another list or agency
    under the same code and number answers 409. Packages go into it with ``batch=ID``."""
    state = request.app.state
    try:
        give_back = state.list_places.take(who.agent)
    except Unreachable:
        raise Unreachable(
            "Other lists are coming in just now.", remedy=f"Send it again in {RETRY_AFTER_SECONDS} s.", code="busy"
        ) from None
    try:
        body = await request.body()
        async with state.list_readers:
            opening = await threads.run("list", _read_opening, body, who)
    finally:
        give_back(None)
    opened, created = await threads.run("open-batch", node.batches.open, opening, who.agent)
    response.headers["Location"] = f"/v1/batches/{opened.id}"
    response.status_code = 201 if created else 200
    return await threads.run("batch", _read, node, who, opened.id)


def _read_opening(body: bytes, who: Principal) -> Opening:
    """Raises Invalid (``bad-batch``) with every fault, Forbidden (``not-your-agency``, ``not-your-prefix``)."""
    # Before anything is made of it: of 8 MiB it could be a million objects.
    if body.count(b"{") + body.count(b"[") > _MOST_PARTS or body.count(b",") + body.count(b":") > _MOST_VALUES:
        raise _bad_list([Fault("bad-batch", f"It has more than a list of at most {MOST_ITEMS} items can have")])
    try:
        said = from_json(body)
    except ValueError as error:
        raise _bad_list([Fault("bad-batch", f"Invalid JSON: {error}")]) from None
    named = said.get("items") if isinstance(said, dict) else None
    if isinstance(named, list) and len(named) > MOST_ITEMS:
        raise _bad_list([Fault("bad-batch", f"List should have at most {MOST_ITEMS} items, not {len(named)}", "items")])
    # Before pydantic makes an error of each, of which there may be a million.
    unknown = list(islice(_unknown_keys(said), _MOST_UNKNOWN))
    if unknown:
        raise _bad_list([Fault("bad-batch", "Extra inputs are not permitted", path) for path in unknown])
    try:
        order = wire.BatchOrder.model_validate(said)
    except ValidationError as error:
        raise _bad_list(list(islice(_faults_of(error, named), _MOST_FAULTS))) from None
    faults: list[Fault] = []
    items: list[ListedPackage] = []
    seen: set[str] = set()
    for number, listed in enumerate(order.items):
        try:
            identifier = parse_identifier(listed.identifier)
        except Invalid as error:
            faults += [Fault("bad-batch", fault.message, f"items.{number}.identifier") for fault in error.faults]
            continue
        if identifier in seen:
            faults.append(Fault("bad-batch", "it is on the list twice", f"items.{number}.identifier"))
        seen.add(identifier)
        items.append(ListedPackage(identifier, dict(listed.digests), listed.files, listed.bytes))
    if max(sum(item.files for item in items), sum(item.bytes for item in items)) > MOST_BYTES:
        faults.append(Fault("bad-batch", "its numbers add up to more than JSON can say", "items"))
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in order.agency_name + order.registration_code):
        faults.append(Fault("bad-batch", "it has a control character", "agency_name"))
    if faults:
        raise _bad_list(faults)
    agency = ownership.own_batch(who, order.agency, (item.identifier for item in items))
    name = normalised("NFC", order.agency_name)
    return Opening(order.registration_code, order.delivery_number, agency, name, items)


def _faults_of(error: ValidationError, items: object) -> Iterator[Fault]:
    """What pydantic found. Of a great many, package by package: it holds the interpreter while it tells all at once."""
    if error.error_count() <= _MOST_FAULTS or not isinstance(items, list):
        yield from _told(error)
        return
    for number, item in enumerate(items):
        try:
            wire.ListedPackage.model_validate(item)
        except ValidationError as wrong:
            yield from _told(wrong, "items", number)


def _told(error: ValidationError, *place: str | int) -> Iterator[Fault]:
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        yield Fault("bad-batch", str(found["msg"]), ".".join(str(part) for part in (*place, *found["loc"])))


def _unknown_keys(said: object) -> Iterator[str]:
    """Where there are keys that neither a delivery nor a package on its list has."""
    if not isinstance(said, dict):
        return
    yield from (str(key)[:100] for key in said if key not in wire.BatchOrder.model_fields)
    items = said.get("items")
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            keys = (key for key in item if key not in wire.ListedPackage.model_fields)
            yield from (f"items.{number}.{str(key)[:100]}" for key in keys)


def _bad_list(faults: list[Fault]) -> Invalid:
    first = f"{faults[0].path}: {faults[0].message}" if faults[0].path else faults[0].message
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Invalid(
        f"The list of the delivery cannot be read: {first}{more}."[:2000],
        faults=faults[:_MOST_FAULTS],
        remedy="Correct what faults names; docs/reference/api.md shows a list.",
        code="bad-batch",
    )


@router.get("/batches", summary="List batches")
def list_batches(
    node: Node,
    who: MayFollow,
    state: Annotated[str | None, Query(pattern="^(open|closed)$", description="Only those in this state.")] = None,
    agency: Annotated[str | None, Query(description="Only those of this agency.")] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.BatchList:
    """Batches that one may see, the newest first."""
    own = ownership.only_agency(who)
    if own is not None and agency not in (None, own):
        return wire.BatchList(items=[], next_cursor=None)
    with node.catalogue.read() as tx:
        found = batches.listing(
            tx,
            agency=agency if own is None else own,
            agent=None if ownership.sees_batches_of_others(who) else who.agent,
            is_open=None if state is None else state == "open",
            before=_read_place(cursor),
            limit=limit + 1,
        )
        page = [_batch(tx, batch) for batch in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    return wire.BatchList(items=page, next_cursor=make_cursor(f"{to_text(last.opened_at)} {last.id}") if last else None)


def _read_place(cursor: str | None) -> tuple[datetime, str] | None:
    text = read_cursor(cursor)
    if text is None:
        return None
    moment, _, batch_id = text.partition(" ")
    try:
        return from_text(moment), batch_id
    except ValueError:
        raise bad_request(
            "bad-cursor", "The cursor cannot be read.", "Send next_cursor of the page before as it came.", "cursor"
        ) from None


@router.get("/batches/{batch_id}", summary="A batch, and how far it is")
def get_batch(node: Node, who: MayFollow, batch_id: str) -> wire.Batch:
    """How many packages of it are how far, and once it is closed its signed receipt."""
    return _read(node, who, batch_id)


@router.get("/batches/{batch_id}/items", summary="The packages of a batch")
def list_batch_items(
    node: Node,
    who: MayFollow,
    batch_id: str,
    show: Annotated[Show, Query(description="Which of them.")] = Show.ALL,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.BatchItemList:
    """All packages, or only those that are ``missing``, ``extra``, ``different``, ``not-ready`` or ``entered``."""
    after = read_cursor(cursor)
    with node.catalogue.read() as tx:
        _seen(tx, who, batch_id)
        found = batches.items(tx, batch_id, show=show, after=after, limit=limit + 1)
    page = found[:limit]
    more = len(found) > limit
    return wire.BatchItemList(
        items=[_item(item) for item in page], next_cursor=make_cursor(page[-1].identifier) if more else None
    )


@router.post("/batches/{batch_id}/close", summary="Close a batch")
def close_batch(node: Node, who: MayFollow, batch_id: str, closing: wire.BatchClosing | None = None) -> wire.Batch:
    """Close a delivery: its receipt is signed. Only who opened it, or who has the scope operate.

    409 while packages wait for their receipts (``batch-not-ready``), and where something is missing, extra or different
    (``batch-differs``): ``faults`` names each package. With ``accept_differences``, which needs the scope approve, the
    latter is closed too. The same again answers the same receipt; closing it the other way answers ``batch-closed``.
    """
    wanted = closing or wire.BatchClosing()
    with node.catalogue.read() as tx:
        batch = _seen(tx, who, batch_id)
    if batch.agent != who.agent:
        needs_scope(who, Scope.OPERATE)
    if wanted.accept_differences:
        needs_scope(who, Scope.APPROVE)
    node.batches.close(batch_id, who.agent, accept_differences=wanted.accept_differences, reason=wanted.reason)
    return _read(node, who, batch_id)


@router.get(
    "/batches/{batch_id}/receipt",
    summary="The signed receipt of a batch",
    responses={200: {"description": "The receipt, as it was signed.", "content": {"application/json": {}}}},
)
def get_batch_receipt(node: Node, who: MayFollow, batch_id: str) -> wire.JsonObject:
    """The receipt alone, as it was signed. It can be checked with ``vaultctl receipt verify``."""
    with node.catalogue.read() as tx:
        batch = _seen(tx, who, batch_id)
    if batch.receipt is None:
        raise NotFound(
            f"The batch {batch_id} has no receipt yet: it is open.", remedy="Close it.", code="no-receipt-yet"
        )
    return batch.receipt


def _read(node: NodeParts, who: Principal, batch_id: str) -> wire.Batch:
    with node.catalogue.read() as tx:
        return _batch(tx, _seen(tx, who, batch_id))


def _seen(tx: Tx, who: Principal, batch_id: str) -> Batch:
    found = batches.get(tx, batch_id)
    if found is None or not ownership.may_see_batch(who, found):
        raise batches.no_such_batch(batch_id)
    return found


def _batch(tx: Tx, batch: Batch) -> wire.Batch:
    counts = batches.counts(tx, batch.id)
    return wire.Batch(
        id=batch.id,
        state="open" if batch.closed_at is None else "closed",
        registration_code=batch.registration_code,
        delivery_number=batch.delivery_number,
        agency=batch.agency,
        agency_name=batch.agency_name,
        agent=batch.agent,
        list_sha256=batch.list_digest,
        packages=wire.BatchCounts(
            listed=batch.listed,
            entered=counts.entered,
            receipted=counts.receipted,
            not_ready=counts.not_ready,
            missing=counts.missing,
            extra=counts.extra,
            different=counts.different,
        ),
        listed_files=batch.listed_files,
        listed_bytes=batch.listed_bytes,
        entered_files=counts.entered_files,
        entered_bytes=counts.entered_bytes,
        opened_at=batch.opened_at,
        closed_at=batch.closed_at,
        receipt=batch.receipt,
    )


def _item(item: Item) -> wire.BatchItem:
    return wire.BatchItem.model_validate(
        {
            "identifier": item.identifier,
            "listed": item.listed,
            "state": item.state.value,
            "differences": list(item.differences),
            "digests": item.digests,
            "files": item.files,
            "bytes": item.bytes,
            "entered_files": item.came_files,
            "entered_bytes": item.came_bytes,
            "version": item.version,
            "content_digest": item.content_digest,
            "ingest_id": item.ingest_id,
        }
    )
