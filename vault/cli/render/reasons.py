"""The sentences of :mod:`hardware.smart.reasons`, to be translated here. A test holds them to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault import wire
from vault.i18n import N_, _

REASONS: Final[Mapping[str, str]] = {
    "says-failed": N_("The drive itself says that it has failed or will within a day."),
    "says-failed-earlier": N_("The drive's health check warns: {detail}."),
    "attribute-below-threshold": N_("{name} is at or below its vendor's threshold ({value}, threshold {threshold})."),
    "attribute-was-below-threshold": N_(
        "{name} was once at or below its vendor's threshold (worst {value}, threshold {threshold})."
    ),
    "media-read-only": N_("The drive takes no more writes: its medium has become read-only."),
    "reliability-degraded": N_("The drive says that its reliability is degraded by media or internal errors."),
    "power-loss-protection-failed": N_(
        "Its protection against power loss has failed: what was just written may be lost."
    ),
    "spare-low": N_("Spare capacity is at {value} %, and {threshold} % is the limit of the drive."),
    "spare-shrinking": N_("Spare capacity fell from {before} % to {value} % in {days} days."),
    "endurance-used": N_("{value} % of the endurance that the drive was made for is used."),
    "counter-above-zero": N_("{counter} is {value}."),
    "counter-high": N_("{counter} is {value}: many."),
    "counter-grew": N_("{counter} grew by {growth} in {days} days, to {value}."),
    "link-errors": N_("{counter} is {value}: look at cable, backplane and controller."),
    "link-errors-some": N_("{counter} is {value}, from some time in its life."),
    "too-hot": N_("It is {value} °C hot; the drive's own limit is {threshold} °C."),
    "at-temperature-limit": N_("It is {value} °C hot; at {threshold} °C the drive may switch off."),
    "self-test-failed": N_("Its last self-test failed: {detail}."),
    "self-test-failed-earlier": N_("An earlier self-test failed ({detail}); a later one passed."),
    "errors-logged-recently": N_("It logged errors in the last {days} days of its running: {value} in all."),
    "errors-logged-long-ago": N_("Its error log holds {value} errors, none of them recent."),
    "smart-off": N_("Its self-monitoring is switched off, so it would not tell of a failure."),
    "no-self-monitoring": N_(
        "It has no self-monitoring (SMART), or it cannot be reached: the disk tells nothing of its health."
    ),
    "partly-read": N_("One of the questions to the drive was not answered."),
    "implausible-value": N_("{counter} has a value that cannot be read; it is not known."),
    "asleep": N_("It sleeps and was not woken."),
    "does-not-answer": N_("It did not answer in time; the attempt was ended."),
    "permission-denied": N_("The helper may not open it."),
    "not-there": N_("It is not there."),
    "not-readable": N_("It says nothing about its health that can be read."),
    "no-statement": N_("It says nothing of its overall health, or nothing beside that."),
    "not-read-lately": N_("It was last read {detail}."),
    "no-serial-number": N_(
        "It gives neither serial number nor World Wide Name: it is known by where it is plugged in."
    ),
    "serial-number-not-unique": N_("Another disk gives the same serial number: {detail}."),
}

COUNTERS: Final[Mapping[str, str]] = {
    "reallocated_sectors": N_("The number of reallocated sectors"),
    "reported_uncorrectable_errors": N_("The number of uncorrectable errors reported"),
    "command_timeouts": N_("The number of command timeouts"),
    "pending_sectors": N_("The number of sectors that could not be read and wait for a write"),
    "offline_uncorrectable_sectors": N_("The number of sectors that its own scan could not read"),
    "interface_crc_errors": N_("The number of broken transfers (CRC)"),
    "media_errors": N_("The number of media errors"),
    "grown_defects": N_("The number of grown defects"),
    "uncorrected_read_errors": N_("The number of uncorrected read errors"),
    "uncorrected_write_errors": N_("The number of uncorrected write errors"),
    "uncorrected_verify_errors": N_("The number of uncorrected verify errors"),
    "logged_errors": N_("The number of errors logged"),
    "link_errors": N_("The number of link errors"),
    "end_to_end_errors": N_("The number of end-to-end errors"),
    "attributes": N_("Its table of attributes"),
    "available_spare": N_("Its spare capacity"),
    "available_spare_threshold": N_("The limit of its spare capacity"),
    "background_scan": N_("Its background scan"),
    "critical_warning": N_("Its critical warning"),
    "device_statistics": N_("Its statistics"),
    "exit_status": N_("The exit status of smartctl"),
    "self_monitoring": N_("Whether its self-monitoring is on"),
    "self_tests": N_("Its self-test log"),
    "temperature": N_("Its temperature"),
    "temperature_limit": N_("Its temperature limit"),
    "wear_percent": N_("The share of its endurance that is used"),
}


def sentence(reason: wire.DiskReason) -> str:
    """A reason in the language in use; as the daemon said it where this program does not know it."""
    known = REASONS.get(reason.code)
    if known is None:
        return reason.text
    values = {name: str(value) for name, value in reason.values.items()}
    counter = COUNTERS.get(values.get("counter", ""))
    if counter is not None:
        values["counter"] = _(counter)
    try:
        return _(known).format(**values)
    except KeyError:
        return reason.text
