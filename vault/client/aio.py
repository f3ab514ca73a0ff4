"""The client for programs that must not wait: the same requests as :class:`vault.client.Client`, with ``await``.

It has what a depositor and a reader need. Bodies are read from disk in threads, so that the event loop is never held.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import httpx

from vault import wire
from vault.client.answers import (
    ENDED,
    LONG_POLL,
    Deposited,
    deposited,
    encoded,
    format_digests,
    json_object,
    offset_in,
    parse_digests,
    parsed,
    present,
    said_of,
    upload_metadata,
    upload_path,
    uploaded,
    version_text,
)
from vault.client.body import CHUNK, Body, Progress, no_progress
from vault.client.connection import Endpoint, connect_async, explained
from vault.client.http import STORING, TIMEOUT
from vault.client.problems import Explain, as_it_is, error_of
from vault.client.resume import (
    PATIENCE,
    VERSION,
    Memory,
    NoMemory,
    Patience,
    Shown,
    creation_headers,
    fingerprint_of,
    is_gone,
    rest_of,
    sending_headers,
)
from vault.errors import Corrupted, Interrupted, NotFound, Unreachable, VaultError
from vault.i18n import _
from vault.model import Descriptive, IngestState, Json

_ModelT = TypeVar("_ModelT", bound=wire.Model)


class AsyncClient:
    """A connection to one node. Close it, or use it in an ``async with``."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = TIMEOUT, explain: Explain = as_it_is) -> None:
        """Raises as :func:`vault.client.connection.connect`."""
        self.endpoint = endpoint
        self._explain = explain
        self._timeout = timeout
        self._http = connect_async(endpoint, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        await self._http.aclose()

    # --- what is

    async def status(self) -> wire.Status:
        """The node on one screen."""
        return await self._get("/v1/status", wire.Status)

    async def package(self, identifier: str) -> wire.Package:
        """Everything about one package. Raises NotFound."""
        return await self._get(f"/v1/packages/{encoded(identifier)}", wire.Package)

    async def ingest(self, ingest_id: str) -> wire.Ingest:
        """How far a deposit is. Raises NotFound."""
        return await self._get(f"/v1/ingests/{encoded(ingest_id)}", wire.Ingest)

    async def receipt(self, identifier: str, version: int | None = None) -> dict[str, Json]:
        """The signed receipt of a version. Raises NotFound."""
        params = {"version": version_text(version)}
        return json_object(await self._send("GET", f"/v1/receipts/{encoded(identifier)}", params=present(params)))

    async def follow(self, ingest_id: str, *, patience: float = PATIENCE) -> AsyncIterator[wire.Ingest]:
        """A deposit as it is now, and again at each change, until it has ended. Restarts of the node are waited out."""
        trying, tag = Patience(patience), ""
        while True:
            try:
                response = await self._send(
                    "GET",
                    f"/v1/ingests/{encoded(ingest_id)}",
                    params={"wait": str(LONG_POLL)} if tag else {},
                    headers={"If-None-Match": tag} if tag else {},
                    read=self._timeout + LONG_POLL,
                    unchanged=True,
                )
            except VaultError as error:
                await asyncio.sleep(trying.pause_after(error))
                continue
            trying.progress()
            if response.status_code == 304:
                continue
            tag = response.headers.get("ETag", "")
            seen = parsed(response, wire.Ingest)
            yield seen
            if seen.state in ENDED:
                return

    @asynccontextmanager
    async def content(
        self, identifier: str, *, version: int | None = None, file: str = "", archive: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of one ``file`` of a version, or of the whole as ``archive`` ("tar", "zip").

        After the last of them they are compared with what the node says of them: raises Corrupted where they differ.
        Else raises NotFound, Unreachable (``recall-begun`` where it must first be fetched from tape), Interrupted.
        """
        params = present({"version": version_text(version), "file": file, "format": archive})
        headers = {"Accept-Encoding": "identity"}
        with explained(self.endpoint):
            path = f"/v1/content/{encoded(identifier)}"
            request = self._http.build_request("GET", path, params=params, headers=headers)
            response = await self._http.send(request, stream=True)
        try:
            if response.status_code != 200:
                with explained(self.endpoint):
                    await response.aread()
                self._checked(response)
                raise Unreachable("Only a tape holds it; it is being fetched from there.", code="recall-begun")
            yield self._bytes(response)
        finally:
            await response.aclose()

    async def _bytes(self, response: httpx.Response) -> AsyncIterator[bytes]:
        said = parse_digests(response.headers.get("Repr-Digest", ""))
        hashes = {name: hashlib.new(name.replace("-", "")) for name in said}
        with explained(self.endpoint):
            async for chunk in response.aiter_raw(CHUNK):
                for digest in hashes.values():
                    digest.update(chunk)
                yield chunk
        for name, digest in hashes.items():
            if digest.hexdigest() != said[name]:
                raise Corrupted(
                    f"What arrived has the {name} {digest.hexdigest()}, and the node said {said[name]}.",
                    remedy=_("It was altered on its way; nothing was kept of it. Fetch it again."),
                    code="digest-mismatch",
                )

    # --- deposits

    async def deposit(
        self,
        identifier: str,
        body: Body,
        *,
        kind: str = "auto",
        descriptive: Descriptive | None = None,
        follows: int | None = None,
        wait: int | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> Deposited:
        """Send a package in one request. See :meth:`vault.client.Client.deposit`."""
        headers = {"Content-Length": str(body.size), "Content-Type": "application/octet-stream"}
        if body.digests:
            headers["Repr-Digest"] = format_digests(body.digests)
        if follows is not None:
            headers["If-Match"] = f'"v{follows}"'
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        return deposited(
            await self._send(
                "PUT",
                f"/v1/packages/{encoded(identifier)}",
                params=present(said_of(body, kind, descriptive, metadata)),
                headers=headers,
                content=_aside(body.chunks(progress)),
                read=STORING + (wait or 0),
            )
        )

    async def upload(
        self,
        identifier: str,
        body: Body,
        *,
        kind: str = "auto",
        descriptive: Descriptive | None = None,
        follows: int | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
        memory: Memory | None = None,
        patience: float = PATIENCE,
    ) -> Deposited:
        """Send a package by tus, through broken connections and restarts. See :meth:`vault.client.Client.upload`."""
        said = upload_metadata(identifier, body, kind, descriptive, follows, metadata)
        kept, shown, trying = memory or NoMemory(), Shown(progress), Patience(patience)
        fingerprint = fingerprint_of(str(self.endpoint), said, body)
        url, offset = await asyncio.to_thread(kept.get, fingerprint), -1
        while offset < body.size:
            try:
                if not url:
                    made = await self._send("POST", "/v1/uploads", headers=creation_headers(said, body.size))
                    url, offset = upload_path(made), 0
                    await asyncio.to_thread(kept.put, fingerprint, url)
                elif offset < 0:
                    offset = offset_in(await self._send("HEAD", url, headers={"Tus-Resumable": VERSION}))
                    shown.reached(offset)
                if offset < body.size:
                    rest = _aside(rest_of(body, offset, shown))
                    headers = sending_headers(offset, body.size)
                    offset = offset_in(await self._send("PATCH", url, headers=headers, content=rest))
                    trying.progress()
            except VaultError as error:
                if is_gone(error) and url:
                    await asyncio.to_thread(kept.forget, fingerprint)
                    url = ""
                    continue
                await asyncio.sleep(trying.pause_after(error))
                offset = -1
        async for seen in self.follow(url.rpartition("/")[2], patience=patience):
            if seen.state not in (IngestState.RECEIVING, IngestState.PREPARED):
                await asyncio.to_thread(kept.forget, fingerprint)
                return uploaded(seen, self._explain)
        raise Interrupted("The deposit cannot be followed any more.", remedy=_("Deposit it again."))

    # --- how

    async def _get(self, path: str, model: type[_ModelT]) -> _ModelT:
        return parsed(await self._send("GET", path), model)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        read: float | None = None,
        unchanged: bool = False,
    ) -> httpx.Response:
        # What the node may take long to answer, it may also take long to begin to read: a deposit waits for a place.
        timeout = httpx.Timeout(self._timeout, write=read or self._timeout, read=read or self._timeout)
        with explained(self.endpoint):
            response = await self._http.request(
                method, path, params=dict(params or {}), headers=dict(headers or {}), content=content, timeout=timeout
            )
        if method == "HEAD" and response.status_code in (404, 410):
            raise NotFound(f"There is no upload {path}.", code="no-such-upload")
        return response if unchanged and response.status_code == 304 else self._checked(response)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code >= 400:
            raise error_of(response, self._explain)
        if response.status_code >= 300:
            raise VaultError(
                f"{self.endpoint} leads elsewhere ({response.status_code}).", remedy=_("Give the node's own address.")
            )
        return response


async def _aside(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read in threads what would hold the loop."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
