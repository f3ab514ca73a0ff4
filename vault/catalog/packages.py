"""Packages and their versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Final, cast

import sqlalchemy as sa

from vault.catalog.changes import about, carry_out
from vault.catalog.engine import Tx
from vault.catalog.schema import IS_BELOW_POLICY, IS_HELD, copies, packages, versions, volumes
from vault.clock import from_text
from vault.errors import Conflict, NotFound
from vault.identifiers import package_reference
from vault.model import CopyState, Descriptive, DigestAlgorithm, Json, Package, PackageKind, Version, VolumeMode

URGENCY_STEP: Final = 10_000
"""What lies between two urgencies in ``Version.priority``: see :func:`set_standing`."""

_RECEIPTED: Final = 10
"""Added to the urgency of a version that nobody waits for any more; the good copies below it are counted to nine."""

_DESCRIPTIVE = tuple(field.name for field in fields(Descriptive))
_VERSION_COLUMNS = [column for column in versions.c if column.name not in ("metadata", "receipt")]
_VERSIONS = sa.select(*_VERSION_COLUMNS, packages.c.identifier).join(packages)
_BY_IDENTIFIER = sa.select(packages).where(packages.c.identifier == sa.bindparam("named"))
_BY_ID = sa.select(packages).where(packages.c.id == sa.bindparam("this"))
_VERSION_BY_ID = _VERSIONS.where(versions.c.id == sa.bindparam("this"))
_VERSIONS_BY_ID = _VERSIONS.where(versions.c.id.in_(sa.bindparam("these", expanding=True)))
_VERSION = _VERSIONS.where(packages.c.identifier == sa.bindparam("named"), versions.c.number == sa.bindparam("which"))
_HEAD = _VERSIONS.where(packages.c.identifier == sa.bindparam("named"), versions.c.number == packages.c.head)
_VERSIONS_OF = _VERSIONS.where(versions.c.package_id == sa.bindparam("of")).order_by(versions.c.number)
_ADD_VERSION = versions.insert()
_CHANGE = packages.update().where(packages.c.id == sa.bindparam("this"))
_CHANGE_VERSION = versions.update().where(versions.c.id == sa.bindparam("this"))


def from_row(row: sa.RowMapping) -> Package:
    """A package from a row of its table."""
    return Package(
        id=row["id"],
        identifier=row["identifier"],
        head=row["head"],
        descriptive=Descriptive(**{name: row[name] for name in _DESCRIPTIVE}),
        created_at=row["created_at"],
        last_proved_at=from_text(row["last_proved"]) if row["last_proved"] else None,
    )


def _version(row: sa.RowMapping) -> Version:
    return Version(**row)


def _one_version(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> Version | None:
    row = tx.connection.execute(query, values).mappings().first()
    return None if row is None else _version(row)


def _several(tx: Tx, query: sa.Select[*tuple[object, ...]], **values: object) -> list[Version]:
    return [_version(row) for row in tx.connection.execute(query, values).mappings()]


def get(tx: Tx, identifier: str) -> Package | None:
    """Return the package of that identifier (in NFC, as ``parse_identifier`` returns it), or None."""
    row = tx.connection.execute(_BY_IDENTIFIER, {"named": identifier}).mappings().first()
    return None if row is None else from_row(row)


def create(tx: Tx, identifier: str, descriptive: Descriptive, *, created_at: datetime | None = None) -> Package:
    """Create a package without a version, now or (when it is found on a medium) as of an earlier time.

    Owes an event. Raises :class:`Conflict` when there is one already.
    """
    if get(tx, identifier) is not None:
        raise Conflict(
            f"There is already a package {identifier}.", remedy="Add a version to it.", code="package-exists"
        )
    tx.owe()
    values = {name: getattr(descriptive, name) for name in _DESCRIPTIVE}
    tx.connection.execute(
        about(packages.insert().values(identifier=identifier, head=0, created_at=created_at or tx.now, **values))
    )
    created = get(tx, identifier)
    assert created is not None  # noqa: S101 - it was inserted in this transaction
    return created


def describe(tx: Tx, package_id: int, descriptive: Descriptive) -> None:
    """Replace what the depositor said of a package, as a new version may. Owes an event."""
    tx.owe()
    values = {name: getattr(descriptive, name) for name in _DESCRIPTIVE}
    this = packages.update().where(packages.c.id == package_id)
    tx.connection.execute(about(this.values(**values), ("package", package_id)))


def add_version(
    tx: Tx,
    *,
    package_id: int,
    number: int,
    kind: PackageKind,
    algorithm: DigestAlgorithm,
    content_digest: str,
    inventory_digest: str,
    files: int,
    bytes: int,  # noqa: A002 - the fact's name in the model
    part_bytes: int,
    deposit_digests: Mapping[str, str],
    policy: str,
    priority_class: str,
    ingest_id: str,
    metadata: Mapping[str, Json],
    priority: int = 100,
    policy_fingerprint: str = "",
    below_policy: bool = True,
    created_at: datetime | None = None,
) -> Version:
    """Add the next version of a package and make it its head, taken in now or at ``created_at``. Owes an event.

    It is below its policy until :func:`set_standing` says otherwise. Raises :class:`NotFound` for an unknown
    package and :class:`Conflict` when ``number`` is not the one after the head's.
    """
    found = tx.connection.execute(_BY_ID, {"this": package_id}).mappings().first()
    if found is None:
        raise NotFound(f"There is no package number {package_id}.")
    package = from_row(found)
    if number != package.head + 1:
        raise Conflict(
            f"{package_reference(package.identifier, number)} cannot be added: the newest is v{package.head}.",
            remedy="Fetch the newest version and deposit on top of it.",
            code="not-next-version",
        )
    tx.owe()
    row: dict[str, object] = {
        "package_id": package_id,
        "number": number,
        "kind": kind,
        "algorithm": algorithm,
        "content_digest": content_digest,
        "inventory_digest": inventory_digest,
        "files": files,
        "bytes": bytes,
        "part_bytes": part_bytes,
        "deposit_digests": dict(deposit_digests),
        "policy": policy,
        "policy_fingerprint": policy_fingerprint,
        "priority_class": priority_class,
        "priority": priority,
        "below_policy": below_policy,
        "ingest_id": ingest_id,
        "created_at": created_at or tx.now,
        "metadata": dict(metadata),
    }
    carry_out(tx.connection, _ADD_VERSION, row, ("package", package_id))
    carry_out(tx.connection, _CHANGE, {"this": package_id, "head": number}, ("package", package_id))
    added = _one_version(tx, _VERSION, named=package.identifier, which=number)
    assert added is not None  # noqa: S101 - it was inserted in this transaction
    return added


def version(tx: Tx, identifier: str, number: int) -> Version | None:
    """Return one version of a package, or None."""
    return _one_version(tx, _VERSION, named=identifier, which=number)


def version_by_id(tx: Tx, version_id: int) -> Version | None:
    """Return the version with that number of its row, or None."""
    return _one_version(tx, _VERSION_BY_ID, this=version_id)


def need_version(tx: Tx, version_id: int) -> Version:
    """Return the version with that number in the catalogue. Raises :class:`NotFound`."""
    found = version_by_id(tx, version_id)
    if found is None:
        raise NotFound(f"There is no version with the number {version_id} in the catalogue.")
    return found


def need_versions(tx: Tx, version_ids: Iterable[int]) -> dict[int, Version]:
    """Return the versions with those numbers, by them. Raises :class:`NotFound` where one is missing."""
    wanted = sorted(set(version_ids))
    found = {version.id: version for version in _several(tx, _VERSIONS_BY_ID, these=wanted)} if wanted else {}
    if len(found) < len(wanted):
        missing = next(number for number in wanted if number not in found)
        raise NotFound(f"There is no version with the number {missing} in the catalogue.")
    return found


def head(tx: Tx, identifier: str) -> Version | None:
    """Return the newest version of a package; None when there is no such package or it has none yet."""
    return _one_version(tx, _HEAD, named=identifier)


def versions_of(tx: Tx, package_id: int) -> list[Version]:
    """Return every version of a package, v1 first."""
    return _several(tx, _VERSIONS_OF, of=package_id)


def sample(tx: Tx, number: int) -> list[Version]:
    """Return so many versions at random. It looks at every version: for drills, not for daily use."""
    return _several(tx, _VERSIONS.order_by(sa.func.random()).limit(number))


def has_fonds(tx: Tx, fonds: str) -> bool:
    """Return whether any package is of this fonds."""
    return tx.connection.scalar(sa.select(packages.c.id).where(packages.c.fonds == fonds).limit(1)) is not None


def set_standing(
    tx: Tx,
    version_id: int,
    *,
    below_policy: bool,
    policy: str,
    priority: int,
    policy_fingerprint: str | None = None,
) -> None:
    """Record how a version stands with its policy, and the wording under which that was found (None: as before).

    ``priority`` is the policy's, 0 to 9,999. What is stored as ``Version.priority`` orders all that is below policy:
    ``URGENCY_STEP`` times the urgency, plus the policy's priority. The urgency is the number of domains with a good
    copy (to nine), and ten more once the depositor has the receipt. So those whose depositor still waits come first,
    then those with the fewest good copies, then what the policies say, then age. A version that has just been added
    is as urgent as can be.

    Owes no event: it follows from the copies and the configuration, whose changes have theirs.
    """
    stored = _urgency(tx, version_id) * URGENCY_STEP + max(0, min(priority, URGENCY_STEP - 1))
    values: dict[str, object] = {"below_policy": below_policy, "policy": policy, "priority": stored}
    if policy_fingerprint is not None:
        values["policy_fingerprint"] = policy_fingerprint
    carry_out(tx.connection, _CHANGE_VERSION, {"this": version_id, **values}, ("version", version_id))
    _note_last_proved(tx, version_id)


_PACKAGE_OF = sa.select(versions.c.package_id).where(versions.c.id == sa.bindparam("this")).scalar_subquery()
_LAST_PROVED = (
    sa.select(sa.func.max(sa.case((copies.c.state == CopyState.GOOD, sa.type_coerce(copies.c.proved_at, sa.Text)))))
    .select_from(versions.outerjoin(copies, copies.c.version_id == versions.c.id))
    .where(versions.c.package_id == _PACKAGE_OF)
    .group_by(versions.c.id)
)
_NOTE_LAST_PROVED = packages.update().where(packages.c.id == _PACKAGE_OF, packages.c.last_proved != sa.bindparam("is"))


def _note_last_proved(tx: Tx, version_id: int) -> None:
    """Work out anew when the version's package was last proved (``Package.last_proved_at``)."""
    moments = tx.connection.scalars(_LAST_PROVED, {"this": version_id})
    # "" sorts before every time: what was never proved was last proved before any.
    last = min((moment or "" for moment in moments), default="")
    values = {"this": version_id, "is": last, "last_proved": last}
    carry_out(tx.connection, _NOTE_LAST_PROVED, values, ("version", version_id))


