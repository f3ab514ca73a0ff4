"""Taking in: ``PUT /packages/{identifier}``, and its receipt."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Final, Literal, TypeVar

import structlog
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from vault.api import ownership, threads
from vault.api.auth import MayDeposit, MayFollow, Principal
from vault.api.following import ingest_of, while_there
from vault.api.headers import parse_filename, parse_if_match, parse_must_be_new, parse_repr_digest, parse_wait
from vault.api.openapi import DEPOSIT, PROBLEM, RECEIPT
from vault.api.parts import Node, NodeParts
from vault.api.paths import decode_identifier, encode_identifier, parse_version
from vault.api.places import Places
from vault.api.problems import bad_request
from vault.catalog import packages
from vault.config import CallbackSettings
from vault.errors import Interrupted, NotFound, Unreachable, VaultError
from vault.intake.body import BodyPipe
from vault.intake.callbacks import read_url
from vault.intake.deposit import Accepted, DepositRequest
from vault.intake.describe import read_descriptive, read_filename, read_kind
from vault.model import Json

log = structlog.get_logger(__name__)
router = APIRouter(tags=["deposits"])

_T = TypeVar("_T")
_RESERVED: Final = frozenset({"kind", "filename", "callback"})


def _one(request: Request, name: str) -> str | None:
    """A header; several lines of it as one list (RFC 9110, section 5.3)."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def read_deposit(request: Request, identifier: str, who: Principal, callbacks: CallbackSettings) -> DepositRequest:
    """Read everything but the body. Raises Invalid for whatever cannot be understood, Forbidden for what is not theirs
    to deposit."""
    encoding = (_one(request, "content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise bad_request(
            "unsupported-encoding",
            f"The body is sent with Content-Encoding: {encoding[:60]}.",
            "Send the package's bytes as they are; a tar.gz is a package and needs no Content-Encoding.",
            "Content-Encoding",
        )
    length = request.headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):
        raise bad_request("bad-content-length", "Content-Length is no number.", "Send the number of bytes.")
    said = dict(request.query_params)
    said["filename"] = said.get("filename") or parse_filename(_one(request, "content-disposition"))
    return make_deposit(
        identifier,
        who,
        said,
        content_length=int(length) if length is not None else None,
        digests=parse_repr_digest(_one(request, "repr-digest")),
        if_match=parse_if_match(_one(request, "if-match")),
        must_be_new=parse_must_be_new(_one(request, "if-none-match")),
        callbacks=callbacks,
    )


def make_deposit(
    identifier: str,
    who: Principal,
    said: Mapping[str, str],
    *,
    digests: Mapping[str, str],
    if_match: int | Literal["*"] | None,
    must_be_new: bool,
    callbacks: CallbackSettings,
    content_length: int | None = None,
) -> DepositRequest:
    """A deposit of which ``said`` is what the depositor says, as a query or as the metadata of an upload.

    Raises Invalid for what cannot be understood or kept, Forbidden for what is not theirs to deposit.
    """
    descriptive, metadata = read_descriptive({key: value for key, value in said.items() if key not in _RESERVED})
    return DepositRequest(
        identifier=identifier,
        ingest_id=str(uuid.uuid4()),
        agent=who.agent,
        kind=read_kind(said.get("kind")),
        filename=read_filename(said.get("filename", "")),
        content_length=content_length,
        digests=digests,
        if_match=if_match,
        must_be_new=must_be_new,
        descriptive=ownership.own(who, identifier, descriptive),
        bound=bool(who.agency),
        metadata=metadata,
        callback=_callback(said.get("callback", ""), callbacks),
    )


def _callback(url: str, settings: CallbackSettings) -> str:
    """Whom to tell. Raises Invalid (``bad-callback``, ``callback-not-allowed``)."""
    if url:
        read_url(url, settings)
    return url


