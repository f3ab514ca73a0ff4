"""The metrics that the node exports: names, types, labels and meanings, in one table.

The names are a contract: dashboards and alert rules of others rely on them. ``docs/reference/metrics.md`` explains
each, and a test holds the two together. No label ever names a package; what is not known is absent, never 0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Kind(enum.StrEnum):
    """Types of metrics, as in the exposition format."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``name`` is as it is queried: a counter's ends in ``_total``."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"vault_{name}", Kind.GAUGE, meaning, labels)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"vault_{name}_total", Kind.COUNTER, meaning, labels)


BUILD_INFO: Final = _gauge("build_info", "Always 1; the labels say what runs.", "version", "python")

TAPE_CARTRIDGES: Final = _gauge("tape_cartridges", "Tape cartridges by state.", "state")
TAPE_AWAY: Final = _gauge("tape_cartridges_outside", "Cartridges that are in no library, by where they are.", "state")
TAPE_LOADS: Final = _counter("tape_cartridge_loads", "Loads of a cartridge since this node knows it.", "volume")
TAPE_ERRORS: Final = _counter("tape_cartridge_errors", "Errors that reading or writing it met.", "volume")
TAPE_FREE: Final = _gauge("tape_cartridge_free_bytes", "Room that is left on a cartridge.", "volume")
TAPE_SIZE: Final = _gauge("tape_cartridge_size_bytes", "Room that a cartridge had when it was empty.", "volume")
TAPE_READ: Final = _counter("tape_cartridge_read_bytes", "Bytes that this node read from a cartridge.", "volume")
TAPE_WRITTEN: Final = _counter("tape_cartridge_written_bytes", "Bytes that this node wrote to a cartridge.", "volume")
TAPE_LIFE_LOADS: Final = _counter(
    "tape_cartridge_lifetime_loads", "Loads in its whole life, as its own memory counts them.", "volume"
)
TAPE_WRITTEN_AT: Final = _gauge(
    "tape_cartridge_written_timestamp_seconds", "When this node last wrote to a cartridge.", "volume"
)
TAPE_DUE: Final = _gauge("tape_cartridge_due_timestamp_seconds", "When the next copy on it is to be checked.", "volume")
TAPE_CONVERT: Final = _gauge(
    "tape_cartridge_convert_timestamp_seconds", "When what is on it is to be moved to a new cartridge.", "volume"
)
TAPE_USES_LEFT: Final = _gauge(
    "tape_cartridge_cleaning_uses_left", "How often a cleaning cartridge can still be used.", "volume"
)
TAPE_DRIVE_INFO: Final = _gauge(
    "tape_drive_info", "Always 1; the labels say which drive it is.", "serial", "library", "model", "firmware"
)
TAPE_DRIVE_STATE: Final = _gauge("tape_drive_state", "1 on the state that the drive is in.", "serial", "state")
TAPE_DRIVE_SEEN: Final = _gauge("tape_drive_seen_timestamp_seconds", "When the drive last answered.", "serial")
TAPE_DRIVE_ALERT: Final = _gauge(
    "tape_drive_alert_timestamp_seconds", "When a drive last raised a TapeAlert flag.", "serial", "flag", "severity"
)
TAPE_DRIVE_CLEANING: Final = _gauge("tape_drive_cleaning", "1 on what the drive asks for.", "serial", "need")
TAPE_DRIVE_ASKED: Final = _gauge(
    "tape_drive_cleaning_asked_timestamp_seconds", "Since when the drive asks to be cleaned.", "serial"
)
TAPE_DRIVE_CLEANED: Final = _gauge("tape_drive_cleaned_timestamp_seconds", "When the drive was last cleaned.", "serial")
TAPE_DRIVE_CLEANINGS: Final = _counter("tape_drive_cleanings", "Cleanings that this node had done.", "serial")
TAPE_DRIVE_LOADS: Final = _counter("tape_drive_loads", "Cartridges that this node loaded into the drive.", "serial")
TAPE_DRIVE_ERRORS: Final = _counter("tape_drive_errors", "Errors that were met while the drive was used.", "serial")
TAPE_DRIVE_READ: Final = _counter("tape_drive_read_bytes", "Bytes read with the drive.", "serial")
TAPE_DRIVE_READ_SECONDS: Final = _counter("tape_drive_read_seconds", "Time that reading them took.", "serial")
TAPE_DRIVE_WRITTEN: Final = _counter("tape_drive_written_bytes", "Bytes written with the drive.", "serial")
TAPE_DRIVE_WRITE_SECONDS: Final = _counter("tape_drive_write_seconds", "Time that writing them took.", "serial")
TAPE_DRIVE_POWER_ON: Final = _gauge("tape_drive_power_on_seconds", "Time that the drive was switched on.", "serial")
TAPE_DRIVE_MOTION: Final = _gauge("tape_drive_motion_seconds", "Time that tape ran over the heads.", "serial")
TAPE_DRIVE_HARD_ERRORS: Final = _counter(
    "tape_drive_hard_errors", "Errors that the drive itself could not correct, as it counts them.", "serial", "counter"
)
TAPE_CLEANING_REQUESTS: Final = _gauge(
    "tape_cleaning_requests", "Drives that ask to be cleaned, and no cleaning cartridge has uses left.", "library"
)
TAPE_REQUESTS: Final = _gauge("tape_mount_requests", "Cartridges that are asked for.")
TAPE_REQUEST_OLDEST: Final = _gauge(
    "tape_mount_request_oldest_timestamp_seconds", "Since when the one that is asked for longest is."
)
TAPE_LIBRARY_UP: Final = _gauge("tape_library_up", "Whether the library can be used: 1 yes, 0 no.", "library")
TAPE_LACKING: Final = _gauge(
    "tape_pools_without_cartridge", "Pools for which something waits, and no cartridge has room.", "library"
)
TAPE_WAITING: Final = _gauge("tape_waiting_bytes", "What waits to be written to a pool, as far as was looked.", "pool")
RECALLS: Final = _gauge("recalls", "Recalls that wait or are read.", "state")

