"""What a path stands on: mount, file system, volume manager, array, and at the bottom the disks.

It follows the mount table and sysfs downwards (proc(5); Documentation/ABI/stable/sysfs-block, testing/sysfs-fs-btrfs)
and asks neither a file system nor a disk: a server that is gone or a disk that sleeps does not notice. Only ZFS shows
no way down in sysfs; there the caller says what a pool consists of.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hardware import blocks
from hardware.blocks import Block
from hardware.mounts import Mount, mount_table, resolve

_DEEPEST: Final = 32
_DEVICE: Final = re.compile(r"[0-9]{1,5}:[0-9]{1,7}\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9!._-]{1,64}\Z")

PoolMembers = Callable[[str], Sequence[str]]
"""From the name of a ZFS pool to the device files or names of its members."""


class Kind(enum.StrEnum):
    """Kinds of layers, from the top to the bottom."""

    REMOTE = "remote"
    FILE_SYSTEM = "filesystem"
    ZFS = "zfs"
    BTRFS = "btrfs"
    LVM = "lvm"
    CRYPT = "crypt"
    MULTIPATH = "multipath"
    MAPPED = "mapped"
    MD = "md"
    LOOP = "loop"
    PARTITION = "partition"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing that the path stands on. ``depth`` counts from 0 at the top; ``name`` is good for this moment."""

    kind: Kind
    name: str
    detail: str
    depth: int


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that a path stands on. ``disks`` is empty for what a server answers for, and where the way down is
    not known."""

    path: str
    mount: Mount | None
    layers: tuple[Layer, ...]
    disks: tuple[Block, ...]

    @property
    def marks(self) -> frozenset[str]:
        """What tells the disks from all others on this machine: their identity, or their name where they have none. A
        ZFS pool stands for its disks, which few may ask it for."""
        pools = (f"pool {layer.name}" for layer in self.layers if layer.kind is Kind.ZFS)
        return frozenset((*(disk.key or f"device {disk.name}" for disk in self.disks), *pools))

    @property
    def arrays(self) -> frozenset[str]:
        """The arrays and pools on the way down, by the name that :mod:`hardware.arrays` gives them."""
        return frozenset(layer.name for layer in self.layers if layer.kind in (Kind.MD, Kind.ZFS, Kind.BTRFS, Kind.LVM))


def stack_of(
    path: str,
    *,
    table: Mapping[str, Mount] | None = None,
    sysfs: Path = blocks.SYS,
    pool_members: PoolMembers = lambda _pool: (),
) -> Stack:
    """What ``path`` stands on now. Raises nothing: what cannot be found is left out."""
    mounts = mount_table() if table is None else table
    return _Descent(mounts, sysfs, pool_members).stack(path)


class _Descent:
    def __init__(self, table: Mapping[str, Mount], sysfs: Path, pool_members: PoolMembers) -> None:
        self._table = table
        self._sysfs = sysfs
        self._pool_members = pool_members
        self._layers: list[Layer] = []
        self._disks: dict[str, Block] = {}
        self._seen: set[str] = set()

    def stack(self, path: str) -> Stack:
        mount = self._path(path, 0)
        distinct: dict[str, Block] = {}
        for disk in self._disks.values():  # one disk by two ways (multipath) is one
            distinct.setdefault(disk.key or f"device {disk.name}", disk)
        return Stack(path, mount, tuple(self._layers), tuple(distinct.values()))

    def _path(self, path: str, depth: int) -> Mount | None:
        place = resolve(path, self._table)
        while place not in self._table and place != "/":
            place = os.path.dirname(place)
        mount = self._table.get(place)
        if mount is None or depth > _DEEPEST:
            return mount
        if mount.remote:
            self._add(Kind.REMOTE, mount.source, mount.kind, depth)
            return mount
        self._add(Kind.FILE_SYSTEM, mount.point, mount.kind, depth)
        if mount.kind == "zfs":
            pool = mount.source.split("/", 1)[0]
            self._add(Kind.ZFS, pool, "", depth + 1)
            for member in self._pool_members(pool):
                self._member(member, depth + 2)
        elif mount.kind == "btrfs":
            self._btrfs(mount, depth + 1)
        elif name := self._by_number(mount.device):
            self._block(name, depth + 1)
        return mount

    def _btrfs(self, mount: Mount, depth: int) -> None:
        """A btrfs has a device number of its own making; sysfs lists its disks by the UUID of the file system."""
        source = self._by_file(mount.source)
        for folder in _entries(self._sysfs / "fs/btrfs"):
            members = [entry.name for entry in _entries(folder / "devices")]
            if source in members:
                self._add(Kind.BTRFS, folder.name, f"{len(members)} devices", depth)
                for member in members:
                    self._block(member, depth + 1)
                return
        if source:
            self._block(source, depth)

    def _member(self, member: str, depth: int) -> None:
        if name := self._by_file(member):
            self._block(name, depth)

    def _block(self, name: str, depth: int) -> None:
        """Add a block device and what it stands on. One that two ways lead to is added once."""
        if name in self._seen or depth > _DEEPEST or not _NAME.match(name):
            return
        self._seen.add(name)
        folder = self._sysfs / "class/block" / name
        below = [entry.name for entry in _entries(folder / "slaves")]
        if (folder / "partition").exists():
            self._add(Kind.PARTITION, name, "", depth)
            parent = folder.resolve().parent.name
            if parent != "block":
                self._block(parent, depth + 1)
        elif below:
            kind, detail = self._kind(folder, name)
            self._add(kind, detail or name, name, depth)
            for slave in below:
                self._block(slave, depth + 1)
        elif name.startswith("loop"):
            backing = _line(folder / "loop/backing_file")
            self._add(Kind.LOOP, name, backing, depth)
            if backing.startswith("/"):
                self._path(backing.removesuffix(" (deleted)"), depth + 1)
        else:
            disk = blocks.block(name, self._sysfs)
            self._add(Kind.DISK, name, " ".join(filter(None, (disk.model, disk.serial or disk.wwn))), depth)
            self._disks[name] = disk

    def _kind(self, folder: Path, name: str) -> tuple[Kind, str]:
        """The kind of a device that is made of others, and the name that people know it by."""
        if _line(folder / "md/level") or name.startswith("md"):
            return Kind.MD, name
        uuid, shown = _line(folder / "dm/uuid"), _line(folder / "dm/name")
        for prefix, kind in (("LVM-", Kind.LVM), ("CRYPT-", Kind.CRYPT), ("mpath-", Kind.MULTIPATH)):
            if uuid.startswith(prefix):
                return kind, shown
        return Kind.MAPPED, shown

    def _by_number(self, device: str) -> str:
        """The name of the block device with this number (``8:1``)."""
        if not _DEVICE.match(device):
            return ""
        try:
            return (self._sysfs / "dev/block" / device).resolve(strict=True).name
        except OSError:
            return ""

    def _by_file(self, file: str) -> str:
        """The name of a block device from its file: ``/dev/sda1``, ``/dev/mapper/vg-lv``, a link to one."""
        name = os.path.basename(file)
        if _NAME.match(name) and (self._sysfs / "class/block" / name).exists():
            return name
        for folder in _entries(self._sysfs / "class/block"):
            if folder.name.startswith("dm-") and _line(folder / "dm/name") == name:
                return folder.name
        real = os.path.basename(os.path.realpath(file)) if file.startswith("/dev/") else ""
        return real if _NAME.match(real) and (self._sysfs / "class/block" / real).exists() else ""

    def _add(self, kind: Kind, name: str, detail: str, depth: int) -> None:
        self._layers.append(Layer(kind, name, detail, depth))


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""
