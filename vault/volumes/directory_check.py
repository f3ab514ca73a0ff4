"""Reading a copy back from a directory volume, and saying exactly what is wrong with it."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

from vault.durable import describe_os_error
from vault.errors import Interrupted
from vault.formats.ocfl import layout
from vault.formats.ocfl.inventory import INVENTORY_FILE, MAX_INVENTORY_BYTES, sidecar_name, version_number
from vault.formats.ocfl.reading import parse_inventory
from vault.model import DigestAlgorithm
from vault.volumes.ahead import ahead
from vault.volumes.base import Cancelled, CheckJournal, CheckReport, CheckState, Finding, FindingKind, Part
from vault.volumes.medium import (
    BEGINNING,
    Mark,
    Marking,
    Progress,
    Reading,
    digest_file,
    digest_from,
    digest_small,
    never_cancelled,
    no_progress,
    read_chunks,
)
from vault.volumes.tree import Entry, Nearby, Tree

SMALL_LIMIT = 64 * 1024
"""Of a sidecar, a declaration, a note: larger ones are none of ours."""

_SLASH = re.compile("/")
_MOST_STRANGERS = 1000
_NO_REGULAR_FILE = "not a regular file"

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
"""The file is not there, on a volume that answers."""

NO_FILE = _GONE | {errno.ELOOP, errno.EXDEV, errno.EINVAL, errno.EISDIR}
"""No file is there: nothing, or a link, folder or device in its place or on the way to it."""

_OUTAGES = frozenset({
    errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED,
    errno.EPIPE, errno.ENOLINK, errno.ESHUTDOWN,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR,
})  # fmt: skip
"""Not this file but the whole volume, or this machine, fails: an outage, which says nothing of the copy."""


def digest_of(data: bytes | bytearray, algorithm: DigestAlgorithm) -> str:
    """The digest of bytes in memory, lower-case hexadecimal."""
    return hashlib.new(str(algorithm), data, usedforsecurity=False).hexdigest()


def sidecar_text(inventory_digest: str) -> bytes:
    """The sidecar of an inventory whose digest is known (OCFL 1.1, section 3.7)."""
    return f"{inventory_digest}  {INVENTORY_FILE}\n".encode()


def small_digest(tree: Tree, path: str, algorithm: DigestAlgorithm, limit: int) -> str:
    """The digest of a file that is read whole, through the cache; "" where none of at most ``limit`` bytes is."""
    try:
        return digest_of(tree.read_small(path, limit), algorithm)
    except OSError as error:
        if error.errno in NO_FILE or error.errno == errno.EFBIG:
            return ""
        raise


def belongs_in_root(entry: Entry, head: Part) -> bool:
    """Whether this name may stand in the root of an object whose newest version is ``head``."""
    if entry.kind == "folder":
        number = version_number(entry.name)
        return 1 <= number <= head.number and entry.name == f"v{number}"
    names = (layout.OBJECT_DECLARATION, INVENTORY_FILE, sidecar_name(str(head.algorithm)))
    return entry.kind == "file" and entry.name in names


class _Checker:
    """One check of one part: collects findings, and reads a second time what did not agree."""

    def __init__(
        self,
        tree: Tree,
        target: str,
        part: Part,
        progress: Progress,
        cancelled: Cancelled,
        journal: CheckJournal | None = None,
    ) -> None:
        self.tree = tree
        self.target = target
        self.part = part
        self.progress = progress
        self.cancelled = cancelled
        self.journal = journal
        self.done = 0
        self.mark: Mark = BEGINNING
        self.own = 0
        self.before = (0, 0)
        self.findings: list[Finding] = []
        self.strangers = 0
        self.at = 0
        self.files = 0
        self.bytes = 0

    def report(self, *, absent: bool = False) -> CheckReport:
        return CheckReport(tuple(self.findings), self.files, self.bytes, absent)

    def find(
        self, kind: FindingKind, path: str, expected: str = "", found: str = "", error: str = "", offset: int = -1
    ) -> None:
        # A name on a disk is any bytes; what goes into an event is text.
        shown = path.encode("utf-8", "backslashreplace").decode()
        self.findings.append(Finding(kind, shown, expected, found, error, offset))

    def advanced(self, count: int) -> None:
        """So many more bytes of the file that is being read."""
        self.at += count
        self.progress(count)

    def advanced_again(self, count: int) -> None:
        """The same for a second reading, which is no progress."""
        self.at += count

    def stranger(self, path: str, error: str = "") -> None:
        """Record what should not be there, as far as anybody would read such a list."""
        self.strangers += 1
        if self.strangers <= _MOST_STRANGERS:
            self.find(FindingKind.EXTRA, path, error=error)

    def trouble(self, error: OSError, path: str, expected: str = "", offset: int = -1) -> None:
        """Record that a file could not be read, unless the whole volume is what fails."""
        if error.errno in _OUTAGES:
            raise describe_os_error(error, f"reading {path}") from error
        if error.errno in _GONE:
            self.find(FindingKind.MISSING, path, expected)
        elif error.errno in NO_FILE:
            self.no_file(path, expected)
        else:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            self.find(FindingKind.UNREADABLE, path, expected, error=name, offset=offset)

    def no_file(self, path: str, expected: str) -> None:
        """Something that is no file stands where a file should be: one too many, and one too few."""
        self.stranger(path, _NO_REGULAR_FILE)
        self.find(FindingKind.MISSING, path, expected)

    def small(self, paths: Sequence[str]) -> list[Reading | OSError | None]:
        """A first reading of small files, ahead of their turn and perhaps in another thread: what came of each, None
        for a large one. After a stop nothing more is read."""
        readings: list[Reading | OSError | None] = []
        algorithm = str(self.part.algorithm)
        with Nearby(self.tree) as nearby:
            for path in paths:
                try:
                    stopped = bool(readings) and self.cancelled()
                    found = None if stopped else digest_small(*nearby.at(f"{self.target}/{path}"), algorithm)
                except OSError as error:
                    readings.append(error)
                else:
                    readings.append(found)
        return readings

    def file(self, path: str, expected: str, first: Reading | OSError | None = None) -> None:
        """Read one file and compare. ``first`` is what :meth:`small` comes to for it."""
        algorithm, place = str(self.part.algorithm), f"{self.target}/{path}"
        self.at = 0
        try:
            if isinstance(first, OSError):
                raise first
            reading = first
            if reading is not None:
                self.advanced(reading.size)
                if self.cancelled():
                    raise Interrupted(f"Reading {path} was stopped.")
            else:
                reading = self._read_on(place, algorithm, expected)
            if reading is None:
                self.at = 0
                reading = digest_file(self.tree, place, [algorithm], self.advanced, self.cancelled)
            self.files += 1
            self.bytes += reading.size
            found = reading.digests[algorithm]
            if found == expected:
                return
            self.at = 0
            again = digest_file(self.tree, place, [algorithm], self.advanced_again, self.cancelled)
        except OSError as error:
            self.trouble(error, path, expected, self.at)
            return
        right = again.digests[algorithm] == expected
        self.find(FindingKind.INTERMITTENT if right else FindingKind.MISMATCH, path, expected, found)

    def _read_on(self, place: str, algorithm: str, expected: str) -> Reading | None:
        """Read a file from where it was left, so that it can be taken up again; None where it must be read plainly.

        What was taken up and does not agree blames nobody: it is read again from its beginning.
        """
        if self.journal is None:
            return None
        mark, self.mark = self.mark, BEGINNING
        self.at = mark[0]
        marking = Marking(self.journal.wants, self._keep)
        reading = digest_from(self.tree, place, algorithm, mark, marking, self.advanced, self.cancelled)
        if reading is not None and mark[0] and reading.digests[algorithm] != expected:
            return None
        return reading

    def resume(self) -> int:
        """Take up what the journal has of this part's content; the number of files that were read already."""
        self.own = len(self.findings)
        self.before = (self.files, self.bytes)
        state = self.journal.resume() if self.journal is not None else None
        if state is None:
            return 0
        self.findings += state.findings
        self.files += state.files
        self.bytes += state.read
        self.done = state.done
        self.mark = (state.offset, state.hash_state)
        return state.done

    def was_read(self, path: str) -> bool:
        """Whether a content file was read a moment ago, as the journal has it."""
        return self.journal is not None and self.journal.known(path) is not None

    def pass_over(self, path: str) -> bool:
        """Count a file that was read a moment ago, if it is that file that stands here; False for another."""
        seen = self.journal.known(path) if self.journal is not None else None
        try:
            size, inode = self.tree.size_and_inode(f"{self.target}/{path}")
        except OSError:
            return False
        if seen is None or size != seen.size or seen.inode not in (0, inode):
            return False
        self.files += 1
        self.bytes += size
        return True

    def next(self) -> None:
        """Another content file was read."""
        self.done += 1
        if self.journal is not None and self.journal.wants():
            self._keep(BEGINNING)

    def _keep(self, mark: Mark) -> None:
        assert self.journal is not None, "nobody keeps without one"  # noqa: S101
        files, read = self.files - self.before[0], self.bytes - self.before[1]
        self.journal.keep(CheckState(self.done, files, read, tuple(self.findings[self.own :]), *mark))

    def whole(self, path: str, expected: str, limit: int = SMALL_LIMIT) -> bytes | None:
        """Read one file into memory and compare; the right bytes, if it has them at the first or second reading.

        What stands there is looked at before it is opened: opening a device is an act.
        """
        place = f"{self.target}/{path}"
        try:
            if (kind := self.tree.kind(place)) != "file":
                if kind:
                    self.no_file(path, expected)
                else:
                    self.find(FindingKind.MISSING, path, expected)
                return None
            data = self._bytes(place, limit)
            self.files += 1
            self.bytes += len(data)
            found = digest_of(data, self.part.algorithm)
            if found == expected:
                return bytes(data)
            data = self._bytes(place, limit)
        except OSError as error:
            self.trouble(error, path, expected)
            return None
        right = digest_of(data, self.part.algorithm) == expected
        self.find(FindingKind.INTERMITTENT if right else FindingKind.MISMATCH, path, expected, found)
        return bytes(data) if right else None

    def _bytes(self, place: str, limit: int) -> bytearray:
        data = bytearray()
        for chunk in read_chunks(self.tree, place):
            data += chunk
            self.progress(len(chunk))
            if self.cancelled():
                raise Interrupted(f"Reading {place} was stopped.")
            if len(data) > limit:
                break
        return data

    def walk(self, folder: str) -> Iterator[Entry]:
        """Everything below a folder, named from the object's root: what is no folder, and folders with nothing in."""
        pending = [folder]
        while pending:
            here = pending.pop()
            try:
                entries = self.tree.entries(f"{self.target}/{here}")
            except OSError as error:
                self.trouble(error, here)
                continue
            if not entries and here != folder:
                yield Entry(here, "folder")
            for entry in entries:
                path = f"{here}/{entry.name}"
                if entry.kind == "folder":
                    pending.append(path)
                else:
                    yield Entry(path, entry.kind)


