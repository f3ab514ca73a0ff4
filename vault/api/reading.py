"""Reading stored content for those who ask for it: from the best copy that answers, and hashed on the way.

Content goes out through the page cache: serving proves nothing and is not meant to. But nothing wrong leaves here as
if it were right: a file is hashed as it is served, what does not agree is broken off, the copy is doubted (which has it
checked at once, from the medium), and whoever asks again is given another one.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

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
from vault.model import Condition, Copy, CopyState, Version, VolumeMode

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

CHUNK: Final = 1024 * 1024
READABLE: Final = (Condition.ONLINE, Condition.READ_ONLY)
_ORDER: Final = {CopyState.GOOD: 0, CopyState.WRITTEN: 1, CopyState.SUSPECT: 2}


@dataclass(frozen=True, slots=True)
class Files:
    """What a version holds: logical path -> (digest, content path); and when it was made."""

    files: Mapping[str, tuple[str, str]]
    created: datetime


class InventoryCache:
    """The inventories last asked for, by their digest: what a digest names never changes."""

    def __init__(self, most_files: int = 200_000) -> None:
        self._most_files = most_files
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Files] = OrderedDict()
        self._files = 0

    def get(self, digest: str, number: int) -> Files | None:
        """What is kept of it."""
        with self._lock:
            found = self._kept.get((digest, number))
            if found is not None:
                self._kept.move_to_end((digest, number))
            return found

    def put(self, digest: str, number: int, files: Files) -> None:
        """Keep it; the ones not asked for longest go."""
        with self._lock:
            if (digest, number) in self._kept:
                return
            self._kept[digest, number] = files
            self._files += len(files.files)
            while self._files > self._most_files and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._files -= len(gone.files)


@dataclass(slots=True)
class Opened:
    """A content file of a copy, open for reading. ``first`` are its first bytes, which were read to see whether it
    answers; ``proved``: they are all of it, and their digest is right."""

    fd: int
    size: int
    digest: str
    content_path: str
    copy: Copy
    first: bytes
    proved: bool

    def close(self) -> None:
        """Close it; more than once does no harm."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Reader:
    """Reads one version of a package. All of it blocks."""

    def __init__(self, node: NodeParts, version: Version) -> None:
        self._node = node
        self.version = version
        self._object_id = object_id(version.identifier)
        self._copies: dict[int, list[tuple[Copy, Condition]]] = {}
        with node.catalogue.read() as tx:
            volumes = {volume.id: volume for volume in catalog_volumes.all(tx)}
            for copy in copies.of_package(tx, version.package_id):
                volume = volumes[copy.volume_id]
                known = copy.state in _ORDER and volume.mode is not VolumeMode.RETIRED
                if known and volume.name in node.custodian.volumes:
                    self._copies.setdefault(copy.number, []).append((copy, volume.condition))
        for held in self._copies.values():
            held.sort(key=lambda pair: (_ORDER[pair[0].state], pair[1] is not Condition.ONLINE, pair[0].id))

    def files(self, cache: InventoryCache) -> Files:
        """What the version holds. Raises Unreachable, Corrupted."""
        found = cache.get(self.version.inventory_digest, self.version.number)
        if found is not None:
            return found

        def load(copy: Copy) -> Files:
            data = self._node.custodian.volume(copy.volume).inventory(part_of(self.version))
            inventory = parse_inventory(data)
            made = inventory.versions[inventory.version_name(self.version.number)].created
            created = datetime.fromisoformat(made.upper()).astimezone(UTC)
            return Files(inventory.files_of_version(self.version.number), created)

        found = self._from_any(self.version.number, "its inventory", load)
        cache.put(self.version.inventory_digest, self.version.number, found)
        return found

    def open(self, content_path: str, digest: str) -> Opened:
        """Open a file of the first copy that has it; one that fits into a chunk is proved at once.

        Raises Unreachable when no copy answers, Corrupted when none is right.
        """

        def attempt(copy: Copy) -> Opened:
            return self._open(copy, content_path, digest)

        return self._from_any(version_number(content_path.partition("/")[0]), content_path, attempt)

    def _open(self, copy: Copy, content_path: str, digest: str) -> Opened:
        fd = self._node.custodian.volume(copy.volume).open(self._object_id, content_path)
        opened = Opened(fd, 0, digest, content_path, copy, b"", proved=False)
        try:
            opened.size = os.fstat(fd).st_size
            opened.first = os.pread(fd, CHUNK, 0)
        except OSError as error:
            opened.close()
            raise describe_os_error(error, f"reading {content_path} on {copy.volume!r}") from error
        opened.proved = len(opened.first) >= opened.size
        if opened.proved and self._digest(opened.first) != digest:
            opened.close()
            raise Corrupted(f"{content_path} had another digest when it was read out")
        return opened

    def _digest(self, data: bytes) -> str:
        return hashlib.new(str(self.version.algorithm), data, usedforsecurity=False).hexdigest()

    def whole(self, opened: Opened) -> Iterator[bytes]:
        """All of a file. The last piece comes only after the digest of the whole was found right, so that nobody can
        take wrong bytes for a complete file. Raises Corrupted, Unreachable; the copy is doubted then."""
        hasher = hashlib.new(str(self.version.algorithm), opened.first, usedforsecurity=False)
        held, at = opened.first, len(opened.first)
        while not opened.proved:
            chunk = self._read(opened, at, CHUNK)
            if not chunk:
                break
            yield held
            hasher.update(chunk)
            held, at = chunk, at + len(chunk)
        if not opened.proved and hasher.hexdigest() != opened.digest:
            error = Corrupted(
                f"{opened.content_path} of {self.version.identifier} on {opened.copy.volume!r} is not what it must be.",
                remedy="Ask again: another copy is read. This one is being checked.",
            )
            self._doubt(opened.copy, f"{opened.content_path} had another digest when it was read out")
            raise error
        if held:
            yield held

    def part(self, opened: Opened, start: int, length: int) -> Iterator[bytes]:
        """Bytes from the midst of a file. They are not proved: only the digest of the whole is known."""
        end = start + length
        while start < end:
            chunk = opened.first[start:end] if opened.proved else self._read(opened, start, min(CHUNK, end - start))
            if not chunk:
                raise Corrupted(f"{opened.content_path} is shorter than it was when it was opened.")
            yield chunk
            start += len(chunk)

    def _read(self, opened: Opened, at: int, size: int) -> bytes:
        try:
            return os.pread(opened.fd, size, at)
        except OSError as error:
            found = describe_os_error(error, f"reading {opened.content_path} on {opened.copy.volume!r}")
            self._unreadable(opened.copy, found)
            raise found from error

    # --- which copy, and what is noted of it

    def _from_any(self, number: int, what: str, attempt: Callable[[Copy], _T]) -> _T:
        held = self._copies.get(number, [])
        offline = [copy.volume for copy, condition in held if condition not in READABLE]
        failed: Unreachable | None = None
        for copy, condition in held:
            if condition not in READABLE:
                continue
            try:
                return attempt(copy)
            except (NotFound, Corrupted) as error:
                self._doubt(copy, error.message)
            except Unreachable as error:
                self._unreadable(copy, error)
                failed = error
        if failed is not None:
            raise failed
        if offline:
            raise Unreachable(
                f"{self.version.identifier} v{number} is only on volumes that are off-line: {', '.join(offline)}.",
                remedy="Bring one of them back, then ask again.",
                code="volume-offline",
            )
        raise Corrupted(
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
