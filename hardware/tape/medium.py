"""A cartridge in a real drive, read through SG_IO: :class:`SgMedium` is the reading side of ``TapeMedium``.

Source: SSC-4/5 (LOCATE(16), SPACE(16), READ(6), READ POSITION long form), SPC-5 (READ ATTRIBUTE), as they were seen to
work with the reference implementation's volumes. Writing raises ``Refused``: on a real drive the LTFS tools do that.
"""

from __future__ import annotations

from typing import Final, NoReturn, Self

from hardware.errors import MediumChanged, NotFound, Refused, Unreachable, Unsupported
from hardware.ltfs.medium import END, Capacity, Mark, Position, Room
from hardware.tape.errors import NotUnderstood
from hardware.tape.pages import parse_attribute
from hardware.tape.sense import Key, error_of
from hardware.tape.sgio import MAX_TRANSFER, Direction, Reply, SgDevice

REMAINING_CAPACITY: Final = 0x0000
MAXIMUM_CAPACITY: Final = 0x0001
_MIB: Final = 1 << 20
_MOVE_TIMEOUT: Final = 1200.0
_READ_TIMEOUT: Final = 600.0
_BEGINNING: Final = (0x00, 0x04)
_END_OF_DATA: Final = (0x00, 0x05)
_NOTHING_SAID: Final = (0x00, 0x00)
_INVALID_COMMAND: Final = (0x20, 0x00)
_AT_BEGINNING: Final = 0x80
_MEDIUM_PARTITION: Final = 0x11
_FILEMARKS: Final = 1
_ATTRIBUTE_BYTES: Final = 4096
_READ_ONLY: Final = "Writing to a real drive by SG_IO is not done; the LTFS tools write."


