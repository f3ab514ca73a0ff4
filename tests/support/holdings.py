"""Something to put into a catalogue: volumes, packages and copies with facts that no test cares about."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from vault import ledger
from vault.catalog import Tx, copies, packages, volumes
from vault.model import (
    Copy,
    CopyState,
    Descriptive,
    DigestAlgorithm,
    Event,
    EventType,
    MediumClass,
    NewEvent,
    Outcome,
    PackageKind,
    Version,
    Volume,
)


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 10, 40, 42, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> datetime:
        self.time += timedelta(**by)
        return self.time


def tell(tx: Tx, event_type: EventType = EventType.FIXITY_CHECK, **facts) -> Event:
    return ledger.append(tx, NewEvent(event_type, Outcome.SUCCESS, "node:test", **facts))


def add_volume(tx: Tx, name: str) -> Volume:
    volume = volumes.register(
        tx, uuid=uuid4(), name=name, kind="directory", medium=MediumClass.DISK, domain=f"d-{name}", site="kho-chinh"
    )
    tell(tx, EventType.VOLUME_ADDED, volume=name)
    return volume


def add_version(tx: Tx, identifier: str, **facts) -> Version:
    """Add the next version of a package, which is made when it is not there."""
    package = packages.get(tx, identifier)
    descriptive = facts.pop("descriptive", Descriptive())
    if package is None:
        package = packages.create(tx, identifier, descriptive)
    values = {
        "number": package.head + 1,
        "kind": PackageKind.BAG,
        "algorithm": DigestAlgorithm.SHA512,
        "content_digest": "c" * 128,
        "inventory_digest": "d" * 128,
        "files": 3,
        "bytes": 5_000_000_000,
        "part_bytes": 5_000_004_096,
        "deposit_digests": {"sha256": "e" * 64},
        "policy": "default",
        "priority_class": "default",
        "ingest_id": "ingest-1",
        "metadata": {"title": "Hồ sơ Đ-012"},
    }
    version = packages.add_version(tx, package_id=package.id, **(values | facts))
    tell(tx, EventType.VERSION_CREATED, identifier=identifier, version=version.number)
    return version


def add_copy(tx: Tx, version: Version, volume: Volume, state: CopyState = CopyState.GOOD, **facts) -> Copy:
    """Add a copy and take it to ``state`` by the steps that lead there."""
    copy = copies.plan(tx, version.id, volume.id)
    for step in _STEPS[state]:
        copy = copies.change(tx, copy.id, step, written=step is CopyState.WRITTEN, proved=step is CopyState.GOOD)
    if facts:
        copy = copies.change(tx, copy.id, copy.state, **facts)
    tell(tx, EventType.COPY_WRITTEN, identifier=version.identifier, version=version.number, volume=volume.name)
    return copy


_WRITTEN = (CopyState.WRITING, CopyState.WRITTEN)
_GOOD = (*_WRITTEN, CopyState.GOOD)
_STEPS = {
    CopyState.PLANNED: (),
    CopyState.WRITING: (CopyState.WRITING,),
    CopyState.WRITTEN: _WRITTEN,
    CopyState.GOOD: _GOOD,
    CopyState.SUSPECT: (*_GOOD, CopyState.SUSPECT),
    CopyState.DAMAGED: (*_GOOD, CopyState.DAMAGED),
    CopyState.MISSING: (*_GOOD, CopyState.MISSING),
    CopyState.RETIRED: (*_GOOD, CopyState.RETIRED),
}
