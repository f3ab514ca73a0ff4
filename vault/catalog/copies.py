"""Copies: versions on volumes, and the states they go through."""

from __future__ import annotations

import enum
import heapq
import itertools
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import sqlalchemy as sa

from vault.catalog.changes import carry_out
from vault.catalog.engine import Tx
from vault.catalog.schema import (
    IS_DUE_SOME_TIME,
    IS_HELD,
    IS_OPEN,
    IS_PROVED,
    IS_UNHEALTHY,
    UNHEALTHY,
    copies,
    copy_counts,
    tasks,
    versions,
    volumes,
)
from vault.errors import Conflict, NotFound, Refused
from vault.model import Copy, CopyState


class Keep(enum.Enum):
    """Says that a value stays as it is, where None means something."""

    KEEP = enum.auto()


KEEP: Final = Keep.KEEP

ALLOWED_TRANSITIONS: Mapping[CopyState, frozenset[CopyState]] = {
    CopyState.PLANNED: frozenset({CopyState.WRITING, CopyState.RETIRED}),
    CopyState.WRITING: frozenset({CopyState.WRITTEN, CopyState.PLANNED, CopyState.GOOD, CopyState.DAMAGED,
                                  CopyState.MISSING}),
    CopyState.WRITTEN: frozenset({CopyState.GOOD, CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING}),
    CopyState.GOOD: frozenset({CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING, CopyState.RETIRED}),
    CopyState.SUSPECT: frozenset({CopyState.GOOD, CopyState.DAMAGED, CopyState.MISSING, CopyState.RETIRED}),
    CopyState.DAMAGED: frozenset({CopyState.GOOD, CopyState.MISSING, CopyState.RETIRED}),
    CopyState.MISSING: frozenset({CopyState.GOOD, CopyState.DAMAGED, CopyState.RETIRED}),
    CopyState.RETIRED: frozenset(),
}  # fmt: skip
"""From which state a copy may go where. A state to itself is always allowed (a renewed proof)."""

_INTENTIONS = frozenset({CopyState.PLANNED, CopyState.WRITING})
_COPIES = (
    sa.select(copies, versions.c.package_id, versions.c.number, volumes.c.name.label("volume"))
    .join(versions, copies.c.version_id == versions.c.id)
    .join(volumes, copies.c.volume_id == volumes.c.id)
)
_BY_ID = _COPIES.where(copies.c.id == sa.bindparam("this"))
_OF_VERSION = _COPIES.where(copies.c.version_id == sa.bindparam("of")).order_by(copies.c.id)
_OF_PACKAGE = _COPIES.where(versions.c.package_id == sa.bindparam("of")).order_by(versions.c.number, copies.c.id)
_PLACE = sa.and_(copies.c.version_id == sa.bindparam("of"), copies.c.volume_id == sa.bindparam("on"))
_IN_PLACE = _COPIES.where(_PLACE)
_INSERT = copies.insert()
_BEGIN_ANEW = copies.update().where(_PLACE)
_CHANGE = copies.update().where(copies.c.id == sa.bindparam("this"))


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> list[Copy]:
    return [Copy(**row) for row in tx.connection.execute(query, values).mappings()]


def get(tx: Tx, copy_id: int) -> Copy | None:
    """Return the copy with that number, or None."""
    found = _several(tx, _BY_ID, this=copy_id)
    return found[0] if found else None


def need(tx: Tx, copy_id: int) -> Copy:
    """Return the copy with that number. Raises :class:`NotFound`."""
    return _present(tx, copy_id)


def of_version(tx: Tx, version_id: int) -> list[Copy]:
    """Return every copy of a version, retired ones too, in the order in which they were planned."""
    return _several(tx, _OF_VERSION, of=version_id)


def of_package(tx: Tx, package_id: int) -> list[Copy]:
    """Return every copy of every version of a package, v1's first."""
    return _several(tx, _OF_PACKAGE, of=package_id)


