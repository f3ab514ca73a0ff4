"""SCSI commands to a device, by the SG_IO ioctl on its ``/dev/sgN`` node. No root, if the node may be read and written.

Source: the kernel's ``include/scsi/sg.h`` (``sg_io_hdr_t``), SAM-5 (status codes).

The node is opened ``O_RDWR|O_EXCL|O_NONBLOCK``: with O_EXCL the kernel lets nobody else open the same sg node, and
without O_NONBLOCK it would make us wait for as long as another one has it. O_EXCL says nothing to who opens ``st`` or
``nst``: only a udev rule keeps those away. A lock (flock) on the node is taken as well, which other programs of ours
see even where O_EXCL is not enforced.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import fcntl
import os
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from hardware.errors import Busy, HardwareError, NotFound, Refused, Unreachable
from hardware.tape.errors import DriveVanished, NotUnderstood, TimedOut
from hardware.tape.pages import Inquiry, parse_inquiry, parse_log_page, parse_serial
from hardware.tape.sense import Key, Sense, error_of, harmless, parse_sense, reservation_conflict

SG_IO: Final = 0x2285
CLASS: Final = "/sys/class/scsi_generic"
"""Where the kernel lists its sg nodes."""
MAX_TRANSFER: Final = 524288
"""Bytes in one command: what the adapters of the reference trials took; 4 KiB more gave EBUSY."""
_SENSE_BYTES: Final = 96
_GOOD, _CHECK_CONDITION, _BUSY, _CONFLICT, _TASK_SET_FULL = 0x00, 0x02, 0x08, 0x18, 0x28
_CONDITION_MET: Final = 0x04
_HOST_TIMEOUT: Final = 0x03
_DRIVER_TIMEOUT: Final = 0x06
_DRIVER_SENSE: Final = 0x08
_ATTENTIONS: Final = 8
_LONGEST_LOG: Final = 65532


class Direction(enum.IntEnum):
    """Which way data go; the values are the kernel's."""

    NONE = -1
    TO_DEVICE = -2
    FROM_DEVICE = -3


