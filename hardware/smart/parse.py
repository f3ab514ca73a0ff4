"""From an answer of ``smartctl --json`` to :class:`~hardware.smart.facts.DiskFacts`. Never raises for what it is given.

Sources: smartctl(8) and smartmontools' own JSON (7.0 to 7.5); ATA ACS-3 for the error log; SFF-8035i for attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hardware.smart import attributes as ata
from hardware.smart import counters as counting
from hardware.smart import misread, selftests
from hardware.smart.facts import (
    NOBODY,
    Attribute,
    DiskFacts,
    ExitStatus,
    Identity,
    LoggedError,
    NvmeHealth,
    Protocol,
    Reading,
    Temperature,
)
from hardware.smart.jsontools import EMPTY, Json, clean, flag, inner, items, load, number, text

_ASLEEP: Final = re.compile(r"\b(?:STANDBY|SLEEP|LOW POWER)[A-Z_ ()]* mode", re.IGNORECASE)
_DENIED: Final = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)
_ABSENT: Final = re.compile(r"no such (?:file|device)|no medium", re.IGNORECASE)
_NO_SERIAL: Final = frozenset({"", "none", "null", "n/a", "unknown", "not available", "default string"})
_UNC: Final = 0x40
_ICRC: Final = 0x80
_COLDEST, _HOTTEST = -60, 150

_LEAST_LIMIT: Final = 50
"""The lowest limit of an ATA disk that is one. Drives of Seagate have an average in the field of SCT's status that is
the highest operating temperature since ACS-4, and 25 °C as "recommended" in SCT's history."""

_WARNING: Final = 0x0B
"""The additional sense code of warnings; that of failures predicted is 5Dh (SPC-4, annex D)."""

_HALTED: Final = frozenset({3, 4, 5, 6, 7})
"""Of a background scan (SBC-4, background scanning status): it stopped before its end, for a reason of its own."""


def parse(data: bytes | str, *, device: str = "") -> DiskFacts:
    """The facts in smartctl's answer; what cannot be read at all is :attr:`Reading.UNREADABLE`."""
    document = load(data)
    if document is None:
        return DiskFacts(NOBODY, device, message="smartctl did not answer in JSON")
    return from_document(document, device=device)


def from_document(document: Json, *, device: str = "") -> DiskFacts:
    """The facts in an answer that is JSON already."""
    protocol = _protocol(document)
    status = ExitStatus(number(inner(document, "smartctl"), "exit_status", 0, 255) or 0)
    message = _message(document)
    hours = number(inner(document, "power_on_time"), "hours", most=10_000_000)
    attributes = tuple(ata.read(document)) if protocol in (Protocol.ATA, Protocol.UNKNOWN) else ()
    who = _identity(document)
    counters, uncounted = counting.read(document, attributes, who.model)
    nvme = _nvme(document)
    exception, support = inner(document, "smart_status", "scsi"), inner(document, "smart_support")
    facts = DiskFacts(
        identity=who,
        device=device or text(inner(document, "device"), "name"),
        protocol=protocol,
        exit_status=status,
        passed=flag(inner(document, "smart_status"), "passed"),
        smart_enabled=flag(support, "enabled"),
        # A bare truth value in smartctl of some network storage.
        smart_available=flag(
            inner(document, "smart_support") or {"available": document.get("smart_support")}, "available"
        ),
        only_warns=number(exception, "asc", 0, 255) == _WARNING,
        warnings=tuple(_warnings(document, exception)),
        capacity_bytes=number(inner(document, "user_capacity"), "bytes", 1)
        or number(document, "nvme_total_capacity", 1),
        rotation_rpm=number(document, "rotation_rate", 0, 100_000),
        power_on_hours=hours,
        temperature=_temperature(document),
        attributes=attributes,
        nvme=nvme,
        wear_percent=nvme.used_percent if nvme else _wear(document, attributes),
        counters=counters,
        flickering=ata.flickering(attributes, who.model),
        implausible=tuple(dict.fromkeys((*uncounted, *misread.facts(document)))),
        self_tests=selftests.from_json(document),
        tests_itself=selftests.offered(document),
        errors=tuple(_errors(document)),
        message=message,
        reading=Reading.READ,
    )
    reading = _reading(document, facts, status, message)
    return facts if reading is Reading.READ else _only_known(facts, reading)


def _only_known(facts: DiskFacts, reading: Reading) -> DiskFacts:
    """A disk that was not read: who it is, and nothing else."""
    return DiskFacts(
        facts.identity,
        facts.device,
        reading,
        facts.protocol,
        facts.exit_status,
        smart_available=facts.smart_available,
        capacity_bytes=facts.capacity_bytes,
        rotation_rpm=facts.rotation_rpm,
        message=facts.message,
    )


def _reading(document: Json, facts: DiskFacts, status: ExitStatus, message: str) -> Reading:
    # "power_mode" is there from 7.4 on, also for disks that are awake.
    mode = text(inner(document, "power_mode"), "ata_string") or text(document, "power_mode")
    if _ASLEEP.search(message) or (mode.upper() in ("STANDBY", "SLEEP") and facts.passed is None):
        return Reading.ASLEEP
    says_something = facts.passed is not None or bool(facts.attributes or facts.counters or facts.nvme)
    if status & (ExitStatus.OPEN_FAILED | ExitStatus.COMMAND_LINE) and not says_something:
        if _DENIED.search(message):
            return Reading.DENIED
        return Reading.ABSENT if _ABSENT.search(message) else Reading.UNREADABLE
    bad = ExitStatus.DISK_FAILING | ExitStatus.PREFAIL_NOW | ExitStatus.SELF_TEST_LOG | ExitStatus.ERROR_LOG
    return Reading.READ if says_something or status & bad else Reading.UNREADABLE


