"""What is sent in a deposit: read twice, first for its digest, then on its way, and never two different things."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vault.durable import describe_os_error
from vault.errors import Interrupted, Invalid
from vault.formats.names import shown
from vault.i18n import _

CHUNK: Final = 1024 * 1024

Progress = Callable[[int], None]
"""Called with the number of bytes that were just read."""


def no_progress(_count: int) -> None:
    """For those who do not look."""


class Body(Protocol):
    """A deposit's body. ``digests`` are those of the whole, by the names of RFC 9530 ("sha-256"), hexadecimal; empty
    where they are not known before it was sent. ``sent_digest`` is the sha-256 once all was sent, "" before.
    ``fingerprint`` is the same for the same bytes, by which a later run recognises them."""

    @property
    def filename(self) -> str: ...  # noqa: D102 - an attribute
    @property
    def size(self) -> int: ...  # noqa: D102 - an attribute
    @property
    def digests(self) -> Mapping[str, str]: ...  # noqa: D102 - an attribute
    @property
    def sent_digest(self) -> str: ...  # noqa: D102 - an attribute
    @property
    def fingerprint(self) -> str: ...  # noqa: D102 - an attribute
    def chunks(self, progress: Progress = no_progress) -> Iterator[bytes]:
        """The bytes. Raises Interrupted (``source-changed``) before the last of them if they are not those that were
        first read, so that nobody ever takes them for complete."""
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a file is recognised the second time."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> Stamp:
        """That of a file."""
        return cls(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


def open_file(path: str, expected: Stamp | None = None) -> int:
    """Open a plain file for reading. Raises Invalid for anything else, Interrupted if it is not the expected one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise describe_os_error(error, f"opening {shown(path)}") from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise Invalid(
            f"{shown(path)} is neither a file nor a folder.", remedy=_("Deposit a file, an archive or a folder."),
            code="not-a-file",
        )  # fmt: skip
    if expected is not None and Stamp.of(facts) != expected:
        os.close(descriptor)
        raise changed(path)
    return descriptor


def read_file(path: str, stamp: Stamp, progress: Progress = no_progress) -> Iterator[bytes]:
    """The contents of a file that must still be the one that ``stamp`` was taken of, and stay so to its end."""
    descriptor = open_file(path, stamp)
    left = stamp.size
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                progress(len(chunk))
                yield chunk
            more = file.read(1)
            after = Stamp.of(os.fstat(descriptor))
        except OSError as error:
            raise describe_os_error(error, f"reading {shown(path)}") from error
    if left or more or after != stamp:
        raise changed(path)


def changed(path: str) -> Interrupted:
    """The error for a file that is not what it was a moment ago."""
    return Interrupted(
        f"{shown(path)} changed while it was being deposited; nothing was stored.",
        remedy=_("Something is writing to it. Wait until it is finished, then deposit again."),
        code="source-changed",
    )


class FileBody:
    """One file, as it is: an archive, a PDF."""

    def __init__(self, path: str, filename: str, stamp: Stamp, digest: str) -> None:
        self.path = path
        self.filename = filename
        self.size = stamp.size
        self.digests = {"sha-256": digest}
        self.sent_digest = ""
        self.fingerprint = digest
        self._stamp = stamp

    @classmethod
    def prepare(cls, path: str, filename: str = "", progress: Progress = no_progress) -> FileBody:
        """Read the file once for its digest. Raises NotFound, Unreachable, Invalid, Interrupted."""
        descriptor = open_file(path)
        stamp = Stamp.of(os.fstat(descriptor))
        os.close(descriptor)
        if not stamp.size:
            raise Invalid(
                f"{shown(path)} is empty.", remedy=_("Deposit a file that holds something."), code="empty-body"
            )
        digest = hashlib.sha256()
        for chunk in read_file(path, stamp, progress):
            digest.update(chunk)
        return cls(path, filename or os.path.basename(os.path.abspath(path)), stamp, digest.hexdigest())

    def chunks(self, progress: Progress = no_progress) -> Iterator[bytes]:
        """See :class:`Body`."""
        digest = hashlib.sha256()
        held = b""
        for chunk in read_file(self.path, self._stamp, progress):
            if held:
                yield held
            digest.update(chunk)
            held = chunk
        if digest.hexdigest() != self.digests["sha-256"]:
            raise changed(self.path)
        self.sent_digest = digest.hexdigest()
        yield held
