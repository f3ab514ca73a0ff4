"""What Linux says of the place where a volume stands (proc(5), /proc/self/mountinfo)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "sshfs"}


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where it is mounted, and the file system's type and source."""

    point: str
    kind: str
    source: str


def mounts() -> list[Mount]:
    """All mounts of this process's name space, in the order in which they were made."""
    found = []
    for line in _MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if len(fields) > 4 and len(tail) > 1:
            found.append(Mount(_unescape(fields[4]), tail[0], _unescape(tail[1])))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly there. It touches the path's parents only, never a server that hangs."""
    wanted = os.path.join(
        os.path.realpath(os.path.dirname(path.rstrip("/")) or "/"), os.path.basename(path.rstrip("/"))
    )
    return any(mount.point == wanted for mount in mounts())


def mount_of(path: str) -> Mount | None:
    """The mount that ``path`` lies on: the one with the longest point that is above it."""
    real = os.path.realpath(path)
    above = [m for m in mounts() if real == m.point or real.startswith(m.point.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount.point), default=None)


def prefers_single_sync(path: str) -> bool:
    """Whether one syncfs(2) is as good as an fsync of each file there: on local file systems it is, and quicker."""
    mount = mount_of(path)
    return mount is not None and mount.kind not in _NETWORK and not mount.kind.startswith("fuse")