COLLECTOR_UP: Final = _gauge("collector_up", "Whether the catalogue answered lately: 1 yes, 0 no.")
COLLECTOR_READ: Final = _gauge("collector_read_timestamp_seconds", "When what is shown of the catalogue was read.")
COLLECTOR_ERRORS: Final = _counter("collector_errors", "Scrapes that the catalogue did not answer, since the start.")
COLLECTOR_DURATION: Final = _gauge("collector_duration_seconds", "How long that reading took.")

PACKAGES: Final = _gauge("packages", "Packages.")
VERSIONS: Final = _gauge("versions", "Versions of packages.")
COPIES: Final = _gauge("copies", "Copies by volume and state.", "volume", "state")
BELOW_POLICY: Final = _gauge("versions_below_policy", "Versions with fewer good copies than they should have.", "class")
WITHOUT_GOOD_COPY: Final = _gauge(
    "versions_without_good_copy", "Versions with damaged or missing copies and none left that may be right."
)

VOLUME_INFO: Final = _gauge(
    "volume_info", "Always 1; the labels say what it is and what fails with it.", "volume", "medium", "domain", "site"
)
VOLUME_UP: Final = _gauge("volume_up", "Whether the volume answers and is the right one: 1 yes, 0 no.", "volume")
VOLUME_CONDITION: Final = _gauge(
    "volume_condition", "1 on the condition that the last probe saw, 0 on the others.", "volume", "condition"
)
VOLUME_MODE: Final = _gauge("volume_mode", "1 on what the operator wants of it, 0 on the others.", "volume", "mode")
VOLUME_PROBED: Final = _gauge("volume_last_probe_timestamp_seconds", "When the volume was last probed.", "volume")
VOLUME_SIZE: Final = _gauge("volume_size_bytes", "Size of the file system that the volume is on.", "volume")
VOLUME_FREE: Final = _gauge("volume_free_bytes", "Space on it that is free for the node.", "volume")

VOLUME_RESERVE: Final = _gauge("volume_reserve_bytes", "Free space that new copies leave alone.", "volume")

VOLUME_HEALTH: Final = _gauge(
    "volume_health", "1 on the health of what the volume stands on, 0 on the others.", "volume", "health"
)

