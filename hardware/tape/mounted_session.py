"""A cartridge written by the reference LTFS tools: formatted by ``mkltfs``, written through a mount of ``ltfs``.

While a tool runs, it alone speaks to the drive, which we let go of before. What was written is read back by our own
reader, which knows nothing of FUSE and asks the tape.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, Self

from hardware.errors import Corrupted, HardwareError, Refused, Unreachable
from hardware.ltfs.model import IndexHeader
from hardware.ltfs.names import check_path
from hardware.tape import barcodes
from hardware.tape.errors import TapeFull, ToolCrashed, WriteProtected
from hardware.tape.generation import Generation
from hardware.tape.held import DrivePort, HeldCartridge
from hardware.tape.own_session import check_format, read_before_recovery
from hardware.tape.session import CartridgeSession, Committed, RecoveryStep, Reported, WriteSession
from hardware.tape.tools.acts import Mounted, Tools

_FULL: Final = "Commit what was finished, and go on with another cartridge."
_RESERVE: Final = 1 << 30
"""Bytes that are kept free for the last indexes, or a twentieth of the volume where that is less."""
_OUTPUT: Final = 4000


class MountedSession(HeldCartridge):
    """A :class:`~hardware.tape.session.CartridgeSession` whose cartridge the reference tools write."""

    def __init__(
        self,
        port: DrivePort,
        barcode: str,
        tools: Tools,
        *,
        spool: str | os.PathLike[str] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """As :class:`HeldCartridge`, with the tools."""
        super().__init__(port, barcode, spool=spool, ended=ended)
        self._tools = tools

    def format(self, *, name: str = "", force: bool = False) -> str:
        """An empty volume, by ``mkltfs``."""
        serial = check_format(self, force=force)
        self._check_unprotected()
        device = self._device()
        return self._tools.format(device, serial, name=name, force=force, generation=self._generation())

    def open_for_writing(self, volume_uuid: str) -> MountedWriteSession:
        """Mount it."""
        self._check_target(volume_uuid)
        mounted = self._tools.mount(self._device(), f"drive-{self.drive}", self._generation())
        self._user = opened = MountedWriteSession(mounted, volume_uuid, self._freed)
        return opened

    def recover(self, report: Reported, capture: Callable[[bytes], object]) -> IndexHeader:
        """``ltfsck -l``, our reader's capture of the last index, and only then ``ltfsck -f``."""
        self._check_unprotected()
        listed = self._tools.generations(self._device(), self._generation())
        output = _output(listed.lines)
        if not listed.problem:
            found = ", ".join(map(str, listed.generations))
            report(RecoveryStep("generations", f"Generations {found} are on the tape.", output))

        def told(step: RecoveryStep) -> None:
            if step.step != "generations":
                report(step)
            elif listed.problem:
                # The tool lists nothing where a session died; our own reader does.
                report(RecoveryStep(step.step, f"{step.outcome} {listed.problem}", output))

        header, clean = read_before_recovery(self, told, capture)
        if clean:
            return header
        repaired = self._tools.recover(self._device(), self._generation())
        with self.open_for_reading() as reader:
            header = reader.header
        report(
            RecoveryStep(
                "recovered",
                f"ltfsck has recovered the volume; its last generation is {header.generation}.",
                _output(repaired.lines),
            )
        )
        return header

    def _device(self) -> str:
        """What the tools call the drive, which is let go of for them."""
        self._check_free()
        device = self._port.tool_device()
        self._port.let_go()
        return device

    def _generation(self) -> Generation | None:
        return None if barcodes.check(self._barcode) else barcodes.parse(self._barcode).generation