async def _pump(stream: AsyncIterator[bytes], pipe: BodyPipe, idle_seconds: float) -> None:
    """Carry the body from the network into the pipe; what goes wrong on the way goes into the pipe too."""
    try:
        while True:
            try:
                async with asyncio.timeout(idle_seconds):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                break
            await pipe.feed(chunk)
        pipe.finish()
    except TimeoutError:
        pipe.fail(
            Interrupted(
                f"Nothing of the body came for {idle_seconds:.0f} seconds.",
                remedy="Send it again.",
                code="request-timeout",
            )
        )
    except VaultError as error:
        pipe.fail(error)
    except ClientDisconnect:
        pipe.fail(Interrupted("The client went away before the body was complete.", remedy="Send it again."))
    except asyncio.CancelledError:
        pipe.fail(Interrupted("The deposit was stopped before its body was complete.", remedy="Send it again."))
        raise


async def receive(node: NodeParts, places: Places, request: Request, deposit: DepositRequest) -> Accepted:
    """Stream the body to the intake and return what became of it; an early refusal does not wait for the rest."""

    def work(pipe: BodyPipe) -> Accepted:
        return node.intake.receive(deposit, pipe.reader)

    return await carry(node, places, request, deposit.agent, work)


async def carry(node: NodeParts, places: Places, request: Request, agent: str, work: Callable[[BodyPipe], _T]) -> _T:
    """Have ``work`` read a request's body in a thread, while it comes in; return what it returns."""
    give_back = await places.wait(agent)
    pipe = BodyPipe()

    def reading() -> _T:
        try:
            return work(pipe)
        finally:
            pipe.abandon()

    try:
        received = threads.begin("receiving", reading)
    except RuntimeError as error:
        give_back(None)
        raise Unreachable(
            "The machine gives this node no more threads.", remedy="Send it again in a while.", code="busy"
        ) from error
    received.add_done_callback(give_back)
    pump = asyncio.create_task(_pump(request.stream(), pipe, node.settings.api.idle_timeout.total_seconds()))
    try:
        # Shielded: a cancelled request must not give the place back while its thread still works.
        return await asyncio.shield(received)
    except asyncio.CancelledError:
        received.add_done_callback(_note_end)
        raise
    finally:
        pump.cancel()
        await asyncio.wait([pump])


def _note_end(received: asyncio.Future[_T]) -> None:
    """Take note of how a thread ended whose request was ended before it: what nobody asks for, asyncio writes to the
    log with a traceback. That the rest of the body did not come is expected; a fault is not."""
    error = None if received.cancelled() else received.exception()
    if error is not None and not isinstance(error, VaultError):
        log.error("receiving-failed", reason=repr(error)[:500])


