"""Answers whose bytes come out of a thread that reads a volume, and the threads' work: a file, or an archive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vault.api import threads
from vault.api.inventories import Files
from vault.api.ranges import ByteRange
from vault.api.reading import OnlyOnTape, Opened, Reader
from vault.errors import Unreachable
from vault.formats.pieces import Content, Packing

_GATHERED: Final = 256 * 1024

Write = Callable[[bytes], None]
Produce = Callable[[Write], None]
_T = TypeVar("_T")


async def begun(reader: Reader, patience: float, function: Callable[[], _T], undo: Callable[[_T], None]) -> _T:
    """Call ``function`` in a thread; ``undo`` what it comes to where that is later than anybody waits for.

    Raises Unreachable when a volume says nothing for ``patience`` seconds.
    """
    future = threads.begin("content-open", function)
    try:
        async with asyncio.timeout(patience):
            return await asyncio.shield(future)
    except TimeoutError:
        future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else undo(done.result()))
        raise reader.silent(patience) from None


class Silent(Protocol):
    """What is read in a thread, and can say why nothing comes."""

    def silent(self, seconds: float, /) -> Unreachable:
        """What to say when nothing came for so long."""
        ...


class Streamed(Response):
    """An answer whose bytes are produced in a thread. Where that fails, the answer is never complete."""

    def __init__(
        self, status: int, headers: Mapping[str, str], produce: Produce, reader: Silent, patience: float
    ) -> None:
        super().__init__(None, status, headers)
        self._produce = produce
        self._reader = reader
        self._patience = patience

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        flow = threads.Outflow("content", self._produce, self._patience)
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                async for chunk in flow:
                    if gone.done():
                        raise ClientDisconnect
                    if chunk:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except threads.Silent:
                raise self._reader.silent(self._patience) from None
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            flow.close()
            gone.cancel()


async def _gone(receive: Receive) -> None:
    """Return when the client has gone: uvicorn takes what is sent to nobody without a word."""
    while (await receive())["type"] != "http.disconnect":
        pass


def of_file(reader: Reader, opened: Opened, part: ByteRange | None) -> Produce:
    """The bytes of a file, or a part of them. The file is closed at the end."""

    def produce(write: Write) -> None:
        reader.tick = lambda: write(b"")
        try:
            for chunk in reader.whole(opened) if part is None else reader.part(opened, part.start, part.length):
                write(chunk)
        finally:
            opened.close()

    return produce


def of_archive(reader: Reader, files: Files, packing: Packing, part: ByteRange, *, summed: bool) -> Produce:
    """The bytes of an archive, or a part of them. ``summed``: it needs the CRC-32 of what is in it."""

    def produce(write: Write) -> None:
        reader.tick = lambda: write(b"")
        out = _Gather(write)
        try:
            for piece in packing.cut(part.start, part.length, lambda place: reader.checksum(files, files.paths[place])):
                if isinstance(piece, bytes):
                    out.write(piece)
                else:
                    for chunk in _content(reader, files, piece, summed=summed):
                        out.write(chunk)
        except OnlyOnTape:
            raise Unreachable(
                f"The last disk copy of {reader.version.identifier} went away while it was being sent.",
                remedy="Ask again: it is brought back from tape.",
            ) from None
        out.flush()

    return produce


def _content(reader: Reader, files: Files, piece: Content, *, summed: bool) -> Iterator[bytes]:
    path = files.paths[piece.member]
    digest, content_path = files.files[path]
    opened = reader.open(content_path, digest, None if files.sizes is None else files.sizes[content_path])
    try:
        if piece.length < opened.size:
            yield from reader.part(opened, piece.start, piece.length)
        elif summed:
            yield from reader.summed(files, opened)
        else:
            yield from reader.whole(opened)
    finally:
        opened.close()


class _Gather:
    """Joins small pieces, such as an archive's headers, to larger ones."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        if len(self._held) + len(data) > _GATHERED:
            self.flush()
        if len(data) >= _GATHERED:
            self._write(data)
        else:
            self._held += data

    def flush(self) -> None:
        if self._held:
            self._write(bytes(self._held))
            self._held = bytearray()
