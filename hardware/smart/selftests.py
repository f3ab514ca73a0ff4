"""The self-test logs of the three command sets, in smartctl's JSON and in its text.

smartctl before 7.4 prints the logs of SCSI and NVMe disks as text only; there :mod:`hardware.smart.second` has them
from pySMART.
"""

from __future__ import annotations

from typing import Final

from hardware.smart.facts import SelfTest, TestKind, TestOutcome
from hardware.smart.jsontools import Json, clean, flag, inner, items, number, text

_RUNNING: Final = 15
_SCSI_LOG: Final = 20

# The results by their number: ATA ACS-3 table "self-test execution status" (the high nibble), SPC-4 table "self-test
# results", NVM Express "device self-test result". What is in neither set says nothing.
_ATA_FAILED: Final = frozenset({3, 4, 5, 6, 7, 8})
_SCSI_FAILED: Final = frozenset({3, 4, 5, 6, 7})
_NVME_FAILED: Final = frozenset({5, 6, 7})

# Which test it was: ATA ACS-3 subcommands (captive ones are 128 more), SPC-4 self-test codes, NVM Express codes.
_ATA_KIND: Final = {1: TestKind.SHORT, 2: TestKind.LONG, 129: TestKind.SHORT, 130: TestKind.LONG}
_SCSI_KIND: Final = {1: TestKind.SHORT, 2: TestKind.LONG, 5: TestKind.SHORT, 6: TestKind.LONG}
_NVME_KIND: Final = {1: TestKind.SHORT, 2: TestKind.LONG}


def from_json(document: Json) -> tuple[SelfTest, ...]:
    """All entries, the newest first; a running one before them."""
    return (*_running(document), *_ata(document), *_scsi(document), *_nvme(document))


def offered(document: Json) -> bool | None:
    """Whether the disk can test itself, as ATA and NVMe disks say; SCSI ones do not."""
    ata = flag(inner(document, "ata_smart_data", "capabilities"), "self_tests_supported")
    return flag(inner(document, "nvme_optional_admin_commands"), "self_test") if ata is None else ata


def from_words(status: str, hours: str, kind: str = "") -> SelfTest:
    """An entry as smartctl prints it: ``Completed: read failure``, ``Failed in segment -->``, ``Aborted by host``; of
    the kind ``Short offline``, ``Background long``, ``Extended``."""
    words = clean(status).lower()
    if "progress" in words or words == "running":
        outcome = TestOutcome.RUNNING
    elif "abort" in words or "interrupt" in words or "reset" in words:
        outcome = TestOutcome.ABORTED
    elif "fail" in words or "error" in words.replace("without error", "") or "damage" in words:
        outcome = TestOutcome.FAILED
    elif "completed" in words:
        outcome = TestOutcome.PASSED
    else:
        outcome = TestOutcome.UNKNOWN
    digits = hours.strip()
    known = int(digits) if digits.isdecimal() and len(digits) < 10 else None
    return SelfTest(outcome, clean(status), known, _kind_from(kind.lower()))


def _kind_from(words: str) -> TestKind:
    if "short" in words:
        return TestKind.SHORT
    return TestKind.LONG if "long" in words or "extended" in words else TestKind.OTHER


def _running(document: Json) -> tuple[SelfTest, ...]:
    status = inner(document, "ata_smart_data", "self_test", "status")
    value = number(status, "value", 0, 255)
    if value is not None and value >> 4 == _RUNNING:
        return (SelfTest(TestOutcome.RUNNING, text(status, "string"), None),)
    operation = number(inner(document, "nvme_self_test_log", "current_self_test_operation"), "value", 0, 255)
    return (SelfTest(TestOutcome.RUNNING, "in progress", None),) if operation else ()


def _ata(document: Json) -> list[SelfTest]:
    log = inner(document, "ata_smart_self_test_log")
    # The extended log is the same log, longer.
    table = next((inner(log, name) for name in ("extended", "standard") if "table" in inner(log, name)), {})
    found = []
    for entry in items(table, "table"):
        status = inner(entry, "status")
        value = number(status, "value", 0, 255)
        outcome = _outcome(None if value is None else value >> 4, _ATA_FAILED, status, aborted=frozenset({1, 2}))
        hours, kind = number(entry, "lifetime_hours", most=1 << 32), number(inner(entry, "type"), "value", 0, 255)
        found.append(SelfTest(outcome, text(status, "string"), hours, _ATA_KIND.get(kind or 0, TestKind.OTHER)))
    return found or _last_of_ata(document)


def _last_of_ata(document: Json) -> list[SelfTest]:
    """How the last test failed, of a disk whose log is not there: the status of self-tests tells it as well. That there
    was none it tells by the same value as that it passed."""
    status = inner(document, "ata_smart_data", "self_test", "status")
    value = number(status, "value", 0, 255)
    has_failed = value is not None and value >> 4 in _ATA_FAILED
    return [SelfTest(TestOutcome.FAILED, text(status, "string"), None)] if has_failed else []


def _scsi(document: Json) -> list[SelfTest]:
    found = []
    for place in range(_SCSI_LOG):
        entry = inner(document, f"scsi_self_test_{place}")
        if entry:
            result = inner(entry, "result")
            outcome = _outcome(number(result, "value", 0, 15), _SCSI_FAILED, result, aborted=frozenset({1, 2}))
            hours = number(inner(entry, "power_on_time"), "hours", most=1 << 32)
            kind = number(inner(entry, "code"), "value", 0, 15)
            found.append(SelfTest(outcome, text(result, "string"), hours, _SCSI_KIND.get(kind or 0, TestKind.OTHER)))
    return found


def _nvme(document: Json) -> list[SelfTest]:
    found = []
    for entry in items(inner(document, "nvme_self_test_log"), "table"):
        result = inner(entry, "self_test_result")
        outcome = _outcome(number(result, "value", 0, 15), _NVME_FAILED, result, aborted=frozenset({1, 2, 3, 4, 8, 9}))
        hours, kind = (
            number(entry, "power_on_hours", most=1 << 32),
            number(inner(entry, "self_test_code"), "value", 0, 15),
        )
        found.append(SelfTest(outcome, text(result, "string"), hours, _NVME_KIND.get(kind or 0, TestKind.OTHER)))
    return found


def _outcome(value: int | None, failed: frozenset[int], told: Json, *, aborted: frozenset[int]) -> TestOutcome:
    if value is None:
        # No number that can be read: the words, and the flag beside them, still say how it ended.
        outcome = from_words(text(told, "string"), "").outcome
        is_bad = flag(told, "passed") is False and outcome in (TestOutcome.UNKNOWN, TestOutcome.PASSED)
        return TestOutcome.FAILED if is_bad else outcome
    if value == 0:
        return TestOutcome.PASSED
    if value == _RUNNING:
        return TestOutcome.RUNNING
    if value in failed:
        return TestOutcome.FAILED
    return TestOutcome.ABORTED if value in aborted else TestOutcome.UNKNOWN
