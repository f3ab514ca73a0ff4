"""A library by way of ``mtx``, each command a supervised subprocess.

Source: mtx(1), version 1.3.12. It ends with 0 or 1 and says the rest in words, on both streams; one table below makes
typed outcomes of them. What the library itself said is printed as *Request Sense*, which is read back into sense data.

An ``mtx`` that ends with 0 is not believed blindly (seen with 1.3.12): after a unit attention in the wrong place it
lists no import/export slots, and says so only on standard error; or it lists the slots without any label, and says
nothing. Where the home of a cartridge is unknown or taken, ``mtx`` shows the first free slot as its home.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from hardware.errors import Busy, HardwareError, Refused, Unreachable
from hardware.tape import changer
from hardware.tape.changer import Drive, LibraryStatus, Moved, Slot
from hardware.tape.elements import DriveElement, read_drive_elements
from hardware.tape.errors import ElementEmpty, ElementFull, HomeUnknown, InvalidElement, NotUnderstood, TimedOut
from hardware.tape.mtx_status import parse_status
from hardware.tape.patience import Patience
from hardware.tape.sense import Key, Sense, error_of
from hardware.tape.sgio import SgDevice, kept_from_us

_SHOWN: Final = 300
_LOOKS_FOR_LABELS: Final = 2
_KILL_GRACE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds until a command of ``mtx`` is given up. ``mtx`` itself waits five minutes for a move."""

    status: float = 330.0
    move: float = 660.0
    inventory: float = 1800.0


_SENSE: Final = {
    "key": re.compile(rb"Request Sense: Sense Key=([A-Za-z ]{1,40}?)\s*$", re.MULTILINE),
    "asc": re.compile(rb"Request Sense: Additional Sense Code = ([0-9A-Fa-f]{2})\b"),
    "ascq": re.compile(rb"Request Sense: Additional Sense Qualifier = ([0-9A-Fa-f]{2})\b"),
}
_KEYS: Final = {key.name.replace("_", " ").lower(): key for key in Key}

