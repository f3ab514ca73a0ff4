"""Reading stored content for those who ask for it: from the best copy that answers, and hashed on the way.

Content goes out through the page cache: serving proves nothing and is not meant to. But nothing wrong leaves here as
if it were right: a file is hashed as it is served, what does not agree is broken off, the copy is doubted (which has it
checked at once, from the medium), and whoever asks again is given another one. A copy that stops answering in the midst
of a file is left for another, if that one has the same bytes so far.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

import structlog

from vault.api.inventories import Files, InventoryCache
from vault.api.parts import NodeParts
from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import record
from vault.custody.context import part_of
from vault.durable import describe_os_error
from vault.errors import Corrupted, NotFound, Unreachable, VaultError
from vault.formats.ocfl.inventory import version_number
from vault.formats.ocfl.object_ids import object_id
from vault.formats.ocfl.reading import parse_inventory
from vault.model import READABLE, Condition, Copy, CopyState, MediumClass, Version, VolumeMode

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

CHUNK: Final = 256 * 1024
"""How much is read at a time. A file that is no larger is proved before any of it is served."""

_ORDER: Final = {CopyState.GOOD: 0, CopyState.WRITTEN: 1, CopyState.SUSPECT: 2}


class OnlyOnTape(Exception):
    """No disk volume has it, or none that has it as it must be, but a tape does: a recall is needed."""


class Hash(Protocol):
    """A digest that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Take these bytes too."""

    def hexdigest(self) -> str:
        """The digest of what was taken so far."""


@dataclass(slots=True)
class Opened:
    """A content file open for reading. ``copy`` is whose it is, None for one in the recall cache; ``first`` are its
    first bytes, which were read to see whether it answers, until they are served; ``proved``: they are all of it, and
    their digest is right. ``tried`` are the copies that failed."""

    fd: int
    size: int
    digest: str
    content_path: str
    copy: Copy | None
    first: bytes
    proved: bool
    tried: set[int] = field(default_factory=set)

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return "the recall cache" if self.copy is None else repr(self.copy.volume)

    def close(self) -> None:
        """Close it; more than once does no harm."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Reader:
    """Reads one version of a package, for one request. All of it blocks.

    ``tick`` is called while work goes on that gives nothing to serve yet. ``at`` is the volume last turned to.
    """

    def __init__(self, node: NodeParts, version: Version) -> None:
        self._node = node
        self.version = version
        self.tick: Callable[[], None] = lambda: None
        self.at = ""
        self._object_id = object_id(version.identifier)
        self._copies: dict[int, list[tuple[Copy, Condition]]] = {}
        self._on_tape: set[int] = set()
        with node.catalogue.read() as tx:
            volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
            for copy in copies.of_package(tx, version.package_id):
                volume = volumes[copy.volume_id]
                if copy.state not in _ORDER or volume.mode is VolumeMode.RETIRED:
                    continue
                if volume.medium is MediumClass.TAPE:
                    self._on_tape.add(copy.number)
                elif volume.name in node.custodian.volumes:
                    self._copies.setdefault(copy.number, []).append((copy, volume.condition))
        for held in self._copies.values():
            held.sort(key=lambda pair: (_ORDER[pair[0].state], pair[1] is not Condition.ONLINE, pair[0].id))

    # --- what there is

    def files(self, cache: InventoryCache) -> Files:
        """What the version holds. Raises Unreachable, Corrupted, OnlyOnTape."""
        digest, number = self.version.inventory_digest, self.version.number
        found = cache.get(digest)
        if found is not None:
            return found
        part = part_of(self.version)
        with cache.loading.hold(digest):
            found = cache.get(digest)
            if found is None:
                found = self._files(
                    self._from_any(
                        number,
                        "its inventory",
                        lambda copy: self._node.custodian.volume(copy.volume).inventory(part),
                        self._recalled_inventory,
                    )
                )
                cache.put(digest, found)
        return found

    def _recalled_inventory(self) -> bytes | None:
        data = self._node.recaller.inventory(part_of(self.version))
        return data if data is not None and self._digest(data) == self.version.inventory_digest else None

    def _files(self, data: bytes) -> Files:
        inventory = parse_inventory(data)
        made = inventory.versions[inventory.version_name(self.version.number)].created
        created = datetime.fromisoformat(made.upper()).astimezone(UTC)
        return Files(inventory.files_of_version(self.version.number), created)

    def measure(self, files: Files) -> None:
        """See that the size of every file of the depositor's is known, and that each can be had from somewhere.

        Together they must be what was deposited: a file of the wrong length is found here, before an archive that
        speaks of it begins. Raises Unreachable, Corrupted, OnlyOnTape.
        """
        if files.sizes is not None and all(self._readable(number) for number in files.by_part):
            return
        sizes: dict[str, int] = {}
        chosen: dict[int, Copy | None] = {}
        for number, paths in files.by_part.items():
            chosen[number], found = self._sizes(number, paths)
            sizes.update(found)
        if self._total(files, sizes) != self.version.bytes:
            sizes = self._rectified(files, sizes, chosen)
        files.sizes = sizes

    def _sizes(
        self, number: int, paths: list[str], without: Collection[int] = ()
    ) -> tuple[Copy | None, dict[str, int]]:
        def attempt(copy: Copy) -> tuple[Copy | None, dict[str, int]]:
            found = self._node.custodian.volume(copy.volume).sizes(self._object_id, paths)
            return copy, dict(zip(paths, found, strict=True))

        def recalled() -> tuple[Copy | None, dict[str, int]] | None:
            found: dict[str, int] = {}
            for path in paths:
                fd = self._node.recaller.cached(self._object_id, path)
                if fd is None:
                    return None
                found[path] = os.fstat(fd).st_size
                os.close(fd)
            return None, found

        return self._from_any(number, "its files", attempt, recalled, without)

    @staticmethod
    def _total(files: Files, sizes: dict[str, int]) -> int:
        return sum(sizes[files.files[path][1]] for path in files.paths)

    def _rectified(self, files: Files, sizes: dict[str, int], chosen: dict[int, Copy | None]) -> dict[str, int]:
        """The sizes when they do not add up: some file of some copy is too long or too short, and others may not be."""
        reason = "its files are not as long together as what was deposited"
        for number, copy in chosen.items():
            tried = {copy.id} if copy else set()
            while len(tried) < len(self._readable(number)):
                other, found = self._sizes(number, files.by_part[number], tried)
                if other is None:
                    break
                tried.add(other.id)
                if self._total(files, sizes | found) == self.version.bytes:
                    if copy is not None:
                        self._doubt(copy, reason)
                    return sizes | found
        for copy in chosen.values():
            if copy is not None:
                self._doubt(copy, reason)
        raise self._no_good_copy(self.version.number, "its files")

    # --- one file

    def open(self, content_path: str, digest: str, size: int | None = None, without: Collection[int] = ()) -> Opened:
        """Open a file of the first copy that has it, in that ``size`` where it is known; one that fits into a chunk is
        proved at once.

        Raises Unreachable when no copy answers, Corrupted when none is right, OnlyOnTape.
        """

        def attempt(copy: Copy) -> Opened:
            fd = self._node.custodian.volume(copy.volume).open(self._object_id, content_path)
            return self._opened(Opened(fd, 0, digest, content_path, copy, b"", proved=False), size)

        def recalled() -> Opened | None:
            fd = self._node.recaller.cached(self._object_id, content_path)
            if fd is None:
                return None
            return self._opened(Opened(fd, 0, digest, content_path, None, b"", proved=False), size)

        return self._from_any(_part_number(content_path), content_path, attempt, recalled, without)

    def _opened(self, opened: Opened, size: int | None) -> Opened:
        try:
            opened.size = os.fstat(opened.fd).st_size
            opened.first = os.pread(opened.fd, CHUNK, 0)
        except OSError as error:
            opened.close()
            raise describe_os_error(error, f"reading {opened.content_path} on {opened.place}") from error
        opened.proved = len(opened.first) >= opened.size
        if size is not None and opened.size != size:
            opened.close()
            raise Corrupted(f"{opened.content_path} had {opened.size} bytes and not {size} when it was read out")
        if opened.proved and self._digest(opened.first) != opened.digest:
            opened.close()
            raise Corrupted(f"{opened.content_path} had another digest when it was read out")
        return opened

    def _digest(self, data: bytes) -> str:
        hasher = self._hash()
        hasher.update(data)
        return hasher.hexdigest()

    def _hash(self) -> Hash:
        return hashlib.new(str(self.version.algorithm), usedforsecurity=False)

    def whole(self, opened: Opened) -> Iterator[bytes]:
        """All of a file. The last piece comes only after the digest of the whole was found right, so that nobody can
        take wrong bytes for a complete file. Raises Corrupted, Unreachable; the copy is doubted then."""
        held, opened.first = opened.first, b""
        if not opened.proved:
            hasher = self._hash()
            hasher.update(held)
            at = len(held)
            while at < opened.size:
                chunk = self._read(opened, at, min(CHUNK, opened.size - at), hasher)
                if not chunk:
                    break
                yield held
                hasher.update(chunk)
                held, at = chunk, at + len(chunk)
            if hasher.hexdigest() != opened.digest:
                raise self._wrong(opened)
        if held:
            yield held

    def part(self, opened: Opened, start: int, length: int) -> Iterator[bytes]:
        """Bytes of a file. They are proved where they are all of it, or it fits into a chunk; else they are not: only
        the digest of the whole is known."""
        if length == opened.size:
            yield from self.whole(opened)
            return
        first, opened.first = opened.first, b""
        end = start + length
        while start < end:
            chunk = first[start:end] if opened.proved else self._read(opened, start, min(CHUNK, end - start))
            if not chunk:
                raise self._wrong(opened)
            yield chunk
            start += len(chunk)

    def checksum(self, files: Files, path: str) -> int:
        """The CRC-32 of a file, which is read for it, and proved, unless it is known."""
        digest, content_path = files.files[path]
        if digest not in files.checksums:
            opened = self.open(content_path, digest)
            try:
                for _ in self.summed(files, opened):
                    self.tick()
            finally:
                opened.close()
        return files.checksums[digest]

    def summed(self, files: Files, opened: Opened) -> Iterator[bytes]:
        """As :meth:`whole`; the CRC-32 is known afterwards."""
        checksum = 0
        for chunk in self.whole(opened):
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        files.checksums[opened.digest] = checksum

    def _wrong(self, opened: Opened) -> Corrupted:
        if opened.copy is not None:
            self._doubt(opened.copy, f"{opened.content_path} had another digest when it was read out")
        return Corrupted(
            f"{opened.content_path} of {self.version.identifier} on {opened.place} is not what it must be.",
            remedy="Ask again: another copy is read. This one is being checked.",
        )

    def _read(self, opened: Opened, at: int, size: int, so_far: Hash | None = None) -> bytes:
        """Bytes of the file, of another copy where this one does not give them. ``so_far`` is the digest of all before
        ``at``, where it is known: another copy must have the same until there."""
        while True:
            try:
                return os.pread(opened.fd, size, at)
            except OSError as error:
                failure = describe_os_error(error, f"reading {opened.content_path} on {opened.place}")
            if opened.copy is not None:
                opened.tried.add(opened.copy.id)
                self._unreadable(opened.copy, failure)
            self._change(opened, at, so_far, failure)

    def _change(self, opened: Opened, at: int, so_far: Hash | None, failure: VaultError) -> None:
        """Go on with another copy. Raises ``failure`` where there is none."""
        while True:
            try:
                other = self.open(opened.content_path, opened.digest, opened.size, opened.tried)
            except (VaultError, OnlyOnTape):
                raise failure from None
            if so_far is None or self._digest_until(other, at) == so_far.hexdigest():
                log.warning("read-on-elsewhere", identifier=self.version.identifier, path=opened.content_path, at=at,
                            was=opened.place, now=other.place)  # fmt: skip
                opened.close()
                opened.fd, opened.copy = other.fd, other.copy
                return
            other.close()
            if other.copy is None:
                raise failure
            opened.tried.add(other.copy.id)

    def _digest_until(self, other: Opened, end: int) -> str:
        hasher = self._hash()
        at = 0
        try:
            while at < end and (chunk := os.pread(other.fd, min(CHUNK, end - at), at)):
                hasher.update(chunk)
                at += len(chunk)
                self.tick()
        except OSError:
            return ""
        return hasher.hexdigest()

    # --- which copy, and what is noted of it

    def silent(self, seconds: float) -> Unreachable:
        """What to say when a reading has not come to its end: the volume is looked at, and may be found off-line."""
        if self.at:
            self._node.watch.look(self.at)
        return Unreachable(
            f"Nothing could be read on {self.at or 'any volume'} for {seconds:.0f} seconds.",
            remedy="Ask again in a minute: another copy is read once that volume is known not to answer.",
        )

    def _readable(self, number: int) -> list[Copy]:
        return [copy for copy, condition in self._copies.get(number, []) if condition in READABLE]

    def _from_any(
        self,
        number: int,
        what: str,
        attempt: Callable[[Copy], _T],
        recalled: Callable[[], _T | None],
        without: Collection[int] = (),
    ) -> _T:
        failed: Unreachable | None = None
        for copy in self._readable(number):
            if copy.id in without:
                continue
            self.at = copy.volume
            try:
                return attempt(copy)
            except (NotFound, Corrupted) as error:
                self._doubt(copy, error.message)
            except Unreachable as error:
                self._unreadable(copy, error)
                failed = error
        self.at = ""
        if number in self._on_tape:
            found = recalled()
            if found is None:
                raise OnlyOnTape
            return found
        if failed is not None:
            raise failed
        offline = [copy.volume for copy, condition in self._copies.get(number, []) if condition not in READABLE]
        if offline:
            raise Unreachable(
                f"{self.version.identifier} v{number} is only on volumes that are off-line: {', '.join(offline)}.",
                remedy="Bring one of them back, then ask again.",
                code="volume-offline",
            )
        raise self._no_good_copy(number, what)

    def _no_good_copy(self, number: int, what: str) -> Corrupted:
        return Corrupted(
            f"No copy of {self.version.identifier} v{number} has {what} as it must be.",
            remedy="Look at its copies; bring volumes that are away back, so that it can be repaired.",
            code="no-good-copy",
        )

    def _unreadable(self, copy: Copy, error: VaultError) -> None:
        """One file that cannot be read is a doubt about that copy; a volume that does not answer is an outage."""
        self._node.watch.look(copy.volume)
        if self._node.custodian.volume(copy.volume).probe().condition in READABLE:
            self._doubt(copy, error.message)

    def _doubt(self, copy: Copy, reason: str) -> None:
        custodian = self._node.custodian
        log.error("read-out-wrong", identifier=self.version.identifier, version=copy.number, volume=copy.volume,
                  reason=reason)  # fmt: skip
        try:
            with custodian.catalogue.write() as tx:
                version = packages.version_by_id(tx, copy.version_id)
                now = copies.get(tx, copy.id)
                if version is not None and now is not None:
                    record.doubted(custodian, tx, version, now, reason)
        except VaultError as error:
            log.error("doubt-not-recorded", identifier=self.version.identifier, code=error.code, reason=str(error))
        custodian.wake()


def _part_number(content_path: str) -> int:
    return version_number(content_path.partition("/")[0])
