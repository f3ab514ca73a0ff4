"""What a person should look at of the tapes, with what to do: a part of :mod:`vault.api.alerts`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from hardware.tape.tapealert import Flag, Severity
from vault import wire
from vault.catalog import tasks
from vault.catalog.engine import Tx
from vault.clock import from_text
from vault.model import CopyState, TaskState
from vault.tape_model import (
    OWN_EARLIER,
    Adopted,
    Cartridge,
    CartridgeState,
    CleaningNeed,
    Whereabouts,
    own_earlier_remedy,
)
from vault.tapes import holding
from vault.tapes.desk import TapeDesk
from vault.tapes.drives import CLEAN_AGAIN, name_of
from vault.tapes.librarian import TAPE_KINDS

ALERTED: Final = timedelta(days=1)
"""So long a TapeAlert flag is shown after it was raised."""
_OF_CLEANING: Final = (Flag.CLEAN_NOW, Flag.EXPIRED_CLEANING_MEDIUM, Flag.INVALID_CLEANING_MEDIUM)


def of_tapes(desk: TapeDesk, tx: Tx) -> Iterator[wire.Alert]:
    """Libraries that cannot be used, work that fails, cartridges that are asked for, found wrong, or lacking."""
    for library in desk.libraries():
        if library.problem:
            yield _alert("critical", "library-unusable", library.name,
                         f"The tape library {library.name} cannot be used. {library.problem}",
                         "It is tried again by itself.")  # fmt: skip
        elif library.unwritable:
            yield _alert("critical", "library-unwritable", library.name,
                         f"Nothing can be written in the tape library {library.name}. {library.unwritable}",
                         "What waits for tape is written by itself once that is cured.")  # fmt: skip
        for note in library.notes:
            yield _alert("warning", "library-note", library.name, note,
                         f"Then: vaultctl tapes inventory --library {library.name}")  # fmt: skip
        for pool in library.lacking:
            yield _alert("warning", "no-cartridge", pool, f"No cartridge has room for the pool {pool}.",
                         "Put a blank cartridge into the library.")  # fmt: skip
        for drive in library.unclean:
            severity = "critical" if drive.cleaning is CleaningNeed.NOW else "warning"
            what = f"Drive {drive.number} of {library.name} asks to be cleaned; no cleaning cartridge has uses left."
            yield _alert(severity, "cleaning-wanted", drive.serial, what,
                         "Put a cleaning cartridge (label CLN…) into the library; it is used by itself.")  # fmt: skip
    yield from _of_drives(desk, tx)
    for task in tasks.open_of_kinds(tx, TAPE_KINDS):
        if task.attempts and task.state is TaskState.READY and task.message:
            subject = ", ".join(task.volumes)
            yield _alert("warning", "tape-job-failed", subject,
                         f"The {task.kind} of {subject} failed, and is tried again: {task.message}",
                         "Where it does not cure itself: journalctl -u vaultd, and vaultctl tapes")  # fmt: skip
    for request in desk.requests():
        yield _alert("warning", "cartridge-wanted", request.barcode,
                     f"The cartridge {request.barcode} is asked for: {request.reason}.",
                     f"Put it into the library, and type: vaultctl tapes checkin {request.barcode}")  # fmt: skip
    for shown in desk.all():
        live = any(number for state, number in shown.copies.items() if state is not CopyState.RETIRED)
        if live and shown.convert_at is not None and shown.convert_at < tx.now:
            name = shown.cartridge.barcode
            yield _alert("warning", "cartridge-past-due", name,
                         f"What is on the cartridge {name} should be on a new one since {shown.convert_at:%d/%m/%Y}.",
                         f"Have its copies made anew: vaultctl volumes evacuate {name}")  # fmt: skip
        yield from _of_cartridge(shown.cartridge)


def _of_drives(desk: TapeDesk, tx: Tx) -> Iterator[wire.Alert]:
    """Drives that cannot be used, that are held (if they are still there), that cleaning does not help, or that said
    something grave in the last day."""
    drives = desk.drives()
    newest: dict[tuple[str, int], datetime] = {}
    for drive in drives:
        place = (drive.library, drive.number)
        newest[place] = max(drive.seen_at, newest.get(place, drive.seen_at))
    for drive in drives:
        name = f"Drive {drive.number} of {drive.library}"
        if drive.problem:
            yield _alert("critical", "drive-unusable", drive.serial, f"{name}: {drive.problem}",
                         "Look at its panel, its power and its cables.")  # fmt: skip
        if drive.cleaning and drive.cleaned_at is not None and tx.now - drive.cleaned_at < CLEAN_AGAIN:
            yield _alert("warning", "cleaning-no-help", drive.serial,
                         f"{name} asks to be cleaned again, soon after it was.",
                         "Have the drive looked at by its maker; to clean it once more: "
                         f"vaultctl tapes clean {drive.serial}")  # fmt: skip
        if drive.held and drive.seen_at >= newest[drive.library, drive.number]:
            yield _alert(
                "critical", "drive-held", drive.serial, f"{name} is held: {drive.held}.", holding.remedy(drive)
            )
        for flag in Flag:
            raised = drive.alerts.get(name_of(flag))
            grave = flag.alert.severity is Severity.CRITICAL and flag not in _OF_CLEANING
            if raised is not None and grave and tx.now - from_text(raised) < ALERTED:
                said = f"{name} said ({name_of(flag)}): {flag.alert.meaning}"
                yield _alert("warning", "tape-alert", drive.serial, said, flag.alert.remedy)


def _of_cartridge(cartridge: Cartridge) -> Iterator[wire.Alert]:
    name = cartridge.barcode
    said = f"The cartridge {name} is {cartridge.state}: {cartridge.reason}"
    if cartridge.state is CartridgeState.SUSPECT:
        yield _alert("warning", "cartridge-suspect", name, said,
                     "Nothing more is written to it, and what it lost is made anew on another one; keep it until"
                     f" vaultctl tapes show {name} has no copy that counts. Where the drive was at fault, all of it can"
                     f" be read back and used again: vaultctl tapes clear {name}")  # fmt: skip
    elif cartridge.state is CartridgeState.FOREIGN and OWN_EARLIER in cartridge.reason:
        yield _alert("warning", "cartridge-foreign", name, said, own_earlier_remedy(name))
    elif cartridge.state is CartridgeState.FOREIGN:
        yield _alert("warning", "cartridge-foreign", name, said,
                     f"Take it out; or if nobody needs what is on it: vaultctl tapes format {name} --pool POOL"
                     f" --erase {name}")  # fmt: skip
    elif cartridge.state is CartridgeState.READ_ONLY and cartridge.reason and _is_ours_and_here(cartridge):
        yield _alert("info", "cartridge-read-only", name, said,
                     f"Once that is cured: vaultctl tapes checkin {name}")  # fmt: skip


def _is_ours_and_here(cartridge: Cartridge) -> bool:
    return cartridge.adopted is Adopted.OURS and cartridge.whereabouts is Whereabouts.LIBRARY


def _alert(severity: str, code: str, subject: str, message: str, remedy: str) -> wire.Alert:
    return wire.Alert.model_validate(
        {"severity": severity, "code": code, "subject": subject, "message": message, "remedy": remedy}
    )