@router.put(
    "/packages/{identifier:path}",
    responses=DEPOSIT,
    status_code=201,
    summary="Deposit a package, or a new version of one",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A BagIt bag as tar, tar.gz or zip, or any single file. It is streamed.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
                "example": example,
            }
            for name, text, example in (
                ("Repr-Digest", "Digest of the body (RFC 9530), sha-256 or sha-512; checked.",
                 "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
                ("If-Match", "The version that this one follows; without it the package must be new.", '"v3"'),
                ("If-None-Match", "* refuses even the same content under a known identifier.", "*"),
                ("Prefer", "wait=N: seconds to wait for the receipt.", "wait=60"),
                ("Content-Disposition", "The file's name, where the query has none.",
                 "attachment; filename*=UTF-8''b%C3%A1o%20c%C3%A1o.pdf"),
            )
        ],
    },
)  # fmt: skip
async def put_package(
    request: Request,
    node: Node,
    who: MayDeposit,
    identifier: Annotated[
        str, Path(description="The identifier, percent-encoded once; slashes may stand as they are.")
    ],
    kind: Annotated[
        str | None, Query(description="auto (default), bag, or file: keep even an archive as it is.")
    ] = None,
    filename: Annotated[str | None, Query(description="Name of a single file.")] = None,
    fonds: Annotated[str | None, Query(description="Fonds (phông) that it belongs to.")] = None,
    agency: Annotated[str | None, Query(description="Code of the agency that it comes from.")] = None,
    agency_name: Annotated[str | None, Query(description="Name of that agency.")] = None,
    batch: Annotated[str | None, Query(description="Id of the open batch (delivery) that it is part of.")] = None,
    title: Annotated[str | None, Query(description="Title, for people.")] = None,
    file_code: Annotated[str | None, Query(description="File code (mã hồ sơ).")] = None,
    date_from: Annotated[
        str | None, Query(description="Date of its first document: 2019, 2019-05 or 2019-05-31.")
    ] = None,
    date_to: Annotated[str | None, Query(description="Date of its last document.")] = None,
    retention: Annotated[str | None, Query(description="Retention period, as the depositor writes it.")] = None,
    access: Annotated[str | None, Query(description="Access level, as the depositor writes it.")] = None,
    callback: Annotated[str | None, Query(description="Whom to tell how it ended: an https address.")] = None,
    class_: Annotated[str | None, Query(alias="class", description="Class for policies and order of work.")] = None,
) -> Response:
    """Store the body under ``identifier``.

    201 with the signed receipt once enough copies were read back and found good; 202 with ``Location`` when that
    takes longer than the client would wait. The same content again answers 200 with the first receipt and stores
    nothing. Other content answers 409, or makes a new version with ``If-Match: "vN"``. Any other query parameter is
    kept with the version as its metadata.
    """
    # They are read, with all others, from the query.
    del (
        kind,
        filename,
        fonds,
        agency,
        agency_name,
        batch,
        title,
        file_code,
        date_from,
        date_to,
        retention,
        access,
        callback,
        class_,
    )
    deposit = read_deposit(request, decode_identifier(identifier), who, node.settings.callbacks)
    wait = parse_wait(_one(request, "prefer"))
    api = node.settings.api
    seconds = api.wait.total_seconds() if wait is None else min(float(wait), api.wait_max.total_seconds())
    request.app.state.limits.deposit(who.token)
    accepted = await receive(node, request.app.state.places, request, deposit)
    # After the catalogue was rebuilt a version has no first deposit any more; then this one stands for it.
    ingest_id = accepted.ingest_id or deposit.ingest_id
    receipt = accepted.receipt
    if receipt is None:
        receipt = await while_there(request, node.receipts.wait(ingest_id, seconds))
    headers = {"ETag": f'"v{accepted.version}"'}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
    if receipt is not None:
        headers["Location"] = f"/v1/packages/{encode_identifier(accepted.identifier)}"
        return JSONResponse(dict(receipt), 201 if accepted.created else 200, headers)
    ingest = await threads.run("ingest", ingest_of, node, who, ingest_id)
    headers["Location"] = f"/v1/ingests/{ingest_id}"
    return Response(ingest.model_dump_json(), 202, headers, media_type="application/json")


@router.get("/receipts/{identifier:path}", responses={**RECEIPT, **PROBLEM}, summary="The signed receipt of a version")
def get_receipt(
    node: Node,
    who: MayFollow,
    identifier: Annotated[str, Path(description="The identifier, percent-encoded once.")],
    version: Annotated[str | None, Query(description="3 or v3; the newest where nothing is said.")] = None,
) -> JSONResponse:
    """The receipt as it was signed. It can be checked with ``vaultctl receipt verify``, or by hand (RFC 8785, 8032)."""
    wanted = decode_identifier(identifier)
    number = parse_version(version)
    with node.catalogue.read() as tx:
        found = ownership.seen_version(tx, who, wanted, number)
        receipt: Mapping[str, Json] | None = packages.receipt(tx, found.id)
    if receipt is None:
        raise NotFound(
            f"{wanted} v{found.number} has no receipt yet: not enough of its copies are good.",
            remedy="Look at its copies, and ask again later.",
            code="no-receipt-yet",
        )
    return JSONResponse(dict(receipt))
