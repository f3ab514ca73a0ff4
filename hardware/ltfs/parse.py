"""Reading an index: XML in, entries out, as the bytes arrive (LTFS Format Specification 2.4, section 9.2).

Memory stays bounded however large the index is: a file's entry is given out when its element ends, and nothing is kept
of it. The order of elements is free, as the specification has it, but for one thing: a directory whose contents stand
before its name cannot be given out in one pass, so :func:`directory_names` collects such names beforehand.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hardware.errors import Malformed
from hardware.ltfs import safexml
from hardware.ltfs.label import DEFAULT_BLOCKSIZE, check_version, parse_letter, parse_uuid
from hardware.ltfs.model import (
    DirectoryEntry,
    Entry,
    ExtendedAttribute,
    Extent,
    FileEntry,
    IndexHeader,
    Location,
    Times,
)
from hardware.ltfs.names import MAX_DIRECTORIES, MAX_PATH, decode_name, parse_time

MAX_EXTENTS: Final = 1 << 18
"""Extents of one file that are read."""
MAX_ATTRIBUTES: Final = 1024
MAX_ATTRIBUTE_BYTES: Final = 4 << 20
"""Extended attributes of one entry that are read, and their bytes together."""
SPARSE_VERSION: Final = (2, 0, 0)
"""From this version on, extents have a file offset, and entries a UID and a backup time."""

Kind = str

_TIMES = ("creationtime", "changetime", "modifytime", "accesstime", "backuptime")
_PLACE: dict[str, Kind] = dict.fromkeys(("partition", "startblock"), "leaf")
_ENTRY: dict[str, Kind] = dict.fromkeys(("name", "readonly", "fileuid", *_TIMES), "leaf")
_GRAMMAR: dict[Kind, dict[str, Kind]] = {
    "top": dict.fromkeys(
        (
            "creator", "comment", "volumeuuid", "generationnumber", "updatetime", "allowpolicyupdate",
            "highestfileuid", "volumelockstate",
        ),
        "leaf",
    )
    | {"location": "place", "previousgenerationlocation": "place", "directory": "directory"},
    "place": _PLACE,
    "directory": _ENTRY | {"contents": "contents", "extendedattributes": "attributes"},
    "contents": {"directory": "directory", "file": "file"},
    "file": _ENTRY
    | {"length": "leaf", "symlink": "leaf", "extentinfo": "extents", "extendedattributes": "attributes"},
    "attributes": {"xattr": "attribute"},
    "attribute": {"key": "leaf", "value": "leaf"},
    "extents": {"extent": "extent"},
    "extent": _PLACE | dict.fromkeys(("fileoffset", "byteoffset", "bytecount"), "leaf"),
    "skipped": {},
}  # fmt: skip


class NameComesLate(Exception):
    """A directory's contents began before its name; parse again with the names collected beforehand."""


@dataclass(slots=True)
class _Open:
    """An element that has children, while it is open."""

    leaves: dict[str, str] = field(default_factory=dict)
    extents: list[Extent] = field(default_factory=list)
    attributes: list[ExtendedAttribute] = field(default_factory=list)
    attribute_bytes: int = 0
    name: str | None = None
    encoding: str = ""
    target_encoded: bool = False


