"""What every piece of custody work is given: the catalogue, the volumes, the settings and the clock."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import vault.catalog.copies
import vault.catalog.volumes
from vault import policy as policies
from vault.catalog.engine import Catalogue, Tx
from vault.config import Settings, policy_fingerprint
from vault.custody.pacing import Pacing
from vault.custody.recalls import NoRecalls, Recaller
from vault.errors import NotFound, Unreachable, VaultError
from vault.formats.ocfl.object_ids import object_id
from vault.model import Copy, CopyState, Version, VolumeMode
from vault.policy import Holding, Policy
from vault.telemetry import Telemetry
from vault.volumes.base import Part, Staging, Volume

LOCK_PATIENCE_SECONDS = 60.0


class KeyedLocks:
    """A lock per package, made when it is first asked for and forgotten when nobody holds it.

    Held for moments only: while a part is put in place and the catalogue told of it, and while an object's root is
    checked against the catalogue. Never while content is read or written.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold the lock of this key for the block.

        Raises Unreachable (``package-busy``) when its holder does not let go for long: it hangs in a volume, and must
        not take others with it.
        """
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            if not lock.acquire(timeout=LOCK_PATIENCE_SECONDS):
                raise Unreachable(
                    f"Other work on {key} has not come to its end for {LOCK_PATIENCE_SECONDS:.0f} seconds.",
                    remedy="Look at `vaultctl volumes` and `vaultctl tasks`: a volume that hangs may hold it up.",
                    code="package-busy",
                )
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)


class Held:
    """Names of what this process works on just now. What bears another one was left by a process before it, or by work
    that is over."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[str] = set()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """It is worked on for the block."""
        with self._guard:
            self._names.add(name)
        try:
            yield
        finally:
            with self._guard:
                self._names.discard(name)

    def __contains__(self, name: object) -> bool:
        with self._guard:
            return name in self._names


class LiveStagings(Held):
    """The tokens of the stagings that this process works on just now. All else in a volume's staging is left over."""

    def __init__(self) -> None:
        super().__init__()
        self._littered: set[str] = set()

    def litter(self, volume: str) -> None:
        """Note that something is left over on the volume, which would not be thrown away."""
        with self._guard:
            self._littered.add(volume)

    def take_litter(self, volume: str) -> bool:
        """Whether something was noted of the volume; whoever asks clears it away, or notes it again."""
        with self._guard:
            noted = volume in self._littered
            self._littered.discard(volume)
            return noted


def _nobody(_version: Version) -> None:
    """The default listener."""


def _nowhere(_volume: str) -> None:
    """The default look-out."""


@dataclass(frozen=True)
class Custodian:
    """The parts that custody works with. One per daemon; everything in it may be used from any thread."""

    catalogue: Catalogue
    settings: Settings
    volumes: Mapping[str, Volume]
    agent: str
    telemetry: Telemetry = field(default_factory=Telemetry)
    process: str = field(default_factory=lambda: secrets.token_hex(4))
    locks: KeyedLocks = field(default_factory=KeyedLocks)
    wake: Callable[[], None] = lambda: None
    on_proved: Callable[[Version], None] = _nobody
    look: Callable[[str], None] = _nowhere
    recaller: Callable[[], Recaller] = NoRecalls
    stagings: LiveStagings = field(default_factory=LiveStagings)
    deposits: Held = field(default_factory=Held)

    def volume(self, name: str) -> Volume:
        """The volume of this name. Raises NotFound when the configuration no longer has it."""
        try:
            return self.volumes[name]
        except KeyError:
            raise NotFound(
                f"The configuration has no volume {name[:100]!r}; it has {', '.join(sorted(self.volumes))}.",
                remedy="Look at its spelling. One that holds copies stays in the configuration until it is retired.",
                code="no-such-volume",
            ) from None

    def token(self, purpose: str, name: object) -> str:
        """A name for a staging that is unique, and tells this process's stagings from those of before it."""
        return f"{self.process}.{purpose}-{name}-{secrets.token_hex(3)}"

    @contextmanager
    def staging(self, volume: Volume, purpose: str, name: object, number: int) -> Iterator[Staging]:
        """A staging for a part ``vN``, for the block; what is left of it at the end is thrown away.

        Raises Full, Unreachable. Where an outage or a sick medium keeps it from being thrown away, the watch does that
        when the volume answers again.
        """
        token = self.token(purpose, name)
        with self.stagings.hold(token):
            try:
                staging = volume.stage(token, number)
            except VaultError:
                # It may have come half-way: a full volume takes the first folder and not the second.
                self.stagings.litter(volume.name)
                raise
            try:
                yield staging
            finally:
                if not staging.discard():
                    self.stagings.litter(volume.name)

    @cached_property
    def pacing(self) -> Pacing:
        """The hours and caps of routine reading."""
        return Pacing(self.settings, self.catalogue.clock)

    @cached_property
    def fingerprint(self) -> str:
        """Of all in the configuration that decides a version's standing."""
        return policy_fingerprint(self.settings)

    def wording(self, tx: Tx) -> str:
        """Of all that decides a version's standing besides its copies: the configuration, and what the operator wants
        of the volumes. Where every volume is active, it is the fingerprint of the configuration."""
        volumes = vault.catalog.volumes.all(tx)
        modes = [f"{volume.name}={volume.mode}" for volume in volumes if volume.mode is not VolumeMode.ACTIVE]
        if not modes:
            return self.fingerprint
        return hashlib.sha256(" ".join([self.fingerprint, *sorted(modes)]).encode()).hexdigest()

    def policy(self, name: str) -> Policy:
        """The policy of this name, or the last one, which matches everything, when it was removed."""
        for policy in self.settings.policies:
            if policy.name == name:
                return policy
        return self.settings.policies[-1]

    def holdings(self, tx: Tx, copies: list[Copy]) -> list[Holding]:
        """The copies of one version with the volumes that they are on, for :mod:`vault.policy` to judge."""
        by_id = {volume.id: volume for volume in vault.catalog.volumes.all(tx)}
        of_package = (
            vault.catalog.copies.of_package(tx, copies[0].package_id) if copies and copies[0].number > 1 else []
        )
        return policies.holdings(copies, by_id, of_package)


STORED_STATES = frozenset({CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING})
"""States of a copy that was put in place once, whatever became of it."""


SOURCE_STATES = (CopyState.GOOD, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED)
"""States of a copy that bytes may be read from, the most trusted first; every digest is checked on the way."""


def part_of(version: Version) -> Part:
    """What names this version's bytes on any volume."""
    return Part(object_id(version.identifier), version.number, version.algorithm, version.inventory_digest)
