"""What only root is told of arrays: LVM's by ``dmsetup``, ZFS pools by ``zpool``, scrubs of btrfs from its own notes.

No disk is asked: all three answer from what the kernel or a file knows, so nothing that sleeps is woken. Each program
has a limit of time, and what it says is as hostile as any input. Sources: Documentation/admin-guide/device-mapper/
dm-raid.rst and dm-log (mirror), zpool-status(8), btrfs-scrub(8) (``/var/lib/btrfs/scrub.status.UUID``).
"""

from __future__ import annotations

import enum
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hardware import blocks
from hardware.arrays import PROC, Array, ArrayState, outlives
from hardware.smart.run import run

PATIENCE: Final = 30.0
SEARCHED: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"
BTRFS_NOTES: Final = Path("/var/lib/btrfs")

_MOST: Final = 1024
_MOST_BYTES: Final = 1 << 20
_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


class Problem(enum.StrEnum):
    """Why a program told nothing."""

    ABSENT = "absent"
    HUNG = "hung"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Told:
    """What was told, and by name of the program why others told nothing."""

    arrays: tuple[Array, ...] = ()
    problems: Mapping[str, Problem] = field(default_factory=dict)


def ask(
    sysfs: Path = blocks.SYS,
    proc: Path = PROC,
    notes: Path = BTRFS_NOTES,
    *,
    patience: float = PATIENCE,
    searched: str = SEARCHED,
) -> Told:
    """Ask of every kind of array that this machine has. Raises nothing for what the programs do."""
    found, problems = [*_btrfs(sysfs, notes)], {}
    asked = (
        ("zpool", ("status", "-pPL"), _has_entries(proc / "spl/kstat/zfs"), parse_zpool),
        ("dmsetup", ("status", "--noflush"), _has_mapped(sysfs), parse_dmsetup),
    )
    for program, arguments, wanted, parse in asked:
        if wanted:
            told = _said(program, arguments, patience, searched)
            if isinstance(told, Problem):
                problems[program] = told
            else:
                found += parse(told)
    return Told(tuple(found[:_MOST]), problems)


def _said(program: str, arguments: tuple[str, ...], patience: float, searched: str) -> str | Problem:
    path = shutil.which(program, path=searched)
    if path is None:
        return Problem.ABSENT
    try:
        ended = run([path, *arguments], patience)
    except OSError:
        return Problem.FAILED
    if ended.status is None:
        return Problem.HUNG
    return ended.output[:_MOST_BYTES].decode("utf-8", "replace") if ended.status == 0 else Problem.FAILED


# --- LVM: the targets of the device mapper

_TARGET: Final = re.compile(r"(?P<name>[^\s:]{1,127}): [0-9]+ [0-9]+ (?P<kind>raid|mirror) (?P<rest>.+)")
_RATIO: Final = re.compile(r"([0-9]{1,18})/([0-9]{1,18})\Z")


def parse_dmsetup(text: str) -> Iterator[Array]:
    """The arrays in what ``dmsetup status`` prints: a line for each target. What is not in form is left out."""
    for line in text.splitlines()[:_MOST]:
        if match := _TARGET.match(line):
            words = match["rest"].split()
            found = _raid(match["name"], words) if match["kind"] == "raid" else _mirror(match["name"], words)
            if found is not None:
                yield found


def _raid(name: str, words: list[str]) -> Array | None:
    """``raid1 2 AA 2097152/2097152 idle 0 0 -``: level, devices, how each is (A in step, a not yet, D dead, - none),
    what is in step, what is going on, mismatches."""
    if len(words) < 6 or not _RATIO.match(words[3]):
        return None
    level, health, action = words[0][:32], words[2], words[4]
    lost, behind = sum(health.count(mark) for mark in "D-"), health.count("a")
    if not set(health) <= set("AaD-") or not health:
        state = ArrayState.UNKNOWN
    elif lost >= len(health) or not outlives(level, lost):
        state = ArrayState.FAILED
    elif action in ("recover", "resync", "reshape") or behind:
        state = ArrayState.REBUILDING
    elif lost:
        state = ArrayState.DEGRADED
    else:
        state = ArrayState.CHECKING if action in ("check", "repair") else ArrayState.WELL
    busy = state in (ArrayState.REBUILDING, ArrayState.CHECKING)
    missing = lost + behind if state is not ArrayState.UNKNOWN else None
    return Array(name, "lvm", level, state, missing, _number(words[5]), done=_ratio(words[3]) if busy else None)


