"""From the body to files in staging: a bag's members while they stream in, or one file as it is.

What was made is an account of it (:class:`Unpacked`): logical paths with digest, size and the content path that they
were written to. Nothing here decides whether the package is wanted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from vault.errors import Fault, Invalid
from vault.formats.archive import SNIFF_BYTES, ArchiveLimits, Container, Member, MemberKind, ReadableStream, sniff
from vault.formats.bag_tags import Findings, UnreadableTagFileError, parse_bag_info, tag_lines
from vault.formats.bagit import BagReport, find_bag_root, validate_bag
from vault.formats.gunzip import gunzip
from vault.formats.names import check_member_name
from vault.formats.ocfl.content_paths import ContentPaths
from vault.formats.tar import read_tar
from vault.formats.zip import list_zip, read_zip
from vault.intake import secrecy
from vault.intake.body import HashedBody
from vault.model import PackageKind
from vault.volumes.base import Staging

Kind = Literal["auto", "bag", "file"]

RESERVED = "khoso-deposit.json"
"""The one logical file that the node adds to a version: who deposited what, and when."""

_CHUNK = 1024 * 1024
_BAG_INFO = re.compile(r"(?:(?!data/)[^/]+/)?(?:bag|package)-info\.txt", re.IGNORECASE)
"""In capitals it is no metadata (RFC 8493, section 2.2.2), but a marking in it is one."""
_BAG_INFO_BYTES = 1024 * 1024
"""One that is longer is looked at only when the whole bag is there."""
_MANIFEST = re.compile(r"(?:.*/)?(?:tag)?manifest-(md5|sha1|sha256|sha512)\.txt", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in staging."""

    content_path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """All that came: logical path -> file. ``bag`` is the validator's report of a bag."""

    kind: PackageKind
    files: Mapping[str, StoredFile]
    bag: BagReport | None

    @property
    def bytes(self) -> int:
        """The sum of the files' sizes."""
        return sum(file.size for file in self.files.values())


@dataclass
class _Entry:
    """A file in staging with every digest that was computed of it so far."""

    content_path: str
    size: int
    digests: dict[str, str]


class Unpacker:
    """Unpacks one body into one staging."""

    def __init__(self, staging: Staging, algorithm: str, limits: ArchiveLimits) -> None:
        self._staging = staging
        self._algorithm = algorithm
        self._limits = limits
        self._paths = ContentPaths(f"v{staging.number}")
        self._entries: dict[str, _Entry] = {}
        self._folders: set[str] = set()
        self._also: set[str] = set()

    def unpack(self, body: HashedBody, kind: Kind, filename: str) -> Unpacked:
        """Do it. Raises Invalid with every fault found, and whatever the body or the staging raises."""
        first = body.peek(SNIFF_BYTES)
        if not first:
            raise _invalid("empty-body", "the request has no body", "Send the package's bytes as the request's body.")
        container = sniff(first, filename)
        if kind == "file" or container is Container.OTHER:
            if kind == "bag":
                raise _no_bag("it is neither a tar, a tar.gz nor a zip")
            return self._single(body, filename)
        body.hash_at_least("sha256")
        if container is Container.ZIP:
            return self._zip(body, kind, filename)
        source: ReadableStream = gunzip(body, self._limits) if container is Container.TAR_GZ else body
        for member in read_tar(source, self._limits):
            self._member(member)
        body.drain()
        return self._bag()

    # --- one file

    def _single(self, body: HashedBody, filename: str) -> Unpacked:
        name = _bare_name(filename or "content")
        # The body is the file, so it is hashed as a body: beside the writing, and once.
        body.hash_also(self._algorithm)
        entry = self._write(name, iter(lambda: body.read(_CHUNK), b""), set())
        entry.digests[self._algorithm] = body.digest(self._algorithm)
        return self._unpacked(PackageKind.FILE, None)

    # --- archives

    def _zip(self, body: HashedBody, kind: Kind, filename: str) -> Unpacked:
        """A zip's directory is at its end, so it is spooled first. One that holds no bag is kept as the file it is."""
        if kind != "bag":
            body.hash_also(self._algorithm)
        spool = self._staging.create_spool()
        try:
            for chunk in iter(lambda: body.read(_CHUNK), b""):
                spool.write(chunk)
        finally:
            spool.close()
        with self._staging.open_spool() as file:
            if kind == "bag" or find_bag_root(entry.name for entry in list_zip(file, self._limits)) is not None:
                for member in read_zip(file, self._limits):
                    self._member(member)
                self._staging.drop_spool()
                return self._bag()
        name = _bare_name(filename or "content.zip")
        digest = body.digest(self._algorithm)
        entry = _Entry(self._paths.assign(name), body.count, {self._algorithm: digest})
        self._staging.adopt_spool(entry.content_path)
        self._entries[name] = entry
        return self._unpacked(PackageKind.FILE, None)

    def _member(self, member: Member) -> None:
        if member.kind is MemberKind.DIRECTORY:
            self._folders.add(member.name)
            return
        manifest = _MANIFEST.fullmatch(member.name)
        if manifest:
            self._also.add(manifest.group(1).lower())
        self._store(member.name, member.chunks(_CHUNK))
        if _BAG_INFO.fullmatch(member.name):
            self._look_for_marking(member.name)

    def _look_for_marking(self, logical: str) -> None:
        """Of what is marked as a state secret no more is taken than had come before its marking. Raises Secret."""
        entry = self._entries[logical]
        if entry.size > _BAG_INFO_BYTES:
            return
        with self._staging.open(entry.content_path) as file, suppress(UnreadableTagFileError):
            lines = tag_lines(file, "utf-8", max_bytes=_BAG_INFO_BYTES)
            secrecy.check_bag_info(parse_bag_info(lines, (0, 97), logical, Findings(0), Findings(0)))

    def _store(self, logical: str, chunks: Iterable[bytes]) -> None:
        self._write(logical, chunks, {self._algorithm} | self._also)

    def _write(self, logical: str, chunks: Iterable[bytes], algorithms: Collection[str]) -> _Entry:
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        content_path = self._paths.assign(logical)
        sink = self._staging.create(content_path)
        size = 0
        try:
            for chunk in chunks:
                for digest in hashes.values():
                    digest.update(chunk)
                sink.write(chunk)
                size += len(chunk)
        finally:
            sink.close()
        entry = _Entry(content_path, size, {name: d.hexdigest() for name, d in hashes.items()})
        self._entries[logical] = entry
        return entry

    # --- the bag among them

    def _bag(self) -> Unpacked:
        root = find_bag_root([*self._entries, *self._folders])
        if root is None:
            raise _no_bag("no bagit.txt lies at its top or in its one folder")
        if root:
            self._lift(root)
        if any(name.casefold() == RESERVED for name in self._entries):
            raise _reserved()
        report = validate_bag(_StagedBag(self._staging, self._entries, self._folders))
        # Before the faults, which would have it corrected and sent again.
        secrecy.check_bag_info(report.bag_info)
        report.require_valid()
        return self._unpacked(PackageKind.BAG, report)

    def _lift(self, root: str) -> None:
        """The archive's one folder is only its packing: the bag moves up, so that people find it where they expect."""
        lifted: dict[str, _Entry] = {}
        folders: set[str] = set()
        before = f"v{self._staging.number}/content/"
        for logical, entry in self._entries.items():
            folder, _, rest = entry.content_path.removeprefix(before).partition("/")
            # A path that was too long is not below the folder; it stays where it is.
            path = before + rest if rest else entry.content_path
            lifted[logical.removeprefix(root)] = _Entry(path, entry.size, entry.digests)
            if rest:
                folders.add(folder)
        for folder in folders:
            self._staging.lift(folder)
        self._entries = lifted
        self._folders = {name.removeprefix(root) for name in self._folders if name.startswith(root)}

    def _unpacked(self, kind: PackageKind, report: BagReport | None) -> Unpacked:
        files = {
            logical: StoredFile(entry.content_path, entry.size, entry.digests[self._algorithm])
            for logical, entry in self._entries.items()
        }
        return Unpacked(kind, files, report)