def of_packages(tx: Tx, package_ids: Collection[int]) -> dict[int, list[Copy]]:
    """Return the same for several packages at once, by their numbers; packages without copies are absent."""
    found: dict[int, list[Copy]] = {}
    if package_ids:
        query = _COPIES.where(versions.c.package_id.in_(sorted(package_ids)))
        for copy in _several(tx, query.order_by(versions.c.number, copies.c.id)):
            found.setdefault(copy.package_id, []).append(copy)
    return found


def plan(tx: Tx, version_id: int, volume_id: int, state: CopyState = CopyState.PLANNED) -> Copy:
    """Note that a version is to be on a volume, or (``state=WRITTEN``) that it was just written there.

    A retired copy there is begun anew. Owes an event unless it is only an intention (PLANNED, WRITING). Raises
    :class:`Conflict` when the volume holds one already and :class:`Refused` (code ``bad-transition``) for a state
    in which no copy begins.
    """
    if state not in (CopyState.PLANNED, CopyState.WRITING, CopyState.WRITTEN):
        raise _bad_transition("A copy", "nothing", state, "it begins as planned, writing or written")
    present = _several(tx, _IN_PLACE, of=version_id, on=volume_id)
    if present and present[0].state is not CopyState.RETIRED:
        raise Conflict(
            f"Volume {present[0].volume} has a copy of that version already; it is {present[0].state}.",
            remedy="Change the state of the one that is there.",
            code="copy-exists",
        )
    if state not in _INTENTIONS:
        tx.owe()
    values = {
        "state": state,
        "written_at": tx.now if state is CopyState.WRITTEN else None,
        "proved_at": None,
        "checked_at": None,
        "due_at": None,
        "changed_at": tx.now,
        "reason": "",
        "failures": 0,
    }
    if present:
        place = {"of": version_id, "on": volume_id}
        carry_out(tx.connection, _BEGIN_ANEW, {**place, **values}, ("version", version_id))
        _count(tx, volume_id, CopyState.RETIRED, -1)
    else:
        place = {"version_id": version_id, "volume_id": volume_id}
        carry_out(tx.connection, _INSERT, {**place, **values}, ("version", version_id))
    _count(tx, volume_id, state, +1)
    return _several(tx, _IN_PLACE, of=version_id, on=volume_id)[0]


def change(
    tx: Tx,
    copy_id: int,
    to: CopyState,
    *,
    written: bool = False,
    proved: bool = False,
    checked: bool = False,
    due_at: datetime | Literal[Keep.KEEP] | None = KEEP,
    reason: str = "",
    failures: int | None = None,
) -> Copy:
    """Take a copy to a state, or renew what is known of it in the same one; return it as it is then.

    ``written``, ``proved`` and ``checked`` say what has just happened and set the times; a proof is also a check.
    A check begins ``failures`` (unreadable checks in a row) at 0 again, unless a number is given. ``due_at`` and
    ``reason`` stay when they are not given, but a new state begins without the old one's reason.

    Owes an event, except where nothing but an intention (between PLANNED and WRITING), the date of the next check,
    the reason or the failures change. Raises :class:`NotFound`, and :class:`Refused` (code ``bad-transition``) for
    what ``ALLOWED_TRANSITIONS`` does not have, and for becoming GOOD without a proof.
    """
    before = _present(tx, copy_id)
    moved = to is not before.state
    what = f"The copy of version {before.number} on {before.volume}"
    if moved and to not in ALLOWED_TRANSITIONS[before.state]:
        raise _bad_transition(what, before.state, to, "there is no such step in the life of a copy")
    if moved and to is CopyState.GOOD and not proved:
        raise _bad_transition(what, before.state, to, "good means that every byte was read back and proved")
    if written or proved or checked or (moved and not {before.state, to} <= _INTENTIONS):
        tx.owe()
    values: dict[str, object] = {}
    if moved:
        values.update(state=to, changed_at=tx.now, reason=reason)
    elif reason:
        values.update(reason=reason)
    if written:
        values.update(written_at=tx.now)
    if proved:
        values.update(proved_at=tx.now)
    if proved or checked:
        values.update(checked_at=tx.now, failures=0)
    if failures is not None:
        values.update(failures=failures)
    if due_at is not KEEP:
        values.update(due_at=due_at)
    if values:
        carry_out(tx.connection, _CHANGE, {"this": copy_id, **values}, ("package", before.package_id))
    if moved:
        _count(tx, before.volume_id, before.state, -1)
        _count(tx, before.volume_id, to, +1)
    return _present(tx, copy_id)


