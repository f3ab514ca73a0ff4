"""What a policy asks for, and what the copies of a version amount to: pure functions, no clock, no database.

A copy counts when it is GOOD (read back from its medium, every digest equal) on a volume that is not RETIRED,
and only once for each failure domain: two copies in one chassis are one. A volume that cannot be reached just
now takes nothing away: its copies count as they were last proved.

A volume that is being evacuated still holds what it holds, but it will go. Its copies therefore count only while
they are needed, that is, while the copies that stay do not reach the policy by themselves; those that are needed
are reported as ``leaving``. :func:`choose_targets` looks for replacements of both, the missing and the leaving,
and the volume may go when nothing is leaving any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase

from vault.model import READABLE, Condition, Copy, CopyState, Descriptive, MediumClass, Volume, VolumeMode


@dataclass(frozen=True, slots=True)
class Match:
    """Which packages a policy is for: shell patterns (``*``, ``?``, ``[…]``; case counts) for what the depositor
    said. Every member that is not empty must match by one of its patterns; with all empty it matches everything.
    """

    fonds: tuple[str, ...] = ()
    agency: tuple[str, ...] = ()
    priority_class: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether no package can fail to match."""
        return all(not patterns or "*" in patterns for patterns in (self.fonds, self.agency, self.priority_class))

    def matches(self, descriptive: Descriptive) -> bool:
        """Whether the package that is described so is one of these."""
        return (
            _any_matches(self.fonds, descriptive.fonds)
            and _any_matches(self.agency, descriptive.agency)
            and _any_matches(self.priority_class, descriptive.priority_class)
        )


@dataclass(frozen=True, slots=True)
class Fixity:
    """How long a copy may go unchecked, by medium."""

    disk: timedelta = timedelta(days=90)
    tape: timedelta = timedelta(days=365)

    def interval(self, medium: MediumClass) -> timedelta:
        """The longest time between two checks of a copy on such a medium."""
        return self.disk if medium is MediumClass.DISK else self.tape


@dataclass(frozen=True, slots=True)
class Policy:
    """What should be: how many good copies on disk and on tape, each in its own failure domain.

    ``receipt_after`` is how many of them must be good before the depositor gets a receipt; ``priority`` orders
    the work among packages (lower first).
    """

    name: str
    disk: int
    tape: int = 0
    receipt_after: int = 1
    priority: int = 100
    match: Match = field(default_factory=Match)
    fixity: Fixity = field(default_factory=Fixity)


@dataclass(frozen=True, slots=True)
class Holding:
    """One copy of a version, as far as a policy is concerned: its state, and the volume that it is on."""

    state: CopyState
    volume: Volume


