"""Following a deposit: asked once, waited for (long-poll), or told as it goes on (server-sent events).

Whoever follows holds no thread and no lane: a bell wakes them when something changed, and only then the catalogue is
asked. How many may follow at once is bounded.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vault import policy as policies
from vault import wire
from vault.api import ownership, threads
from vault.api.auth import MayFollow, Principal
from vault.api.headers import entity_tag_matches
from vault.api.openapi import INGEST, PROBLEM, problem
from vault.api.parts import Node, NodeParts
from vault.api.problems import PROBLEMS, RETRY_AFTER_SECONDS, TYPE_PREFIX, Entry
from vault.catalog import callbacks, copies, ingests, packages, uploads
from vault.catalog.engine import Tx
from vault.depositing import Callback, IngestStep, Upload, UploadState
from vault.errors import NotFound, Unreachable
from vault.intake.bell import Listener
from vault.model import Ingest, IngestState, Json

router = APIRouter(tags=["deposits"])

_T = TypeVar("_T")

HEARTBEAT_SECONDS: Final = 15.0
"""So often a stream of events says that it lives, and the catalogue is asked without a bell, should one be missed."""

ENDED: Final = frozenset({IngestState.RECEIPTED, IngestState.REFUSED, IngestState.FAILED})


class Followers:
    """How many requests may follow deposits at once, and how many of them one sender may have."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._share = max(1, number // 2)
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, agent: str) -> Iterator[None]:
        """A place for the block. Raises Unreachable (``too-many-followers``)."""
        if self._free <= 0 or self._held[agent] >= self._share:
            raise Unreachable(
                "As many requests as this node accepts at once follow deposits.",
                remedy=f"Ask without wait, or after {RETRY_AFTER_SECONDS} s; the operator can raise api.max_followers.",
                code="too-many-followers",
            )
        self._free -= 1
        self._held[agent] += 1
        try:
            yield
        finally:
            self._free += 1
            self._held[agent] -= 1
            if not self._held[agent]:
                del self._held[agent]


def ingest_of(node: NodeParts, who: Principal, ingest_id: str) -> wire.Ingest:
    """What is known of a deposit that they may see. Blocking. Raises NotFound (``no-such-ingest``)."""
    with node.catalogue.read() as tx:
        ingest = ingests.get(tx, ingest_id)
        if ingest is not None and not ownership.may_follow(tx, who, ingest):
            ingest = None
        if ingest is None:
            raise NotFound(
                f"There is no deposit {ingest_id[:100]!r}.",
                remedy="Look at the address that the deposit answered.",
                code="no-such-ingest",
            )
        return _view(node, tx, ingest)


def _view(node: NodeParts, tx: Tx, ingest: Ingest) -> wire.Ingest:
    upload = uploads.get(tx, ingest.id)
    good = needed = None
    if ingest.state in (IngestState.STORED, IngestState.RECEIPTED) and ingest.version is not None:
        version = packages.version(tx, ingest.identifier, ingest.version)
        if version is not None:
            policy = node.custodian.policy(version.policy)
            held = node.custodian.holdings(tx, copies.of_version(tx, version.id))
            good, needed = policies.standing(policy, held).good.total, policy.receipt_after
    return wire.Ingest(
        id=ingest.id,
        identifier=ingest.identifier,
        state=ingest.state,
        step=step_of(ingest, upload, good or 0),
        agent=ingest.agent,
        volume=ingest.volume,
        version=ingest.version,
        bytes_received=upload.received if upload else ingest.bytes_received,
        bytes_total=upload.length if upload else None,
        copies_good=good,
        copies_needed=needed,
        problem=_problem(ingest),
        receipt=ingest.receipt,
        callback=_told(callbacks.get(tx, ingest.id)),
        created_at=ingest.created_at,
        updated_at=ingest.updated_at,
    )


def _told(callback: Callback | None) -> str | None:
    return None if callback is None else callback.outcome or "waiting"


def _problem(ingest: Ingest) -> dict[str, Json] | None:
    """What it ended with, as whoever had waited for it would have been answered."""
    if ingest.problem is None:
        return None
    code = str(ingest.problem.get("code", ""))
    usual = Entry(400, "It was refused") if ingest.state is IngestState.REFUSED else Entry(500, "It came to nothing")
    entry = PROBLEMS.get(code, usual)
    return {"type": TYPE_PREFIX + code, "title": entry.title, "status": entry.status, **ingest.problem}


def step_of(ingest: Ingest, upload: Upload | None, good: int) -> IngestStep:
    """What is being done for a deposit now."""
    if ingest.state is IngestState.RECEIVING and upload is not None and upload.state is UploadState.COMPLETE:
        return IngestStep.VALIDATING
    if ingest.state is IngestState.PREPARED:
        return IngestStep.VALIDATING
    if ingest.state is IngestState.STORED and good:
        return IngestStep.COPYING
    return IngestStep(ingest.state.value)


