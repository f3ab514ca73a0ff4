"""Judging a BagIt bag (RFC 8493) from a list of its files, its tag files, and digests, wherever these come from.

All that is wrong is listed, not only the first. Where the RFC says MUST it is a fault for a 1.0 bag; what earlier
drafts allowed, and what well-known tools do although they should not, is a warning where no doubt remains about which
bytes are meant. Two rules are ours: fetch.txt is refused, since this archive keeps only complete bags; and a manifest
that cannot be checked (an algorithm other than md5, sha1, sha256, sha512) is a fault, since the bag could not be called
valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault.errors import Fault, Invalid
from vault.formats.archive import ReadableStream
from vault.formats.bag_tags import (
    MAX_DECLARATION_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_TAG_BYTES,
    Findings,
    UnreadableTagFileError,
    parse_bag_info,
    parse_declaration,
    tag_lines,
)
from vault.formats.names import MAX_NAME_BYTES
from vault.text import fits, normalised

ALGORITHMS: Mapping[str, int] = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Algorithms, by their normalised names, and the hex digits of a digest."""

_MANIFEST = re.compile(r"(tag)?manifest-([^/]+)\.txt")
_LINE = re.compile(r"([0-9A-Fa-f]+)[ \t]+(.+)", re.DOTALL)
_ESCAPE = re.compile("%(0[Aa]|0[Dd]|25)")
_LONE_PERCENT = re.compile("%(?!0[Aa]|0[Dd]|25)")
# Absolute, a home folder, a drive, a backslash, or a “..” component: nothing that may be looked for.
_ESCAPES = re.compile(r"[/~]|[A-Za-z]:|.*\\|(?:.*/)?\.\.(?:/|$)", re.DOTALL)
_OXUM = re.compile(r"([0-9]{1,20})\.([0-9]{1,20})")


class BagContents(Protocol):
    """What the validator asks about a bag. Paths are relative to the bag's root, with ``/`` between components."""

    def paths(self) -> Mapping[str, int]:
        """All files, and their sizes in bytes. Asked once."""
        ...

    def has_directory(self, path: str) -> bool:
        """Whether there is this directory, be it empty."""
        ...

    def open(self, path: str) -> AbstractContextManager[ReadableStream]:
        """A tag file, to be read once from its beginning."""
        ...

    def digest(self, path: str, algorithms: Collection[str]) -> Mapping[str, str]:
        """Lowercase hex digests of a file, at least of ``algorithms`` (always all that the bag's manifests call for).

        Called once for each manifest line, so it is for the implementer to remember.
        """
        ...


@dataclass(frozen=True, slots=True)
class BagReport:
    """What was found. ``faults`` and ``warnings`` hold the first thousand, ``more_…`` counts the rest.

    ``version`` and ``encoding`` are as declared (None where bagit.txt does not tell), ``bag_info`` the metadata
    elements in order, algorithms in their normalised names.
    """

    version: str | None
    encoding: str | None
    payload_files: int
    payload_bytes: int
    tag_files: int
    payload_algorithms: tuple[str, ...]
    tag_algorithms: tuple[str, ...]
    bag_info: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    more_faults: int
    more_warnings: int

    @property
    def valid(self) -> bool:
        """Whether the bag is valid in the sense of section 3."""
        return not self.faults

    def require_valid(self) -> None:
        """Raise Invalid (``bag-invalid``) with every fault, unless the bag is valid."""
        if self.faults:
            count = len(self.faults) + self.more_faults
            raise Invalid(
                f"The bag is not valid: {count} {'fault' if count == 1 else 'faults'}.",
                faults=self.faults,
                remedy="Correct the bag where it was made, and deposit it again.",
                code="bag-invalid",
            )


def find_bag_root(names: Iterable[str]) -> str | None:
    """The prefix that all files of the bag in an archive have: ``""``, or ``"folder/"``; None when there is no bag.

    A bag lies at the top, or in the one folder that is there (section 4). ``names`` are all members' names, directories
    included.
    """
    top: str | None = None
    single = True
    nested = False
    for name in names:
        if name == "bagit.txt":
            return ""
        folder, slash, rest = name.partition("/")
        if top is None:
            top = folder
        single = single and folder == top
        nested = nested or (bool(slash) and rest == "bagit.txt")
    return f"{top}/" if single and nested else None