class SgMedium:
    """The cartridge in a drive. The drive is ready, and its unit attentions were taken note of, before this is made."""

    def __init__(self, device: SgDevice, *, max_record: int = MAX_TRANSFER, release: bool = True) -> None:
        """``release``: closing the medium lets go of the device."""
        self._device = device
        self._max_record = min(max_record, MAX_TRANSFER)
        self._release = release
        self._changed: MediumChanged | None = None
        self._is_divided: bool | None = None

    @property
    def max_record(self) -> int:
        """What the adapter can take in one command."""
        return self._max_record

    @property
    def write_protected(self) -> bool:
        """Always: this medium is for reading."""
        return True

    def position(self) -> Position:
        """READ POSITION, long form."""
        return self._where()[0]

    def _where(self) -> tuple[Position, bool]:
        """The position, and whether the drive says that it is the beginning of a partition."""
        data = self._ask(bytes((0x34, 0x06, *bytes(8))), length=32)
        if len(data) < 32:
            raise NotUnderstood(f"{self._device.node} sent {len(data)} bytes as its position.")
        if data[0] & 0x0C:
            raise Unreachable(f"{self._device.node} does not know where the tape stands.", remedy="Load it again.")
        here = Position(int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:16], "big"))
        return here, bool(data[0] & _AT_BEGINNING)

    def locate(self, partition: int, block: int) -> Position:
        """LOCATE(16). The end of data is a place to stop at, and no error.

        The beginning of the tape is found by REWIND where a drive does not know LOCATE: so it can still be said what is
        on a cartridge, though no LTFS volume can be. Such a drive has been seen to say block 0 wherever it stood (tgt),
        so it is believed there only where it says that it is at a beginning. ``NotFound`` where there is no second
        partition; a drive that tells so is not sent there.
        """
        if partition not in {0, 1} or not 0 <= block <= END:
            raise Refused(f"There is no partition {partition}, block {block} on a tape of two partitions.")
        here, at_beginning = self._where()
        if here == Position(partition, block) and (block or at_beginning):
            return here
        if partition and not self._divided():
            raise NotFound(f"The cartridge in {self._device.node} has one partition only.")
        change = 0x02 if here.partition != partition else 0
        cdb = bytes((0x92, change, 0, partition, *block.to_bytes(8, "big"), *bytes(4)))
        reply = self._execute(cdb, timeout=_MOVE_TIMEOUT)
        if _ended(reply, _INVALID_COMMAND) and partition == block == 0:
            reply = self._execute(bytes((0x01, 0, 0, 0, 0, 0)), timeout=_MOVE_TIMEOUT)
        if not reply.good and not _stopped_at_end(reply):
            raise self._device.error(reply)
        return self.position()

    def _divided(self) -> bool:
        """Whether there is a second partition, by the mode page Medium Partition; True where a drive has no such page.

        For mhvtl's drives end (SIGSEGV) when they are sent to one that is not there, and so the daemon would wait for
        an answer as long as for a real tape that winds.
        """
        if self._is_divided is None:
            cdb = bytes((0x1A, 0x08, _MEDIUM_PARTITION, 0, 0xFF, 0))
            reply = self._execute(cdb, Direction.FROM_DEVICE, length=0xFF)
            page = reply.data[4:8] if reply.good else b""
            told = len(page) == 4 and page[0] & 0x3F == _MEDIUM_PARTITION
            self._is_divided = not told or page[3] > 0
        return self._is_divided

    def space_filemarks(self, count: int) -> Position:
        """SPACE(16) over filemarks."""
        if count:
            cdb = bytes((0x91, _FILEMARKS, 0, 0, *count.to_bytes(8, "big", signed=True), *bytes(4)))
            reply = self._execute(cdb, timeout=_MOVE_TIMEOUT)
            if _stopped_at_end(reply) or _ended(reply, _BEGINNING):
                raise NotFound(f"There are not {abs(count)} filemarks in that direction.")
            if not reply.good:
                raise self._device.error(reply)
        return self.position()

    def read(self) -> bytes | Mark:
        """READ(6), variable length, without SILI: the drive says how long a short record was."""
        cdb = bytes((0x08, 0, *self._max_record.to_bytes(3, "big"), 0))
        reply = self._execute(cdb, Direction.FROM_DEVICE, length=self._max_record, timeout=_READ_TIMEOUT)
        sense = reply.sense
        if reply.good:
            return self._checked(reply.data, self._max_record)
        if sense is None:
            raise self._device.error(reply)
        if sense.filemark:
            return Mark.FILEMARK
        if _stopped_at_end(reply):
            return Mark.END_OF_DATA
        if sense.wrong_length and sense.key in {Key.NO_SENSE, Key.RECOVERED_ERROR} and sense.information is not None:
            if sense.information < 0:
                raise Unsupported(
                    f"A record of {self._max_record - sense.information} bytes is longer than the {self._max_record} "
                    f"that {self._device.node} can pass on.",
                    remedy="Read it with an adapter that has larger transfers.",
                )
            return self._checked(reply.data, self._max_record - sense.information)
        raise self._device.error(reply)

    def write(self, record: bytes | bytearray | memoryview) -> Room:
        """Raises ``Refused``."""
        self._refuse(record)

    def write_filemarks(self, count: int = 1, *, flush: bool = True) -> Room:
        """Raises ``Refused``."""
        self._refuse(count, flush)

    def capacity(self, partition: int) -> Capacity:
        """From cartridge memory: attributes 0001h and 0000h, in MiB."""
        maximum, remaining = (
            int.from_bytes(self.attribute(partition, identifier), "big") * _MIB
            for identifier in (MAXIMUM_CAPACITY, REMAINING_CAPACITY)
        )
        return Capacity(maximum, remaining)

    def attribute(self, partition: int, identifier: int) -> bytes:
        """READ ATTRIBUTE, values from ``identifier`` on."""
        cdb = bytes(
            (
                0x8C,
                0,
                0,
                0,
                0,
                0,
                0,
                partition,
                *identifier.to_bytes(2, "big"),
                *_ATTRIBUTE_BYTES.to_bytes(4, "big"),
                0,
                0,
            )
        )
        try:
            value = parse_attribute(self._ask(cdb, length=_ATTRIBUTE_BYTES), identifier)
        except Unsupported:
            # Drives refuse the field rather than sending an empty list.
            value = None
        if value is None:
            raise NotFound(f"The cartridge memory has no attribute {identifier:04X}h for partition {partition}.")
        return value

    def write_attribute(self, partition: int, identifier: int, kind: int, value: bytes) -> None:
        """Raises ``Refused``."""
        self._refuse(partition, identifier, kind, value)

    def partition_medium(self) -> None:
        """Raises ``Refused``."""
        self._refuse()

    def close(self) -> None:
        """Let go of the medium."""
        if self._changed is None:
            self._changed = MediumChanged(f"The cartridge in {self._device.node} was let go of.")
        if self._release:
            self._device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # How it is done.

    def _refuse(self, *_what: object) -> NoReturn:
        raise Refused(_READ_ONLY, remedy="Mount the volume with ltfs.")

    def _checked(self, data: bytes, expected: int) -> bytes:
        if len(data) < expected or expected <= 0:
            raise NotUnderstood(
                f"{self._device.node} says that a record has {expected} bytes, and sent {len(data)}.",
                remedy="Check adapter and cables; read the record again.",
            )
        return data[:expected]

    def _ask(self, cdb: bytes, *, length: int) -> bytes:
        reply = self._execute(cdb, Direction.FROM_DEVICE, length=length)
        if not reply.good:
            raise self._device.error(reply)
        return reply.data

    def _execute(
        self, cdb: bytes, direction: Direction = Direction.NONE, *, length: int = 0, timeout: float = 60.0
    ) -> Reply:
        """One command. After a unit attention about medium or position nothing is sent any more."""
        if self._changed is not None:
            raise self._changed
        reply = self._device.settled(cdb, direction, length=length, timeout=timeout)
        if reply.sense is None or reply.sense.key is not Key.UNIT_ATTENTION:
            return reply
        error = error_of(reply.sense, self._device.node)
        self._changed = error if isinstance(error, MediumChanged) else MediumChanged(error.message)
        raise self._changed


def _ended(reply: Reply, code: tuple[int, int]) -> bool:
    return reply.sense is not None and (reply.sense.asc, reply.sense.ascq) == code


def _stopped_at_end(reply: Reply) -> bool:
    """Whether the end of data was met: sense 8/00/05; on a cartridge that is blank some drives say 8/00/00."""
    if reply.sense is None or reply.sense.key is Key.MEDIUM_ERROR:
        return False
    return _ended(reply, _END_OF_DATA) or (reply.sense.key is Key.BLANK_CHECK and _ended(reply, _NOTHING_SAID))
