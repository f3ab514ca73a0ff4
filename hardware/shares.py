"""Asks a mounted file system how it is, from a child that may hang without harm.

``statvfs`` on a share whose server is gone does not return, and the process that called it cannot even be killed. So a
child asks; what does not answer in time is told as such, the child is left behind, and no other is sent to the same
place while it hangs there. statvfs(3), nfs(5).
"""

from __future__ import annotations

import contextlib
import enum
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hardware.mounts import Mount, mount_of

PATIENCE: Final = 10.0
SLOW: Final = 2.0
"""Seconds for one question about a folder: a share that takes longer is in trouble, though it answers."""

_KILL_PATIENCE: Final = 1.0
_MOST: Final = 4096
_ASK: Final = (
    "import json, os, sys, time\n"
    "began = time.monotonic()\n"
    "try:\n"
    "    s = os.statvfs(sys.argv[1])\n"
    "    os.stat(sys.argv[1])\n"
    "    print(json.dumps({'size': s.f_blocks * s.f_frsize, 'free': s.f_bavail * s.f_frsize, 'files': s.f_files,"
    " 'free_files': s.f_favail, 'read_only': int(bool(s.f_flag & os.ST_RDONLY)),"
    " 'took_us': int((time.monotonic() - began) * 1e6)}))\n"
    "except OSError as error:\n"
    "    print(json.dumps({'errno': error.errno}))\n"
)
_ESTALE: Final = 116


class ShareState(enum.StrEnum):
    """How a mounted file system is. ``STALE``: the server no longer knows what was mounted (exported anew, or another
    one stands there). ``HUNG``: it does not answer. ``WRONG_EXPORT``: it is not the one that belongs there, which only
    somebody can say who knows what does."""

    WELL = "well"
    SLOW = "slow"
    READ_ONLY = "read-only"
    STALE = "stale"
    HUNG = "hung"
    WRONG_EXPORT = "wrong-export"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Share:
    """What a file system told of itself. Sizes in bytes, files (inodes) as numbers, ``took`` in seconds; None is "not
    known", as the number of files is on file systems that make them as they need them. ``expected`` is the source that
    belongs there, where another is mounted."""

    path: str
    mount: Mount | None
    state: ShareState
    size: int | None = None
    free: int | None = None
    files: int | None = None
    free_files: int | None = None
    took: float | None = None
    expected: str = ""


class Prober:
    """Asks file systems, and remembers which of its children hang where. May be used from any thread."""

    def __init__(
        self, patience: float = PATIENCE, ask: Sequence[str] = (sys.executable, "-I", "-S", "-c", _ASK)
    ) -> None:
        self._patience = patience
        self._ask = tuple(ask)
        self._hanging: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def probe(self, path: str) -> Share:
        """How the file system at ``path`` is, within the patience and a second."""
        mount = mount_of(path)
        with self._lock:
            before = self._hanging.get(path)
            if before is not None:
                if before.poll() is None:
                    return Share(path, mount, ShareState.HUNG)
                del self._hanging[path]
        began = time.monotonic()
        child = subprocess.Popen(
            [*self._ask, path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        try:
            output, _ = child.communicate(timeout=self._patience)
        except subprocess.TimeoutExpired:
            self._leave(path, child)
            return Share(path, mount, ShareState.HUNG, took=time.monotonic() - began)
        return _share(path, mount, output[:_MOST])

    def _leave(self, path: str, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        try:
            child.wait(_KILL_PATIENCE)
        except subprocess.TimeoutExpired:
            with self._lock:
                self._hanging[path] = child
        if child.stdout is not None:
            with contextlib.suppress(OSError):
                child.stdout.close()


def _share(path: str, mount: Mount | None, output: bytes) -> Share:
    told = _numbers(output)
    if "errno" in told:
        stale = told["errno"] == _ESTALE
        return Share(path, mount, ShareState.STALE if stale else ShareState.UNREACHABLE)
    if "size" not in told:
        return Share(path, mount, ShareState.UNKNOWN)
    took = told.get("took_us", 0) / 1e6
    if told.get("read_only") or (mount is not None and mount.read_only):
        state = ShareState.READ_ONLY
    else:
        state = ShareState.SLOW if took > SLOW else ShareState.WELL
    return Share(path, mount, state, told["size"], told.get("free"), told.get("files") or None,
                 told.get("free_files") if told.get("files") else None, took)  # fmt: skip


def _numbers(output: bytes) -> dict[str, int]:
    """The whole numbers that a child printed as a JSON object; nothing for anything else."""
    try:
        found: object = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, int) and v >= 0} if isinstance(found, dict) else {}
