"""What a person should look at, derived from the catalogue at this moment. Nothing is remembered and nothing is sent:
alerting is Prometheus's work, from the metrics."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

from hardware.arrays import ArrayState
from vault import policy as policies
from vault import wire
from vault.api.node_alerts import of_node, of_room
from vault.api.parts import NodeParts
from vault.api.tape_alerts import of_tapes
from vault.api.views import volumes_on
from vault.catalog import copies, events, evidence, packages
from vault.catalog import disks as catalog_disks
from vault.catalog.engine import Tx
from vault.custody import forecast
from vault.custody.repair import BROKEN
from vault.device_model import Health
from vault.health.disks import explained
from vault.identifiers import package_reference
from vault.model import Condition, CopyState, EventType, Task, VolumeMode

_SEVERITIES: Final = ("critical", "warning", "info")
_EXAMINED: Final = 200
_NAMED: Final = 20
OVERDUE: Final = timedelta(days=7)
SPILL_SHOWN: Final = timedelta(days=7)
_ALMOST_FULL: Final = 0.05


def alerts(
    node: NodeParts,
    tx: Tx,
    volumes: Collection[wire.Volume],
    stalled: Collection[Task],
    schedules: Collection[wire.Schedule],
) -> list[wire.Alert]:
    """Everything that is amiss, the worst first."""
    found = [
        *_below_policy(node, tx),
        *_evidence(tx),
        *_spill(tx),
        *_disks(node, tx),
        *_arrays(node),
        *of_node(node, tx),
        *of_room(node, tx, list(volumes)),
        *(alert for volume in volumes for alert in _of_volume(node, tx, volume)),
        *(_of_task(task) for task in stalled),
        *of_tapes(node.tapes, tx),
        *(_of_schedule(schedule) for schedule in schedules if schedule.last_error),
    ]
    return sorted(found, key=lambda alert: _SEVERITIES.index(alert.severity))


def _below_policy(node: NodeParts, tx: Tx) -> Iterator[wire.Alert]:
    below = packages.below_policy(tx, _EXAMINED)
    lost = []
    for version in below:
        of_version = copies.of_version(tx, version.id)
        holdings = node.custodian.holdings(tx, of_version)
        if not policies.standing(node.custodian.policy(version.policy), holdings).recoverable:
            said = next((c.reason for c in of_version if c.state in BROKEN and c.reason), "")
            lost.append((package_reference(version.identifier, version.number), said))
    for reference, said in lost[:_NAMED]:
        yield wire.Alert(
            severity="critical",
            code="no-good-copy",
            subject=reference,
            message=f"No copy of {reference} is left that is not damaged or missing. {said}".strip(),
            remedy="Bring volumes that are away back before anything else; the same bytes deposited again mend it; keep"
            " what is set aside as evidence.",
        )
    if below:
        number = sum(packages.count_below_policy_by_class(tx).values())
        yield wire.Alert(
            severity="warning",
            code="below-policy",
            subject="",
            message=f"{number} version{'s have' if number > 1 else ' has'} fewer good copies than the policy asks for.",
            remedy="Look at the tasks and the volumes; with all volumes on-line this mends itself.",
        )


def _evidence(tx: Tx) -> Iterator[wire.Alert]:
    """Damage that was found and mended: nothing is lost, and yet somebody should know that it happened."""
    kept = evidence.all(tx, released=False)
    if kept:
        where = ", ".join(sorted({item.volume for item in kept}))
        yield wire.Alert(
            severity="info",
            code="evidence-kept",
            subject=where,
            message=f"Damaged bytes were found and set aside {len(kept)} time(s), on {where}.",
            remedy="Look at vaultctl evidence and at that volume's health; release them when no longer needed.",
        )


def _spill(tx: Tx) -> Iterator[wire.Alert]:
    """A state secret was sent: refused and removed, and yet people have something to do."""
    last = events.newest_time(tx, EventType.SPILL_ATTEMPTED)
    if last is not None and tx.now - last < SPILL_SHOWN:
        yield wire.Alert(
            severity="warning",
            code="state-secret-refused",
            subject="",
            message="A package that is marked as a state secret was sent, and refused.",
            remedy="Follow docs/howto/state-secrets.md now: vaultctl events --type spill-attempted",
        )


def _arrays(node: NodeParts) -> Iterator[wire.Alert]:
    """Arrays that have lost their redundancy, or more."""
    for array in node.health.arrays:
        if array.state in (ArrayState.DEGRADED, ArrayState.FAILED, ArrayState.REBUILDING):
            on = [name for name, footing in sorted(node.health.footings.items()) if array.name in footing.stack.arrays]
            yield wire.Alert(
                severity="warning" if array.state is ArrayState.REBUILDING else "critical",
                code=f"array-{array.state}",
                subject=array.name,
                message=f"The array {array.name} ({array.kind} {array.level}) is {array.state}."
                + (f" The volumes {', '.join(on)} stand on it." if on else ""),
                remedy="Wait until it is rebuilt; touch no other disk of it."
                if array.state is ArrayState.REBUILDING
                else "Replace the disk that it lacks, by its serial number (vaultctl disks), and let it rebuild.",
            )


def _disks(node: NodeParts, tx: Tx) -> Iterator[wire.Alert]:
    """Disks that are doubtful, or gone. One that no volume stands on is somebody's too: a spare, the system's."""
    for disk in catalog_disks.all(tx):
        on = volumes_on(node, disk.key)
        if not disk.present:
            yield wire.Alert(
                severity="critical",
                code="disk-gone",
                subject=disk.key,
                message=f"The disk {disk.key} ({disk.model}), last seen at {disk.device} on {disk.seen_at:%d/%m/%Y},"
                " is gone.",
                remedy="Look at cable, backplane and the kernel log (dmesg); taken out or replaced on purpose, type:"
                f" vaultctl disks forget {shlex.quote(disk.key)}",
            )
        elif disk.health.doubtful:
            yield wire.Alert(
                severity="critical" if disk.health in (Health.FAILING, Health.FAILED) else "warning",
                code=f"disk-{disk.health}",
                subject=disk.key,
                message=f"The disk {disk.key} ({disk.model}, at {disk.device}) is {_WORDS[disk.health]}."
                f" {explained(disk)}" + (f" The volumes {', '.join(on)} stand on it." if on else ""),
                remedy=_what_to_do(disk.health, on),
            )
    hearing = node.health.hearing
    if hearing.problem and (hearing.expected or hearing.taken_at is not None or catalog_disks.all(tx)):
        yield wire.Alert(
            severity="warning",
            code="disks-not-heard",
            subject="",
            message=f"How the disks are is not known. {hearing.problem}",
            remedy=hearing.remedy or "Look at: systemctl status vault-smart.timer vault-smart",
        )


_WORDS: Final = {Health.WATCH: "to be watched", Health.FAILING: "failing", Health.FAILED: "broken"}


def _what_to_do(health: Health, volumes: Collection[str]) -> str:
    if health is Health.WATCH:
        return "Look at it again in some days (vaultctl disks); have a spare at hand. Its volumes are verified now."
    if not volumes:
        return "Replace it; in an array, one at a time, each rebuilt before the next."
    moves = " or ".join(f"vaultctl volumes evacuate {name}" for name in volumes)
    return f"Replace it if an array stands above it; else move the copies away while it can be read: {moves}"


def _of_volume(node: NodeParts, tx: Tx, volume: wire.Volume) -> Iterator[wire.Alert]:
    if volume.mode is VolumeMode.RETIRED:
        return
    if volume.condition is Condition.FOREIGN:
        yield _alert("critical", "volume-foreign", volume, f"Another thing stands where {volume.name} should be.",
                     volume.condition_reason)  # fmt: skip
    elif volume.uuid is None:
        yield _alert("warning", "volume-never-seen", volume, f"The volume {volume.name} was never seen.",
                     f"Mount it, or for a new one type: vaultctl volumes init {volume.name}")  # fmt: skip
    elif volume.condition in (Condition.OFFLINE, Condition.UNKNOWN):
        yield _alert("critical", "volume-offline", volume, f"The volume {volume.name} is off-line.",
                     volume.condition_reason or "Check that it is on, connected and mounted.")  # fmt: skip
    elif volume.condition is Condition.READ_ONLY:
        yield _alert("warning", "volume-read-only", volume, f"The volume {volume.name} can only be read.",
                     volume.condition_reason)  # fmt: skip
    if not volume.configured:
        yield _alert("warning", "volume-not-configured", volume, f"The configuration does not have {volume.name}.",
                     "Put it back there, or evacuate and retire it.")  # fmt: skip
    broken = volume.copies.get(CopyState.DAMAGED, 0) + volume.copies.get(CopyState.MISSING, 0)
    if broken:
        yield _alert("critical", "copies-broken", volume, f"{broken} copies on {volume.name} are damaged or missing.",
                     "They are being repaired from others; find out why: dmesg, SMART, the NAS's own log.")  # fmt: skip
    if volume.size_bytes and volume.free_bytes is not None and volume.free_bytes < _ALMOST_FULL * volume.size_bytes:
        yield _alert("warning", "volume-almost-full", volume, f"The volume {volume.name} is almost full.",
                     "Extend it, or add another one.")  # fmt: skip
    yield from _overdue(node, tx, volume)
    expected = forecast.read(tx).get(volume.name)
    if expected is not None and not expected.holds:
        days, asked = expected.whole_pass.days, expected.interval.days
        yield _alert("warning", "fixity-too-slow", volume,
                     f"Reading everything on {volume.name} back once takes {days} days; the policies ask for {asked}.",
                     "Give routine checks more hours or a higher rate ([[fixity.window]]), or the policy a longer"
                     " interval.")  # fmt: skip


def _overdue(node: NodeParts, tx: Tx, volume: wire.Volume) -> Iterator[wire.Alert]:
    from vault.catalog import volumes as catalog_volumes

    row = catalog_volumes.get(tx, volume.name)
    if row is not None and copies.due(tx, row.id, node.clock() - OVERDUE, 1):
        yield _alert("warning", "fixity-overdue", volume,
                     f"Copies on {volume.name} should have been checked more than {OVERDUE.days} days ago.",
                     "Look whether its verifications run (vaultctl tasks), and whether it is fast enough.")  # fmt: skip


def _alert(severity: str, code: str, volume: wire.Volume, message: str, remedy: str) -> wire.Alert:
    return wire.Alert.model_validate(
        {"severity": severity, "code": code, "subject": volume.name, "message": message, "remedy": remedy}
    )


def _of_task(task: Task) -> wire.Alert:
    return wire.Alert(
        severity="warning",
        code="task-stalled",
        subject=", ".join(task.volumes),
        message=f"The {task.kind} of {task.identifier} has not moved for long.",
        remedy="A device or server hangs: look at the volume and at the kernel log (dmesg).",
    )


def _of_schedule(schedule: wire.Schedule) -> wire.Alert:
    return wire.Alert(
        severity="warning",
        code="schedule-failed",
        subject=schedule.kind,
        message=f"The scheduled work {schedule.kind} failed: {schedule.last_error}",
        remedy="Look in the log (journalctl -u vaultd); it is tried again at its next time.",
    )
