"""Reads the helper's report and looks what the volumes stand on, at an interval; writes down what changed, and orders
what follows from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from hardware.array_tools import Problem
from hardware.arrays import Array
from hardware.arrays import arrays as all_arrays
from hardware.errors import HardwareError, NotFound
from hardware.shares import Prober, Share
from hardware.smart import report as smart_report
from hardware.smart.facts import Identity
from hardware.smart.report import Report
from hardware.stack import Stack, stack_of
from vault.catalog import disks as catalog_disks
from vault.catalog import facts, verifications
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.custody.context import Custodian
from vault.custody.earlier import doubted
from vault.custody.orders import order_verification
from vault.device_model import Disk, Health
from vault.errors import VaultError
from vault.health import array_history, sources
from vault.health.arrays import Listener, findings
from vault.health.disks import Judged, explained, gone, judge_all, since, unheard
from vault.health.sources import Sources
from vault.health.volumes import Finding, Footing, footing
from vault.ledger import append
from vault.model import READABLE, EventType, Json, NewEvent, Outcome, Volume, VolumeMode

log = structlog.get_logger(__name__)

AT_ONCE = 8
"""So many file systems are asked at a time; each has a patience of its own."""

DOUBTED_ANEW = timedelta(days=7)
"""So long a volume is not verified again for the same doubt, nor for a lesser one, in what it stands on."""

KEEP_GONE = timedelta(days=400)
"""So long a disk that was taken out is remembered."""


_UNHEARD = "See why the helper does not run: systemctl status vault-smart.timer vault-smart"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was last heard of the helper: when its report was taken (None: there never was one), whether that is fresh,
    and what is wrong otherwise. ``expected``: there should be one, for somebody saw to it."""

    taken_at: datetime | None
    fresh: bool
    problem: str = ""
    remedy: str = ""
    expected: bool = False