_INVENTORY: Final = "Take inventory again."
_MESSAGES: Final[tuple[tuple[re.Pattern[bytes], type[HardwareError], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, remedy)
    for pattern, kind, remedy in (
        (rb"Drive \d+ Full", ElementFull, _INVENTORY),
        (rb"(?:Element|Element Address) \d+ is Already Full", ElementFull, _INVENTORY),
        (rb"Element Address \d+ is Empty", ElementEmpty, _INVENTORY),
        (rb"Data Transfer Element \d+ is Empty", ElementEmpty, _INVENTORY),
        (rb"No Source for tape in drive|Do not know which slot to unload", HomeUnknown, "Name an empty slot."),
        (rb"(?:Invalid|illegal) <(?:storage-element|drive)-number>", InvalidElement, _INVENTORY),
        (rb"Invalid (?:source|destination)", InvalidElement, _INVENTORY),
        (rb"Device or resource busy", Busy, "Find out with fuser which program holds the changer."),
        (rb"No such (?:file or directory|device)", Unreachable, "Check cables and the name of the device (lsscsi -g)."),
        (rb"Permission denied", Refused, "Give the service the group that owns the device (often tape)."),
        (rb"Usage:", NotUnderstood, "This mtx does not know the command; install mtx 1.3.12 or newer."),
    )
)


def error_for(code: int, output: bytes, what: str) -> HardwareError:
    """The error for an ``mtx`` that ended with ``code`` other than 0; the most telling of what it printed wins."""
    sense = read_sense(output)
    # What mtx found out before it asked the library is plainer than the sense data of something it tried before.
    for pattern, kind, remedy in _MESSAGES:
        if found := pattern.search(output):
            line = output[found.start() :].split(b"\n", 1)[0]
            return kind(f"{what}: mtx says “{_shown(line)}”.", remedy=remedy)
    if sense is not None:
        return error_of(sense, what)
    if code < 0:
        return Unreachable(
            f"{what}: mtx was ended by signal {-code}.", remedy="Try again, and look at the kernel's log."
        )
    return NotUnderstood(
        f"{what}: mtx ended with {code} and said “{_shown(output)}”.", remedy="Run it by hand to see what is wrong."
    )


def read_sense(output: bytes) -> Sense | None:
    """The last sense data that ``mtx`` printed; None where it printed none."""
    found = {name: pattern.findall(output) for name, pattern in _SENSE.items()}
    if not all(found.values()):
        return None
    key = _KEYS.get(found["key"][-1].decode().lower())
    if key is None or key is Key.NO_SENSE:
        return None
    return Sense(key, int(found["asc"][-1], 16), int(found["ascq"][-1], 16))


class MtxChanger:
    """A SCSI library as a :class:`~hardware.tape.changer.Changer`."""

    def __init__(
        self,
        device: str,
        *,
        program: str = "mtx",
        timeouts: Timeouts | None = None,
        patience: Patience | None = None,
        lock: str | os.PathLike[str] | None = None,
    ) -> None:
        """Hold the library at ``device``, a ``/dev/sgN`` or a link to one.

        ``lock`` is the file that stands for owning it, which is the device itself unless told otherwise. Raises
        ``Busy``, ``Unreachable``.
        """
        self._device = device
        self._program = program
        self._timeouts = timeouts or Timeouts()
        self._patience = patience or Patience()
        self._lock = _hold(device if lock is None else os.fspath(lock), device)

    def inventory(self) -> LibraryStatus:
        """What the library shows."""
        return self._patience.keep_trying(self._look)

    def take_inventory(self) -> LibraryStatus:
        """Have the robot look into every slot and read every label, which takes minutes; then what it shows."""
        self._patience.keep_trying(lambda: self._run("inventory", timeout=self._timeouts.inventory)[0])
        return self.inventory()

    def drive_elements(self) -> tuple[DriveElement, ...]:
        """The drives with their serial numbers, for ``pair_drives``; asked by SG_IO, beside ``mtx``."""

        def ask() -> tuple[DriveElement, ...]:
            with SgDevice.open(self._device, exclusive=False) as device:
                return read_drive_elements(device)

        return self._patience.keep_trying(ask)

    def load(self, slot: int, drive: int, *, barcode: str = "") -> Moved:
        """Slot to drive."""
        return self._move("load", lambda status: (status.slot(slot), status.drive(drive)), barcode)

    def unload(self, drive: int, slot: int | None = None, *, barcode: str = "") -> Moved:
        """Drive to slot, or home."""

        def places(status: LibraryStatus) -> tuple[Drive, Slot]:
            source = status.drive(drive)
            changer.check_source(source, barcode)
            return source, changer.home_of(status, source) if slot is None else status.slot(slot)

        return self._move("unload", places, barcode)

    def transfer(self, source: int, target: int, *, barcode: str = "") -> Moved:
        """Slot to slot."""
        return self._move("transfer", lambda status: (status.slot(source), status.slot(target)), barcode)

    def close(self) -> None:
        """Let go of the library."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _look(self) -> LibraryStatus:
        status = self._status()
        for _ in range(_LOOKS_FOR_LABELS):
            if not _labels_missing(status):
                break
            status = self._status()
        return status

    def _status(self) -> LibraryStatus:
        output, errors = self._run("status", timeout=self._timeouts.status)
        # A library may refuse to send labels or its dimensions; anything else makes the list doubtful.
        if (sense := read_sense(errors)) is not None and sense.key is not Key.ILLEGAL_REQUEST:
            raise error_of(sense, f"{self._device}: status")
        return parse_status(output)

    def _move(
        self, act: str, places: Callable[[LibraryStatus], tuple[Drive | Slot, Drive | Slot]], barcode: str
    ) -> Moved:
        """Look, check, move, and look again; the first three anew at each attempt."""

        begun: list[tuple[Drive | Slot, Drive | Slot]] = []

        def attempt() -> tuple[Drive | Slot, Drive | Slot]:
            status = self._look()
            # The library may have moved it, and then have said that it is not ready.
            for source, target in begun[-1:]:
                if changer.moved(status, source.barcode, source, target):
                    return source, target
            source, target = places(status)
            changer.check_source(source, barcode)
            changer.check_target(target)
            if status.duplicates() & {source.barcode} and barcode:
                raise Refused(
                    f"Two cartridges bear the label {barcode}.", remedy="Take one out, and give it a label of its own."
                )
            # mtx names the slot first, and then the drive, whichever way a cartridge goes.
            pair = (target.number, source.number) if act == "unload" else (source.number, target.number)
            begun.append((source, target))
            self._run(act, *map(str, pair), timeout=self._timeouts.move)
            return source, target

        source, target = self._patience.keep_trying(attempt)
        return changer.check_moved(self.inventory(), source.barcode, source, target)

    def _run(self, *arguments: str, timeout: float) -> tuple[bytes, bytes]:
        """What ``mtx`` printed on standard output and on standard error, if it ended well."""
        if self._lock < 0:
            raise Refused("The library was let go of.")
        what = f"{self._device}: {' '.join(arguments)}"
        try:
            process = subprocess.Popen(
                [self._program, "-f", self._device, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable(
                f"{self._program} cannot be started: {error.strerror}.", remedy="Install the package mtx."
            ) from error
        output, errors = _end_of(process, timeout, what)
        if process.returncode:
            raise error_for(process.returncode, output + errors, what)
        return output, errors


def _labels_missing(status: LibraryStatus) -> bool:
    """Whether there are cartridges among the slots, and none has a label: so it looks when labels were not sent."""
    return any(
        full and not any(slot.barcode for slot in full)
        for full in (
            [slot for slot in status.slots if slot.full and slot.import_export is port] for port in (False, True)
        )
    ) or any(drive.full and not drive.barcode for drive in status.drives)


def _end_of(process: subprocess.Popen[bytes], timeout: float, what: str) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        pass
    except BaseException:
        _kill(process)
        raise
    ended = _kill(process)
    raise TimedOut(
        f"{what}: no answer for {timeout:.0f} s; mtx {'was ended' if ended else 'hangs in the kernel'}.",
        remedy="Look at the library's panel and the kernel's log, and take inventory before the next move.",
    )


def _kill(process: subprocess.Popen[bytes]) -> bool:
    """End a process and what it started; False where it waits in the kernel and cannot be ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_KILL_GRACE)
    except subprocess.TimeoutExpired:
        return False
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return True


def _hold(path: str, device: str) -> int:
    """Open a file and lock it for us alone. Not O_EXCL: ``mtx`` must open the device beside us."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreachable(
            f"{path} cannot be opened: {error.strerror}.",
            remedy=kept_from_us(path, error) or "Check cables, its name (lsscsi -g), owner and mode.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Busy(
            f"The library {device} has another owner.", remedy="Only one daemon may run it: stop the other one."
        ) from error
    return descriptor


def _shown(text: bytes) -> str:
    flat = " ".join(text.decode("utf-8", errors="replace").split())
    return flat if len(flat) <= _SHOWN else flat[:_SHOWN] + "…"