class IndexParser:
    """Parses one index that is pushed in pieces; see :func:`parse_index` for the simple way.

    ``names`` are the names of all directories in document order, where they had to be collected beforehand.
    """

    def __init__(
        self,
        *,
        blocksize: int = DEFAULT_BLOCKSIZE,
        names: Sequence[str] | None = None,
        limits: safexml.Limits | None = None,
    ) -> None:
        self._xml = safexml.Parser(self, "index", limits)
        self._blocksize = blocksize
        self._names = names
        self._kinds: list[Kind] = []
        self._open: list[_Open] = []
        self._path: list[str] = []
        self._length = 0
        self._leaf = ""
        self._encoded = ""
        self._pieces: list[str] = []
        self._ready: list[Entry] = []
        self._version = (0, 0, 0)
        self._places: dict[str, Location] = {}
        self._top = _Open()
        self._root: str | None = None
        self._files = 0
        self._directories = 0
        self._beyond: dict[str, int] = {}
        self._highest = 1

    def feed(self, data: bytes | memoryview) -> list[Entry]:
        """Parse on. Gives the entries that were completed; a directory follows its contents. Raises ``Malformed``."""
        self._xml.feed(data)
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> IndexHeader:
        """The index is at its end: what it says of itself. Raises ``Malformed`` where it is incomplete."""
        self._xml.close()
        leaves = self._top.leaves
        required = {"creator", "volumeuuid", "generationnumber", "updatetime", "allowpolicyupdate"}
        if self._version >= SPARSE_VERSION:
            required.add("highestfileuid")
        if missing := required - leaves.keys():
            raise Malformed(f"The index lacks {', '.join(sorted(missing))}.")
        if "location" not in self._places or self._root is None:
            raise Malformed("The index lacks its location or its root directory.")
        previous = self._places.get("previousgenerationlocation")
        if previous is not None and previous.block == 0:
            previous = None
        return IndexHeader(
            version=self._version,
            creator=leaves["creator"],
            volume_uuid=parse_uuid(leaves["volumeuuid"]),
            generation=safexml.parse_integer(leaves["generationnumber"]),
            updated=parse_time(leaves["updatetime"]),
            location=self._places["location"],
            previous=previous,
            allow_policy_update=safexml.parse_boolean(leaves["allowpolicyupdate"]),
            highest_uid=max(self._highest, safexml.parse_integer(leaves.get("highestfileuid", "0"))),
            lock_state=leaves.get("volumelockstate", "unlocked"),
            volume_name=self._root,
            comment=leaves.get("comment", ""),
            files=self._files,
            directories=max(self._directories - 1, 0),
            beyond=tuple(sorted(self._beyond.items())),
        )

    # Events of the XML parser.

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if not self._kinds:
            if name != "ltfsindex":
                raise Malformed(f"The index XML begins with <{name[:40]}>, not <ltfsindex>.")
            self._version = check_version(attributes.get("version", ""), "index")
            self._kinds.append("top")
            self._open.append(self._top)
            return
        parent = self._kinds[-1]
        if parent == "leaf":
            raise Malformed(f"<{self._leaf}> holds the element <{name[:40]}> where text must be.")
        kind = _GRAMMAR[parent].get(name, "skipped")
        self._kinds.append(kind)
        if kind == "leaf":
            self._leaf = name
            self._pieces = []
            self._encoded = attributes.get("type" if name == "value" else "percentencoded", "")
        elif kind == "directory":
            self._enter(parent)
        elif kind == "contents":
            self._descend()
        elif kind in {"place", "file", "attribute", "extent"}:
            self._open.append(_Open())

    def end(self, name: str) -> None:
        """An element ends."""
        kind = self._kinds.pop()
        if kind == "leaf":
            self._close_leaf(name)
        elif kind == "extent":
            self._close_extent(self._open.pop().leaves)
        elif kind == "file":
            self._close_file(self._open.pop())
        elif kind == "directory":
            self._close_directory(self._open.pop())
        elif kind == "contents" and self._path:
            self._length -= len(self._path.pop()) + 1
        elif kind == "attribute":
            self._close_attribute(self._open.pop())
        elif kind == "place":
            self._close_place(name, self._open.pop().leaves)

    def text(self, data: str) -> None:
        """Text, of which only that of leaves is kept."""
        if self._kinds[-1] == "leaf":
            self._pieces.append(data)

    # Elements.

    def _enter(self, parent: Kind) -> None:
        if parent == "top" and self._directories:
            raise Malformed("The index has two root directories.")
        entry = _Open()
        if self._names is not None:
            if self._directories >= len(self._names):
                raise Malformed("The index changed between two readings.")
            entry.name = self._names[self._directories]
        self._directories += 1
        self._open.append(entry)

    def _descend(self) -> None:
        """The contents of a directory begin. The root's own name is the volume's, and no part of a path."""
        entry = self._open[-1]
        if "contents" in entry.leaves:
            raise Malformed("A directory of the index has two <contents>.")
        entry.leaves["contents"] = ""
        if len(self._open) == 2:
            return
        if entry.name is None:
            raise NameComesLate
        self._path.append(entry.name)
        self._length += len(entry.name) + 1
        if len(self._path) > MAX_DIRECTORIES or self._length > MAX_PATH:
            raise Malformed(f"The index nests directories too deeply, below {'/'.join(self._path)[:80]!r}.")

    def _close_leaf(self, name: str) -> None:
        text = "".join(self._pieces)
        entry = self._open[-1]
        if name in entry.leaves:
            raise Malformed(f"The index says <{name}> twice in one place.")
        entry.leaves[name] = text
        if name == "name":
            # The name of the root may be empty; len 2: the index, and the root directory.
            encoded = self._encoded == "true"
            if len(self._open) == 2:
                self._root = entry.name = decode_name(text, percent_encoded=encoded) if text else ""
            else:
                entry.name = decode_name(text, percent_encoded=encoded)
        elif name in {"value", "key", "symlink"}:
            entry.encoding = self._encoded if name == "value" else entry.encoding
            entry.target_encoded = self._encoded == "true" if name != "value" else entry.target_encoded

    def _close_place(self, name: str, leaves: dict[str, str]) -> None:
        if name in self._places or leaves.keys() != {"partition", "startblock"}:
            raise Malformed(f"<{name}> of the index is incomplete or given twice.")
        self._places[name] = Location(parse_letter(leaves["partition"]), safexml.parse_integer(leaves["startblock"]))

    def _close_extent(self, leaves: dict[str, str]) -> None:
        extents = self._open[-1].extents
        if self._version < SPARSE_VERSION:
            before = extents[-1] if extents else None
            leaves["fileoffset"] = str(before.file_offset + before.count if before else 0)
        try:
            extent = Extent(
                safexml.parse_integer(leaves["fileoffset"]),
                parse_letter(leaves["partition"]),
                safexml.parse_integer(leaves["startblock"]),
                safexml.parse_integer(leaves["byteoffset"]),
                safexml.parse_integer(leaves["bytecount"]),
            )
        except KeyError as error:
            raise Malformed(f"An extent in the index lacks {error}.") from error
        if len(extents) >= MAX_EXTENTS:
            raise Malformed(f"A file in the index has more than {MAX_EXTENTS} extents.")
        extents.append(extent)
        end = extent.block + -(-(extent.byte_offset + extent.count) // self._blocksize)
        self._beyond[extent.partition] = max(end, self._beyond.get(extent.partition, 4))

    def _close_attribute(self, entry: _Open) -> None:
        if "key" not in entry.leaves:
            raise Malformed("An extended attribute in the index has no key.")
        key = decode_key(entry.leaves["key"], percent_encoded=entry.target_encoded)
        value = entry.leaves.get("value", "")
        if entry.encoding == "base64":
            try:
                content = base64.b64decode("".join(value.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise Malformed(f"The extended attribute {key[:80]!r} is no base64: {error}.") from error
        elif entry.encoding in {"", "text"}:
            content = value.encode()
        else:
            raise Malformed(f"The extended attribute {key[:80]!r} is of the unknown type {entry.encoding[:40]!r}.")
        owner = self._open[-1]
        owner.attribute_bytes += len(key) + len(content)
        if len(owner.attributes) >= MAX_ATTRIBUTES or owner.attribute_bytes > MAX_ATTRIBUTE_BYTES:
            raise Malformed("An entry of the index has too many extended attributes.")
        owner.attributes.append(ExtendedAttribute(key, content))

    def _close_file(self, entry: _Open) -> None:
        leaves = entry.leaves
        if entry.name is None or "length" not in leaves:
            raise Malformed("A file in the index has no name or no length.")
        length = safexml.parse_integer(leaves["length"])
        path = "/".join((*self._path, entry.name))
        target = None
        if "symlink" in leaves:
            target = decode_key(leaves["symlink"], percent_encoded=entry.target_encoded)
        self._files += 1
        self._ready.append(
            FileEntry(
                path=path,
                uid=self._uid(leaves),
                length=length,
                read_only=safexml.parse_boolean(leaves.get("readonly", "false")),
                times=self._times(leaves, path),
                extents=_ordered(entry.extents, length, path),
                attributes=tuple(entry.attributes),
                target=target,
            )
        )

    def _close_directory(self, entry: _Open) -> None:
        root = len(self._open) == 1
        if entry.name is None:
            if not root:
                raise Malformed("A directory in the index has no name.")
            self._root = entry.name = ""
        path = "" if root else "/".join((*self._path, entry.name))
        self._ready.append(
            DirectoryEntry(
                path=path,
                uid=self._uid(entry.leaves),
                read_only=safexml.parse_boolean(entry.leaves.get("readonly", "false")),
                times=self._times(entry.leaves, path),
                attributes=tuple(entry.attributes),
            )
        )

    def _uid(self, leaves: dict[str, str]) -> int:
        if "fileuid" not in leaves:
            if self._version >= SPARSE_VERSION:
                raise Malformed("An entry of the index has no file UID.")
            return 0
        uid = safexml.parse_integer(leaves["fileuid"])
        self._highest = max(self._highest, uid)
        return uid

    def _times(self, leaves: dict[str, str], path: str) -> Times:
        if self._version < SPARSE_VERSION:
            leaves.setdefault("backuptime", leaves.get("creationtime", ""))
        if missing := [name for name in _TIMES if name not in leaves]:
            raise Malformed(f"{path[:200]!r} in the index lacks {', '.join(missing)}.")
        return Times(*(parse_time(leaves[name]) for name in _TIMES))


def decode_key(text: str, *, percent_encoded: bool) -> str:
    """The key of an extended attribute, or the target of a link: like a name, but slashes are allowed."""
    return "/".join(
        decode_name(part, percent_encoded=percent_encoded) if part not in {"", ".", ".."} else part
        for part in text.split("/")
    )


def _ordered(extents: list[Extent], length: int, path: str) -> tuple[Extent, ...]:
    extents.sort(key=lambda extent: extent.file_offset)
    end = 0
    for extent in extents:
        if extent.file_offset < end:
            raise Malformed(f"Extents of {path[:200]!r} overlap.")
        end = extent.file_offset + extent.count
    if end > length:
        raise Malformed(f"The extents of {path[:200]!r} reach beyond its length.")
    return tuple(extents)


def parse_index(
    pieces: Iterable[bytes], *, names: Sequence[str] | None = None, limits: safexml.Limits | None = None
) -> Iterator[Entry]:
    """The entries of an index, in document order, a directory after its contents. Raises ``Malformed``."""
    parser = IndexParser(names=names, limits=limits)
    for piece in pieces:
        yield from parser.feed(piece)
    parser.close()


class _NameHandler:
    """Collects the name of each directory in the order in which the directories begin."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._path: list[tuple[str, int]] = []
        self._pieces: list[str] = []
        self._encoded = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        number = -1
        if name == "directory" and self._counts():
            number = len(self.names)
            self.names.append("")
        elif name == "name":
            self._pieces = []
            self._encoded = attributes.get("percentencoded", "") == "true"
        self._path.append((name, number))

    def _counts(self) -> bool:
        """Whether a directory that begins here is one, and not some vendor's element of that name."""
        if len(self._path) == 1:
            return True
        return len(self._path) > 2 and self._path[-1][0] == "contents" and self._path[-2][1] >= 0

    def end(self, name: str) -> None:
        self._path.pop()
        if name == "name" and self._path and self._path[-1][1] >= 0:
            text = "".join(self._pieces)
            number = self._path[-1][1]
            self.names[number] = decode_name(text, percent_encoded=self._encoded) if text else ""
            if not text and number:
                raise Malformed("A directory in the index has an empty name.")

    def text(self, data: str) -> None:
        if self._path[-1][0] == "name" and len(self._path) > 1 and self._path[-2][1] >= 0:
            self._pieces.append(data)


def directory_names(pieces: Iterable[bytes], *, limits: safexml.Limits | None = None) -> list[str]:
    """The names of all directories in document order, for an index in which contents precede names."""
    handler = _NameHandler()
    parser = safexml.Parser(handler, "index", limits)
    for piece in pieces:
        parser.feed(piece)
    parser.close()
    return handler.names
