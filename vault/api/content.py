"""``GET /content/{identifier}``: the bytes of a version, one file of it or all of them in an archive.

Source: RFC 9110 for ranges, entity tags and conditions; RFC 9530 for ``Repr-Digest``.
"""

from __future__ import annotations

import asyncio
import mimetypes
import zipfile
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vault import wire
from vault.api import ownership, threads
from vault.api.auth import MayRead, Principal
from vault.api.headers import content_disposition, entity_tag_matches, if_range_holds, repr_digest
from vault.api.openapi import BYTES
from vault.api.parts import Node, NodeParts
from vault.api.paths import decode_identifier, make_cursor, parse_version, read_cursor
from vault.api.problems import bad_request, problem_response
from vault.api.ranges import ByteRange, NotSatisfiable, parse_range
from vault.api.reading import Files, InventoryCache, Opened, Reader
from vault.errors import NotFound, Refused
from vault.formats.tar_writer import TarWriter, tar_length
from vault.intake.unpack import RESERVED
from vault.model import Version

router = APIRouter(tags=["content"])

LISTED_FILES: Final = 1000
MEASURED_FILES: Final = 5000
"""A tar of up to so many files says its length beforehand; for more, looking at every one first would take too long."""

_GATHERED: Final = 256 * 1024
_SANDBOX: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_PASSIVE: Final = ("audio/", "image/", "video/", "text/plain", "text/csv", "application/pdf", "application/zip",
                   "application/x-tar", "application/gzip", "application/json", "application/msword",
                   "application/vnd.")  # fmt: skip
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ZIP_END: Final = (2107, 12, 31, 23, 59, 58)

Produce = Callable[[Callable[[bytes], None]], None]


def media_type(path: str) -> str:
    """The media type of a file by its name; nothing that a browser would run is called by its type."""
    guessed, encoding = _TYPES.guess_type("/" + path.rsplit("/", 1)[-1], strict=True)
    if guessed is None or encoding is not None or not guessed.startswith(_PASSIVE) or guessed.endswith("+xml"):
        return "application/octet-stream"
    return "text/plain; charset=utf-8" if guessed == "text/plain" else guessed


class Streamed(Response):
    """An answer whose bytes come out of a thread."""

    def __init__(self, status: int, headers: Mapping[str, str], produce: Produce, patience: float) -> None:
        super().__init__(None, status, headers)
        # Response counts its own, empty, body.
        if "content-length" not in {name.lower() for name in headers}:
            del self.headers["content-length"]
        self._produce = produce
        self._patience = patience

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        flow = threads.Outflow("content", self._produce, self._patience)
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in flow:
                if gone.done():
                    raise ClientDisconnect
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            flow.close()
            gone.cancel()


async def _gone(receive: Receive) -> None:
    """Return when the client has gone: uvicorn takes what is sent to nobody without a word."""
    while (await receive())["type"] != "http.disconnect":
        pass


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
    """One file (``file``; with ``Range``, ``If-None-Match`` and ``If-Range``), everything (``format``), or the list.

    Bytes are hashed as they are served; what is not what it must be is broken off and never complete. Archives are the
    same bytes each time for the same version (tar) and hold the depositor's files, not the node's own note.
    """
    if file is not None and format is not None:
        raise bad_request("bad-query", "file and format exclude each other.", "Send one of them.", "format")
    if format not in (None, "tar", "zip"):
        raise bad_request("bad-query", f"{str(format)[:40]!r} is no format.", "Write tar or zip.", "format")
    wanted, number = decode_identifier(identifier), parse_version(version)
    cache: InventoryCache = request.app.state.inventories
    reader, files = await threads.run("content-find", _find, node, who, cache, wanted, number)
    patience = node.settings.api.idle_timeout.total_seconds()
    if file is not None:
        return await _file(request, reader, files, file, patience)
    if format is not None:
        return await _archive(request, reader, files, format, patience)
    listed = _listed(reader.version, files, read_cursor(cursor), limit)
    return Response(listed.model_dump_json(), media_type="application/json")


def _find(
    node: NodeParts, who: Principal, cache: InventoryCache, identifier: str, number: int | None
) -> tuple[Reader, Files]:
    with node.catalogue.read() as tx:
        found = ownership.seen_version(tx, who, identifier, number)
    reader = Reader(node, found)
    return reader, reader.files(cache)


def _listed(version: Version, files: Files, after: str | None, limit: int) -> wire.FileList:
    paths = sorted(path for path in files.files if path != RESERVED and (after is None or path > after))
    page = paths[:limit]
    return wire.FileList(
        identifier=version.identifier,
        version=version.number,
        kind=version.kind,
        algorithm=version.algorithm,
        items=[wire.ContentFile(path=path, digest=files.files[path][0]) for path in page],
        next_cursor=make_cursor(page[-1]) if len(paths) > limit else None,
    )


