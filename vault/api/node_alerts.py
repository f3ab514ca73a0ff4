"""What a person should look at of the ledger, the tokens and receipts, and of the room on volumes, with what to do:
a part of :mod:`vault.api.alerts`. It says what the alert rules for Prometheus say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from hardware.array_tools import Problem
from hardware.shares import ShareState
from hardware.smart.schedule import Schedule
from vault import wire
from vault.api.parts import NodeParts
from vault.catalog import disks, overview, tokens
from vault.catalog.engine import Tx
from vault.custody import proof
from vault.health import array_history, filling
from vault.health.disks import overdue_tests
from vault.model import Condition, VolumeMode

TOKEN_SOON: Final = timedelta(days=14)
RECEIPT_LATE: Final = timedelta(days=1)
FULL_SOON: Final = timedelta(days=30)
SCRUB_LATE: Final = timedelta(days=45)
"""Debian's mdadm has every array checked once a month."""

_USED: Final = timedelta(days=30)
_ENDED: Final = timedelta(days=7)
_FEW_FILES: Final = 0.05
_STRUGGLES: Final = {
    ShareState.SLOW: "answers slowly",
    ShareState.STALE: "is no longer known to its server (stale)",
    ShareState.HUNG: "does not answer (hung)",
    ShareState.UNREACHABLE: "cannot be reached",
}


_SCRUB: Final = {
    "md": "echo check > /sys/block/{name}/md/sync_action",
    "zfs": "zpool scrub {name}",
    "btrfs": "btrfs scrub start and where it is mounted",
    "lvm": "lvchange --syncaction check, and its group and name (lvs)",
}


def of_node(node: NodeParts, tx: Tx) -> Iterator[wire.Alert]:
    """The ledger, tokens, receipts."""
    proved = proof.read(tx)
    if proved is not None and not proved.intact:
        yield _alert("critical", "ledger-broken", "", f"The ledger does not hold. {proved.reason}",
                     "Change nothing; type: vaultctl ledger verify")  # fmt: skip
    ends = tokens.next_expiry(tx, _USED, _ENDED)
    if ends is not None and ends - tx.now < TOKEN_SOON:
        said = "has ended" if ends <= tx.now else "ends"
        yield _alert("warning", "token-expiring", "", f"A token that is in use {said} on {ends:%d/%m/%Y}.",
                     "See which: vaultctl token list; then make a new one for those who use it.")  # fmt: skip
    waiting = overview.receipts_waiting(tx)
    if waiting.since is not None and tx.now - waiting.since > RECEIPT_LATE:
        what = f"{waiting.number} deposit(s) wait for a receipt, the oldest since {waiting.since:%d/%m/%Y %H:%M} UTC."
        yield _alert("warning", "receipts-late", "", what,
                     "Look whether volumes are off-line or full, and at vaultctl tasks.")  # fmt: skip
    yield from _scrubs(node, tx)
    yield from _self_tests(node, tx)


