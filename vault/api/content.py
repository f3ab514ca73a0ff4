"""``GET /content/{identifier}``: the bytes of a version, one file of it or all of them in an archive.

Source: RFC 9110 for ranges, entity tags and conditions; RFC 9530 for ``Repr-Digest`` and ``Want-Repr-Digest``.
"""

from __future__ import annotations

import hashlib
import math
import mimetypes
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from vault import wire
from vault.api import ownership, streaming, threads
from vault.api.auth import MayRead, Principal
from vault.api.conditions import Verdict, asked_range, judge
from vault.api.headers import content_disposition, repr_digest, wanted_digests
from vault.api.inventories import Files, InventoryCache
from vault.api.openapi import BYTES
from vault.api.parts import Node, NodeParts
from vault.api.paths import decode_identifier, make_cursor, parse_version, read_cursor
from vault.api.problems import bad_request, problem_response
from vault.api.ranges import BadRange, ByteRange, NotSatisfiable
from vault.api.reading import OnlyOnTape, Opened, Reader
from vault.errors import Invalid, NotFound, Refused, VaultError
from vault.formats.pieces import Packing
from vault.intake.unpack import RESERVED
from vault.model import PackageKind, Version

router = APIRouter(tags=["content"])

LISTED_FILES: Final = 1000

_SANDBOX: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_PASSIVE: Final = ("audio/", "image/", "video/", "text/plain", "text/csv", "application/pdf", "application/zip",
                   "application/x-tar", "application/gzip", "application/json", "application/msword",
                   "application/vnd.")  # fmt: skip


def media_type(path: str) -> str:
    """The media type of a file by its name; nothing that a browser would run is called by its type."""
    guessed, encoding = _TYPES.guess_type("/" + path.rsplit("/", 1)[-1], strict=True)
    if guessed is None or encoding is not None or not guessed.startswith(_PASSIVE) or guessed.endswith("+xml"):
        return "application/octet-stream"
    return "text/plain; charset=utf-8" if guessed == "text/plain" else guessed


@router.get(
    "/content/{identifier:path}", responses=BYTES, response_model=None, summary="The bytes of a package, or their list"
)
@router.head("/content/{identifier:path}", include_in_schema=False, response_model=None)
async def get_content(
    request: Request,
    node: Node,
    who: MayRead,
    identifier: Annotated[str, Path(description="The identifier, percent-encoded once.")],
    file: Annotated[str | None, Query(description="Path of one file, as the list has it.")] = None,
    version: Annotated[str | None, Query(description="3 or v3; the newest where nothing is said.")] = None,
    format: Annotated[str | None, Query(description="tar or zip: all files in one archive.")] = None,  # noqa: A002
    cursor: Annotated[str | None, Query(description="next_cursor of the page before, for the list.")] = None,
    limit: Annotated[int, Query(ge=1, le=LISTED_FILES, description="Files on a page of the list.")] = LISTED_FILES,
) -> Response:
    """One file (``file``), everything in an archive (``format``), or the list of files.

    Files and archives have a strong ``ETag`` and a length, and take ``Range``, ``If-Range``, ``If-Match`` and
    ``If-None-Match``; an archive is the same bytes each time and holds the depositor's files, not the node's own note.
    Bytes are hashed as they are served; what is not what it must be is broken off and never complete. Where only tape
    has it, the answer is 202 and a recall.
    """
    if file is not None and format is not None:
        raise bad_request("bad-query", "file and format exclude each other.", "Send one of them.", "format")
    if format not in (None, "tar", "zip"):
        raise bad_request("bad-query", f"{str(format)[:40]!r} is no format.", "Write tar or zip.", "format")
    wanted, number = decode_identifier(identifier), parse_version(version)
    after = read_cursor(cursor)
    cache: InventoryCache = request.app.state.inventories
    reader = await threads.run("content-find", _find, node, who, wanted, number)
    patience = node.settings.api.idle_timeout.total_seconds()
    try:
        files = await streaming.begun(reader, patience, partial(reader.files, cache), _nothing)
        if file is not None:
            return await _file(request, reader, files, file, patience)
        if format is not None:
            return await _archive(request, reader, files, format, patience)
    except OnlyOnTape:
        # The list needs no more than the inventory, which comes with any file of it.
        asked = [file] if file is not None else [] if format is not None else [RESERVED]
        return await _recall(node, reader.version, asked, who.agent)
    return Response(_listed(reader.version, files, after, limit).model_dump_json(), media_type="application/json")


def _nothing(_result: object) -> None:
    """There is nothing to undo."""


def _find(node: NodeParts, who: Principal, identifier: str, number: int | None) -> Reader:
    with node.catalogue.read() as tx:
        found = ownership.seen_version(tx, who, identifier, number)
    return Reader(node, found)


def _listed(version: Version, files: Files, after: str | None, limit: int) -> wire.FileList:
    paths = [path for path in files.paths if after is None or path > after]
    page = paths[:limit]
    return wire.FileList(
        identifier=version.identifier,
        version=version.number,
        kind=version.kind,
        algorithm=version.algorithm,
        items=[wire.ContentFile(path=path, digest=files.files[path][0]) for path in page],
        next_cursor=make_cursor(page[-1]) if len(paths) > limit else None,
    )