async def _file(request: Request, reader: Reader, files: Files, path: str, patience: float) -> Response:
    if path not in files.files:
        raise NotFound(
            f"{reader.version.identifier} v{reader.version.number} has no file {path[:200]!r}.",
            remedy="Ask without file for the list.",
            code="no-such-file",
        )
    digest, content_path = files.files[path]
    headers = {
        "ETag": f'"{digest}"',
        "Repr-Digest": repr_digest(str(reader.version.algorithm), digest),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _SANDBOX,
    }
    if _not_modified(request, digest):
        return _without_body(304, headers)
    opened = await threads.run("content-open", reader.open, content_path, digest)
    try:
        part = _range(request, opened.size, digest)
    except NotSatisfiable:
        opened.close()
        return _unsatisfiable(request, opened.size)
    headers["Content-Type"] = media_type(path)
    headers["Content-Disposition"] = content_disposition(path)
    headers["Content-Length"] = str(part.length if part else opened.size)
    if part:
        headers["Content-Range"] = part.content_range(opened.size)
    if request.method == "HEAD":
        opened.close()
        return _without_body(200, headers)
    return Streamed(206 if part else 200, headers, _one(reader, opened, part), patience)


def _not_modified(request: Request, tag: str) -> bool:
    values = request.headers.getlist("if-none-match")
    return bool(values) and entity_tag_matches(", ".join(values), tag)


def _without_body(status: int, headers: Mapping[str, str]) -> Response:
    """An answer to HEAD, or a 304: its headers speak of a body that does not come."""
    response = Response(None, status, dict(headers))
    if "Content-Length" not in headers:
        del response.headers["content-length"]
    return response


def _range(request: Request, size: int, tag: str) -> ByteRange | None:
    if request.method != "GET" or not if_range_holds(request.headers.get("if-range"), tag):
        return None
    return parse_range(request.headers.get("range"), size)


def _unsatisfiable(request: Request, size: int) -> Response:
    error = Refused(
        f"The file has {size} bytes, and the range begins behind them.",
        remedy="Ask for a range within the file.",
        code="range-not-satisfiable",
    )
    return problem_response(error, request.scope["khoso.instance"], {"Content-Range": f"bytes */{size}"})


def _one(reader: Reader, opened: Opened, part: ByteRange | None) -> Produce:
    def produce(write: Callable[[bytes], None]) -> None:
        try:
            for chunk in reader.whole(opened) if part is None else reader.part(opened, part.start, part.length):
                write(chunk)
        finally:
            opened.close()

    return produce


# --- archives


async def _archive(request: Request, reader: Reader, files: Files, kind: str, patience: float) -> Response:
    version = reader.version
    paths = sorted(path for path in files.files if path != RESERVED)
    tag = f"{version.content_digest}.{kind}"
    name = version.identifier.rstrip("/").rsplit("/", 1)[-1] or "package"
    headers = {
        "ETag": f'"{tag}"' if kind == "tar" else f'W/"{tag}"',
        "Content-Type": "application/x-tar" if kind == "tar" else "application/zip",
        "Content-Disposition": content_disposition(f"{name}-v{version.number}.{kind}"),
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "none",
        "Content-Security-Policy": _SANDBOX,
    }
    if _not_modified(request, tag):
        return _without_body(304, headers)
    if kind == "tar" and len(paths) <= MEASURED_FILES:
        headers["Content-Length"] = str(await threads.run("content-measure", _measure, reader, files, paths))
    if request.method == "HEAD":
        return _without_body(200, headers)
    return Streamed(200, headers, _tar(reader, files, paths) if kind == "tar" else _zip(reader, files, paths), patience)


def _measure(reader: Reader, files: Files, paths: Iterable[str]) -> int:
    def size(path: str) -> int:
        digest, content_path = files.files[path]
        opened = reader.open(content_path, digest)
        opened.close()
        return opened.size

    return tar_length((path, size(path)) for path in paths)


def _opened(reader: Reader, files: Files, path: str) -> Opened:
    digest, content_path = files.files[path]
    return reader.open(content_path, digest)


class _Gather:
    """Joins small pieces, such as an archive's headers, to larger ones. A file that can only be written."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        if len(self._held) >= _GATHERED:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            self._write(bytes(self._held))
            self._held = bytearray()


def _tar(reader: Reader, files: Files, paths: Iterable[str]) -> Produce:
    mtime = int(files.created.timestamp())

    def produce(write: Callable[[bytes], None]) -> None:
        out = _Gather(write)
        tar = TarWriter(out.write)
        for path in paths:
            opened = _opened(reader, files, path)
            try:
                tar.file(path, opened.size, reader.whole(opened), mtime=mtime)
            finally:
                opened.close()
        tar.close()
        out.flush()

    return produce


def _zip(reader: Reader, files: Files, paths: Iterable[str]) -> Produce:
    moment = _zip_time(files.created)

    def produce(write: Callable[[bytes], None]) -> None:
        out = _Gather(write)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it only writes
            for path in paths:
                opened = _opened(reader, files, path)
                try:
                    member = zipfile.ZipInfo(path, moment)
                    member.create_system = 3
                    member.external_attr = 0o100644 << 16
                    member.file_size = opened.size
                    with archive.open(member, "w") as sink:
                        for chunk in reader.whole(opened):
                            sink.write(chunk)
                finally:
                    opened.close()
        out.flush()

    return produce


def _zip_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    wanted = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return max(_ZIP_EPOCH, min(_ZIP_END, wanted))
