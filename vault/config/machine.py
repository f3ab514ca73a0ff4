"""Compare settings with the machine that they are for.

What is found here does not stop the daemon: a volume that is off-line must not keep the others from working. The
doctor and the log say it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Final

from hardware.mounts import Mount, mount_table, resolve
from hardware.stack import stack_of
from vault.config.problem import Problem
from vault.config.rules import nesting
from vault.config.settings import Settings, VolumeSettings

ROOM: Final = 10**9
"""So many bytes should be free where the catalogue is."""

_SQLITE: Final = "sqlite:///"


def check_machine(settings: Settings) -> list[Problem]:
    """Return what keeps volumes from being what the settings say: no folder, nothing mounted, two volumes that are
    one folder by way of links, or on one device (unless ``node.accept_shared_devices``).

    It asks the file systems of the volumes, and a network file system whose server is gone may not answer for
    minutes: call it where that can be waited for.
    """
    mounts = mount_table()
    devices: dict[int, tuple[int, frozenset[str]]] = {}
    problems: list[Problem] = []
    for index, volume in enumerate(settings.volumes):
        found = _volume_problem(volume, mounts)
        if found is None:
            devices[index] = os.stat(volume.path).st_dev, stack_of(str(volume.path), table=mounts).marks
        else:
            problems.append(_at(settings, index, *found))
    problems += _folders(settings, mounts)
    if not settings.node.accept_shared_devices:
        problems += _shared_devices(settings, devices)
    return sorted(problems, key=lambda problem: problem.line)


def check_state(settings: Settings, mounts: Mapping[str, Mount] | None = None) -> list[Problem]:
    """Return what keeps the state folder from holding a catalogue safely: a file system of another machine, or too
    little room. No file system of another machine is asked."""
    table = mount_table() if mounts is None else mounts
    state, source = settings.node.state, settings.source
    url = settings.catalog.url
    database = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
    path, key = (("node", "state"), "node.state") if database is None else (("catalog", "url"), "catalog.url")
    place = state if database is None else database.parent
    if database is not None and database.is_relative_to(state):
        path, key = ("node", "state"), "node.state"
    stack = stack_of(str(place), table=table)
    mount = stack.mount
    if mount is not None and mount.remote and database is not None:
        what = f"the catalogue would stand on a file system of another machine ({mount.kind} {mount.source})"
        remedy = (
            "move it to a disk of this machine: SQLite's locks and its log do not hold there, and an outage stops all"
        )
        return [source.problem(path, key, what, remedy, str(place))]
    if (mount is not None and mount.remote) or not place.exists():
        return []
    free = shutil.disk_usage(place).free
    if free < ROOM:
        what = f"there is no room for the catalogue: {free // 10**6} MB are free, and it needs {ROOM // 10**6} MB"
        return [source.problem(path, key, what, "make room on that file system", str(place))]
    return []


def _volume_problem(volume: VolumeSettings, mounts: Mapping[str, Mount]) -> tuple[str, str] | None:
    try:
        mode = os.stat(volume.path).st_mode
    except FileNotFoundError:
        return "there is no such folder", "create it, mount the device there, then `vaultctl volumes init`"
    except OSError as error:
        return f"it cannot be reached ({error.strerror or error})", "look at the device, its cable and its network"
    if not stat.S_ISDIR(mode):
        return "it is no folder", "name the folder that the device is mounted at"
    if volume.mount and resolve(str(volume.path), mounts) not in mounts and not os.path.ismount(volume.path):
        return "nothing is mounted there", "mount the device, or write mount = false for a folder of this machine"
    return None


def _folders(settings: Settings, mounts: Mapping[str, Mount]) -> Iterator[Problem]:
    places = [Path(resolve(str(volume.path), mounts)) for volume in settings.volumes]
    for first, second in combinations(range(len(places)), 2):
        nested = nesting(settings.volumes[first].name, places[first], places[second])
        if nested:
            yield _at(settings, second, *nested)


def _shared_devices(settings: Settings, devices: Mapping[int, tuple[int, frozenset[str]]]) -> Iterator[Problem]:
    for (first, device), (second, other) in combinations(devices.items(), 2):
        common = ", ".join(sorted(device[1] & other[1]))
        if device[0] == other[0] or common:
            name = settings.volumes[first].name
            disks = f" (disk {common})" if common else ""
            what = f'it is on the same device as volume "{name}"{disks}, and one failure takes both'
            remedy = "put them on two devices (node.accept_shared_devices = true is for demonstrations only)"
            yield _at(settings, second, what, remedy)


def _at(settings: Settings, index: int, what: str, remedy: str) -> Problem:
    volume = settings.volumes[index]
    key = f"volume[{volume.name}].path"
    return settings.source.problem(("volume", index, "path"), key, what, remedy, str(volume.path))