def check_part(
    tree: Tree,
    target: str,
    part: Part,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
    journal: CheckJournal | None = None,
) -> CheckReport:
    """Read ``vN/`` below ``target`` from the medium: inventory, sidecar, every content file, and nothing besides.

    Raises Unreachable when the volume, rather than a file, fails; Interrupted when cancelled.
    """
    check = _Checker(tree, target, part, progress, cancelled, journal)
    version = f"v{part.number}"
    try:
        kind = tree.kind(f"{target}/{version}")
    except OSError as error:
        check.trouble(error, version)
        return check.report()
    if kind != "folder":
        if kind:
            check.stranger(version, "not a folder")
        return check.report(absent=not kind)
    inventory_path = f"{version}/{INVENTORY_FILE}"
    sidecar_path = f"{version}/{sidecar_name(str(part.algorithm))}"
    inventory = check.whole(inventory_path, part.inventory_digest, MAX_INVENTORY_BYTES)
    check.whole(sidecar_path, digest_of(sidecar_text(part.inventory_digest), part.algorithm))
    if inventory is not None:
        _check_content(check, version, inventory, {inventory_path, sidecar_path})
    return check.report()


def _check_content(check: _Checker, version: str, inventory: bytes, checked: set[str]) -> None:
    expected = parse_inventory(inventory).content_of_version_part(check.part.number)
    unfit, empty = set(), []
    for entry in check.walk(version):
        if entry.name in checked:
            continue
        if entry.name in expected:
            if entry.kind != "file":
                unfit.add(entry.name)
        elif entry.kind == "folder":
            empty.append(entry.name)
        else:
            check.stranger(entry.name)
    if empty:
        # One whose files are missing is no stranger; the files are told below.
        above = {path[: match.start()] for path in expected for match in _SLASH.finditer(path)}
        for folder in empty:
            if folder not in above:
                check.stranger(folder)
    _read_content(check, expected, unfit)


