"""The inventory of an OCFL object: its model, its JSON, and the sidecar with its digest.

Source: OCFL 1.1 sections 3.5 to 3.7. Reading is in :mod:`.reading`, which says what is wrong; making new versions is
in :mod:`.building`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring as _quoted

from vault.errors import Fault, Invalid, NotFound
from vault.formats.ocfl import digests

INVENTORY_FILE = "inventory.json"
DEFAULT_CONTENT_DIRECTORY = "content"
INVENTORY_TYPE = "https://ocfl.io/1.1/spec/#inventory"
MAX_INVENTORY_BYTES = 512 * 2**20
"""Inventories above this are refused unread; 500,000 files need about 190 MB."""

_TYPE = re.compile(r"https://ocfl\.io/(1\.[01])/spec/#inventory")
_SIDECAR = re.compile(rb"([0-9A-Fa-f]+)[ \t]+inventory\.json[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class User:
    """Who made a version. ``address`` is a URI: ``mailto:`` or a personal page."""

    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One version: when (RFC 3339 text, as written), why, by whom, and its logical state.

    ``state`` maps a digest, written exactly as in the manifest, to the logical paths with that content.
    """

    created: str
    message: str | None
    user: User | None
    state: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All versions of an object, and where their content lies.

    ``manifest`` maps a digest to content paths relative to the object root; ``versions`` maps version directory names
    to versions, oldest first; ``fixity`` maps further digest algorithms to digest to content paths. Digests stand as
    they were written: compare them in lower case. The mappings are not to be changed.
    """

    id: str
    type: str
    digest_algorithm: str
    head: str
    manifest: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, Version]
    fixity: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    content_directory: str | None = None
    """The key as it stands in the JSON; None where it is absent. See :attr:`content_name`."""

    @property
    def content_name(self) -> str:
        """Name of the content directories, ``content`` unless the inventory says otherwise."""
        return self.content_directory or DEFAULT_CONTENT_DIRECTORY

    @property
    def spec(self) -> str:
        """Version of the OCFL specification it was written to: ``1.0`` or ``1.1``; "" where it does not say."""
        match = _TYPE.fullmatch(self.type)
        return match[1] if match else ""

    @property
    def head_number(self) -> int:
        """Number of the newest version."""
        return version_number(self.head)

    def version_name(self, number: int) -> str:
        """Return the version directory's name: ``v3``, or ``v003`` where the object pads its numbers.

        Raises:
            NotFound: there is no such version.
        """
        for name in self.versions:
            if version_number(name) == number:
                return name
        raise NotFound(f"The object {self.id} has no version {number}; its newest is {self.head}.")

    def files_of_version(self, number: int) -> dict[str, tuple[str, str]]:
        """Return what version ``number`` holds: logical path -> (digest in lower case, content path).

        Where the object keeps equal content more than once, the copy of that version or of the newest before is named.

        Raises:
            NotFound: there is no such version.
        """
        files: dict[str, tuple[str, str]] = {}
        for digest, logical_paths in self.versions[self.version_name(number)].state.items():
            stored = self.manifest[digest]
            content = stored[0] if len(stored) == 1 else _nearest(stored, number)
            value = (digest.lower(), content)
            for path in logical_paths:
                files[path] = value
        return files

    def content_of_version_part(self, number: int) -> dict[str, str]:
        """Return what the folder of version ``number`` holds: content path -> digest in lower case.

        This is what one tape file or one copy of that version carries beside the inventories.

        Raises:
            NotFound: there is no such version.
        """
        start = f"{self.version_name(number)}/"
        return {path: digest for path, digest in self.content() if path.startswith(start)}

    def content(self) -> Iterator[tuple[str, str]]:
        """Yield (content path, digest in lower case) of all stored files."""
        for digest, paths in self.manifest.items():
            lower = digest.lower()
            for path in paths:
                yield path, lower

    def content_by_digest(self) -> dict[str, str]:
        """Return digest in lower case -> a content path with it: what a new version need not store again."""
        return {digest.lower(): paths[0] for digest, paths in self.manifest.items() if paths}

    def to_bytes(self) -> bytes:
        """Return the JSON: UTF-8, a line per digest, in the order of the paths; equal inventories give equal bytes."""
        return "".join(_lines(self)).encode("utf-8")


def version_number(name: str) -> int:
    """Return 3 for ``v3`` and ``v003``, and 0 for what is no version directory's name."""
    digits = name[1:]
    is_number = name[:1] == "v" and digits.isascii() and digits.isdigit() and len(digits) <= 10
    return int(digits) if is_number else 0


