"""What those who serve and repair content ask of the tapes: the :class:`~vault.custody.recalls.Recaller` of a node
that has a library."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from vault.catalog import copies, recalls
from vault.catalog import volumes as catalog_volumes
from vault.custody.recalls import Recall, Recaller
from vault.errors import Full, Unreachable
from vault.ledger import append
from vault.model import CopyState, EventType, MediumClass, NewEvent, Outcome, RecallState, Version
from vault.tape_model import Recall as Row
from vault.tapes.cache import RecallCache
from vault.tapes.context import Tapes
from vault.volumes.base import Part

_HELD: Final = (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED)
_RETRY: Final = timedelta(seconds=5)


class TapeRecaller:
    """Orders recalls and opens what they brought."""

    def __init__(self, tapes: Tapes, cache: RecallCache) -> None:
        self._tapes = tapes
        self._cache = cache

    def inventory(self, part: Part) -> bytes | None:
        """From the cache."""
        return self._cache.inventory(part)

    def cached(self, object_id: str, content_path: str) -> int | None:
        """From the cache."""
        return self._cache.open(object_id, content_path)

    def request(self, version: Version, files: Sequence[str], agent: str) -> Recall:
        """Order it, unless the same is ordered already."""
        custodian = self._tapes.custodian
        if version.bytes > self._cache.max_bytes and not files:
            raise Full(
                f"The recall cache holds {self._cache.max_bytes} bytes, and this version has {version.bytes}.",
                remedy="Raise max_bytes of [recall], or recall single files.",
            )
        with custodian.catalogue.write() as tx:
            tapes = {volume.id for volume in catalog_volumes.all(tx) if volume.medium is MediumClass.TAPE}
            held = [c for c in copies.of_version(tx, version.id) if c.volume_id in tapes and c.state in _HELD]
            if not held:
                raise Unreachable(
                    f"No tape that is known holds {version.identifier} v{version.number}.",
                    remedy="Bring a volume that has a copy back.",
                    code="recall-impossible",
                )
            total = 0 if files else version.bytes
            row, new = recalls.order(tx, version.identifier, version.number, list(files), agent, total)
            if new:
                append(
                    tx,
                    NewEvent(
                        EventType.RECALL_REQUESTED,
                        Outcome.SUCCESS,
                        agent,
                        version.identifier,
                        version.number,
                        detail={"recall": row.id, "files": len(row.files)},
                    ),
                )
        return shown(row, self._cache.keep)


def shown(row: Row, keep: timedelta) -> Recall:
    """A recall as those outside see it; ``keep`` is how long the cache keeps it."""
    ready = row.state is RecallState.READY
    return Recall(
        id=row.id,
        identifier=row.identifier,
        version=row.version,
        files=tuple(row.files),
        state=row.state,
        agent=row.agent,
        created_at=row.requested_at,
        retry_after=_RETRY,
        done_bytes=row.done_bytes,
        total_bytes=row.total_bytes or None,
        message=row.message,
        kept_until=row.finished_at + keep if ready and row.finished_at else None,
    )


if TYPE_CHECKING:

    def _fits(recaller: TapeRecaller) -> Recaller:
        return recaller
