"""What the LTFS tools are run for: formatting, listing generations, recovering; and a mounted volume.

``ltfsck`` is run with ``-l`` or ``-f`` only. Without an option it repairs a volume by committing an index without the
blocks that no file knows, after which nothing finds them any more; so there is no act for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from hardware.errors import Busy, Corrupted, HardwareError, Unreachable
from hardware.mounts import is_mount_point
from hardware.tape.errors import NeedsRecovery, ToolCrashed, ToolHung
from hardware.tape.generation import Generation
from hardware.tape.tools.running import Running, duration, run
from hardware.tape.tools.table import (
    MOUNTED,
    NOTABLE,
    SERVING,
    Act,
    Ended,
    done,
    error_of,
    message_ids,
    read_only_error,
)

_UUID: Final = re.compile(r"LTFS15013I .*?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_GENERATION: Final = re.compile(r"LTFS(?:17236I|11031I) .*?\(?Gen = ([0-9]{1,12})")
_LISTED: Final = re.compile(r"^ {0,12}([0-9]{1,12}): [0-9]{4}-")
_UMOUNT_TIMEOUT: Final = 120.0
_GRACE: Final = 30.0
_MNT_DETACH: Final = 2
"""Of linux/fs.h."""
_CAREFUL: Final = frozenset({Generation.LTO9, Generation.LTO10})
"""Generations whose drives optimise a cartridge at its first load, for up to two hours."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds until a step is given up. ``serve`` is for one call to a mounted volume (a write, a close)."""

    format: float = 3600.0
    mount: float = 3600.0
    unmount: float = 3600.0
    list: float = 4 * 3600.0
    recover: float = 12 * 3600.0
    serve: float = 1800.0

    @classmethod
    def for_cartridge(cls, generation: Generation | None) -> Timeouts:
        """Those that suit a generation; where it is not known, the longest."""
        if generation is None or generation in _CAREFUL:
            return cls(format=10800.0, mount=10800.0)
        return cls()