def encode_path(path: str) -> str:
    """A path as a manifest writes it: LF, CR and % percent-encoded, nothing else (section 2.1.3)."""
    return path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def decode_path(text: str) -> str:
    """The reverse of `encode_path`; any other percent sign stands for itself."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def validate_bag(contents: BagContents) -> BagReport:
    """Judge a bag. Raises nothing for what is wrong with it; errors of ``contents`` itself pass through."""
    return _Validator(contents).run()


@dataclass(frozen=True, slots=True)
class _Manifest:
    path: str
    algorithm: str
    of_tags: bool


class _Validator:
    def __init__(self, contents: BagContents) -> None:
        self._contents = contents
        self._paths = contents.paths()
        self._faults = Findings()
        self._warnings = Findings()
        self._version = (1, 0)
        self._codec: str | None = "utf-8"
        self._composed: dict[str, str | None] | None = None

    def run(self) -> BagReport:
        sizes = [size for path, size in self._paths.items() if path.startswith("data/")]
        version, encoding = self._declaration()
        if not sizes and not self._contents.has_directory("data"):
            self._faults.add("no-payload-directory", "the bag has no directory “data”.", "data")
        if "fetch.txt" in self._paths:
            self._faults.add(
                "fetch-refused", "this archive keeps only complete bags; fetch the files and leave it out.", "fetch.txt"
            )
        manifests = self._manifests()
        payload_manifests = [manifest for manifest in manifests if not manifest.of_tags]
        tag_manifests = [manifest for manifest in manifests if manifest.of_tags]
        info: tuple[tuple[str, str], ...] = ()
        # Without the encoding no other tag file can be read; what would follow from that is no further fault.
        if self._codec is not None:
            self._check_payload(payload_manifests)
            self._check_tags(tag_manifests, [manifest.path for manifest in payload_manifests])
            info = self._bag_info()
            self._check_oxum(info, sum(sizes), len(sizes))
        return BagReport(
            version=version,
            encoding=encoding,
            payload_files=len(sizes),
            payload_bytes=sum(sizes),
            tag_files=len(self._paths) - len(sizes),
            payload_algorithms=tuple(manifest.algorithm for manifest in payload_manifests),
            tag_algorithms=tuple(manifest.algorithm for manifest in tag_manifests),
            bag_info=info,
            faults=self._faults.kept,
            warnings=self._warnings.kept,
            more_faults=self._faults.more,
            more_warnings=self._warnings.more,
        )

    # -- tag files

    def _declaration(self) -> tuple[str | None, str | None]:
        if "bagit.txt" not in self._paths:
            self._faults.add("no-declaration", "the bag has no bagit.txt.", "bagit.txt")
            return None, None
        if self._paths["bagit.txt"] > MAX_DECLARATION_BYTES:
            self._faults.add("declaration-malformed", "must be exactly two lines.", "bagit.txt")
            self._codec = None
            return None, None
        with self._contents.open("bagit.txt") as stream:
            raw = b""
            while len(raw) <= MAX_DECLARATION_BYTES and (chunk := stream.read(MAX_DECLARATION_BYTES)):
                raw += chunk
        declaration = parse_declaration(raw, self._faults, self._warnings)
        if declaration is None:
            self._codec = None
            return None, None
        self._version = declaration.version
        self._codec = declaration.codec
        return f"{declaration.version[0]}.{declaration.version[1]}", declaration.encoding

    def _strict(self) -> Findings:
        """Where to note what 1.0 forbids and earlier versions did not."""
        return self._faults if self._version >= (1, 0) else self._warnings

    def _each_line(self, path: str, max_bytes: int, use: Callable[[Iterable[str]], None]) -> None:
        def on_bom() -> None:
            self._strict().add("tag-file-bom", "begins with a byte order mark, which it must not.", path)

        if self._paths[path] > max_bytes:
            self._faults.add("tag-file-too-large", f"is larger than {max_bytes} bytes.", path)
            return
        with self._contents.open(path) as stream:
            try:
                use(tag_lines(stream, self._codec or "utf-8", max_bytes=max_bytes, on_bom=on_bom))
            except UnreadableTagFileError as error:
                self._faults.add(error.code, error.message, path)

    def _bag_info(self) -> tuple[tuple[str, str], ...]:
        # Renamed in 0.96.
        path = "bag-info.txt" if self._version >= (0, 96) else "package-info.txt"
        pairs: list[tuple[str, str]] = []
        if path in self._paths:
            self._each_line(
                path,
                MAX_TAG_BYTES,
                lambda lines: pairs.extend(parse_bag_info(lines, self._version, path, self._faults, self._warnings)),
            )
        return tuple(pairs)

    def _check_oxum(self, info: Iterable[tuple[str, str]], size: int, count: int) -> None:
        values = [value for label, value in info if label.lower() == "payload-oxum"]
        if len(values) > 1:
            self._strict().add("payload-oxum-repeated", "Payload-Oxum is given more than once.", "bag-info.txt")
        for value in values:
            found = _OXUM.fullmatch(value)
            if found is None:
                self._faults.add("payload-oxum-malformed", "Payload-Oxum is not “bytes.files”.", "bag-info.txt")
            elif (int(found[1]), int(found[2])) != (size, count):
                self._faults.add(
                    "payload-oxum-mismatch",
                    f"Payload-Oxum says {found[1]} bytes in {found[2]} files; there are {size} in {count}.",
                    "bag-info.txt",
                )

    # -- manifests

    def _manifests(self) -> list[_Manifest]:
        manifests: list[_Manifest] = []
        taken: set[tuple[bool, str]] = set()
        some_payload = False
        for path in sorted(self._paths):
            found = _MANIFEST.fullmatch(path)
            if found is None:
                continue
            of_tags = found[1] is not None
            some_payload = some_payload or not of_tags
            algorithm = re.sub("[^a-z0-9]", "", found[2].lower())
            if algorithm not in ALGORITHMS:
                known = ", ".join(ALGORITHMS)
                self._faults.add("manifest-algorithm", f"cannot be checked: this node knows {known}.", path)
                continue
            if algorithm != found[2]:
                self._warnings.add("manifest-algorithm-name", f"should be named with “{algorithm}”.", path)
            if (of_tags, algorithm) in taken:
                self._faults.add("manifest-repeated", f"is a second manifest for {algorithm}.", path)
            taken.add((of_tags, algorithm))
            manifests.append(_Manifest(path, algorithm, of_tags))
        if not some_payload:
            self._faults.add("no-manifest", "the bag has no payload manifest (manifest-sha512.txt).")
        return manifests

    def _check_payload(self, manifests: list[_Manifest]) -> None:
        algorithms = frozenset(manifest.algorithm for manifest in manifests)
        listed: set[str] = set()
        for manifest in manifests:
            seen = self._check_manifest(manifest, algorithms)
            if self._version >= (1, 0):
                self._check_all_listed(seen, f"is not listed in {manifest.path}.")
            else:
                listed |= seen
        if manifests and self._version < (1, 0):
            self._check_all_listed(listed, "is not listed in any payload manifest.")

    def _check_all_listed(self, seen: Collection[str], message: str) -> None:
        for path in self._paths:
            if path.startswith("data/") and path not in seen:
                self._faults.add("payload-not-listed", message, path)

    def _check_tags(self, manifests: list[_Manifest], payload_manifests: list[str]) -> None:
        algorithms = frozenset(manifest.algorithm for manifest in manifests)
        listed: set[str] = set()
        for manifest in manifests:
            seen = self._check_manifest(manifest, algorithms)
            listed |= seen
            for path in payload_manifests:
                if path not in seen:
                    self._strict().add("manifest-not-listed", f"is not listed in {manifest.path}.", path)
        if manifests:
            for path in sorted(self._paths.keys() - listed):
                if not path.startswith(("data/", "tagmanifest-")) and path not in payload_manifests:
                    self._warnings.add("tag-file-not-listed", "is not protected by any tag manifest.", path)

    def _check_manifest(self, manifest: _Manifest, algorithms: Collection[str]) -> set[str]:
        """Check each line; returns the stored paths that it lists."""
        seen: set[str] = set()

        def use(lines: Iterable[str]) -> None:
            for number, line in enumerate(lines, 1):
                self._check_line(manifest, number, line, seen, algorithms)

        self._each_line(manifest.path, MAX_MANIFEST_BYTES, use)
        return seen

    def _check_line(
        self, manifest: _Manifest, number: int, line: str, seen: set[str], algorithms: Collection[str]
    ) -> None:
        if not line.strip(" \t"):
            self._warnings.once("manifest-blank-line", "has a blank line.", manifest.path)
            return
        found = _LINE.fullmatch(line)
        if found is None:
            self._faults.add("manifest-malformed", f"line {number} is not “checksum path”.", manifest.path)
            return
        stated = found[1].lower()
        path = self._resolve(manifest, found[2])
        if path is None:
            return
        if path in seen:
            self._strict().add("manifest-duplicate", f"is listed twice in {manifest.path}.", path)
        seen.add(path)
        if len(stated) != ALGORITHMS[manifest.algorithm]:
            self._faults.add("manifest-digest-malformed", f"line {number}: no {manifest.algorithm}.", manifest.path)
        elif (actual := self._contents.digest(path, algorithms)[manifest.algorithm].lower()) != stated:
            self._faults.add(
                "checksum-mismatch",
                f"{manifest.path} says {stated}, the file has {actual} ({manifest.algorithm}).",
                path,
            )

    def _resolve(self, manifest: _Manifest, text: str) -> str | None:
        """The stored file that a manifest line means; None after a fault."""
        if text.startswith("*") and text not in self._paths:
            self._warnings.once("manifest-binary-marker", "marks files with “*”, as md5sum does.", manifest.path)
            text = text[1:]
        if text.startswith("./") and len(text) > 2:
            self._warnings.once("manifest-dot-slash", "begins paths with “./”.", manifest.path)
            text = text[2:]
        path = decode_path(text)
        if path not in self._paths and _ESCAPES.match(path):
            self._faults.add("manifest-path-escapes", f"in {manifest.path} leads out of the bag.", path)
            return None
        if not self._belongs(manifest, path):
            return None
        if _LONE_PERCENT.search(text) and self._version >= (1, 0):
            self._warnings.once("manifest-percent", "holds “%” that is not written as %25.", manifest.path)
        if path in self._paths:
            return path
        if text in self._paths:
            self._warnings.once("manifest-percent", "holds “%” that is not written as %25.", manifest.path)
            return text
        fitting = fits(path, MAX_NAME_BYTES)  # and what is longer is no file's name
        composed = self._by_composed().get(normalised("NFC", path)) if fitting else None
        if composed is not None:
            self._warnings.add(
                "manifest-normalisation", f"is written with other accents' encoding in {manifest.path}.", composed
            )
            return composed
        self._faults.add("file-missing", f"is listed in {manifest.path}, but not in the bag.", path)
        return None

    def _belongs(self, manifest: _Manifest, path: str) -> bool:
        payload = path.startswith("data/")
        if not manifest.of_tags and not payload:
            self._faults.add("manifest-outside-payload", f"is no payload, but listed in {manifest.path}.", path)
            return False
        if manifest.of_tags and payload:
            self._faults.add("tagmanifest-lists-payload", f"is payload, but listed in {manifest.path}.", path)
            return False
        if manifest.of_tags and path.startswith("tagmanifest-") and "/" not in path:
            self._faults.add("tagmanifest-lists-tagmanifest", f"must not be listed in {manifest.path}.", path)
            return False
        return True

    def _by_composed(self) -> dict[str, str | None]:
        """Stored paths by their NFC form; None where two have the same. Made when first needed: mostly it is not."""
        if self._composed is None:
            composed: dict[str, str | None] = {}
            for path in self._paths:
                if not path.isascii():
                    key = normalised("NFC", path)
                    composed[key] = path if key not in composed else None
            self._composed = composed
        return self._composed
