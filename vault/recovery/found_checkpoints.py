"""The ledger's signed checkpoints that can be found, and the statement that makes those of lost events void.

Events that happened after the newest backup are lost with the catalogue. Checkpoints that signed them remain, on
volumes and tapes that may be far away, and would for ever say that the ledger was cut. A rebuild therefore leaves a
statement, signed with the node's key, in its own event: checkpoints made before it, of events after ``after``, are of a
ledger that was lost. Whoever merely rewrites the catalogue cannot sign one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from vault.catalog.engine import Catalogue
from vault.clock import from_text, to_text
from vault.custody.checkpoints import FOLDER
from vault.durable import describe_os_error
from vault.errors import VaultError
from vault.ledger import Checkpoint, events, verify_checkpoint
from vault.model import EventType, Json
from vault.recovery.sources import RebuildSource, Trouble
from vault.signing import verify_document

KIND: Final = "khoso-ledger-rebuild"
_SMALL: Final = 64 * 1024
_PAGE: Final = 1000


def find_checkpoints(
    state: Path, sources: list[RebuildSource], trusted: Collection[bytes]
) -> tuple[list[Checkpoint], list[Trouble]]:
    """All that a trusted key signed, by number; and the media on which they could not be read."""
    found: dict[tuple[int, str], Checkpoint] = {}
    troubles: list[Trouble] = []

    def take(document: object) -> None:
        checkpoint = verify_checkpoint(document, trusted).checkpoint
        if checkpoint is not None:
            found[checkpoint.seq, checkpoint.hash] = checkpoint

    places: list[tuple[str, Callable[[], list[str]], Callable[[str], Iterator[bytes]]]]
    places = [("state", partial(_names_in, state / FOLDER), partial(_read_in, state))]
    places += [(source.name, partial(source.notes, FOLDER), source.read_note) for source in sources]
    for place, names, read in places:
        try:
            listed = [name for name in names() if name.endswith(".json")]
        except VaultError as error:
            troubles.append(Trouble("not-read", place, str(error)))
            continue
        for name in listed:
            try:
                take(_loaded(b"".join(read(f"{FOLDER}/{name}"))))
            except VaultError as error:
                # The others say how far the ledger came as well.
                troubles.append(Trouble("not-read", place, str(error)))
    return sorted(found.values(), key=lambda one: one.seq), troubles


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise describe_os_error(error, f"reading the checkpoints in {folder}") from error


def _read_in(state: Path, path: str) -> Iterator[bytes]:
    try:
        with (state / path).open("rb") as file:
            yield file.read(_SMALL)
    except OSError as error:
        raise describe_os_error(error, f"reading {state / path}") from error


def _loaded(data: bytes) -> object:
    with contextlib.suppress(ValueError, RecursionError):
        document: object = json.loads(data)
        return document
    return None


# --- the statement


@dataclass(frozen=True, slots=True)
class Superseded:
    """What a rebuild stated: checkpoints from before ``time`` of events after ``after`` are of a ledger that was lost,
    and so are those of the hashes ``named``: the clock was set back since they were signed. ``keys`` are former keys of
    the node that the operator vouched for then."""

    after: int
    time: datetime
    keys: tuple[bytes, ...]
    named: frozenset[str] = frozenset()

    def covers(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of that lost ledger."""
        return checkpoint.seq > self.after and (checkpoint.time < self.time or checkpoint.hash in self.named)


def statement(
    node: str, after: int, head_hash: str, lost: Collection[Checkpoint], now: datetime, former: Collection[bytes]
) -> dict[str, Json]:
    """The statement of a rebuild, to be signed. ``lost`` are the checkpoints that were found of events after
    ``after``."""
    named = sorted({one.hash for one in lost if one.time >= now})
    return {
        "type": KIND,
        "version": 1,
        "node": node,
        "after": after,
        "hash": head_hash,
        "lost_until": max((one.seq for one in lost), default=0),
        "time": to_text(now),
        "named": [*named],
        "former_keys": [base64.b64encode(key).decode() for key in former],
    }


def read_statement(document: object, trusted: Collection[bytes]) -> Superseded | None:
    """What a statement says, if one of the trusted keys signed it."""
    if not verify_document(document, trusted).ok or not isinstance(document, Mapping) or document.get("type") != KIND:
        return None
    after, time, keys = document.get("after"), document.get("time"), document.get("former_keys")
    # An older rebuild named none.
    named = document.get("named", [])
    if not isinstance(named, list):
        return None
    if not isinstance(after, int) or not isinstance(time, str) or not isinstance(keys, list):
        return None
    try:
        former = tuple(base64.b64decode(str(key), validate=True) for key in keys)
        return Superseded(after, from_text(time), former, frozenset(map(str, named)))
    except ValueError:
        return None


def statements(catalogue: Catalogue, trusted: Collection[bytes]) -> list[Superseded]:
    """What rebuilds of the catalogue stated of lost events, as far as a trusted key signed it."""
    found: list[Superseded] = []
    after = 0
    while True:
        with catalogue.read() as tx:
            page = events(tx, after=after, limit=_PAGE, type=EventType.CATALOGUE_REBUILT)
        found += [one for event in page if (one := read_statement(event.detail.get("statement"), trusted))]
        if len(page) < _PAGE:
            return found
        after = page[-1].seq
