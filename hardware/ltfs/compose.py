"""Writing an index: version 2.4.0, as the reference implementation does, in one pass and bounded memory.

A new generation is the old index, copied element by element (what this program does not know is kept as it is), with
new files put in where they belong and replaced ones left out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hardware.errors import Malformed, Refused
from hardware.ltfs import safexml
from hardware.ltfs.label import FORMAT_VERSION
from hardware.ltfs.model import DirectoryEntry, ExtendedAttribute, FileEntry, IndexHeader, Location, Times
from hardware.ltfs.names import decode_name, encode_name, format_time
from hardware.ltfs.safexml import element, escape, escape_attribute

MAX_ATTRIBUTE = 4096
"""Bytes in one extended attribute (limit of the reference implementation)."""
MAX_PRESERVED = 4 << 20
"""Characters of unknown elements of the index itself that are carried on."""

# Characters that XML 1.0 cannot hold in text, and those that parsers change.
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_REWRITTEN = frozenset(
    {
        "creator", "comment", "volumeuuid", "generationnumber", "updatetime", "location",
        "previousgenerationlocation", "highestfileuid",
    }
)  # fmt: skip

_KINDS = {
    "": {"ltfsindex": "index"},
    "index": {"directory": "directory"},
    "directory": {"contents": "contents", "name": "name", "modifytime": "time", "changetime": "time"},
    "contents": {"directory": "directory", "file": "file"},
    "file": {"name": "name"},
}


def named(tag: str, name: str) -> str:
    """An element that holds a name, percent-encoded where it must be."""
    text, encoded = encode_name(name)
    return f"<{tag}{' percentencoded=' + chr(34) + 'true' + chr(34) if encoded else ''}>{escape(text)}</{tag}>\n"


def check_attribute(attribute: ExtendedAttribute) -> None:
    """``Refused`` where the reference implementation could not read such an extended attribute."""
    if not attribute.key or attribute.key.startswith(("ltfs.", "user.")):
        raise Refused(
            f"{attribute.key!r} cannot be the key of an extended attribute.",
            remedy="Leave out the prefix 'user.'; keys that begin with 'ltfs.' are reserved.",
        )
    encode_name(attribute.key)
    if _NOT_TEXT.search(attribute.key) or "/" in attribute.key or len(attribute.key) > 255:
        raise Refused(f"The key {attribute.key[:80]!r} cannot be written to an index.")
    if len(attribute.value) > MAX_ATTRIBUTE:
        raise Refused(f"The extended attribute {attribute.key!r} has more than {MAX_ATTRIBUTE} bytes.")


def _attributes(attributes: Sequence[ExtendedAttribute]) -> str:
    if not attributes:
        return ""
    return "<extendedattributes>\n" + "".join(map(_attribute, attributes)) + "</extendedattributes>\n"


def _attribute(attribute: ExtendedAttribute) -> str:
    key = named("key", attribute.key)
    if not attribute.value:
        return f"<xattr>\n{key}<value/>\n</xattr>\n"
    try:
        text: str | None = attribute.value.decode()
    except UnicodeDecodeError:
        text = None
    # White space at the ends, or nothing else, would not survive every reader.
    if text is None or _NOT_TEXT.search(text) or text != text.strip():
        value = f'<value type="base64">{base64.b64encode(attribute.value).decode()}</value>\n'
    else:
        value = element("value", text)
    return f"<xattr>\n{key}{value}</xattr>\n"


def _times(times: Times) -> str:
    return (
        element("creationtime", format_time(times.created))
        + element("changetime", format_time(times.changed))
        + element("modifytime", format_time(times.modified))
        + element("accesstime", format_time(times.accessed))
        + element("backuptime", format_time(times.backup))
    )


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def file_xml(entry: FileEntry) -> bytes:
    """The element of one file."""
    out = [
        "<file>\n",
        named("name", entry.path.rpartition("/")[2]),
        element("length", str(entry.length)),
        element("readonly", _boolean(entry.read_only)),
        _times(entry.times),
        element("fileuid", str(entry.uid)),
        _attributes(entry.attributes),
    ]
    if entry.target is not None:
        out.append(named("symlink", entry.target))
    elif entry.extents:
        out.append("<extentinfo>\n")
        out.extend(
            "<extent>\n"
            + element("fileoffset", str(extent.file_offset))
            + element("partition", extent.partition)
            + element("startblock", str(extent.block))
            + element("byteoffset", str(extent.byte_offset))
            + element("bytecount", str(extent.count))
            + "</extent>\n"
            for extent in entry.extents
        )
        out.append("</extentinfo>\n")
    out.append("</file>\n")
    return "".join(out).encode()


def directory_start(entry: DirectoryEntry, name: str) -> bytes:
    """The element of a directory, up to and with the beginning of its contents."""
    return (
        "<directory>\n"
        + (named("name", name) if name else "<name/>\n")
        + element("readonly", _boolean(entry.read_only))
        + _times(entry.times)
        + element("fileuid", str(entry.uid))
        + _attributes(entry.attributes)
        + "<contents>\n"
    ).encode()


DIRECTORY_END = b"</contents>\n</directory>\n"


def index_start(header: IndexHeader) -> bytes:
    """The beginning of an index, up to its root directory."""

    def place(tag: str, location: Location) -> str:
        return (
            f"<{tag}>\n<partition>{location.partition}</partition>\n"
            f"<startblock>{location.block}</startblock>\n</{tag}>\n"
        )

    version = ".".join(map(str, FORMAT_VERSION))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ltfsindex version="{version}">\n'
        + element("creator", header.creator)
        + (element("comment", header.comment) if header.comment else "")
        + element("volumeuuid", header.volume_uuid)
        + element("generationnumber", str(header.generation))
        + element("updatetime", format_time(header.updated))
        + place("location", header.location)
        + (place("previousgenerationlocation", header.previous) if header.previous else "")
        + element("highestfileuid", str(header.highest_uid))
    ).encode()


INDEX_END = b"</ltfsindex>\n"
SETTINGS = "<allowpolicyupdate>true</allowpolicyupdate>\n<volumelockstate>unlocked</volumelockstate>\n"
"""What a new volume's index says between its header and its root."""


