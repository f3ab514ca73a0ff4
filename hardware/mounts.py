"""What is mounted where, as the kernel tells it (proc(5), ``/proc/self/mountinfo``).

Nothing here asks a file system: one whose server is gone would not answer for minutes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_REMOTE = frozenset({"9p", "afs", "autofs", "ceph", "cifs", "glusterfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"})
_ESCAPE = re.compile(rb"\\([0-7]{3})")
_MOST_LINKS = 40  # as path_resolution(7)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: where it is, the type of the file system (``ext4``, ``nfs4``, ``fuse.sshfs``) and its source.

    ``device`` is the number of its device (``8:1``), where it has one of its own; ``root`` the folder of it
    that is mounted there; ``read_only`` holds for this mount or the whole file system.
    """

    point: str
    kind: str
    source: str
    device: str = ""
    root: str = "/"
    read_only: bool = False

    @property
    def remote(self) -> bool:
        """Whether a server answers for it, which may be gone; programs in user space count as servers."""
        return self.kind in _REMOTE or self.kind == "fuse" or self.kind.startswith("fuse.")


_SERVER = re.compile(r"(?://|\\\\)?\[?([^/\\\]@]+@)?\[?(?P<host>[0-9A-Za-z._-]+|[0-9A-Fa-f:]+)\]?(?::/|/|\\|:$)")


def server_of(mount: Mount) -> str:
    """The file server that a remote mount comes from, in lower case: ``nas`` of ``nas:/volume1`` (nfs) and of
    ``//nas/share`` (cifs); "" where it is none, or its source does not name one."""
    match = _SERVER.match(mount.source) if mount.remote else None
    return match["host"].lower() if match else ""


def parse_mountinfo(data: bytes) -> dict[str, Mount]:
    """The mounts by mount point. Of several at one point the one on top, which is listed last, counts.

    Lines that do not have the form of proc(5) are left out.
    """
    table: dict[str, Mount] = {}
    for line in data.splitlines():
        before, _, after = line.partition(b" - ")
        fields, tail = before.split(b" "), after.split(b" ")
        if len(fields) > 4 and len(tail) > 1:
            point = _decoded(fields[4])
            # Taken out first, so that the order stays the one in which they were mounted.
            table.pop(point, None)
            options = {*b",".join(fields[5:6]).split(b","), *(tail[2].split(b",") if len(tail) > 2 else ())}
            table[point] = Mount(
                point, _decoded(tail[0]), _decoded(tail[1]), _decoded(fields[2]), _decoded(fields[3]), b"ro" in options
            )
    return table


def mount_table() -> dict[str, Mount]:
    """The mounts that this process sees, as :func:`parse_mountinfo` returns them; nothing where there is no /proc."""
    try:
        return parse_mountinfo(_MOUNTINFO.read_bytes())
    except FileNotFoundError:
        return {}


def resolve(path: str, table: Mapping[str, Mount]) -> str:
    """``path``, absolute and with symbolic links followed, but only as far as a remote file system, which is not asked.

    A mount point is no link, and links inside a share cannot be followed while its server is gone.
    """
    done, rest, hops = "/", _names(os.path.abspath(path)), 0
    while rest:
        step = os.path.join(done, rest[0])
        mount = table.get(step)
        if mount is not None and mount.remote:
            return os.path.join(step, *rest[1:])
        rest = rest[1:]
        try:
            target = None if mount is not None else os.readlink(step)
        except OSError:  # no link, or not there
            target = None
        hops += target is not None
        if target is None or hops > _MOST_LINKS:
            done = step
        else:
            done, rest = "/", [*_names(os.path.normpath(os.path.join(done, target))), *rest]
    return done


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly there. The file system that is mounted there is not asked."""
    table = mount_table()
    return resolve(path, table) in table if table else os.path.ismount(path)


def mount_of(path: str) -> Mount | None:
    """The mount that ``path`` lies on: the one whose point is nearest above it."""
    table = mount_table()
    place = resolve(path, table)
    while place not in table and place != "/":
        place = os.path.dirname(place)
    return table.get(place)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _decoded(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))
