"""Inflating gzip (RFC 1952) while it streams, with the limits enforced as bytes come out.

Fault codes: ``gzip-truncated``, ``gzip-damaged``, ``gzip-trailing-data``, ``archive-ratio``, ``archive-too-large``.
"""

from __future__ import annotations

import zlib

from vault.formats.archive import ArchiveLimits, ReadableStream
from vault.formats.names import refuse

_INPUT = 64 * 1024
_GZIP = 31  # zlib's wbits: the largest window, gzip wrapper with its CRC-32 and length checked
_MAX_EMPTY = 1024
_MAX_PADDING = 1024**2


def gunzip(source: ReadableStream, limits: ArchiveLimits) -> GunzipStream:
    """A stream of what the gzip in ``source`` inflates to; several gzip members one after the other are one stream.

    Its ``read`` raises Invalid for damaged, truncated or trailing bytes, and where a limit is passed. Zero bytes
    after the end are accepted, as gzip(1) does, up to 1 MiB.
    """
    return GunzipStream(source, limits)


class GunzipStream:
    """See `gunzip`. ``compressed`` and ``inflated`` count bytes so far."""

    def __init__(self, source: ReadableStream, limits: ArchiveLimits) -> None:
        self._source = source
        self._limits = limits
        self._inflater = zlib.decompressobj(_GZIP)
        self._pending = b""
        self._between = True  # at the start of a gzip member, or past the last
        self._members = 0
        self._empty = 0
        self._member_bytes = 0
        self._done = False
        self.compressed = 0
        self.inflated = 0

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` inflated bytes, ``b""`` at the end."""
        if size < 1:
            raise ValueError("ask for at least one byte")
        while not self._done:
            if not self._pending:
                self._pending = self._source.read(_INPUT)
                self.compressed += len(self._pending)
                if not self._pending and self._between and self._members:
                    self._done = True
                    break
            if self._between and not self._begin():
                continue
            piece = self._inflate(size)
            if piece:
                return piece
        return b""

    def _begin(self) -> bool:
        """Start the next gzip member; False when only padding was left."""
        if self._members and self._pending[:1] == b"\0":
            self._skip_padding()
            return False
        self._inflater = zlib.decompressobj(_GZIP)
        self._between = False
        self._member_bytes = 0
        return True

    def _skip_padding(self) -> None:
        seen = 0
        while self._pending:
            seen += len(self._pending)
            if self._pending.count(0) != len(self._pending) or seen > _MAX_PADDING:
                refuse("gzip-trailing-data", "there is data after the end of the gzip stream.")
            self._pending = self._source.read(_INPUT)
        self._done = True

    def _inflate(self, size: int) -> bytes:
        inflater = self._inflater
        at_end = not self._pending
        try:
            piece = inflater.decompress(self._pending, size)
        except zlib.error as error:
            if self._members and not self._member_bytes and not self._pending.startswith(b"\x1f"):
                refuse("gzip-trailing-data", "there is data after the end of the gzip stream.")
            refuse("gzip-damaged", f"the gzip stream is damaged ({error}).", remedy="Pack and send it again.")
        self._member_bytes += len(piece)
        self.inflated += len(piece)
        self._limits.check_ratio(self.inflated, self.compressed)
        if self.inflated > self._limits.max_total_bytes:
            refuse("archive-too-large", f"inflates to more than {self._limits.max_total_bytes} bytes.")
        if inflater.eof:
            self._pending = inflater.unused_data
            self._end_member()
        else:
            self._pending = inflater.unconsumed_tail
            if at_end and not piece:
                refuse("gzip-truncated", "the gzip stream was cut short.", remedy="Send it again, whole.")
        return piece

    def _end_member(self) -> None:
        self._between = True
        self._members += 1
        if not self._member_bytes:
            # Each costs work and gives nothing; honest writers end with one of them at the most.
            self._empty += 1
            if self._empty > _MAX_EMPTY:
                refuse("gzip-damaged", f"the gzip stream has more than {_MAX_EMPTY} empty members.")