@dataclass(slots=True)
class NewDirectory:
    """What is added below one directory: ``entry`` is None where the directory is on the volume already."""

    entry: DirectoryEntry | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    directories: dict[str, NewDirectory] = field(default_factory=dict)

    def changes(self) -> bool:
        """Whether the directory itself gets something new."""
        return bool(self.files) or any(child.entry is not None for child in self.directories.values())


class Merger:
    """Copies the settings and the tree of an index that was parsed before, with additions.

    ``write`` gets the tree, ``settings`` are the elements that come before it: locks, policies and what is unknown.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        additions: NewDirectory,
        *,
        dropped: frozenset[str] | set[str] = frozenset(),
        now: int,
        names: Sequence[str] | None = None,
    ) -> None:
        self.settings = ""
        self._write = write
        self._out: list[str] = []
        self._additions = additions
        self._dropped = dropped
        self._now = format_time(now)
        self._names = names
        self._seen = 0
        # One item per open element: its kind, and for a directory what is added to it, None for nothing.
        self._kinds: list[str] = []
        self._nodes: list[NewDirectory | None] = []
        self._path: list[str] = []
        self._name = ""
        self._file_name = ""
        self._encoded = False
        self._filled: list[bool] = []

    def copy(self, pieces: Iterable[bytes]) -> None:
        """Do it."""
        parser = safexml.Parser(self, "index")
        for piece in pieces:
            parser.feed(piece)
        parser.close()
        self._flush()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        parent = self._kinds[-1] if self._kinds else ""
        kind = self._kind(name, parent)
        self._kinds.append(kind)
        if kind in {"index", "dropped"}:
            return
        if kind in {"name", "time"}:
            self._name = ""
            self._encoded = attributes.get("percentencoded", "") == "true"
        elif kind == "directory":
            self._enter()
        elif kind == "contents":
            self._filled[-1] = True
        elif kind == "file" or (kind == "setting" and parent == "index"):
            self._flush()
        tag = "".join(f' {key}="{escape_attribute(value)}"' for key, value in attributes.items())
        self._out.append(f"<{name}{tag}>")

    @staticmethod
    def _kind(name: str, parent: str) -> str:
        """What an element is to the copy; text and children of ``other`` and ``setting`` are copied as they are."""
        known = _KINDS.get(parent, {})
        if parent == "index":
            return "dropped" if name in _REWRITTEN else known.get(name, "setting")
        return parent if parent in {"dropped", "setting"} else known.get(name, "other")

    def _enter(self) -> None:
        if self._names is not None:
            self._name = self._names[self._seen]
            self._push()
        else:
            self._nodes.append(self._additions if self._seen == 0 else None)
            self._path.append("")
        self._seen += 1
        self._filled.append(False)

    def _push(self) -> None:
        if self._seen == 0:
            self._path.append("")
            self._nodes.append(self._additions)
            return
        parent = self._nodes[-1]
        self._nodes.append(parent.directories.get(self._name) if parent else None)
        self._path.append(self._name)

    def end(self, name: str) -> None:
        """An element ends."""
        kind = self._kinds.pop()
        if kind == "index":
            self._flush()
        elif kind == "dropped":
            return
        elif kind == "name":
            self._end_name()
            self._out.append(f"</{name}>\n")
        elif kind == "time":
            node = self._nodes[-1]
            self._out.append(f"{self._now if node and node.changes() else escape(self._name)}</{name}>\n")
        elif kind == "file":
            path = "/".join((*self._path[1:], self._file_name))
            if path in self._dropped:
                self._out.clear()
            else:
                self._out.append(f"</{name}>\n")
            self._flush()
        elif kind == "contents":
            self._add()
            self._out.append(f"</{name}>\n")
        elif kind == "directory":
            if not self._filled.pop():
                self._out.append("<contents>\n")
                self._add()
                self._out.append("</contents>\n")
            self._nodes.pop()
            self._path.pop()
            self._out.append(f"</{name}>\n")
            self._flush()
        else:
            # Inside what is merely copied, white space is content, and is copied too.
            parent = self._kinds[-1]
            self._out.append(f"</{name}>" + ("" if parent in {"other", "setting"} else "\n"))
            if kind == "setting" and parent == "index":
                self._keep()

    def _end_name(self) -> None:
        self._out.append(escape(self._name))
        name = decode_name(self._name, percent_encoded=self._encoded) if self._name else ""
        if self._kinds[-1] == "file":
            self._file_name = name
        elif len(self._path) > 1 and self._names is None:
            self._path[-1] = name
            parent = self._nodes[-2]
            self._nodes[-1] = parent.directories.get(name) if parent else None

    def _add(self) -> None:
        self._flush()
        node = self._nodes[-1]
        if node is not None:
            write_additions(node, self._write)

    def _keep(self) -> None:
        self.settings += "".join(self._out)
        self._out.clear()
        if len(self.settings) > MAX_PRESERVED:
            raise Malformed(f"The index holds more than {MAX_PRESERVED} characters of unknown elements.")

    def text(self, data: str) -> None:
        """Text is copied; white space between elements is left out."""
        kind = self._kinds[-1]
        if kind in {"name", "time"}:
            self._name += data
        elif kind in {"other", "setting"}:
            self._out.append(escape(data))

    def _flush(self) -> None:
        if self._out:
            self._write("".join(self._out).encode())
            self._out.clear()


def write_additions(node: NewDirectory, write: Callable[[bytes], object]) -> None:
    """Write what is new directly below a directory; new directories with all that is in them."""
    for name, child in node.directories.items():
        if child.entry is not None:
            write(directory_start(child.entry, name))
            write_additions(child, write)
            write(DIRECTORY_END)
    for xml in node.files.values():
        write(xml)
