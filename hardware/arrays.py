"""The state of software arrays as the kernel tells it: md, btrfs, ZFS, LVM. Nothing is asked of a disk or of a program.

Sources: Documentation/admin-guide/md.rst (``/sys/block/mdX/md``), Documentation/ABI/testing/sysfs-fs-btrfs, and
OpenZFS' ``/proc/spl/kstat/zfs/POOL/state``. Of LVM the kernel shows everybody only that there is an array; how it is,
and when pools were last scrubbed, is told to root alone (:mod:`hardware.array_tools`) and joined by :func:`combined`.
What is not there, or not in form, is not known, which is never well.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from hardware import blocks

PROC: Final = Path("/proc")
_MD: Final = re.compile(r"md(?:[0-9]+|_[\w.-]+)\Z")
_UUID: Final = re.compile(r"[0-9a-f-]{36}\Z")
_POOL: Final = re.compile(r"[A-Za-z][\w.:-]{0,255}\Z")
_PROGRESS: Final = re.compile(r"([0-9]{1,18}) / ([0-9]{1,18})")
_PROFILE: Final = re.compile(r"(?:single|dup|raid[0-9]{1,2}(?:c[34])?)\Z")
_LEG: Final = re.compile(r"_[rm]image_[0-9]{1,3}\Z")
_OUTLIVES: Final = (("raid0", 0), ("linear", 0), ("raid4", 1), ("raid5", 1), ("raid6", 2))
_UNCHECKED: Final = frozenset({"linear", "raid0", "raid0_meta", "multipath", "faulty", "mirror"})
_MOST: Final = 1024


class ArrayState(enum.StrEnum):
    """How an array is. ``REBUILDING``: redundancy is being made anew, and is not there yet."""

    WELL = "well"
    CHECKING = "checking"
    REBUILDING = "rebuilding"
    DEGRADED = "degraded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Array:
    """One array. ``name`` is what :class:`hardware.stack.Stack` calls it; None is "not known".

    ``missing`` are members that it lacks, ``mismatches`` places where the last check of md or LVM found copies to
    differ, ``errors`` what btrfs or ZFS counted on its devices, ``done`` the part of a rebuild or check that is done
    (0 to 1). ``checks_known`` says whether its checks (scrubs) are told of: then ``checked_at`` is when the last whole
    one ended, and None that there was none. ``members`` are the device files of a pool's disks.

    ``check_from`` and ``last_action`` are md's: the sector at which a check begins, and what it last did. The kernel
    sets the sector to where a check was broken off, and to 0 when one reached the end (md_do_sync; md.rst, sync_min).
    ``member_bytes`` is what a check reads of each member, also md's; ``uuid`` who it is, where it is assembled under
    another name.
    """

    name: str
    kind: str
    level: str
    state: ArrayState
    missing: int | None = None
    mismatches: int | None = None
    errors: int | None = None
    done: float | None = None
    checked_at: datetime | None = None
    checks_known: bool = False
    members: tuple[str, ...] = ()
    check_from: int | None = None
    last_action: str = ""
    member_bytes: int | None = None
    uuid: str = ""

    @property
    def can_be_checked(self) -> bool:
        """Whether its members can be compared at all: not so in levels without redundancy, nor in dm's old mirror."""
        return self.kind not in ("md", "lvm") or self.level not in _UNCHECKED


def arrays(sysfs: Path = blocks.SYS, proc: Path = PROC) -> list[Array]:
    """Every array of this machine. Raises nothing."""
    return [*_md(sysfs), *_btrfs(sysfs), *_zfs(proc), *_lvm(sysfs)]


_GRAVITY: Final = (
    ArrayState.UNKNOWN, ArrayState.WELL, ArrayState.CHECKING, ArrayState.REBUILDING, ArrayState.DEGRADED,
    ArrayState.FAILED,
)  # fmt: skip


def combined(seen: Iterable[Array], told: Iterable[Array]) -> list[Array]:
    """What the kernel shows to everybody, with what root's tools told of the same arrays a while ago: of two states the
    worse holds, and any before none. An array that is only told of is no longer there."""
    known = {(array.kind, array.name): array for array in told}
    return [_joined(array, known.get((array.kind, array.name))) for array in seen]


def _joined(seen: Array, told: Array | None) -> Array:
    if told is None:
        return seen
    return replace(
        seen,
        level=seen.level or told.level,
        state=max(seen.state, told.state, key=_GRAVITY.index),
        missing=told.missing if seen.missing is None else seen.missing,
        mismatches=told.mismatches if seen.mismatches is None else seen.mismatches,
        errors=told.errors if seen.errors is None else seen.errors,
        done=told.done if seen.done is None else seen.done,
        checked_at=told.checked_at,
        checks_known=told.checks_known,
        members=told.members,
    )


def _md(sysfs: Path) -> Iterator[Array]:
    for folder in _entries(sysfs / "class/block"):
        if _MD.match(folder.name) and (folder / "md").is_dir():
            found = md_array(folder.name, folder / "md")
            if found is not None:
                yield found


