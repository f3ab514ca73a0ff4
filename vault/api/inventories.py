"""What versions hold, as those who serve them need it: files, sizes, and the archives that are made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from vault.custody.context import KeyedLocks
from vault.formats.ocfl.inventory import version_number
from vault.formats.pieces import FileMember, Packing
from vault.formats.tar_writer import TarPacking
from vault.formats.zip_writer import ZipPacking
from vault.intake.unpack import RESERVED

MOST_FILES: Final = 50_000
"""So many files are kept in mind at once, at about 1 KiB each; the version that was last asked for always."""


@dataclass
class Files:
    """What a version holds: ``files`` is logical path -> (digest, content path); ``created``: when it was made.

    ``sizes`` (content path -> bytes) is None until they were measured. ``checksums`` are the CRC-32 of what was read
    once, by digest. Both may be filled from several threads: whoever fills them fills in the same.
    """

    files: Mapping[str, tuple[str, str]]
    created: datetime
    sizes: Mapping[str, int] | None = None
    checksums: dict[str, int] = field(default_factory=dict)

    @cached_property
    def paths(self) -> list[str]:
        """The depositor's files, by path: all but the node's own note."""
        return sorted(path for path in self.files if path != RESERVED)

    @cached_property
    def by_part(self) -> Mapping[int, list[str]]:
        """Where the depositor's files lie: number of the part -> content paths."""
        found: dict[int, list[str]] = {}
        for content_path in dict.fromkeys(self.files[path][1] for path in self.paths):
            found.setdefault(version_number(content_path.partition("/")[0]), []).append(content_path)
        return found

    @cached_property
    def tar(self) -> Packing:
        """All of it as a tar. Only once the sizes are known."""
        return TarPacking(self._members, mtime=int(self.created.timestamp()))

    @cached_property
    def zip(self) -> Packing:
        """All of it as a zip. Only once the sizes are known."""
        return ZipPacking(self._members, moment=self.created)

    @property
    def _members(self) -> list[FileMember]:
        assert self.sizes is not None, "they were measured"  # noqa: S101
        return [FileMember(path, self.sizes[self.files[path][1]]) for path in self.paths]


class InventoryCache:
    """The inventories last asked for, by their digest: what a digest names never changes."""

    def __init__(self, most_files: int = MOST_FILES) -> None:
        self._most_files = most_files
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Files] = OrderedDict()
        self._files = 0
        self.loading = KeyedLocks()
        """Held while one is read: a hundred who ask for the same large one at once wait for the first."""

    def get(self, digest: str) -> Files | None:
        """What is kept of it."""
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def put(self, digest: str, files: Files) -> None:
        """Keep it; the ones not asked for longest go."""
        with self._lock:
            if digest in self._kept:
                return
            self._kept[digest] = files
            self._files += len(files.files)
            while self._files > self._most_files and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._files -= len(gone.files)
