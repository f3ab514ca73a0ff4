"""Policy says what should be, the catalogue says what is: this derives the work between them.

A tick changes nothing but tasks and planned copies. Deriving the same work twice makes it once (the task's key), so a
tick may be cut anywhere and run again at any time, and a lost task is only one that the next tick derives again.

There may be far more to do than can be done soon. A tick looks at what is most urgent first, in transactions that only
read, and makes no more tasks than keep the lanes busy until the next one (:mod:`vault.custody.room`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from vault.catalog import copies, packages, tasks
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody import record
from vault.custody.checks import Checks
from vault.custody.context import Custodian
from vault.custody.room import BATCH, Room, Sight
from vault.custody.shortfalls import Shortfalls
from vault.model import (
    Condition,
    TaskKind,
    Volume,
)

log = structlog.get_logger(__name__)

_BATCHES_A_TICK = 10

_LOOK_AT_THE_TIME_SECONDS = 600.0

_LONGEST_WAIT = timedelta(hours=1)

_KEEP_ENDED_TASKS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tick:
    """How many tasks one tick derived, by kind. ``more``: it stopped before it had judged every version anew."""

    repairs: int
    replications: int
    proofs: int
    more: bool = False


class Planner:
    """Derives tasks. Only one may run at a time in a node; the dispatcher's thread runs it."""

    def __init__(self, custodian: Custodian) -> None:
        self._custodian = custodian
        self._shortfalls = Shortfalls(custodian)
        self._checks = Checks(custodian)
        self._stood = ""
        self._looked_at_the_time = float("-inf")

    def tick(self) -> Tick:
        """Look at what is most urgent, and at some of the rest, in bounded steps."""
        custodian = self._custodian
        with custodian.catalogue.write(durably=False) as tx:
            tasks.release_expired(tx)
            tasks.purge(tx, tx.now - _KEEP_ENDED_TASKS)
            self._bring_near(tx)
        more = self._restand()
        with custodian.catalogue.read() as tx:
            volumes = {v.id: v for v in catalog_volumes.all(tx)}
        here = {number: volume for number, volume in volumes.items() if volume.name in custodian.volumes}
        self._release_from_offline(here)
        with custodian.catalogue.read() as tx:
            lanes = {volume.name: custodian.settings.volume(volume.name).lanes for volume in here.values()}
            sight = Sight(volumes, here, Room(lanes, tasks.backlog(tx)))
        repairs, replications = self._shortfalls.of_versions(sight)
        replications += self._shortfalls.of_intentions(sight)
        repairs += sum(self._shortfalls.of_copies(sight, volume) for volume in sight.online())
        proofs = sum(self._checks.due(sight, volume) for volume in sight.readable())
        proofs += self._checks.ordered(sight)
        return Tick(repairs, replications, proofs, more)

    def _bring_near(self, tx: Tx) -> None:
        """After the machine's time was set back: what was put off, or proved, while it was ahead would wait for as much
        longer; for ever, where the server had booted into another century."""
        if time.monotonic() - self._looked_at_the_time < _LOOK_AT_THE_TIME_SECONDS:
            return
        self._looked_at_the_time = time.monotonic()
        settings = self._custodian.settings
        nearer = tasks.bring_near(tx, tx.now + max(_LONGEST_WAIT, settings.custody.retry_max))
        for volume in catalog_volumes.all(tx):
            longest = max(policy.fixity.interval(volume.medium) for policy in settings.policies)
            nearer += copies.bring_near(tx, volume.id, tx.now + longest)
        if nearer:
            log.warning("time-was-ahead", brought_nearer=nearer)

    def _release_from_offline(self, volumes: Mapping[int, Volume]) -> None:
        """A copy to two volumes must not wait for the one that is away: it is derived again for the other alone."""
        away = [volume.name for volume in volumes.values() if volume.condition is not Condition.ONLINE]
        if away:
            with self._custodian.catalogue.write(durably=False) as tx:
                for name in away:
                    tasks.cancel_ready(tx, name, TaskKind.REPLICATE, f"{name} cannot be written just now")

    def _restand(self) -> bool:
        """After a change of policies or of what volumes are for, judge every version anew, a batch at a time.

        Returns whether some are left for the next tick.
        """
        custodian = self._custodian
        with custodian.catalogue.read() as tx:
            wording = custodian.wording(tx)
        if self._stood == wording:
            return False
        for _ in range(_BATCHES_A_TICK):
            with custodian.catalogue.write() as tx:
                wording = custodian.wording(tx)
                volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
                stale = packages.versions_with_other_policy(tx, wording, BATCH)
                for version in stale:
                    record.judge(custodian, tx, version, volumes, wording)
            if len(stale) < BATCH:
                self._stood = wording
                return False
        return True


def backoff(attempts: int, least: timedelta, most: timedelta) -> timedelta:
    """The wait before the next attempt: doubled with each one, within bounds."""
    return min(most, least * math.pow(2, min(max(attempts - 1, 0), 30)))