def check_key(package_id: int, volume: str) -> str:
    """Return the key of the task that checks a package's copies on a volume; there is one open at most."""
    return f"{_CHECK}{package_id}@{volume}"


_CHECK: Final = "verify:"
_KEY_OF_CHECK = (
    sa.literal_column(f"'{_CHECK}'", sa.Text)
    .concat(sa.cast(versions.c.package_id, sa.Text))
    .concat(sa.literal_column("'@'", sa.Text))
    .concat(volumes.c.name)
)
_IS_NOT_TAKEN_UP = ~sa.exists(sa.select(1).where(tasks.c.key == _KEY_OF_CHECK, IS_OPEN).correlate(versions, volumes))


def due(
    tx: Tx,
    volume_id: int,
    before: datetime,
    limit: int,
    *,
    not_taken_up: bool = False,
    classes: Collection[str] | None = None,
) -> list[Copy]:
    """Return the copies on a volume (good, suspect or written) whose check is due by ``before``, longest due first.

    With ``classes`` only good ones, of packages of these classes.

    ``not_taken_up`` leaves out those with an open task of that key (:func:`check_key`): however many of the oldest
    wait for another attempt, they do not hide the next.
    """
    query = _COPIES.where(copies.c.volume_id == volume_id, IS_DUE_SOME_TIME, copies.c.due_at <= before)
    query = query.where(_IS_NOT_TAKEN_UP) if not_taken_up else query
    if classes is not None:
        query = query.where(copies.c.state == CopyState.GOOD, versions.c.priority_class.in_(sorted(classes)))
    return _several(tx, query.order_by(copies.c.due_at, copies.c.id).limit(limit))


def bring_near(tx: Tx, volume_id: int, latest: datetime) -> int:
    """Let no check of a copy on a volume be due later than ``latest``; return how many would have been."""
    later = copies.update().where(copies.c.volume_id == volume_id, IS_DUE_SOME_TIME, copies.c.due_at > latest)
    return tx.connection.execute(later.values(due_at=latest)).rowcount


def proved_since(tx: Tx, volume_id: int, since: datetime) -> int:
    """Return how many copies on a volume were proved at ``since`` or later."""
    mine = (copies.c.volume_id == volume_id, IS_PROVED, copies.c.proved_at >= since)
    return tx.connection.scalar(sa.select(sa.func.count()).select_from(copies).where(*mine)) or 0


def due_since(tx: Tx, volume_id: int, before: datetime) -> int:
    """Return how many copies on a volume should have been checked by ``before``."""
    mine = (copies.c.volume_id == volume_id, IS_DUE_SOME_TIME, copies.c.due_at <= before)
    return tx.connection.scalar(sa.select(sa.func.count()).select_from(copies).where(*mine)) or 0


def held_bytes(tx: Tx, volume_id: int) -> int:
    """Return how many bytes the copies on a volume have together. It walks all of them: not for a scrape."""
    query = sa.select(sa.func.sum(versions.c.part_bytes)).select_from(copies).join(versions)
    return int(tx.connection.scalar(query.where(copies.c.volume_id == volume_id, IS_HELD)) or 0)