@dataclass(frozen=True, slots=True)
class Listed:
    """What ``ltfsck -l`` listed and said; ``problem`` is why it could not list them."""

    generations: tuple[int, ...]
    lines: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """The LTFS tools of this machine.

    ``folder`` is where they are (empty: on PATH), ``work`` a folder for what they keep, ``mounts`` the folder below
    which volumes are mounted; ``backend`` is ``sg`` for drives and ``file`` for virtual cartridges. Without
    ``timeouts`` each step has those of the cartridge's generation.
    """

    work: str
    mounts: str
    folder: str = ""
    backend: str = "sg"
    timeouts: Timeouts | None = field(default=None)

    def missing(self) -> tuple[str, ...]:
        """Those of the tools that are not there."""
        return tuple(
            name for name in ("mkltfs", "ltfs", "ltfsck") if shutil.which(name, path=self.folder or None) is None
        )

    def lacking(self) -> Unreachable | None:
        """Why nothing can be written with them: some are not there; None where all are."""
        missing = self.missing()
        if not missing:
            return None
        return Unreachable(
            f"The LTFS tools are not installed ({', '.join(missing)}).",
            remedy="A real drive needs them: see docs/howto/tape-drive.md.",
        )

    def format(self, device: str, serial: str, *, name: str, force: bool, generation: Generation | None = None) -> str:
        """Make an empty volume; returns its UUID. Raises what the table says, ``ToolHung``, ``ToolCrashed``."""
        command = [self._program("mkltfs"), "-e", self.backend, "-d", device, "-s", serial]
        command += ["-n", name] if name else []
        command += ["-f"] if force else []
        what = f"Formatting {serial} on {device}"
        ended = run(command, what=what, timeout=self._timeouts(generation).format)
        if not done(Act.FORMAT, ended):
            raise error_of(ended, what)
        found = next((match for line in ended.lines if (match := _UUID.search(line))), None)
        if found is None:
            raise ToolCrashed(f"{what}: mkltfs does not say the volume's UUID.", remedy="Look at the cartridge anew.")
        return found[1]

    def generations(self, device: str, generation: Generation | None = None) -> Listed:
        """The generations on a volume, newest first. ``ltfsck -l`` only reads.

        On a volume with blocks that no file knows it lists nothing and says why (``problem``). Raises ``ToolHung``,
        ``ToolCrashed``, and what the table says of drives.
        """
        what = f"Listing the generations on {device}"
        command = [self._program("ltfsck"), "-e", self.backend, "-l", device]
        ended = run(command, what=what, timeout=self._timeouts(generation).list)
        found = tuple(dict.fromkeys(int(match[1]) for line in ended.lines if (match := _LISTED.match(line))))
        if done(Act.LIST, ended):
            return Listed(found, ended.lines)
        problem = error_of(ended, what)
        if not isinstance(problem, (NeedsRecovery, Corrupted)):
            raise problem
        return Listed(found, ended.lines, problem.message)

    def recover(self, device: str, generation: Generation | None = None) -> Ended:
        """Full recovery: blocks that no file knows become files in ``_ltfs_lostandfound``, none is forgotten."""
        what = f"Recovering the volume on {device}"
        command = [self._program("ltfsck"), "-e", self.backend, "-f", device]
        ended = run(command, what=what, timeout=self._timeouts(generation).recover)
        if not done(Act.RECOVER, ended):
            raise error_of(ended, what)
        return ended

    def mount(self, device: str, name: str, generation: Generation | None = None) -> Mounted:
        """Mount a volume for writing below ``mounts``. Raises what the table says, ``ToolHung``, ``ToolCrashed``."""
        return Mounted(self, device, os.path.join(self.mounts, name), self._timeouts(generation))

    def command(self, device: str, point: str) -> list[str]:
        """How ``ltfs`` is run: as a child, and with an index at the unmount only."""
        options = (
            f"tape_backend={self.backend}", f"devname={device}", "sync_type=unmount", f"work_directory={self.work}",
            "umask=077",
        )  # fmt: skip
        return [self._program("ltfs"), "-f", *(part for option in options for part in ("-o", option)), point]

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self.folder or None)
        if found is None:
            raise Unreachable(
                f"{name} of the LTFS tools is not installed{f' in {self.folder}' if self.folder else ''}.",
                remedy="Install LinearTapeFileSystem/ltfs, or name its folder in the configuration.",
            )
        return found

    def _timeouts(self, generation: Generation | None) -> Timeouts:
        return self.timeouts or Timeouts.for_cartridge(generation)


