"""A folder on its way into the archive: as the bag that it is, or bagged while it is sent.

The body is a pax tar, the same bytes for the same content. The folder is read twice and nothing is written: first
every file is hashed, then tag files and files go out one after the other, each compared with what was read first.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from vault.client.body import Progress, Stamp, changed, no_progress, read_file
from vault.durable import describe_os_error
from vault.errors import Fault, Invalid
from vault.formats.archive import MemberKind
from vault.formats.bag_writer import bag_manifests
from vault.formats.names import NameRegister, check_member_name, shown
from vault.formats.tar_writer import TAR_END, tar_header, tar_padding
from vault.i18n import _

_FIRST: Final = re.compile(r"bagit\.txt|bag-info\.txt|fetch\.txt|(?:tag)?manifest-[^/]+\.txt", re.IGNORECASE)
_REMEDY: Final = "Correct or remove what is listed, then deposit again."


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the folder: its path there, and by what it is recognised."""

    name: str
    path: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds. ``empty`` are its folders without any file."""

    files: tuple[Listed, ...]
    empty: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """The sum of the files' sizes."""
        return sum(file.stamp.size for file in self.files)

    @property
    def is_bag(self) -> bool:
        """Whether it is a BagIt bag already (RFC 8493, section 2.1.1)."""
        return any(file.name == "bagit.txt" for file in self.files)


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of the tar: bytes at hand, a file with its sha512 where that is known, or an empty folder."""

    name: str
    data: bytes = b""
    file: Listed | None = None
    sha512: str = ""
    folder: bool = False

    @property
    def size(self) -> int:
        return self.file.stamp.size if self.file else len(self.data)

    def header(self) -> bytes:
        return tar_header(self.name, self.size, kind=MemberKind.DIRECTORY if self.folder else MemberKind.FILE)

    @property
    def length(self) -> int:
        return len(self.header()) + self.size + len(tar_padding(self.size))


def list_folder(root: str) -> Listing:
    """List everything below ``root``, sorted by name.

    Raises Invalid, with a fault for each, when there are links, devices, names that another system could not hold or
    would take for one another; NotFound and Unreachable as the file system has it.
    """
    walk = _Walk(root)
    walk.folder(root, "")
    if walk.faults:
        count = len(walk.faults)
        raise Invalid(
            f"The folder {shown(root)} cannot be deposited as it is: {count} of its entries cannot be kept.",
            faults=walk.faults,
            remedy=_REMEDY,
            code="folder-invalid",
        )
    if not walk.files:
        raise Invalid(
            f"The folder {shown(root)} holds no file.", remedy=_("Deposit one that holds something."), code="empty-body"
        )
    return Listing(tuple(sorted(walk.files, key=lambda file: file.name)), tuple(sorted(walk.empty)))


class _Walk:
    def __init__(self, root: str) -> None:
        self.root = root
        self.files: list[Listed] = []
        self.empty: list[str] = []
        self.faults: list[Fault] = []
        self._register = NameRegister()

    def folder(self, path: str, prefix: str) -> None:
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            raise describe_os_error(error, f"listing {shown(path)}") from error
        if not entries and prefix:
            self.empty.append(prefix.rstrip("/"))
        for entry in entries:
            self._entry(entry, prefix + entry.name)

    def _entry(self, entry: os.DirEntry[str], name: str) -> None:
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError as error:
            raise describe_os_error(error, f"looking at {shown(entry.path)}") from error
        is_folder = stat.S_ISDIR(facts.st_mode)
        if not is_folder and not stat.S_ISREG(facts.st_mode):
            what = "it is a symbolic link" if stat.S_ISLNK(facts.st_mode) else "it is neither a file nor a folder"
            self.faults.append(Fault("not-a-file", what, shown(name)))
            return
        try:
            # As it will be called below the bag's data/.
            check_member_name(f"data/{name}")
            self._register.add(name, directory=is_folder)
        except Invalid as error:
            self.faults.extend(Fault(fault.code, fault.message, shown(name)) for fault in error.faults)
            return
        if is_folder:
            self.folder(entry.path, f"{name}/")
        else:
            self.files.append(Listed(name, entry.path, Stamp.of(facts)))


class FolderBody:
    """A folder as the tar of a bag. Make one with :meth:`prepare`.

    ``bagged`` tells whether it was a plain folder and becomes a bag on the way; its digest is then not known
    beforehand, and the bag's manifest, which is sent first, answers for every byte.
    """

    def __init__(self, root: str, filename: str, members: tuple[_Member, ...], digest: str, *, bagged: bool) -> None:
        self.root = root
        self.filename = filename
        self.size = sum(member.length for member in members) + len(TAR_END)
        self.digests: Mapping[str, str] = {"sha-256": digest} if digest else {}
        self.bagged = bagged
        self.sent_digest = ""
        self.fingerprint = digest or _fingerprint(members)
        self._members = members

    @classmethod
    def prepare(
        cls,
        root: str,
        listing: Listing,
        *,
        filename: str = "",
        bag_info: Iterable[tuple[str, str]] = (),
        progress: Progress = no_progress,
    ) -> FolderBody:
        """Read every file once. ``bag_info`` is for a folder that is bagged; a bag's own is left alone."""
        name = filename or f"{os.path.basename(os.path.abspath(root))}.tar"
        if not listing.is_bag:
            return cls(root, name, tuple(_bag_up(listing, bag_info, progress)), "", bagged=True)
        first = [file for file in listing.files if _FIRST.fullmatch(file.name)]
        rest = [file for file in listing.files if not _FIRST.fullmatch(file.name)]
        members = [_Member(file.name, file=file) for file in (*first, *rest)]
        members += [_Member(folder, folder=True) for folder in listing.empty]
        body = cls(root, name, tuple(members), "", bagged=False)
        digest = hashlib.sha256()
        for chunk in body.chunks(progress):
            digest.update(chunk)
        return cls(root, name, tuple(members), digest.hexdigest(), bagged=False)

    def chunks(self, progress: Progress = no_progress) -> Iterator[bytes]:
        """See :class:`~vault.client.body.Body`."""
        digest = hashlib.sha256()
        for chunk in self._before_the_end(progress):
            digest.update(chunk)
            yield chunk
        digest.update(TAR_END)
        if self.digests and digest.hexdigest() != self.digests["sha-256"]:
            raise changed(self.root)
        self.sent_digest = digest.hexdigest()
        yield TAR_END

    def _before_the_end(self, progress: Progress) -> Iterator[bytes]:
        for member in self._members:
            yield member.header()
            if member.file is not None:
                found = hashlib.sha512() if member.sha512 else None
                for chunk in read_file(member.file.path, member.file.stamp, progress):
                    if found is not None:
                        found.update(chunk)
                    yield chunk
                if found is not None and found.hexdigest() != member.sha512:
                    raise changed(member.file.path)
            elif member.data:
                yield member.data
            padding = tar_padding(member.size)
            if padding:
                yield padding


def _fingerprint(members: Iterable[_Member]) -> str:
    """Of a folder that is bagged: its manifests are among the members, and name every byte."""
    digest = hashlib.sha256()
    for member in members:
        digest.update(member.header())
        digest.update(member.data)
    return digest.hexdigest()


def _bag_up(listing: Listing, bag_info: Iterable[tuple[str, str]], progress: Progress) -> Iterator[_Member]:
    payload: list[_Member] = []
    for file in listing.files:
        digest = hashlib.sha512()
        for chunk in read_file(file.path, file.stamp, progress):
            digest.update(chunk)
        payload.append(_Member(f"data/{file.name}", file=file, sha512=digest.hexdigest()))
    tags = bag_manifests(((m.name.removeprefix("data/"), m.sha512, m.size) for m in payload), bag_info)
    for name in ("bagit.txt", *sorted(name for name in tags if name != "bagit.txt")):
        yield _Member(name, data=tags[name])
    yield from payload