VOLUME_FULL_AT: Final = _gauge(
    "volume_full_timestamp_seconds", "When its reserve is reached, at the intake of the last month.", "volume"
)
MOUNT_STATE: Final = _gauge("volume_mount_state", "1 on the state that holds of its file system.", "volume", "state")
MOUNT_SECONDS: Final = _gauge("volume_response_seconds", "How long its file system took to answer.", "volume")
VOLUME_FILES: Final = _gauge("volume_files", "Files (inodes) that its file system has room for.", "volume")
VOLUME_FREE_FILES: Final = _gauge("volume_free_files", "Of these, those that are free for the node.", "volume")

DEVICES: Final = _gauge("devices", "Devices that are plugged in, by what they are.", "role")
DEVICE_EVENTS: Final = _counter("device_events", "What happened to devices since the start.", "role", "change")
DEVICE_OVERFLOWS: Final = _counter("device_overflows", "Bursts of which events were lost; all was enumerated anew.")

ARRAY_STATE: Final = _gauge("array_state", "1 on the state that holds of the array.", "array", "kind", "state")
ARRAY_MISSING: Final = _gauge("array_missing_disks", "Members that the array lacks.", "array", "kind")
ARRAY_MISMATCHES: Final = _gauge(
    "array_mismatches", "Places where the last check found copies differ.", "array", "kind"
)
ARRAY_FIRST_SEEN: Final = _gauge(
    "array_first_seen_timestamp_seconds", "Since when the array is looked at.", "array", "kind"
)
ARRAY_CHECKED: Final = _gauge(
    "array_last_check_timestamp_seconds", "When a check of the whole array last ended.", "array", "kind"
)
ARRAY_ERRORS: Final = _gauge("array_errors", "Errors that the array counted on its devices.", "array", "kind")
ARRAY_DONE: Final = _gauge("array_sync_ratio", "Part of a rebuild or check under way that is done.", "array", "kind")
ARRAY_VOLUME: Final = _gauge("array_volume", "Always 1; the volume stands on the array.", "array", "volume")

DISK_REPORT: Final = _gauge("disk_report_timestamp_seconds", "When the last report on the disks was taken.")
DISK_REPORT_FRESH: Final = _gauge("disk_report_fresh", "Whether that report still says something of now: 1 yes, 0 no.")
DISK_INFO: Final = _gauge(
    "disk_info", "Always 1; the labels say which disk it is.", "serial", "wwn", "model", "protocol"
)
DISK_PRESENT: Final = _gauge("disk_present", "Whether the disk is there: 1 yes, 0 no.", "serial")
DISK_VERDICT: Final = _gauge("disk_verdict", "1 on the verdict that holds of the disk.", "serial", "verdict")
DISK_VOLUME: Final = _gauge("disk_volume", "Always 1; the volume stands on the disk.", "serial", "volume")
DISK_READ: Final = _gauge("disk_last_read_timestamp_seconds", "When the disk last told of itself.", "serial")
DISK_CAPACITY: Final = _gauge("disk_capacity_bytes", "Capacity of the disk.", "serial")
DISK_TEMPERATURE: Final = _gauge("disk_temperature_celsius", "Temperature of the disk.", "serial")
DISK_TEMPERATURE_LIMIT: Final = _gauge(
    "disk_temperature_limit_celsius", "Temperature that the disk itself gives as a limit.", "serial", "limit"
)
DISK_POWER_ON: Final = _gauge("disk_power_on_seconds", "How long the disk has been running in its life.", "serial")
DISK_WEAR: Final = _gauge("disk_endurance_used_ratio", "Share of a flash disk's endurance that is used.", "serial")
DISK_SPARE: Final = _gauge("disk_spare_ratio", "Share of an NVMe disk's spare capacity that is left.", "serial")
DISK_ERRORS: Final = _gauge(
    "disk_errors", "What the disk counts that should stay at 0; pending sectors may fall.", "serial", "counter"
)

DISK_TEST_FAILED: Final = _gauge(
    "disk_self_test_failed", "Whether the disk's last self-test found something: 1 yes, 0 no.", "serial"
)
DISK_TEST_AGE: Final = _gauge(
    "disk_self_test_age_seconds", "How long the disk has been running since it last tested itself.", "serial", "kind"
)
DISK_TEST_INTERVAL: Final = _gauge(
    "disk_self_test_interval_seconds", "How often every disk is to test itself, in time that it runs.", "kind"
)