class _Header(ctypes.Structure):
    """``sg_io_hdr_t``: 88 bytes on a 64-bit machine."""

    _fields_ = (
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: data that the device sent, the SCSI status, and sense data where there were any."""

    data: bytes
    status: int
    sense: Sense | None

    @property
    def good(self) -> bool:
        """Whether the command was done, and nothing needs to be known about it."""
        return self.status in {_GOOD, _CONDITION_MET} and (self.sense is None or self.sense.key is Key.RECOVERED_ERROR)


class SgDevice:
    """A device held by one owner. Not for several threads at once."""

    def __init__(self, node: str, descriptor: int) -> None:
        self.node = node
        self._descriptor = descriptor
        self._buffer = ctypes.create_string_buffer(MAX_TRANSFER)

    @classmethod
    def open(cls, node: str, *, exclusive: bool = True) -> SgDevice:
        """Hold the device at ``node``. Raises ``Busy``, ``NotFound``, ``Refused`` (rights), ``Unreachable``.

        Not ``exclusive`` is for a changer only, and for who holds it already (``mtx`` has to open it, too).
        """
        try:
            descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0))
        except OSError as error:
            raise _open_error(node, error) from error
        try:
            if exclusive:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise _open_error(node, error) from error
        return cls(node, descriptor)

    def execute(
        self,
        cdb: bytes,
        direction: Direction = Direction.NONE,
        *,
        length: int = 0,
        data: bytes = b"",
        timeout: float = 60.0,
    ) -> Reply:
        """Send a command. ``length`` is how much to receive, ``data`` what to send, ``timeout`` in seconds.

        Returns whatever the device answers, good or not. Raises ``Unreachable`` where it does not (``TimedOut``,
        ``Busy``), ``Refused`` for what cannot be sent.
        """
        size = len(data) if direction is Direction.TO_DEVICE else length
        if not 6 <= len(cdb) <= 16 or not 0 <= size <= MAX_TRANSFER or (size == 0) is not (direction is Direction.NONE):
            raise Refused(f"A command of {len(cdb)} bytes with {size} bytes of data cannot be sent to {self.node}.")
        if self._descriptor < 0:
            raise Unreachable(f"{self.node} was let go of.", remedy="Open it again.")
        command = ctypes.create_string_buffer(cdb, len(cdb))
        sense = ctypes.create_string_buffer(_SENSE_BYTES)
        if direction is Direction.TO_DEVICE:
            ctypes.memmove(self._buffer, data, size)
        header = _Header(
            interface_id=ord("S"),
            dxfer_direction=int(direction),
            cmd_len=len(cdb),
            mx_sb_len=_SENSE_BYTES,
            dxfer_len=size,
            dxferp=ctypes.addressof(self._buffer) if size else None,
            cmdp=ctypes.addressof(command),
            sbp=ctypes.addressof(sense),
            timeout=max(1, int(timeout * 1000)),
        )
        try:
            fcntl.ioctl(self._descriptor, SG_IO, header)
        except OSError as error:
            self._ioctl_failed(error, cdb)
        return self._reply(header, sense.raw[: header.sb_len_wr], direction, size, timeout)

    def command(
        self,
        cdb: bytes,
        direction: Direction = Direction.NONE,
        *,
        length: int = 0,
        data: bytes = b"",
        timeout: float = 60.0,
    ) -> bytes:
        """Send a command and return its data; an error is raised where it is not good.

        Raises what :meth:`error` says, besides what :meth:`execute` raises.
        """
        reply = self.settled(cdb, direction, length=length, data=data, timeout=timeout)
        if reply.good:
            return reply.data
        raise self.error(reply)

    def settled(
        self,
        cdb: bytes,
        direction: Direction = Direction.NONE,
        *,
        length: int = 0,
        data: bytes = b"",
        timeout: float = 60.0,
    ) -> Reply:
        """As :meth:`execute`, but unit attentions that say nothing about medium or position are passed over."""
        reply = self.execute(cdb, direction, length=length, data=data, timeout=timeout)
        for _ in range(_ATTENTIONS):
            if reply.sense is None or not harmless(reply.sense):
                break
            reply = self.execute(cdb, direction, length=length, data=data, timeout=timeout)
        return reply

    def error(self, reply: Reply) -> HardwareError:
        """The error for a reply that is not good."""
        if reply.status == _CONFLICT:
            return reservation_conflict(self.node)
        if reply.status in {_BUSY, _TASK_SET_FULL}:
            return Busy(f"{self.node}: the device is busy with others.", remedy="Find out which program uses it.")
        if reply.sense is None:
            return NotUnderstood(f"{self.node}: status {reply.status:02X}h without a reason.")
        return error_of(reply.sense, self.node)

    # Commands that every device knows.

    def inquiry(self) -> Inquiry:
        """What it is."""
        return parse_inquiry(self.command(bytes((0x12, 0, 0, 0, 96, 0)), Direction.FROM_DEVICE, length=96))

    def serial(self) -> str:
        """Its serial number (VPD page 80h)."""
        return parse_serial(self.command(bytes((0x12, 1, 0x80, 0, 252, 0)), Direction.FROM_DEVICE, length=252))

    def test_unit_ready(self) -> Sense | None:
        """None when it is ready; otherwise why not. Raises ``Unreachable`` where it does not answer in time."""
        reply = self.execute(bytes(6))
        if reply.good:
            return None
        if reply.sense is None:
            raise self.error(reply)
        return reply.sense

    def log_page(self, page: int, *, cumulative: bool = True) -> bytes:
        """A log page with its header. Reading page 2Eh clears it. Raises ``Unsupported`` where there is none."""
        cdb = bytes((0x4D, 0, (0x40 if cumulative else 0) | page, 0, 0, 0, 0, *_LONGEST_LOG.to_bytes(2, "big"), 0))
        data = self.command(cdb, Direction.FROM_DEVICE, length=_LONGEST_LOG)
        parse_log_page(data, page)
        return data

    def close(self) -> None:
        """Let go of the device."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # How it is done.

    def _reply(self, header: _Header, sense: bytes, direction: Direction, size: int, timeout: float) -> Reply:
        host, driver = header.host_status, header.driver_status & 0x0F
        if host == _HOST_TIMEOUT or driver == _DRIVER_TIMEOUT:
            raise TimedOut(
                f"{self.node} did not answer within {timeout:.0f} s.", remedy="Look at its panel, cables and adapter."
            )
        if host or driver & ~_DRIVER_SENSE:
            raise Unreachable(
                f"{self.node} cannot be reached (host status {host:02X}h, driver status {driver:02X}h).",
                remedy="Check power, cables and adapter, and the kernel's log.",
            )
        received = max(0, size - max(0, header.resid)) if direction is Direction.FROM_DEVICE else 0
        parsed = parse_sense(sense) if header.status == _CHECK_CONDITION or sense else None
        return Reply(ctypes.string_at(self._buffer, received) if received else b"", header.status, parsed)

    def _ioctl_failed(self, error: OSError, cdb: bytes) -> NoReturn:
        what = f"{self.node} does not take command {cdb[0]:02X}h: {error.strerror}"
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise Refused(f"{what}.", remedy="The service needs to read and write the node.") from error
        if error.errno in {errno.EBUSY, errno.ENOMEM}:
            raise Unreachable(
                f"{what}.", remedy="Too large a transfer for the adapter, or too little memory."
            ) from error
        if error.errno in {errno.ENODEV, errno.ENXIO}:
            raise DriveVanished(f"{what}.", remedy="Check its power and cables (lsscsi -g).") from error
        raise Unreachable(f"{what}.", remedy="Check power and cables; the device may be gone.") from error


def _open_error(node: str, error: OSError) -> HardwareError:
    if error.errno in {errno.EBUSY, errno.EAGAIN}:
        return Busy(f"{node} is held by another program.", remedy=f"Find out which: fuser -v {node}")
    if remedy := kept_from_us(node, error):
        return Refused(f"{node} may not be opened by this service.", remedy=remedy)
    if error.errno in {errno.ENOENT, errno.ENXIO, errno.ENODEV}:
        return NotFound(f"There is no device at {node}.", remedy="Check power and cables (lsscsi -g).")
    return Unreachable(f"{node} cannot be opened: {error.strerror}.", remedy="Check power and cables.")


def kept_from_us(node: str, error: OSError) -> str:
    """The remedy where a node was not opened because it is kept from this process; "" where that is not the reason.

    A service that systemd gives a /dev of its own does not even see a node that the kernel has.
    """
    if error.errno == errno.ENOENT and not os.path.exists(os.path.join(CLASS, os.path.basename(node))):
        return ""
    if error.errno not in {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS}:
        return ""
    return (
        "Put the drop-in vaultd-tape.conf and the udev rule in their places (docs/howto/tape-drive.md), then restart "
        "the service; the node must belong to the group tape."
    )
