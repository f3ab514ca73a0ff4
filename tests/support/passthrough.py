"""A folder shown through FUSE, so that a whole process can be put on a volume that is ill: nothing of it is patched.

It is shown read-only, and what befalls a call is decided by the path that it is for. One that fell silent is another
thing than an error: what waits for it waits as for an NFS server that is gone, hears of no Ctrl-C, and dies of SIGKILL
alone. ::

    with shown(folder, point) as volume:
        volume.befalls = lambda call, path: errno.EIO if path.endswith("inventory.json") else 0
        volume.silent = lambda call, path: call == "read"      # after the first such call it answers nothing more
        volume.fell_silent.wait()

The protocol is that of ``linux/fuse.h``, version 7.31.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.faults import require_mounts, unmount

_IN: Final = struct.Struct("<IIQQIIIHH")
_OUT: Final = struct.Struct("<IiQ")
_ATTR: Final = struct.Struct("<QQQQQQIIIIIIIIII")
_CALLS: Final = {1: "lookup", 3: "getattr", 14: "open", 15: "read", 17: "statfs", 27: "opendir", 28: "readdir"}
_FORGET, _INIT, _RELEASE, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 2, 26, 18, 29, 36, 42
_UNANSWERED: Final = frozenset({_FORGET, _BATCH_FORGET, _INTERRUPT})
_LARGEST: Final = 1 << 20

Fault = Callable[[str, str], int]


class Shown:
    """The folder ``real`` as it is shown. ``befalls`` is asked for the errno of each call (0: none) with its path below
    the folder; ``silent`` whether it is the last one that is answered."""

    def __init__(self, real: Path, device: int) -> None:
        self.befalls: Fault = lambda _call, _path: 0
        self.silent: Callable[[str, str], bool] = lambda _call, _path: False
        self.fell_silent = threading.Event()
        self.seen: list[tuple[str, str]] = []
        self._speaks = threading.Event()
        self._speaks.set()
        self._real = real
        self._device = device
        self._paths = {1: ""}
        self._nodes = {"": 1}
        self._listed: dict[int, list[tuple[str, int]]] = {}

    def speak(self) -> None:
        """Answer again, also what has been waiting."""
        self.silent = lambda _call, _path: False
        self._speaks.set()

    def serve(self) -> None:
        """Answer until it is unmounted."""
        with contextlib.suppress(OSError):
            while True:
                # Who waits for a request that was not fetched can still be killed.
                self._speaks.wait()
                request = os.read(self._device, _LARGEST + 4096)
                _, opcode, unique, node, *_ = _IN.unpack_from(request)
                if opcode in _UNANSWERED:
                    continue
                try:
                    answer, error = self._answer(opcode, node, request[_IN.size :]), 0
                except OSError as failed:
                    answer, error = b"", -(failed.errno or errno.EIO)
                os.write(self._device, _OUT.pack(_OUT.size + len(answer), error, unique) + answer)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode == _INIT:
            major, minor, ahead, _ = struct.unpack_from("<IIII", body)
            del major, minor
            return struct.pack("<IIIIHHIIHHII24x", 7, 31, ahead, 0, 16, 12, _LARGEST, 1, 0, 0, 0, 0)
        if opcode in (_RELEASE, _RELEASEDIR):
            return b""
        call = _CALLS.get(opcode)
        if call is None:
            raise OSError(errno.ENOSYS, "")
        path = self._paths[node]
        if call == "lookup":
            path = os.path.join(path, os.fsdecode(body[:-1]))
        self.seen.append((call, path))
        if self.silent(call, path):
            self._speaks.clear()
            self.fell_silent.set()
        error = self.befalls(call, path)
        if error:
            raise OSError(error, os.strerror(error))
        answer: bytes = getattr(self, f"_{call}")(path, body)
        return answer

    def _node(self, path: str) -> int:
        node = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[node] = path
        return node

    def _attributes(self, path: str) -> bytes:
        s = os.lstat(self._real / path)
        whole, part = divmod(s.st_mtime_ns, 10**9)
        return _ATTR.pack(
            self._node(path), s.st_size, s.st_blocks, whole, whole, whole, part, part, part, s.st_mode, s.st_nlink,
            s.st_uid, s.st_gid, 0, 4096, 0,
        )  # fmt: skip

    def _lookup(self, path: str, _body: bytes) -> bytes:
        attributes = self._attributes(path)
        # Nothing is kept: each call is asked for anew.
        return struct.pack("<QQQQII", self._node(path), 0, 0, 0, 0, 0) + attributes

    def _getattr(self, path: str, _body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self._attributes(path)

    def _open(self, path: str, _body: bytes) -> bytes:
        os.lstat(self._real / path)
        # Past the cache, and without a word at closing, for which even a process that is killed would wait.
        return struct.pack("<QII", 0, 1 | 1 << 5, 0)

    def _opendir(self, path: str, _body: bytes) -> bytes:
        entries = [(e.name, stat.S_IFMT(e.stat(follow_symlinks=False).st_mode) >> 12)
                   for e in os.scandir(self._real / path)]  # fmt: skip
        self._listed[self._node(path)] = sorted(entries)
        return struct.pack("<QII", 0, 0, 0)

    def _read(self, path: str, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        with (self._real / path).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _readdir(self, path: str, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        listed, out = self._listed[self._node(path)], b""
        for number, (name, kind) in enumerate(listed[offset:], offset + 1):
            raw = os.fsencode(name)
            entry = struct.pack("<QQII", number, number, len(raw), kind) + raw
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out

    def _statfs(self, _path: str, _body: bytes) -> bytes:
        s = os.statvfs(self._real)
        return struct.pack("<QQQQQIII28x", s.f_blocks, s.f_bfree, s.f_bavail, 0, 0, s.f_bsize, 255, s.f_frsize)


@contextlib.contextmanager
def shown(real: Path, point: Path) -> Iterator[Shown]:
    """Show the folder ``real`` at ``point`` for the block. Skips the test where that cannot be."""
    require_mounts()
    point.mkdir(exist_ok=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    if libc.mount(b"khoso-test", os.fsencode(point), b"fuse", 0b111, options.encode()) != 0:
        os.close(device)
        pytest.skip(f"FUSE cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    volume = Shown(real, device)
    thread = threading.Thread(target=volume.serve, name=f"shows {real.name}", daemon=True)
    thread.start()
    try:
        yield volume
    finally:
        volume.speak()
        unmount(point, "-l")
        # The last one that has it open ends it; then the device says so.
        thread.join(10)
        os.close(device)