def versions_of_packages(tx: Tx, package_ids: Collection[int]) -> dict[int, list[Version]]:
    """Return the versions of several packages at once, v1 first, by the packages' numbers."""
    found: dict[int, list[Version]] = {}
    if package_ids:
        query = _VERSIONS.where(versions.c.package_id.in_(sorted(package_ids)))
        for version in _several(tx, query.order_by(versions.c.package_id, versions.c.number)):
            found.setdefault(version.package_id, []).append(version)
    return found


def receipts_issued(tx: Tx, version_ids: Collection[int]) -> dict[int, datetime]:
    """Return when the receipts of these versions were signed; those that have none are absent."""
    if not version_ids:
        return {}
    query = sa.select(versions.c.id, versions.c.receipt)
    query = query.where(versions.c.id.in_(sorted(version_ids)), versions.c.receipt.is_not(None))
    found: dict[int, datetime] = {}
    for version_id, document in tx.connection.execute(query):
        issued = document.get("issued_at")
        if isinstance(issued, str):
            found[version_id] = from_text(issued)
    return found


_GOOD_DOMAINS = (
    sa.select(sa.func.count(volumes.c.domain.distinct()))
    .select_from(copies.join(volumes))
    .where(copies.c.version_id == versions.c.id, copies.c.state == CopyState.GOOD)
    .where(volumes.c.mode != VolumeMode.RETIRED)
    .correlate(versions)
    .scalar_subquery()
)
# After a rebuild from the volumes no deposit is known, and nobody waits for its receipt.
_IS_AWAITED = sa.and_(versions.c.receipt.is_(None), versions.c.ingest_id != "")
_URGENCY = sa.select(_GOOD_DOMAINS, _IS_AWAITED).where(versions.c.id == sa.bindparam("this"))


