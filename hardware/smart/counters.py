"""What a disk counts that should stay at 0, gathered from all the tables and logs in which it may stand.

Two places that tell of the same thing (an attribute and the device statistics, say) are one counter. Sources: ATA ACS-4
(device statistics, pending defects log, error log, phy event counters); SBC-4 (pending defects, background scan);
SPC-5 (error counters); NVM Express (SMART / Health Information).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from hardware.smart import attributes as ata
from hardware.smart.facts import Attribute, Counter
from hardware.smart.jsontools import Json, flag, inner, items, misplaced, misshapen, number, text

_MOST: Final = (1 << 32) - 2
"""All ones in a field of 32 bits mean "not counted"."""

_SAS_PHY: Final = (
    "invalid_dword_count", "running_disparity_error_count", "loss_of_dword_synchronization_count",
    "phy_reset_problem_count",
)  # fmt: skip
_SATA_PHY_ERRORS: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 0xB, 0xD, 0xF, 0x10, 0x12, 0x13})
_SCSI_ERRORS: Final = (
    ("read", Counter.UNCORRECTED_READ), ("write", Counter.UNCORRECTED_WRITE), ("verify", Counter.UNCORRECTED_VERIFY),
)  # fmt: skip
_STATISTICS: Final = {
    "Number of Reallocated Logical Sectors": Counter.REALLOCATED,
    "Number of Realloc. Candidate Logical Sectors": Counter.PENDING,
    "Number of Reported Uncorrectable Errors": Counter.REPORTED_UNCORRECTABLE,
    "Number of Interface CRC Errors": Counter.CRC_ERRORS,
}

ENDURANCE: Final = "Percentage Used Endurance Indicator"
"""Of the device statistics, in smartctl's words: how much of its endurance a flash disk has used."""

UNRESOLVED: Final = {
    1: "require write or reassign blocks command",
    4: "reassignment by disk failed",
    7: "reassigned by app, has no valid data",
    8: "unsuccessfully reassigned by app",
}
"""What SBC-4's background scan results call a sector that was not read and is not well again (reassign status), in
smartctl's words."""

_BY_LOGICAL_SECTOR: Final = frozenset({Counter.REALLOCATED, Counter.PENDING})
"""Of what the statistics count logical sectors, of which one physical sector has up to eight."""

_RESOLVED: Final = ("successfully reassigned", "recovered via rewrite in-place", "reassigned by app, has valid data")

_MOST_RESULTS: Final = 2048


def read(document: Json, attributes: Sequence[Attribute], model: str) -> tuple[dict[Counter, int], tuple[str, ...]]:
    """The counters, and the names of those of which something stands there that cannot be a count."""
    found: dict[Counter, int] = {}
    unread: dict[Counter, None] = {}
    for counter, value in _everywhere(document, attributes, model):
        if value is None:
            unread[counter] = None
        else:
            found[counter] = max(value, found.get(counter, 0))
    for counter, value in _statistics(document):
        # Where the sectors themselves are counted, they are not counted again.
        if value is None:
            unread[counter] = None
        elif counter not in _BY_LOGICAL_SECTOR or not found.get(counter):
            found[counter] = max(value, found.get(counter, 0))
    return found, tuple(counter.value for counter in unread)


def _everywhere(document: Json, attributes: Sequence[Attribute], model: str) -> Iterator[tuple[Counter, int | None]]:
    yield from ata.counted(attributes, model)
    health = inner(document, "nvme_smart_health_information_log")
    if health:
        yield Counter.MEDIA_ERRORS, number(health, "media_errors")
    if "scsi_grown_defect_list" in document:
        yield Counter.GROWN_DEFECTS, number(document, "scsi_grown_defect_list", most=_MOST)
    yield from _uncorrected(document)
    yield from _pending(document)
    log = inner(document, "ata_smart_error_log")
    of_errors = inner(log, "extended") or inner(log, "summary")
    if of_errors:
        yield Counter.LOGGED_ERRORS, number(of_errors, "count", most=_MOST)
    link = list(_link_errors(document))
    if link:
        yield Counter.LINK_ERRORS, None if None in link else sum(value or 0 for value in link)


def _uncorrected(document: Json) -> Iterator[tuple[Counter, int | None]]:
    log = inner(document, "scsi_error_counter_log")
    garbled = misplaced(document, "scsi_error_counter_log")
    for name, counter in _SCSI_ERRORS:
        if garbled or name in log:
            yield counter, number(inner(log, name), "total_uncorrected_errors")


def _pending(document: Json) -> Iterator[tuple[Counter, int | None]]:
    for name in ("ata_pending_defects_log", "scsi_pending_defects"):
        log = inner(document, name)
        if misplaced(document, name):
            yield Counter.PENDING, None
        elif "count" in log:
            # More than the log has places for is some firmware's idea of nothing.
            yield Counter.PENDING, number(log, "count", most=number(log, "size", 1) or _MOST)
    scan = inner(document, "scsi_background_scan")
    if misplaced(document, "scsi_background_scan"):
        yield Counter.PENDING, None
    elif scan:
        results = [_is_unresolved(scan, name) for name in list(scan)[:_MOST_RESULTS] if name.startswith("result_")]
        yield Counter.PENDING, None if None in results else sum(map(bool, results))


def _is_unresolved(scan: Json, name: str) -> bool | None:
    """Whether a sector of the scan's results is still not well; None where that cannot be read."""
    result = inner(scan, name)
    if result and "reassign_status" not in result:
        return False  # the entry is too short to tell, which smartctl says in its text
    value = number(inner(result, "reassign_status"), "value", 0, 15)
    if value is not None:
        return value in UNRESOLVED
    words = (text(result, "reassign_status") or text(inner(result, "reassign_status"), "string")).lower()
    return words in UNRESOLVED.values() if words in (*UNRESOLVED.values(), *_RESOLVED) else None


def _statistics(document: Json) -> Iterator[tuple[Counter, int | None]]:
    for row in statistics(document):
        counter = _STATISTICS.get(str(row.get("name")))
        # A normalised one is a percentage of what can be borne, and no count; one without a value, or all ones, is not
        # kept by the drive.
        is_percentage = flag(inner(row, "flags"), "normalized")
        if counter is not None and not is_percentage and "value" in row and row["value"] != _MOST + 1:
            yield counter, number(row, "value", most=_MOST)


def statistics(document: Json) -> Iterator[Json]:
    """The rows of ATA device statistics (ACS-4, log address 04h), of all its pages."""
    for page in items(inner(document, "ata_device_statistics"), "pages", 32):
        yield from items(page, "table", 64)


def _link_errors(document: Json) -> Iterator[int | None]:
    log = inner(document, "sata_phy_event_counters")
    if misshapen(log, "table"):
        yield None
    for event in items(log, "table", 64):
        identifier = number(event, "id")
        if identifier is None or identifier in _SATA_PHY_ERRORS:
            yield None if identifier is None else number(event, "value", most=_MOST + 1)
    for port in range(4):
        found = inner(document, f"scsi_sas_port_{port}")
        if misplaced(document, f"scsi_sas_port_{port}"):
            yield None
        for phy in range(16):
            counts = inner(found, f"phy_{phy}")
            if misplaced(found, f"phy_{phy}"):
                yield None
            for name in _SAS_PHY:
                if name in counts:
                    yield number(counts, name, most=_MOST + 1)
