"""A writing session: what waits for a pool is spooled, written to one cartridge in one stream, and read back.

A copy is ``writing`` from the moment when its bytes go to the drive. What the session came to is never taken from what
the drive says: :mod:`vault.tapes.proving` mounts the cartridge anew and enters what it finds there. So a session that
was cut off anywhere, or only said that it succeeded, ends in the same way.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from hardware.errors import Full, HardwareError
from hardware.tape.errors import NeedsRecovery
from hardware.tape.library import Library
from hardware.tape.session import CartridgeSession, RecoveryStep, WriteSession
from vault.catalog import cartridges, copies, facts
from vault.catalog import volumes as catalog_volumes
from vault.config import LibrarySettings, PoolSettings
from vault.custody import record as custody_record
from vault.custody import replicate
from vault.custody.context import part_of
from vault.custody.transfer import Transfer, find_inventory
from vault.durable import describe_os_error
from vault.errors import Corrupted, Interrupted, Unreachable, VaultError
from vault.errors import Full as OutOfRoom
from vault.ledger import append
from vault.model import CopyState, EventType, NewEvent, Outcome, Version, Volume
from vault.tape_model import CartridgeState, TapeFile
from vault.tapes import belongings, holding, record
from vault.tapes.context import Doing, Tapes
from vault.tapes.formatting import format_scratch
from vault.tapes.gathering import REFUSED, refusals, waiting_for
from vault.tapes.loading import loaded, moved
from vault.tapes.making import Made, estimated_length, make_tar, path_on_tape, stream_tar, tar_length
from vault.tapes.one_pass import Asked, read_cartridge

log = structlog.get_logger(__name__)

_CHUNK: Final = 1 << 20
_LEFT_FREE: Final = 1 << 29
"""So much the spool leaves free on its disk: others write there, the catalogue among them."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A part's tar in the spool, ready to be written. No ``file``: it is larger than the spool, and goes to tape
    straight from the copies on disk, more slowly."""

    version: Version
    file: Path | None
    length: int


@dataclass
class Written:
    """What a session did: how many copies went to the drive, and which did not fit."""

    barcode: str
    copies: int = 0
    bytes: int = 0
    unfit: list[Spooled] = field(default_factory=list)
    full: bool = False
    capacity: int | None = None


def write_pool(
    tapes: Tapes, library: Library, settings: LibrarySettings, pool: PoolSettings, barcode: str, doing: Doing
) -> str:
    """Write what waits for a pool to this cartridge, then read it back; return how it went."""
    folder = _empty_folder(tapes.spool(settings))
    try:
        spooled = list(_spool(tapes, settings, pool, barcode, folder, doing))
        if not spooled:
            return "nothing that waits can be read just now"
        written = _session(tapes, library, pool, barcode, spooled, folder, doing)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not written.copies:
        return "nothing of what waits fits on it"
    proved = read_cartridge(tapes, library, barcode, Asked(), doing)
    if proved.lost:
        _believed_no_more(tapes, barcode, written, proved.lost)
        if proved.drive is not None:
            holding.failed(
                tapes, library, barcode, proved.drive, "what was written in it did not come to be on the tape"
            )
    return f"{written.copies} written; read back: {proved.message}"


# --- the spool


def _empty_folder(folder: Path) -> Path:
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o750, parents=True)
    except OSError as error:
        raise describe_os_error(error, f"clearing the spool {folder}") from error
    return folder


def _spool(
    tapes: Tapes, settings: LibrarySettings, pool: PoolSettings, barcode: str, folder: Path, doing: Doing
) -> Iterable[Spooled]:
    """Make the tars of what waits, from copies whose bytes have been proved, comparing every digest once more."""
    custodian = tapes.custodian
    with custodian.catalogue.read() as tx:
        waiting = waiting_for(custodian, tx, pool, most_bytes=settings.spool_bytes)
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
        held = {version.id: copies.of_version(tx, version.id) for version in waiting.versions}
    spooled = False
    for version in waiting.versions:
        if any(copy.volume == barcode and copy.state is not CopyState.RETIRED for copy in held[version.id]):
            continue
        sources = replicate.good_sources(custodian, held[version.id], condition)
        made = Made()
        need, free = estimated_length(version.files, version.part_bytes), _free(folder)
        past = need > settings.spool_bytes or need > free
        if past and spooled and need <= settings.spool_bytes:
            return  # it may fit when what is spooled now was written
        file = None if past else folder / f"{version.id}.tar"
        try:
            inventory = find_inventory(part_of(version), sources, made.wrong)
            if file is None:
                made.length = tar_length(part_of(version), inventory, sources)
            else:
                make_tar(part_of(version), inventory, sources, file, made, doing)
        except (Corrupted, Unreachable) as error:
            log.warning("not-spooled", identifier=version.identifier, version=version.number, reason=str(error))
            if file is not None:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise describe_os_error(error, f"writing to the spool {folder}") from error
        else:
            spooled = True
            yield Spooled(version, file, made.length)
        if made.wrong:
            replicate.doubt_sources(custodian, version, Transfer(0, 0, made.wrong))


def _free(folder: Path) -> int:
    """Bytes that the spool may still take from its disk."""
    try:
        return shutil.disk_usage(folder).free - _LEFT_FREE
    except OSError as error:
        raise describe_os_error(error, f"looking at the spool {folder}") from error


# --- the session


def _session(
    tapes: Tapes,
    library: Library,
    pool: PoolSettings,
    barcode: str,
    spooled: list[Spooled],
    folder: Path,
    doing: Doing,
) -> Written:
    written = Written(barcode)
    packed = belongings.snapshot(tapes, folder)
    try:
        with loaded(tapes, library, barcode, write=True) as session:
            volume = _prepared(tapes, library, session, pool, barcode)
            with _opened(tapes, session, barcode, volume) as writing:
                with tapes.custodian.catalogue.read() as tx:
                    present = belongings.number_of_copies(tx, volume)
                written.capacity = writing.free_bytes() if present == 0 else volume.size_bytes
                keep = belongings.reserve(present + len(spooled), packed)
                began = time.monotonic()
                try:
                    for item in spooled:
                        _write(tapes, writing, volume, item, keep, written, doing)
                except Interrupted:
                    _end_in_order(writing, barcode)
                    raise
                moved(tapes, library, barcode, session.drive, written=written.bytes, seconds=time.monotonic() - began)
                if written.copies:
                    _finish(tapes, writing, volume, pool, packed, written)
    except VaultError as error:
        _failed(tapes, written, error)
        raise
    if written.copies:
        _tell(tapes, written, Outcome.SUCCESS, "")
    _judge_room(tapes, pool, written)
    return written


def _end_in_order(writing: WriteSession, barcode: str) -> None:
    """The daemon stops, which is no crash: what was finished is committed, and the volume needs no recovery."""
    try:
        writing.commit()
    except HardwareError as error:
        log.warning("session-not-ended-in-order", barcode=barcode, reason=str(error))


def _failed(tapes: Tapes, written: Written, error: VaultError) -> None:
    """What became of the copies is found out by reading; here only what it says of the cartridge."""
    if written.copies:
        _tell(tapes, written, Outcome.FAILURE, str(error))
    with tapes.custodian.catalogue.write() as tx:
        if isinstance(error, OutOfRoom):
            record.state(tx, tapes.agent, written.barcode, CartridgeState.FULL, str(error))
        elif isinstance(error, Corrupted) and error.code == "tape-damaged":
            record.state(tx, tapes.agent, written.barcode, CartridgeState.SUSPECT, str(error))


def _believed_no_more(tapes: Tapes, barcode: str, written: Written, lost: int) -> None:
    """The session ended well, by all that was said, and what was written is not there: the next would not be either."""
    reason = (
        f"A session said that it had written {written.copies} copies, and {lost} of them are not on the tape. "
        "The drive, its cable or the LTFS tools have failed: look at the drive (vaultctl tapes, journalctl -u vaultd)."
    )
    with tapes.custodian.catalogue.write() as tx:
        record.state(tx, tapes.agent, barcode, CartridgeState.SUSPECT, reason)


def _prepared(tapes: Tapes, library: Library, session: CartridgeSession, pool: PoolSettings, barcode: str) -> Volume:
    """The volume on the cartridge; a scratch one is made into one of the pool, if there is nothing on it."""
    with tapes.custodian.catalogue.read() as tx:
        cartridge = cartridges.need(tx, barcode)
        volume = catalog_volumes.get(tx, barcode)
    if cartridge.state is CartridgeState.APPENDABLE and volume is not None:
        return volume
    return format_scratch(tapes, library, session, pool, barcode)


def _opened(tapes: Tapes, session: CartridgeSession, barcode: str, volume: Volume) -> WriteSession:
    try:
        return session.open_for_writing(str(volume.uuid))
    except NeedsRecovery:
        recover(tapes, session, barcode)
        return session.open_for_writing(str(volume.uuid))


def recover(tapes: Tapes, session: CartridgeSession, barcode: str) -> None:
    """Bring a volume in order after a session that died: each step is in the ledger before the next begins."""
    folder = tapes.state / barcode
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def report(step: RecoveryStep) -> None:
        with tapes.custodian.catalogue.write() as tx:
            record.told(tx, EventType.CARTRIDGE_RECOVERED, tapes.agent, barcode,
                        {"step": step.step, "outcome": step.outcome, "output": step.output[:2000]})  # fmt: skip

    with (folder / "index-before-recovery.xml").open("wb") as kept:
        session.recover(report, kept.write)


def _write(
    tapes: Tapes, writing: WriteSession, volume: Volume, item: Spooled, keep: int, written: Written, doing: Doing
) -> None:
    if written.full or item.length + keep > writing.free_bytes():
        written.unfit.append(item)
        return
    path = path_on_tape(item.version)
    custodian = tapes.custodian
    with custodian.catalogue.write() as tx:
        copy = custody_record.writing(tx, custody_record.planned(tx, item.version, volume.id))
        cartridges.set_file(tx, TapeFile(copy.id, path, 0, item.length))
    try:
        if item.file is None:
            _stream(tapes, writing, item, path, doing)
        else:
            sink = writing.create(path, length=item.length, replaces=True)
            try:
                with item.file.open("rb") as source:
                    _pour(source, sink.write, doing)
            except Interrupted:
                sink.abandon()
                raise
            sink.finish()
    except (Corrupted, Unreachable) as error:
        # Of the copies on disk; what the drive raises is of another kind.
        log.warning("not-streamed", identifier=item.version.identifier, version=item.version.number, reason=str(error))
        with custodian.catalogue.write() as tx:
            custody_record.given_up(custodian, tx, item.version, copies.need(tx, copy.id), error.message)
        return
    except Full as error:
        written.full = True
        written.unfit.append(item)
        with custodian.catalogue.write() as tx:
            custody_record.given_up(custodian, tx, item.version, copies.need(tx, copy.id), error.message)
        return
    if item.file is not None:
        item.file.unlink()
    written.copies += 1
    written.bytes += item.length


def _stream(tapes: Tapes, writing: WriteSession, item: Spooled, path: str, doing: Doing) -> None:
    """Past the spool: straight from the copies on disk, whose every digest is compared on the way."""
    custodian = tapes.custodian
    with custodian.catalogue.read() as tx:
        condition = {volume.name: volume.condition for volume in catalog_volumes.all(tx)}
        held = copies.of_version(tx, item.version.id)
    sources = replicate.good_sources(custodian, held, condition)
    part, made = part_of(item.version), Made()
    try:
        inventory = find_inventory(part, sources, made.wrong)
        stream_tar(
            part, inventory, sources, lambda: writing.create(path, length=item.length, replaces=True), made, doing
        )
    finally:
        if made.wrong:
            replicate.doubt_sources(custodian, item.version, Transfer(0, 0, made.wrong))


def _pour(source: BinaryIO, write: Callable[[bytes], object], doing: Doing) -> None:
    while chunk := source.read(_CHUNK):
        if doing.cancelled():
            raise Interrupted("The writing session was stopped.")
        write(chunk)
        doing.progress(len(chunk))


def _finish(
    tapes: Tapes, writing: WriteSession, volume: Volume, pool: PoolSettings, packed: Path | None, written: Written
) -> None:
    """What the cartridge carries of itself, then the commit: the copies are worth more than that."""
    try:
        for item in belongings.belongings(tapes, volume, pool, packed):
            sink = writing.create(item.path, length=item.length, replaces=True)
            if item.source is None:
                sink.write(item.data)
            else:
                with item.source.open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        sink.write(chunk)
            sink.finish()
    except Full as error:
        written.full = True
        log.warning("belongings-not-written", barcode=volume.name, reason=error.message)
    free = writing.free_bytes()
    committed = writing.commit()
    with tapes.custodian.catalogue.write() as tx:
        cartridges.written(
            tx, volume.name, generation=committed.generation, size_bytes=written.capacity, free_bytes=max(0, free)
        )


def _tell(tapes: Tapes, written: Written, outcome: Outcome, reason: str) -> None:
    with tapes.custodian.catalogue.write() as tx:
        record.told(
            tx,
            EventType.TAPE_SESSION,
            tapes.agent,
            written.barcode,
            {"copies": written.copies, "bytes": written.bytes, "unfit": len(written.unfit), "reason": reason},
            outcome,
        )


def _judge_room(tapes: Tapes, pool: PoolSettings, written: Written) -> None:
    """A cartridge on which something did not fit is full; what is larger than any of its pool is refused, and told."""
    if not written.unfit and not written.full:
        return
    custodian = tapes.custodian
    with custodian.catalogue.write() as tx:
        of_set = [volume.size_bytes or 0 for volume in catalog_volumes.all(tx) if volume.domain == pool.set]
        largest = max([written.capacity or 0, *of_set])
        refused = dict(refusals(tx))
        too_large = [item for item in written.unfit if largest and item.length > largest]
        for item in too_large:
            reason = (
                f"Its tar has {item.length} bytes, and no cartridge of the set {pool.set} holds more than {largest}."
            )
            refused[f"{item.version.id}@{pool.set}"] = reason
            append(
                tx,
                NewEvent(
                    EventType.TAPE_REFUSED,
                    Outcome.FAILURE,
                    tapes.agent,
                    item.version.identifier,
                    item.version.number,
                    written.barcode,
                    {"pool": pool.name, "reason": reason},
                ),
            )
        if too_large:
            facts.put(tx, REFUSED, {**refused})
        if written.full or len(too_large) < len(written.unfit):
            record.state(tx, tapes.agent, written.barcode, CartridgeState.FULL, "What was to be written did not fit.")