def _urgency(tx: Tx, version_id: int) -> int:
    row = tx.connection.execute(_URGENCY, {"this": version_id}).first()
    if row is None:
        return 0
    domains, waiting = int(row[0]), bool(row[1])
    return min(domains, _RECEIPTED - 1) + (0 if waiting else _RECEIPTED)


def below_policy(tx: Tx, limit: int, after: Version | None = None) -> list[Version]:
    """Return versions below their policy, the most urgent first: by priority (see :func:`set_standing`), then age,
    then id.

    ``after`` is the last one of the page before, as it was then.
    """
    order = (versions.c.priority, versions.c.created_at, versions.c.id)
    query = _VERSIONS.where(IS_BELOW_POLICY).order_by(*order).limit(limit)
    if after is not None:
        last = (after.priority, after.created_at, after.id)
        query = query.where(
            sa.tuple_(*order)
            > sa.tuple_(*(sa.literal(value, column.type) for column, value in zip(order, last, strict=True)))
        )
    return _several(tx, query)


def below_policy_size(tx: Tx, volume_id: int | None = None, sample: int = 1000) -> tuple[int, int]:
    """Return how many versions are below their policy (that have a copy on a volume), and about how many bytes they
    are: of many, only ``sample`` are added up."""
    those = sa.select(versions.c.part_bytes).where(IS_BELOW_POLICY)
    if volume_id is not None:
        here = sa.select(copies.c.version_id).where(copies.c.volume_id == volume_id, IS_HELD)
        those = those.where(versions.c.id.in_(here))
    number = tx.connection.scalar(sa.select(sa.func.count()).select_from(those.subquery())) or 0
    some = those.limit(sample).subquery()
    total = tx.connection.scalar(sa.select(sa.func.sum(some.c.part_bytes))) or 0
    return number, int(total) * number // min(number, sample) if number else 0


