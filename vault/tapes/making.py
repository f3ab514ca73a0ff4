"""A part's tar: made for the spool from proven disk copies, and read back from tape as a report of findings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hardware.tape.session import TapeSink
from vault.custody.context import part_of
from vault.errors import Corrupted, Interrupted, Invalid, NotFound, Unreachable, VaultError
from vault.formats import part_tar
from vault.formats.ocfl import INVENTORY_FILE, Inventory, object_path
from vault.formats.ocfl.reading import parse_inventory
from vault.model import Version
from vault.tapes.context import Doing
from vault.volumes.base import CheckReport, Finding, FindingKind, Part, Volume

OVERHEAD_PER_FILE: Final = 2048
"""Bytes that a member takes in a tar beside its content, mostly less: for telling beforehand what fits."""

_MOST_FINDINGS: Final = 1000


def estimated_length(files: int, part_bytes: int) -> int:
    """About how long a part's tar will be, rather more than less."""
    return part_bytes + (files + 8) * OVERHEAD_PER_FILE + 65536


def path_on_tape(version: Version) -> str:
    """Where a version's tar stands on any cartridge."""
    part = part_of(version)
    return f"packages/{object_path(part.object_id)}/v{version.number}.tar"


@dataclass
class Made:
    """A tar that was made: its length, and what was wrong with sources that were read on the way, by their names."""

    length: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


class _WrongError(Exception):
    """What was just read from a source is not right: the tar is begun anew without it."""

    def __init__(self, source: str, path: str, what: str) -> None:
        super().__init__(what)
        self.source, self.path, self.what = source, path, what


def make_tar(part: Part, inventory: bytes, sources: Sequence[Volume], file: Path, made: Made, doing: Doing) -> None:
    """Write the part's tar to ``file``, each file of it from the first source that has it right.

    Raises Corrupted (``no-good-source``), Unreachable, Interrupted, and OSError of ``file``.
    """
    bad: set[tuple[str, str]] = set()
    while True:
        try:
            with file.open("wb") as out:
                made.length = _make(part, inventory, _Choice(part, sources, bad), out.write, doing)
        except _WrongError as error:
            # Rare enough to begin anew: what is written so far may hold its bytes.
            bad.add((error.source, error.path))
            made.wrong.setdefault(error.source, f"{error.path} {error.what}")
        else:
            return


def tar_length(part: Part, inventory: bytes, sources: Sequence[Volume]) -> int:
    """How long the part's tar will be, to the byte. Raises Corrupted (``no-good-source``), Unreachable."""
    bad: set[tuple[str, str]] = set()
    while True:
        try:
            parsed, _, sizes = _measured(part, inventory, _Choice(part, sources, bad))
        except _WrongError as error:
            bad.add((error.source, error.path))
        else:
            return part_tar.part_layout(parsed, inventory, part.number, sizes).length


def stream_tar(
    part: Part,
    inventory: bytes,
    sources: Sequence[Volume],
    begin: Callable[[], TapeSink],
    made: Made,
    doing: Doing,
) -> None:
    """Write the part's tar straight to tape, where ``begin`` begins a file. What turns out wrong on the way is given up
    there, takes up its room for good, and is begun anew from another source.

    Raises what :func:`make_tar` raises, and what the sink raises; the file is then given up.
    """
    bad: set[tuple[str, str]] = set()
    while True:
        choice = _Choice(part, sources, bad)
        _measured(part, inventory, choice)  # what can be known to be wrong is known before a byte goes to tape
        sink = begin()
        try:
            made.length = _make(part, inventory, choice, sink.write, doing)
        except _WrongError as error:
            sink.abandon()
            bad.add((error.source, error.path))
            made.wrong.setdefault(error.source, f"{error.path} {error.what}")
        except VaultError:
            sink.abandon()
            raise
        else:
            sink.finish()
            return


@dataclass(frozen=True)
class _Choice:
    """Which source a file is read from, when some were found wrong."""

    part: Part
    sources: Sequence[Volume]
    bad: set[tuple[str, str]]

    def of(self, path: str) -> Volume:
        for source in self.sources:
            if (source.name, path) not in self.bad:
                return source
        raise Corrupted(
            f"No good copy on disk has {path} of {self.part.object_id} right.",
            remedy="Look at vaultctl packages show; the copies are checked again now.",
            code="no-good-source",
        )


def _measured(part: Part, inventory: bytes, choice: _Choice) -> tuple[Inventory, Mapping[str, str], dict[str, int]]:
    parsed = parse_inventory(inventory)
    digests = parsed.content_of_version_part(part.number)
    return parsed, digests, {path: _size(choice.of(path), part, path) for path in digests}


def _make(part: Part, inventory: bytes, choice: _Choice, write: Callable[[bytes], object], doing: Doing) -> int:
    parsed, digests, sizes = _measured(part, inventory, choice)
    return part_tar.write_part(
        write,
        parsed,
        inventory,
        part.number,
        sizes,
        lambda path: _content(choice.of(path), part, path, digests[path], sizes[path], doing),
    )


def _size(source: Volume, part: Part, path: str) -> int:
    try:
        descriptor = source.open(part.object_id, path)
    except NotFound as error:
        raise _WrongError(source.name, path, "is missing") from error
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _content(source: Volume, part: Part, path: str, expected: str, size: int, doing: Doing) -> Iterator[bytes]:
    digest = hashlib.new(str(part.algorithm), usedforsecurity=False)
    total = 0
    try:
        for chunk in source.read(part.object_id, path):
            if doing.cancelled():
                raise Interrupted(f"Reading {part.object_id} v{part.number} was stopped.")
            digest.update(chunk)
            total += len(chunk)
            doing.progress(len(chunk))
            yield bytes(chunk)
    except NotFound as error:
        raise _WrongError(source.name, path, "is missing") from error
    except Unreachable as error:
        if error.code == "io-error":
            raise _WrongError(source.name, path, "cannot be read") from error
        raise
    if total != size or digest.hexdigest() != expected:
        raise _WrongError(source.name, path, "has another digest")


class Pieces:
    """An iterator of bytes as a stream that can be read."""

    def __init__(self, pieces: Iterator[bytes], doing: Doing) -> None:
        self._pieces = pieces
        self._doing = doing
        self._held = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end. Raises Interrupted when the work is to stop."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            if self._doing.cancelled():
                raise Interrupted("Reading the tape was stopped.")
            self._doing.progress(len(piece))
            if len(piece) <= size:
                return piece
            self._held = memoryview(piece)
        taken, self._held = self._held[:size], self._held[size:]
        return bytes(taken)


def read_tar(
    stream: Pieces,
    part: Part,
    *,
    begin: Callable[[part_tar.PartHead], None] | None = None,
    take: part_tar.Taker | None = None,
) -> CheckReport:
    """Read a part's tar to its end and compare every byte; hand its head to ``begin`` and each file's bytes to ``take``
    on the way.

    What is wrong stands in the report; errors of the stream, of ``begin`` and of ``take`` pass through.
    """
    try:
        found = part_tar.read_part(stream, part.number, inventory_digest=part.inventory_digest, begin=begin, take=take)
    except Invalid as error:
        head = f"v{part.number}/{INVENTORY_FILE}"
        return CheckReport((Finding(FindingKind.MISMATCH, head, part.inventory_digest, error=error.code),), 0, 0)
    findings = [
        Finding(FindingKind.MISMATCH, wrong.path or "the end of the tar", wrong.expected, wrong.found)
        for wrong in found.wrong[:_MOST_FINDINGS]
    ]
    return CheckReport(tuple(findings), found.files, found.bytes)
