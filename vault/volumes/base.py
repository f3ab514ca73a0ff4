"""What every kind of volume can do, and the facts it speaks in."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID

from vault.model import Condition, DigestAlgorithm, Json, MediumClass
from vault.verdict import Verdict
from vault.volumes.medium import Progress, never_cancelled, no_progress
from vault.volumes.reading_back import ReadBack

__all__ = [
    "Cancelled", "CheckReport", "Finding", "FindingKind", "KeptEvidence", "Part", "Probe", "Sink", "Staging", "Verdict",
    "Volume", "VolumeIdentity",
]  # fmt: skip

Cancelled = Callable[[], bool]
"""Asked between two reads; True stops the work with :class:`~vault.errors.Interrupted`."""


ReadContent = Callable[[str], Iterator[memoryview]]
"""Reads the content file of this path from the medium, as :meth:`Volume.read` does."""


@dataclass(frozen=True, slots=True)
class VolumeIdentity:
    """What ``vault-volume.json`` says: which volume this is, whoever mounts it wherever."""

    uuid: UUID
    name: str
    domain: str
    site: str
    node: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at a volume saw, at this moment. Sizes are None where they could not be learnt.

    ``device`` is the number of the device that it stands on (stat(2), st_dev), where it stands on one.
    """

    condition: Condition
    reason: str = ""
    identity: VolumeIdentity | None = None
    size_bytes: int | None = None
    free_bytes: int | None = None
    device: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One version's part of its OCFL object: ``vN/`` with its inventory, which pins every byte of it.

    ``inventory_digest`` is the digest of ``vN/inventory.json``. Everything else about the part follows from that
    file, so a part is fully named by these four facts.
    """

    object_id: str
    number: int
    algorithm: DigestAlgorithm
    inventory_digest: str


class FindingKind(enum.StrEnum):
    """What can be wrong with a file of a copy."""

    MISMATCH = "mismatch"
    INTERMITTENT = "intermittent"
    MISSING = "missing"
    EXTRA = "extra"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not as it must be. ``path`` is relative to the object's root.

    ``expected`` and ``found`` are digests; ``error`` is the name of the errno (``EIO``) of an unreadable one.
    ``offset`` is the first byte that differs from the copy on the volume ``beside``; of an unreadable file the
    beginning of the reading that failed; -1 where it is not known.
    INTERMITTENT: the first reading was wrong and the second right, so it is the way that cannot be trusted.
    """

    kind: FindingKind
    path: str
    expected: str = ""
    found: str = ""
    error: str = ""
    offset: int = -1
    beside: str = ""

    def as_json(self) -> dict[str, Json]:
        """For an event's detail."""
        pairs = {"path": self.path, "kind": str(self.kind), "expected": self.expected, "found": self.found,
                 "error": self.error, "beside": self.beside}  # fmt: skip
        said: dict[str, Json] = {key: value for key, value in pairs.items() if value}
        return said | ({"offset": self.offset} if self.offset >= 0 else {})


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of reading a copy back: how much was read, and everything that was wrong."""

    findings: tuple[Finding, ...]
    files: int
    bytes: int
    absent: bool = False

    @property
    def verdict(self) -> Verdict:
        """The one word for it; a mismatch weighs more than a file that could not be read."""
        kinds = {finding.kind for finding in self.findings}
        if self.absent:
            return Verdict.MISSING
        if kinds & {FindingKind.MISMATCH, FindingKind.MISSING, FindingKind.EXTRA}:
            return Verdict.DAMAGED
        if FindingKind.UNREADABLE in kinds:
            return Verdict.UNREADABLE
        if FindingKind.INTERMITTENT in kinds:
            return Verdict.DOUBTFUL
        return Verdict.INTACT

    def joined(self, other: CheckReport) -> CheckReport:
        """Both reports as one."""
        return CheckReport(
            self.findings + other.findings,
            self.files + other.files,
            self.bytes + other.bytes,
            self.absent or other.absent,
        )


@dataclass(frozen=True, slots=True)
class CheckState:
    """How far a check of a part has come: so many of its content files, in the order of their paths, were read, with
    these findings; and of the next one ``offset`` bytes, with the state of its digest there."""

    done: int = 0
    files: int = 0
    read: int = 0
    findings: tuple[Finding, ...] = ()
    offset: int = 0
    hash_state: bytes = b""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file that was read from its medium: bytes, and its inode number, 0 where it was read in the place where it
    still stands."""

    size: int
    inode: int = 0