def of_room(node: NodeParts, tx: Tx, volumes: list[wire.Volume]) -> Iterator[wire.Alert]:
    """Volumes that are full or will be, and those whose file system answers badly."""
    reserves = {volume.name: volume.reserve for volume in node.settings.volumes}
    dates = filling.full_at(tx, reserves)
    for volume in volumes:
        share = node.health.shares.get(volume.name)
        if share is not None and share.state is ShareState.WRONG_EXPORT and volume.mode is not VolumeMode.RETIRED:
            mounted = share.mount.source if share.mount else "?"
            yield _alert("critical", "volume-wrong-export", volume.name,
                         f"The wrong export is mounted for {volume.name}: {mounted}, and it was itself on"
                         f" {share.expected}.",
                         "Correct /etc/fstab and mount the right one; if it moved, copy all of it with its"
                         " vault-volume.json.")  # fmt: skip
        if volume.mode is VolumeMode.RETIRED or volume.condition not in (Condition.ONLINE, Condition.READ_ONLY):
            continue
        name = volume.name
        full = volume.free_bytes is not None and volume.free_bytes <= reserves.get(name, 0)
        no_files = share is not None and share.free_files == 0
        if (full or no_files) and volume.mode is VolumeMode.ACTIVE:
            left = "no more files (inodes)" if no_files and not full else "no more than its reserve"
            yield _alert("critical", "volume-full", name, f"The volume {name} is full: {left} is free.",
                         f"Extend it, add another one, or type: vaultctl volumes evacuate {name}")  # fmt: skip
        elif share is not None and share.files and (share.free_files or 0) < _FEW_FILES * share.files:
            yield _alert("warning", "volume-few-files", name,
                         f"The volume {name} has room for {share.free_files} more files (inodes) only.",
                         "Add a volume with more of them, and evacuate this one there.")  # fmt: skip
        elif (day := dates.get(name)) is not None and day - tx.now < FULL_SOON:
            yield _alert("warning", "volume-filling", name,
                         f"At the present intake the volume {name} is full on {day:%d/%m/%Y}.",
                         "Extend it, or add another one in a failure domain of its own.")  # fmt: skip
        if share is not None and share.state in _STRUGGLES:
            yield _alert("warning", f"volume-{share.state}", name,
                         f"The file system of {name} {_STRUGGLES[share.state]}.",
                         "Look at the file server, the network, and the kernel log (dmesg).")  # fmt: skip


def _scrubs(node: NodeParts, tx: Tx) -> Iterator[wire.Alert]:
    past = array_history.read(tx)
    for array in node.health.arrays:
        one = past.get(array.name)
        if one is not None and not one.checking and tx.now - (one.checked_at or one.first_seen) > SCRUB_LATE:
            said = (
                "was never seen to be checked"
                if one.checked_at is None
                else f"was checked on {one.checked_at:%d/%m/%Y}"
            )
            yield _alert("warning", "array-scrub-overdue", array.name, f"The array {array.name} {said}.",
                         "Check it: " + _SCRUB.get(array.kind, "{name}").format(name=array.name))  # fmt: skip
        if array.mismatches or array.errors:
            number = array.mismatches or array.errors
            yield _alert("warning", "array-errors", array.name,
                         f"The array {array.name} has counted {number} errors or places that differ.",
                         "Verify the volumes on it: vaultctl verify --volume NAME; then repair the array.")  # fmt: skip

    for program, problem in sorted(node.health.array_problems.items()):
        yield _alert("warning", "arrays-not-heard", program, _UNTOLD[problem].format(program=program),
                     f"Type it as root and see: {_ASKED[program]}; then: systemctl start vault-smart")  # fmt: skip


def _self_tests(node: NodeParts, tx: Tx) -> Iterator[wire.Alert]:
    settings = node.settings.health
    wanted = Schedule(settings.short_test, settings.long_test)
    for disk in disks.all(tx):
        if not disk.present or disk.read_at is None or tx.now - disk.read_at > settings.stale_after:
            continue
        for kind, running in overdue_tests(disk, wanted):
            yield _alert("warning", "self-test-overdue", disk.key,
                         f"The disk {disk.key} ({disk.model}, at {disk.device}) has run for {running.days} days without"
                         f" a {kind} self-test; one every {wanted.every(kind).days} days is asked for.",
                         "See why: journalctl -u vault-smart -g self-test; or begin one yourself:"
                         f" smartctl -t {kind} {disk.device}")  # fmt: skip


_UNTOLD: Final = {
    Problem.ABSENT: "How some arrays are is not known: there is no {program}.",
    Problem.HUNG: "How some arrays are is not known: {program} did not answer.",
    Problem.FAILED: "How some arrays are is not known: {program} failed.",
}
_ASKED: Final = {"zpool": "zpool status", "dmsetup": "dmsetup status"}


def _alert(severity: str, code: str, subject: str, message: str, remedy: str) -> wire.Alert:
    return wire.Alert.model_validate(
        {"severity": severity, "code": code, "subject": subject, "message": message, "remedy": remedy}
    )