def _is_container(folder: Path) -> bool:
    """Whether an md device only holds the metadata (IMSM, DDF) of arrays that are devices of their own: it has no data,
    and is inactive for as long as it is there. ``external:/md127/0`` is of an array, ``external:imsm`` of a container
    (a ``-`` for the slash: while its metadata is not changed)."""
    metadata = _line(folder / "metadata_version")
    return _line(folder / "level") == "container" or re.match(r"external:[^/-]", metadata) is not None


def outlives(level: str, lost: int) -> bool:
    """Whether an array of this level still has all its data without so many members, as far as the number alone says
    (md(4)): of mirrors and raid10 it depends on which, and how many there are."""
    most = next((most for prefix, most in _OUTLIVES if level.startswith(prefix)), None)
    return most is None or lost <= most


def md_array(name: str, folder: Path) -> Array | None:
    """The md array whose attributes are in ``folder``; None for a container, which is none."""
    if _is_container(folder):
        return None
    level, running = _line(folder / "level"), _line(folder / "array_state")
    missing, members = _number(folder / "degraded"), _number(folder / "raid_disks")
    faulty = sum("faulty" in _line(entry / "state") for entry in _entries(folder) if entry.name.startswith("dev-"))
    action = _line(folder / "sync_action")
    progress = _PROGRESS.match(_line(folder / "sync_completed"))
    done = int(progress[1]) / int(progress[2]) if progress and int(progress[2]) else None
    too_many = missing is not None and (0 < (members or 0) <= missing or not outlives(level, missing))
    if running in ("broken", "inactive") or too_many:
        state = ArrayState.FAILED
    elif running in ("", "clear"):
        state = ArrayState.UNKNOWN
    elif missing:
        state = ArrayState.REBUILDING if action in ("recover", "resync") else ArrayState.DEGRADED
    elif missing is None and faulty:  # levels without redundancy lose data with any member
        state = ArrayState.FAILED
    elif action in ("resync", "recover", "reshape"):
        state = ArrayState.REBUILDING
    elif action in ("check", "repair"):
        state = ArrayState.CHECKING
    else:
        state = ArrayState.WELL
    # After the action, for it is final once there is none.
    check_from, last = _number(folder / "sync_min"), _line(folder / "last_sync_action")
    kilobytes = _number(folder / "component_size")
    return Array(
        name, "md", level, state, missing, _number(folder / "mismatch_cnt"), None, done,
        check_from=check_from, last_action=last, member_bytes=None if kilobytes is None else kilobytes * 1024,
        uuid=_line(folder / "uuid")[:64],
    )  # fmt: skip


def _btrfs(sysfs: Path) -> Iterator[Array]:
    for folder in _entries(sysfs / "fs/btrfs"):
        devices = list(_entries(folder / "devinfo"))
        if not _UUID.match(folder.name) or not devices:
            continue
        flags = [_number(device / "missing") for device in devices]
        known = [flag for flag in flags if flag is not None]
        missing = sum(known) if len(known) == len(flags) else None
        counts = [_sum(device / "error_stats") for device in devices]
        errors = sum(count for count in counts if count is not None) if any(c is not None for c in counts) else None
        state = ArrayState.UNKNOWN if missing is None else ArrayState.DEGRADED if missing else ArrayState.WELL
        yield Array(folder.name, "btrfs", _profile(folder / "allocation/data"), state, missing, None, errors)


def _profile(folder: Path) -> str:
    """How btrfs lays out data (``raid1``, ``single``); both, where a conversion is not through."""
    return " ".join(entry.name for entry in _entries(folder) if _PROFILE.match(entry.name))


def _zfs(proc: Path) -> Iterator[Array]:
    for folder in _entries(proc / "spl/kstat/zfs"):
        if _POOL.match(folder.name) and (folder / "state").is_file():
            said = _line(folder / "state").upper()
            state = {"ONLINE": ArrayState.WELL, "DEGRADED": ArrayState.DEGRADED}.get(said)
            if state is None:
                lost = said in ("FAULTED", "UNAVAIL", "SUSPENDED", "REMOVED", "OFFLINE")
                state = ArrayState.FAILED if lost else ArrayState.UNKNOWN
            yield Array(folder.name, "zfs", "", state)


def _lvm(sysfs: Path) -> Iterator[Array]:
    """Logical volumes that are arrays: those that are made of images of themselves (lvmraid(7))."""
    for folder in _entries(sysfs / "class/block"):
        if folder.name.startswith("dm-") and _line(folder / "dm/uuid").startswith("LVM-"):
            name = _line(folder / "dm/name")
            below = [_line(slave / "dm/name") for slave in _entries(folder / "slaves")]
            if any(leg.startswith(name) and _LEG.match(leg.removeprefix(name)) for leg in below):
                yield Array(name, "lvm", "", ArrayState.UNKNOWN)


def _sum(path: Path) -> int | None:
    """The sum of ``name number`` lines; None where there is none in form."""
    numbers = [int(found[1]) for found in re.finditer(r"^\w+ ([0-9]{1,18})$", _text(path), re.MULTILINE)]
    return sum(numbers) if numbers else None


def _number(path: Path) -> int | None:
    text = _line(path)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _line(path: Path) -> str:
    return blocks.clean(_text(path))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())[:_MOST]
    except OSError:
        return