class CheckJournal(Protocol):
    """Where a check keeps how far it has come, so that a stop, a kill or a reboot repeats little of it."""

    def resume(self) -> CheckState | None:
        """Where to go on; None to begin."""

    def known(self, path: str) -> FileSeen | None:
        """A content file of this copy that was read from the medium, with the right digest, as part of the same work;
        None for one that is to be read."""

    def wants(self) -> bool:
        """Whether it is time to keep the state again."""

    def keep(self, state: CheckState) -> None:
        """Keep it. What it raises ends the check: the catalogue does not answer."""


class Sink(Protocol):
    """A file that is being written into staging."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of ``data``. Raises Full, Unreachable."""

    def close(self) -> None:
        """End the file. It is not durable before the staging is sealed."""


class Staging(Protocol):
    """A place on the volume where one part is built, unseen, until it is put in place by a rename.

    Nothing in it counts, and after a crash all of it may be thrown away. Several threads may create, write and drop
    files of different names at once; everything else is one thread's at a time.
    """

    token: str
    number: int
    volume: str

    def create(self, content_path: str) -> Sink:
        """Begin a file at ``vN/content/…``, which must not exist yet."""

    def take(self, object_id: str, content_path: str) -> bool:
        """Take over a file that stands in place in the object on this volume, under the same content path, without
        copying a byte: it gets a second name. False where the file system cannot do that, or no file stands there.

        Its bytes are proved by :meth:`check`, as those of all others are.
        """

    def read_back(self, content_path: str, algorithm: DigestAlgorithm) -> ReadBack:
        """Begin to read a file that is being written back from the medium, beside the writing."""

    def open(self, content_path: str) -> AbstractContextManager[BinaryIO]:
        """A finished file of this staging, for reading (through the cache: this proves nothing)."""

    def lift(self, folder: str) -> None:
        """Move everything in ``vN/content/FOLDER/`` up into ``vN/content/``."""

    def create_spool(self) -> Sink:
        """Begin the one scratch file that a staging may have. It must be dropped or adopted before sealing."""

    def open_spool(self) -> AbstractContextManager[BinaryIO]:
        """The finished scratch file, for reading, seekable."""

    def drop_spool(self) -> None:
        """Remove the scratch file."""

    def adopt_spool(self, content_path: str) -> None:
        """Make the scratch file a content file, without writing it again."""

    def drop(self, content_path: str) -> None:
        """Remove a file again (its content turned out to be stored already)."""

    def seal(self, part: Part, inventory: bytes) -> None:
        """Add inventory, sidecar and declaration, and make everything durable. Nothing is written afterwards.

        Raises Refused while a file of it is still being written, or where the scratch file is still there.
        """

    def check(
        self, part: Part, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> CheckReport:
        """Read the sealed part back from the medium, as :meth:`Volume.check` does in its place."""

    def discard(self) -> bool:
        """Remove everything; returns whether nothing of it is left. Never raises for an outage: what remains is removed
        when the volume is back."""


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Damaged bytes that were set aside: where (relative to the volume's root) and what they belonged to."""

    path: str
    about: Mapping[str, Json] = field(default_factory=dict)


class Source(Protocol):
    """What content can be read from: a volume, or what was brought back from tape."""

    @property
    def name(self) -> str:
        """What it is called."""

    def probe(self) -> Probe:
        """See :meth:`Volume.probe`."""

    def inventory(self, part: Part) -> bytes:
        """See :meth:`Volume.inventory`."""

    def holding(self, object_id: str) -> AbstractContextManager[ReadContent]:
        """See :meth:`Volume.holding`."""

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """See :meth:`Volume.read`."""


class Volume(Protocol):
    """A place that holds copies.

    Every method first makes sure that the right volume is there (its identity, and its mount where one is
    required) and raises :class:`~vault.errors.WrongVolume` or :class:`~vault.errors.Unreachable` if it is not: an
    outage is never reported as a missing or damaged copy, and nothing is ever written to something else.
    Methods that put, replace or settle must not run at once for one object; the caller sees to that. All others may
    run in any number of threads. Content that is in place is never opened for writing.
    """

    name: str
    kind: str
    medium: MediumClass
    domain: str
    site: str

    def expect(self, uuid: UUID) -> None:
        """From now on only the volume with this UUID is accepted."""

    def initialise(self, identity: VolumeIdentity) -> None:
        """Make an empty place into a volume. Raises Refused if it holds anything, WrongVolume if it is not mounted.

        After a kill it can be done again.
        """

    def probe(self) -> Probe:
        """Look at it. Never raises for anything that the volume does."""

    def stage(self, token: str, number: int) -> Staging:
        """Begin a part ``vN`` under a name of the caller's that is unique on this volume (Conflict if it is not).

        Raises Full when less than the volume's reserve is left; nothing is kept then.
        """

    def reopen(self, token: str, number: int) -> Staging:
        """A staging begun earlier, perhaps before a restart, to be discarded or put in place."""

    def staged(self) -> list[str]:
        """The tokens of everything in staging."""

    def put(self, staging: Staging, part: Part, *, head: bool) -> None:
        """Put a sealed part in place, durably, by renames. ``head``: it becomes the object's newest version here.

        If it is in place already, only the staging goes; what a kill left half done is done to its end. Raises
        Conflict, and leaves everything as it is, if something else stands there (``occupied``), if the version before
        it is not there (``earlier-version-missing``), or if the place is another object's (``other-object``).
        """

    def replace(
        self, staging: Staging, part: Part, *, head: bool, label: str, about: Mapping[str, Json]
    ) -> KeptEvidence | None:
        """As :meth:`put`, where a damaged part stands: that is set aside under ``label`` and kept as evidence.

        None when nothing was there that could be kept. Files that the new part took over (:meth:`Staging.take`) are not
        kept: of a package where one file was damaged, that one is the evidence.

        At each instant either the damaged or the new part is in place, where the file system can swap two names.
        """

    def settle(self, part: Part) -> bool:
        """After a crash: finish a put of this part that had reached its point of no return, or undo it.

        Something else that stands in its place is left alone. Returns whether the part is in place now. Only for a
        part that was never recorded as written.
        """

    def check(
        self,
        part: Part,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
        journal: CheckJournal | None = None,
    ) -> CheckReport:
        """Read every byte of the part from the medium and compare every digest. A mismatch is read a second time.

        With a journal it goes on where the journal says that it was cut off.
        """

    def check_root(self, head: Part) -> CheckReport:
        """Check what the object has outside its parts: declaration, newest inventory, and no strangers."""

    def standing_head(self, object_id: str) -> int:
        """The newest version of the object that stands here by its own word, whole as far as its inventory, sidecar
        and version folders tell; 0 where there is no such object. For asking whether the catalogue knows less."""

    def inventory(self, part: Part) -> bytes:
        """The part's inventory. Raises NotFound; Corrupted if its digest is not the part's."""

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """A content file from the medium, in pieces, each valid until the next is asked for. Digests are the
        caller's to compare. Raises NotFound, Unreachable."""

    def holding(self, object_id: str) -> AbstractContextManager[ReadContent]:
        """The object held for the block, in which one thread reads some of its files with :meth:`read`: which volume
        stands there is asked once, and all come from that one. Raises what :meth:`read` raises."""

    def open(self, object_id: str, content_path: str) -> int:
        """A content file opened for reading, through the cache, for serving; the caller closes the descriptor.

        Raises NotFound, also where something stands there that is no file.
        """

    def sizes(self, object_id: str, content_paths: Iterable[str]) -> list[int]:
        """Bytes of each of these content files, in their order, as the file system has them: not read, so not proved.

        Raises NotFound for one that is not there, or is no file.
        """

    def evidence(self) -> list[KeptEvidence]:
        """What was set aside here and not released yet, by a replace that was cut off also."""

    def check_evidence(self, path: str, part: Part) -> CheckReport:
        """Read what was set aside as if it were the part: whether it is damaged after all."""

    def release_evidence(self, path: str) -> None:
        """Remove what was set aside, by an operator's decision."""

    def write_note(self, path: str, data: bytes | Iterable[bytes]) -> None:
        """Keep a file of the node's own under ``node/`` (a ledger checkpoint, a backup of the catalogue), durably.

        One that stands there is replaced at once or not at all. Raises Full, Unreachable.
        """

    def notes(self, folder: str) -> list[str]:
        """The names of the files in a folder under ``node/``, sorted; none where there is no such folder."""

    def read_note(self, path: str) -> Iterator[bytes]:
        """What :meth:`write_note` keeps, from the medium, in pieces. Raises NotFound, Unreachable."""

    def remove_note(self, path: str) -> None:
        """Remove one, as far as it exists. Raises Unreachable."""
