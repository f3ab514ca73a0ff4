"""A cartridge written by the LTFS writer of this program. For virtual cartridges; no FUSE, no root, no tools."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from hardware.errors import Corrupted, Full, Refused
from hardware.ltfs.formatting import format_volume
from hardware.ltfs.medium import TapeMedium
from hardware.ltfs.model import IndexHeader
from hardware.ltfs.volume import Volume
from hardware.ltfs.writer import FileWriter
from hardware.ltfs.writer import WriteSession as LtfsWriteSession
from hardware.tape import barcodes
from hardware.tape.errors import TapeFull
from hardware.tape.held import HeldCartridge
from hardware.tape.session import (
    Blank,
    CartridgeSession,
    CleaningCartridge,
    Committed,
    Content,
    LtfsVolume,
    OtherData,
    RecoveryStep,
    Reported,
    WriteSession,
)

_GENERATIONS_SHOWN: Final = 20
_FULL: Final = "Commit what was finished, and go on with another cartridge."


class OwnSession(HeldCartridge):
    """A :class:`~hardware.tape.session.CartridgeSession` that writes by itself."""

    def format(self, *, name: str = "", force: bool = False) -> str:
        """An empty volume."""
        serial = check_format(self, force=force)
        self._check_unprotected()
        with contextlib.closing(self._port.drive().medium(write=True)) as medium:
            label = format_volume(medium, serial=serial, barcode=self._barcode, name=name, overwrite=force)
        return label.volume_uuid

    def open_for_writing(self, volume_uuid: str) -> OwnWriteSession:
        """Append."""
        self._check_target(volume_uuid)
        medium = self._port.drive().medium(write=True)
        try:
            session = LtfsWriteSession.open(medium, volume_uuid=volume_uuid, spool=self._spool)
        except BaseException:
            medium.close()
            raise
        self._user = opened = OwnWriteSession(medium, session, self._freed)
        return opened

    def recover(self, report: Reported, capture: Callable[[bytes], object]) -> IndexHeader:
        """List, capture, repair: an empty session writes the last index anew behind what was left."""
        header, clean = read_before_recovery(self, report, capture)
        if clean:
            return header
        with (
            contextlib.closing(self._port.drive().medium(write=True)) as medium,
            LtfsWriteSession.open(medium, volume_uuid=header.volume_uuid, spool=self._spool) as session,
        ):
            header = session.commit()
        report(RecoveryStep("recovered", f"Generation {header.generation} was written to both partitions."))
        return header


class OwnWriteSession:
    """A :class:`~hardware.tape.session.WriteSession` over our own writer."""

    def __init__(self, medium: TapeMedium, session: LtfsWriteSession, ended: Callable[[], None]) -> None:
        self._medium = medium
        self._session = session
        self._ended = ended
        self._files: list[str] = []
        self._open = True

    @property
    def volume_uuid(self) -> str:
        """Which volume it is."""
        return self._session.label.volume_uuid

    def free_bytes(self) -> int:
        """Room beside the indexes."""
        self._check()
        return self._session.free_bytes()

    def create(self, path: str, *, length: int | None = None, replaces: bool = False) -> OwnSink:
        """Begin a file."""
        self._check()
        try:
            return OwnSink(path, self._session.create(path, length=length, replaces=replaces), self._files.append)
        except Full as error:
            raise TapeFull(error.message, remedy=_FULL, lost=(path,)) from error

    def commit(self) -> Committed:
        """Both indexes, and the end."""
        self._check()
        try:
            header = self._session.commit()
            return Committed(self.volume_uuid, header.generation, tuple(self._files))
        except Full as error:
            raise TapeFull(
                "The cartridge has no room for its own index: nothing of this session is on it.",
                remedy="Have the volume recovered, and write the files to another cartridge.",
                lost=tuple(self._files),
            ) from error
        finally:
            self.close()

    def abandon(self) -> None:
        """End without commit."""
        self.close()

    def close(self) -> None:
        """As :meth:`abandon`."""
        if self._open:
            self._open = False
            try:
                self._session.close()
                self._medium.close()
            finally:
                self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _check(self) -> None:
        if not self._open:
            raise Refused("The session is over.", remedy="Open another one.")


class OwnSink:
    """A :class:`~hardware.tape.session.TapeSink` over our own writer."""

    def __init__(self, path: str, writer: FileWriter, finished: Callable[[str], None]) -> None:
        self._path = path
        self._writer = writer
        self._finished = finished

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        try:
            self._writer.write(data)
        except Full as error:
            raise TapeFull(error.message, remedy=_FULL, lost=(self._path,)) from error

    def finish(self) -> None:
        """It is whole."""
        try:
            self._writer.finish()
        except Full as error:
            raise TapeFull(error.message, remedy=_FULL, lost=(self._path,)) from error
        self._finished(self._path)

    def abandon(self) -> None:
        """Give it up."""
        self._writer.abandon()


def check_format(session: CartridgeSession, *, force: bool) -> str:
    """The volume serial that a cartridge is formatted with. Raises ``Refused`` where it must not be formatted."""
    content = session.recognise()
    if isinstance(content, CleaningCartridge):
        raise Refused(f"{session.barcode} is a cleaning cartridge; it holds no data.", remedy="Give a data cartridge.")
    if not force and not isinstance(content, Blank):
        raise Refused(
            f"The cartridge {session.barcode} is not blank: {said(content)}.",
            remedy="To destroy what is on it for good, ask for that by typing its barcode.",
        )
    return barcodes.parse(session.barcode).serial


def said(content: Content) -> str:
    """What is on a cartridge, as a part of a sentence."""
    if isinstance(content, Blank):
        return "it is blank"
    if isinstance(content, LtfsVolume):
        named = f" “{content.name}”" if content.name else ""
        return f"it holds the LTFS volume {content.volume_uuid}{named} with {content.files} files"
    if isinstance(content, OtherData):
        return content.found
    if isinstance(content, CleaningCartridge):
        return "it is a cleaning cartridge"
    return f"it cannot be read ({content.reason})"


def _generations(volume: Volume) -> str:
    """The generations on the tape, newest first, as far as their chain reaches."""
    found: list[str] = []
    try:
        for header in volume.generations():
            found.append(str(header.generation))
            if len(found) == _GENERATIONS_SHOWN:
                return ", ".join(found) + " …"
    except Corrupted as error:
        return ", ".join(found) + f" (before them the chain breaks: {error.message})"
    return ", ".join(found)


def read_before_recovery(
    session: CartridgeSession, report: Reported, capture: Callable[[bytes], object]
) -> tuple[IndexHeader, bool]:
    """List the generations and capture the last index, reporting both; says whether the volume is in order anyway."""
    with session.open_for_reading() as reader:
        volume: Volume = reader.volume
        last = volume.last
        shown = _generations(volume)
        report(
            RecoveryStep(
                "generations",
                f"Generations {shown} are on the tape; {last.unindexed_blocks} blocks behind the last index belong to "
                "no file.",
            )
        )
        header = reader.capture_index(capture)
        report(RecoveryStep("index-captured", f"The index of generation {header.generation} was captured."))
        return header, last.clean


if TYPE_CHECKING:

    def _fits(session: OwnSession, writing: OwnWriteSession) -> tuple[CartridgeSession, WriteSession]:
        return session, writing
