"""Which index is the last? Labels, cartridge memory and the ends of both partitions, weighed against one another.

The index partition is asked first. Its index is taken at once only where cartridge memory says that nothing was written
since, where its back pointer leads to the last index of the data partition, and where that one is the last thing on it:
a drive has been seen to claim coherence for a volume on which a session had died. Otherwise both partitions
are searched backwards from their ends, and the higher generation holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from hardware.errors import Corrupted, Full, HardwareError, Malformed, NotFound, NoVolume, Unreachable, Unsupported
from hardware.ltfs import safexml
from hardware.ltfs.label import Label, parse_label, parse_vol1
from hardware.ltfs.mam import Attribute, Coherency, parse_coherency
from hardware.ltfs.medium import END, Mark, Position, TapeMedium
from hardware.ltfs.model import Entry, IndexHeader, Location
from hardware.ltfs.parse import IndexParser, NameComesLate, directory_names, parse_index

_PIECE: Final = 1 << 19
_FIRST_INDEX: Final = 5


class IndexCopy:
    """An index that was read from tape into a spool file, checked from end to end."""

    def __init__(
        self, spool: IO[bytes], header: IndexHeader, names: Sequence[str] | None, end: int, *, closed: bool
    ) -> None:
        self.header = header
        self.names: Sequence[str] | None = names
        self.end = end
        """The block behind it, and behind its filemark where it has one."""
        self.closed = closed
        """Whether a filemark follows it."""
        self._spool = spool
        self.size = os.fstat(spool.fileno()).st_size

    def pieces(self) -> Iterator[bytes]:
        """Its XML."""
        return read_spool(self._spool)

    def entries(self) -> Iterator[Entry]:
        """All files and directories, in the order of the index, a directory after its contents."""
        return parse_index(self.pieces(), names=self.names)

    def close(self) -> None:
        """Let go of the spool file."""
        self._spool.close()


@dataclass(frozen=True, slots=True)
class LastIndex:
    """The last consistent index, and what speaks for and against the volume's being whole.

    ``on_index`` and ``on_data`` are where the last indexes of the two partitions stand (None: there is none), with the
    generation of each. ``unindexed_blocks`` stand behind the data partition's last index: what a session left
    that was never completed. ``coherent``: cartridge memory agrees. ``chain_intact`` is
    false where the index partition's index points to something else than the data partition's last index.
    """

    copy: IndexCopy
    on_index: Location | None
    on_index_generation: int
    on_data: Location | None
    on_data_generation: int
    data_closed: bool
    unindexed_blocks: int
    coherent: bool
    chain_intact: bool
    remarks: tuple[str, ...] = ()

    @property
    def header(self) -> IndexHeader:
        """What the index says of itself."""
        return self.copy.header

    @property
    def clean(self) -> bool:
        """Whether both partitions end in the same generation, and nothing stands behind it."""
        return (
            self.on_index_generation == self.on_data_generation == self.header.generation
            and self.unindexed_blocks == 0
            and self.chain_intact
        )


def read_spool(spool: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a spool file from its beginning; any number may be at it at once."""
    at = 0
    while piece := os.pread(spool.fileno(), _PIECE, at):
        at += len(piece)
        yield piece


def write_spool(spool: IO[bytes], data: bytes) -> None:
    """Append to a spool file, all of it."""
    view = memoryview(data)
    while view:
        view = view[spool.write(view) :]