def _mirror(name: str, words: list[str]) -> Array | None:
    """``2 253:1 253:2 1024/1024 1 AA 3 disk 253:0 A``: devices, what is in step, how each is (A alive, D dead, and
    other letters for lesser trouble)."""
    count = _number(words[0]) if words else None
    if count is None or not 0 < count < 64 or len(words) < count + 4:
        return None
    ratio, health = words[count + 1], words[count + 3]
    if not _RATIO.match(ratio) or len(health) != count:
        return None
    lost = sum(mark != "A" for mark in health)
    part = _ratio(ratio)
    if lost:
        state = ArrayState.FAILED if health.count("D") == count else ArrayState.DEGRADED
    else:
        state = ArrayState.WELL if part == 1 else ArrayState.REBUILDING
    return Array(name, "lvm", "mirror", state, lost, done=part if state is ArrayState.REBUILDING else None)


def _ratio(text: str) -> float | None:
    match = _RATIO.match(text)
    return min(1.0, int(match[1]) / int(match[2])) if match and int(match[2]) else None


# --- ZFS

_FIELD: Final = re.compile(r" {0,3}([a-z]+): ?(.*)\Z")
_VDEV: Final = re.compile(
    r"^\t(?P<indent> *)(?P<name>\S+) +(?P<state>[A-Z]+)(?: +(?P<read>\S+) +(?P<write>\S+) +(?P<sum>\S+))?"
)
_GROUP: Final = re.compile(
    r"(?:mirror|raidz[123]?|draid\S*|replacing|spare|indirect|logs|cache|spares|special|dedup)(?:-.*)?\Z"
)
_LOST: Final = frozenset({"FAULTED", "UNAVAIL", "REMOVED", "OFFLINE", "SUSPENDED"})
_ENDED: Final = re.compile(r"(?:scrub repaired|resilvered) .* with [0-9]+ errors on (?P<date>.+)")
_DONE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)% done")
_DATA_ERRORS: Final = re.compile(r"([0-9]{1,18}) data errors")


def parse_zpool(text: str) -> Iterator[Array]:
    """The pools in what ``zpool status -pPL`` prints. A pool whose disks are not all well is degraded, whatever it says
    of itself: it has been seen to call itself ONLINE."""
    for part in re.split(r"^(?= *pool: )", text, flags=re.MULTILINE)[1 : _MOST + 1]:
        yield _pool(part.splitlines())


def _pool(lines: list[str]) -> Array:
    facts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if match := _FIELD.match(line):
            current = facts.setdefault(match[1], [])
            current.append(match[2])
        else:
            current.append(line)
    name = blocks.clean(" ".join(facts.get("pool", [])))
    said = blocks.clean(" ".join(facts.get("state", [])[:1]))
    scan = blocks.clean(" ".join(facts.get("scan", [])))
    disks = [match for line in facts.get("config", []) if (match := _disk(line, name))]
    lost = sum(match["state"] in _LOST for match in disks)
    counted = [_number(match[column] or "") for match in disks for column in ("read", "write", "sum")]
    errors = sum(number for number in counted if number is not None) + _data_errors(facts.get("errors", []))
    if said in _LOST:
        state = ArrayState.FAILED
    elif "resilver in progress" in scan:
        state = ArrayState.REBUILDING
    elif said == "DEGRADED" or lost or any(match["state"] == "DEGRADED" for match in disks):
        state = ArrayState.DEGRADED
    elif said != "ONLINE":
        state = ArrayState.UNKNOWN
    else:
        state = ArrayState.CHECKING if "scrub in progress" in scan else ArrayState.WELL
    done = _DONE.search(scan) if state in (ArrayState.REBUILDING, ArrayState.CHECKING) else None
    return Array(
        name, "zfs", "", state, lost if disks else None, None, errors if disks else None,
        float(done[1]) / 100 if done else None, _scrubbed(scan), True,  # without a line of it, there was no scrub
        tuple(match["name"] for match in disks if match["name"].startswith("/dev/"))[:_MOST],
    )  # fmt: skip


