"""Copying one version's part: read once, every digest checked on the way, written to all targets at once.

Each file is taken from the first source whose bytes are right. So a part can be put together from several copies that
are each damaged elsewhere, and no wrong byte is ever passed on. Small files are copied a few at a time, large ones one
after the other, each hashed while it is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from vault.errors import Conflict, Corrupted, Full, Interrupted, NotFound, Unreachable, VaultError
from vault.formats.ocfl.inventory import INVENTORY_FILE
from vault.formats.ocfl.reading import parse_inventory
from vault.model import READABLE
from vault.volumes.ahead import ahead, all_at_once
from vault.volumes.base import Cancelled, FileSeen, Part, ReadContent, Sink, Source, Staging, Volume
from vault.volumes.medium import BUFFER_BYTES, Progress
from vault.volumes.reading_back import WINDOW_BYTES, ReadBack

_FAILS = (Full, Unreachable, NotFound, Conflict)
"""How writing on a volume fails for reasons of that volume; the other targets go on."""

_ONE_FILE = frozenset({"io-error", "permission-denied", "file-system-damaged"})
"""Codes of Unreachable with which one file of a volume that answers may fail."""


@dataclass
class Target:
    """One volume that is being written, with what stopped it, if anything did."""

    volume: Volume
    staging: Staging
    failure: VaultError | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came of it. ``wrong`` names the sources from which something wrong was read, and what; ``lost`` the files
    of which no source has the right bytes: with any of these nothing was sealed. ``read`` has, for each source and for
    each volume that was written, the files that were read from there with the right digest."""

    bytes: int
    files: int
    wrong: dict[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    read: Mapping[str, Mapping[str, FileSeen]] = field(default_factory=dict)


def find_inventory(part: Part, sources: Sequence[Source], wrong: dict[str, str]) -> bytes:
    """The part's inventory from the first source that has it right. Raises Corrupted, Unreachable."""
    unreachable: VaultError | None = None
    for source in sources:
        try:
            return source.inventory(part)
        except (Corrupted, NotFound) as error:
            wrong[source.name] = error.message
        except Unreachable as error:
            unreachable = error
    for source in sources:
        # Of its newest version an object has the inventory twice, to the letter.
        with contextlib.suppress(Corrupted, NotFound, Unreachable):
            data = b"".join(bytes(chunk) for chunk in source.read(part.object_id, INVENTORY_FILE))
            if hashlib.new(str(part.algorithm), data, usedforsecurity=False).hexdigest() == part.inventory_digest:
                return data
    if unreachable is not None:
        raise unreachable
    raise Corrupted(
        f"No copy that can be read has the inventory of {part.object_id} v{part.number}.",
        remedy="Bring volumes or tapes that are off-line back; without a good copy this version cannot be restored.",
        code="no-good-source",
    )


def transfer(
    part: Part,
    sources: Sequence[Source],
    targets: Sequence[Target],
    progress: Progress,
    cancelled: Cancelled,
    *,
    taken: Collection[str] = (),
) -> Transfer:
    """Fill and seal the targets' stagings from the sources. ``taken`` are content paths that stand there already.

    A target that fails is left out from then on and carries its failure; the others go on. Raises Unreachable when no
    source answers, Corrupted when none has the inventory, Interrupted when cancelled.
    """
    wrong: dict[str, str] = {}
    inventory_bytes = find_inventory(part, sources, wrong)
    inventory = parse_inventory(inventory_bytes)
    total = files = 0
    lost: list[str] = []
    used: set[str] = set()
    wanted = sorted(inventory.content_of_version_part(part.number).items())
    with (
        _Copying(part, sources, targets, wrong, progress, cancelled) as copying,
        ahead(copying.files, [pair for pair in wanted if pair[0] not in taken], "copying") as copied,
    ):
        for (path, _digest), outcome in copied:
            if outcome is None:
                break
            size, source = outcome
            if source is None:
                lost.append(path)
                continue
            used.add(source)
            total += size
            files += 1
    if not lost:
        _seal(part, inventory_bytes, targets)
    return Transfer(total, files, wrong, tuple(lost), tuple(sorted(used)), copying.read)


def _seal(part: Part, inventory: bytes, targets: Sequence[Target]) -> None:
    """All at once: each waits for a medium of its own to have written everything."""

    def seal(target: Target) -> None:
        try:
            target.staging.seal(part, inventory)
        except _FAILS as error:
            target.failure = error

    all_at_once(seal, [target for target in targets if target.failure is None], "sealing")


class _Holding:
    """The sources as one thread holds them while it copies a few files; each is opened when it is first asked."""

    def __init__(self, object_id: str, block: contextlib.ExitStack) -> None:
        self._object_id = object_id
        self._block = block
        self._held: dict[str, ReadContent] = {}

    def read(self, source: Source, path: str) -> Iterator[memoryview]:
        """See :meth:`vault.volumes.base.Volume.read`."""
        if (read := self._held.get(source.name)) is None:
            read = self._held[source.name] = self._block.enter_context(source.holding(self._object_id))
        return read(path)

    def let_go(self, source: Source) -> None:
        """It failed: which volume stands there is asked again before anything else is read from it."""
        self._held.pop(source.name, None)


class _Copying:
    """Copies files, in any number of threads."""

    def __init__(
        self,
        part: Part,
        sources: Sequence[Source],
        targets: Sequence[Target],
        wrong: dict[str, str],
        progress: Progress,
        cancelled: Cancelled,
    ) -> None:
        self._part = part
        self._sources = sources
        self._targets = targets
        self._wrong = wrong
        self._progress = progress
        self._cancelled = cancelled
        self._large = threading.Lock()
        self.read: defaultdict[str, dict[str, FileSeen]] = defaultdict(dict)
        """By the name of a source or a target: the files that were read from there."""

        self._hashing = ThreadPoolExecutor(1, "hashing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self._hashing.shutdown()

    def files(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[int, str | None] | None]:
        """Copy the files of these paths and digests, each from the first source that has it right: its size and that
        source, (0, None) if none has, and None when no target is left that wants it."""
        with contextlib.ExitStack() as block:
            holding = _Holding(self._part.object_id, block)
            return [
                None if all(target.failure for target in self._targets) else self._file(path, digest, holding)
                for path, digest in wanted
            ]

    def _file(self, path: str, expected: str, holding: _Holding) -> tuple[int, str | None]:
        unreachable: Unreachable | None = None
        for source in self._sources:
            sinks = _begin(self._targets, path)
            behind: list[tuple[Target, ReadBack]] = []
            try:
                size, found = self._copy(holding.read(source, path), path, sinks, behind)
                if found == expected:
                    self.read[source.name][path] = FileSeen(size)
                    _end(sinks)
                    self._note_read_back(path, expected, behind)
                    return size, source.name
                self._wrong.setdefault(source.name, f"{path} has another digest")
            except NotFound:
                self._wrong.setdefault(source.name, f"{path} is missing")
            except Unreachable as error:
                holding.let_go(source)
                # One file that cannot be read is a fault of that copy; a volume that does not answer is an outage.
                if error.code in _ONE_FILE and source.probe().condition in READABLE:
                    self._wrong.setdefault(source.name, f"{path} cannot be read")
                else:
                    unreachable = error
            finally:
                _end(sinks)
                for _target, reading in behind:
                    reading.give_up()
            _drop(self._targets, path)
        if unreachable is not None:
            raise unreachable
        return 0, None

    def _copy(
        self,
        chunks: Iterator[memoryview],
        path: str,
        sinks: Sequence[tuple[Target, Sink]],
        behind: list[tuple[Target, ReadBack]],
    ) -> tuple[int, str]:
        """The size and the digest of what was read and written. A file of more than a window is read back ``behind``
        the writing; the others when all were made durable together."""
        digest = hashlib.new(str(self._part.algorithm), usedforsecurity=False)
        size = 0
        with contextlib.ExitStack() as turn:
            for chunk in chunks:
                if size <= BUFFER_BYTES < size + len(chunk):
                    turn.enter_context(self._large)
                if size <= WINDOW_BYTES < size + len(chunk):
                    behind += [(t, t.staging.read_back(path, self._part.algorithm)) for t, _ in sinks if not t.failure]
                if size + len(chunk) > BUFFER_BYTES:
                    hashed = self._hashing.submit(digest.update, chunk)
                    _write_all(sinks, chunk)
                    hashed.result()
                else:
                    digest.update(chunk)
                    _write_all(sinks, chunk)
                size += len(chunk)
                for _target, reading in behind:
                    reading.written(size)
                self._progress(len(chunk))
                if self._cancelled():
                    raise Interrupted(f"Copying {self._part.object_id} v{self._part.number} was stopped.")
        return size, digest.hexdigest()

    def _note_read_back(self, path: str, expected: str, behind: Sequence[tuple[Target, ReadBack]]) -> None:
        for target, reading in behind:
            back = reading.end()
            if target.failure is None and back is not None and expected in back.digests.values():
                self.read[target.volume.name][path] = FileSeen(back.size, reading.inode)
                self._progress(back.size)


def _begin(targets: Sequence[Target], path: str) -> list[tuple[Target, Sink]]:
    sinks = []
    for target in targets:
        if target.failure is None:
            try:
                sinks.append((target, target.staging.create(path)))
            except _FAILS as error:
                target.failure = error
    return sinks


def _write_all(sinks: Sequence[tuple[Target, Sink]], chunk: memoryview) -> None:
    for target, sink in sinks:
        if target.failure is None:
            try:
                sink.write(chunk)
            except _FAILS as error:
                target.failure = error


def _end(sinks: Sequence[tuple[Target, Sink]]) -> None:
    for target, sink in sinks:
        try:
            sink.close()
        except _FAILS as error:
            target.failure = target.failure or error


def _drop(targets: Sequence[Target], path: str) -> None:
    for target in targets:
        if target.failure is None:
            try:
                target.staging.drop(path)
            except _FAILS as error:
                target.failure = error