def rfc3339(moment: datetime) -> str:
    """Return a moment as OCFL writes it, in UTC: ``2025-07-01T03:00:00Z``.

    Raises:
        Invalid: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise Invalid("A version's time of creation needs a time zone.", faults=[Fault("E049", "no time zone")])
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def sidecar_name(algorithm: str) -> str:
    """Return the name of the file beside an inventory that holds its digest."""
    return f"{INVENTORY_FILE}.{algorithm}"


def sidecar_bytes(inventory: bytes, algorithm: str) -> bytes:
    """Return the sidecar of these inventory bytes.

    Raises:
        Invalid: OCFL does not allow the algorithm.
    """
    hasher = digests.new_hasher(algorithm) if algorithm in digests.CONTENT_ALGORITHMS else None
    if hasher is None:
        raise Invalid(f"{algorithm!r} cannot name content.", faults=[Fault("E025", "use sha512 or sha256")])
    hasher.update(inventory)
    return f"{hasher.hexdigest()}  {INVENTORY_FILE}\n".encode()


def parse_sidecar(data: bytes) -> str:
    """Return the digest, in lower case, that a sidecar states.

    Raises:
        Invalid: it is not of the form ``DIGEST inventory.json`` (E061).
    """
    match = _SIDECAR.fullmatch(data)
    if match is None:
        message = "The sidecar does not have the form 'DIGEST inventory.json'."
        raise Invalid(message, faults=[Fault("E061", message)])
    return match[1].decode("ascii").lower()


def _nearest(stored: Iterable[str], number: int) -> str:
    def rank(path: str) -> tuple[bool, int, str]:
        at = version_number(path.partition("/")[0])
        return (at > number, -at, path)

    return min(stored, key=rank)


def _lines(inventory: Inventory) -> Iterator[str]:
    yield f'{{\n  "id": {_quoted(inventory.id)},\n  "type": {_quoted(inventory.type)},\n'
    yield f'  "digestAlgorithm": {_quoted(inventory.digest_algorithm)},\n  "head": {_quoted(inventory.head)},\n'
    if inventory.content_directory is not None:
        yield f'  "contentDirectory": {_quoted(inventory.content_directory)},\n'
    yield '  "manifest": '
    yield from _block(inventory.manifest, "  ")
    yield ',\n  "versions": {'
    between = "\n"
    for name, version in sorted(inventory.versions.items(), key=lambda item: version_number(item[0])):
        yield f'{between}    {_quoted(name)}: {{\n      "created": {_quoted(version.created)},\n'
        if version.message is not None:
            yield f'      "message": {_quoted(version.message)},\n'
        if version.user is not None:
            yield f'      "user": {{"name": {_quoted(version.user.name)}'
            if version.user.address is not None:
                yield f', "address": {_quoted(version.user.address)}'
            yield "},\n"
        yield '      "state": '
        yield from _block(version.state, "      ")
        yield "\n    }"
        between = ",\n"
    yield "\n  }"
    if inventory.fixity:
        yield ',\n  "fixity": {'
        between = "\n"
        for algorithm, block in sorted(inventory.fixity.items()):
            yield f"{between}    {_quoted(algorithm)}: "
            yield from _block(block, "    ")
            between = ",\n"
        yield "\n  }"
    yield "\n}\n"


def _block(block: Mapping[str, tuple[str, ...]], indent: str) -> Iterator[str]:
    if not block:
        yield "{}"
        return
    entries = sorted((tuple(sorted(paths)), digest) for digest, paths in block.items())
    between = "{\n"
    for paths, digest in entries:
        listed = ", ".join(map(_quoted, paths))
        yield f"{between}{indent}  {_quoted(digest)}: [{listed}]"
        between = ",\n"
    yield f"\n{indent}}}"