@router.get(
    "/ingests/{ingest_id}",
    responses={**INGEST, 304: {"description": "It is still what `If-None-Match` names."}, **PROBLEM},
    response_model=wire.Ingest,
    summary="The state of a deposit, with its receipt",
)
async def get_ingest(
    request: Request,
    node: Node,
    who: MayFollow,
    ingest_id: str,
    wait: Annotated[
        int | None,
        Query(ge=0, le=86_400, description="Seconds to wait for a change; without If-None-Match, for its end."),
    ] = None,
) -> Response:
    """What became of a deposit. Once `state` is `receipted` the signed receipt is in it.

    With `wait` the answer comes as soon as the deposit is another than `If-None-Match` names; without
    `If-None-Match`, as soon as it has ended. `wait` counts up to `api.wait_max`.
    """
    known = request.headers.get("if-none-match")
    found = await threads.run("ingest", ingest_of, node, who, ingest_id)
    if wait and not _is_awaited(found, known):
        seconds = min(float(wait), node.settings.api.wait_max.total_seconds())
        with request.app.state.followers.one(who.agent), node.bell.listening(ingest_id) as listener:
            found = await while_there(request, _await(node, who, ingest_id, listener, known, seconds)) or found
    tag = etag(found)
    if known is not None and entity_tag_matches(known, tag):
        return Response(status_code=304, headers={"ETag": f'"{tag}"'})
    return Response(found.model_dump_json(), 200, {"ETag": f'"{tag}"'}, media_type="application/json")


def _is_awaited(found: wire.Ingest, known: str | None) -> bool:
    """Whether it is what the client waits for: another than it knows, or ended."""
    if known is not None:
        return not entity_tag_matches(known, etag(found)) or found.state in ENDED
    return found.state in ENDED


async def _await(
    node: NodeParts, who: Principal, ingest_id: str, listener: Listener, known: str | None, seconds: float
) -> wire.Ingest:
    until = time.monotonic() + seconds
    while True:
        found = await threads.run("ingest", ingest_of, node, who, ingest_id)
        left = until - time.monotonic()
        if _is_awaited(found, known) or left <= 0 or node.bell.closed:
            return found
        await listener.wait(min(left, HEARTBEAT_SECONDS))


async def while_there(request: Request, waiting: Coroutine[object, object, _T]) -> _T | None:
    """Wait for what a client asked for, which has sent all that it had to say; None as soon as it has gone."""
    work, gone = asyncio.create_task(waiting), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        gone.result()
        return None
    finally:
        work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def etag(found: wire.Ingest) -> str:
    """The opaque part of an entity tag for what was seen of a deposit."""
    return hashlib.sha256(found.model_dump_json().encode()).hexdigest()[:32]


@router.get(
    "/ingests/{ingest_id}/events",
    responses={
        200: {
            "description": "Events `ingest`, each with the deposit as JSON; the last one when it has ended.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        503: problem("Too many follow deposits; see `Retry-After`."),
        **PROBLEM,
    },
    response_class=StreamingResponse,
    summary="What happens to a deposit, as it happens",
)
async def follow_ingest(request: Request, node: Node, who: MayFollow, ingest_id: str) -> StreamingResponse:
    """Server-sent events: one at once, and one for each change, until the deposit has ended or the node stops.

    The `id` of an event is the entity tag; with `Last-Event-ID` what is known already is not sent again.
    """
    await threads.run("ingest", ingest_of, node, who, ingest_id)
    events = _events(request, node, who, ingest_id, request.headers.get("last-event-id", ""))
    return _Following(events, request.app.state.followers.one(who.agent))


class _Following(StreamingResponse):
    """A stream of events that has its place as long as it lasts, and is refused where there is none."""

    def __init__(self, events: AsyncIterator[str], place: AbstractContextManager[None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def _events(request: Request, node: NodeParts, who: Principal, ingest_id: str, last: str) -> AsyncIterator[str]:
    with node.bell.listening(ingest_id) as listener:
        while not await request.is_disconnected():
            found = await threads.run("ingest", ingest_of, node, who, ingest_id)
            tag = etag(found)
            if tag != last:
                last = tag
                yield f"event: ingest\nid: {tag}\ndata: {found.model_dump_json()}\n\n"
            if found.state in ENDED or node.bell.closed:
                return
            if not await listener.wait(HEARTBEAT_SECONDS):
                yield ": still here\n\n"
            else:
                # So that a burst of changes is told as one.
                await asyncio.sleep(0)