def _disk(line: str, pool: str) -> re.Match[str] | None:
    """A leaf of the tree: neither the pool nor what groups disks, nor a spare that waits."""
    match = _VDEV.match(line)
    if match is None or match["state"] in ("STATE", "AVAIL", "INUSE"):
        return None
    return None if match["name"] == pool or _GROUP.match(match["name"]) else match


def _data_errors(said: list[str]) -> int:
    text = blocks.clean(" ".join(said))
    if found := _DATA_ERRORS.match(text):
        return int(found[1])
    # With a list of the files that are lost.
    return max(1, len([line for line in said[1:] if line.strip()])) if text.startswith("Permanent errors") else 0


def _scrubbed(scan: str) -> datetime | None:
    """When the last scrub ended; None while there was none, or that is not known any more (a scrub goes on, or the
    last thing that was scanned was something else)."""
    found = _ENDED.match(scan)
    if found is None or not scan.startswith("scrub"):
        return None
    try:  # as asctime(3), in UTC: the programs are asked with no time zone
        return datetime.strptime(found["date"].strip()[:24], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


# --- btrfs

_NOTE: Final = re.compile(r"[0-9a-f-]{36}:[0-9]+\|(?P<facts>.*)\Z")


def _btrfs(sysfs: Path, notes: Path) -> Iterator[Array]:
    """What the last scrub of each btrfs that is mounted left behind. Where it left nothing, there was none."""
    for uuid in _names(sysfs / "fs/btrfs"):
        if re.fullmatch(r"[0-9a-f-]{36}", uuid):
            try:
                with (notes / f"scrub.status.{uuid}").open("rb") as file:
                    text = file.read(_MOST_BYTES).decode("utf-8", "replace")
            except FileNotFoundError:
                text = ""
            except OSError:
                continue
            yield btrfs_scrub(uuid, text)


def btrfs_scrub(uuid: str, text: str) -> Array:
    """The array with what ``scrub.status.UUID`` says: a line for each device, ``name:value`` between bars. The scrub is
    through when it is on every device."""
    devices = [
        dict(fact.partition(":")[::2] for fact in match["facts"].split("|"))
        for line in text.splitlines()[:_MOST]
        if (match := _NOTE.match(line))
    ]
    ends = [_ended(device) for device in devices]
    known = [end for end in ends if end is not None]
    through = bool(ends) and len(known) == len(ends)
    going_on = any(device.get("finished") == "0" and device.get("canceled") == "0" for device in devices)
    state = ArrayState.CHECKING if going_on else ArrayState.UNKNOWN  # that it is well, only the kernel knows
    return Array(uuid, "btrfs", "", state, checked_at=max(known) if through else None, checks_known=True)


def _ended(device: Mapping[str, str]) -> datetime | None:
    start = _number(device.get("t_resumed", "")) or _number(device.get("t_start", ""))
    took = _number(device.get("duration", ""))
    if device.get("finished") != "1" or device.get("canceled") != "0" or not start or took is None:
        return None
    return datetime.fromtimestamp(start + took, UTC) if start + took < _LATEST.timestamp() else None


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.match(text) and text.isascii() else None


def _has_entries(folder: Path) -> bool:
    return any((folder / name / "state").exists() for name in _names(folder))


def _has_mapped(sysfs: Path) -> bool:
    return any(name.startswith("dm-") for name in _names(sysfs / "class/block"))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())[:_MOST]
    except OSError:
        return []