@dataclass(frozen=True, slots=True)
class Count:
    """How many, on disk and on tape, each in its own failure domain."""

    disk: int = 0
    tape: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.disk + self.tape

    def __bool__(self) -> bool:
        return self.total > 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the copies of one version amount to under a policy.

    ``good`` are the domains that count, ``missing`` what the policy asks for beyond them, ``leaving`` how many of
    the counted ones are on volumes that are being evacuated. ``satisfied`` means that nothing is missing.
    ``recoverable`` means that some copy has not been found damaged or missing, so that there is something to
    copy from.
    """

    good: Count
    missing: Count
    leaving: Count
    satisfied: bool
    recoverable: bool


_BELIEVED = frozenset({CopyState.GOOD, CopyState.SUSPECT, CopyState.WRITTEN})
_NEEDS_READING = frozenset({CopyState.WRITTEN, CopyState.SUSPECT})
_NEEDS_WRITING = frozenset({CopyState.PLANNED, CopyState.WRITING, CopyState.DAMAGED, CopyState.MISSING})


class Unbroken:
    """Up to which version each volume (or set of tapes) holds a package without a gap, every part of it GOOD. Made once
    for all versions of a package, of which there may be thousands."""

    def __init__(self, of_package: Iterable[Copy], volumes: Mapping[int, Volume]) -> None:
        good: dict[tuple[MediumClass, int | str], set[int]] = {}
        for copy in of_package:
            if copy.state is CopyState.GOOD:
                good.setdefault(_place(volumes[copy.volume_id]), set()).add(copy.number)
        self._last: dict[tuple[MediumClass, int | str], int] = {}
        for place, numbers in good.items():
            last = 0
            while last + 1 in numbers:
                last += 1
            self._last[place] = last

    def reaches(self, number: int, volume: Volume) -> bool:
        """Whether all versions before this one are good there."""
        return self._last.get(_place(volume), 0) >= number - 1


def holdings(
    copies: Iterable[Copy], volumes: Mapping[int, Volume], of_package: Collection[Copy] | Unbroken = ()
) -> list[Holding]:
    """Join the copies of a version with their volumes, by the volumes' ids; ``KeyError`` for one that is not given.

    ``of_package`` are the copies of all versions of its package. A later version shares files with the earlier ones:
    on a volume (or in a set of tapes) where one of those is not good, it is as doubtful as if its own part were,
    however well that reads.
    """
    before = of_package if isinstance(of_package, Unbroken) else Unbroken(of_package, volumes)
    joined = []
    for copy in copies:
        here, state = volumes[copy.volume_id], copy.state
        if state is CopyState.GOOD and not before.reaches(copy.number, here):
            state = CopyState.SUSPECT
        joined.append(Holding(state, here))
    return joined


def _place(volume: Volume) -> tuple[MediumClass, int | str]:
    """What is in one place serves what else is there: a volume, or any cartridge of a set."""
    return volume.medium, volume.domain if volume.medium is MediumClass.TAPE else volume.id


def standing(policy: Policy, copies: Collection[Holding]) -> Standing:
    """Decide what the copies of one version amount to."""
    disk, disk_missing, disk_leaving = _counted(policy.disk, copies, MediumClass.DISK)
    tape, tape_missing, tape_leaving = _counted(policy.tape, copies, MediumClass.TAPE)
    missing = Count(disk_missing, tape_missing)
    return Standing(
        good=Count(disk, tape),
        missing=missing,
        leaving=Count(disk_leaving, tape_leaving),
        satisfied=not missing,
        recoverable=any(held.state in _BELIEVED and _kept(held.volume) for held in copies),
    )


def good_domains(copies: Collection[Holding]) -> set[str]:
    """Return the failure domains in which a copy of the version is good, on a volume that is not retired."""
    return {held.volume.domain for held in copies if held.state is CopyState.GOOD and _kept(held.volume)}


def receipt_ready(policy: Policy, copies: Collection[Holding]) -> bool:
    """Whether enough copies are good, each in its own failure domain, for the depositor to get a receipt."""
    return standing(policy, copies).good.total >= policy.receipt_after


def choose_targets(
    policy: Policy,
    copies: Collection[Holding],
    volumes: Collection[Volume],
    versions_before: Collection[int] = (),
    *,
    need_bytes: int = 0,
    whole_bytes: int = 0,
    reserve: Mapping[str, int] | None = None,
) -> list[Volume]:
    """Choose the volumes that the missing (and the leaving) disk copies of a version should be made on.

    ``volumes`` are all that there are, ``versions_before`` the ids of those that hold its earlier versions.
    ``need_bytes`` is what the version takes on a volume that does, ``whole_bytes`` what it takes, with the
    earlier ones, on another. ``reserve`` is what to leave free, by the volume's name.

    A target is ACTIVE and ONLINE, is known to have room, has no copy of the version that is not retired, and is in
    a domain where no counted copy stays and no copy is on its way. First come volumes that stand on nothing
    doubtful, then those that hold the earlier versions, then other sites, then the largest free part. A copy that
    will be good after work that can be done where it is (written or suspect on a volume that can be read; planned,
    damaged or missing on one that can be written) is on its way. Fewer volumes than needed are returned where there
    are no more.
    """
    held = {holding.volume.id for holding in copies if holding.state is not CopyState.RETIRED}
    settled = [h.volume for h in copies if h.volume.medium is MediumClass.DISK and (_stays(h) or _on_its_way(h))]
    domains = {volume.domain for volume in settled}
    sites = {volume.site for volume in settled}
    before = frozenset(versions_before)
    left = [
        volume
        for volume in volumes
        if volume.medium is MediumClass.DISK
        and volume.id not in held
        and _writable(volume)
        and _has_room(volume, need_bytes if volume.id in before else max(need_bytes, whole_bytes), reserve or {})
    ]
    targets: list[Volume] = []
    while len(domains) < policy.disk:
        left = [volume for volume in left if volume.domain not in domains]
        if not left:
            break
        best = min(left, key=lambda v: (v.health.doubtful, v.id not in before, v.site in sites, -_free_part(v), v.name))
        targets.append(best)
        domains.add(best.domain)
        sites.add(best.site)
    return targets


def _counted(wanted: int, copies: Iterable[Holding], medium: MediumClass) -> tuple[int, int, int]:
    """How many domains count on this medium, how many are missing, how many of the counted are leaving."""
    staying: set[str] = set()
    leaving: set[str] = set()
    for held in copies:
        if held.state is CopyState.GOOD and held.volume.medium is medium and _kept(held.volume):
            (leaving if held.volume.mode is VolumeMode.EVACUATING else staying).add(held.volume.domain)
    needed = min(len(leaving - staying), max(0, wanted - len(staying)))
    good = len(staying) + needed
    return good, max(0, wanted - good), needed


def _kept(volume: Volume) -> bool:
    return volume.mode is not VolumeMode.RETIRED


def _stays(held: Holding) -> bool:
    return held.state is CopyState.GOOD and held.volume.mode in (VolumeMode.ACTIVE, VolumeMode.READ_ONLY)


def _on_its_way(held: Holding) -> bool:
    if held.state in _NEEDS_READING:
        readable = held.volume.condition in READABLE
        return readable and held.volume.mode in (VolumeMode.ACTIVE, VolumeMode.READ_ONLY)
    return held.state in _NEEDS_WRITING and _writable(held.volume)


def _writable(volume: Volume) -> bool:
    return volume.mode is VolumeMode.ACTIVE and volume.condition is Condition.ONLINE


def _has_room(volume: Volume, need: int, reserve: Mapping[str, int]) -> bool:
    """Whether it is known that so much fits. Unknown is not enough."""
    return volume.free_bytes is not None and volume.free_bytes - reserve.get(volume.name, 0) >= need


def _free_part(volume: Volume) -> float:
    return (volume.free_bytes or 0) / volume.size_bytes if volume.size_bytes else 0.0


def _any_matches(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