class Mounted:
    """A volume that the reference has mounted for writing, for as long as this is open."""

    def __init__(self, tools: Tools, device: str, point: str, timeouts: Timeouts) -> None:
        """Mount it. Where it is mounted read-only, it is unmounted again and the reason is raised."""
        self.point = point
        self._device = device
        self._timeouts = timeouts
        self._what = f"The volume on {device}"
        self._watchdog: ToolHung | None = None
        _make_point(tools, point)
        self._running = Running(tools.command(device, point), what=self._what)
        self._open = True
        try:
            self._wait_until_served()
        except BaseException:
            self._forget()
            raise
        problem = read_only_error(self._running.lines, self._what)
        if problem is not None:
            with contextlib.suppress(Unreachable):
                self.unmount()
            raise problem

    @property
    def notes(self) -> tuple[str, ...]:
        """What it said that somebody should know of."""
        return tuple(NOTABLE[found] for found in NOTABLE if found in message_ids(self._running.lines))

    @property
    def generation(self) -> int:
        """The generation that was mounted, or written last, by what it said; 0 where it said none."""
        found = [int(match[1]) for line in self._running.lines if (match := _GENERATION.search(line))]
        return found[-1] if found else 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Around a call to the mounted volume: one that takes too long is ended by ending ``ltfs``.

        An ``OSError`` of the call becomes the error that ``ltfs`` gave a reason for, where it has died or given one.
        """
        timer = threading.Timer(self._timeouts.serve, self._end_hung)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def failure(self) -> HardwareError | None:
        """Why a call to the volume failed, if ``ltfs`` is the reason; None where the call itself was at fault."""
        if self._watchdog is not None:
            return self._watchdog
        said = error_of(Ended("ltfs", 0, self._running.lines), self._what)
        if not isinstance(said, ToolCrashed):
            return said
        if self._running.ended:
            return error_of(self._running.wait(_GRACE), self._what)
        return None

    def unmount(self) -> Ended:
        """Unmount, and wait until ``ltfs`` has written both indexes, said so, and ended.

        Raises ``Busy`` where somebody uses the mount (it stays mounted), otherwise what the table says, ``ToolHung``,
        ``ToolCrashed``.
        """
        if not self._running.ended:
            self._umount()
        try:
            ended = self._running.wait(self._timeouts.unmount)
        finally:
            if self._running.ended:
                self._forget()
        if self._watchdog is not None:
            raise self._watchdog
        if not done(Act.UNMOUNT, ended):
            raise error_of(ended, f"{self._what}: unmounting")
        return ended

    def kill(self) -> None:
        """End it without its index, as after a crash."""
        if self._open:
            self._running.kill()
            self._forget()

    def close(self) -> None:
        """As :meth:`kill`, where it was not unmounted."""
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _wait_until_served(self) -> None:
        if not self._running.wait_for((MOUNTED, SERVING), self._timeouts.mount):
            ended = self._running.wait(_GRACE)
            raise error_of(ended, f"{self._what}: mounting")
        if not is_mount_point(self.point):
            raise ToolCrashed(
                f"{self._what}: ltfs says that it is mounted, and nothing is mounted at {self.point}.",
                remedy="Look at who else unmounts there.",
            )

    def _umount(self) -> None:
        """Begin the unmount: by ``umount`` as root, which tells whether somebody uses the mount; else by SIGTERM.

        Either returns before ``ltfs`` has written anything.
        """
        if os.geteuid() != 0:
            self._running.terminate()
            return
        command = ["umount", self.point]
        try:
            gone = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_UMOUNT_TIMEOUT,
                check=False,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
            )
        except subprocess.TimeoutExpired:
            self._end_hung()
            return
        except OSError as error:
            raise Unreachable(f"umount cannot be run: {error.strerror}.", remedy="Install mount.") from error
        if gone.returncode and is_mount_point(self.point):
            raise Busy(
                f"{self.point} cannot be unmounted: {' '.join(gone.stderr.split())[:200]}",
                remedy="Find out with fuser -m who uses it, then end the session again.",
            )

    def _end_hung(self) -> None:
        """Called by the watchdog: the call that waits for ``ltfs`` then fails with ENOTCONN."""
        # Said before it is ended: the call returns at that moment, and asks why.
        self._watchdog = self._hung(ended=True)
        if not self._running.kill():
            self._watchdog = self._hung(ended=False)

    def _hung(self, *, ended: bool) -> ToolHung:
        return ToolHung(
            f"{self._what}: ltfs did not answer for {duration(self._timeouts.serve)} and "
            f"{'was ended' if ended else 'hangs in the kernel and cannot be ended'}.",
            remedy="Look at the drive's panel and the kernel's log; then have the volume recovered.",
            ended=ended,
        )

    def _forget(self) -> None:
        """The process is at its end: nothing may stay mounted."""
        if not self._open:
            return
        self._open = False
        self._running.close()
        if is_mount_point(self.point) and not _detach(self.point):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                command = [shutil.which("fusermount3") or "fusermount", "-u", "-z", self.point]
                subprocess.run(command, capture_output=True, timeout=_UMOUNT_TIMEOUT, check=False)
        with contextlib.suppress(OSError):
            os.rmdir(self.point)


def _detach(point: str) -> bool:
    """Take a mount away that nobody serves any more, by umount2(2); whether that was done.

    Not by umount(8), which asks for root where the capability is enough, and is all that the service has.
    """
    failed: int = ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(point), _MNT_DETACH)
    return not failed


def _make_point(tools: Tools, point: str) -> None:
    """The folder to mount on, which must be empty and ours: a mount left by a crash is in the way."""
    try:
        os.makedirs(tools.work, mode=0o700, exist_ok=True)
        os.makedirs(tools.mounts, mode=0o700, exist_ok=True)
        if is_mount_point(point):
            raise NeedsRecovery(
                f"Something is mounted at {point} already, perhaps since a crash.",
                remedy=f"Unmount it (umount -l {point}), and have the volume recovered.",
            )
        os.makedirs(point, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unreachable(
            f"{point} cannot be made to mount on: {error.strerror}.", remedy="Look at the disk and its rights."
        ) from error