class HealthWatch:
    """What is heard of the devices below the volumes. One round at a time; ask for it from any thread."""

    def __init__(
        self,
        custodian: Custodian,
        *,
        stack: Callable[[str], Stack] | None = None,
        arrays: Callable[[], Sequence[Array]] = all_arrays,
        prober: Prober | None = None,
    ) -> None:
        self._custodian = custodian
        self._settings = custodian.settings.health
        self._stack = stack or self._stack_of
        self._array_listener = Listener(self._settings.report, self._settings.stale_after, arrays)
        self._arrays: Sequence[Array] = ()
        self._prober = prober or Prober()
        self._shares: Mapping[str, Share] = {}
        self._sources = Sources()
        self._turn = threading.Lock()
        self._hearing = Hearing(None, fresh=False)
        self._footings: Mapping[str, Footing] = {}
        self._firmware: Mapping[str, str] = {}
        self._kernel: Mapping[str, Identity] = {}

    @property
    def hearing(self) -> Hearing:
        """What was last heard of the helper. It grows old also while a round hangs and nobody hears anything."""
        heard = self._hearing
        age = self._custodian.catalogue.clock() - heard.taken_at if heard.taken_at else timedelta(0)
        if not heard.fresh or age <= self._settings.stale_after:
            return heard
        problem = f"The last report on the disks that was read was taken at {heard.taken_at:%Y-%m-%d %H:%M} UTC."
        return replace(heard, fresh=False, problem=problem, remedy=_UNHEARD)

    @property
    def footings(self) -> Mapping[str, Footing]:
        """What each configured volume stood on in the last round, by name."""
        return self._footings

    @property
    def arrays(self) -> Sequence[Array]:
        """The arrays of this machine, as the last round saw them."""
        return self._arrays

    @property
    def array_problems(self) -> Mapping[str, Problem]:
        """The programs that told the helper nothing of arrays, and why."""
        return self._array_listener.problems

    @property
    def shares(self) -> Mapping[str, Share]:
        """What the file system of each configured volume told in the last round, by the volume's name."""
        return self._shares

    def look(self) -> None:
        """Do one round. Raises what the catalogue raises."""
        with self._turn:
            self._look_at_disks()
            self._look_at_volumes()

    def look_soon(self) -> None:
        """The same where it may fail: after something was plugged in or out. The next round tries again."""
        try:
            self.look()
        except VaultError as error:
            log.warning("health-not-looked-at", code=error.code, reason=str(error))

    # --- disks

    def _look_at_disks(self) -> None:
        now = self._custodian.catalogue.clock()
        try:
            found = smart_report.read(self._settings.report)
        except NotFound as error:
            expected = self._settings.report_expected
            self._hearing = Hearing(None, fresh=False, problem=error.message, remedy=error.remedy, expected=expected)
            self._fall_silent()
            return
        except HardwareError as error:
            log.warning("disks-not-heard", reason=error.message)
            self._hearing = Hearing(None, fresh=False, problem=error.message, remedy=error.remedy, expected=True)
            self._fall_silent()
            return
        if smart_report.age(found, now) > self._settings.stale_after:
            problem = f"The last report on the disks was taken at {found.taken_at:%Y-%m-%d %H:%M} UTC."
            self._hearing = Hearing(found.taken_at, fresh=False, problem=problem, remedy=_UNHEARD)
            self._fall_silent()
            return
        if found.taken_at != self._hearing.taken_at or not self._hearing.fresh:
            self._take(found)
            self._hearing = Hearing(found.taken_at, fresh=True)

    def _take(self, found: Report) -> None:
        """Judge what is new, in one transaction: it is short, whatever number of disks there are."""
        with self._custodian.catalogue.write() as tx:
            known = {disk.key: disk for disk in catalog_disks.all(tx)}
            history = catalog_disks.history(tx, since(found.taken_at))
            heard = judge_all(found.disks, known, history, taken_at=found.taken_at)
            # One that was forgotten does not come back by its name.
            judged = [one for one in heard if one.disk.present or one.disk.key in known]
            told = {one.disk.key for one in judged}
            missing = [Judged(gone(disk), None) for key, disk in known.items() if key not in told and disk.present]
            for one in (*judged, *missing):
                self._put(tx, one.disk, known.get(one.disk.key))
                if one.day is not None:
                    catalog_disks.put_day(tx, one.day)
            catalog_disks.forget(tx, (found.taken_at - self._settings.history).date(), found.taken_at - KEEP_GONE)
        as_told = {one.disk.key: facts for one, facts in zip(heard, found.disks, strict=True)}
        self._firmware = {key: facts.identity.firmware for key, facts in as_told.items()}
        self._kernel = {key: facts.kernel for key, facts in as_told.items()}

    def _fall_silent(self) -> None:
        with self._custodian.catalogue.read() as tx:
            known = catalog_disks.all(tx)
        silent = [(unheard(disk), disk) for disk in known]
        if any(now is not before for now, before in silent):
            with self._custodian.catalogue.write() as tx:
                for now, before in silent:
                    if now is not before:
                        self._put(tx, now, before)

    def _put(self, tx: Tx, disk: Disk, before: Disk | None) -> None:
        if not catalog_disks.put(tx, disk):
            return
        was = before.health if before else None
        append(
            tx,
            NewEvent(
                EventType.DEVICE_CHANGED,
                Outcome.WARNING if disk.health.doubtful or not disk.present else Outcome.SUCCESS,
                self._custodian.agent,
                detail={
                    "device": "disk",
                    "key": disk.key,
                    "model": disk.model,
                    "was": None if was is None else str(was),
                    "is": str(disk.health),
                    "present": disk.present,
                    "reason": explained(disk),
                },
            ),
        )
        log.info("disk-changed", disk=disk.key, was=str(was), now=str(disk.health), present=disk.present)

    # --- volumes

    def _stack_of(self, path: str) -> Stack:
        pools = {array.name: array.members for array in self._arrays if array.kind == "zfs"}
        return stack_of(path, pool_members=lambda pool: pools.get(pool, ()))

    def _look_at_volumes(self) -> None:
        custodian = self._custodian
        with custodian.catalogue.read() as tx:
            known = catalog_disks.all(tx)
            rows = {row.name: row for row in catalog_volumes.all(tx)}
        self._arrays = self._array_listener.arrays(custodian.catalogue.clock())
        self._remember_checks()
        places = {volume.name: str(volume.path) for volume in custodian.settings.volumes}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="share") as pool:
            shares = dict(zip(places, pool.map(self._prober.probe, places.values()), strict=True))
        self._shares = self._compare_sources(shares, rows)
        found = {}
        for configured in custodian.settings.volumes:
            stack = self._stack(str(configured.path))
            more = [*findings(stack, self._arrays), *self._own_doubts(configured.name)]
            found[configured.name] = footing(stack, known, more, self._kernel)
        self._footings = found
        for name, now in found.items():
            row = rows.get(name)
            if row is None or row.condition not in READABLE:
                continue  # what stands in its place just now, such as the root's own disk, says nothing of it
            if (row.health, row.health_reason) != (now.health, now.reason):
                self._change(row, now)
            if self._hearing.fresh:
                self._compare_disks(row, now)

    def _compare_sources(self, shares: Mapping[str, Share], rows: Mapping[str, Volume]) -> Mapping[str, Share]:
        """Of a share that comes from elsewhere than before: whether that is a move, or the wrong one."""
        catalogue = self._custodian.catalogue
        with catalogue.read() as tx:
            known = sources.read(tx)
        seen, kept, moves = self._sources.compare(known, shares, rows, catalogue.clock())
        if kept != known:
            with catalogue.write() as tx:
                sources.write(tx, kept)
                for move in moves:
                    detail: dict[str, Json] = {"mount": {"was": move.was, "is": move.now}}
                    append(
                        tx,
                        NewEvent(
                            EventType.VOLUME_CHANGED, Outcome.WARNING, self._custodian.agent, volume=move.volume,
                            detail=detail,
                        ),
                    )  # fmt: skip
        for move in moves:
            log.warning("volume-mounted-from-elsewhere", volume=move.volume, was=move.was, now=move.now)
        return seen

    def _own_doubts(self, volume: str) -> list[Finding]:
        """What the volume's own readings say against it, whatever its disks say of themselves."""
        with self._custodian.catalogue.read() as tx:
            what = doubted(tx, volume)
        return [Finding(Health.WATCH, what)] if what else []

    def _compare_disks(self, row: Volume, now: Footing) -> None:
        """Another disk below a volume, or another firmware in it, and the volume is verified."""
        key = f"disks/{row.name}"
        with self._custodian.catalogue.read() as tx:
            before = facts.get(tx, key)
        known = before if isinstance(before, dict) else {}
        # A disk that does not speak just now has the firmware that it had.
        disks: dict[str, Json] = {
            disk.key: self._firmware.get(disk.key) or known.get(disk.key, "") for disk in now.disks
        }
        if not disks or disks == before:
            return
        is_learnt = known.keys() == disks.keys() and all(known[one] in ("", disks[one]) for one in disks)
        with self._custodian.catalogue.write() as tx:
            facts.put(tx, key, disks)
            if not isinstance(before, dict) or is_learnt:
                return
            detail: dict[str, Json] = {"disks": {"was": before, "is": disks}}
            told = NewEvent(
                EventType.VOLUME_CHANGED, Outcome.WARNING, self._custodian.agent, volume=row.name, detail=detail
            )
            append(tx, told)
        log.info("volume-disks-changed", volume=row.name, was=before, now=disks)
        if row.mode is not VolumeMode.RETIRED:
            self._order_verification(row.name, "a disk below it, or its firmware, was changed")

    def _remember_checks(self) -> None:
        catalogue = self._custodian.catalogue
        with catalogue.read() as tx:
            before = array_history.read(tx)
            now = array_history.seen(before, self._arrays, tx.now)
        if now != before:
            with catalogue.write() as tx:
                array_history.write(tx, now)

    def _change(self, row: Volume, now: Footing) -> None:
        custodian = self._custodian
        with custodian.catalogue.write() as tx:
            changed = catalog_disks.set_volume_health(tx, row.id, now.health, now.reason)
            if changed:
                append(
                    tx,
                    NewEvent(
                        EventType.VOLUME_CHANGED,
                        Outcome.WARNING if now.health.doubtful else Outcome.SUCCESS,
                        custodian.agent,
                        volume=row.name,
                        detail={"health": {"was": str(row.health), "is": str(now.health)}, "reason": now.reason},
                    ),
                )
        if not changed:
            return
        log.info("volume-health-changed", volume=row.name, was=str(row.health), now=str(now.health), reason=now.reason)
        is_worse = now.health.doubtful and now.health.rank > row.health.rank
        if is_worse and row.mode is not VolumeMode.RETIRED and self._is_news(row.name, now.health):
            self._order_verification(row.name, now.reason[:500])
        custodian.wake()

    def _is_news(self, volume: str, health: Health) -> bool:
        """Whether a volume was not as bad in the last days: one whose disk is now too hot and now not, or whose link
        comes and goes, is read through once a week for it and not each time."""
        key = f"doubted/{volume}"
        with self._custodian.catalogue.write() as tx:
            before = facts.get(tx, key)
            known = before if isinstance(before, dict) else {}
            rank = next((one.rank for one in Health if one == known.get("health")), -1)
            at = known.get("at")
            if rank >= health.rank and isinstance(at, str) and abs(tx.now - from_text(at)) < DOUBTED_ANEW:
                return False
            facts.put(tx, key, {"health": health.value, "at": to_text(tx.now)})
        return True

    def _order_verification(self, volume: str, why: str) -> None:
        """What lies on something that may be failing is read back now, not when its turn comes."""
        with self._custodian.catalogue.read() as tx:
            whole = [o for o in verifications.running(tx) if not (o.identifier or o.fonds or o.sample)]
            if any(order.volume in ("", volume) for order in whole):
                return
        order_verification(self._custodian, volume=volume, agent=self._custodian.agent, why=why)