FIXITY_FILES: Final = _counter("fixity_files", "Files read back, by outcome of the check.", "volume", "outcome")
FIXITY_BYTES: Final = _counter("fixity_bytes", "Bytes read back, by outcome of the check.", "volume", "outcome")
FIXITY_OLDEST: Final = _gauge(
    "fixity_oldest_check_timestamp_seconds",
    "When the copy on the volume was proved that has gone unproved for longest.",
    "volume",
)
FIXITY_DUE: Final = _gauge(
    "fixity_oldest_due_timestamp_seconds",
    "When the check on the volume was due, or will be, that is due first.",
    "volume",
)
FIXITY_PASS: Final = _gauge(
    "fixity_pass_seconds",
    "How long it takes to read everything on the volume back once, at its speed and in the hours for it.",
    "volume",
)
FIXITY_INTERVAL: Final = _gauge(
    "fixity_interval_seconds", "Within which time everything on the volume should be read back.", "volume"
)

TASKS: Final = _gauge("tasks", "Tasks by kind and state; ended ones are forgotten after some days.", "kind", "state")
TASKS_STALLED: Final = _gauge("tasks_stalled", "Running tasks that have read and written nothing for long.")
TASK_SUCCESS: Final = _gauge("task_last_success_timestamp_seconds", "When a task of the kind was last done.", "kind")

SCHEDULE_SUCCESS: Final = _gauge(
    "schedule_last_success_timestamp_seconds", "When the scheduled work last succeeded.", "kind"
)
SCHEDULE_FAILING: Final = _gauge("schedule_failing", "Whether its last run failed: 1 yes, 0 no.", "kind")
SCHEDULE_INTERVAL: Final = _gauge("schedule_interval_seconds", "How often it should run.", "kind")

DEPOSITS: Final = _counter("deposits", "Deposits that ended, by outcome.", "outcome")
DEPOSIT_BYTES: Final = _counter("deposit_bytes", "Bytes received for deposits, by their outcome.", "outcome")
DEPOSITS_OPEN: Final = _gauge("deposits_open", "Deposits under way.", "state")
RECEIPTS_PENDING: Final = _gauge("receipts_pending", "Stored deposits that have no receipt yet.")
RECEIPTS_OLDEST: Final = _gauge(
    "receipts_oldest_pending_timestamp_seconds", "When the deposit began that has waited longest for its receipt."
)
UPLOADS_OPEN: Final = _gauge("uploads_open", "Resumable deposits that hold bytes or may.")
UPLOADS_BYTES: Final = _gauge("uploads_received_bytes", "Bytes that have come of them and wait to be taken in.")
CALLBACKS: Final = _counter("callbacks", "Attempts to tell a depositor's program how its deposit ended.", "outcome")
CALLBACKS_WAITING: Final = _gauge("callbacks_pending", "Ended deposits of which a program is still to be told.")
CALLBACKS_OLDEST: Final = _gauge(
    "callbacks_oldest_attempt_timestamp_seconds", "When the one was first tried that is untold for longest."
)

TOKEN_EXPIRY: Final = _gauge(
    "token_next_expiry_timestamp_seconds", "When the first of those tokens ends that are in use."
)
CERTIFICATE_EXPIRY: Final = _gauge(
    "api_certificate_expiry_timestamp_seconds", "When the certificate that the API shows ends."
)

EVIDENCE: Final = _gauge("evidence_kept", "Damaged copies set aside that no operator has released.")

LEDGER_EVENTS: Final = _counter("ledger_events", "Events in the ledger.")
LEDGER_INTACT: Final = _gauge("ledger_intact", "Whether the whole ledger held when it was last proved: 1 yes, 0 no.")
LEDGER_PROVED: Final = _gauge("ledger_last_proof_timestamp_seconds", "When the whole ledger was last proved.")
LEDGER_CHECKPOINT: Final = _gauge("ledger_last_checkpoint_timestamp_seconds", "When the ledger was last signed.")
LEDGER_UNSIGNED: Final = _gauge("ledger_events_after_checkpoint", "Events that no checkpoint covers yet.")
LEDGER_CHECKPOINT_VOLUMES: Final = _gauge("ledger_last_checkpoint_volumes", "Volumes that keep the last checkpoint.")

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order in which they are exported."""
