"""What stands in an answer and cannot be read, beside the counters (:mod:`hardware.smart.counters`).

A bridge, a firmware or a smartctl of another version may put null, a text or a number that cannot be where a verdict is
made from. That is not "nothing amiss": the fact is not known, and no disk is healthy on such an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hardware.smart import attributes, counters
from hardware.smart.jsontools import Json, flag, inner, items, misplaced, misread, misshapen, number, text

_PERCENT: Final = 100
_BYTE: Final = 255
_NVME: Final = "nvme_smart_health_information_log"

_ALWAYS: Final = (
    ("critical_warning", _BYTE, "critical_warning"),
    ("available_spare", _PERCENT, "available_spare"),
    ("available_spare_threshold", _PERCENT, "available_spare_threshold"),
)
"""What the NVMe log page has in every disk, with the most that it can be."""

_OBJECTS: Final = {
    _NVME: "critical_warning",
    "ata_smart_attributes": attributes.TABLE,
    "ata_smart_self_test_log": "self_tests",
    "nvme_self_test_log": "self_tests",
    "ata_smart_error_log": "logged_errors",
    "ata_device_statistics": "device_statistics",
    "temperature": "temperature",
    "smartctl": "exit_status",
    "sata_phy_event_counters": "link_errors",
}
_WARMEST: Final = 1 << 15
"""Wide of any temperature: a number beyond the plausible is a disk that has none to give, not one that is misread."""


def facts(document: Json) -> tuple[str, ...]:
    """The names of what cannot be read, each once."""
    return tuple(dict.fromkeys(_facts(document)))


def _facts(document: Json) -> Iterator[str]:
    for name, fact in _OBJECTS.items():
        if misplaced(document, name):
            yield fact
    if misread(inner(document, "smartctl"), "exit_status", 0, _BYTE):
        yield "exit_status"
    support = inner(document, "smart_support")
    # Some network storage has a smartctl that says it in one word.
    one_word = misplaced(document, "smart_support") and flag(document, "smart_support") is None
    if one_word or any(name in support and flag(support, name) is None for name in ("available", "enabled")):
        yield "self_monitoring"
    yield from attributes.unread(document)
    yield from _of_nvme(document)
    yield from _temperatures(document)
    if misread(document, "scsi_percentage_used_endurance_indicator", 0, _BYTE):
        yield "wear_percent"
    yield from _statistics(document)
    yield from _tests(document)
    errors = inner(document, "ata_smart_error_log")
    if any(misplaced(errors, name) for name in ("extended", "summary")):
        yield "logged_errors"
    scan = inner(document, "scsi_background_scan")
    if misplaced(scan, "status") or misread(inner(scan, "status"), "value", 0, _BYTE):
        yield "background_scan"


def _statistics(document: Json) -> Iterator[str]:
    pages = inner(document, "ata_device_statistics")
    if misshapen(pages, "pages") or any(misshapen(page, "table") for page in items(pages, "pages")):
        yield "device_statistics"
    for row in counters.statistics(document):
        if not text(row, "name"):
            yield "device_statistics"
        elif row["name"] == counters.ENDURANCE and misread(row, "value", 0, _BYTE):
            yield "wear_percent"


def _of_nvme(document: Json) -> Iterator[str]:
    log = inner(document, _NVME)
    if log:
        for name, most, fact in _ALWAYS:
            if number(log, name, 0, most) is None:
                yield fact
        if misread(log, "percentage_used", 0, _BYTE):
            yield "wear_percent"
    if misread(inner(document, "smart_status", "nvme"), "value", 0, _BYTE):
        yield "critical_warning"


def _temperatures(document: Json) -> Iterator[str]:
    found, nvme = inner(document, "temperature"), inner(document, "nvme_composite_temperature_threshold")
    if misread(found, "current", -_WARMEST, _WARMEST):
        yield "temperature"
    limits = [(found, name) for name in ("op_limit_max", "limit_max", "critical_limit_max")]
    limits += [(nvme, name) for name in ("warning", "critical")]
    is_unread = any(misread(where, name, -_WARMEST, _WARMEST) for where, name in limits)
    if is_unread or misread(found, "drive_trip", 0, _WARMEST):
        yield "temperature_limit"


def _tests(document: Json) -> Iterator[str]:
    log = inner(document, "ata_smart_self_test_log")
    for name in ("extended", "standard"):
        if misplaced(log, name) or misshapen(inner(log, name), "table"):
            yield "self_tests"
    of_scsi = (name for name in document if name.startswith("scsi_self_test_"))
    # Where a place of NVMe's log is not used, smartctl leaves null.
    of_nvme = misshapen(inner(document, "nvme_self_test_log"), "table", gaps=True)
    if of_nvme or any(misplaced(document, name) for name in of_scsi):
        yield "self_tests"
