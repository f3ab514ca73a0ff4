"""The client: one method for each thing that the API can be asked for."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from vault import wire
from vault.client.answers import (
    ENDED,
    LONG_POLL,
    Deposited,
    Params,
    deposited,
    encoded,
    format_digests,
    json_object,
    parse_digests,
    parsed,
    present,
    said_of,
    upload_metadata,
    uploaded,
    version_text,
)
from vault.client.body import Body, Progress, no_progress
from vault.client.connection import Endpoint, connect, explained
from vault.client.problems import Explain, as_it_is, error_of
from vault.client.resume import PATIENCE, Memory, NoMemory, Patience, Shown
from vault.client.sending import Sending
from vault.errors import Corrupted, Interrupted, NotFound, Unreachable, VaultError
from vault.i18n import _
from vault.model import Descriptive, IngestState, Json, TaskState, VolumeMode

_ModelT = TypeVar("_ModelT", bound=wire.Model)
_HASHES: Final = {"sha-512": hashlib.sha512, "sha-256": hashlib.sha256}

TIMEOUT: Final = 60.0
"""Seconds that one step of a request may take (connect, send a piece, wait for a piece)."""

STORING: Final = 600.0
"""Seconds that the node may take, after the last byte of a deposit, to make it durable and look at it."""


class Download:
    """Bytes on their way from the node, from ``start`` on. ``size`` is how many they are together with those before,
    None where that is not known; ``tag`` names them exactly ("" where nothing does); ``digests`` are what the node says
    of the whole, by the names of RFC 9530."""

    def __init__(self, response: httpx.Response, endpoint: Endpoint, start: int = 0) -> None:
        self._response = response
        self._endpoint = endpoint
        self.start = start if response.status_code == 206 else 0
        length = response.headers.get("Content-Length", "")
        self.size = int(length) + self.start if length.isdecimal() else None
        tag = response.headers.get("ETag", "")
        self.tag = "" if tag.startswith("W/") else tag
        self.digests = parse_digests(response.headers.get("Repr-Digest", ""))

    def chunks(self, progress: Progress = no_progress) -> Iterator[bytes]:
        """The bytes. After the last one they are compared with ``digests``, where they are the whole: raises Corrupted
        where they differ, and Interrupted when the node broke off."""
        hashes = {} if self.start else {name: _HASHES[name]() for name in self.digests}
        with explained(self._endpoint):
            # As it comes: what is gathered to larger pieces would be lost at a break.
            for chunk in self._response.iter_raw():
                for found in hashes.values():
                    found.update(chunk)
                progress(len(chunk))
                yield chunk
        for name, found in hashes.items():
            if found.hexdigest() != self.digests[name]:
                raise Corrupted(
                    f"What arrived has the {name} {found.hexdigest()}, and the node said {self.digests[name]}.",
                    remedy=_("It was altered on its way; nothing was kept of it. Fetch it again."),
                    code="digest-mismatch",
                )


class Client:
    """A connection to one node. Close it, or use it in a ``with``. ``explain`` says anew what the node refuses."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = TIMEOUT, explain: Explain = as_it_is) -> None:
        self.endpoint = endpoint
        self._explain = explain
        self._http = connect(endpoint, timeout)
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    # --- packages

    def packages(
        self, *, cursor: str = "", limit: int = 100, below_policy: bool = False, **described: str
    ) -> wire.PackageList:
        """A page of packages. ``described`` are the other conditions, as ``docs/reference/api.md`` names them:
        ``fonds``, ``agency``, ``batch``, ``class``, ``file_code``, ``proved_before``, ``prefix``, …"""
        params = {"cursor": cursor, "limit": str(limit), "below_policy": "true" if below_policy else "", **described}
        return self._get("/v1/packages", wire.PackageList, **params)

    def package(self, identifier: str) -> wire.Package:
        """Everything about one package. Raises NotFound."""
        return self._get(f"/v1/packages/{encoded(identifier)}", wire.Package)

    def files(self, identifier: str, version: int | None = None) -> Iterator[tuple[str, str, str]]:
        """The files of a version as (path, algorithm, digest), page by page."""
        for page in self.file_pages(identifier, version):
            for file in page.items:
                yield file.path, str(page.algorithm), file.digest

    def file_pages(self, identifier: str, version: int | None = None) -> Iterator[wire.FileList]:
        """The files of a version, page by page, by path. Raises NotFound."""
        cursor: str | None = ""
        while cursor is not None:
            params = {"version": version_text(version), "cursor": cursor, "limit": "1000"}
            page = self._get(f"/v1/content/{encoded(identifier)}", wire.FileList, **params)
            yield page
            cursor = page.next_cursor

    # --- deposits

    def deposit(
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
        """Send a package. ``follows`` is the version that it comes after, ``wait`` the seconds to wait for a receipt,
        ``metadata`` what else is to be kept with the version.

        Raises whatever the node refuses it with, and Interrupted (``source-changed``).
        """
        params = said_of(body, kind, descriptive, metadata)
        headers = {"Content-Length": str(body.size), "Content-Type": "application/octet-stream"}
        if body.digests:
            headers["Repr-Digest"] = format_digests(body.digests)
        if follows is not None:
            headers["If-Match"] = f'"v{follows}"'
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        # A deposit that is not read yet waits for a place.
        timeout = httpx.Timeout(self._timeout, write=STORING, read=STORING + (wait or 0))
        with explained(self.endpoint):
            response = self._http.put(
                f"/v1/packages/{encoded(identifier)}",
                content=body.chunks(progress),
                params=present(params),
                headers=headers,
                timeout=timeout,
            )
        return deposited(self._checked(response))

    def upload(
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
        """As :meth:`deposit`, by tus: through broken connections and restarts of the node, each waited out for
        ``patience`` seconds. With a ``memory`` a later run goes on where this one was stopped.

        Returns when the package is stored. Raises what it is refused with, Interrupted (``source-changed``).
        """
        said = upload_metadata(identifier, body, kind, descriptive, follows, metadata)
        sending = Sending(
            self._request, str(self.endpoint), body, said, memory or NoMemory(), Patience(patience), Shown(progress)
        )
        ingest_id = sending.run()
        for seen in self.follow(ingest_id, patience=patience):
            if seen.state not in (IngestState.RECEIVING, IngestState.PREPARED):
                sending.forget()
                return uploaded(seen, self._explain)
        raise Interrupted("The deposit cannot be followed any more.", remedy=_("Deposit it again."))

    def ingest(self, ingest_id: str) -> wire.Ingest:
        """How far a deposit is. Raises NotFound."""
        return self._get(f"/v1/ingests/{encoded(ingest_id)}", wire.Ingest)

    def follow(self, ingest_id: str, *, patience: float = PATIENCE) -> Iterator[wire.Ingest]:
        """A deposit as it is now, and again at each change, until it has ended. Restarts of the node are waited out."""
        trying, tag = Patience(patience), ""
        while True:
            try:
                with explained(self.endpoint):
                    response = self._http.get(
                        f"/v1/ingests/{encoded(ingest_id)}",
                        params={"wait": str(LONG_POLL)} if tag else {},
                        headers={"If-None-Match": tag} if tag else {},
                        timeout=httpx.Timeout(self._timeout, read=self._timeout + LONG_POLL),
                    )
                if response.status_code == 304:
                    trying.progress()
                    continue
                self._checked(response)
            except VaultError as error:
                time.sleep(trying.pause_after(error))
                continue
            trying.progress()
            tag = response.headers.get("ETag", "")
            seen = parsed(response, wire.Ingest)
            yield seen
            if seen.state in ENDED:
                return

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], content: Iterator[bytes] | None
    ) -> httpx.Response:
        with explained(self.endpoint):
            response = self._http.request(method, path, headers=dict(headers), content=content)
        if method == "HEAD" and response.status_code in (404, 410):
            raise NotFound(f"There is no upload {path}.", code="no-such-upload")
        return self._checked(response)

    def receipt(self, identifier: str, version: int | None = None) -> dict[str, Json]:
        """The signed receipt of a version. Raises NotFound."""
        response = self._send("GET", f"/v1/receipts/{encoded(identifier)}", {"version": version_text(version)})
        return json_object(response)

    @contextlib.contextmanager
    def content(
        self,
        identifier: str,
        *,
        version: int | None = None,
        file: str = "",
        archive: str = "",
        start: int = 0,
        tag: str = "",
    ) -> Iterator[Download]:
        """One ``file`` of a version, or the whole as ``archive`` ("tar", "zip"). Raises NotFound, Corrupted,
        Unreachable; the last one (``recall-begun``) also where it must first be fetched from tape.

        With ``start`` and the ``tag`` of what came before, only what follows it; all of it (``Download.start`` is 0)
        where the node has other bytes now. Raises Refused (``range-not-satisfiable``) where nothing follows.
        """
        params = {"version": version_text(version), "file": file, "format": archive}
        with self.download(f"/v1/content/{encoded(identifier)}", start=start, tag=tag, **params) as download:
            yield download

    @contextlib.contextmanager
    def download(self, path: str, *, start: int = 0, tag: str = "", **params: str) -> Iterator[Download]:
        """The bytes at an address of the API; see :meth:`content`."""
        headers = {"Accept-Encoding": "identity"}
        if start and tag:
            headers |= {"Range": f"bytes={start}-", "If-Range": tag}
        with explained(self.endpoint):
            stream = self._http.stream("GET", path, params=present(params), headers=headers)
            response = stream.__enter__()
        try:
            if response.status_code not in (200, 206):
                with explained(self.endpoint):
                    response.read()
                self._checked(response)
                raise Unreachable(
                    "Only a tape holds it; it is being fetched from there.",
                    remedy=_("Ask again later."),
                    code="recall-begun",
                )
            yield Download(response, self.endpoint, start)
        finally:
            stream.__exit__(None, None, None)

    # --- batches

    def open_batch(self, order: wire.BatchOrder) -> wire.Batch:
        """Open a delivery; the same again is the batch that is there. Raises Conflict, Invalid with every fault."""
        return self._post("/v1/batches", wire.Batch, order)

    def batches(self, *, cursor: str = "", limit: int = 100, state: str = "") -> wire.BatchList:
        """A page of batches, the newest first; ``state`` is ``open``, ``closed`` or "" for both."""
        return self._get("/v1/batches", wire.BatchList, cursor=cursor, limit=str(limit), state=state)

    def batch(self, batch_id: str) -> wire.Batch:
        """A batch, and how far it is. Raises NotFound."""
        return self._get(f"/v1/batches/{encoded(batch_id)}", wire.Batch)

    def batch_items(self, batch_id: str, show: str = "all") -> Iterator[wire.BatchItem]:
        """The packages of a batch by identifier: ``all``, ``missing``, ``extra``, ``different``, ``not-ready`` or
        ``entered``. Raises NotFound."""
        cursor: str | None = ""
        while cursor is not None:
            params = {"show": show, "cursor": cursor, "limit": "1000"}
            page = self._get(f"/v1/batches/{encoded(batch_id)}/items", wire.BatchItemList, **params)
            yield from page.items
            cursor = page.next_cursor

    def close_batch(self, batch_id: str, closing: wire.BatchClosing) -> wire.Batch:
        """Close a batch; its receipt is in the answer. Raises Invalid with a fault for each package, Conflict."""
        return self._post(f"/v1/batches/{encoded(batch_id)}/close", wire.Batch, closing)

    # --- the node

    def status(self) -> wire.Status:
        """The node on one screen."""
        return self._get("/v1/status", wire.Status)

    def readiness(self) -> wire.Readiness:
        """Whether the node can do its work."""
        with explained(self.endpoint):
            response = self._http.get("/readyz")
        if response.status_code != 503:
            self._checked(response)
        return parsed(response, wire.Readiness)

    def volumes(self) -> wire.VolumeList:
        """All volumes."""
        return self._get("/v1/volumes", wire.VolumeList)

    def volume(self, name: str) -> wire.VolumeDetail:
        """One volume, with what it stands on."""
        return self._get(f"/v1/volumes/{encoded(name)}", wire.VolumeDetail)

    def disks(self) -> wire.DiskList:
        """All disks, the worst first."""
        return self._get("/v1/disks", wire.DiskList)

    def forget_disk(self, key: str) -> wire.Disk:
        """Forget a disk that was taken out; what was known of it. Raises NotFound, Conflict."""
        return self.cancel(f"/v1/disks/{encoded(key)}", wire.Disk)

    def initialise_volume(self, name: str) -> wire.Volume:
        """Make an empty place into the volume of that name."""
        return self._post(f"/v1/volumes/{encoded(name)}/init", wire.Volume, None)

    def set_volume_mode(self, name: str, mode: VolumeMode) -> wire.Volume:
        """Say what is wanted of a volume from now on."""
        return self._post(f"/v1/volumes/{encoded(name)}/mode", wire.Volume, wire.ModeChange(mode=mode))

    def replace_volume(self, name: str, give_up: int = 0) -> wire.Volume:
        """Have a new, empty medium take over the name of a dead one. Refused (``only-copies``) where more than
        ``give_up`` versions have no other copy than the one on the old medium."""
        order = wire.ReplaceOrder(give_up=give_up)
        return self.order(f"/v1/volumes/{encoded(name)}/replace", wire.Volume, order, patience=600)

    def scan_volume(self, name: str, order: wire.ScanOrder) -> wire.Scan:
        """Begin to compare a volume with the catalogue. Raises Conflict while one goes on."""
        return self._post(f"/v1/volumes/{encoded(name)}/scan", wire.Scan, order)

    def last_scan(self, name: str) -> wire.Scan:
        """The scan that goes on, or the last one. Raises NotFound."""
        return self._get(f"/v1/volumes/{encoded(name)}/scan", wire.Scan)

    def adopt(self, name: str, order: wire.AdoptionOrder) -> wire.Adoption:
        """Begin to adopt an object on a volume."""
        return self._post(f"/v1/volumes/{encoded(name)}/adoptions", wire.Adoption, order)

    def adoption(self, name: str, adoption_id: str) -> wire.Adoption:
        """How far an adoption is. Raises NotFound."""
        return self._get(f"/v1/volumes/{encoded(name)}/adoptions/{encoded(adoption_id)}", wire.Adoption)

    def tasks(self, *, limit: int = 100, states: Iterable[TaskState] = ()) -> wire.TaskList:
        """The newest tasks in these ``states``; the open ones where nothing is said."""
        params: Params = {"limit": str(limit), "state": [str(state) for state in states]}
        return parsed(self._send("GET", "/v1/tasks", params), wire.TaskList)

    def events(self, *, after: int = 0, limit: int = 100, identifier: str = "", event_type: str = "") -> wire.EventList:
        """A page of the ledger."""
        params = {"after": str(after), "limit": str(limit), "identifier": identifier, "type": event_type}
        return self._get("/v1/events", wire.EventList, **params)

    def verify(self, order: wire.VerificationOrder) -> wire.Verification:
        """Order a verification."""
        return self._post("/v1/verifications", wire.Verification, order)

    def verifications(self, limit: int = 100) -> wire.VerificationList:
        """The orders to verify, the newest first."""
        return self._get("/v1/verifications", wire.VerificationList, limit=str(limit))

    def verification(self, verification_id: str) -> wire.Verification:
        """How far an ordered verification is. Raises NotFound."""
        return self._get(f"/v1/verifications/{encoded(verification_id)}", wire.Verification)

    def readings(self, first: date, last: date, volume: str = "", limit: int = 1000) -> wire.ReadingList:
        """What was read back from ``first`` to ``last``, both of them too."""
        params = {"from": first.isoformat(), "to": last.isoformat(), "volume": volume, "limit": str(limit)}
        return self._get("/v1/readings", wire.ReadingList, **params)

    def repair(self, identifier: str) -> wire.Repair:
        """Order the repair of a package's damaged and missing copies."""
        return self._post("/v1/repairs", wire.Repair, wire.RepairOrder(identifier=identifier))

    def evidence(self, *, released: bool = False) -> wire.EvidenceList:
        """Damaged bytes that are being kept, or those that were ``released``."""
        return self._get("/v1/evidence", wire.EvidenceList, released=str(released).lower())

    def release_evidence(self, evidence_id: int) -> wire.Evidence:
        """Let evidence be removed."""
        return self._post(f"/v1/evidence/{evidence_id}/release", wire.Evidence, None)

    def tokens(self) -> wire.TokenList:
        """All tokens that were not revoked."""
        return self._get("/v1/tokens", wire.TokenList)

    def create_token(self, order: wire.TokenOrder) -> wire.CreatedToken:
        """Make a token; its secret is in the answer and nowhere else."""
        return self._post("/v1/tokens", wire.CreatedToken, order)

    def revoke_token(self, name: str) -> None:
        """End a token's validity. Raises NotFound."""
        self._send("DELETE", f"/v1/tokens/{encoded(name)}", {})

    def checkpoint(self) -> dict[str, Json]:
        """Have the ledger's end signed now and kept on every volume; the signed checkpoint."""
        return json_object(self._send("POST", "/v1/ledger/checkpoints", {}))

    def backup_catalogue(self) -> dict[str, Json]:
        """Have the catalogue backed up to every volume now; the signed seal of the backup, with ``volumes``."""
        with explained(self.endpoint):
            # Of a large archive it takes minutes.
            timeout = httpx.Timeout(self._timeout, read=STORING)
            return json_object(self._checked(self._http.post("/v1/catalog/backups", timeout=timeout)))

    def ask(self, path: str, model: type[_ModelT], **params: str) -> _ModelT:
        """GET an address of the API."""
        return self._get(path, model, **params)

    def cancel(self, path: str, model: type[_ModelT]) -> _ModelT:
        """DELETE an address of the API."""
        return parsed(self._send("DELETE", path, {}), model)

    def order(self, path: str, model: type[_ModelT], order: wire.Model | None, *, patience: float = 0) -> _ModelT:
        """POST to an address of the API; ``patience`` are seconds that the answer may take, where that is longer."""
        content = None if order is None else order.model_dump_json(by_alias=True).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        timeout = httpx.Timeout(self._timeout, read=max(patience, STORING))
        with explained(self.endpoint):
            response = self._http.post(path, content=content, headers=headers, timeout=timeout)
        return parsed(self._checked(response), model)

    # --- how

    def _get(self, path: str, model: type[_ModelT], **params: str) -> _ModelT:
        return parsed(self._send("GET", path, params), model)

    def _post(self, path: str, model: type[_ModelT], order: wire.Model | None) -> _ModelT:
        return parsed(self._send("POST", path, {}, order), model)

    def _send(self, method: str, path: str, params: Params, order: wire.Model | None = None) -> httpx.Response:
        content = None if order is None else order.model_dump_json(by_alias=True).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        with explained(self.endpoint):
            response = self._http.request(method, path, params=present(params), content=content, headers=headers)
        return self._checked(response)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code >= 400:
            raise error_of(response, self._explain)
        if response.status_code >= 300:
            raise VaultError(
                f"{self.endpoint} leads elsewhere ({response.status_code}).", remedy=_("Give the node's own address.")
            )
        return response
