"""One body on its way by tus, over as many connections as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import httpx

from vault.client.answers import offset_in, upload_path
from vault.client.body import Body
from vault.client.resume import (
    VERSION,
    Memory,
    Patience,
    Shown,
    creation_headers,
    fingerprint_of,
    is_gone,
    rest_of,
    sending_headers,
)
from vault.errors import VaultError

Send = Callable[[str, str, Mapping[str, str], Iterator[bytes] | None], httpx.Response]
"""Method, path, headers, body: one request. It raises what the node answers, and what becomes of the link."""


class Sending:
    """One body on its way by tus."""

    def __init__(
        self, send: Send, node: str, body: Body, said: Mapping[str, str], memory: Memory, trying: Patience, shown: Shown
    ) -> None:
        """``send`` makes one request; ``node`` names the node, for the memory."""
        self._send = send
        self._body = body
        self._said = said
        self._memory = memory
        self._trying = trying
        self._shown = shown
        self._fingerprint = fingerprint_of(node, said, body)

    def run(self) -> str:
        """Send all of it, and return the id of the ingest that it becomes."""
        url, offset = self._memory.get(self._fingerprint), -1
        while offset < self._body.size:
            try:
                if not url:
                    url, offset = self._begin(), 0
                elif offset < 0:
                    offset = self._ask(url)
                    self._shown.reached(offset)
                if offset < self._body.size:
                    offset = self._rest(url, offset)
            except VaultError as error:
                if is_gone(error) and url:
                    self.forget()
                    url = ""
                    continue
                time.sleep(self._trying.pause_after(error))
                offset = -1
        return url.rpartition("/")[2]

    def forget(self) -> None:
        """The upload is done, or gone."""
        self._memory.forget(self._fingerprint)

    def _begin(self) -> str:
        response = self._send("POST", "/v1/uploads", creation_headers(self._said, self._body.size), None)
        url = upload_path(response)
        self._memory.put(self._fingerprint, url)
        return url

    def _ask(self, url: str) -> int:
        return offset_in(self._send("HEAD", url, {"Tus-Resumable": VERSION}, None))

    def _rest(self, url: str, offset: int) -> int:
        rest = rest_of(self._body, offset, self._shown)
        headers = sending_headers(offset, self._body.size)
        reached = offset_in(self._send("PATCH", url, headers, rest))
        self._trying.progress()
        return reached
