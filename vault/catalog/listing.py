"""Listings of packages: narrowed, in an order that stands still, a page at a time, quick whatever the archive holds.

The order is that of the index which the conditions call for: by identifier; with ``proved_before`` what was proved
longest ago first; with ``created_since`` the oldest first. So a page costs what it holds, and a package that is
deposited or proved while somebody turns the pages makes no other one appear twice or never.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.packages import from_row
from vault.catalog.schema import HAS_ACCESS, HAS_FILE_CODE, HAS_RETENTION, IS_BELOW_POLICY, packages, versions
from vault.clock import to_text
from vault.model import Package


class Order(enum.StrEnum):
    """What a listing is ordered by; each order ends with the identifier."""

    IDENTIFIER = "identifier"
    LAST_PROVED = "last_proved"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packages to list: each condition that is not None must hold.

    ``below_policy``: whether any version is. ``proved_before``: last proved before then, or never
    (``Package.last_proved_at``). ``created_since``: its first version was taken in then or later.
    """

    fonds: str | None = None
    agency: str | None = None
    batch: str | None = None
    priority_class: str | None = None
    file_code: str | None = None
    retention: str | None = None
    access: str | None = None
    below_policy: bool | None = None
    proved_before: datetime | None = None
    created_since: datetime | None = None
    prefix: str | None = None

    @property
    def order(self) -> Order:
        """What the listing is ordered by."""
        if self.proved_before is not None:
            return Order.LAST_PROVED
        return Order.IDENTIFIER if self.created_since is None else Order.CREATED


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last package's value of what it is ordered by ("" where that is the identifier)."""

    value: str
    identifier: str


def place_of(package: Package, order: Order) -> Place:
    """Where a page ends whose last package is this one."""
    if order is Order.CREATED:
        return Place(to_text(package.created_at), package.identifier)
    if order is Order.LAST_PROVED and package.last_proved_at is not None:
        return Place(to_text(package.last_proved_at), package.identifier)
    return Place("", package.identifier)


def page(tx: Tx, wanted: Wanted, *, after: Place | None = None, limit: int) -> list[Package]:
    """Return the packages that are wanted, behind ``after`` if given, in the order of ``wanted.order``."""
    column = packages.c.identifier
    leading: dict[Order, sa.ColumnElement[str]] = {
        Order.CREATED: sa.type_coerce(packages.c.created_at, sa.Text),
        Order.LAST_PROVED: packages.c.last_proved,
    }
    by = leading.get(wanted.order)
    query = sa.select(packages).where(*_conditions(wanted)).limit(limit)
    query = query.order_by(column) if by is None else query.order_by(by, column)
    if after is not None and by is None:
        query = query.where(column > after.identifier)
    elif after is not None:
        values = sa.tuple_(
            sa.literal(after.value, packages.c.last_proved.type), sa.literal(after.identifier, column.type)
        )
        query = query.where(sa.tuple_(by, column) > values)
    return [from_row(row) for row in tx.connection.execute(query).mappings()]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    of = packages.c
    found: list[sa.ColumnElement[bool]] = []
    for column, value in (
        (of.fonds, wanted.fonds),
        (of.agency, wanted.agency),
        (of.batch, wanted.batch),
        (of.priority_class, wanted.priority_class),
    ):
        if value is not None:
            found.append(column == value)
    for column, value, is_said in (
        (of.file_code, wanted.file_code, HAS_FILE_CODE),
        (of.retention, wanted.retention, HAS_RETENTION),
        (of.access, wanted.access, HAS_ACCESS),
    ):
        if value is not None:
            # Most say nothing; those that do have an index, and a database must see that it may use it.
            found += [column == value, is_said] if value else [column == value]
    if wanted.below_policy is not None:
        those = sa.select(versions.c.package_id).where(IS_BELOW_POLICY)
        found.append(of.id.in_(those) if wanted.below_policy else of.id.not_in(those))
    if wanted.proved_before is not None:
        found.append(of.last_proved < to_text(wanted.proved_before))
    if wanted.created_since is not None:
        found.append(of.created_at >= wanted.created_since)
    if wanted.prefix:
        found.append(of.identifier >= wanted.prefix)
        beyond = _successor(wanted.prefix)
        if beyond:
            found.append(of.identifier < beyond)
    return found


def _successor(prefix: str) -> str:
    """Return the first text after everything that begins with ``prefix``, "" when there is none."""
    stripped = prefix.rstrip("\U0010ffff")
    if not stripped:
        return ""
    following = ord(stripped[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000
    return stripped[:-1] + chr(following)
