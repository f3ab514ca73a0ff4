"""The tag files of a bag (RFC 8493): their encoding, their lines, and the metadata elements of bag-info.txt."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vault.errors import Fault
from vault.formats.archive import ReadableStream
from vault.formats.names import shown

MAX_MANIFEST_BYTES = 256 * 1024**2
MAX_TAG_BYTES = 16 * 1024**2
MAX_LINE = 64 * 1024
"""Characters in one line of a tag file."""
MAX_INFO_PAIRS = 10_000
MAX_DECLARATION_BYTES = 4096

VERSIONS = frozenset({(0, 93), (0, 94), (0, 95), (0, 96), (0, 97), (1, 0)})
"""Versions accepted: RFC 8493 itself, and the drafts in use before it, whose bags it was written to keep readable.
No later version exists; what one would mean is not ours to guess."""

# What Python can decode that is a character set (not “rot13” or “zip”) and that archives have used.
_CODECS = frozenset(
    {"ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "gb2312", "gbk", "gb18030", "big5"}
    | {"shift_jis", "euc_jp", "euc_kr"}
    | {f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))}
    | {f"cp{page}" for page in range(1250, 1259)}
)
_LABEL = re.compile(r"[A-Za-z0-9._:+-]{1,40}")
_END_OF_LINE = re.compile("\r\n|\r|\n")
_READ = 64 * 1024


class Findings:
    """Faults or warnings, all of them counted, the first ``limit`` kept."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._kept: list[Fault] = []
        self._once: set[tuple[str, str]] = set()
        self.count = 0

    def add(self, code: str, message: str, path: str = "") -> None:
        """Note one finding."""
        self.count += 1
        if len(self._kept) < self._limit:
            self._kept.append(Fault(code, message, shown(path, 4096)))

    def once(self, code: str, message: str, path: str) -> None:
        """Note a habit of a file, which would otherwise be found on each of its lines."""
        if (code, path) not in self._once:
            self._once.add((code, path))
            self.add(code, message, path)

    @property
    def kept(self) -> tuple[Fault, ...]:
        """Those kept, in the order found."""
        return tuple(self._kept)

    @property
    def more(self) -> int:
        """How many were found beyond those kept."""
        return self.count - len(self._kept)


class UnreadableTagFileError(Exception):
    """A tag file cannot be read to its end; caught by the validator, which makes a fault of it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Declaration:
    """What bagit.txt says. ``codec`` is Python's name of ``encoding``; None where it is not one we read."""

    version: tuple[int, int]
    encoding: str
    codec: str | None


