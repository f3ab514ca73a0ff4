"""What waits to be written to a pool: versions whose policy asks for a copy in its set that is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from vault.catalog import cartridges, copies, facts, packages
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.config import LibrarySettings, PoolSettings
from vault.custody.context import Custodian
from vault.model import READABLE, Copy, CopyState, MediumClass, Version, Volume, VolumeMode
from vault.policy import Policy, holdings
from vault.tape_model import CartridgeState

REFUSED: Final = "tapes.refused"
"""Fact of the node: versions that are larger than any cartridge of a set, with the reason."""

_PAGE: Final = 200
_MOST_PAGES: Final = 100
_BEGUN: Final = (CopyState.PLANNED, CopyState.WRITING, CopyState.WRITTEN)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a pool, the most urgent first, as far as was looked. ``oldest`` is when the first came in."""

    versions: tuple[Version, ...] = ()
    bytes: int = 0
    oldest: datetime | None = None

    def is_due(self, library: LibrarySettings, now: datetime) -> bool:
        """Whether it is worth a mount."""
        if self.oldest is None:
            return False
        return self.bytes >= library.mount_after_bytes or now - self.oldest >= library.mount_after_age


def waiting_for(
    custodian: Custodian, tx: Tx, pool: PoolSettings, *, most_bytes: int, without: Collection[int] = ()
) -> Waiting:
    """Gather what waits for the pool, up to so many bytes (at least one version), without these versions."""
    sight = _Sight(custodian, tx)
    chosen: list[Version] = []
    total = 0
    oldest: datetime | None = None
    after: Version | None = None
    refused = refusals(tx)
    for _ in range(_MOST_PAGES):
        page = packages.below_policy(tx, _PAGE, after)
        held = copies.of_packages(tx, {version.package_id for version in page})
        for version in page:
            if version.id in without or f"{version.id}@{pool.set}" in refused:
                continue
            if pool.name not in sight.wanted(version, held.get(version.package_id, [])):
                continue
            if chosen and total + version.part_bytes > most_bytes:
                return Waiting(tuple(chosen), total, oldest)
            chosen.append(version)
            total += version.part_bytes
            oldest = version.created_at if oldest is None else min(oldest, version.created_at)
        if len(page) < _PAGE:
            break
        after = page[-1]
    return Waiting(tuple(chosen), total, oldest)


def refusals(tx: Tx) -> dict[str, str]:
    """What no cartridge can hold: ``VERSION-ID@SET`` with the reason."""
    found = facts.get(tx, REFUSED)
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}


class _Sight:
    """The volumes, cartridges and policies by which versions are looked at."""

    def __init__(self, custodian: Custodian, tx: Tx) -> None:
        self._custodian = custodian
        self._pools = custodian.settings.pools
        self._volumes: Mapping[int, Volume] = {volume.id: volume for volume in catalog_volumes.all(tx)}
        self._cartridges = {c.volume_id: c.state for c in cartridges.all(tx) if c.volume_id is not None}

    def wanted(self, version: Version, of_package: Sequence[Copy]) -> list[str]:
        """The pools in which a copy of this version is to be made now; none while there is nothing to make it from."""
        policy = self._custodian.policy(version.policy)
        of_version = [copy for copy in of_package if copy.version_id == version.id]
        if not policy.tape or not any(self._is_source(copy) for copy in of_version):
            return []
        return self._missing(policy, of_version, of_package)

    def _missing(self, policy: Policy, of_version: Sequence[Copy], of_package: Sequence[Copy]) -> list[str]:
        sets = set()
        for copy, held in zip(of_version, holdings(of_version, self._volumes, of_package), strict=True):
            usable = held.volume.medium is MediumClass.TAPE and held.volume.mode is VolumeMode.ACTIVE
            there = copy.state is CopyState.GOOD or self._may_become_good(copy, held.volume)
            if usable and there:
                sets.add(held.volume.domain)
        free = [pool for pool in self._pools if pool.set not in sets]
        return [pool.name for pool in free[: max(0, policy.tape - len(sets))]]

    def _may_become_good(self, copy: Copy, volume: Volume) -> bool:
        """What was begun is waited for, and a doubt too where the cartridge can be read again by itself."""
        if self._cartridges.get(volume.id) in (CartridgeState.FOREIGN, CartridgeState.RETIRED):
            return False
        return copy.state in _BEGUN or (copy.state is CopyState.SUSPECT and volume.condition in READABLE)

    def _is_source(self, copy: Copy) -> bool:
        if copy.state is not CopyState.GOOD or copy.volume not in self._custodian.volumes:
            return False
        return self._volumes[copy.volume_id].condition in READABLE


def age(waiting: Waiting, now: datetime) -> timedelta:
    """How long the oldest has waited."""
    return timedelta(0) if waiting.oldest is None else now - waiting.oldest
