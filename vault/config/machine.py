"""Compare settings with the machine that they are for.

What is found here does not stop the daemon: a volume that is off-line must not keep the others from working. The
doctor and the log say it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from vault.config.problem import Problem
from vault.config.rules import lexical, nesting
from vault.config.settings import Settings, VolumeSettings

_MOUNT_TABLE = Path("/proc/self/mountinfo")
_REMOTE = frozenset({"9p", "afs", "autofs", "ceph", "cifs", "glusterfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"})


def check_machine(settings: Settings) -> list[Problem]:
    """Return what keeps volumes from being what the settings say: no folder, nothing mounted, two volumes that are
    one folder by way of links, or on one device (unless ``node.accept_shared_devices``).

    It asks the file systems of the volumes, and a network file system whose server is gone may not answer for
    minutes: call it where that can be waited for.
    """
    mounts = mount_table()
    devices: dict[int, int] = {}
    problems: list[Problem] = []
    for index, volume in enumerate(settings.volumes):
        found = _volume_problem(volume, mounts)
        if found is None:
            devices[index] = os.stat(volume.path).st_dev
        else:
            problems.append(_at(settings, index, *found))
    problems += _folders(settings, mounts)
    if not settings.node.accept_shared_devices:
        problems += _shared_devices(settings, devices)
    return sorted(problems, key=lambda problem: problem.line)


def mount_table() -> dict[Path, str]:
    """Return the file system type of every mount point, from ``/proc/self/mountinfo`` (proc(5)); nothing where
    there is no such file."""
    mounts: dict[Path, str] = {}
    try:
        table = _MOUNT_TABLE.read_bytes()
    except OSError:
        return mounts
    for line in table.splitlines():
        fields, _, rest = line.partition(b" - ")
        point = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), fields.split(b" ")[4])
        mounts[Path(os.fsdecode(point))] = os.fsdecode(rest.split(b" ")[0])
    return mounts


def _volume_problem(volume: VolumeSettings, mounts: Mapping[Path, str]) -> tuple[str, str] | None:
    try:
        mode = os.stat(volume.path).st_mode
    except FileNotFoundError:
        return "there is no such folder", "create it, mount the device there, then `vaultctl volumes init`"
    except OSError as error:
        return f"it cannot be reached ({error.strerror or error})", "look at the device, its cable and its network"
    if not stat.S_ISDIR(mode):
        return "it is no folder", "name the folder that the device is mounted at"
    if volume.mount and resolved(volume.path, mounts) not in mounts and not os.path.ismount(volume.path):
        return "nothing is mounted there", "mount the device, or write mount = false for a folder of this machine"
    return None


def _folders(settings: Settings, mounts: Mapping[Path, str]) -> Iterator[Problem]:
    places = [resolved(volume.path, mounts) for volume in settings.volumes]
    for first, second in combinations(range(len(places)), 2):
        nested = nesting(settings.volumes[first].name, places[first], places[second])
        if nested:
            yield _at(settings, second, *nested)


def _shared_devices(settings: Settings, devices: Mapping[int, int]) -> Iterator[Problem]:
    for (first, device), (second, other) in combinations(devices.items(), 2):
        if device == other:
            name = settings.volumes[first].name
            what = f'it is on the same device as volume "{name}", and one failure takes both'
            remedy = "put them on two devices (node.accept_shared_devices = true is for demonstrations only)"
            yield _at(settings, second, what, remedy)


def resolved(path: Path, mounts: Mapping[Path, str]) -> Path:
    """Return ``path`` with symbolic links followed, but only as far as a network file system, which is not asked.

    A mount point is no link, and links inside a share cannot be followed while its server is gone.
    """
    done, rest, hops = Path("/"), list(lexical(path).parts[1:]), 0
    while rest:
        step = done / rest[0]
        if mounts.get(step) in _REMOTE:
            return step.joinpath(*rest[1:])
        rest = rest[1:]
        try:
            target = None if step in mounts else os.readlink(step)
        except OSError:  # no link, or not there
            target = None
        hops += target is not None
        if target is None or hops > 40:
            done = step
        else:
            aim = lexical(done / target)
            done, rest = Path("/"), [*aim.parts[1:], *rest]
    return done


def _at(settings: Settings, index: int, what: str, remedy: str) -> Problem:
    volume = settings.volumes[index]
    key = f"volume[{volume.name}].path"
    return settings.source.problem(("volume", index, "path"), key, what, remedy, str(volume.path))
