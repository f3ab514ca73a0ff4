"""What the LTFS code asks of a tape: the :class:`TapeMedium` protocol.

The words are those of SCSI stream devices (SSC-4/5, SPC-5), so that a drive spoken to through SG_IO fits as well as
a folder of files does: a tape has partitions, each a row of blocks numbered from 0; a block is a record or a
filemark; writing at a position ends the partition there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Protocol

END: Final = 2**64 - 1
"""As a block number in :meth:`TapeMedium.locate`: the end of the data of that partition, where one appends."""


class Mark(enum.Enum):
    """What stands on the tape where a record was looked for."""

    FILEMARK = "filemark"
    END_OF_DATA = "end of data"


class Room(enum.Enum):
    """What a write says about the room that is left. A write that returns has been done, whatever it says."""

    AMPLE = "ample"
    EARLY_WARNING = "early warning"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place on the tape: the physical partition (0 or 1) and the block that is read or written next."""

    partition: int
    block: int

    def __str__(self) -> str:
        return f"partition {self.partition}, block {self.block}"


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room in one partition, in bytes: what it holds when empty, and what still fits. Both are estimates.

    ``least`` is what a block takes up at the least, however short it is.
    """

    maximum: int
    remaining: int
    least: int = 1


class TapeMedium(Protocol):
    """One loaded cartridge in one drive, open for us alone.

    Contract, for every implementation:

    - **Exclusive.** Whoever constructs the object holds the medium alone until :meth:`close`; where another holds it,
      opening raises ``Busy``. (A drive: ``O_RDWR|O_EXCL`` on its sg node, never st beside it.)
    - **Unit attention.** When the medium was changed or the drive was reset, the call raises ``MediumChanged`` and has
      done nothing, and so does every later call: the object is dead. Callers never retry; they open anew and check the
      volume's UUID first. (Attentions that say nothing about medium or position are swallowed below this line.)
    - **No silent repositioning.** After an error other than ``MediumChanged`` the position is unknown until
      :meth:`locate` returns. :meth:`position` asks the drive, it does not remember.
    - **Order and durability.** When :meth:`write_filemarks` with ``flush`` returns, all that was written before it, and
      the marks, outlive a power cut.
    - **Errors.** ``Corrupted`` for a block that is there and cannot be read, ``Unreachable`` where the drive does not
      answer, ``Refused`` for writing on a protected medium, ``Full`` where the physical end was met and nothing
      was written.
    """

    @property
    def max_record(self) -> int:
        """The largest record that can be read or written, in bytes."""
        ...

    @property
    def write_protected(self) -> bool:
        """Whether writing is refused (the tab, a WORM cartridge, a medium opened for reading)."""
        ...

    def position(self) -> Position:
        """Where the tape stands (READ POSITION, long form)."""
        ...

    def locate(self, partition: int, block: int) -> Position:
        """Go there (LOCATE(16)), or to the end of data where that comes first. Says where it stands now.

        To locate where the tape already stands costs nothing.
        """
        ...

    def space_filemarks(self, count: int) -> Position:
        """Pass ``count`` filemarks (SPACE(16)), forwards to behind the last, backwards (negative) to before it.

        Raises ``NotFound`` where there are not so many; the tape then stands at the end or the beginning of data.
        """
        ...

    def read(self) -> bytes | Mark:
        """The next record, whole; or the mark that stands there. A filemark is passed, the end of data is not."""
        ...

    def write(self, record: bytes | bytearray | memoryview) -> Room:
        """Write one record here; all that followed on this partition is gone. The record may be kept until flushed."""
        ...

    def write_filemarks(self, count: int = 1, *, flush: bool = True) -> Room:
        """Write filemarks here. ``count`` 0 with ``flush`` only makes durable what was written before."""
        ...

    def capacity(self, partition: int) -> Capacity:
        """Room in a partition (log page 31h, or attributes 0000h and 0001h)."""
        ...

    def attribute(self, partition: int, identifier: int) -> bytes:
        """The value of a cartridge memory attribute (READ ATTRIBUTE, without header); ``NotFound`` if it has none."""
        ...

    def write_attribute(self, partition: int, identifier: int, kind: int, value: bytes) -> None:
        """Set an attribute durably (WRITE ATTRIBUTE). ``kind`` is 0 binary, 1 ASCII, 2 text."""
        ...

    def partition_medium(self) -> None:
        """Make two empty partitions; all that was on the medium is gone (FORMAT MEDIUM)."""
        ...

    def close(self) -> None:
        """Let go of the medium. What was not flushed may be lost."""
        ...