class MountedWriteSession:
    """A :class:`~hardware.tape.session.WriteSession` through a mount."""

    def __init__(self, mounted: Mounted, volume_uuid: str, ended: Callable[[], None]) -> None:
        self._mounted = mounted
        self._uuid = volume_uuid
        self._ended = ended
        self._files: list[str] = []
        self._sink: MountedSink | None = None
        self._open = True
        try:
            with mounted.serving():
                found = os.getxattr(mounted.point, "user.ltfs.volumeUUID").decode("ascii", "replace")
        except OSError as error:
            self.close()
            raise self._error(error, "The volume's UUID cannot be asked") from error
        if found != volume_uuid:
            self.close()
            raise Refused(f"The volume {found} was mounted, and not {volume_uuid}.", remedy="Load the right cartridge.")

    @property
    def volume_uuid(self) -> str:
        """Which volume it is."""
        return self._uuid

    def free_bytes(self) -> int:
        """Room beside a reserve for the indexes."""
        self._check()
        try:
            with self._mounted.serving():
                found = os.statvfs(self._mounted.point)
        except OSError as error:
            raise self._error(error, "The room on the volume cannot be asked") from error
        size = found.f_blocks * found.f_frsize
        return max(0, found.f_bavail * found.f_frsize - min(_RESERVE, size // 20))

    def create(self, path: str, *, length: int | None = None, replaces: bool = False) -> MountedSink:
        """Begin a file in the mount."""
        self._check()
        if self._sink is not None:
            raise Refused("One file is still being written; finish or abandon it first.")
        parts = check_path(path)
        if self.free_bytes() < max(length or 0, 1):
            raise TapeFull(
                "The cartridge is full: what is left is kept for its last indexes.", remedy=_FULL, lost=(path,)
            )
        place = os.path.join(self._mounted.point, *parts)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if replaces else os.O_EXCL)
        try:
            with self._mounted.serving():
                os.makedirs(os.path.dirname(place), exist_ok=True)
                descriptor = os.open(place, flags, 0o640)
        except FileExistsError as error:
            raise Refused(
                f"The volume has a file {path!r} already.", remedy="Give it another name, or replace it."
            ) from error
        except (NotADirectoryError, IsADirectoryError) as error:
            raise Refused(f"{path!r} cannot be made: a file and a folder would have one name.") from error
        except OSError as error:
            raise self._error(error, f"{path!r} cannot be made", path) from error
        self._sink = MountedSink(self, path, place, descriptor)
        return self._sink

    def commit(self) -> Committed:
        """Unmount, and wait for the end."""
        self._check()
        if self._sink is not None:
            raise Refused("A file is still being written; finish or abandon it first.")
        try:
            self._mounted.unmount()
            return Committed(self._uuid, self._mounted.generation, tuple(self._files))
        finally:
            self.close()

    def abandon(self) -> None:
        """End it as a crash does: ``ltfs`` is ended, and the volume needs recovery before it is written again."""
        self.close()

    def close(self) -> None:
        """As :meth:`abandon`."""
        if not self._open:
            return
        self._open = False
        try:
            if self._sink is not None:
                self._sink.let_go()
            self._mounted.close()
        finally:
            self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # Used by MountedSink.

    def _serving(self) -> contextlib.AbstractContextManager[None]:
        return self._mounted.serving()

    def _over(self, path: str, *, finished: bool) -> None:
        self._sink = None
        if finished:
            self._files.append(path)

    def _error(self, error: OSError, what: str, path: str = "") -> HardwareError:
        """The typed error for a call to the mount that failed."""
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return TapeFull(f"{what}: the cartridge is full.", remedy=_FULL, lost=(path,) if path else ())
        reason = self._mounted.failure()
        if reason is not None:
            return reason
        if error.errno == errno.EROFS:
            return WriteProtected(f"{what}: the volume is read-only.", remedy="Look at what ltfs said before.")
        if error.errno in {errno.ENOTCONN, errno.ECONNABORTED}:
            return ToolCrashed(f"{what}: ltfs is gone.", remedy="Have the volume recovered, and read back what counts.")
        if error.errno == errno.EIO:
            return Corrupted(f"{what}: {error.strerror}.", remedy="Write nothing more to it; try another cartridge.")
        return Unreachable(f"{what}: {error.strerror}.", remedy="Have the volume recovered, and try again.")

    def _check(self) -> None:
        if not self._open:
            raise Refused("The session is over.", remedy="Open another one.")


class MountedSink:
    """A :class:`~hardware.tape.session.TapeSink`: a file in the mount."""

    def __init__(self, session: MountedWriteSession, path: str, place: str, descriptor: int) -> None:
        self._session = session
        self._path = path
        self._place = place
        self._descriptor = descriptor

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        self._check()
        view = memoryview(data).cast("B")
        try:
            with self._session._serving():  # noqa: SLF001  -- one unit, in two classes
                while view:
                    view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._failed(error, "cannot be written")

    def finish(self) -> None:
        """Flush it, as ``ltfs`` tells of errors only then, and close it."""
        self._check()
        try:
            with self._session._serving():  # noqa: SLF001
                os.fsync(self._descriptor)
                descriptor, self._descriptor = self._descriptor, -1
                os.close(descriptor)
        except OSError as error:
            self._failed(error, "cannot be finished")
        self._session._over(self._path, finished=True)  # noqa: SLF001

    def abandon(self) -> None:
        """Close and remove it."""
        if self._descriptor < 0:
            return
        self.let_go()
        with contextlib.suppress(OSError), self._session._serving():  # noqa: SLF001
            os.unlink(self._place)
        self._session._over(self._path, finished=False)  # noqa: SLF001

    def let_go(self) -> None:
        """Close it as it is."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError), self._session._serving():  # noqa: SLF001
                os.close(descriptor)

    def _failed(self, error: OSError, what: str) -> NoReturn:
        found = self._session._error(error, f"{self._path!r} {what}", self._path)  # noqa: SLF001
        if isinstance(found, TapeFull):
            self.abandon()
        raise found from error

    def _check(self) -> None:
        if self._descriptor < 0:
            raise Refused(f"{self._path!r} is finished or was given up.")


def _output(lines: tuple[str, ...]) -> str:
    text = "\n".join(lines)
    return text if len(text) <= _OUTPUT else "…" + text[-_OUTPUT:]


if TYPE_CHECKING:

    def _fits(session: MountedSession, writing: MountedWriteSession) -> tuple[CartridgeSession, WriteSession]:
        return session, writing
