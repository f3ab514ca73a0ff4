"""The facts of an LTFS index: files, directories, extents, and what an index says of itself.

Times are nanoseconds since 1970 (UTC), sizes and offsets bytes, partitions the letters of the label.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A block by the letter of its partition."""

    partition: str
    block: int

    def __str__(self) -> str:
        return f"({self.partition}, {self.block})"


@dataclass(frozen=True, slots=True)
class Extent:
    """``count`` bytes of a file that belong at ``file_offset`` and begin ``byte_offset`` into ``block``."""

    file_offset: int
    partition: str
    block: int
    byte_offset: int
    count: int


@dataclass(frozen=True, slots=True)
class ExtendedAttribute:
    """A key (UTF-8) and its bytes."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Times:
    """The five times of an entry."""

    created: int
    changed: int
    modified: int
    accessed: int
    backup: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file, or a symbolic link (``target`` is then its target, and it has no extents).

    ``path`` is relative to the root of the volume, with ``/`` between names. Extents are in order of ``file_offset``;
    bytes that no extent covers are zero.
    """

    path: str
    uid: int
    length: int
    read_only: bool
    times: Times
    extents: tuple[Extent, ...] = ()
    attributes: tuple[ExtendedAttribute, ...] = ()
    target: str | None = None

    @property
    def start(self) -> Location:
        """Where its data begin; files without data sort first."""
        return min((Location(extent.partition, extent.block) for extent in self.extents), default=Location("", 0))


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory. The root has the path ``""``, and the volume's name is its name."""

    path: str
    uid: int
    read_only: bool
    times: Times
    attributes: tuple[ExtendedAttribute, ...] = ()


Entry = FileEntry | DirectoryEntry


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """What an index says of itself.

    ``location`` is where it stands, ``previous`` where the index before it stands on the data partition (None at
    generation 1), ``highest_uid`` the highest file UID ever given, ``volume_name`` the name of the root.
    ``files`` and ``directories`` (without the root) are counted, ``beyond`` maps a partition to the first block behind
    all that the index refers to there.
    """

    version: tuple[int, int, int]
    creator: str
    volume_uuid: str
    generation: int
    updated: int
    location: Location
    previous: Location | None
    allow_policy_update: bool
    highest_uid: int
    lock_state: str
    volume_name: str
    comment: str = ""
    files: int = 0
    directories: int = 0
    beyond: tuple[tuple[str, int], ...] = ()

    def first_free(self, partition: str) -> int:
        """The first block of ``partition`` behind the labels and all file data that this index knows."""
        return dict(self.beyond).get(partition, 4)
