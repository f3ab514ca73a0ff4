"""A version's part as the tar that goes to tape: made from proven disk copies, and checked against its inventory.

The tar holds what an OCFL object has of that version: the declaration, the inventory with its sidecar at the root and
in ``vN/``, and ``vN/content/…``. Unpacking v1 to vN over one another gives the object.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from vault.errors import Corrupted, Interrupted, Invalid, NotFound, Unreachable, VaultError
from vault.formats.archive import ArchiveLimits, Member, MemberKind
from vault.formats.ocfl import INVENTORY_FILE, MAX_INVENTORY_BYTES, object_declaration, sidecar_bytes, sidecar_name
from vault.formats.ocfl.reading import parse_inventory
from vault.formats.tar import read_tar
from vault.formats.tar_writer import TarWriter
from vault.tapes.context import Doing
from vault.volumes.base import CheckReport, Finding, FindingKind, Part, Volume

OVERHEAD_PER_FILE: Final = 2048
"""Bytes that a member takes in a tar beside its content, mostly less: for telling beforehand what fits."""

_LIMITS: Final = ArchiveLimits(max_depth=4096, max_name_bytes=16384)
_MOST_FINDINGS: Final = 1000


def estimated_length(files: int, part_bytes: int) -> int:
    """About how long a part's tar will be, rather more than less."""
    return part_bytes + (files + 8) * OVERHEAD_PER_FILE + 65536


@dataclass
class Made:
    """A tar that was made: its length, and what was wrong with sources that were read on the way, by their names."""

    length: int = 0
    files: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


def make_tar(part: Part, inventory: bytes, sources: Sequence[Volume], out: BinaryIO, made: Made, doing: Doing) -> None:
    """Write the part's tar into ``out``, each file from the first source that has it right.

    ``out`` can seek: what turns out wrong is written over. Raises Corrupted (``no-good-source``), Unreachable,
    Interrupted.
    """
    writer = TarWriter(out.write)
    files = parse_inventory(inventory).content_of_version_part(part.number)
    for name, data in _frame(part, inventory):
        writer.file(name, len(data), [data])
    for path, digest in sorted(files.items()):
        _one_file(writer, part, path, digest, sources, out, made, doing)
    writer.close()
    made.length = writer.offset
    made.files = len(files)


def _frame(part: Part, inventory: bytes) -> list[tuple[str, bytes]]:
    """What stands before the content."""
    algorithm = str(part.algorithm)
    sidecar = sidecar_bytes(inventory, algorithm)
    folder = f"v{part.number}"
    return [
        object_declaration(),
        (INVENTORY_FILE, inventory),
        (sidecar_name(algorithm), sidecar),
        (f"{folder}/{INVENTORY_FILE}", inventory),
        (f"{folder}/{sidecar_name(algorithm)}", sidecar),
    ]


def _one_file(
    writer: TarWriter,
    part: Part,
    path: str,
    expected: str,
    sources: Sequence[Volume],
    out: BinaryIO,
    made: Made,
    doing: Doing,
) -> None:
    unreachable: VaultError | None = None
    start = writer.offset
    for source in sources:
        digest = hashlib.new(str(part.algorithm), usedforsecurity=False)
        try:
            size = _size(source, part.object_id, path)
            writer.file(path, size, _watched(source.read(part.object_id, path), digest.update, part, doing))
            if digest.hexdigest() == expected:
                made.used.add(source.name)
                return
            made.wrong.setdefault(source.name, f"{path} has another digest")
        except NotFound:
            made.wrong.setdefault(source.name, f"{path} is missing")
        except Unreachable as error:
            unreachable = error
        except Interrupted as error:
            if error.code != "source-changed":
                raise
            made.wrong.setdefault(source.name, f"{path} has another size")
        out.seek(start)
        out.truncate()
        writer.offset = start
    if unreachable is not None:
        raise unreachable
    raise Corrupted(
        f"No good copy on disk has {path} of {part.object_id} right.",
        remedy="Look at vaultctl packages show; the copies are checked again now.",
        code="no-good-source",
    )


