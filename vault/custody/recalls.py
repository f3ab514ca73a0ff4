"""Bringing content back from tape: what those who serve content ask for, and what whoever runs the tapes answers.

Content that has a copy on a disk volume never comes here. Where only a tape has it, the API asks :class:`Recaller`
first whether the bytes lie in the recall cache, and else for a recall, whose address is the answer (202).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from vault.errors import Corrupted, NotFound, Unreachable
from vault.model import Condition, RecallState, Version
from vault.volumes.base import Part, Probe, ReadContent

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Recall:
    """Content on its way from a tape. ``files`` are logical paths of the version; none: all of it.

    ``retry_after`` is when it is worth asking again; ``message`` what it waits for, or why it failed ("" where there
    is nothing to say); ``kept_until`` until when at least the bytes can be fetched once it is READY. ``total_bytes`` is
    None while it is not known.
    """

    id: str
    identifier: str
    version: int
    files: tuple[str, ...]
    state: RecallState
    agent: str
    created_at: datetime
    retry_after: timedelta
    done_bytes: int = 0
    total_bytes: int | None = None
    message: str = ""
    kept_until: datetime | None = None


class Recaller(Protocol):
    """What brings content back from tape. May be used from any thread; nothing here waits for a tape."""

    def inventory(self, part: Part) -> bytes | None:
        """``vN/inventory.json`` of a part from what is kept at hand (the recall cache, or inventories that were kept
        when the part went to tape); None where only the tape has it. The caller compares its digest."""

    def cached(self, object_id: str, content_path: str) -> int | None:
        """A recalled content file, opened for reading (the caller closes the descriptor); None where it is not in the
        cache. Once open it can be read to its end, whatever is evicted. The caller compares its digest."""

    def request(self, version: Version, files: Sequence[str], agent: str) -> Recall:
        """Order that these logical ``files`` of a version be brought to the cache; none of them: all. The same order
        again, while it is open, is the same recall.

        Raises Unreachable (``recall-impossible``) where no tape that is known and not given up holds a copy, or where
        this node has no drive; Full where the cache has no room for it.
        """


class RecallCacheSource:
    """What was recalled, as a source to copy and repair from."""

    name = "the recall cache"

    def __init__(self, recaller: Recaller) -> None:
        self._recaller = recaller

    def probe(self) -> Probe:
        """It is always there, with whatever it holds."""
        return Probe(Condition.ONLINE)

    def inventory(self, part: Part) -> bytes:
        """Raises NotFound where it was not recalled, Corrupted where it is not the part's."""
        data = self._recaller.inventory(part)
        if data is None:
            raise NotFound(f"The inventory of {part.object_id} v{part.number} was not recalled.")
        if hashlib.new(str(part.algorithm), data, usedforsecurity=False).hexdigest() != part.inventory_digest:
            raise Corrupted(f"The inventory of {part.object_id} v{part.number} that was recalled is another one.")
        return data

    @contextmanager
    def holding(self, object_id: str) -> Iterator[ReadContent]:
        """See the protocol."""
        yield partial(self.read, object_id)

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """Raises NotFound where it was not recalled."""
        descriptor = self._recaller.cached(object_id, content_path)
        if descriptor is None:
            raise NotFound(f"{content_path} of {object_id} was not recalled.")
        with open(descriptor, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield memoryview(chunk)


class NoRecalls:
    """The :class:`Recaller` of a node without tapes."""

    def inventory(self, _part: Part) -> bytes | None:
        """None: there is no cache."""
        return None

    def cached(self, _object_id: str, _content_path: str) -> int | None:
        """None: there is no cache."""
        return None

    def request(self, version: Version, _files: Sequence[str], _agent: str) -> Recall:
        """Raises Unreachable: there is no drive."""
        raise Unreachable(
            f"Only tape holds {version.identifier} v{version.number}, and this node has no tape library.",
            remedy="Connect the library and configure it ([[library]]), or bring a volume that has a copy back.",
            code="recall-impossible",
        )