def doubtful(tx: Tx, volume_id: int, before: datetime, limit: int) -> list[Copy]:
    """Return the suspect copies on a volume whose check is due by ``before`` and taken up by nobody."""
    query = _COPIES.where(copies.c.state == CopyState.SUSPECT, copies.c.volume_id == volume_id, _IS_NOT_TAKEN_UP)
    return _several(tx, query.where(copies.c.due_at <= before).order_by(copies.c.id).limit(limit))


def unproved(tx: Tx, volume_id: int, limit: int) -> list[Copy]:
    """Return the copies on a volume that were written and never read back, and whose check nobody has taken up."""
    query = _COPIES.where(copies.c.state == CopyState.WRITTEN, copies.c.volume_id == volume_id, _IS_NOT_TAKEN_UP)
    return _several(tx, query.order_by(copies.c.id).limit(limit))


def in_states(
    tx: Tx, states: Iterable[CopyState], limit: int, volume_id: int | None = None, after: int = 0
) -> list[Copy]:
    """Return the copies in any of ``states`` (on one volume), by id, beginning after the id ``after``."""
    places: list[int | None] = [volume_id]
    parts: list[list[Copy]] = []
    # One range of an index for each state; asking for several at once would sort them all.
    for state in sorted(set(states)):
        if volume_id is None:
            places = [None] if state in UNHEALTHY else list(tx.connection.scalars(sa.select(volumes.c.id)))
        for place in places:
            query = _COPIES.where(copies.c.state == state, copies.c.id > after)
            query = query.where(IS_UNHEALTHY if place is None else copies.c.volume_id == place)
            parts.append(_several(tx, query.order_by(copies.c.id).limit(limit)))
    return list(itertools.islice(heapq.merge(*parts, key=lambda copy: copy.id), limit))


def number_alone(tx: Tx, volume_id: int) -> int:
    """Return how many versions have a copy on the volume that may be right, and none elsewhere."""
    believed = (CopyState.GOOD, CopyState.SUSPECT, CopyState.WRITTEN)
    other = copies.alias()
    elsewhere = sa.exists(
        sa.select(1).where(
            other.c.version_id == copies.c.version_id, other.c.volume_id != volume_id, other.c.state.in_(believed)
        )
    )
    query = sa.select(sa.func.count()).where(copies.c.volume_id == volume_id, copies.c.state.in_(believed), ~elsewhere)
    return tx.connection.execute(query).scalar_one()


def unchecked(
    tx: Tx,
    *,
    before: datetime,
    volume_id: int | None = None,
    package_id: int | None = None,
    limit: int,
    not_taken_up: bool = False,
    among: sa.Select[tuple[int]] | None = None,
) -> list[Copy]:
    """Return the copies in a scope that no check has concluded on since ``before``, never checked ones first.

    ``among`` selects the numbers of the packages that are in the scope; of those the order is any.
    Those that were never wholly written, or only after ``before``, and retired ones, are not among them; damaged and
    missing ones are. ``not_taken_up`` is as in :func:`due`.
    """
    was_there = sa.or_(copies.c.written_at.is_(None), copies.c.written_at <= before)
    query = _COPIES.where(IS_HELD, was_there)
    query = query.where(_IS_NOT_TAKEN_UP) if not_taken_up else query
    if package_id is not None:
        return _unchecked_of(tx, query, package_id, volume_id, before)[:limit]
    if among is not None:
        # By the index of the packages, which are few beside what a volume holds.
        wanting = sa.or_(copies.c.checked_at.is_(None), copies.c.checked_at < before)
        query = query.where(versions.c.package_id.in_(among), wanting)
        query = query if volume_id is None else query.where(copies.c.volume_id == volume_id)
        return _several(tx, query.limit(limit))
    places = [volume_id] if volume_id is not None else list(tx.connection.scalars(sa.select(volumes.c.id)))
    found: list[Copy] = []
    # Never first, then oldest: two ranges of the index, in which databases place NULL differently.
    for condition in (copies.c.checked_at.is_(None), copies.c.checked_at < before):
        for place in places:
            if len(found) < limit:
                chosen = query.where(copies.c.volume_id == place, condition)
                found += _several(tx, chosen.order_by(copies.c.checked_at, copies.c.id).limit(limit - len(found)))
    return found


