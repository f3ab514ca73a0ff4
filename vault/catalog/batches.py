"""Batches (đợt giao nộp): the depositor's list of a delivery, and what came of it.

What state a package of a batch is in is not stored but follows from its deposit and its version: so no crash can leave
the two at odds.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import batch_items, batches, ingests, packages, versions
from vault.errors import Conflict, NotFound
from vault.model import IngestState, Json

_AT_ONCE: Final = 1000


class ItemState(enum.StrEnum):
    """How far a package of a batch is. MISSING: nothing of it is stored. ENTERING: it is about to be put in place."""

    MISSING = "missing"
    ENTERING = "entering"
    STORED = "stored"
    RECEIPTED = "receipted"


class Show(enum.StrEnum):
    """Which packages of a batch to list."""

    ALL = "all"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    NOT_READY = "not-ready"
    ENTERED = "entered"


@dataclass(frozen=True, slots=True)
class Batch:
    """A delivery. ``list_digest`` names the depositor's list; ``receipt`` is there once it is closed."""

    id: str
    agent: str
    registration_code: str
    delivery_number: str
    agency: str
    agency_name: str
    list_digest: str
    listed: int
    listed_files: int
    listed_bytes: int
    opened_at: datetime
    closed_at: datetime | None
    receipt: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class ListedPackage:
    """A line of the depositor's list. ``digests`` are hexadecimal, by hashlib's names, of the package as it is sent."""

    identifier: str
    digests: Mapping[str, str]
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """A package of a batch. ``differences`` says in what it is not as listed: digest, files, bytes.

    ``content_digest`` is of the version that it was stored as (``algorithm:hexadecimal``), "" before.
    """

    identifier: str
    listed: bool
    state: ItemState
    digests: Mapping[str, str]
    files: int
    bytes: int
    ingest_id: str
    version: int | None
    content_digest: str
    came_files: int
    came_bytes: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many packages of a batch are how far. ``approved`` came as they were listed; files and bytes likewise."""

    missing: int = 0
    entering: int = 0
    stored: int = 0
    receipted: int = 0
    extra: int = 0
    different: int = 0
    approved: int = 0
    approved_files: int = 0
    approved_bytes: int = 0
    entered_files: int = 0
    entered_bytes: int = 0

    @property
    def entered(self) -> int:
        """Those that are stored, with a receipt or not yet."""
        return self.stored + self.receipted

    @property
    def not_ready(self) -> int:
        """Those that are on their way to a receipt."""
        return self.entering + self.stored


_STORED: Final = versions.c.id.is_not(None)
_RECEIPTED: Final = sa.and_(_STORED, versions.c.receipt.is_not(None))
# With the id, so that it is false and not unknown where there is no deposit.
_ENTERING: Final = sa.and_(~_STORED, ingests.c.id.is_not(None), ingests.c.state == IngestState.PREPARED)
_HERE: Final = sa.or_(_STORED, _ENTERING)
_LISTED: Final = batch_items.c.listed == sa.literal_column("1")
_DIFFERENT: Final = sa.and_(
    _STORED, _LISTED, batch_items.c.differences != sa.literal([], batch_items.c.differences.type)
)
_AGREES: Final = sa.and_(_STORED, _LISTED, batch_items.c.differences == sa.literal([], batch_items.c.differences.type))
_STATE: Final = sa.case(
    (_RECEIPTED, ItemState.RECEIPTED.value),
    (_STORED, ItemState.STORED.value),
    (_ENTERING, ItemState.ENTERING.value),
    else_=ItemState.MISSING.value,
)
_FROM: Final = (
    batch_items.outerjoin(packages, packages.c.identifier == batch_items.c.identifier)
    .outerjoin(versions, sa.and_(versions.c.package_id == packages.c.id, versions.c.number == batch_items.c.version))
    .outerjoin(ingests, ingests.c.id == batch_items.c.ingest_id)
)
# A deposit beside the list that came to nothing is no part of the batch.
_COUNTS_AT_ALL: Final = sa.or_(_LISTED, _HERE)
_SHOWN: Final[Mapping[Show, sa.ColumnElement[bool]]] = {
    Show.ALL: _COUNTS_AT_ALL,
    Show.MISSING: sa.and_(_LISTED, ~_HERE),
    Show.EXTRA: sa.and_(~_LISTED, _HERE),
    Show.DIFFERENT: _DIFFERENT,
    Show.NOT_READY: sa.and_(_HERE, sa.or_(~_STORED, versions.c.receipt.is_(None))),
    Show.ENTERED: _STORED,
}


def _several(tx: Tx, query: sa.Select[*tuple[Any, ...]]) -> list[Batch]:
    return [Batch(**row) for row in tx.connection.execute(query).mappings()]


def create(tx: Tx, batch: Batch, items: Sequence[ListedPackage]) -> None:
    """Open a batch with its list. Owes an event. Raises Conflict for one that is there already."""
    if find(tx, batch.agent, batch.registration_code, batch.delivery_number) is not None:
        raise Conflict(f"There is already a batch {batch.registration_code}.", code="batch-exists")
    tx.owe()
    tx.connection.execute(
        batches.insert().values(**{column.name: getattr(batch, column.name) for column in batches.columns})
    )
    for start in range(0, len(items), _AT_ONCE):
        tx.connection.execute(
            batch_items.insert(),
            [
                {
                    "batch_id": batch.id,
                    "identifier": item.identifier,
                    "listed": True,
                    "digests": dict(item.digests),
                    "files": item.files,
                    "bytes": item.bytes,
                    "ingest_id": "",
                    "came_files": 0,
                    "came_bytes": 0,
                    "differences": [],
                }
                for item in items[start : start + _AT_ONCE]
            ],
        )


def get(tx: Tx, batch_id: str) -> Batch | None:
    """Return the batch of that id, or None."""
    found = _several(tx, sa.select(batches).where(batches.c.id == batch_id))
    return found[0] if found else None


def need(tx: Tx, batch_id: str) -> Batch:
    """Return the batch of that id. Raises NotFound (``no-such-batch``)."""
    found = get(tx, batch_id)
    if found is None:
        raise no_such_batch(batch_id)
    return found


def no_such_batch(batch_id: str) -> NotFound:
    """What is said of a batch that is not there, or that is none of theirs."""
    return NotFound(
        f"There is no batch {batch_id[:100]!r}.",
        remedy="Open one (POST /v1/batches), or look at the id that its opening answered.",
        code="no-such-batch",
    )


def find(tx: Tx, agent: str, registration_code: str, delivery_number: str) -> Batch | None:
    """Return the batch that this depositor opened under that code and number, or None."""
    those = (
        batches.c.agent == agent,
        batches.c.registration_code == registration_code,
        batches.c.delivery_number == delivery_number,
    )
    found = _several(tx, sa.select(batches).where(*those))
    return found[0] if found else None


def listing(
    tx: Tx,
    *,
    agency: str | None = None,
    agent: str | None = None,
    is_open: bool | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[Batch]:
    """Return batches, the newest first. ``before`` is the opening and id of the last one of the page before."""
    order = (batches.c.opened_at, batches.c.id)
    query = sa.select(batches).order_by(*(column.desc() for column in order)).limit(limit)
    if agency is not None:
        query = query.where(batches.c.agency == agency)
    if agent is not None:
        query = query.where(batches.c.agent == agent)
    if is_open is not None:
        query = query.where(batches.c.closed_at.is_(None) if is_open else batches.c.closed_at.is_not(None))
    if before is not None:
        last = (sa.literal(value, column.type) for value, column in zip(before, order, strict=True))
        query = query.where(sa.tuple_(*order) < sa.tuple_(*last))
    return _several(tx, query)


def listed(tx: Tx, batch_id: str, identifier: str) -> ListedPackage | None:
    """Return the list's line for a package; None where it is not on the list."""
    columns = (batch_items.c.identifier, batch_items.c.digests, batch_items.c.files, batch_items.c.bytes)
    query = sa.select(*columns).where(*_one(batch_id, identifier), _LISTED)
    row = tx.connection.execute(query).mappings().first()
    return None if row is None else ListedPackage(**row)


