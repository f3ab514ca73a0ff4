"""Resumable deposits from the client's side: what to send, what to do after a break, and what to remember of it.

Protocol: tus 1.0.0. Nothing here speaks to anybody: :mod:`vault.client.http` and :mod:`vault.client.aio` do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vault.client.body import Body, Progress, no_progress
from vault.durable import write_durably
from vault.errors import Interrupted, NotFound, Unreachable, VaultError

VERSION: Final = "1.0.0"
CONTENT_TYPE: Final = "application/offset+octet-stream"
PATIENCE: Final = 600.0
"""So many seconds without a byte of progress (a link that is down, a node that restarts) are waited out."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_GONE: Final = frozenset({"no-such-upload", "upload-expired", "upload-terminated"})
_PASSING: Final = frozenset({"wrong-offset", "upload-busy", "too-many-requests"})


class Memory(Protocol):
    """Remembers where uploads are, by fingerprint, so that a later run can go on with one."""

    def get(self, fingerprint: str) -> str:
        """The address of the upload that was begun; "" where none is known."""
        ...

    def put(self, fingerprint: str, url: str) -> None:
        """Remember one."""
        ...

    def forget(self, fingerprint: str) -> None:
        """It is done, or gone."""
        ...


class NoMemory:
    """Remembers nothing beyond this run."""

    def get(self, fingerprint: str) -> str:
        """See :class:`Memory`."""
        del fingerprint
        return ""

    def put(self, fingerprint: str, url: str) -> None:
        """See :class:`Memory`."""

    def forget(self, fingerprint: str) -> None:
        """See :class:`Memory`."""


class FolderMemory:
    """A small file for each upload in a folder of the user's own. No token is ever in it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @classmethod
    def usual(cls) -> FolderMemory:
        """``$XDG_STATE_HOME/khoso/uploads``, or ``~/.local/state/khoso/uploads`` (XDG Base Directory)."""
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return cls(os.path.join(state, "khoso", "uploads"))

    def _path(self, fingerprint: str) -> str:
        return os.path.join(self._folder, f"{fingerprint}.json")

    def get(self, fingerprint: str) -> str:
        """See :class:`Memory`."""
        with contextlib.suppress(OSError, ValueError), open(self._path(fingerprint), encoding="utf-8") as file:
            known = json.loads(file.read(10_000))
            url = known.get("url") if isinstance(known, dict) else None
            if isinstance(url, str) and url.startswith("/v1/uploads/"):
                return url
        return ""

    def put(self, fingerprint: str, url: str) -> None:
        """See :class:`Memory`. Where it cannot be kept the upload goes on all the same."""
        with contextlib.suppress(OSError, VaultError):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            write_durably(self._path(fingerprint), json.dumps({"url": url}).encode(), 0o600)

    def forget(self, fingerprint: str) -> None:
        """See :class:`Memory`."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(fingerprint))


def fingerprint_of(node: str, said: Mapping[str, str], body: Body) -> str:
    """What makes an upload the same as one before: the node, all that is said of the package, and its bytes."""
    facts = [node, sorted(said.items()), body.size, body.fingerprint]
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()


def creation_headers(said: Mapping[str, str], size: int) -> dict[str, str]:
    """The headers that begin an upload."""
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items() if value]
    return {"Tus-Resumable": VERSION, "Upload-Length": str(size), "Upload-Metadata": ",".join(pairs)}


def sending_headers(offset: int, size: int) -> dict[str, str]:
    """The headers that send the rest."""
    return {
        "Tus-Resumable": VERSION,
        "Content-Type": CONTENT_TYPE,
        "Upload-Offset": str(offset),
        "Content-Length": str(size - offset),
    }


@dataclass(slots=True)
class Shown:
    """Progress that goes forwards only, however often bytes are sent."""

    tell: Progress
    most: int = 0

    def reached(self, offset: int) -> None:
        """So much has been sent."""
        if offset > self.most:
            self.tell(offset - self.most)
            self.most = offset


def rest_of(body: Body, offset: int, shown: Shown) -> Iterator[bytes]:
    """What is left to send from ``offset`` on. All of the body is read, so that it is known to be what it was."""
    at = 0
    for chunk in body.chunks(no_progress):
        skipped = max(0, min(len(chunk), offset - at))
        at += len(chunk)
        if skipped < len(chunk):
            yield chunk[skipped:]
        shown.reached(at)


class Patience:
    """How long to go on trying. Each byte of progress renews it."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._seconds = seconds
        self._since = time.monotonic()
        self._pause = _FIRST_PAUSE

    def progress(self) -> None:
        """Something moved."""
        self._since = time.monotonic()
        self._pause = _FIRST_PAUSE

    def pause_after(self, error: VaultError) -> float:
        """Seconds to wait before the next attempt. Raises ``error`` where trying again does not help, or for too long
        did not."""
        if not is_passing(error) or time.monotonic() - self._since > self._seconds:
            raise error
        pause, self._pause = self._pause, min(_LONGEST_PAUSE, self._pause * 2)
        return pause


def is_passing(error: VaultError) -> bool:
    """Whether it may be otherwise in a moment: the link, the node's state, another request; never what was refused."""
    if error.code in _PASSING:
        return True
    return isinstance(error, (Unreachable, Interrupted)) and error.code != "source-changed"


def is_gone(error: VaultError) -> bool:
    """Whether the upload is not there any more, so that another must be begun."""
    return error.code in _GONE or isinstance(error, NotFound)
