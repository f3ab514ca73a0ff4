"""What a session adds to an index, and the index that comes of it."""

from __future__ import annotations

import bisect
import hashlib
import os
import secrets
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Protocol

from hardware.errors import Refused
from hardware.ltfs.compose import INDEX_END, Merger, NewDirectory, index_start
from hardware.ltfs.last_index import new_spool, read_spool, write_spool
from hardware.ltfs.model import DirectoryEntry, Entry, FileEntry, IndexHeader, Times
from hardware.ltfs.names import check_path
from hardware.ltfs.parse import parse_index


class Source(Protocol):
    """An index that a new one is made from."""

    header: IndexHeader
    names: Sequence[str] | None
    size: int

    def pieces(self) -> Iterator[bytes]:
        """Its XML."""
        ...


class Draft:
    """An index that is complete but for where it will stand: its tree is spooled, its header can be changed."""

    names: Sequence[str] | None = None

    def __init__(self, header: IndexHeader, settings: str, tree: IO[bytes]) -> None:
        self.header = header
        self._settings = settings.encode()
        self._tree = tree
        self.size = os.fstat(tree.fileno()).st_size + len(self._settings) + 1024

    def pieces(self) -> Iterator[bytes]:
        """Its XML."""
        yield index_start(self.header) + self._settings
        yield from read_spool(self._tree)
        yield INDEX_END

    def entries(self) -> Iterator[Entry]:
        """All files and directories."""
        return parse_index(self.pieces())

    def close(self) -> None:
        """Let go of the spooled tree."""
        self._tree.close()


class _Paths:
    """A set of paths in eight bytes each. Keyed, so that nobody can choose names that collide."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._sorted = array("Q")
        self._new: set[int] = set()

    def load(self, path: str) -> None:
        self._sorted.append(self._digest(path))

    def seal(self) -> None:
        self._sorted = array("Q", sorted(self._sorted))

    def add(self, path: str) -> None:
        self._new.add(self._digest(path))

    def __contains__(self, path: str) -> bool:
        digest = self._digest(path)
        at = bisect.bisect_left(self._sorted, digest)
        return digest in self._new or (at < len(self._sorted) and self._sorted[at] == digest)

    def _digest(self, path: str) -> int:
        return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8, key=self._key).digest(), "big")


class Additions:
    """The new files of a session, in the shape of the tree they go into."""

    def __init__(self, base: _Indexed, highest_uid: int) -> None:
        self._base: Source = base
        self._uid = highest_uid
        self._files = _Paths()
        self._directories = _Paths()
        self._directories.add("")
        for entry in base.entries():
            (self._files if isinstance(entry, FileEntry) else self._directories).load(entry.path)
        self._files.seal()
        self._directories.seal()
        self._root = NewDirectory()
        self._dropped: set[str] = set()
        self._pending: set[str] = set()
        self._new_files = self._new_directories = 0
        self.size = base.size
        """Bytes that the new index will have, as far as is known."""

    def check(self, path: str, *, replaces: bool) -> str:
        """The path as it will stand in the index. ``Refused`` where it is impossible or taken."""
        parts = check_path(path)
        clean = "/".join(parts)
        for depth in range(1, len(parts)):
            if (above := "/".join(parts[:depth])) in self._files:
                raise Refused(f"{clean!r} cannot be made: {above!r} is a file.")
        if clean in self._directories:
            raise Refused(f"{clean!r} cannot be made: it is a folder.")
        if clean in self._files and not replaces:
            raise Refused(f"The volume has a file {clean!r} already.", remedy="Give it another name, or replace it.")
        return clean

    def add(self, entry: FileEntry, serialise: Callable[[FileEntry], bytes], now: int) -> FileEntry:
        """A finished file; gets its UID here."""
        *above, name = entry.path.split("/")
        node = self._root
        for depth, part in enumerate(above, 1):
            path = "/".join(above[:depth])
            if part not in node.directories:
                node.directories[part] = NewDirectory()
            node = node.directories[part]
            if path not in self._directories:
                self._uid += 1
                node.entry = DirectoryEntry(path, self._uid, False, Times(now, now, now, now, now))
                self._directories.add(path)
                self._new_directories += 1
                self.size += 512 + 6 * len(part)
        self._uid += 1
        entry = replace(entry, uid=self._uid)
        xml = serialise(entry)
        if entry.path in self._files:
            if entry.path not in self._pending:
                self._dropped.add(entry.path)
        else:
            self._new_files += 1
        self._files.add(entry.path)
        self._pending.add(entry.path)
        node.files[name] = xml
        self.size += len(xml)
        return entry

    def merge(self, header: IndexHeader, spool: str | os.PathLike[str] | None) -> Draft:
        """The new index. What was added belongs to it from now on, and the next one is made from it."""
        with new_spool(spool) as tree:

            def write(data: bytes) -> None:
                write_spool(tree, data)

            merger = Merger(write, self._root, dropped=self._dropped, now=header.updated, names=self._base.names)
            merger.copy(self._base.pieces())
            draft = Draft(
                replace(
                    header,
                    highest_uid=self._uid,
                    files=header.files + self._new_files,
                    directories=header.directories + self._new_directories,
                ),
                merger.settings,
                tree,
            )
        self._base = draft
        self._root = NewDirectory()
        self._dropped = set()
        self._pending = set()
        self._new_files = self._new_directories = 0
        self.size = draft.size
        return draft


class _Indexed(Source, Protocol):
    def entries(self) -> Iterator[Entry]:
        """All files and directories."""
        ...