def place(
    tx: Tx,
    batch_id: str,
    identifier: str,
    *,
    ingest_id: str,
    files: int,
    bytes: int,  # noqa: A002 - the fact's name
    differences: Sequence[str],
    version: int | None = None,
) -> bool:
    """Note that this deposit brings a package of the batch; ``version`` where it is stored already.

    Returns whether that is news. Owes no event: what is stored has its own.
    """
    this = _one(batch_id, identifier)
    columns = (batch_items.c.version, batch_items.c.differences)
    before = tx.connection.execute(sa.select(*columns).where(*this)).first()
    if before is not None and version is not None and tuple(before) == (version, list(differences)):
        return False
    values: dict[str, object] = {
        "ingest_id": ingest_id,
        "version": version,
        "came_files": files,
        "came_bytes": bytes,
        "differences": list(differences),
    }
    if before is not None:
        tx.connection.execute(batch_items.update().where(*this).values(**values))
        return True
    tx.connection.execute(
        batch_items.insert().values(
            batch_id=batch_id, identifier=identifier, listed=False, digests={}, files=0, bytes=0, **values
        )
    )
    return True


def entered(tx: Tx, batch_id: str, identifier: str, ingest_id: str, version: int) -> None:
    """Note the version that a deposit, placed before, was stored as."""
    this = (*_one(batch_id, identifier), batch_items.c.ingest_id == ingest_id)
    tx.connection.execute(batch_items.update().where(*this).values(version=version))


