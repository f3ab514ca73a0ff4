"""Uploads given to a node in pieces, as a link that drops would give them."""

from __future__ import annotations

import io

from tests.support.nodes import Bench
from vault.depositing import Upload
from vault.errors import Interrupted, VaultError
from vault.intake.deposit import DepositRequest

AGENT = "token:test"


class Dropping:
    """A body of which only the first ``size`` bytes come."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data[:size])
        self._whole = size >= len(data)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, 4096))
        if not data and not self._whole:
            raise Interrupted("The client went away.")
        return data


def mine(upload_: Upload) -> bool:
    return upload_.agent == AGENT


def begin(bench: Bench, identifier: str, length: int | None, agent: str = AGENT, **said) -> str:
    return bench.running.uploads.create(DepositRequest(identifier, "", agent, **said), length).id


def send(bench: Bench, upload_id: str, offset: int, data: bytes, drop: int | None = None, **more) -> Upload:
    body = Dropping(data, len(data) if drop is None else drop)
    return bench.running.uploads.append(upload_id, mine, offset, body, _never, **more)


def offset_of(bench: Bench, upload_id: str) -> int:
    return bench.running.uploads.find(upload_id, mine).received


def upload(bench: Bench, identifier: str, data: bytes, **said) -> str:
    """All of it, in one piece."""
    upload_id = begin(bench, identifier, len(data), **said)
    send(bench, upload_id, 0, data)
    return upload_id


def _never(error: VaultError) -> None:
    raise AssertionError(f"nobody else works on it: {error}")