def _read_content(check: _Checker, expected: Mapping[str, str], unfit: set[str]) -> None:
    left = sorted(expected.items())[check.resume() :]
    # One that was left in its middle is large, and goes on there.
    taken_up = left[0][0] if left and check.mark != BEGINNING else None
    passed = unfit | {path for path, _ in left if check.was_read(path)} | ({taken_up} if taken_up else set())
    with ahead(check.small, [path for path, _ in left if path not in passed], "small-files") as readings:
        for path, digest in left:
            if path in unfit:
                check.no_file(path, digest)
            elif path not in passed:
                read, first = next(readings)
                assert read == path, "readings come in the order that was asked for"  # noqa: S101
                check.file(path, digest, first)
            elif not check.pass_over(path):
                check.file(path, digest)
            check.next()


def check_root(tree: Tree, target: str, head: Part) -> CheckReport:
    """Check an object's root: its declaration, the newest inventory with its sidecar, and no strangers."""
    check = _Checker(tree, target, head, no_progress, never_cancelled)
    try:
        entries = tree.entries(target)
    except OSError as error:
        if error.errno in _GONE:
            return check.report(absent=True)
        check.trouble(error, ".")
        return check.report()
    declaration = digest_of(layout.object_declaration()[1], head.algorithm)
    check.whole(layout.OBJECT_DECLARATION, declaration)
    check.whole(INVENTORY_FILE, head.inventory_digest, MAX_INVENTORY_BYTES)
    sidecar = sidecar_name(str(head.algorithm))
    check.whole(sidecar, digest_of(sidecar_text(head.inventory_digest), head.algorithm))
    known = {layout.OBJECT_DECLARATION, INVENTORY_FILE, sidecar}
    for entry in entries:
        if entry.name not in known and not belongs_in_root(entry, head):
            check.stranger(entry.name)
    return check.report()


def prove_answering(tree: Tree, paths: tuple[str, ...]) -> None:
    """Read these small files from the medium. Raises OSError when one of them cannot be read."""
    for path in paths:
        for _ in read_chunks(tree, path):
            pass
