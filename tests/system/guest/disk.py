"""A disk with a volatile write cache, as a server of the network block device protocol (NBD) that QEMU connects to.

A write is held in memory until the guest flushes, and only then goes to the file behind. When the connection ends
without a goodbye, as when QEMU is killed, that is the power cut: of the writes that were not flushed a random part
reaches the medium, in 4 KiB pieces and regardless of their order, and the rest is gone; sometimes all of it. So does a
disk whose cache has no battery. A piece that is written twice before a flush may leave its older state behind.

What this shows: whether all that a receipt speaks of was flushed to the medium before, and whether file system,
database and node cope with any part of the rest. What it does not: disks that lie about a flush, or tear a sector.

Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md (fixed newstyle, simple replies).
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

PIECE = 4096
READ, WRITE, BYE, FLUSH = 0, 1, 2, 3
_FUA = 1
_FLAGS = 0b1101  # flags are given; it knows FLUSH and FUA
_FIXED_NEWSTYLE_NO_ZEROES = 3
_EXPORT_NAME, _ABORT, _GO = 1, 2, 7
_ACK, _INFO, _UNSUPPORTED = 1, 3, (1 << 31) + 1
_IHAVEOPT, _OPTION_REPLY, _REQUEST, _REPLY = 0x49484156454F5054, 0x3E889045565A9, 0x25609513, 0x67446698
_EIO = 5


class VolatileDisk:
    """A disk of the size that the file ``medium`` has, served at the socket ``path`` to one guest at a time."""

    def __init__(self, medium: Path, path: Path, chance: random.Random) -> None:
        self.medium, self.path, self._chance = medium, path, chance
        self.flushes = 0
        self.cuts: list[tuple[int, int]] = []  # of each: pieces that were not flushed, and how many of them are gone
        self._cut = threading.Condition()
        self._armed: tuple[int, Callable[[], None]] | None = None
        self._pending: dict[int, bytes] = {}
        self._file = os.open(medium, os.O_RDWR)
        self._size = os.fstat(self._file).st_size
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(1)
        threading.Thread(target=self._serve, name=f"disk-{medium.stem}", daemon=True).start()

    def close(self) -> None:
        """No guest any more."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def arm(self, writes: int, pull: Callable[[], None]) -> None:
        """After so many more writes, in the midst of the last, call ``pull``, once; from the disk's own thread."""
        self._armed = (writes, pull)

    def wait_for_cut(self, number: int, seconds: float = 60) -> tuple[int, int]:
        """Wait until the power was cut for the ``number``th time; what that did, as in ``cuts``."""
        with self._cut:
            assert self._cut.wait_for(lambda: len(self.cuts) >= number, seconds), "the guest still holds the disk"
            return self.cuts[number - 1]

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._server.accept()
            except OSError:
                return
            with guest, contextlib.suppress(OSError, EOFError):
                if self._greet(guest) and self._answer(guest):
                    self._flush()
                    continue
            self._lose()

    def _greet(self, guest: socket.socket) -> bool:
        """Shake hands; False when the guest wanted nothing."""
        guest.sendall(b"NBDMAGIC" + struct.pack(">QH", _IHAVEOPT, _FIXED_NEWSTYLE_NO_ZEROES))
        _read(guest, 4)
        while True:
            _, option, length = struct.unpack(">QII", _read(guest, 16))
            _read(guest, length)
            if option == _EXPORT_NAME:
                guest.sendall(struct.pack(">QH", self._size, _FLAGS))
                return True
            if option == _GO:
                about = struct.pack(">HQH", 0, self._size, _FLAGS)
                guest.sendall(struct.pack(">QIII", _OPTION_REPLY, option, _INFO, len(about)) + about)
                guest.sendall(struct.pack(">QIII", _OPTION_REPLY, option, _ACK, 0))
                return True
            kind = _ACK if option == _ABORT else _UNSUPPORTED
            guest.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, 0))
            if option == _ABORT:
                return False

    def _answer(self, guest: socket.socket) -> bool:
        """Do what is asked until the guest says goodbye: True."""
        while True:
            magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", _read(guest, 28))
            assert magic == _REQUEST
            data, wrong = b"", 0
            if kind == READ:
                data = self._read(offset, length)
            elif kind == WRITE:
                self._write(offset, _read(guest, length), through=bool(flags & _FUA))
                self._count()
            elif kind == FLUSH:
                self._flush()
            elif kind == BYE:
                return True
            else:
                wrong = _EIO
            guest.sendall(struct.pack(">IIQ", _REPLY, wrong, handle) + data)

    def _count(self) -> None:
        if self._armed is not None:
            left, pull = self._armed
            self._armed = (left - 1, pull) if left > 1 else None
            if left == 1:
                pull()

    def _read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._file, length, offset)
        if not self._pending:
            return data
        made = bytearray(data)
        for piece in range(offset // PIECE, (offset + length - 1) // PIECE + 1):
            if (held := self._pending.get(piece)) is not None:
                start = max(offset, piece * PIECE)
                end = min(offset + length, (piece + 1) * PIECE)
                made[start - offset : end - offset] = held[start - piece * PIECE : end - piece * PIECE]
        return bytes(made)

    def _write(self, offset: int, data: bytes, *, through: bool) -> None:
        first, last = offset // PIECE, (offset + len(data) - 1) // PIECE
        # What is written of the first and the last piece only in part is completed.
        whole = self._read(first * PIECE, offset % PIECE) if offset % PIECE else b""
        whole += data
        if missing := -len(whole) % PIECE:
            whole += self._read(last * PIECE + PIECE - missing, missing)
        for number in range(first, last + 1):
            held = self._pending.get(number)
            if held is not None and self._chance.random() < 0.5:
                os.pwrite(self._file, held, number * PIECE)
            self._pending[number] = whole[(number - first) * PIECE : (number - first + 1) * PIECE]
            if through:
                os.pwrite(self._file, self._pending.pop(number), number * PIECE)

    def _flush(self) -> None:
        self.flushes += 1
        for number in sorted(self._pending):
            os.pwrite(self._file, self._pending[number], number * PIECE)
        self._pending.clear()

    def _lose(self) -> None:
        """The power is cut."""
        share = self._chance.choice((0.0, self._chance.random()))
        gone = 0
        for number, held in self._pending.items():
            if self._chance.random() < share:
                os.pwrite(self._file, held, number * PIECE)
            else:
                gone += 1
        with self._cut:
            self.cuts.append((len(self._pending), gone))
            self._pending.clear()
            self._cut.notify_all()


def _read(guest: socket.socket, length: int) -> bytes:
    """So many bytes. Raises ``EOFError`` when the connection ended before."""
    made = bytearray(length)
    view = memoryview(made)
    while view:
        count = guest.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(made)
