"""Virtual cartridges: a folder of files that stands for one cartridge in one drive.

The layout is that of the *file* backend of the reference implementation (LinearTapeFileSystem/ltfs,
``src/tape_drivers/generic/file``), so that each mounts, extends and checks what the other has written:

- ``P_N_R`` is record N of partition P, ``P_N_F`` a filemark (empty), ``P_N_E`` the end of data (empty);
- ``attr_P_<hexadecimal id>`` is a cartridge memory attribute with its header;
- ``filedebug_tc_conf.xml`` describes the cartridge.

The end-of-data file is what commits a block: block N is made beside ``P_N_E``, and counts once that was renamed to
``P_(N+1)_E``. Whatever stands at or behind the end does not exist, so a kill at any instant leaves a valid cartridge.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Final, NoReturn, Self

from hardware.errors import Busy, Corrupted, Full, Malformed, MediumChanged, NotFound, Refused, Unreachable
from hardware.ltfs.cartridge import (
    CONFIG,
    DEFAULT_CAPACITY_MB,
    fsync_folder,
    make_config,
    parse_block_name,
    read_capacity,
    read_protection,
)
from hardware.ltfs.durability import RecordSync
from hardware.ltfs.mam import HEADER, MAX_VALUE, Attribute, Stored, pack, unpack
from hardware.ltfs.medium import Capacity, Mark, Position, Room, TapeMedium

RECORD_LIMIT: Final = 4 << 20
NOMINAL_RECORD: Final = 524288
"""What one block counts for in the capacity, whatever its size."""
MIN_CAPACITY_MB: Final = 64
_TEMPORARY: Final = ".new-attribute"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
# What stands in the folder may be a link or a pipe that a stranger put there: neither is followed or waited for.
_OLD: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BUSY: Final = "Wait until the other session has ended, or find out with fuser which program holds the folder."


class _Partition:
    """What is known of one partition: where its data end, and where its filemarks are."""

    def __init__(self) -> None:
        self.end = 0
        self.marks: list[int] = []

    def truncate(self, block: int) -> None:
        del self.marks[bisect.bisect_left(self.marks, block) :]
        self.end = block


class VirtualMedium:
    """A virtual cartridge as a :class:`~hardware.ltfs.medium.TapeMedium`. Made by :meth:`create` and :meth:`open`."""

    def __init__(self, folder: int, path: str, *, write: bool, uncached: bool) -> None:
        self._folder = folder
        self._path = path
        self._write = write
        self._uncached = uncached
        self._at = Position(0, 0)
        self._records = RecordSync()
        self._touched = False
        self._change_noted = False
        self._partitions = (_Partition(), _Partition())
        config = self._small_file(CONFIG, 65536)
        self._capacity_mb = read_capacity(config)
        self._protected = read_protection(config)
        self._scan()

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, capacity_mb: int = DEFAULT_CAPACITY_MB) -> VirtualMedium:
        """A blank cartridge at ``path``, which must not exist or be an empty folder; opened for writing.

        ``capacity_mb`` counts both partitions. Raises ``Refused``, ``Busy``, ``Unreachable``.
        """
        if capacity_mb < MIN_CAPACITY_MB:
            raise Refused(f"A virtual cartridge needs a capacity of {MIN_CAPACITY_MB} MB at least.")
        try:
            os.makedirs(path, mode=0o750, exist_ok=True)
            if os.listdir(path):
                raise Refused(f"{os.fspath(path)} is not empty.", remedy="Give a new folder for the cartridge.")
            name = os.path.join(path, CONFIG)
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                os.write(descriptor, make_config(capacity_mb))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fsync_folder(os.path.dirname(os.path.abspath(path)))
            fsync_folder(path)
        except OSError as error:
            raise _outage(f"The cartridge {os.fspath(path)} cannot be made", error) from error
        medium = cls.open(path, write=True)
        medium.write_attribute(0, Attribute.VOLUME_CHANGE_REFERENCE, 0, (1).to_bytes(4, "big"))
        return medium

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool = False, uncached: bool = False) -> VirtualMedium:
        """The cartridge at ``path``; one session that writes, or any number that read.

        With ``uncached``, each record's pages are dropped from the page cache before it is read, so that what is
        read comes from the disk. Raises ``NotFound``, ``Busy``, ``Unreachable``, ``Malformed``.
        """
        name = os.fspath(path)
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise NotFound(f"There is no virtual cartridge at {name}.") from error
            raise _outage(f"The cartridge {name} cannot be opened", error) from error
        try:
            fcntl.flock(folder, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return cls(folder, name, write=write, uncached=uncached)
        except BlockingIOError as error:
            os.close(folder)
            raise Busy(f"The cartridge {name} is in use.", remedy=_BUSY) from error
        except OSError as error:
            os.close(folder)
            raise _outage(f"The cartridge {name} cannot be locked", error) from error
        except BaseException:
            os.close(folder)
            raise

    # What the protocol asks for.

    @property
    def max_record(self) -> int:
        """4 MiB, as in the reference."""
        return RECORD_LIMIT

    @property
    def write_protected(self) -> bool:
        """Whether it was opened for reading only, or its tab is set."""
        return self._protected or not self._write

    @property
    def tab_set(self) -> bool:
        """Whether the cartridge itself forbids writing."""
        return self._protected

    @property
    def is_open(self) -> bool:
        """Whether it was not yet let go of."""
        return self._folder >= 0

    def position(self) -> Position:
        """Where the tape stands."""
        self._check()
        return self._at

    def locate(self, partition: int, block: int) -> Position:
        """Go to a block, or to the end of data where it lies beyond."""
        self._check()
        if partition not in {0, 1}:
            raise Refused(f"The cartridge {self._path} has no partition {partition}.")
        self._at = Position(partition, min(block, self._partitions[partition].end))
        return self._at

    def space_filemarks(self, count: int) -> Position:
        """Pass filemarks, forwards or backwards."""
        self._check()
        partition = self._partitions[self._at.partition]
        index = bisect.bisect_left(partition.marks, self._at.block)
        target = index + count - 1 if count > 0 else index + count
        if count and not 0 <= target < len(partition.marks):
            self._at = Position(self._at.partition, partition.end if count > 0 else 0)
            raise NotFound(f"There are not {abs(count)} filemarks in that direction.")
        if count:
            self._at = Position(self._at.partition, partition.marks[target] + (1 if count > 0 else 0))
        return self._at

    def read(self) -> bytes | Mark:
        """The next record, or the mark that stands there."""
        self._check()
        number, block = self._at.partition, self._at.block
        partition = self._partitions[number]
        if block >= partition.end:
            return Mark.END_OF_DATA
        found = bisect.bisect_left(partition.marks, block)
        if found < len(partition.marks) and partition.marks[found] == block:
            self._at = Position(number, block + 1)
            return Mark.FILEMARK
        record = self._record(number, block)
        self._at = Position(number, block + 1)
        return record

    def write(self, record: bytes | bytearray | memoryview) -> Room:
        """Write a record. It is durable after the next flush."""
        if not 0 < len(record) <= RECORD_LIMIT:
            raise Refused(f"A record of {len(record)} bytes cannot be written; 1 to {RECORD_LIMIT} are possible.")
        at = self._begin_block()
        name = f"{at.partition}_{at.block}_R"
        try:
            # Not 0200, as the reference makes them: that could be read by root alone.
            descriptor = os.open(name, _NEW, 0o640, dir_fd=self._folder)
            try:
                view = memoryview(record)
                while view:
                    view = view[os.write(descriptor, view) :]
            except BaseException:
                os.close(descriptor)
                raise
            self._records.begin(descriptor)
            self._commit_block()
        except OSError as error:
            if self._at == at:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
            self._fail(f"Block {at} cannot be written", error)
        return self._room(at)

    def write_filemarks(self, count: int = 1, *, flush: bool = True) -> Room:
        """Write filemarks; with ``flush`` all that was written before them is durable first, and then they are."""
        at = self._begin_block() if count else self.position()
        try:
            if flush:
                self._sync()
            for number in range(count):
                at = self._at if number == 0 else self._begin_block()
                os.close(os.open(f"{at.partition}_{at.block}_F", _NEW, 0o640, dir_fd=self._folder))
                self._partitions[at.partition].marks.append(at.block)
                self._commit_block()
            if flush and count:
                self._sync()
        except OSError as error:
            self._fail(f"The filemark at {at} cannot be written", error)
        return self._room(at)

    def capacity(self, partition: int) -> Capacity:
        """Room in a partition; each block counts 512 KiB."""
        self._check()
        maximum = self._blocks(partition)
        used = min(self._partitions[partition].end, maximum)
        return Capacity(maximum * NOMINAL_RECORD, (maximum - used) * NOMINAL_RECORD, NOMINAL_RECORD)

    def attribute(self, partition: int, identifier: int) -> bytes:
        """The value of an attribute."""
        self._check()
        data = self._small_file(f"attr_{partition}_{identifier:x}", MAX_VALUE + HEADER.size)
        stored = unpack(data)
        if stored.identifier != identifier:
            raise Malformed(f"attr_{partition}_{identifier:x} of {self._path} holds attribute {stored.identifier:x}.")
        return stored.value

    def write_attribute(self, partition: int, identifier: int, kind: int, value: bytes) -> None:
        """Set an attribute durably."""
        self._writable()
        try:
            descriptor = os.open(_TEMPORARY, _NEW, 0o640, dir_fd=self._folder)
            try:
                os.write(descriptor, pack(Stored(identifier, kind, value)))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            name = f"attr_{partition}_{identifier:x}"
            os.rename(_TEMPORARY, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as error:
            self._fail(f"Attribute {identifier:x} cannot be written", error)

    def partition_medium(self) -> None:
        """Two empty partitions."""
        self._writable()
        self._note_change()
        try:
            for number in (1, 0):
                self._truncate(number, 0)
            self._sync()
        except OSError as error:
            self._fail("The cartridge cannot be emptied", error)
        self._at = Position(0, 0)

    def close(self) -> None:
        """Let go of the folder. Records that were not flushed stay, and may not survive a power cut."""
        self._records.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # How it is done.

    def _check(self) -> None:
        if self._folder < 0:
            raise MediumChanged(f"The cartridge {self._path} was unloaded.")

    def _writable(self) -> None:
        self._check()
        if not self._write:
            raise Refused(f"The cartridge {self._path} was opened for reading.")
        if self._protected:
            raise Refused(f"The cartridge {self._path} is write-protected.", remedy="Move its tab to write to it.")

    def _fail(self, what: str, error: OSError) -> NoReturn:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise Full(
                f"{what} in {self._path}: the disk below it is full.", remedy="Make room on the disk."
            ) from error
        raise _outage(f"{what} in {self._path}", error) from error

    def _scan(self) -> None:
        """Find the ends of data and the filemarks; when writing, remove what stands behind the ends."""
        ends: tuple[list[int], list[int]] = ([], [])
        marks: tuple[list[int], list[int]] = ([], [])
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if (block := parse_block_name(entry.name)) and block[2] != "R":
                        (ends if block[2] == "E" else marks)[block[0]].append(block[1])
            for number, partition in enumerate(self._partitions):
                # Of several ends the first holds, as in the reference.
                partition.end = min(ends[number]) if ends[number] else self._find_end(number)
                partition.marks = sorted(block for block in marks[number] if block < partition.end)
                if self._write and not self._protected:
                    self._tidy(number, ends[number])
        except OSError as error:
            raise _outage(f"The cartridge {self._path} cannot be read", error) from error

    def _find_end(self, number: int) -> int:
        """The end of data is not marked: it is behind the last block that follows on another without a gap."""
        with os.scandir(self._folder) as entries:
            found = {block[1] for entry in entries if (block := parse_block_name(entry.name)) and block[0] == number}
        end = 0
        while end in found:
            end += 1
        return end

    def _tidy(self, number: int, ends: list[int]) -> None:
        end = self._partitions[number].end
        with os.scandir(self._folder) as entries:
            stale = [
                entry.name
                for entry in entries
                if (block := parse_block_name(entry.name))
                and block[0] == number
                and (block[1] > end or (block[1] == end and block[2] != "E"))
            ]
        for name in stale:
            os.unlink(name, dir_fd=self._folder)
        if not ends:
            os.close(os.open(f"{number}_{end}_E", _NEW, 0o640, dir_fd=self._folder))
        if stale or not ends:
            os.fsync(self._folder)

    def _record(self, number: int, block: int) -> bytes:
        name = f"{number}_{block}_R"
        try:
            descriptor = os.open(name, _OLD, dir_fd=self._folder)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.EISDIR}:
                raise Corrupted(f"Block {self._at} of {self._path} is missing: there is no file {name}.") from error
            raise _outage(f"Block {self._at} of {self._path} cannot be read", error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= RECORD_LIMIT:
                raise Corrupted(f"{name} of {self._path} cannot be a record: it has {status.st_size} bytes.")
            if self._uncached:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            record = os.read(descriptor, status.st_size)
            if len(record) != status.st_size:
                raise Corrupted(f"{name} of {self._path} ends early.")
        except OSError as error:
            if error.errno == errno.EIO:
                raise Corrupted(f"Block {self._at} of {self._path} cannot be read: {error.strerror}.") from error
            raise _outage(f"Block {self._at} of {self._path} cannot be read", error) from error
        finally:
            os.close(descriptor)
        return record

    def _small_file(self, name: str, limit: int) -> bytes:
        try:
            descriptor = os.open(name, _OLD, dir_fd=self._folder)
        except FileNotFoundError as error:
            raise NotFound(f"The cartridge {self._path} has no {name}.") from error
        except OSError as error:
            raise _outage(f"{name} of {self._path} cannot be read", error) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Malformed(f"{name} of {self._path} is no file.")
            data = os.read(descriptor, limit + 1)
        except OSError as error:
            raise _outage(f"{name} of {self._path} cannot be read", error) from error
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise Malformed(f"{name} of {self._path} has more than {limit} bytes.")
        return data

    def _begin_block(self) -> Position:
        """Make ready to write at the position: what stood there and behind it is gone."""
        self._writable()
        if self._records.lost:
            self._fail("An earlier block was lost", self._records.lost)
        at = self._at
        if at.block >= self._blocks(at.partition):
            raise Full(f"The cartridge {self._path} is at its end.", remedy="Go on with another cartridge.")
        self._note_change()
        if at.block < self._partitions[at.partition].end:
            try:
                self._truncate(at.partition, at.block)
            except OSError as error:
                self._fail(f"The tape cannot be cut at {at}", error)
        self._touched = True
        return at

    def _commit_block(self) -> None:
        """The block at the position is whole: the end of data moves behind it."""
        number, block = self._at.partition, self._at.block
        self._move_end(number, block, block + 1)
        self._partitions[number].end = block + 1
        self._at = Position(number, block + 1)

    def _move_end(self, number: int, old: int, new: int) -> None:
        os.rename(f"{number}_{old}_E", f"{number}_{new}_E", src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _truncate(self, number: int, block: int) -> None:
        partition = self._partitions[number]
        old = partition.end
        if old == block:
            return
        self._move_end(number, old, block)
        partition.truncate(block)
        for gone in range(block, old):
            for kind in "RF":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{number}_{gone}_{kind}", dir_fd=self._folder)
        self._touched = True

    def _note_change(self) -> None:
        """Before the first write since loading, the volume change reference grows, so that coherency records expire."""
        if self._change_noted:
            return
        try:
            reference = int.from_bytes(self.attribute(0, Attribute.VOLUME_CHANGE_REFERENCE), "big")
        except NotFound:
            reference = 0
        value = (reference % 0xFFFFFFFE + 1).to_bytes(4, "big")
        self.write_attribute(0, Attribute.VOLUME_CHANGE_REFERENCE, 0, value)
        self._change_noted = True

    def _sync(self) -> None:
        self._records.wait()
        if self._touched:
            os.fsync(self._folder)
            self._touched = False

    def _index_mb(self) -> int:
        return self._capacity_mb * 5 // 100

    def _blocks(self, partition: int) -> int:
        """How many blocks a partition has. The reference gives 5 % to the index; ours has never less than 64."""
        if partition == 0:
            return max(self._index_mb() * 2, 64)
        return (self._capacity_mb - self._index_mb()) * 2

    def _room(self, at: Position) -> Room:
        # The reference keeps half an index partition's worth of the data partition for the last index.
        reserve = max(self._index_mb(), 16) if at.partition else 16
        return Room.EARLY_WARNING if self._at.block >= self._blocks(at.partition) - reserve else Room.AMPLE


if TYPE_CHECKING:

    def _fits(medium: VirtualMedium) -> TapeMedium:
        return medium


def _outage(what: str, error: OSError) -> Unreachable:
    return Unreachable(f"{what}: {error.strerror or error}.", remedy="Check the disk that holds it, and its rights.")