def _unchecked_of(
    tx: Tx, query: sa.Select[*tuple[object, ...]], package_id: int, volume_id: int | None, before: datetime
) -> list[Copy]:
    """The few copies of one package are looked at one by one; by the volume's index it would be all that it holds."""
    never = datetime.min.replace(tzinfo=UTC)
    mine = [
        copy
        for copy in _several(tx, query.where(versions.c.package_id == package_id))
        if volume_id in (None, copy.volume_id) and (copy.checked_at is None or copy.checked_at < before)
    ]
    return sorted(mine, key=lambda copy: (copy.checked_at or never, copy.id))


def concluded(
    tx: Tx,
    *,
    since: datetime,
    volume_id: int | None = None,
    package_id: int | None = None,
    among: sa.Select[tuple[int]] | None = None,
) -> int:
    """Return of how many copies in a scope that were written by ``since`` a check or a repair came to a conclusion
    from then on."""
    was_there = sa.or_(copies.c.written_at.is_(None), copies.c.written_at <= since)
    query = sa.select(sa.func.count()).select_from(copies).where(IS_HELD, was_there, copies.c.checked_at >= since)
    if volume_id is not None:
        query = query.where(copies.c.volume_id == volume_id)
    if package_id is not None:
        those = sa.select(versions.c.id).where(versions.c.package_id == package_id)
        query = query.where(copies.c.version_id.in_(those))
    if among is not None:
        query = query.where(copies.c.version_id.in_(sa.select(versions.c.id).where(versions.c.package_id.in_(among))))
    return tx.connection.execute(query).scalar_one()


def counts(tx: Tx) -> dict[tuple[str, CopyState], int]:
    """Return how many copies are in which state, by name of volume and state. Zeros are absent.

    Read from counters that every change keeps in its own transaction, so it takes no time however many there are.
    """
    query = sa.select(volumes.c.name, copy_counts.c.state, copy_counts.c.number).join(volumes)
    rows = tx.connection.execute(query.where(copy_counts.c.number != 0))
    return {(name, state): number for name, state, number in rows}


def oldest_proof(tx: Tx) -> dict[str, datetime]:
    """Return for each volume the time of the proof that is longest ago among its good and suspect copies."""
    oldest = (
        sa.select(sa.func.min(copies.c.proved_at))
        .where(copies.c.volume_id == volumes.c.id, IS_PROVED)
        .correlate(volumes)
        .scalar_subquery()
    )
    rows = tx.connection.execute(sa.select(volumes.c.name, oldest))
    return {name: moment for name, moment in rows if moment is not None}


def _present(tx: Tx, copy_id: int) -> Copy:
    found = get(tx, copy_id)
    if found is None:
        raise NotFound(f"There is no copy number {copy_id}.")
    return found


_COUNT = (
    copy_counts.update()
    .where(copy_counts.c.volume_id == sa.bindparam("on"), copy_counts.c.state == sa.bindparam("which"))
    .values(number=copy_counts.c.number + sa.bindparam("difference"))
)


def _count(tx: Tx, volume_id: int, state: CopyState, difference: int) -> None:
    updated = tx.connection.execute(_COUNT, {"on": volume_id, "which": state, "difference": difference})
    if updated.rowcount == 0:
        tx.connection.execute(copy_counts.insert().values(volume_id=volume_id, state=state, number=difference))


def _bad_transition(what: str, before: str, to: str, why: str) -> Refused:
    return Refused(
        f"{what} cannot go from {before} to {to}: {why}.",
        remedy="This is a mistake in the program; nothing was changed. Report it.",
        code="bad-transition",
    )