def _watched(
    chunks: Iterator[memoryview], update: Callable[[memoryview], None], part: Part, doing: Doing
) -> Iterator[bytes]:
    for chunk in chunks:
        if doing.cancelled():
            raise Interrupted(f"Reading {part.object_id} v{part.number} was stopped.")
        update(chunk)
        doing.progress(len(chunk))
        yield bytes(chunk)


def _size(source: Volume, object_id: str, path: str) -> int:
    descriptor = source.open(object_id, path)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


class Pieces:
    """An iterator of bytes as a stream that can be read."""

    def __init__(self, pieces: Iterator[bytes], progress: Callable[[int], None] = lambda _count: None) -> None:
        self._pieces = pieces
        self._progress = progress
        self._held = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._progress(len(piece))
            self._held = memoryview(piece)
        taken, self._held = self._held[:size], self._held[size:]
        return bytes(taken)


class TarTaker:
    """What is done with the members of a part's tar while it is read: by default nothing."""

    def begin(self, path: str) -> Callable[[bytes], None]:
        """A member follows; returns what takes its bytes."""
        _ = path
        return lambda _data: None

    def end(self, path: str) -> None:
        """The member is over."""


def read_part(stream: Pieces, part: Part, doing: Doing, taker: TarTaker | None = None) -> CheckReport:
    """Read a part's tar to its end and compare every digest; hand each member's bytes to ``taker`` on the way.

    What is wrong stands in the report. Errors of the stream pass through. Raises Interrupted.
    """
    algorithm = str(part.algorithm)
    found: dict[str, str] = {}
    inventory = b""
    total = 0
    taker = taker or TarTaker()
    try:
        for member in read_tar(stream, _LIMITS):
            if member.kind is MemberKind.DIRECTORY:
                continue
            keep = member.name == f"v{part.number}/{INVENTORY_FILE}" and member.size <= MAX_INVENTORY_BYTES
            digest, kept = _digest_of(member, algorithm, taker, doing, keep=keep)
            found[member.name] = digest
            total += member.size
            inventory = kept if keep else inventory
    except Invalid as error:
        broken = Finding(FindingKind.MISMATCH, "the tar itself", error=error.code)
        return CheckReport((broken,), len(found), total)
    return CheckReport(tuple(_compare(part, found, inventory)[:_MOST_FINDINGS]), len(found), total)


def _digest_of(member: Member, algorithm: str, taker: TarTaker, doing: Doing, *, keep: bool) -> tuple[str, bytes]:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    kept = bytearray()
    take = taker.begin(member.name)
    for chunk in member.chunks():
        if doing.cancelled():
            raise Interrupted(f"Reading {member.name} was stopped.")
        digest.update(chunk)
        take(chunk)
        if keep:
            kept += chunk
    taker.end(member.name)
    return digest.hexdigest(), bytes(kept)


def _compare(part: Part, found: dict[str, str], inventory: bytes) -> list[Finding]:
    name = f"v{part.number}/{INVENTORY_FILE}"
    if name not in found:
        return [Finding(FindingKind.MISSING, name)]
    if found[name] != part.inventory_digest:
        return [Finding(FindingKind.MISMATCH, name, part.inventory_digest, found[name])]
    expected = dict(parse_inventory(inventory).content_of_version_part(part.number))
    for path, data in _frame(part, inventory):
        expected[path] = hashlib.new(str(part.algorithm), data, usedforsecurity=False).hexdigest()
    findings = [
        Finding(FindingKind.MISMATCH if path in found else FindingKind.MISSING, path, digest, found.get(path, ""))
        for path, digest in sorted(expected.items())
        if found.get(path) != digest
    ]
    return findings + [Finding(FindingKind.EXTRA, path) for path in sorted(found.keys() - expected.keys())]
