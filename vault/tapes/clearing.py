"""Ending the doubt about a cartridge that is suspect: all of it is read back, and where nothing is wrong with it, it is
used again.

A bad drive makes good cartridges suspect. Somebody who had it mended orders that one of them be read through
(:func:`order`); the librarian does it, in another drive where one is in doubt, and goes on after a stop where it was.
Not only copies that count are read: what lies on the tape and is no copy any more speaks for or against it as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import structlog

import hardware.errors as hw
from hardware.ltfs.model import FileEntry
from hardware.tape.library import Library
from hardware.tape.own_session import said
from hardware.tape.reading import TapeReader, Wanted
from hardware.tape.session import CartridgeSession
from vault.catalog import cartridges, copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.errors import Corrupted, Interrupted, Refused
from vault.model import CopyState, Volume
from vault.tape_model import Adopted, Cartridge, CartridgeState, Clearing
from vault.tapes import holding, record
from vault.tapes.context import Doing, Tapes
from vault.tapes.formatting import is_blank
from vault.tapes.indexes import keep_index
from vault.tapes.loading import Counted, loaded, moved
from vault.tapes.making import path_on_tape
from vault.tapes.proving import conclude, read_back
from vault.volumes.base import CheckReport, Verdict

log = structlog.get_logger(__name__)

_NOTE_SECONDS: Final = 5.0
_ALL: Final = 1_000_000
_HELD: Final = (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT, CopyState.DAMAGED, CopyState.MISSING)


def order(tapes: Tapes, barcode: str, agent: str) -> None:
    """Have a suspect cartridge read through; nothing happens where that is ordered already.

    Raises NotFound (``no-such-cartridge``), Refused (``cartridge-not-suspect``).
    """
    with tapes.custodian.catalogue.write() as tx:
        cartridge = cartridges.need(tx, barcode)
        if cartridge.state is not CartridgeState.SUSPECT:
            raise Refused(
                f"The cartridge {barcode} is {cartridge.state}, and not suspect: there is no doubt to end.",
                remedy=f"To have what is on it read back: vaultctl verify --volume {barcode}",
                code="cartridge-not-suspect",
            )
        if barcode not in record.clearings(tx):
            record.clearing_ordered(tx, agent, barcode)


def clear_cartridge(tapes: Tapes, library: Library, barcode: str, doing: Doing) -> str:
    """Read a suspect cartridge through, and decide; return how it went."""
    with tapes.custodian.catalogue.read() as tx:
        clearing, cartridge = record.clearings(tx).get(barcode), cartridges.need(tx, barcode)
        volume = catalog_volumes.get(tx, barcode)
        avoid = holding.doubted(tx, library.name)
    if clearing is None or cartridge.state is not CartridgeState.SUSPECT:
        return "there is no doubt about it any more"
    try:
        with loaded(tapes, library, barcode, avoid=avoid) as session:
            if volume is None:
                return _never_written(tapes, clearing, session)
            with session.open_for_reading() as reader:
                keep_index(tapes, barcode, reader)
                began, counted = time.monotonic(), Counted(doing)
                try:
                    clearing = _read_all(tapes, volume, reader, clearing, counted.doing)
                finally:
                    seconds = time.monotonic() - began
                    moved(tapes, library, barcode, session.drive, read=counted.bytes, seconds=seconds)
            drive = session.drive
    except Corrupted as error:
        # Of the labels or the index: there is nothing by which the rest could be found.
        _refuse(tapes, clearing, f"Read back, and it cannot be read: {error.message}", "")
        return f"it stays suspect: {error.message}"
    tapes.custodian.wake()
    return _decide(tapes, library, cartridge, clearing, drive)


def _decide(tapes: Tapes, library: Library, cartridge: Cartridge, clearing: Clearing, drive: int) -> str:
    if clearing.bad:
        if clearing.bad == clearing.files:
            holding.failed(tapes, library, clearing.barcode, drive, "nothing that was read back was right")
        many = f"{clearing.bad} of {clearing.files} files on it are not right, the first: {clearing.worst}"
        _refuse(tapes, clearing, f"Read back in drive {drive}, and {many}.", f"drive {drive}")
        return f"it stays suspect: {many}"
    ours = cartridge.adopted is Adopted.OURS and cartridge.pool
    to = CartridgeState.APPENDABLE if ours else CartridgeState.READ_ONLY
    with tapes.custodian.catalogue.write() as tx:
        record.cleared(tx, clearing, to, f"drive {drive}")
    if clearing.files:
        holding.proved(tapes, library, drive)
    return f"{clearing.files} files read back, nothing is wrong: it is {to} again"


def _refuse(tapes: Tapes, clearing: Clearing, reason: str, drive: str) -> None:
    log.warning("cartridge-not-cleared", barcode=clearing.barcode, reason=reason)
    with tapes.custodian.catalogue.write() as tx:
        record.not_cleared(tx, clearing, reason, drive)


def _never_written(tapes: Tapes, clearing: Clearing, session: CartridgeSession) -> str:
    """The drive failed before a volume was on it."""
    content = session.recognise()
    if not is_blank(tapes, clearing.barcode, content):
        _refuse(tapes, clearing, f"It is not blank: {said(content)}.", f"drive {session.drive}")
        return f"it stays suspect: {said(content)}"
    with tapes.custodian.catalogue.write() as tx:
        record.cleared(tx, clearing, CartridgeState.SCRATCH, f"drive {session.drive}")
    return "nothing is on it: it is scratch again"


def _read_all(tapes: Tapes, volume: Volume, reader: TapeReader, clearing: Clearing, doing: Doing) -> Clearing:
    """Read every file from where an earlier reading of the same index stopped, in tape order."""
    files = sorted(reader.files(), key=lambda entry: (entry.start, entry.path))
    generation = reader.header.generation
    if clearing.generation != generation:
        clearing = Clearing(clearing.barcode, clearing.agent, clearing.since, generation)
    clearing = replace(clearing, total_files=len(files), total_bytes=sum(entry.length for entry in files))
    with tapes.custodian.catalogue.write() as tx:
        known = cartridges.by_path(tx, volume.id)
        record.clearing_read(tx, clearing)
    noted = time.monotonic()
    try:
        for want, pieces in reader.in_tape_order(Wanted(entry, entry) for entry in files[clearing.files :]):
            of_copy = known.get(want.entry.path)
            wrong = _wrong_with(tapes, reader, want.entry, pieces, of_copy.copy_id if of_copy else None, doing)
            clearing = replace(
                clearing,
                files=clearing.files + 1,
                bytes=clearing.bytes + want.entry.length,
                bad=clearing.bad + bool(wrong),
                worst=clearing.worst or wrong,
            )
            if time.monotonic() - noted > _NOTE_SECONDS:
                noted = time.monotonic()
                with tapes.custodian.catalogue.write() as tx:
                    record.clearing_read(tx, clearing)
    except BaseException:
        with tapes.custodian.catalogue.write() as tx:
            record.clearing_read(tx, clearing)
        raise
    absent = _absent(tapes, volume, {entry.path for entry in files})
    return replace(clearing, bad=clearing.bad + len(absent), worst=clearing.worst or next(iter(absent), ""))


def _wrong_with(
    tapes: Tapes, reader: TapeReader, entry: FileEntry, pieces: Iterator[bytes], copy_id: int | None, doing: Doing
) -> str:
    """What is wrong with a file on the tape; empty where nothing is. Of a copy that counts it is entered too."""
    if copy_id is None:
        return _unreadable(reader, entry, pieces, doing)
    with tapes.custodian.catalogue.read() as tx:
        copy = copies.need(tx, copy_id)
        version = packages.need_version(tx, copy.version_id)
    report = read_back(reader, entry, pieces, version, doing)
    if copy.state in _HELD:
        conclude(tapes, copy.volume, version, copy, report)
    if report.verdict is Verdict.INTACT:
        return ""
    first = report.findings[0]
    return (
        f"{version.identifier} v{version.number} ({first.kind}: {first.path}{f', {first.error}' * bool(first.error)})"
    )


def _unreadable(reader: TapeReader, entry: FileEntry, pieces: Iterator[bytes], doing: Doing) -> str:
    """Of what is no copy nothing tells what it should be; that it can be read says that the tape is whole there."""
    why = ""
    for attempt in (pieces, None):
        try:
            for piece in reader.read(entry) if attempt is None else attempt:
                if doing.cancelled():
                    raise Interrupted("Reading the tape was stopped.")
                doing.progress(len(piece))
        except hw.Corrupted as error:
            why = error.message
        else:
            return ""
    return f"{entry.path} ({why[:200]})"


def _absent(tapes: Tapes, volume: Volume, present: set[str]) -> list[str]:
    """The copies that should be on the tape, and of which it has nothing."""
    with tapes.custodian.catalogue.read() as tx:
        held = copies.in_states(tx, _HELD, _ALL, volume.id)
        paths = {file.copy_id: path for path, file in cartridges.by_path(tx, volume.id).items()}
        due = [(copy, packages.need_version(tx, copy.version_id)) for copy in held]
    missing: list[str] = []
    for copy, version in due:
        if paths.get(copy.id, path_on_tape(version)) not in present:
            conclude(tapes, volume.name, version, copy, CheckReport((), 0, 0, absent=True))
            missing.append(f"{version.identifier} v{version.number} (nothing of it is there)")
    return missing
