"""What is asked of one cartridge in one drive: the :class:`CartridgeSession` protocol, its facts and its seams.

Two kinds implement it: :mod:`hardware.tape.own_session` writes with the LTFS writer of this program (virtual
cartridges), :mod:`hardware.tape.mounted_session` has the supervised reference tools write (real drives, and virtual
ones). Both read with our own reader, so that what was written is proved by other code than what wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, Self

from hardware.ltfs.label import Label
from hardware.ltfs.model import IndexHeader
from hardware.tape.reading import TapeReader
from hardware.tape.tapealert import Flag


@dataclass(frozen=True, slots=True)
class Blank:
    """Nothing was ever written, or everything was erased. It may be formatted."""


@dataclass(frozen=True, slots=True)
class LtfsVolume:
    """An LTFS volume. ``ours``: its UUID is one that the caller said it knows.

    ``serial`` is the volume serial of VOL1, which is the beginning of the barcode where the label on the tape and
    the one on the box agree. ``clean``: both partitions end in the same generation and nothing stands behind it;
    ``unindexed_blocks`` is what a session left that never ended. ``protected``: it cannot be written to.
    """

    ours: bool
    volume_uuid: str
    serial: str
    name: str
    creator: str
    generation: int
    files: int
    clean: bool
    unindexed_blocks: int
    protected: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherData:
    """Something was written that is no LTFS volume. Never overwritten without ``force``."""

    found: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It was meant to be an LTFS volume, or cannot be read at all: damage, not absence. Never overwritten."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CleaningCartridge:
    """It holds no data at all."""


Content = Blank | LtfsVolume | OtherData | Unreadable | CleaningCartridge
"""What is on a cartridge; see :meth:`CartridgeSession.recognise`."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What :meth:`WriteSession.commit` came to: the volume's new generation, and the names that it added.

    It says that the drive has taken it. That it is there is proved by reading it back.
    """

    volume_uuid: str
    generation: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One step of bringing a volume back in order after a session that died, for whoever keeps a record.

    ``step`` is ``generations``, ``index-captured`` or ``recovered``; ``outcome`` is a sentence; ``output`` what a tool
    said, shortened.
    """

    step: str
    outcome: str
    output: str = ""


Reported = Callable[[RecoveryStep], None]


class TapeSink(Protocol):
    """A file on its way to tape. Nothing of it counts before the session's commit."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of ``data``. Raises ``TapeFull``: this file was given up, those finished before it can be
        committed. Any other error ends the session, too.
        """
        ...

    def finish(self) -> None:
        """The file is whole; it is on the volume after the commit. Raises as :meth:`write`."""
        ...

    def abandon(self) -> None:
        """Give the file up. What was written of it takes up room for good."""
        ...


class WriteSession(Protocol):
    """A volume open for appending. One file at a time; nothing is on the volume before :meth:`commit` returned."""

    @property
    def volume_uuid(self) -> str:
        """Which volume it is."""
        ...

    def free_bytes(self) -> int:
        """How much still fits, when the last indexes of both partitions are to fit behind it."""
        ...

    def create(self, path: str, *, length: int | None = None, replaces: bool = False) -> TapeSink:
        """Begin a file; folders above it are made as needed.

        ``length`` in bytes: where it cannot fit ``TapeFull`` is raised, and nothing was written. With ``replaces`` a
        file of that name is replaced (its room stays used). Raises ``Refused`` for impossible names and taken ones.
        """
        ...

    def commit(self) -> Committed:
        """Make durable what was finished, and end the session. After an error nothing is known of its files."""
        ...

    def abandon(self) -> None:
        """End the session without commit. Its files may or may not be on the volume: none counts."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exception: object) -> None: ...


class CartridgeSession(Protocol):
    """One cartridge in one drive, ours alone until :meth:`close`; then the library may take it out.

    Contract, for every implementation:

    - **One thing at a time.** While a reader or a write session is open, everything else but :meth:`close` raises
      ``Busy``.
    - **Nothing is overwritten by mistake.** :meth:`format` without ``force`` takes blank cartridges only. Writing goes
      to the volume whose UUID the caller names, and to no other.
    - **A commit is no proof.** Read back with :meth:`open_for_reading` before anything counts as stored.
    - **Errors are facts** (:mod:`hardware.tape.errors`): ``WriteProtected``, ``NoVolume`` (unlabelled),
      ``WrongVolume``, ``Incompatible`` (generation), ``TapeFull``, ``Corrupted`` (the medium), ``DeviceFault`` (the
      drive), ``DriveVanished``, ``TimedOut`` and ``ToolCrashed``; after the last three nobody knows what was done.
    """

    @property
    def barcode(self) -> str:
        """The label on the cartridge's box, as it was loaded."""
        ...

    @property
    def drive(self) -> int:
        """The drive's number in its library."""
        ...

    def label(self) -> Label | None:
        """The LTFS label on the tape, read anew; None where it has none that is known here. Raises ``Corrupted``."""
        ...

    def recognise(self, known: Collection[str] = ()) -> Content:
        """What is on it. ``known`` are volume UUIDs of ours. Writes nothing. Raises ``Unreachable`` for an outage."""
        ...

    def format(self, *, name: str = "", force: bool = False) -> str:
        """Make an empty LTFS volume that bears the cartridge's barcode, and return its UUID.

        ``name`` is the volume's name. Raises ``Refused`` where there is anything on it; with ``force`` that is gone.
        """
        ...

    def open_for_writing(self, volume_uuid: str) -> WriteSession:
        """Append to the volume.

        Raises ``WrongVolume``, ``WriteProtected``, ``NoVolume``, ``NeedsRecovery``, ``Refused``.
        """
        ...

    def open_for_reading(self) -> TapeReader:
        """Read the volume, past every cache. Raises ``NoVolume``, ``Corrupted``, ``Unsupported``, ``Unreachable``."""
        ...

    def recover(self, report: Reported, capture: Callable[[bytes], object]) -> IndexHeader:
        """Bring the volume in order after a session that died: list its generations, capture its index, then repair.

        The captured index is handed to ``capture`` in pieces. Each step is reported when it was done and before the
        next is begun; what ``report`` raises stops the recovery. Files that were committed stay. Returns what the last
        index says. A volume in order stays as it is.
        """
        ...

    def alerts(self) -> frozenset[Flag]:
        """TapeAlert flags since they were read last. Reading clears them in the drive: keep them first."""
        ...

    def close(self) -> None:
        """End it: whatever is open ends without commit. The cartridge stays in the drive."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exception: object) -> None: ...