def tag_lines(
    stream: ReadableStream, codec: str, *, max_bytes: int, on_bom: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """The lines of a tag file, without their ends (LF, CR or CRLF: section 2.3), never more than a piece in memory.

    ``on_bom`` is called when a byte order mark was left out that the encoding does not call for. Raises
    UnreadableTagFileError when the file is longer than ``max_bytes``, has an endless line, or does not decode.
    """
    total = 0
    chunk = first = stream.read(_READ)
    while codec == "utf-16" and chunk and len(first) < 2:
        chunk = stream.read(_READ)
        first += chunk
    if codec == "utf-16" and not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16-be"  # RFC 2781, 4.3
    decoder = codecs.getincrementaldecoder(codec)("strict")
    chunk = first
    pending = ""
    at_start = True
    while True:
        total += len(chunk)
        if total > max_bytes:
            raise UnreadableTagFileError("tag-file-too-large", f"is larger than {max_bytes} bytes.")
        try:
            text = pending + decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise UnreadableTagFileError("tag-file-encoding", f"is not valid {codec}.") from error
        if at_start and text:
            at_start = False
            if text[0] == "\ufeff":
                on_bom()
                text = text[1:]
        # A CR at the end of a piece may be the first half of a CRLF.
        held = "\r" if chunk and text.endswith("\r") else ""
        lines = _END_OF_LINE.split(text[: len(text) - len(held)])
        pending = lines.pop() + held
        yield from lines
        if len(pending) > MAX_LINE:
            raise UnreadableTagFileError("tag-file-line-too-long", f"has a line of more than {MAX_LINE} characters.")
        if not chunk:
            if pending:
                yield pending
            return
        chunk = stream.read(_READ)


def parse_declaration(raw: bytes, faults: Findings, warnings: Findings) -> Declaration | None:
    """bagit.txt (section 2.1.1); None when it says too little to go on with."""
    path = "bagit.txt"
    if raw.startswith(codecs.BOM_UTF8):
        faults.add("declaration-bom", "begins with a byte order mark, which it must not.", path)
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        faults.add("declaration-malformed", "is not UTF-8.", path)
        return None
    lines = _END_OF_LINE.split(text)
    if lines[-1] == "":
        lines.pop()
    values: dict[str, str] = {}
    canonical: list[str] = []
    for line in lines:
        label, colon, value = line.partition(":")
        key = label.strip(" \t").lower()
        if colon and key in {"bagit-version", "tag-file-character-encoding"} and key not in values:
            values[key] = value.strip(" \t")
            canonical.append(f"{label.strip()}: {value.strip()}")
    version = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", values.get("bagit-version", ""))
    if version is None:
        faults.add("declaration-malformed", "has no line “BagIt-Version: M.N”.", path)
        return None
    number = int(version[1]), int(version[2])
    if number not in VERSIONS:
        faults.add("bagit-version", f"version {version[0]} is not accepted; 0.93 to 0.97 and 1.0 are.", path)
        return None
    # Before 1.0 the drafts left room, and tools used it.
    judge = faults if number >= (1, 0) else warnings
    if len(lines) != 2 or list(values) != ["bagit-version", "tag-file-character-encoding"]:
        judge.add("declaration-malformed", "must be exactly two lines: the version, then the encoding.", path)
    elif lines != canonical:
        judge.add("declaration-malformed", "must have one space after each colon, and none elsewhere.", path)
    encoding = values.get("tag-file-character-encoding", "")
    if not encoding:
        faults.add("declaration-malformed", "has no line “Tag-File-Character-Encoding: …”.", path)
        return None
    codec = _codec(encoding)
    if codec is None:
        faults.add("tag-encoding", f"the encoding “{shown(encoding)}” is unknown here; use UTF-8.", path)
    return Declaration(number, encoding, codec)


def _codec(label: str) -> str | None:
    if not _LABEL.fullmatch(label):
        return None
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return name if name in _CODECS else None


def parse_bag_info(
    lines: Iterable[str], version: tuple[int, int], path: str, faults: Findings, warnings: Findings
) -> tuple[tuple[str, str], ...]:
    """The metadata elements in their order (section 2.2.2); continued values keep line breaks, not the indents."""
    strict = version >= (1, 0)
    pairs: list[tuple[str, list[str]]] = []
    for number, line in enumerate(lines, 1):
        where = f"line {number}"
        if not line.strip(" \t"):
            warnings.once("bag-info-blank-line", "has a blank line.", path)
            continue
        if line[0] in " \t":
            if pairs:
                pairs[-1][1].append(line.strip(" \t"))
            else:
                faults.add("bag-info-malformed", f"{where} continues a value, but none was begun.", path)
            continue
        label, colon, value = line.partition(":")
        bare = label.rstrip(" \t")
        if not colon or not bare:
            faults.add("bag-info-malformed", f"{where} is not “Label: value”.", path)
            continue
        if strict and (bare != label or (value and value[0] not in " \t")):
            faults.add("bag-info-malformed", f"{where}: one space or tab after the colon, and none before it.", path)
        if len(pairs) >= MAX_INFO_PAIRS:
            faults.add("bag-info-too-long", f"has more than {MAX_INFO_PAIRS} elements.", path)
            break
        pairs.append((bare, [value.strip(" \t")]))
    return tuple((label, "\n".join(parts)) for label, parts in pairs)
