"""The file by which the helper, which may open disks, tells the daemon, which may not, what they said.

One JSON document, replaced as a whole. Its reader believes nothing: neither that it is there, fresh, small or in form,
nor what stands in it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hardware.errors import HardwareError, Malformed, NotFound, Refused, Unreachable
from hardware.smart import second
from hardware.smart.facts import NOBODY, DiskFacts, Identity, Reading
from hardware.smart.jsontools import Json, clean, inner, items, load, moment, number, text
from hardware.smart.parse import from_document, identity

FOLDER: Final = Path("/run/vault-smart")
NAME: Final = "disks.json"
FORMAT: Final = 1
MOST_BYTES: Final = 32 << 20
MOST_DISKS: Final = 4096

_KEPT: Final = frozenset({
    "device", "smartctl", "smart_status", "smart_support", "serial_number", "wwn", "logical_unit_id", "model_name",
    "scsi_model_name", "firmware_version", "scsi_revision", "revision", "user_capacity", "nvme_total_capacity",
    "rotation_rate", "power_on_time", "power_mode", "temperature", "nvme_composite_temperature_threshold",
    "ata_smart_attributes", "ata_smart_error_log", "ata_smart_self_test_log", "ata_smart_data", "ata_device_statistics",
    "sata_phy_event_counters", "nvme_smart_health_information_log", "nvme_self_test_log",
    "nvme_optional_admin_commands", "scsi_grown_defect_list", "scsi_error_counter_log",
    "scsi_percentage_used_endurance_indicator", "ata_pending_defects_log", "scsi_pending_defects",
    "scsi_background_scan",
})  # fmt: skip
_KEPT_NUMBERED: Final = ("scsi_self_test_", "scsi_sas_port_")
_Seat = tuple[str, str, str, str, str]
_DROPPED: Final = frozenset({"output", "argv", "previous_commands", "platform_info", "build_info"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One disk in the report. ``known`` is its identity as the kernel has it, without asking the disk."""

    device: str
    kind: str
    known: Identity
    reading: Reading
    document: Json
    second: second.Second
    left_behind: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a round of the helper found, and when it ended."""

    taken_at: datetime
    disks: tuple[DiskFacts, ...]
    left_behind: Mapping[str, int]
    """Processes of smartctl that could not be ended, by place (:func:`place_name`)."""


def write(folder: Path, entries: Iterable[Entry], taken_at: datetime) -> Path:
    """Write the report, whole or not at all. Raises OSError.

    Who a disk is that does not say so now (it sleeps, it hangs) is what it said at the same place in the report before:
    a USB bridge has another serial number than the disk behind it, and of disks behind a controller the kernel knows
    nothing at all.
    """
    before = _names_before(folder)
    document = {
        "format": FORMAT,
        "taken_at": taken_at.astimezone(UTC).isoformat(),
        "disks": [
            {
                "device": entry.device,
                "kind": entry.kind,
                "known": _as_row(entry.known),
                "said": _as_row(_said(entry, before)),
                "reading": entry.reading.value,
                "answer": trimmed(entry.document),
                "second": entry.second.to_json(),
                "left_behind": entry.left_behind,
                "message": entry.message,
            }
            for entry in entries
        ],
    }
    return put(folder, NAME, document)


def _said(entry: Entry, before: Mapping[_Seat, Identity]) -> Identity:
    if entry.reading is Reading.READ:
        told = from_document(entry.document)
        if told.reading is Reading.READ or told.identity.known:
            return told.identity
    return before.get(_seat(entry.device, entry.kind, entry.known), NOBODY)


def places_before(folder: Path) -> list[tuple[str, str]]:
    """The places (device and type) in the report that lies there, for those who write the next one."""
    return [(device, kind) for device, kind, *_ in _names_before(folder)]


def _names_before(folder: Path) -> Mapping[_Seat, Identity]:
    """Who said that it is which disk at which place; nothing where that is not known (after a reboot)."""
    try:
        rows = items(load_bounded(folder / NAME), "disks", MOST_DISKS)
    except HardwareError:
        return {}
    found = {_seat(text(row, "device", 64), text(row, "kind", 32), _from_row(row, "known")): row for row in rows}
    return {seat: _from_row(row, "said") for seat, row in found.items()}


def _seat(device: str, kind: str, known: Identity) -> _Seat:
    """A place, and what the kernel knows of the disk there: another disk at the same place is another one."""
    return device, kind, known.serial, known.wwn, known.model


def _as_row(who: Identity) -> Mapping[str, str]:
    return {"serial": who.serial, "wwn": who.wwn, "model": who.model}


def _from_row(row: Json, name: str) -> Identity:
    found = inner(row, name)
    return identity(text(found, "serial", 64), text(found, "wwn", 64).lower(), text(found, "model"))


def place_name(device: str, kind: str) -> str:
    """What a place is called in the report: behind a controller many disks share one device, and the type tells them
    apart."""
    return f"{device} {kind}" if kind and (device.startswith("/dev/bus/") or "," in kind) else device


def place_arguments(name: str) -> str:
    """What is typed after ``smartctl`` for the place of that name (:func:`place_name`)."""
    device, _, kind = name.partition(" ")
    return f"-d {kind} {device}" if kind else device


def put(folder: Path, name: str, document: Json) -> Path:
    """Write a JSON document that the daemon may read and not write, whole or not at all. Raises OSError."""
    temporary = folder / f".{name}.{os.getpid()}"
    data = json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(fd, "wb") as out:
            os.fchmod(out.fileno(), 0o640)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(folder / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return folder / name


def trimmed(document: Json) -> dict[str, object]:
    """An answer of smartctl without what nobody reads."""
    return {
        name: _without(value)
        for name, value in document.items()
        if name in _KEPT or (name.startswith(_KEPT_NUMBERED) and len(name) < 20)
    }


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without(child) for name, child in value.items() if name not in _DROPPED}
    return [_without(child) for child in value[:512]] if isinstance(value, list) else value


def read(path: Path) -> Report:
    """Read a report. Raises NotFound, Refused (not ours to believe), Unreachable, Malformed."""
    document = load_bounded(path)
    if number(document, "format") != FORMAT:
        raise Malformed(
            f"{path} is no report of disks in format {FORMAT}.", remedy="Update daemon and helper together."
        )
    taken_at = moment(document, "taken_at")
    if taken_at is None:
        raise Malformed(f"{path} does not say when it was taken.", remedy="Look at: systemctl status vault-smart")
    left = {}
    disks = []
    for row in items(document, "disks", MOST_DISKS):
        facts = _facts(row)
        disks.append(facts)
        if process := number(row, "left_behind", 1, 1 << 22):
            left[facts.device] = process
    return Report(taken_at, tuple(_distinct(disks)), left)


def load_bounded(path: Path) -> Json:
    """The JSON object in a file that only root or we could have written. Raises as :func:`read`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(
            f"There is no {path}.", remedy="Start the helper: systemctl enable --now vault-smart.timer"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}.", remedy="See who may read it: ls -l") from error
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        theirs = status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(status.st_mode) or theirs:
            raise Refused(f"{path} could have been written by anybody.", remedy="Remove it, and see who made it.")
        data = file.read(MOST_BYTES + 1)
    document = load(data, MOST_BYTES)
    if document is None:
        raise Malformed(
            f"{path} is not the JSON that the helper writes.", remedy="Look at: systemctl status vault-smart"
        )
    return document


