"""What a machine has that a node could use: mounted file systems, disks that nothing is mounted from, tape libraries.

The kernel is asked, and no file system: one whose server is gone keeps nobody waiting here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hardware import blocks
from hardware.inventory import Device, Role, enumerate_devices
from hardware.mounts import Mount, mount_table, resolve
from hardware.stack import Kind, Stack, stack_of
from vault.cli.setup.answers import LibraryAnswer, slug

_SYSTEM = (
    "/boot", "/dev", "/efi", "/etc", "/proc", "/run", "/snap", "/sys", "/tmp", "/usr",  # noqa: S108 - left alone
    "/var/lib/docker", "/var/snap", "/var/tmp",  # noqa: S108
)  # fmt: skip
_SYSTEM_ITSELF = frozenset({"/", "/home", "/opt", "/root", "/var", "/var/log", "/var/lib/vault"})
_NO_STORAGE = frozenset({"squashfs", "iso9660", "udf", "vfat", "autofs", "overlay", "tmpfs", "ramfs", "9p"})


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that could be a volume: what it stands on, in words, and the failure domain that this suggests."""

    path: str
    mounted: bool
    stands_on: str
    domain: str


def places(table: Mapping[str, Mount] | None = None) -> list[Place]:
    """Every mounted file system that could be a volume, by path."""
    mounts = mount_table() if table is None else table
    return [place(point, mounts) for point in sorted(mounts) if _could_be(mounts[point])]


def place(path: str, table: Mapping[str, Mount] | None = None) -> Place:
    """What ``path`` stands on, whether something is mounted there or not."""
    mounts = mount_table() if table is None else table
    stack = stack_of(path, table=mounts)
    return Place(path, resolve(path, mounts) in mounts, _in_words(stack), _domain(stack))


def _could_be(mount: Mount) -> bool:
    point = mount.point
    if mount.read_only or mount.kind in _NO_STORAGE or point in _SYSTEM_ITSELF:
        return False
    if any(point == folder or point.startswith(f"{folder}/") for folder in _SYSTEM):
        return False
    if mount.remote:
        return True
    # The kernel's own file systems have no device; a file that is bound over another is no folder.
    return (mount.source.startswith("/dev/") or mount.kind in ("zfs", "btrfs", "bcachefs")) and os.path.isdir(point)


def _in_words(stack: Stack) -> str:
    mount = stack.mount
    if mount is None:
        return ""
    if mount.remote:
        return f"{mount.kind} {mount.source}"
    below = [layer.name for layer in stack.layers if layer.kind in (Kind.MD, Kind.ZFS, Kind.BTRFS, Kind.LVM)]
    disks = [" ".join(filter(None, (disk.name, disk.model, disk.serial))) for disk in stack.disks]
    return " · ".join([mount.kind, *below, *disks])


def _domain(stack: Stack) -> str:
    """What fails as one: the file server, the array or pool, or the disk."""
    mount = stack.mount
    if mount is not None and mount.remote:
        source = mount.source
        host = source[2:].partition("/")[0] if source.startswith("//") else source.rpartition(":")[0]
        return slug(host.rpartition("@")[2].strip("[]"))
    for layer in stack.layers:
        if layer.kind in (Kind.MD, Kind.ZFS, Kind.BTRFS):
            return slug(f"array-{layer.name}")
    marks = sorted(disk.serial or disk.wwn or disk.name for disk in stack.disks)
    return slug(f"disk-{marks[0]}") if marks else ""


def unmounted_disks(table: Mapping[str, Mount] | None = None) -> list[blocks.Block]:
    """Disks that no mounted file system stands on: new ones, perhaps."""
    mounts = mount_table() if table is None else table
    used = {disk.name for point in mounts for disk in stack_of(point, table=mounts).disks}
    return [disk for disk in blocks.whole_disks() if disk.name not in used and disk.size_bytes]


def devices() -> Collection[Device]:
    """The tape drives and libraries that are plugged in; none where that cannot be asked."""
    with contextlib.suppress(OSError, ImportError):
        import pyudev

        return enumerate_devices(pyudev.Context()).values()
    return ()


def libraries(found: Iterable[Device]) -> tuple[LibraryAnswer, ...]:
    """The tape libraries among the devices, as the configuration describes them. A drive without a changer is a library
    that somebody loads by hand; where there is a changer, the drives are taken to be in it."""
    found = list(found)
    changers = [device for device in found if device.role is Role.CHANGER]
    drives = [device for device in found if device.role is Role.TAPE_DRIVE]
    if len(changers) == 1:
        return (LibraryAnswer("autoloader"),)
    if changers:
        # Which drives are in which changer, only the changers know: they are named, and their drives found by serial.
        return tuple(
            LibraryAnswer(f"library-{number}", changer=_by_id(device))
            for number, device in enumerate(sorted(changers, key=lambda one: one.key), 1)
        )
    return tuple(
        LibraryAnswer("drive" if len(drives) == 1 else f"drive-{number}", changer="none", drives=(device.key,))
        for number, device in enumerate(sorted(drives, key=lambda one: one.key), 1)
    )


def _by_id(device: Device) -> str:
    """The stable link to a changer where udev made one; its node changes with the next boot."""
    folder = "/dev/tape/by-id"
    real = os.path.realpath(device.node)
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            link = os.path.join(folder, name)
            if os.path.realpath(link) == real:
                return link
    return device.node
