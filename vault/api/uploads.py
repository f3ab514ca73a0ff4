"""Resumable deposits: ``/uploads``, the tus protocol 1.0.0 with the same intake behind it as ``PUT /packages``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from vault.api import ownership, threads, tus
from vault.api.auth import MayDeposit, Principal
from vault.api.deposits import carry, make_deposit
from vault.api.headers import parse_if_match, parse_must_be_new, parse_repr_digest
from vault.api.openapi import PROBLEM, Responses, problem
from vault.api.parts import Node, NodeParts
from vault.api.problems import bad_request
from vault.config import CallbackSettings
from vault.depositing import Upload
from vault.errors import VaultError
from vault.identifiers import parse_identifier
from vault.intake.body import BodyPipe
from vault.intake.deposit import DepositRequest
from vault.intake.uploads import CHECKSUMS, Checksum

router = APIRouter(tags=["uploads"])

KEPT_METADATA: Final = "tus_metadata"
"""Under which name the request of an upload keeps ``Upload-Metadata`` as it came."""

UploadId = Annotated[str, Path(description="As in the Location that the creation answered.", max_length=64)]


def _header(name: str, text: str, example: str, *, required: bool = False) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": required, "description": text, "schema": schema,
            "example": example}  # fmt: skip


_RESUMABLE: Final = _header("Tus-Resumable", "The version of tus.", tus.VERSION, required=True)
_OFFSET: Final = _header("Upload-Offset", "Where the body goes.", "1048576", required=True)
_CHECKSUM: Final = _header(
    "Upload-Checksum", "sha1, sha256 or sha512 of this body, in base64.", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="
)
_LENGTH: Final = _header("Upload-Length", "Bytes of the whole.", "2147483648")
_DEFER: Final = _header("Upload-Defer-Length", "1: the length is said later.", "1")
_METADATA: Final = _header(
    "Upload-Metadata",
    "identifier, and what PUT takes as query; values in base64.",
    "identifier SDQ5LzIwMjUvMDEy,filename YS5wZGY=",
)
_BODY: Final = {
    "required": False,
    "description": "Bytes of the package, from the offset on. They are streamed.",
    "content": {tus.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}
_COMMON: Final[Responses] = {
    404: problem("There is no such upload of yours."),
    410: problem("The upload expired, or was ended."),
    412: problem("`Tus-Resumable` is not the version that this node speaks."),
    423: problem("Another request for this upload does not come to its end."),
    **PROBLEM,
}
_TAKES: Final[Responses] = {
    400: problem("A header cannot be read; `faults` names it."),
    409: problem("`Upload-Offset` is not where the upload stands, or a precondition contradicts what is stored."),
    413: problem("It is more than was announced, or than this node takes."),
    415: problem("`Content-Type` is not that of tus."),
    422: problem("It is marked as a state secret, and nothing of it was kept."),
    429: problem("This token has too many uploads open."),
    460: problem("The body is not what `Upload-Checksum` says; nothing of it was kept."),
    503: problem("No volume can be written to, or too many uploads are on their way; see `Retry-After`."),
    507: problem("No volume has room."),
}


def _answer(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=status, headers=headers or {})


@router.options("/uploads", status_code=204, responses=PROBLEM, summary="What this node can of tus")
def upload_options(node: Node, _who: MayDeposit) -> Response:
    """Version, extensions, checksums, and the largest upload that is taken."""
    return _answer(
        204,
        {
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
            "Tus-Max-Size": str(node.settings.intake.max_package_bytes),
        },
    )


@router.post(
    "/uploads",
    status_code=201,
    responses={201: {"description": "Created; `Location` is the upload."}, **_COMMON, **_TAKES},
    summary="Begin a resumable deposit",
    openapi_extra={"parameters": [_RESUMABLE, _LENGTH, _DEFER, _METADATA, _CHECKSUM], "requestBody": _BODY},
)
async def create_upload(request: Request, node: Node, who: MayDeposit) -> Response:
    """Begin an upload, with its first bytes if the body has any.

    `Khoso-Ingest` is the ingest that it becomes: it can be followed from now on. Once all bytes are here, the node
    validates and stores them by itself.
    """
    tus.check_version(request)
    length = tus.read_announced(request)
    raw = tus.one(request, "Upload-Metadata") or ""
    deposit = read_upload(tus.read_metadata(raw), who, node.settings.callbacks)
    coming = tus.read_content_length(request)
    first = coming != 0 and (coming is not None or "transfer-encoding" in request.headers)
    checksum = tus.read_checksum(request)
    if first:
        tus.check_content_type(request)
    request.app.state.limits.deposit(who.token)
    most = who.token.limits.open_uploads if who.token is not None else None
    upload = await threads.run("create-upload", node.uploads.create, deposit, length, {KEPT_METADATA: raw}, most)
    if first:
        try:
            upload = await _receive(request, node, upload.id, who, 0, None, coming, checksum)
        except VaultError as error:
            # The client never heard of this upload, and will begin another.
            await threads.run("give-up", node.uploads.give_up_unheard, upload, error)
            raise
    return _answer(201, {"Location": f"/v1/uploads/{upload.id}", **tus.headers_of(upload)})


@router.head(
    "/uploads/{upload_id}",
    responses={200: {"description": "`Upload-Offset` says how much is here."}, **_COMMON},
    summary="How much of an upload is here",
    openapi_extra={"parameters": [_RESUMABLE]},
)
async def head_upload(request: Request, node: Node, who: MayDeposit, upload_id: UploadId) -> Response:
    """The offset from which to go on: so many bytes are on stable storage. A request that still sends is ended."""
    tus.check_version(request)
    upload = await threads.run("find-upload", node.uploads.find, upload_id, ownership.owner(who))
    return _answer(200, dict(tus.described(upload, upload.request.get(KEPT_METADATA))))


@router.patch(
    "/uploads/{upload_id}",
    status_code=204,
    responses={204: {"description": "All of the body is on stable storage."}, **_COMMON, **_TAKES},
    summary="Send more of an upload",
    openapi_extra={
        "parameters": [_RESUMABLE, _OFFSET, _CHECKSUM, _LENGTH],
        "requestBody": {**_BODY, "required": True},
    },
)
async def append_upload(request: Request, node: Node, who: MayDeposit, upload_id: UploadId) -> Response:
    """Add the body from `Upload-Offset` on. What came before a break stays, unless it has a checksum.

    With the last byte the deposit goes on by itself; `Khoso-Ingest` says where to follow it.
    """
    tus.check_version(request)
    tus.check_content_type(request)
    offset, length, checksum = tus.read_offset(request), tus.read_length(request), tus.read_checksum(request)
    coming = tus.read_content_length(request)
    upload = await _receive(request, node, upload_id, who, offset, length, coming, checksum)
    return _answer(204, tus.headers_of(upload))


@router.delete(
    "/uploads/{upload_id}",
    status_code=204,
    responses={204: {"description": "It is gone."}, 409: problem("All of it is here already."), **_COMMON},
    summary="End an upload",
    openapi_extra={"parameters": [_RESUMABLE]},
)
async def end_upload(request: Request, node: Node, who: MayDeposit, upload_id: UploadId) -> Response:
    """End an upload that is not complete, and free its space. What is stored is never removed."""
    tus.check_version(request)
    await threads.run("end-upload", node.uploads.terminate, upload_id, ownership.owner(who))
    return _answer(204)


async def _receive(
    request: Request,
    node: NodeParts,
    upload_id: str,
    who: Principal,
    offset: int,
    length: int | None,
    coming: int | None,
    checksum: Checksum | None,
) -> Upload:
    def work(pipe: BodyPipe) -> Upload:
        return node.uploads.append(
            upload_id,
            ownership.owner(who),
            offset,
            pipe.reader,
            pipe.fail,
            length=length,
            content_length=coming,
            checksum=checksum,
        )

    return await carry(node, request.app.state.upload_places, request, who.agent, work)


def read_upload(metadata: dict[str, str], who: Principal, callbacks: CallbackSettings) -> DepositRequest:
    """What is to be done with an upload's bytes, by its metadata. Raises Invalid for whatever cannot be understood."""
    said = dict(metadata)
    identifier = said.pop("identifier", "")
    if not identifier:
        raise bad_request(
            "bad-upload-metadata",
            "Upload-Metadata does not say what the package is called.",
            "Send the key identifier, with the identifier's UTF-8 in base64.",
            "Upload-Metadata.identifier",
        )
    digest = said.pop("repr_digest", None) or said.pop("digest", None)
    said.pop("digest", None)
    follows = said.pop("if_match", None)
    if follows is not None and follows != "*" and not follows.startswith('"'):
        follows = f'"{follows}"'
    return make_deposit(
        parse_identifier(identifier),
        who,
        said,
        digests=parse_repr_digest(digest or None),
        if_match=parse_if_match(follows),
        must_be_new=parse_must_be_new(said.pop("if_none_match", None)),
        callbacks=callbacks,
    )