def age(report: Report, now: datetime) -> timedelta:
    """How old the report is; one from the future is as old as can be, for its clock is not to be believed."""
    found = now - report.taken_at
    return found if found >= -timedelta(minutes=5) else timedelta.max


def _facts(row: Json) -> DiskFacts:
    kernel, said = _from_row(row, "known"), _from_row(row, "said")
    device = place_name(text(row, "device", 64), text(row, "kind", 32))
    reading = next((one for one in Reading if one.value == row.get("reading")), Reading.UNREADABLE)
    if reading is Reading.READ:
        facts = second.complete(
            from_document(inner(row, "answer"), device=device), second.from_json(inner(row, "second"))
        )
    else:
        facts = DiskFacts(kernel, device, reading)
    message = facts.message or clean(text(row, "message"))
    # Of one that says nothing now, what it said before: the kernel may know the bridge and not the disk.
    is_silent = reading is not Reading.READ or (facts.reading is not Reading.READ and not facts.identity.known)
    told = said if is_silent and said.known else facts.identity
    return replace(facts, identity=_both(told, kernel), kernel=kernel, message=message)


def _both(said: Identity, kernel: Identity) -> Identity:
    serial, wwn = said.serial or kernel.serial, said.wwn or kernel.wwn
    return Identity(serial or wwn, serial, wwn, said.model or kernel.model, said.firmware)


def _distinct(disks: list[DiskFacts]) -> list[DiskFacts]:
    """A disk that is seen by several ways is one; two that give the same serial number are told apart by their WWN."""
    kept: dict[tuple[str, str], DiskFacts] = {}
    for facts in disks:
        mark = _mark(facts)
        before = kept.get(mark)
        if before is None or (before.reading is not Reading.READ and facts.reading is Reading.READ):
            kept[mark] = facts
    serials: dict[str, set[str]] = {}
    for facts in kept.values():
        serials.setdefault(facts.identity.key, set()).add(facts.identity.wwn)

    def named(facts: DiskFacts) -> DiskFacts:
        who = facts.identity
        if who.known and len(serials[who.key]) > 1:
            return replace(facts, identity=replace(who, key=f"{who.key} {who.wwn or facts.device}"))
        return facts

    return [named(facts) for facts in kept.values()]


def _mark(facts: DiskFacts) -> tuple[str, str]:
    """What makes two entries one disk. Of two that were read and have no WWN, nothing says that they are one."""
    who = facts.identity
    if not who.known:
        return "", facts.device
    alone = facts.device if facts.reading is Reading.READ else ""
    return who.serial or facts.device, who.wwn or alone
