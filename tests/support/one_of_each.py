"""A catalogue with one of each thing that a metric is about, and what is heard of devices beside it."""

from datetime import timedelta

from hardware.arrays import Array, ArrayState
from hardware.shares import Share, ShareState
from monitoring.devices import Heard
from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import (
    callbacks,
    cartridges,
    disks,
    evidence,
    facts,
    ingests,
    recalls,
    schedules,
    tape_drives,
    tasks,
    tokens,
    uploads,
    volumes,
)
from vault.clock import to_text
from vault.device_model import Disk, Health
from vault.model import Condition, CopyState, EventType, NewTask, Scope, TaskKind, TaskState
from vault.tape_model import CartridgeState, CleaningNeed
from vault.tapes.librarian import LibraryView

READINGS = {
    "temperature_celsius": 31, "temperature_critical_celsius": 70, "power_on_hours": 2, "wear_percent": 3,
    "spare_percent": 100, "capacity_bytes": 10**12, "pending_sectors": 0, "reallocated_sectors": 4,
    "self_test_failed": 0, "short_test_hours_ago": 2}  # fmt: skip


def put_disk(tx, key, now, health=Health.WATCH, *, present=True, readings=READINGS):
    disks.put(
        tx, Disk(key, key, "5000c500", "ST16000", "/dev/sda", "ata", health, [], readings, present, now, now, now)
    )
    tell(tx, EventType.DEVICE_CHANGED)


def heard(now):
    return lambda: Heard(now, fresh=True, volumes={"nas-a": ["ZL20ABCD", "GONE"]},
                         present={"disk": 1}, events={("disk", "added"): 1}, overflows=0,
                         arrays=[Array("md0", "md", "raid1", ArrayState.DEGRADED, 1, 0, 0, 0.5)],
                         on_arrays={"nas-a": {"md0"}},
                         shares={"nas-a": Share("/srv/a", None, ShareState.SLOW, 9, 5, 100, 10, 2.5)})  # fmt: skip


def fill(catalogue, hands):
    """Put something there for every metric to be about, and return the volumes."""
    with catalogue.write() as tx:
        a, b = add_volume(tx, "nas-a"), add_volume(tx, "nas-b")
        for volume in (a, b):
            volumes.set_condition(tx, volume.id, Condition.ONLINE, "", 1000, 400)
        version = add_version(tx, "G09.1", priority_class="quý hiếm")
        add_copy(tx, version, a, due_at=hands() + timedelta(days=90))
        kept = add_copy(tx, version, b, CopyState.DAMAGED)
        event = tell(tx, EventType.EVIDENCE_KEPT)
        evidence.keep(tx, copy_id=kept.id, path="evidence/1", event_seq=event.seq)
        tasks.derive(tx, NewTask("verify-1", TaskKind.VERIFY, 1, version.package_id, "G09.1", 1, ("nas-a",)))
        (task,) = tasks.claim(tx, owner="me", lease=timedelta(minutes=1), free_lanes={"nas-a": 1})
        tasks.finish(tx, task.id, TaskState.DONE, "")
        schedules.succeeded(tx, "plan")
        facts.put(tx, "fixity-forecast", {"nas-a": {"held": 1, "speed": 1.0, "days": 2.5, "interval": 90.0}})
        ingests.begin(tx, "i1", "G09.1", "token:repo")
        ingests.prepare(tx, "i1", volume="nas-a", version=1, prepared={})
        ingests.store(tx, "i1")
        ingests.begin(tx, "i2", "G09.2", "token:repo")
        uploads.create(
            tx, "i2", agent="token:repo", request={}, volume="nas-a", length=100, expires_at=tx.now + timedelta(days=7)
        )
        uploads.advance(tx, "i2", received=40, length=100, expires_at=tx.now + timedelta(days=7))
        ingests.begin(tx, "i3", "G09.3", "token:repo")
        ingests.fail(tx, "i3", {"code": "no-space"})
        callbacks.add(tx, "i3", "https://kho.example/")
        (callback,) = callbacks.due(tx, tx.now, 1)
        callbacks.tried(tx, callback, outcome="", message="answered 500", not_before=tx.now)
        put_disk(tx, "ZL20ABCD", hands())
        tape = add_volume(tx, "VLT001L8")
        cartridges.add(tx, "VLT001L8", library="lib", generation="LTO-8", state=CartridgeState.SCRATCH)
        cartridges.formatted(tx, "VLT001L8", volume_id=tape.id, pool="p", state=CartridgeState.APPENDABLE)
        cartridges.written(tx, "VLT001L8", generation=2, size_bytes=1000, free_bytes=500)
        cartridges.ask_for(tx, "VLT001L8", "a test")
        add_copy(tx, version, tape, due_at=hands() + timedelta(days=365))
        fill_drive(tx)
        recalls.order(tx, "G09.1", 1, (), "user:test", 1)
        facts.put(tx, "volume-growth", {"nas-a": {"2026-11-20": 500, "2026-11-22": 400}})
        facts.put(tx, "array-history", {"md0": {"first_seen": to_text(hands()), "checked_at": to_text(hands())}})
        facts.put(tx, "ledger-proof", {"time": to_text(hands()), "count": 1, "intact": True, "reason": ""})
        tokens.touch(tx, tokens.create(tx, "kho", [Scope.DEPOSIT], hands() + timedelta(days=9))[0].id)
        tell(tx, EventType.MOUNT_REQUESTED)
        end = tell(tx, EventType.INGESTION)
        tell(tx, EventType.CHECKPOINT, detail={"seq": end.seq, "hash": end.hash, "volumes": ["nas-a"]})
    return a, b


def fill_drive(tx):
    cartridges.told(tx, "VLT001L8", {"loads": 40})
    cartridges.add(tx, "CLN001CU", library="lib", generation="", state=CartridgeState.CLEANING)
    cartridges.cleaned_with(tx, "CLN001CU")
    tape_drives.seen(tx, "10WT", library="lib", number=0, vendor="IBM", product="ULT3580-TD8", revision="R1")
    tape_drives.cleaned(tx, "10WT")
    drive = tape_drives.at(tx, "lib", 0)
    tape_drives.alerted(tx, drive, ["hard-error"])
    tape_drives.asks(tx, drive, CleaningNeed.NOW)
    tape_drives.moved(tx, "lib", 0, read=0, written=300, seconds=2)
    tape_drives.told(tx, "lib", 0, {"power_on_hours": 2, "motion_hours": 1, "hard_read_errors": 0})


LIBRARY = LibraryView("lib", "", (), ("p",), "", {"p": 5})