def _warnings(document: Json, exception: Json) -> Iterator[str]:
    if number(exception, "asc", 0, 255) == _WARNING:
        yield text(exception, "ie_string") or f"sense code 0Bh/{number(exception, 'ascq', 0, 255) or 0:02X}h"
    scan = inner(document, "scsi_background_scan", "status")
    if number(scan, "value", 0, 255) in _HALTED:
        yield f"its background scan is {text(scan, 'string') or 'halted'}"


def _message(document: Json) -> str:
    found = [text(item, "string") for item in items(inner(document, "smartctl"), "messages", 8)]
    return clean(" ".join(found))


def _protocol(document: Json) -> Protocol:
    name = text(inner(document, "device"), "protocol").upper()
    known = {"ATA": Protocol.ATA, "NVME": Protocol.NVME, "SCSI": Protocol.SCSI}
    if name in known:
        return known[name]
    if "nvme_smart_health_information_log" in document:
        return Protocol.NVME
    if "ata_smart_attributes" in document:
        return Protocol.ATA
    return Protocol.SCSI if "scsi_error_counter_log" in document else Protocol.UNKNOWN


def _identity(document: Json) -> Identity:
    wwn = inner(document, "wwn")
    naa, oui, unique = number(wwn, "naa", 0, 15), number(wwn, "oui", 0, 0xFFFFFF), number(wwn, "id", 0, (1 << 36) - 1)
    name = ""
    if naa is not None and oui is not None and unique is not None and (oui or unique):
        name = f"{naa:x}{oui:06x}{unique:09x}"
    elif re.fullmatch(r"0x[0-9a-fA-F]{16,32}", text(document, "logical_unit_id")):
        name = text(document, "logical_unit_id")[2:].lower()
    model = text(document, "model_name") or text(document, "scsi_model_name")
    # Of SCSI disks it is the product revision level; "revision" in smartctl before 7.3.
    told = (text(document, name, 32) for name in ("firmware_version", "scsi_revision", "revision"))
    return identity(text(document, "serial_number", 64), name, model, next(filter(None, told), ""))


def identity(serial: str, wwn: str, model: str, firmware: str = "") -> Identity:
    """Who a disk is. Serials that a bridge or hypervisor makes up for every disk are none."""
    if serial.lower() in _NO_SERIAL or not serial.strip("0-. "):
        serial = ""
    return Identity(serial or wwn, serial, wwn, model, firmware)


def _temperature(document: Json) -> Temperature:
    found = inner(document, "temperature")
    nvme = inner(document, "nvme_composite_temperature_threshold")
    current = number(found, "current", _COLDEST, _HOTTEST)
    if current is None:
        current = number(inner(document, "nvme_smart_health_information_log"), "temperature", _COLDEST, _HOTTEST)

    def limit(*candidates: int | None) -> int | None:
        return next((candidate for candidate in candidates if candidate), None)

    return Temperature(
        current or None,  # drives that do not measure it say 0
        limit(number(nvme, "warning", 1, _HOTTEST), number(found, "op_limit_max", _LEAST_LIMIT, _HOTTEST)),
        limit(
            number(nvme, "critical", 1, _HOTTEST),
            number(found, "critical_limit_max", 1, _HOTTEST),
            number(found, "drive_trip", 1, _HOTTEST),
            number(found, "limit_max", _LEAST_LIMIT, _HOTTEST),
        ),
    )


def _nvme(document: Json) -> NvmeHealth | None:
    log = inner(document, "nvme_smart_health_information_log")
    said = number(inner(document, "smart_status", "nvme"), "value", 0, 255)
    if log == EMPTY and said is None:
        return None
    warning = number(log, "critical_warning", 0, 255)
    both = None if warning is None and said is None else (warning or 0) | (said or 0)
    return NvmeHealth(
        both,
        number(log, "available_spare", 0, 100),
        number(log, "available_spare_threshold", 0, 100),
        number(log, "percentage_used", 0, 255),
    )


def _wear(document: Json, attributes: tuple[Attribute, ...]) -> int | None:
    """How much of a flash disk's endurance is used, in percent; None for disks that wear otherwise or do not say."""
    told = [number(document, "scsi_percentage_used_endurance_indicator", 0, 255), ata.wear(attributes)]
    told += [
        number(row, "value", 0, 255) for row in counting.statistics(document) if text(row, "name") == counting.ENDURANCE
    ]
    return max((used for used in told if used is not None), default=None)


def _errors(document: Json) -> Iterator[LoggedError]:
    log = inner(document, "ata_smart_error_log")
    for entry in items(inner(log, "extended") or inner(log, "summary"), "table", 64):
        description = text(entry, "error_description")
        register = number(inner(entry, "completion_registers"), "error", 0, 255) or 0
        yield LoggedError(
            number(entry, "lifetime_hours", most=1 << 32),
            medium="UNC" in description or bool(register & _UNC),
            link="ICRC" in description or bool(register & _ICRC),
        )