@contextlib.contextmanager
def new_spool(folder: str | os.PathLike[str] | None) -> Iterator[IO[bytes]]:
    """A nameless temporary file that is closed where the body fails."""
    spool: IO[bytes] | None = None
    try:
        spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  -- outlives this function
        yield spool
    except BaseException as error:
        if spool is not None:
            spool.close()
        if isinstance(error, OSError):
            where = os.fspath(folder) if folder is not None else tempfile.gettempdir()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Full(f"There is no room for the index in {where}.", remedy="Make room there.") from error
            raise Unreachable(f"The index cannot be spooled in {where}: {error.strerror}.") from error
        raise


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of both partitions, and which letter is which physical partition."""

    label: Label
    letters: tuple[str, str]
    remarks: tuple[str, ...] = ()

    def number(self, letter: str) -> int:
        """The physical partition of a letter. ``Malformed`` where the volume has no such partition."""
        if letter not in self.letters:
            raise Malformed(f"The volume has no partition {letter!r}.")
        return self.letters.index(letter)


def read_labels(medium: TapeMedium) -> Labels:
    """Both labels. One damaged label is made up for by the other, with a remark.

    Raises ``NoVolume`` for a blank or foreign medium, ``Malformed`` where the labels contradict each other.
    """
    labels: list[Label | None] = []
    failures: list[HardwareError] = []
    for number in (0, 1):
        try:
            labels.append(_read_label(medium, number))
        except Unsupported:
            raise
        except (NotFound, Corrupted) as error:
            labels.append(None)
            failures.append(error)
    first, second = labels
    if first is None and second is None:
        raise next((failure for failure in failures if isinstance(failure, Corrupted)), failures[0])
    remarks: tuple[str, ...] = ()
    if first is None or second is None:
        remarks = (f"The label of physical partition {labels.index(None)} is lost: {failures[0].message}",)
        first, second = first or (second.other if second else None), second or (first.other if first else None)
    if first is None or second is None or first.other != second:
        raise Malformed("The labels of the two partitions contradict each other.", remedy="Look at it with ltfsck.")
    return Labels(first, (first.partition, second.partition), remarks)


def _read_label(medium: TapeMedium, number: int) -> Label:
    medium.locate(number, 0)
    vol1 = medium.read()
    if vol1 is Mark.END_OF_DATA:
        raise NoVolume("The cartridge is blank.", remedy="Format it.")
    if not isinstance(vol1, bytes):
        raise NoVolume("The cartridge begins with a filemark; no LTFS volume does.")
    serial = parse_vol1(vol1)
    if medium.read() is not Mark.FILEMARK or not isinstance(xml := medium.read(), bytes):
        raise Malformed(f"The label of physical partition {number} is not whole.")
    label = parse_label(xml, serial=serial)
    if medium.read() is not Mark.FILEMARK:
        raise Malformed(f"No filemark ends the label of physical partition {number}.")
    return label


def read_index(
    medium: TapeMedium,
    labels: Labels,
    location: Location,
    *,
    spool: str | os.PathLike[str] | None = None,
    limits: safexml.Limits | None = None,
) -> IndexCopy:
    """The index at a place, checked from end to end. Raises ``Malformed`` where there is none, ``Corrupted``."""
    medium.locate(labels.number(location.partition), location.block)
    record = medium.read()
    if not isinstance(record, bytes) or not record.startswith((b"<?xml", b"<ltfsindex")):
        raise Malformed(f"No index begins at {location}.")
    blocksize = labels.label.blocksize
    with new_spool(spool) as file:
        parser: IndexParser | None = IndexParser(blocksize=blocksize, limits=limits)
        names: list[str] | None = None
        blocks = 0
        while isinstance(record, bytes):
            if parser is not None:
                try:
                    parser.feed(record)
                except NameComesLate:
                    parser = None
            write_spool(file, record)
            blocks += 1
            record = medium.read()
        if parser is None:
            names = directory_names(read_spool(file), limits=limits)
            parser = IndexParser(blocksize=blocksize, names=names, limits=limits)
            for piece in read_spool(file):
                parser.feed(piece)
        header = parser.close()
        if header.volume_uuid != labels.label.volume_uuid:
            raise Malformed(f"The index at {location} belongs to another volume, {header.volume_uuid}.")
        if header.location != location:
            raise Malformed(f"The index at {location} says that it stands at {header.location}.")
        if header.previous and header.previous.partition != labels.label.data_partition:
            raise Malformed(f"The index at {location} points back to partition {header.previous.partition!r}.")
        closed = record is Mark.FILEMARK
        return IndexCopy(file, header, names, location.block + blocks + closed, closed=closed)


def _coherency(medium: TapeMedium, number: int, uuid: str) -> Coherency | None:
    """The coherency record of a partition, where it can be believed."""
    try:
        reference = int.from_bytes(medium.attribute(0, Attribute.VOLUME_CHANGE_REFERENCE), "big")
        record = parse_coherency(medium.attribute(number, Attribute.COHERENCY))
    except (NotFound, Corrupted):
        return None
    usable = reference not in {0, 0xFFFFFFFF} and record.change_reference == reference
    return record if usable and record.volume_uuid == uuid and record.version else None


def find_last_index(
    medium: TapeMedium,
    labels: Labels,
    *,
    spool: str | os.PathLike[str] | None = None,
    limits: safexml.Limits | None = None,
) -> LastIndex:
    """The last consistent index. Raises ``Corrupted`` where the labels are whole and no index can be read."""
    label = labels.label
    index, data = labels.number(label.index_partition), labels.number(label.data_partition)
    on_index = _coherency(medium, index, label.volume_uuid)
    on_data = _coherency(medium, data, label.volume_uuid)
    if on_index and on_data and on_index.generation == on_data.generation:
        with contextlib.suppress(Corrupted):
            location = Location(label.index_partition, on_index.block)
            copy = read_index(medium, labels, location, spool=spool, limits=limits)
            last = Location(label.data_partition, on_data.block)
            agrees = copy.header.generation == on_index.generation and copy.header.previous == last and copy.closed
            if agrees and _checked(copy, medium, data, on_data.block):
                return LastIndex(
                    copy=copy,
                    on_index=location,
                    on_index_generation=on_index.generation,
                    on_data=last,
                    on_data_generation=on_data.generation,
                    data_closed=True,
                    unindexed_blocks=0,
                    coherent=True,
                    chain_intact=True,
                    remarks=labels.remarks,
                )
            copy.close()
    return _search(medium, labels, spool, limits)


def _checked(copy: IndexCopy, medium: TapeMedium, number: int, block: int) -> bool:
    try:
        return _ends_with_index_at(medium, number, block)
    except BaseException:
        copy.close()
        raise


def _ends_with_index_at(medium: TapeMedium, number: int, block: int) -> bool:
    """Whether the last things on the partition are a filemark, blocks from ``block`` on, a filemark."""
    end = medium.locate(number, END)
    try:
        return medium.space_filemarks(-1) == Position(number, end.block - 1) and medium.space_filemarks(-1) == Position(
            number, block - 1
        )
    except NotFound:
        return False


def _search(
    medium: TapeMedium, labels: Labels, spool: str | os.PathLike[str] | None, limits: safexml.Limits | None
) -> LastIndex:
    label = labels.label
    remarks = list(labels.remarks)
    on_index, _ = _last_on(medium, labels, label.index_partition, remarks, spool=spool, limits=limits)
    try:
        on_data, unindexed = _last_on(medium, labels, label.data_partition, remarks, spool=spool, limits=limits)
    except BaseException:
        if on_index:
            on_index.close()
        raise
    if on_index is None and on_data is None:
        raise Corrupted(
            "The cartridge has the labels of an LTFS volume and no index that can be read.",
            remedy="Keep it write-protected, and try ltfsck --deep-recovery on a copy of it." + "".join(remarks),
        )
    data_place = on_data.header.location if on_data else None
    intact = True
    if on_data is None or (on_index and on_index.header.generation > on_data.header.generation):
        intact = on_index is not None and on_index.header.previous == data_place
    elif on_index and on_index.header.generation == on_data.header.generation:
        intact = on_index.header.previous in {data_place, None}
    use_index = on_index is not None and (
        on_data is None
        or on_index.header.generation > on_data.header.generation
        or (on_index.header.generation == on_data.header.generation and on_index.header.previous == data_place)
    )
    if not intact:
        remarks.append("The index partition's index does not point to the last index of the data partition.")
    copy, other = (on_index, on_data) if use_index else (on_data, on_index)
    if other:
        other.close()
    if copy is None:  # pragma: no cover  -- excluded above; said for the type checker
        raise Corrupted("No index can be read.")
    return LastIndex(
        copy=copy,
        on_index=on_index.header.location if on_index else None,
        on_index_generation=on_index.header.generation if on_index else 0,
        on_data=data_place,
        on_data_generation=on_data.header.generation if on_data else 0,
        data_closed=on_data.closed if on_data else True,
        unindexed_blocks=unindexed,
        coherent=False,
        chain_intact=intact,
        remarks=tuple(remarks),
    )


def _last_on(
    medium: TapeMedium,
    labels: Labels,
    letter: str,
    remarks: list[str],
    *,
    spool: str | os.PathLike[str] | None,
    limits: safexml.Limits | None,
) -> tuple[IndexCopy | None, int]:
    """The last whole index of a partition, from its end backwards, and how many blocks stand behind it."""
    number = labels.number(letter)
    end = medium.locate(number, END).block
    try:
        mark = medium.space_filemarks(-1)
        if mark.block == end - 1:
            mark = medium.space_filemarks(-1)
        while mark.block >= _FIRST_INDEX - 1:
            try:
                copy = read_index(medium, labels, Location(letter, mark.block + 1), spool=spool, limits=limits)
            except Malformed:
                # Not every run of blocks behind a filemark is an index: data of a session that never ended, for one.
                pass
            except Corrupted as error:
                remarks.append(f"What may be an index at ({letter}, {mark.block + 1}) cannot be read: {error.message}")
            else:
                return copy, end - copy.end
            medium.locate(number, mark.block)
            mark = medium.space_filemarks(-1)
    except NotFound:
        pass
    return None, max(end - (_FIRST_INDEX - 1), 0)