def _one(batch_id: str, identifier: str) -> tuple[sa.ColumnElement[bool], ...]:
    return batch_items.c.batch_id == batch_id, batch_items.c.identifier == identifier


def counts(tx: Tx, batch_id: str) -> Counts:
    """Return how far a batch is."""

    def number(condition: sa.ColumnElement[bool], value: sa.ColumnElement[int] | int = 1) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, value), else_=0)), 0)

    query = (
        sa.select(
            number(_SHOWN[Show.MISSING]).label("missing"),
            number(_ENTERING).label("entering"),
            number(sa.and_(_STORED, versions.c.receipt.is_(None))).label("stored"),
            number(_RECEIPTED).label("receipted"),
            number(_SHOWN[Show.EXTRA]).label("extra"),
            number(_DIFFERENT).label("different"),
            number(_AGREES).label("approved"),
            number(_AGREES, batch_items.c.files).label("approved_files"),
            number(_AGREES, batch_items.c.bytes).label("approved_bytes"),
            number(_STORED, batch_items.c.came_files).label("entered_files"),
            number(_STORED, batch_items.c.came_bytes).label("entered_bytes"),
        )
        .select_from(_FROM)
        .where(batch_items.c.batch_id == batch_id)
    )
    row = tx.connection.execute(query).mappings().one()
    return Counts(**{name: int(value) for name, value in row.items()})


def items(tx: Tx, batch_id: str, *, show: Show = Show.ALL, after: str | None = None, limit: int) -> list[Item]:
    """Return packages of a batch by identifier, in the order of its code points; those behind ``after``, if given."""
    columns = [column for column in batch_items.c if column.name != "batch_id"]
    query = (
        sa.select(*columns, _STATE.label("state"), versions.c.algorithm, versions.c.content_digest)
        .select_from(_FROM)
        .where(batch_items.c.batch_id == batch_id, _SHOWN[show])
        .order_by(batch_items.c.identifier)
        .limit(limit)
    )
    if after is not None:
        query = query.where(batch_items.c.identifier > after)
    return [_item(row) for row in tx.connection.execute(query).mappings()]


def _item(row: sa.RowMapping) -> Item:
    facts = dict(row)
    algorithm, digest = facts.pop("algorithm"), facts.pop("content_digest")
    return Item(
        **{
            **facts,
            "state": ItemState(facts["state"]),
            "differences": tuple(facts["differences"]),
            "content_digest": f"{algorithm}:{digest}" if digest else "",
        }
    )


def all_items(tx: Tx, batch_id: str, show: Show) -> Iterator[Item]:
    """Yield packages of a batch by identifier, page by page."""
    after: str | None = None
    while page := items(tx, batch_id, show=show, after=after, limit=_AT_ONCE):
        yield from page
        after = page[-1].identifier


def close(tx: Tx, batch_id: str, receipt: Mapping[str, Json]) -> None:
    """Close a batch with its signed receipt. Owes an event. Raises Conflict for one that is closed."""
    if need(tx, batch_id).closed_at is not None:
        raise Conflict(f"The batch {batch_id} is closed already.", code="batch-closed")
    tx.owe()
    tx.connection.execute(
        batches.update().where(batches.c.id == batch_id).values(closed_at=tx.now, receipt=dict(receipt))
    )


def sums(listed_packages: Iterable[ListedPackage]) -> tuple[int, int]:
    """Return files and bytes of a list."""
    files = size = 0
    for item in listed_packages:
        files += item.files
        size += item.bytes
    return files, size