def versions_with_other_policy(tx: Tx, fingerprint: str, limit: int) -> list[Version]:
    """Return versions whose standing was found under another wording of the policies than ``fingerprint``."""
    column = versions.c.policy_fingerprint
    found: list[Version] = []
    # Two ranges of the index; "not equal" would be a scan of the whole table.
    for condition in (column < fingerprint, column > fingerprint):
        query = _VERSIONS.where(condition).order_by(column, versions.c.id).limit(limit - len(found))
        found += _several(tx, query) if len(found) < limit else []
    return found


def count(tx: Tx) -> int:
    """Return how many packages there are."""
    return tx.connection.execute(sa.select(sa.func.count()).select_from(packages)).scalar_one()


def count_below_policy_by_class(tx: Tx) -> dict[str, int]:
    """Return how many versions are below their policy, by class; classes with none are absent."""
    query = (
        sa.select(versions.c.priority_class, sa.func.count()).where(IS_BELOW_POLICY).group_by(versions.c.priority_class)
    )
    return dict(tx.connection.execute(query).all())


def set_receipt(tx: Tx, version_id: int, receipt: Mapping[str, Json]) -> None:
    """Keep the signed receipt of a version, whose work is less urgent then. Owes an event. Raises :class:`NotFound`."""
    priority = tx.connection.scalar(sa.select(versions.c.priority).where(versions.c.id == version_id))
    if priority is None:
        raise NotFound(f"There is no version number {version_id}.")
    tx.owe()
    what = ("version", version_id)
    carry_out(tx.connection, _CHANGE_VERSION, {"this": version_id, "receipt": dict(receipt)}, what)
    stored = _urgency(tx, version_id) * URGENCY_STEP + priority % URGENCY_STEP
    carry_out(tx.connection, _CHANGE_VERSION, {"this": version_id, "priority": stored}, what)


def receipt(tx: Tx, version_id: int) -> dict[str, Json] | None:
    """Return the signed receipt of a version, None while there is none."""
    found = tx.connection.scalar(sa.select(versions.c.receipt).where(versions.c.id == version_id))
    return cast("dict[str, Json] | None", found)


def told(tx: Tx, package_id: int) -> dict[int, tuple[dict[str, Json], bool]]:
    """Return what the depositor said of each version of a package, and whether it has a receipt, by version number
    in the catalogue: all that a :class:`Version` leaves out."""
    columns = (versions.c.id, versions.c.metadata, versions.c.receipt.is_not(None))
    rows = tx.connection.execute(sa.select(*columns).where(versions.c.package_id == package_id))
    return {number: (dict(said), bool(issued)) for number, said, issued in rows}


def metadata(tx: Tx, version_id: int) -> dict[str, Json]:
    """Return what the depositor said of a version. Raises :class:`NotFound`."""
    found = tx.connection.scalar(sa.select(versions.c.metadata).where(versions.c.id == version_id))
    if found is None:
        raise NotFound(f"There is no version number {version_id}.")
    return cast("dict[str, Json]", found)
