"""Reading an inventory that may be hostile: everything wrong with it is listed, and what is sound is kept.

Source: OCFL 1.1 section 3.5. Duplicate JSON keys are refused although RFC 8259 only advises against them: two readers
could see two different objects in one inventory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from vault.errors import Fault, Invalid
from vault.formats.ocfl import digests
from vault.formats.ocfl.content_paths import is_text
from vault.formats.ocfl.findings import Findings
from vault.formats.ocfl.inventory import MAX_INVENTORY_BYTES, Inventory, User, Version, version_number
from vault.formats.ocfl.strict_json import JsonObject, load_json

MAX_VERSIONS = 100_000

_KEPT_BYTES = 4 * 1024 * 1024
"""Larger inventories are not worth the memory."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_CONTENT_PATH = re.compile(r"(v\d+)/([^/]+)/.+", re.ASCII | re.DOTALL)
_KEYS = frozenset({"id", "type", "digestAlgorithm", "head", "contentDirectory", "manifest", "versions", "fixity"})
_VERSION_KEYS = frozenset({"created", "state", "message", "user"})

_Block = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Codes:
    """What to say of a block that maps digests to paths; ``any_case``: repeated also if case differs."""

    digest: str
    listed: str
    repeated: str
    any_case: bool = True


_MANIFEST = _Codes("E025", "E092", "E096")
_STATE = _Codes("E050", "E051", "E050", any_case=False)
_FIXITY = _Codes("E057", "E057", "E097")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. ``inventory`` holds what is well formed (None where it is no JSON object); ``whole`` tells
    whether all of its manifest is.
    """

    inventory: Inventory | None
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    suppressed: int
    whole: bool


def parse_inventory(data: bytes, *, limit: int = MAX_INVENTORY_BYTES) -> Inventory:
    """Return the inventory in ``data``.

    Raises:
        Invalid: it breaks a MUST of the specification, or has more than ``limit`` bytes; ``faults`` carry OCFL codes.
    """
    return (_kept if len(data) <= min(limit, _KEPT_BYTES) else _parsed)(data, limit)


def _parsed(data: bytes, limit: int) -> Inventory:
    reading = read_inventory(data, limit=limit)
    if reading.inventory is None or reading.errors:
        first = reading.errors[0]
        raise Invalid(
            f"The inventory is not a valid OCFL inventory: {first.message} ({first.code})",
            faults=reading.errors,
            remedy="Validate the object, and take a sound copy of it from another volume.",
        )
    return reading.inventory


_kept = functools.lru_cache(maxsize=4)(_parsed)
"""Whoever copies a part needs the very same inventory again to check each copy, at once."""


def read_inventory(data: bytes, *, limit: int = MAX_INVENTORY_BYTES, where: str = "") -> Reading:
    """Read as much of an inventory as makes sense. ``where`` is prefixed to the paths of faults. Never raises."""
    findings = Findings()
    document: object = None
    if len(data) > limit:
        findings.error("too-large", f"The inventory has {len(data)} bytes; the limit is {limit}.", where)
    else:
        document = load_json(data, findings, where)
    reader = _Reader(findings, where)
    inventory = reader.inventory(document) if isinstance(document, JsonObject) else None
    return Reading(inventory, tuple(findings.errors), tuple(findings.warnings), findings.suppressed, reader.whole)


class _Reader:
    """Turns one JSON document into an :class:`Inventory`, recording faults on the way."""

    def __init__(self, findings: Findings, where: str) -> None:
        self._findings = findings
        self._where = where
        self._form = digests.CONTENT_ALGORITHMS[0]
        self.whole = True

    def _error(self, code: str, message: str, path: str = "") -> None:
        self._findings.error(code, message, path or self._where)

    def _warning(self, code: str, message: str, path: str = "") -> None:
        self._findings.warning(code, message, path or self._where)

    def inventory(self, document: JsonObject) -> Inventory:
        self._keys(document, _KEYS, "")
        identifier = self._id(document)
        kind = self._type(document)
        algorithm = self._algorithm(document)
        content_directory = self._content_directory(document)
        names = self._version_names(document)
        head = self._head(document, names)
        spec_1_0 = "/1.0/" in kind
        manifest = self._manifest(document, set(names), content_directory or "content")
        versions = self._versions(document, names)
        if versions:
            used = {digest for version in versions.values() for digest in version.state}
            lower = {digest.lower() for digest in used}
            for digest in manifest:
                if digest not in used and digest.lower() not in lower:
                    self._error("E107", f"No version uses the digest {digest} of the manifest.", manifest[digest][0])
        fixity = self._fixity(document, manifest, spec_1_0=spec_1_0)
        return Inventory(
            id=identifier,
            type=kind,
            digest_algorithm=algorithm,
            head=head,
            manifest=manifest,
            versions=versions,
            fixity=fixity,
            content_directory=content_directory,
        )

    def _keys(self, block: JsonObject, allowed: frozenset[str], of: str) -> None:
        for key in block.repeated:
            self._error("E033", f"The key {key!r} occurs more than once{of}.")
        for key in block:
            if key not in allowed:
                self._error("E102", f"The key {key!r} is not in the specification{of}.")

    def _id(self, document: JsonObject) -> str:
        if "id" not in document:
            self._error("E036", "The inventory has no id.")
            return ""
        value = document["id"]
        if not isinstance(value, str) or not value or not is_text(value):
            self._error("E037", "The id is not a text, or is empty.")
            return ""
        if not _URI.fullmatch(value):
            self._warning("W005", f"The id {_shown(value)} is not a URI.")
        return value

    def _type(self, document: JsonObject) -> str:
        if "type" not in document:
            self._error("E036", "The inventory has no type.")
            return ""
        value = document["type"]
        if value not in ("https://ocfl.io/1.0/spec/#inventory", "https://ocfl.io/1.1/spec/#inventory"):
            self._error("E038", f"The type {_shown(value)} is not that of an OCFL 1.0 or 1.1 inventory.")
            return ""
        return str(value)

    def _algorithm(self, document: JsonObject) -> str:
        if "digestAlgorithm" not in document:
            self._error("E036", "The inventory has no digestAlgorithm.")
            return ""
        value = document["digestAlgorithm"]
        if not isinstance(value, str) or value not in digests.CONTENT_ALGORITHMS:
            self._error("E025", f"The digestAlgorithm {_shown(value)} is neither sha512 nor sha256.")
            value = value if isinstance(value, str) and digests.is_known(value) else ""
        elif value == "sha256":
            self._warning("W004", "The digestAlgorithm is sha256; sha512 is preferred.")
        self._form = value
        return value

    def _content_directory(self, document: JsonObject) -> str | None:
        if "contentDirectory" not in document:
            return None
        value = document["contentDirectory"]
        if not isinstance(value, str) or "/" in value or "\0" in value or not is_text(value):
            self._error("E017", f"The contentDirectory {_shown(value)} is not the name of a directory.")
        elif value in (".", ".."):
            self._error("E018", "The contentDirectory is one or two dots.")
        elif not value:
            self._error("E108", "The contentDirectory is empty.")
        else:
            return value
        self.whole = False
        return None

    def _version_names(self, document: JsonObject) -> list[str]:
        """Return the names of versions in order, after checking how they are made and that none is missing."""
        if "versions" not in document:
            self._error("E041", "The inventory has no versions.")
            return []
        value = document["versions"]
        if not isinstance(value, JsonObject):
            self._error("E045", "The versions are not a JSON object.")
            return []
        if not value:
            self._error("E008", "The inventory describes no version.")
            return []
        for key in value.repeated:
            self._error("E033", f"The version {key!r} occurs more than once.")
        numbers: dict[int, str] = {}
        for name in value:
            number = version_number(name)
            if number == 0 or len(numbers) > MAX_VERSIONS:
                self._error("E046", f"{name!r} cannot be the name of a version directory.")
            elif number in numbers:
                self._error("E012", f"{name!r} and {numbers[number]!r} are the same version.")
            else:
                numbers[number] = name
        names = [numbers[number] for number in sorted(numbers)]
        self._check_sequence(numbers, names)
        return names

    def _check_sequence(self, numbers: dict[int, str], names: list[str]) -> None:
        if 1 not in numbers:
            self._error("E009", "The versions do not begin with 1.")
        elif len(numbers) != max(numbers):
            self._error("E010", "The sequence of versions has a gap.")
        if not names:
            return
        padded = names[0].startswith("v0")
        if padded:
            self._warning("W001", "The version numbers are padded with zeros.")
        for name in names[1:]:
            if padded and not name.startswith("v0") and len(name) == len(names[0]):
                self._error("E011", f"{name!r} does not begin with v and zero, as {names[0]!r} does.")
                self._error("E013", f"{name!r} does not follow the naming of {names[0]!r}.")
            elif name.startswith("v0") != padded or (padded and len(name) != len(names[0])):
                self._error("E012", f"{name!r} does not follow the naming of {names[0]!r}.")

    def _head(self, document: JsonObject, names: list[str]) -> str:
        newest = names[-1] if names else ""
        if "head" not in document:
            self._error("E036", "The inventory has no head.")
        elif names and document["head"] != newest:
            self._error("E040", f"The head is {_shown(document['head'])}, but the newest version is {newest!r}.")
        elif not isinstance(document["head"], str):
            self._error("E040", "The head is not a text.")
        return newest

    def _manifest(self, document: JsonObject, names: set[str], content: str) -> _Block:
        if "manifest" not in document:
            self._error("E041", "The inventory has no manifest.")
            self.whole = False
            return {}
        value = document["manifest"]
        if not isinstance(value, JsonObject):
            self._error("E106", "The manifest is not a JSON object.")
            self.whole = False
            return {}
        manifest: _Block = {}
        for digest, listed in self._entries(value, "manifest", self._form, _MANIFEST):
            paths = tuple(path for path in listed if self._is_content_path(path, names, content))
            self.whole = self.whole and len(paths) == len(listed) > 0
            if not listed:
                self._error("E092", f"The manifest lists no file for the digest {digest}.")
            elif paths:
                manifest[digest] = paths
        self.whole = self.whole and len(manifest) == len(value)
        self._unique((path for paths in manifest.values() for path in paths), "E101", "content path", "manifest")
        return manifest

    def _is_content_path(self, path: str, names: set[str] | None, content: str) -> bool:
        """Check one content path; ``names`` None leaves out what only a manifest must fulfil.

        Without any name nothing is said of the version directory, as the versions have their own faults.
        """
        if path.startswith("/") or path.endswith("/") or not path:
            self._error("E100", "The content path begins or ends with a slash, or is empty.", path)
        elif not {"", ".", ".."}.isdisjoint(path.split("/")):
            self._error("E099", "The content path has an empty element, or one of one or two dots.", path)
        elif "\0" in path or not is_text(path):
            self._error("E098", "The content path is not a path.", path)
        elif names is not None and (
            (match := _CONTENT_PATH.fullmatch(path)) is None or (names and match[1] not in names) or match[2] != content
        ):
            self._error("E042", f"The content path is not in the {content!r} directory of a version.", path)
        else:
            return True
        return False

    def _versions(self, document: JsonObject, names: list[str]) -> dict[str, Version]:
        value = document.get("versions")
        versions: dict[str, Version] = {}
        if not isinstance(value, JsonObject):
            return versions
        for name in names:
            block = value[name]
            if not isinstance(block, JsonObject):
                self._error("E047", f"The version {name} is not a JSON object.")
                block = JsonObject.of([])
            else:
                self._keys(block, _VERSION_KEYS, f" in version {name}")
                self._required_of_version(block, name)
            created = block.get("created")
            message = block.get("message")
            versions[name] = Version(
                created if isinstance(created, str) else "",
                message if isinstance(message, str) else None,
                self._user(block, name),
                self._state(block, name, document.get("manifest")),
            )
        return versions

    def _required_of_version(self, block: JsonObject, name: str) -> None:
        created = block.get("created")
        if "created" not in block:
            self._error("E048", f"The version {name} has no time of creation.")
        elif not isinstance(created, str) or not _is_rfc3339(created):
            self._error("E049", f"The time of creation of version {name} is not in the form of RFC 3339.")
        if "state" not in block:
            self._error("E048", f"The version {name} has no state.")
        elif not isinstance(block["state"], JsonObject):
            self._error("E050", f"The state of version {name} is not a JSON object.")
        if "message" not in block:
            self._warning("W007", f"The version {name} has no message.")
        elif not isinstance(block["message"], str) or not is_text(block["message"]):
            self._error("E094", f"The message of version {name} is not a text.")

    def _user(self, block: JsonObject, version: str) -> User | None:
        if "user" not in block:
            self._warning("W007", f"The version {version} has no user.")
            return None
        value = block["user"]
        if not isinstance(value, JsonObject):
            self._error("E054", f"The user of version {version} is not a JSON object.")
            return None
        self._keys(value, frozenset({"name", "address"}), f" in the user of version {version}")
        name, address = value.get("name"), value.get("address")
        if not isinstance(name, str) or not name or not is_text(name):
            self._error("E054", f"The user of version {version} has no name.")
            name = ""
        if "address" not in value:
            self._warning("W008", f"The user of version {version} has no address.")
        elif not isinstance(address, str) or not is_text(address):
            self._error("E054", f"The address of the user of version {version} is not a text.")
            address = None
        elif not _URI.fullmatch(address):
            self._warning("W009", f"The address of the user of version {version} is not a URI.")
        return User(name, address if isinstance(address, str) else None)

    def _state(self, block: JsonObject, version: str, manifest: object) -> _Block:
        value = block.get("state")
        state: _Block = {}
        if not isinstance(value, JsonObject):
            return state
        name = f"state of version {version}"
        known = manifest if isinstance(manifest, dict) else None
        for digest, listed in self._entries(value, name, self._form, _STATE):
            if known is not None and digest not in known:
                self._error("E050", f"The {name} has the digest {digest}, which the manifest does not have.")
            state[digest] = tuple(path for path in listed if self._is_logical_path(path, name))
        self._unique((path for paths in state.values() for path in paths), "E095", "logical path", name)
        return state

    def _is_logical_path(self, path: str, name: str) -> bool:
        if path.startswith("/") or path.endswith("/") or not path:
            self._error("E053", f"A logical path in the {name} begins or ends with a slash, or is empty.", path)
        elif not {"", ".", ".."}.isdisjoint(path.split("/")):
            self._error("E052", f"A logical path in the {name} has an empty element or one of dots.", path)
        elif "\0" in path or not is_text(path):
            self._error("E051", f"A logical path in the {name} is not Unicode text.", path)
        else:
            return True
        return False

    def _fixity(self, document: JsonObject, manifest: _Block, *, spec_1_0: bool) -> dict[str, _Block]:
        if "fixity" not in document:
            return {}
        value = document["fixity"]
        if not isinstance(value, JsonObject):
            self._error("E056" if spec_1_0 else "E111", "The fixity is not a JSON object.")
            return {}
        for key in value.repeated:
            self._error("E033", f"The fixity algorithm {key!r} occurs more than once.")
        stored = {path for paths in manifest.values() for path in paths}
        fixity: dict[str, _Block] = {}
        for algorithm, block in value.items():
            if not digests.is_known(algorithm):
                self._error("E056", f"The fixity algorithm {algorithm!r} is not in the vocabulary of OCFL.")
            if not isinstance(block, JsonObject):
                self._error("E057", f"The fixity block of {algorithm!r} is not a JSON object.")
                continue
            fixity[algorithm] = self._fixity_block(algorithm, block, stored)
        return fixity

    def _fixity_block(self, algorithm: str, block: JsonObject, stored: set[str]) -> _Block:
        name = f"fixity block of {algorithm!r}"
        made: _Block = {}
        for digest, listed in self._entries(block, name, algorithm, _FIXITY):
            paths = []
            for path in listed:
                if path in stored:
                    paths.append(path)
                elif self._is_content_path(path, None, ""):
                    self._error("E057", f"The {name} lists a path that is not in the manifest.", path)
            made[digest] = tuple(paths)
        return made

    def _entries(self, block: JsonObject, name: str, algorithm: str, codes: _Codes) -> Iterator[tuple[str, list[str]]]:
        """Yield the well-formed (digest, paths) of a block."""
        for digest in block.repeated:
            self._error(codes.repeated, f"The {name} has the digest {digest} more than once.")
        seen: set[str] = set()
        for digest, listed in block.items():
            if not digests.well_formed(algorithm, digest):
                self._error(codes.digest, f"In the {name}, {digest!r} is not a digest of {algorithm}.")
                continue
            if not isinstance(listed, list) or not all(isinstance(path, str) for path in listed):
                self._error(codes.listed, f"The {name} does not list paths for the digest {digest}.")
                continue
            if codes.any_case:
                lower = digest.lower()
                if lower in seen:
                    self._error(codes.repeated, f"The {name} has the digest {lower} in upper and in lower case.")
                seen.add(lower)
            yield digest, listed

    def _unique(self, paths: Iterator[str], code: str, kind: str, name: str) -> None:
        """Record paths that occur twice, or are also the folder of another.

        With "/" sorting before every other character, what lies in a folder follows it at once.
        """
        ordered = sorted(path.replace("/", "\0") for path in paths)
        previous = ""
        for path in ordered:
            if path == previous:
                self._error(code, f"The {kind} occurs twice in the {name}.", path.replace("\0", "/"))
            elif previous and path.startswith(previous + "\0"):
                self._error(code, f"The {kind} is a file and a folder in the {name}.", previous.replace("\0", "/"))
            previous = path


def _shown(value: object) -> str:
    """Return a short form of a JSON value; never walks into it, as it may be deep or huge."""
    return repr(value[:200]) if isinstance(value, str) else f"(a {type(value).__name__.strip('_').lower()})"


def _is_rfc3339(text: str) -> bool:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return False
    day, minute, second = match.groups()
    try:
        datetime.fromisoformat(f"{day}T{minute}:00")
    except ValueError:
        return False
    return int(second) <= 60  # 60 is a leap second