class _StagedBag:
    """The bag in staging, as :class:`vault.formats.bagit.BagContents` asks for it."""

    def __init__(self, staging: Staging, entries: Mapping[str, _Entry], folders: Collection[str]) -> None:
        self._staging = staging
        self._entries = entries
        self._folders = folders

    def paths(self) -> Mapping[str, int]:
        return {logical: entry.size for logical, entry in self._entries.items()}

    def has_directory(self, path: str) -> bool:
        return path in self._folders or any(logical.startswith(f"{path}/") for logical in self._entries)

    @contextmanager
    def open(self, path: str) -> Iterator[ReadableStream]:
        with self._staging.open(self._entries[path].content_path) as file:
            yield file

    def digest(self, path: str, algorithms: Collection[str]) -> Mapping[str, str]:
        """Those computed while it streamed in, and for a manifest that came after it, those that are wanting."""
        entry = self._entries[path]
        wanting = [name for name in algorithms if name not in entry.digests]
        if wanting:
            with self._staging.open(entry.content_path) as file:
                entry.digests.update(_hashed(file, wanting))
        return entry.digests


def _hashed(file: ReadableStream, algorithms: Iterable[str]) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    while chunk := file.read(_CHUNK):
        for digest in hashes.values():
            digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _invalid(code: str, message: str, remedy: str) -> Invalid:
    return Invalid(f"The deposit was refused: {message}.", faults=[Fault(code, message)], remedy=remedy, code=code)


def _no_bag(why: str) -> Invalid:
    return _invalid(
        "not-a-bag",
        f"the archive holds no bag: {why}",
        "Deposit a BagIt bag (RFC 8493), or send kind=file to keep the archive as the single file that it is.",
    )


def _bare_name(filename: str) -> str:
    name = check_member_name(filename)
    if "/" in name:
        raise _invalid("bad-filename", f"{name!r} has a slash", "Give the bare name of the file as filename=.")
    if name.casefold() == RESERVED:
        raise _reserved()
    return name


def _reserved() -> Invalid:
    return _invalid("reserved-name", f"the name {RESERVED} is the node's own", "Rename that file.")