async def _recall(node: NodeParts, version: Version, files: list[str], agent: str) -> Response:
    recall = await threads.run("recall", node.recaller.request, version, files, agent)
    headers = {
        "Location": f"/v1/recalls/{recall.id}",
        "Retry-After": str(max(1, math.ceil(recall.retry_after.total_seconds()))),
    }
    body = wire.Recall.model_validate(recall).model_dump_json()
    return Response(body, 202, headers, media_type="application/json")


# --- one file


async def _file(request: Request, reader: Reader, files: Files, path: str, patience: float) -> Response:
    if path not in files.files:
        raise NotFound(
            f"{reader.version.identifier} v{reader.version.number} has no file {path[:200]!r}.",
            remedy="Ask without file for the list.",
            code="no-such-file",
        )
    digest, content_path = files.files[path]
    headers = {"ETag": f'"{digest}"', **_STANDING}
    early = _by_conditions(request, digest, headers)
    if early is not None:
        return early
    opened = await streaming.begun(reader, patience, partial(reader.open, content_path, digest), Opened.close)
    try:
        part = asked_range(request, digest, opened.size)
    except (BadRange, NotSatisfiable) as error:
        opened.close()
        return _unsatisfiable(request, error, opened.size)
    digests = _digests(reader.version, path, digest, opened, wanted_digests(request.headers.get("want-repr-digest")))
    if digests:
        headers["Repr-Digest"] = repr_digest(digests)
    headers["Content-Type"] = media_type(path)
    headers["Content-Disposition"] = content_disposition(path)
    _say_part(headers, part, opened.size)
    if request.method == "HEAD":
        opened.close()
        return _without_body(200, headers)
    status = 206 if part else 200
    if opened.proved:
        opened.close()
        data = opened.first if part is None else opened.first[part.start : part.start + part.length]
        return Response(data, status, headers)
    return streaming.Streamed(status, headers, streaming.of_file(reader, opened, part), reader, patience)


def _digests(version: Version, path: str, digest: str, opened: Opened, wanted: list[str] | None) -> dict[str, str]:
    """What to say in ``Repr-Digest``: what is known without reading the file, and of a small one all that is wanted."""
    known = {str(version.algorithm): digest}
    if version.kind is PackageKind.FILE and path != RESERVED:
        known = {**version.deposit_digests, **known}
    if wanted is None:
        return {str(version.algorithm): digest}
    if opened.proved:
        missing = [name for name in wanted if name not in known]
        known |= {name: hashlib.new(name, opened.first, usedforsecurity=False).hexdigest() for name in missing}
    return {name: known[name] for name in wanted if name in known}


# --- everything


async def _archive(request: Request, reader: Reader, files: Files, kind: str, patience: float) -> Response:
    version = reader.version
    # The inventory's digest is of this version and no other, and with the files' names it pins their time, too.
    tag = f"{version.inventory_digest}.{kind}"
    headers = {"ETag": f'"{tag}"', **_STANDING}
    early = _by_conditions(request, tag, headers)
    if early is not None:
        return early
    packing = await streaming.begun(reader, patience, partial(_packing, reader, files, kind), _nothing)
    try:
        part = asked_range(request, tag, packing.size)
    except (BadRange, NotSatisfiable) as error:
        return _unsatisfiable(request, error, packing.size)
    name = version.identifier.rstrip("/").rsplit("/", 1)[-1] or "package"
    headers["Content-Type"] = "application/x-tar" if kind == "tar" else "application/zip"
    headers["Content-Disposition"] = content_disposition(f"{name}-v{version.number}.{kind}")
    _say_part(headers, part, packing.size)
    if request.method == "HEAD":
        return _without_body(200, headers)
    whole = ByteRange(0, packing.size)
    produce = streaming.of_archive(reader, files, packing, part or whole, summed=kind == "zip")
    return streaming.Streamed(206 if part else 200, headers, produce, reader, patience)


def _packing(reader: Reader, files: Files, kind: str) -> Packing:
    reader.measure(files)
    return files.tar if kind == "tar" else files.zip


# --- what both have in common

_STANDING: Final = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": _SANDBOX,
}


def _by_conditions(request: Request, tag: str, headers: Mapping[str, str]) -> Response | None:
    """The answer that the request's conditions demand, None where they let it proceed."""
    verdict = judge(request, tag)
    if verdict is Verdict.NOT_MODIFIED:
        return _without_body(304, headers)
    if verdict is Verdict.FAILED:
        raise Refused(
            "If-Match names none of the entity tags of this.",
            remedy="Look with HEAD which ETag it has; another version may be the newest now.",
            code="precondition-failed",
        )
    return None


def _say_part(headers: dict[str, str], part: ByteRange | None, size: int) -> None:
    headers["Content-Length"] = str(part.length if part else size)
    if part:
        headers["Content-Range"] = part.content_range(size)


def _without_body(status: int, headers: Mapping[str, str]) -> Response:
    """An answer to HEAD, or a 304: its headers speak of a body that does not come."""
    response = Response(None, status, dict(headers))
    if "Content-Length" not in headers:
        del response.headers["content-length"]
    return response


def _unsatisfiable(request: Request, why: BadRange | NotSatisfiable, size: int) -> Response:
    problem: VaultError
    if isinstance(why, BadRange):
        problem = Invalid("Range is no range of bytes.", remedy="Send it as bytes=FIRST-LAST.", code="bad-range")
    else:
        problem = Refused(
            f"There are {size} bytes, and the range begins behind them.",
            remedy="Ask for a range within them.",
            code="range-not-satisfiable",
        )
    return problem_response(problem, request.scope["khoso.instance"], {"Content-Range": f"bytes */{size}"})
